/** How is a transaction opened and marked in one round trip? BEGIN and a look-up, sent in one packet, answered as one query. */
import { execute, send } from './client.ts'
import type { PgClient, QueryCallback } from './shape.ts'

/** The statement that marks the transaction, run right after BEGIN. */
export interface Marking {
	/** Prepared once on each connection; parsed every time where it has no name. */
	readonly name: string | undefined
	readonly text: string
	readonly values: readonly string[]
	/** The witness's idea of the server when it made this: another call may have learnt better since. */
	readonly form: string
	/** What stands between the text and one more expression for it to give. */
	readonly more?: ', ' | ' RETURNING '
}

/** What came back: the row of the marking statement, as text, and its command tag. */
export interface Marked {
	readonly row: ReadonlyArray<string | null> | undefined
	readonly tag: string | undefined
	/** The command tag of the BEGIN itself. */
	readonly begun: string
}

/** The part of pg's connection that speaks the extended protocol. */
interface Wire {
	readonly stream: { cork?(): void; uncork?(): void; write(bytes: Buffer): unknown }
	parse(message: { name?: string; text: string }): void
	bind(message: { statement?: string; values?: readonly string[] }): void
	execute(message: { rows?: number }): void
	sync(): void
}

// Which connections know which of our statements: they are prepared on first use.
const prepared = new WeakMap<PgClient, Set<string>>()

/** Forgets what is prepared on the connection: a pooler in between has handed us another server connection. */
export function forgetPrepared(client: PgClient): void {
	prepared.delete(client)
}

/** Sends BEGIN and what marks it, without the Sync that ends them. */
export function sendMarked(client: PgClient, connection: unknown, text: string, marking: Marking | undefined): void {
	const wire = connection as Wire
	if (marking === undefined) {
		wire.stream.write(bytesOf(wire, text, undefined))
		return
	}
	const name = shortEnough(marking.name)
	const known = name !== undefined && prepared.get(client)?.has(name) === true
	// What is the same every time is made into bytes once.
	const fixed = known && marking.values.length === 0
	wire.stream.write(bytesOf(wire, text, fixed ? marking : undefined))
	if (fixed) return
	if (!known) wire.parse({ ...(name !== undefined && { name }), text: marking.text })
	run(wire, name, marking.values)
}

// The texts of BEGIN are few, and so are the markings without values: their witness makes each of them once.
const made = new Map<string, Buffer>()
const madeWith = new WeakMap<Marking, Map<string, Buffer>>()

/** BEGIN, and a prepared marking without values behind it, as pg writes them. */
function bytesOf(wire: Wire, text: string, marking: Marking | undefined): Buffer {
	let known = made
	if (marking !== undefined) {
		known = madeWith.get(marking) ?? new Map()
		madeWith.set(marking, known)
	}
	let bytes = known.get(text)
	if (bytes === undefined) {
		const chunks: Buffer[] = []
		const stream = { writable: true, write: (chunk: Buffer) => chunks.push(Buffer.from(chunk)) > 0 }
		const recorder: Wire = Object.create(wire, { stream: { value: stream } })
		recorder.parse({ text })
		run(recorder, undefined, [])
		if (marking !== undefined) run(recorder, marking.name, [])
		bytes = Buffer.concat(chunks)
		known.set(text, bytes)
	}
	return bytes
}

function run(wire: Wire, name: string | undefined, values: readonly string[]): void {
	wire.bind(name === undefined ? { values } : { statement: name, values })
	wire.execute({})
}

/** The marking's statement is known to the server under this name from now on. */
export function wasPrepared(client: PgClient, name: string | undefined): void {
	if (name === undefined) return
	const known = prepared.get(client)
	if (known === undefined) prepared.set(client, new Set([name]))
	else known.add(name)
}

/** It failed, and nothing has been applied. `begun` is set where BEGIN itself had opened a transaction before the marking failed. */
export interface NotMarked {
	readonly failed: unknown
	readonly begun: string | undefined
}

/** Opens the transaction. */
export function beginMarked(client: PgClient, text: string, marking: Marking): Promise<Marked | NotMarked> {
	// pg-native has no wire to speak on, and pipeline mode refuses query objects that are not its own: there it takes two queries.
	if (client.connection === undefined || client.pipeline === true) return beginThenMark(client, text, marking)
	return new Promise((resolve) => {
		const begin = new MarkedBegin(client, text, marking, (error, result) => {
			resolve(error === null || error === undefined ? (result as Marked) : { failed: error, begun: begin.begun })
		})
		send(client, begin)
	})
}

async function beginThenMark(client: PgClient, text: string, { text: markText, values }: Marking): Promise<Marked | NotMarked> {
	try {
		await execute(client, text)
	} catch (failed) {
		return { failed, begun: undefined }
	}
	return new Promise((resolve) => {
		send(client, { text: markText, values, rowMode: 'array' }, undefined, (error, result) => {
			if (error !== null && error !== undefined) return resolve({ failed: error, begun: 'BEGIN' })
			const { rows, command, rowCount } = result as { rows: string[][]; command: string; rowCount: number }
			resolve({ row: rows[0], tag: `${command} ${rowCount}`, begun: 'BEGIN' })
		})
	})
}

/**
 * A query object in the sense of pg. Messages of PostgreSQL's extended protocol before one Sync are one round trip
 * (PostgreSQL manual, "Message Flow: Pipelining"); an error in any of them is answered once, by one ReadyForQuery.
 */
class MarkedBegin {
	callback: QueryCallback | undefined
	readonly #client: PgClient
	readonly #text: string
	readonly #marking: Marking
	#row: ReadonlyArray<string | null> | undefined
	#begun: string | undefined
	#tag: string | undefined
	#failed: unknown

	constructor(client: PgClient, text: string, marking: Marking, callback: QueryCallback) {
		this.#client = client
		this.#text = text
		this.#marking = marking
		this.callback = callback
	}

	/** The command tag of the BEGIN, once it has come. */
	get begun(): string | undefined {
		return this.#begun
	}

	submit(connection: unknown): null {
		const { stream } = connection as Wire
		stream.cork?.()
		try {
			sendMarked(this.#client, connection, this.#text, this.#marking)
			;(connection as Wire).sync()
		} finally {
			stream.uncork?.()
		}
		return null
	}

	handleRowDescription(): void {}
	handlePortalSuspended(): void {}
	handleEmptyQuery(): void {}
	handleCopyInResponse(): void {}
	handleCopyData(): void {}

	handleDataRow(message: { fields: ReadonlyArray<string | null> }): void {
		this.#row = message.fields
	}

	handleCommandComplete(message: { text: string }): void {
		this.#begun ??= message.text
		this.#tag = message.text
	}

	handleError(error: unknown): void {
		this.#failed = error
		// A lost link has no ReadyForQuery to come.
		const told = this.callback
		this.callback = undefined
		told?.(error)
	}

	handleReadyForQuery(): void {
		if (this.#failed !== undefined) return
		wasPrepared(this.#client, shortEnough(this.#marking.name))
		this.callback?.(null, { row: this.#row, tag: this.#tag, begun: this.#begun ?? '' } satisfies Marked)
	}
}

// NAMEDATALEN - 1 (PostgreSQL manual, "Identifiers"): a longer name is cut, and might meet another.
const longestName = 63
export const shortEnough = (name: string | undefined): string | undefined =>
	name !== undefined && name.length <= longestName ? name : undefined
