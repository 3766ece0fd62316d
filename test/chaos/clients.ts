/** Who runs the transactions of a chaos run? Holdfast in two ways, and what people write without it. */
import type { Isolation } from './sql.ts'

/** A statement inside a transaction. */
export type Query = (text: string, values: unknown[]) => Promise<{ rows: Record<string, unknown>[] }>

/** The body of one transaction; it may be run several times. */
export type Work<R> = (query: Query, onCommit: (callback: () => void) => void) => Promise<R>

export interface ChaosClient {
	/** Rejects when the work is known not to be applied, or when `isInDoubt` says so of the error. */
	transaction<R>(work: Work<R>, modes: { isolation: Isolation; readOnly: boolean }): Promise<R>
	isInDoubt(error: unknown): boolean
	/** Whether `onCommit` calls back. */
	readonly tellsCommits: boolean
	/** What it counted, for the verdict. */
	stats(): object | undefined
	end(): Promise<void>
}

export const clientNames = ['holdfast', 'holdfast-client', 'p-retry', 'bare-xid'] as const
export type ClientName = (typeof clientNames)[number]

export const commitModes = ['verify', 'ledger', 'off'] as const
export type CommitMode = (typeof commitModes)[number]

/** How a client is made. */
export interface ClientOptions {
	readonly name: ClientName
	readonly commit: CommitMode
	readonly connections: number
	/** Ends what hangs in a black hole. */
	readonly attemptTimeoutMs: number
}
