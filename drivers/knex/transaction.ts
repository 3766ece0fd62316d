/** What does `knex.transaction(fn)` return on a wrapped instance? A transaction of knex whose function is run again as a whole. */
import { EventEmitter } from 'node:events'
import { callbackify } from 'node:util'
import { Attempt } from './attempt.ts'
import type { TransactionLink } from './backend.ts'
import { type OwnTransactionOptions, transactionOptions } from './options.ts'
import type { KnexPool } from './pool.ts'
import type { Container, KnexClient, TransactionConfig } from './shape.ts'

type Config = TransactionConfig & OwnTransactionOptions

const events = ['start', 'query', 'query-error', 'query-response'] as const

// Those of an EventEmitter that return it.
const chaining = [
	'addListener',
	'on',
	'once',
	'prependListener',
	'prependOnceListener',
	'off',
	'removeListener',
	'removeAllListeners',
] as const

/** Starts the transaction. The promise has, as knex's own transactions do, events, `isCompleted` and `asCallback`. */
export function wholeTransaction(client: KnexClient, pool: KnexPool, container: Container, config: Config): Promise<unknown> {
	const run = new WholeTransaction(client, pool)
	const promise = run.run(container, config)
	for (const name of chaining) {
		const value = (...given: Parameters<EventEmitter['on']>) => {
			run[name](...given)
			return promise
		}
		Object.defineProperty(promise, name, { value, configurable: true, writable: true })
	}
	return Object.assign(promise, {
		isCompleted: () => run.isCompleted(),
		asCallback: (callback: (error: NodeJS.ErrnoException | null, value: unknown) => void) => {
			callbackify(() => promise)(callback)
			return promise
		},
	})
}

class WholeTransaction extends EventEmitter {
	readonly #client: KnexClient
	readonly #pool: KnexPool
	#attempt: Attempt | undefined

	constructor(client: KnexClient, pool: KnexPool) {
		super()
		this.#client = client
		this.#pool = pool
	}

	isCompleted(): boolean {
		return this.#attempt?.inner?.isCompleted() ?? false
	}

	async run(container: Container, config: Config): Promise<unknown> {
		const abort = new AbortController()
		const { signal } = config
		const end = () => abort.abort(signal?.reason)
		if (signal?.aborted) end()
		signal?.addEventListener('abort', end, { once: true })
		try {
			await this.#pool.transact((link) => this.#tryOnce(link, container, config, abort), transactionOptions(config, abort.signal))
			this.#attempt?.confirm()
		} catch (error) {
			const attempt = this.#attempt
			if (attempt?.commits) attempt.refuse(error)
			else {
				attempt?.confirm()
				// What the function threw is knex's answer, in its own form; anything else ended the wait for another attempt.
				if (attempt === undefined || error !== attempt.thrown) throw error
			}
		} finally {
			signal?.removeEventListener('abort', end)
		}
		return await this.#attempt?.inner
	}

	async #tryOnce(link: TransactionLink, container: Container, config: Config, abort: AbortController): Promise<void> {
		this.#attempt?.supersede()
		const attempt = new Attempt(link, (error) => abort.abort(error))
		this.#attempt = attempt
		const inner = this.#client.transaction(attempt.contain(container), { ...config, connection: attempt.connection })
		attempt.inner = inner
		inner.then(undefined, (error) => attempt.broke(error))
		for (const event of events) inner.on(event, (...given) => this.emit(event, ...given))
		await attempt.ended
	}
}
