/** What must the command line know of a database product? One of these for PostgreSQL, one for MySQL and MariaDB. */
import type { Stats } from '../src/index.ts'
import type { Report } from './report.ts'
import type { Target } from './target.ts'

/** Where it is, in parts that may be shown. */
export interface Place {
	readonly address: string
	readonly user: string | undefined
	readonly database: string | undefined
}

/** A wrapped pool, as far as waiting goes. */
export interface WaitingPool {
	readonly holdfast: {
		ready(options: { deadlineMs: number; signal: AbortSignal }): Promise<void>
		stats(): Stats
	}
	end(): Promise<unknown>
}

export type Row = Readonly<Record<string, unknown>>

/** One connection that questions are asked over. */
export interface Session {
	/** Rejects with the driver's error, or when no answer comes in time. */
	ask(text: string, values?: readonly unknown[]): Promise<readonly Row[]>
	/** What the server called the session in its greeting: a pooler gives a number of its own. */
	readonly greetedAs: number | undefined
	readonly encrypted: boolean
	close(): void
}

export interface Product {
	/** Works out host, port, user and database as the driver does. Throws what the driver throws. */
	place(target: Target): Promise<Place>
	/** A pool whose one connection waits at the gate of the endpoint. */
	pool(target: Target, attemptTimeoutMs: number): Promise<WaitingPool>
	/** One attempt to connect. */
	connect(target: Target, timeoutMs: number): Promise<Session>
	/** Asks what there is to know over a session. */
	examine(session: Session): Promise<Report>
}
