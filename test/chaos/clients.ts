/** Who runs the transactions of a chaos run? Holdfast in two ways, and what people write without it. */
import type { Isolation } from './operations.ts'

/** A statement inside a transaction. */
export type Query = (text: string, values: unknown[]) => Promise<{ rows: Record<string, unknown>[] }>

/** A statement that writes. */
export interface Write {
	readonly text: string
	readonly values: unknown[]
}

/** The body of one transaction; it may be run several times. */
export type Work<R> = (query: Query, onCommit: (callback: () => void) => void) => Promise<R>

/** How a transaction is begun. */
export interface Modes {
	readonly isolation: Isolation
	readonly readOnly: boolean
}

/** Both reject when the work is known not to be applied, or when `isInDoubt` says so of the error. */
export interface ChaosClient {
	transaction<R>(work: Work<R>, modes: Modes): Promise<R>
	/** One statement that commits by itself, exactly once where the client can do that. */
	once(write: Write): Promise<unknown>
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

/** The naive client's way to insist. */
export const insisting = () => ({
	retries: 100,
	minTimeout: 10,
	maxTimeout: 300,
	factor: 2,
	randomize: true,
	signal: new AbortController().signal,
})
