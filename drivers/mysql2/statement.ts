/** What does a statement inside a transaction give back? A promise of mysql2's rows and fields, which can be made a stream instead. */
import { PassThrough, pipeline, type Readable } from 'node:stream'
import { HoldfastError } from '../../src/driver.ts'
import { type Job, lineOf } from './line.ts'
import type { Command, Mysql2Connection, QueryCallback } from './shape.ts'

/** What a statement is sent by. */
export type Method = 'query' | 'execute'

/** `[rows, fields]`, as `mysql2/promise` has it. */
export type Answer = [rows: unknown, fields: unknown]

/** A promise of the answer; with `stream` called at once, its rows one by one instead. */
export interface Answering extends Promise<Answer> {
	/** The rows as a stream of objects, as of mysql2's commands. The options are those of a Readable. */
	stream(options?: object): Readable
}

/** One statement on its way: it waits for its turn in the line of its transaction itself. */
export class Statement implements Job {
	text: string | undefined
	readonly #connection: Mysql2Connection
	readonly #method: Method
	readonly #sql: unknown
	readonly #values: unknown
	#told: QueryCallback | undefined
	#command: Command | undefined
	#answered: QueryCallback | undefined
	#out: PassThrough | undefined

	constructor(connection: Mysql2Connection, method: Method, sql: unknown, values: unknown) {
		this.#connection = connection
		this.#method = method
		this.#sql = sql
		this.#values = values
	}

	/** Whether its rows go to a stream. */
	get streams(): boolean {
		return this.#out !== undefined
	}

	run(text: string | undefined, told: QueryCallback): void {
		this.text = text
		this.#told = told
		lineOf(this.#connection).run(this)
	}

	done(error: unknown, result?: unknown, fields?: unknown): void {
		const told = this.#told
		// Its promise holds it for the sake of `stream`: with all that it held, the collector of young objects took one transaction after the
		// other for alive (Node.js 20: 1 of 16 MB at each of its rounds, which took four times as long).
		this.#told = undefined
		this.#answered = undefined
		this.#command = undefined
		told?.(error, result, fields)
	}

	start(answered: QueryCallback): void {
		this.#answered = answered
		this.#command = this.#connection[this.#method](this.#sql, this.#values, answered)
		if (this.#out !== undefined) this.#flow(this.#out)
	}

	/** Turns it into a stream before its first row has come. */
	stream(options: object | undefined): Readable {
		const out = new PassThrough({ ...options, objectMode: true })
		this.#out = out
		streams.set(this.#connection, (streams.get(this.#connection) ?? new Set<Readable>()).add(out))
		out.once('close', () => streams.get(this.#connection)?.delete(out))
		if (this.#command !== undefined) this.#flow(out)
		return out
	}

	/** It was not sent, or failed before its rows began. */
	fail(error: unknown): void {
		this.#out?.destroy(error as Error)
	}

	#flow(out: PassThrough): void {
		const command = this.#command as Command
		const done = this.#answered as QueryCallback
		const connection = this.#connection
		// Without a callback mysql2 hands over row by row, and tells the command nothing of a lost link: its connection does.
		command.onResult = undefined
		const lost = (error: unknown) => {
			connection.removeListener('error', lost)
			out.destroy(error as Error)
			done(error)
		}
		connection.on('error', lost)
		command.once('error', lost)
		// After an error too. The connection is still at work on the packet that ended it.
		command.once('end', () => {
			connection.removeListener('error', lost)
			process.nextTick(done, null)
		})
		command.on('fields', (...args) => out.emit('fields', ...args))
		pipeline(command.stream?.() as Readable, out, () => undefined)
	}
}

const streams = new WeakMap<Mysql2Connection, Set<Readable>>()

/** A stream that is not read to its end would hold up COMMIT for ever. Its reader is told why, where anybody listens. */
export function endStreams(connection: Mysql2Connection): void {
	for (const stream of streams.get(connection) ?? []) {
		// Without a listener the event would end the process.
		if (stream.listenerCount('error') === 0) stream.on('error', () => undefined)
		stream.destroy(new HoldfastError('HOLDFAST_TRANSACTION_ENDED', 'The stream was not read to its end when its transaction ended.'))
	}
}
