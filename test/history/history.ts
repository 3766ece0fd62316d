/** What does a run record, so that it can be held against the database afterwards? */

/**
 * One thing that a transaction does. Every transaction appends its own id, so an element names its writer; it appends to a list at
 * most once. `elements` and `cents` of a read are absent where no answer came.
 */
export type Step =
	| { readonly do: 'append'; readonly list: number }
	| { readonly do: 'read'; readonly list: number; readonly elements?: readonly number[] }
	| { readonly do: 'move'; readonly from: number; readonly to: number; readonly cents: number }
	| { readonly do: 'total'; readonly cents?: number }

/** `ok`: the client was told that it is done. `failed`: that it is certainly not. `in doubt`: that nobody knows. */
export type Told = 'ok' | 'failed' | 'in doubt'

/** One transaction, all its attempts together. */
export interface Operation {
	/** Unique in the history, and the element that it appends. */
	readonly id: number
	readonly worker: number
	readonly told: Told
	/** What it set out to do, in order, with the answers of the attempt that the client was told of. */
	readonly steps: readonly Step[]
	/** Milliseconds on one monotonic clock for all workers. */
	readonly startedAtMs: number
	readonly endedAtMs: number
	/** How often its callback for a certain commit ran; absent where there is none. */
	readonly commitCallbacks?: number
	/** What the client was told where it was not ok. */
	readonly error?: string
}

/** What stands in the database when nothing can change any more. */
export interface FinalState {
	/** Elements in the order in which they were appended. */
	readonly lists: ReadonlyMap<number, readonly number[]>
	readonly accounts: ReadonlyMap<number, number>
}

export interface History {
	readonly operations: readonly Operation[]
	readonly final: FinalState
	/** What every account held at first. */
	readonly centsEach: number
	/** `serializable` also forbids that a transaction reads what another one has overwritten and both count as first. */
	readonly isolation: 'serializable' | 'read committed'
}

/**
 * lost: told ok and not there. phantom: told failed and there. duplicate: there twice. torn: one part is there and another is not.
 * stranger: an element that nobody wrote there. dirty read: of something that was never committed. wrong order: a read that is no
 * beginning of the final list. own write unseen: a transaction did not read what it had appended. balance: an account, or the sum that a
 * transaction read, does not fit the transfers. cycle: no order of the transactions explains what they read. callback: a commit callback
 * that did not run exactly for the certain commits.
 */
export const anomalyKinds = [
	'lost',
	'phantom',
	'duplicate',
	'torn',
	'stranger',
	'dirty read',
	'wrong order',
	'own write unseen',
	'balance',
	'cycle',
	'callback',
] as const

export type AnomalyKind = (typeof anomalyKinds)[number]

/** One thing that must not be. */
export interface Anomaly {
	readonly kind: AnomalyKind
	/** The transactions concerned. */
	readonly ids: readonly number[]
	/** For people. */
	readonly detail: string
}
