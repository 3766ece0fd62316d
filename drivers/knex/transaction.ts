/** What does `knex.transaction(fn)` return on a wrapped instance? A transaction of knex whose function is run again as a whole. */
import { EventEmitter } from 'node:events'
import { callbackify } from 'node:util'
import { Attempt } from './attempt.ts'
import type { TransactionLink } from './backend.ts'
import { type OwnTransactionOptions, transactionOptions } from './options.ts'
import type { KnexPool } from './pool.ts'
import type { Container, KnexClient, TransactionConfig } from './shape.ts'
import { StopSign } from './stop-sign.ts'

type Config = TransactionConfig & OwnTransactionOptions
type Listener = (...given: unknown[]) => void

const events = ['start', 'query', 'query-error', 'query-response'] as const

/** Starts the transaction. */
export function wholeTransaction(client: KnexClient, pool: KnexPool, container: Container, config: Config): WholeTransaction {
	const run = new Run(client, pool, container, config)
	return new WholeTransaction(run.result(), run)
}

/** A promise that has, as knex's own transactions do, events, `isCompleted` and `asCallback`. */
export class WholeTransaction extends Promise<unknown> {
	/** What is made of it by `then` is a plain promise. */
	static override get [Symbol.species](): PromiseConstructor {
		return Promise
	}

	readonly #run: Run

	constructor(result: Promise<unknown>, run: Run) {
		super((resolve) => resolve(result))
		this.#run = run
	}

	isCompleted(): boolean {
		return this.#run.isCompleted()
	}

	asCallback(callback: (error: NodeJS.ErrnoException | null, value: unknown) => void): this {
		callbackify(() => this)(callback)
		return this
	}

	on(event: string, listener: Listener): this {
		this.#run.emitter.on(event, listener)
		return this
	}

	once(event: string, listener: Listener): this {
		this.#run.emitter.once(event, listener)
		return this
	}

	addListener(event: string, listener: Listener): this {
		return this.on(event, listener)
	}

	off(event: string, listener: Listener): this {
		this.#run.emitter.off(event, listener)
		return this
	}

	removeListener(event: string, listener: Listener): this {
		return this.off(event, listener)
	}

	removeAllListeners(event?: string): this {
		this.#run.emitter.removeAllListeners(event)
		return this
	}
}

/** The attempts of one transaction. */
class Run {
	readonly #client: KnexClient
	readonly #pool: KnexPool
	readonly #container: Container
	readonly #config: Config
	readonly #stop = new StopSign()
	#emitter: EventEmitter | undefined
	#attempt: Attempt | undefined

	constructor(client: KnexClient, pool: KnexPool, container: Container, config: Config) {
		this.#client = client
		this.#pool = pool
		this.#container = container
		this.#config = config
	}

	isCompleted(): boolean {
		return this.#attempt?.inner?.isCompleted() ?? false
	}

	/** Where the events of all attempts come together; few ask for them. */
	get emitter(): EventEmitter {
		if (this.#emitter === undefined) {
			this.#emitter = new EventEmitter()
			this.#forward(this.#attempt, this.#emitter)
		}
		return this.#emitter
	}

	async result(): Promise<unknown> {
		try {
			await this.#pool.transact((link) => this.#tryOnce(link), transactionOptions(this.#config, this.#stop))
			this.#attempt?.confirm()
		} catch (error) {
			const attempt = this.#attempt
			if (attempt?.commits) attempt.refuse(error)
			else {
				attempt?.confirm()
				// What the function threw is knex's answer, in its own form; anything else ended the wait for another attempt.
				if (attempt === undefined || error !== attempt.thrown) throw error
			}
		}
		return await this.#attempt?.inner
	}

	async #tryOnce(link: TransactionLink): Promise<void> {
		this.#attempt?.supersede()
		this.#stop.throwIfAborted()
		const attempt = new Attempt(link, this.#stop)
		this.#attempt = attempt
		const inner = this.#client.transaction(attempt.contain(this.#container), { ...this.#config, connection: attempt.connection })
		attempt.inner = inner
		inner.then(undefined, (error) => attempt.broke(error))
		if (this.#emitter !== undefined) this.#forward(attempt, this.#emitter)
		await attempt.ended
	}

	#forward(attempt: Attempt | undefined, emitter: EventEmitter): void {
		for (const event of events) attempt?.inner?.on(event, (...given) => emitter.emit(event, ...given))
	}
}
