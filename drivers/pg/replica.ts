/** Can this read go to a replica? To one that has come far enough, soon enough; otherwise it goes to the primary. */
import {
	bool,
	type Call,
	checkOptions,
	isPlainRead,
	type OptionRules,
	oneOf,
	ownOptions,
	positiveMs,
	type QueryOptions,
	show,
} from '../../src/driver.ts'
import { cut } from './client.ts'
import type { PgCore } from './core.ts'
import { lsnOf, type Position, Positions } from './positions.ts'
import { CallbackStatement } from './query.ts'
import type { PgClient, QueryCallback } from './shape.ts'
import { rowsOf } from './witness.ts'

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
const statementNames = ['idempotent', 'exactlyOnce', 'deadlineMs', 'signal', 'label', 'priority']

/** A statement that has said where it may go. */
export interface Routed {
	readonly config: object
	readonly values: unknown
	readonly route: ReadOptions
}

/** What `pool.query` was called with, where it says so: in the config object, or in an object behind the values. Throws TypeError or RangeError. */
function routedBy(config: unknown, second: unknown, third: unknown): Routed | undefined {
	const last = isRoute(third) ? third : isRoute(second) ? second : undefined
	if (last === undefined && !isRoute(config)) return undefined
	const values = last === second ? undefined : second
	const statement = typeof config === 'string' ? { text: config } : (config as object)
	const { target, maxLagMs, readYourWrites, ...rest } = { ...statement, ...last } as ReadOptions & QueryOptions & { text?: unknown }
	if (last !== undefined) {
		const unknown = Object.keys(last).find((name) => !(name in readRules) && !statementNames.includes(name))
		const known = [...Object.keys(readRules), ...statementNames].join(', ')
		if (unknown !== undefined) throw new TypeError(`query: unknown option ${unknown}; known are ${known}`)
	}
	const route: ReadOptions = { target, maxLagMs, readYourWrites }
	checkOptions('query', route, readRules)
	if (target !== 'replica' && (maxLagMs ?? readYourWrites) !== undefined) {
		throw new TypeError(`maxLagMs and readYourWrites need target: 'replica', got ${show(maxLagMs ?? readYourWrites)} with ${show(target)}`)
	}
	ownOptions(rest)
	if (target === 'replica' && !(typeof rest.text === 'string' && isPlainRead(rest.text, 'postgres'))) {
		throw new TypeError("target: 'replica' is for a single plain read (SELECT, SHOW, VALUES or TABLE without a lock or a write in it)")
	}
	return { config: rest, values, route }
}

const isRoute = (value: unknown): value is ReadOptions =>
	typeof value === 'object' &&
	value !== null &&
	!Array.isArray(value) &&
	('target' in value || 'maxLagMs' in value || 'readYourWrites' in value) &&
	typeof (value as { submit?: unknown }).submit !== 'function'

// So long a read waits for a replica to be there, and to come far enough, before it goes to the primary.
const patienceMs = 250
const firstPauseMs = 2
const longestPauseMs = 20

// A replica that was ahead of the one that was promoted cannot follow it, and a place in its log is one of another history. The receiver's
// timeline is up to date, but hidden from ordinary roles; the control file has it from the next restart point on, or from its base backup.
const placeText = `SELECT pg_last_wal_replay_lsn()::text AS lsn, pg_is_in_recovery() AS replica,
	lpad(upper(to_hex(greatest((SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint()),
		(SELECT min_recovery_end_timeline FROM pg_control_recovery())))), 8, '0') AS timeline`

/** A read that may go to a replica. After a failure there it goes to the primary. */
class ReplicaRead extends CallbackStatement {
	readonly #pool: PgCore
	readonly #positions: Positions
	readonly #route: ReadOptions
	readonly #answer: QueryCallback
	#tried = false

	constructor(pool: PgCore, positions: Positions, { config, values, route }: Routed, done: QueryCallback) {
		super(pool, config, values, done)
		this.#pool = pool
		this.#positions = positions
		this.#route = route
		this.#answer = done
	}

	override run(): void {
		const primary = this.#pool.beside?.forWriting ?? this.#pool
		if (this.#tried || this.#route.target !== 'replica') return this.runAt(primary)
		this.#tried = true
		this.#find().then(
			(client) => (client === undefined ? this.runAt(primary) : this.attempt(client)),
			(error: unknown) => process.nextTick(this.#answer, error),
		)
	}

	/** It has its place: what it must see is not to be had wherever reads go. */
	override elsewhere(): undefined {}

	/** A connection to a replica that will do; undefined where there is none. Rejects when the caller's signal is aborted. */
	async #find(): Promise<PgClient | undefined> {
		this.signal?.throwIfAborted()
		const replicas = this.#pool.beside?.of('replica')
		if (replicas === undefined) return undefined
		const { clock } = this.#pool.policy.scheduler
		const leftMs = this.deadlineAtMs - clock.now()
		if (leftMs <= 0) return undefined
		const wanted = await this.#position(leftMs).catch(() => 'unknown' as const)
		if (wanted === 'unknown') return undefined
		const untilMs = Math.min(this.deadlineAtMs, clock.now() + patienceMs)
		const client = await this.#borrow(replicas, untilMs)
		if (client === undefined || wanted === undefined) return client
		if (await this.#comesFarEnough(client, replicas, wanted, untilMs).catch(() => false)) return client
		replicas.giveBackOrDrop(client)
		return undefined
	}

	/** How far the replica must have come; undefined where that does not matter. */
	async #position(leftMs: number): Promise<Position | undefined> {
		const { maxLagMs, readYourWrites } = this.#route
		if (readYourWrites !== true && maxLagMs === undefined) return undefined
		const asked = readYourWrites === true ? this.#positions.fresh(leftMs) : this.#positions.within((maxLagMs ?? 0) / 2, leftMs)
		return within(this.#pool, this, asked)
	}

	#borrow(replicas: PgCore, untilMs: number): Promise<PgClient | undefined> {
		return new Promise((resolve, reject) => {
			replicas.borrow({
				deadlineAtMs: untilMs,
				signal: this.signal,
				done: (error, client) => {
					if (client === undefined && this.signal?.aborted) reject(error)
					else resolve(client)
				},
			})
		})
	}

	async #comesFarEnough(client: PgClient, replicas: PgCore, { lsn, timeline }: Position, untilMs: number): Promise<boolean> {
		const { maxLagMs, readYourWrites } = this.#route
		const { clock } = replicas.policy.scheduler
		for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
			const unguard = replicas.call({}).guard((late) => cut(client, late))
			const asked = rowsOf(client, placeText, [])
			const [row] = await asked.finally(unguard)
			// It was promoted: what it has is no longer a question of how far it has come.
			if (row?.replica !== true || typeof row.lsn !== 'string' || row.timeline !== timeline) return false
			const replayed = lsnOf(row.lsn)
			const isRecent = maxLagMs === undefined || this.#positions.provesLag(replayed, timeline, maxLagMs)
			if (isRecent && (readYourWrites !== true || replayed >= lsn)) return true
			if (clock.now() + pauseMs >= untilMs) return false
			if (!(await replicas.call({ signal: this.signal }).pause(pauseMs))) return false
		}
	}
}

type Limits = Pick<Call, 'deadlineAtMs' | 'signal'>

/** What was asked together with others, who may have more time, within this call's own limits: rejects where they are reached first. */
async function within<T>(core: PgCore, { deadlineAtMs, signal }: Limits, asked: Promise<T>): Promise<T> {
	const { scheduler, ending } = core.policy
	const answered = new AbortController()
	const signals = [signal, core.policy.signal, answered.signal].filter((given) => given !== undefined)
	const limit = scheduler.wait(deadlineAtMs - scheduler.clock.now(), signals, ending).then(() => Promise.reject(core.call({}).cutOff()))
	try {
		return await Promise.race([asked, limit])
	} finally {
		answered.abort()
	}
}

/** The reads of one pool that have said where they may go. */
export class Reads {
	readonly #pool: PgCore
	readonly #positions: Positions

	constructor(pool: PgCore) {
		this.#pool = pool
		this.#positions = new Positions(() => pool.beside?.forWriting ?? pool)
	}

	/** As `routedBy`, and refuses a read for a replica where the pool knows of none. */
	routed(config: unknown, second: unknown, third: unknown): Routed | undefined {
		const routed = routedBy(config, second, third)
		if (routed?.route.target === 'replica' && this.#pool.beside?.hasHosts !== true) {
			throw new TypeError("target: 'replica' needs a pool with hosts")
		}
		return routed
	}

	run(routed: Routed, done: QueryCallback): void {
		new ReplicaRead(this.#pool, this.#positions, routed, done).run()
	}
}
