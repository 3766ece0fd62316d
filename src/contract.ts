/** What must a wrapper for a database driver provide? The contract between the core and `drivers/`. */

/** The pool behind a wrapper, as the core uses it. `C` is the driver's connection. */
export interface ConnectionSource<C extends object> {
	/** The most connections that the pool may have. */
	readonly capacity: number
	/** Connections that the pool could hand out at once. */
	idle(): number
	/** All connections, those being opened included. */
	total(): number
	/** Hands out an idle connection. Fails if there is none after all; never opens one. */
	take(done: (error: unknown, connection: C | undefined) => void): void
	/** Opens a connection. Returns the function that gives the attempt up: `done` is then called with an error. */
	open(done: (error: unknown, connection: C | undefined) => void): () => void
	/** Puts a healthy, clean connection back. */
	giveBack(connection: C): void
	/** Closes a connection that must not be used again. */
	discard(connection: C, error: unknown): void
	/** Whether it is alive as far as one can tell without asking, with no transaction open and nothing running. */
	isUsable(connection: C): boolean
	/** Asks the server over this connection. Returns the function that ends the wait: `done(false)` follows. */
	ask(connection: C, done: (alive: boolean) => void): () => void
}

/** What the server last said of the transaction on a connection; `unknown` where the driver cannot tell, `dead` where the link is lost. */
export type TransactionStatus = 'none' | 'open' | 'failed' | 'dead' | 'unknown'

/** What the runner needs to drive one transaction. Each statement rejects with the driver's own error. */
export interface TransactionDriver<C extends object> {
	/** The statement that opens a transaction of this kind. */
	beginText(options: TransactionModes): string
	execute(connection: C, text: string): Promise<void>
	/** `rolled_back`: the server answered COMMIT by saying that it rolled back. */
	commit(connection: C): Promise<'committed' | 'rolled_back'>
	/** Waits until nothing runs on the connection any more, then tells the status. */
	status(connection: C): TransactionStatus | Promise<TransactionStatus>
	/** Cuts the link at once; whatever runs on it fails with the error. */
	cut(connection: C, error: Error): void
	/** Returns it to the pool, or closes it where an error says that it must not be used again. */
	release(connection: C, error?: unknown): void
}

/** How a transaction is opened. */
export interface TransactionModes {
	/** Default: what the database says. */
	isolation?: 'read uncommitted' | 'read committed' | 'repeatable read' | 'serializable' | undefined
	/** The server refuses writes in it; so it may always be rerun. Default false. */
	readOnly?: boolean | undefined
	/** PostgreSQL, with serializable and readOnly: wait for a snapshot that cannot be cancelled. Default false. */
	deferrable?: boolean | undefined
}
