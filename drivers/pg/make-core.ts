/** Of what is the core of a pg pool made? Its source, its server or servers, and the pools beside it. */
import { addressOf, hostsOf, type PoolOptions, type Wanted } from '../../src/driver.ts'
import { Beside, poolLike } from './beside.ts'
import { Plans } from './cached-plan.ts'
import { ownedBy, PgCore } from './core.ts'
import { PgLinks } from './links.ts'
import type { PgPool } from './shape.ts'
import { PgSource } from './source.ts'

/** What a pool stands beside, and what it is for. */
interface Place {
	readonly user: PgCore
	readonly wanted: Wanted
}

/** Makes the core; `place` where it is that of a pool beside the user's. */
export function makeCore(pool: PgPool, bare: PgPool, options: PoolOptions, place?: Place): PgCore {
	const disabled = options.enabled === false
	const { address, port } = placeOf(pool)
	const hosts = disabled || options.hosts === undefined ? undefined : hostsOf(options.hosts, port)
	const search = hosts && { hosts, wanted: place?.wanted ?? options.target ?? 'primary' }
	const plans = new Plans(options.classify)
	const source = new PgSource(pool, bare, disabled, {
		heard: (client) => plans.watch(client),
		broken: (client) => core.lost(client),
		returned: () => core.returned(),
		discarded: () => {
			core.policy.counters.discarded += 1
		},
	})
	const core: PgCore = new PgCore(
		{
			source,
			// An endpoint of its own: to those who only read, a server that has turned read-only is well.
			address: place === undefined ? address : `${address} (${place.wanted})`,
			search,
			beside: place?.user,
			busyTimeoutMs: pool.options.connectionTimeoutMillis || undefined,
			busyTimeoutError: () => new Error('timeout exceeded when trying to connect'),
			links: new PgLinks(pool),
			foundOut: (error, phase) => core.refusals.faultOf(error) ?? plans.faultOf(error, phase),
		},
		options,
	)
	core.queryTimeoutMs = pool.options.query_timeout || undefined
	core.readsOnly = (search?.wanted ?? place?.wanted ?? 'primary') !== 'primary'
	// Also for connections that were borrowed before the pool was wrapped. The pool tells before it has them back.
	pool.on('release', () => {
		if (core.waiting > 0 && !core.putsBack) process.nextTick(() => core.returned())
	})
	pool.on('remove', () => core.returned())
	// Without a listener an 'error' event would end the process (Node.js manual, "Error events").
	if (!disabled) pool.on('error', () => {})
	if (disabled || place !== undefined) return core
	core.beside = new Beside(core, search?.wanted, (wanted) => {
		const like = poolLike(pool, bare)
		const made = makeCore(like, bare, { ...options, scheduler: core.policy.scheduler }, { user: core, wanted })
		like.on('connect', (client) => ownedBy(client, made))
		return { core: made, pool: like }
	})
	return core
}

/** Where the server is, as pg itself works it out from options, connection string and environment. */
function placeOf(pool: PgPool): { address: string; port: number } {
	// A `stream` function of the user is for connections.
	const { host, port } = new pool.Client({ ...pool.options, stream: undefined })
	return { address: addressOf({ host, port }), port }
}
