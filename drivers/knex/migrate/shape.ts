/** Which parts of knex does the migration runner rely on? Only what is declared here; a drift test compares it with the installed knex. */

/** A native connection of pg or mysql2, as knex's dialects make them. */
export interface Connection {
	/** pg: the pid that the server (or a pooler) told in the handshake. */
	readonly processID?: number | null
	/** mysql2: the server's id of the connection. */
	readonly threadId?: number
	/** Set by knex's dialects when the link has died. */
	readonly __knex__disposed?: unknown
	__knexUid?: string
	/** pg: the wire, whose socket can be cut. */
	readonly connection?: { readonly stream: { destroy(error?: Error): void } }
	/** mysql2: its socket. */
	readonly stream?: { destroy(error?: Error): void }
	on?(event: string, listener: (error: unknown) => void): unknown
	removeListener?(event: string, listener: (error: unknown) => void): unknown
}

/** What knex hands to a dialect's `_query`, and gets back with the driver's answer in it. */
export interface QueryObject {
	sql: string
	bindings?: readonly unknown[]
	options?: object
	response?: unknown
}

/** The pool of a knex client: tarn's, or a native one that knex has wrapped. */
export interface KnexPool {
	acquire(): { readonly promise: Promise<Connection> }
	release(connection: Connection): boolean
}

/** A dialect's client: what stands behind `knex.client`. */
export interface DialectClient {
	config: KnexConfig
	readonly driverName: string
	version?: string
	pool?: KnexPool
	connectionSettings?: Record<string, unknown>
	connectionConfigProvider?: () => Promise<Record<string, unknown>>
	readonly driver: { Client?: new (settings: object) => { host: string; port: number } }
	readonly logger: { warn(message: string): void }
	acquireRawConnection(): Promise<Connection>
	releaseConnection(connection: Connection): Promise<unknown>
	destroyRawConnection(connection: Connection): Promise<unknown>
	validateConnection(connection: Connection): boolean | Promise<boolean>
	_query(connection: Connection, query: QueryObject | string): Promise<QueryObject>
	_stream(connection: Connection, query: QueryObject, stream: unknown, options: unknown): Promise<unknown>
}

/** Where the statements of migrations pass. */
export interface StatementWatcher {
	/** Sends the statement, perhaps again. */
	run<T>(connection: Connection, sql: string, send: () => Promise<T>): Promise<T>
}

export type Dialect = new (config: KnexConfig) => DialectClient

/** The parts of a knex configuration that the runner looks at or replaces. */
export interface KnexConfig {
	client?: string | Dialect
	connection?: unknown
	connectionPool?: unknown
	pool?: { max?: number; afterCreate?: (connection: Connection, done: (error?: unknown) => void) => void; [name: string]: unknown }
	migrations?: object
	acquireConnectionTimeout?: number
	wrapIdentifier?: unknown
	postProcessResponse?: unknown
	version?: string
	[name: string]: unknown
}

/** The module of one migration. */
export interface MigrationContent {
	readonly up: (knex: unknown) => unknown
	readonly down: (knex: unknown) => unknown
	readonly config?: { readonly transaction?: boolean }
}

/** Where migrations come from: knex's own for folders, or one of the user. */
export interface MigrationSource {
	getMigrations(loadExtensions: unknown): Promise<unknown[]>
	getMigrationName(migration: unknown): string
	getMigration(migration: unknown): MigrationContent | Promise<MigrationContent>
}

type Hook = (knex: unknown, migrations: readonly unknown[]) => unknown

/** The configuration of knex's migrator, with its defaults filled in. */
export interface MigratorConfig {
	readonly tableName: string
	readonly schemaName: string | null
	readonly disableTransactions: boolean
	readonly disableMigrationsListValidation: boolean
	readonly loadExtensions: unknown
	readonly migrationSource: MigrationSource
	readonly beforeAll?: Hook
	readonly afterAll?: Hook
	readonly beforeEach?: Hook
	readonly afterEach?: Hook
}

/** What `knex.migrate` gives. */
export interface Migrator {
	readonly config: MigratorConfig
	/** Makes knex's tables where they are missing. Resolves with the rows of what was run, and with what was not. */
	list(config?: object): Promise<[completed: { name: string }[], pending: unknown[]]>
}
