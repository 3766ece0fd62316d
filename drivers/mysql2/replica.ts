/** Can this read go to a replica? To one that has come far enough, soon enough; otherwise it goes to the primary. */
import { bool, type Call, checkOptions, isPlainRead, type OptionRules, oneOf, positiveMs, show } from '../../src/driver.ts'
import type { Beside } from './beside.ts'
import type { Mysql2Core } from './core.ts'
import { CountedWish } from './counted.ts'
import { comesTo, type Position, Positions } from './positions.ts'
import type { Connections } from './query.ts'
import type { Mysql2Connection } from './shape.ts'

/** Where a read may go. */
export interface ReadOptions {
	/** `'replica'`: to a replica, if one is there and recent enough; needs `hosts`. Default: where the pool's `target` says. */
	readonly target?: 'primary' | 'replica' | undefined
	/** How old the replica's state may be, in milliseconds. Default: as old as it is. */
	readonly maxLagMs?: number | undefined
	/** Whether the read must see everything that was committed before it, whoever wrote it. Default false. */
	readonly readYourWrites?: boolean | undefined
}

const readRules: OptionRules<ReadOptions> = { target: oneOf('primary', 'replica'), maxLagMs: positiveMs, readYourWrites: bool }

// So long a read waits for a replica to be there, and to come far enough, before it goes to the primary.
const patienceMs = 250

/** The reads of one pool that have said where they may go. */
export class Reads {
	readonly #core: Mysql2Core
	readonly #beside: Beside
	readonly #positions: Positions

	constructor(core: Mysql2Core, beside: Beside) {
		this.#core = core
		this.#beside = beside
		this.#positions = new Positions(() => this.#primary)
	}

	get #primary(): Mysql2Core {
		return this.#beside.placeOf({ reads: () => false }) ?? this.#core
	}

	/** Where the connections of this statement come from. Throws TypeError or RangeError where its options are wrong. */
	connectionsFor(sql: unknown): Connections {
		if (typeof sql !== 'object' || sql === null || !('target' in sql || 'maxLagMs' in sql || 'readYourWrites' in sql)) return this.#core
		const { target, maxLagMs, readYourWrites, sql: text } = sql as ReadOptions & { sql?: unknown }
		const route: ReadOptions = { target, maxLagMs, readYourWrites }
		checkOptions('query', route, readRules)
		if (target === 'replica') {
			if (!this.#beside.hasHosts) throw new TypeError("target: 'replica' needs a pool with hosts")
			if (typeof text !== 'string' || !isPlainRead(text, 'mysql'))
				throw new TypeError("target: 'replica' is for a single plain read (SELECT, SHOW, VALUES or TABLE without a lock or a write in it)")
		} else if ((maxLagMs ?? readYourWrites) !== undefined)
			throw new TypeError(
				`maxLagMs and readYourWrites need target: 'replica', got ${show(maxLagMs ?? readYourWrites)} with ${show(target)}`,
			)
		return target === undefined ? this.#core : this.#routed(route)
	}

	#routed(route: ReadOptions): Connections {
		const core = this.#core
		let tried = route.target !== 'replica'
		return {
			policy: core.policy,
			attemptTimeoutMs: core.attemptTimeoutMs,
			call: (given) => core.call(given),
			limit: (connection) => core.limit(connection),
			settle: (connection, broken) => core.settle(connection, broken),
			turnedReadOnly: (connection, fault, error) => core.turnedReadOnly(connection, fault, error),
			isStale: (connection) => core.isStale(connection),
			ask: (statement) => {
				const elsewhere = () => this.#primary.ask(new CountedWish(statement, statement.attempts))
				if (tried) return elsewhere()
				tried = true
				this.#find(statement.call, route).then((connection) => {
					// Out of the promise: what the caller's callback throws is an uncaught exception, as it is with the bare pool.
					process.nextTick(() => (connection === undefined ? elsewhere() : statement.done(undefined, connection)))
				})
			},
		}
	}

	/** A connection to a replica that will do; undefined where there is none. */
	async #find(call: Call, route: ReadOptions): Promise<Mysql2Connection | undefined> {
		const { clock } = this.#core.policy.scheduler
		const { core: replicas } = this.#beside.of('replica')
		let wanted: Position | undefined
		if (route.readYourWrites === true || route.maxLagMs !== undefined) {
			const asked = this.#position(route, call.deadlineAtMs - clock.now())
			wanted = await within(this.#core, call, asked).catch(() => undefined)
			if (wanted === undefined) return undefined
		}
		const untilMs = Math.min(call.deadlineAtMs, clock.now() + patienceMs)
		const connection = await borrow(replicas, call, untilMs)
		if (connection === undefined || wanted === undefined) return connection
		const stop = replicas.limit(connection)
		const far = await comesTo(connection, wanted, untilMs - clock.now()).catch(() => undefined)
		stop()
		const isRecent = route.maxLagMs === undefined || clock.now() - wanted.askedAtMs <= route.maxLagMs
		if (far === true && isRecent) return connection
		replicas.settle(connection, far === undefined)
		return undefined
	}

	/** What the primary had at that time: half of the lag may be used up before the replica is asked. */
	#position({ readYourWrites, maxLagMs = 0 }: ReadOptions, leftMs: number): Promise<Position | undefined> {
		return readYourWrites === true ? this.#positions.fresh(leftMs) : this.#positions.within(maxLagMs / 2, leftMs)
	}
}

function borrow(replicas: Mysql2Core, call: Call, deadlineAtMs: number): Promise<Mysql2Connection | undefined> {
	const { signal, isBatch } = call
	return new Promise((resolve) => {
		replicas.borrow({ deadlineAtMs, signal, isBatch, done: (_error, connection) => resolve(connection) })
	})
}

type Limits = Pick<Call, 'deadlineAtMs' | 'signal'>

/** What was asked together with others, who may have more time, within this call's own limits: undefined where they are reached first. */
async function within<T>(core: Mysql2Core, { deadlineAtMs, signal }: Limits, asked: Promise<T>): Promise<T | undefined> {
	const { scheduler, ending } = core.policy
	const answered = new AbortController()
	const signals = [signal, core.policy.signal, answered.signal].filter((given) => given !== undefined)
	const limit = scheduler.wait(deadlineAtMs - scheduler.clock.now(), signals, ending).then(() => undefined)
	try {
		return await Promise.race([asked, limit])
	} finally {
		answered.abort()
	}
}
