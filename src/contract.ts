/** What must a wrapper for a database driver provide? The contract between the core and `drivers/`. */

/**
 * What a server says of itself. `primary`: it takes writes. `replica`: it follows another server. `read-only`: neither; it refuses writes by
 * its own settings.
 */
export type ServerRole = 'primary' | 'replica' | 'read-only'

/** Where a connection is to be opened, if not at the pool's own address. */
export interface HostAddress {
	/** As the user has named it: certificates and passwords belong to this name. */
	readonly host: string
	readonly port: number
	/** Where the name stands for several servers, the address of the one that is meant. Never kept: each attempt looks the name up. */
	readonly address: string | undefined
}

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
	/** The same for pools that can do it on the spot: `take` costs a turn of the event loop there. Undefined: use `take`. */
	takeNow?(): C | undefined
	/**
	 * For pools that can hand over a connection the moment it comes back, past their idle ones: asks for the next. Called only while none
	 * is idle and there is no room; `done` without a connection means that there may be room now.
	 */
	readonly order?: ((done: (connection: C | undefined) => void) => void) | undefined
	/** Takes the order back, because nobody waits any more. False where that cannot be done, or not any more: `done` will be called. */
	recall?(): boolean
	/** Opens a connection. Returns the function that gives the attempt up: `done` is then called with an error. */
	open(done: (error: unknown, connection: C | undefined) => void): () => void
	/**
	 * The same at this address (the pool's own where it is undefined), and asks the server for its role before anybody else gets to see the
	 * connection. Where `suits` says no, the connection is closed and `done` called with any error. Absent where the driver cannot.
	 */
	readonly openAt?: OpenAt<C>
	/** Puts a healthy, clean connection back. */
	giveBack(connection: C): void
	/** Closes a connection that must not be used again. */
	discard(connection: C, error: unknown): void
	/** Whether it is alive as far as one can tell without asking, with no transaction open and nothing running. */
	isUsable(connection: C): boolean
	/** Asks the server over this connection. Returns the function that ends the wait: `done(false)` follows. */
	ask(connection: C, done: (alive: boolean) => void): () => void
}

export type OpenAt<C extends object> = (
	at: HostAddress | undefined,
	suits: (role: ServerRole) => boolean,
	done: (error: unknown, connection: C | undefined) => void,
) => () => void

/** What the server last said of the transaction on a connection; `unknown` where the driver cannot tell, `dead` where the link is lost. */
export type TransactionStatus = 'none' | 'open' | 'failed' | 'dead' | 'unknown'

/** What a transaction was marked with when it began, so that the server can be asked about it later. Drivers add what they need. */
export interface CommitMark {
	readonly xid?: string | undefined
	readonly token?: string | undefined
}

/** A transaction that was begun. A driver that sends BEGIN along with the first statement fills the mark in when that is answered. */
export interface Begun {
	readonly mark: CommitMark | undefined
	/** The statement that has committed, or may have, what the function did before it: as definitions do in MySQL. */
	readonly committedBy?: string | undefined
	/** Whether this is the error of a statement that has waited for a lock longer than `lockWaitMs`. Undefined: no limit was set. */
	isLockWait?(error: unknown): boolean
}

/** What the server says of a marked transaction. `running`: ask again. `unknown`: it cannot be told, and asking again will not help. */
export type CommitVerdict =
	| { readonly state: 'applied' }
	| { readonly state: 'not applied' }
	| { readonly state: 'running' }
	| { readonly state: 'unknown'; readonly why: string }

/** What the runner needs to drive one transaction. Each statement rejects with the driver's own error. */
export interface TransactionDriver<C extends object> {
	/**
	 * Opens a transaction of this kind, at once or along with its first statement. Where commits are verified and it may write, it is
	 * marked in the same round trip. Nothing has been applied whatever comes of it. `lockWaitMs`: its statements are not to wait longer than
	 * that for a lock, which only matters where the server takes long to find a deadlock, and where it can be said for one transaction.
	 */
	begin(connection: C, modes: TransactionModes, lockWaitMs: number | undefined): Begun | Promise<Begun>
	/** Asks once what became of a marked transaction, and ends what is left of it on the server. Rejects with the driver's error. */
	look(connection: C, mark: CommitMark): Promise<CommitVerdict>
	execute(connection: C, text: string): Promise<void>
	/** Undoes what was done in the transaction, if anything was. */
	rollback(connection: C): Promise<void>
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
