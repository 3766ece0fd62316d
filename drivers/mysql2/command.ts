/** What does the caller of `pool.query` hold while it runs, and runs again? A command of mysql2 that hears what each attempt says. */
import { Readable } from 'node:stream'
import type { Call } from '../../src/driver.ts'
import { type Connections, Statement } from './query.ts'
import type { Command, Mysql2Connection, Mysql2Pool, QueryCallback } from './shape.ts'

/** Makes commands of mysql2's own class, for the caller to listen to and to stream from. */
export function commandMaker(query: Mysql2Pool['query'], config: unknown): Mysql2Pool['query'] {
	// mysql2's own `query` reads the arguments, and then asks for a connection, which does not come.
	return query.bind({ config, getConnection: () => {} } as unknown as Mysql2Pool)
}

/** A rerun must send what the call said, also where the caller has used its options, or the array of its values, for another call since. */
export function snapshot(sql: unknown): unknown {
	if (typeof sql !== 'object' || sql === null) return sql
	const { sql: text, values, infileStreamFactory: file } = sql as { sql?: unknown; values?: unknown; infileStreamFactory?: unknown }
	return {
		...sql,
		sql: text,
		...(values !== undefined && { values: snapshotValues(values) }),
		...(typeof file === 'function' && { infileStreamFactory: readOnce(file as InfileStreamFactory) }),
	}
}

export const snapshotValues = (values: unknown): unknown => (Array.isArray(values) ? [...values] : values)

type InfileStreamFactory = (path: string) => Readable

/** A rerun of LOAD DATA would wait for ever for the content of a stream that was read already. */
function readOnce(factory: InfileStreamFactory): InfileStreamFactory {
	const given = new WeakSet<Readable>()
	return (path) => {
		const stream = factory(path)
		if (!given.has(stream)) {
			given.add(stream)
			return stream
		}
		const why =
			'LOAD DATA was to be run again, but its infileStreamFactory gave the stream that was read already: let it make a new one each time.'
		return new Readable({ read() {} }).destroy(new TypeError(why))
	}
}

/** The statement behind the command that the caller of `query` holds. */
export const queryStatement = (
	core: Connections,
	command: Command,
	sql: unknown,
	values: unknown,
	callback: QueryCallback | undefined,
): Statement =>
	callback === undefined ? new RowsStatement(core, command, sql, values) : new QueryStatement(core, command, sql, values, callback)

/** A query with a callback: what it answers goes there, whole, once it is complete. */
class QueryStatement extends Statement {
	readonly #command: Command
	readonly #values: unknown
	readonly #callback: QueryCallback
	/** Whether the command that the caller holds may be sent itself: once, and only where nobody would notice that it has failed. */
	#mayGo: boolean
	/** Whether it is what runs. */
	#gone = false
	#heard = false

	constructor(core: Connections, command: Command, sql: unknown, values: unknown, callback: QueryCallback) {
		super(core, sql)
		this.#command = command
		this.#values = values
		this.#callback = callback
		// Not one that the caller has made; nor one whose stream of content has to be watched.
		const file = typeof sql === 'string' ? undefined : (sql as { infileStreamFactory?: unknown } | null | undefined)?.infileStreamFactory
		this.#mayGo = command.onResult === callback && file === undefined
	}

	protected override begun(): boolean {
		return this.#heard
	}

	protected override start(connection: Mysql2Connection, done: QueryCallback): void {
		const command = this.#command
		this.#gone = this.#mayGo && command.eventNames().length === 0
		this.#mayGo = false
		if (this.#gone) {
			command.onResult = done
			connection.query(command)
			return
		}
		const attempt = connection.query(this.sql, this.#values, done)
		// Beside its callback a command has listeners only rarely.
		for (const event of ['fields', 'result']) {
			if (command.listenerCount(event) === 0) continue
			attempt.on(event, (...args) => {
				this.#heard = true
				command.emit(event, ...args)
			})
		}
	}

	/** It may be run again, so it has not ended: mysql2 says that it has as soon as this returns. */
	protected override failing(): void {
		if (!this.#gone) return
		const command: Partial<Command> = this.#command
		this.#gone = false
		this.#heard = wasHeard(this.#command)
		command.emit = () => false
		process.nextTick(() => delete command.emit)
	}

	protected override answer(served: boolean, error: unknown, result?: unknown, fields?: unknown): void {
		if (error === null && !this.#gone) this.#command.emit('end')
		this.#callback(error, result, fields)
		if (error !== null && served && !this.#gone) this.#command.emit('end')
	}
}

/**
 * Whether listeners that came after it was sent, as those of tracers do, have been told a part of the answer. Rows go to the callback only:
 * 'result' tells of statements without any, and where the last of them has come nothing can fail any more.
 */
function wasHeard(command: Command): boolean {
	const { next, resultsetHeader, _resultIndex: index = 0 } = command
	const begun = Boolean(next) && (next !== resultsetHeader || index > 0)
	return (begun && command.listenerCount('fields') > 0) || (index > 0 && command.listenerCount('result') > 0)
}

/** A query without a callback: its rows go to listeners and streams one by one. The first is held to be seen. */
class RowsStatement extends Statement {
	readonly #command: Command
	readonly #values: unknown
	#shown = false

	constructor(core: Connections, command: Command, sql: unknown, values: unknown) {
		super(core, sql)
		this.#command = command
		this.#values = values
	}

	protected override get timed(): boolean {
		return false
	}

	protected override begun(): boolean {
		return this.#shown
	}

	protected override start(connection: Mysql2Connection, done: QueryCallback): void {
		const show = () => {
			this.#shown = true
		}
		startRows(this.#command, connection, () => connection.query(this.sql, this.#values), { done, show })
	}

	protected override answer(served: boolean, error: unknown): void {
		const command = this.#command
		if (error !== null) {
			// The bare pool listens itself as soon as there is a connection, so that nobody else has to.
			if (!served || command.listenerCount('error') > 0) command.emit('error', error)
			if (!served) return
		}
		command.emit('end')
	}
}

function startRows(
	command: Command,
	connection: Mysql2Connection,
	start: () => Command,
	{ done, show }: { done: QueryCallback; show: () => void },
): void {
	// The fields are held back until something follows them: until then it can be run again without anybody noticing.
	let fields: unknown[] | undefined
	const showFields = () => {
		show()
		if (fields !== undefined) command.emit('fields', ...fields)
		fields = undefined
	}
	const ended = (error?: unknown) => {
		connection.removeListener('error', ended)
		if (error === undefined && fields !== undefined) showFields()
		done(error)
	}
	// mysql2 tells a command without a callback nothing of a lost link: only its connection hears of it.
	connection.on('error', ended)
	// For what is streamed from it: pauses the connection that it comes over.
	command._connection = connection
	let attempt: Command
	try {
		attempt = start()
	} catch (error) {
		connection.removeListener('error', ended)
		throw error
	}
	attempt.on('fields', (...args) => {
		if (fields !== undefined) showFields()
		fields = args
	})
	attempt.on('result', (...args) => {
		showFields()
		command.emit('result', ...args)
	})
	attempt.on('error', ended)
	// After an error too. The connection is still at work on the packet that ended it.
	attempt.on('end', () => process.nextTick(ended))
}

/** A statement whose callback is all that its caller has of it. */
abstract class CalledBackStatement extends Statement {
	protected readonly values: unknown
	readonly #callback: QueryCallback

	constructor(core: Connections, sql: unknown, values: unknown, callback: QueryCallback, call?: Call) {
		super(core, sql, call)
		this.values = values
		this.#callback = callback
	}

	protected override answer(_served: boolean, error: unknown, result?: unknown, fields?: unknown): void {
		this.#callback(error, result, fields)
	}
}

/** A prepared statement: `pool.execute` has a callback always. */
export class ExecuteStatement extends CalledBackStatement {
	protected override start(connection: Mysql2Connection, done: QueryCallback): void {
		connection.execute(this.sql, this.values, done)
	}
}

/** A query whose command nobody holds. */
export class PlainStatement extends CalledBackStatement {
	protected override start(connection: Mysql2Connection, done: QueryCallback): void {
		connection.query(this.sql, this.values, done)
	}
}
