/** How does a statement on the pool run, and run again? Every form of `pool.query` that pg accepts. */
import {
	abortSignal,
	bool,
	type Call,
	type CallOptions,
	checkOptions,
	isPlainRead,
	type OptionRules,
	type PoolCore,
	positiveMsOrInfinity,
	type Repeatability,
	text as textRule,
} from '../../src/driver.ts'
import { cut, isBusy, whenQuiet } from './client.ts'
import type { PgClient, QueryCallback } from './shape.ts'

/** What a query config may say beside pg's own fields. */
export interface QueryOptions extends CallOptions {
	/** The caller's word that the statement may be applied twice: then it is rerun also when its answer was lost. Default false. */
	readonly idempotent?: boolean | undefined
}

const queryRules: OptionRules<QueryOptions> = {
	idempotent: bool,
	deadlineMs: positiveMsOrInfinity,
	signal: abortSignal,
	label: textRule,
}
const none: QueryOptions = {}

/** Picks our options out of a query config; pg ignores fields that it does not know. */
export function ownOptions(config: unknown): QueryOptions {
	if (typeof config !== 'object' || config === null) return none
	const { idempotent, deadlineMs, signal, label } = config as QueryOptions
	if (idempotent === undefined && deadlineMs === undefined && signal === undefined && label === undefined) return none
	const options = { idempotent, deadlineMs, signal, label }
	checkOptions('query', options, queryRules)
	return options
}

/** Ends a client's work for the pool: kept if the link is healthy, whatever the statement's own fate. */
export function settle(core: PoolCore<PgClient>, client: PgClient, error: unknown, broken: boolean): void {
	if (broken) {
		core.lost(client)
		client.release(error)
		cut(client)
		core.returned()
		return
	}
	// pg tells the error before the server is ready again; until then the status of the connection is not known.
	whenQuiet(client, () => {
		client.release()
		core.returned()
	})
}

/** One statement of the pool, from the call to its result. */
export class Statement implements Repeatability {
	readonly #core: PoolCore<PgClient>
	readonly #config: unknown
	readonly #values: unknown
	readonly #done: QueryCallback
	readonly #call: Call
	readonly idempotent: boolean

	constructor(core: PoolCore<PgClient>, config: unknown, values: unknown, done: QueryCallback) {
		const options = ownOptions(config)
		this.#core = core
		this.#config = config
		this.#values = values
		this.#done = done
		this.#call = core.call(options)
		this.idempotent = options.idempotent === true
	}

	reads(): boolean {
		const config = this.#config
		const text = typeof config === 'string' ? config : (config as { text?: unknown }).text
		return this.#core.policy.readsAreSafe && typeof text === 'string' && isPlainRead(text, 'postgres')
	}

	/** Starts an attempt. */
	run(): void {
		const { deadlineAtMs, signal } = this.#call
		this.#core.borrow({
			deadlineAtMs,
			signal,
			done: (error, client) => {
				if (client === undefined) this.#done(this.#call.waitFailed(error))
				else this.#attempt(client)
			},
		})
	}

	#attempt(client: PgClient): void {
		const { policy, attemptTimeoutMs } = this.#core
		policy.counters.attempts += 1
		const { wakeUps, clock } = policy.scheduler
		const limit =
			attemptTimeoutMs === undefined ? undefined : wakeUps.at(clock.now() + attemptTimeoutMs, () => cut(client, this.#call.cutOff()))
		try {
			client.query(this.#config, this.#values, (error, result) => {
				wakeUps.cancel(limit)
				if (error !== null && error !== undefined) return this.#failed(error, client)
				if (isBusy(client)) settle(this.#core, client, undefined, false)
				else {
					client.release()
					this.#core.returned()
				}
				this.#done(null, result)
			})
		} catch (error) {
			// pg refuses the arguments: nothing was sent, and nothing will be different next time.
			wakeUps.cancel(limit)
			client.release()
			this.#core.returned()
			this.#done(error)
		}
	}

	#failed(error: unknown, client: PgClient): void {
		const fault = this.#call.classify(error, 'statement')
		const broken = fault.scope === 'connection' || fault.scope === 'endpoint' || !client._queryable
		settle(this.#core, client, error, broken)
		this.#call.next(error, fault, 'statement', this).then(
			() => this.run(),
			(final) => this.#done(final),
		)
	}
}
