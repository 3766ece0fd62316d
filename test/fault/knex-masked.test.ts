/** The database cannot be reached, or not now: does a caller of knex learn why, where knex alone speaks of its pool? */
import { classify, createScheduler, DeadlineError } from 'holdfast'
import makeKnex from 'knex'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { caught } from '../support/caught.ts'
import { startPostgres } from '../support/postgres.ts'
import { staged } from '../support/staged.ts'
import { until } from '../support/until.ts'
import { type KnexStage, knexStage } from './knex-stage.ts'

const at = staged(() => knexStage({ max_connections: '12', superuser_reserved_connections: '0', reserved_connections: '0' }))

/** Every way to a connection: a statement, a stream, both forms of a transaction, a connection by hand, a migration. */
const ways = {
	statement: (knex) => knex.raw('select 1'),
	stream: (knex) =>
		new Promise((resolve, reject) => {
			knex.select(knex.raw('1')).stream().on('error', reject).on('end', resolve).resume()
		}),
	'transaction (function)': (knex) => knex.transaction(async (trx) => trx.raw('select 1')),
	'transaction (object)': async (knex) => (await knex.transaction()).rollback(),
	acquireConnection: async (knex) => knex.client.releaseConnection(await knex.client.acquireConnection()),
	'migrate.latest': (knex) => knex.migrate.latest({ migrationSource: noMigrations }),
} satisfies Record<string, (knex: ReturnType<KnexStage['knex']>) => PromiseLike<unknown>>

const noMigrations = {
	getMigrations: async () => [],
	getMigrationName: () => '',
	getMigration: async () => ({ up: async () => {}, down: async () => {} }),
}

describe.each(Object.entries(ways))('%s', (_, way) => {
	test('of a server that is down: a DeadlineError that says so, caused by ECONNREFUSED', async () => {
		at.proxy.refuse()
		// So bare knex keeps the cause to itself.
		const knex = at.knex({ deadlineMs: 150 }, { pool: { propagateCreateError: false }, acquireConnectionTimeout: 100 } as object)
		const error = await caught(way(knex))
		expect(error).toBeInstanceOf(DeadlineError)
		expect(error?.message).toContain('it is down (it refuses connections)')
		expect(error?.cause).toMatchObject({ code: 'ECONNREFUSED' })
		expect(knex.holdfast.stats()).toMatchObject({ waiting: 0, outages: 1, endpoint: { state: 'down' } })
	})

	test('of wrong credentials: the server’s own error, at once', async () => {
		const knex = at.knex({}, { pool: { propagateCreateError: false } } as object, { user: 'nobody_of_that_name', password: 'not-this-1' })
		const error = await caught(way(knex))
		expect(error?.code).toMatch(/^28/)
		expect(String(error?.stack)).not.toContain('not-this-1')
		expect(at.proxy.attempts).toBe(1)
		expect(knex.holdfast.stats()).toMatchObject({ attempts: 0, outages: 0 })
	})

	test('of a server that is full (53300): a DeadlineError that says so, or what becomes free', async () => {
		const hogs = await fill()
		const knex = at.knex({ deadlineMs: 150 })
		const error = await caught(way(knex))
		expect(error).toBeInstanceOf(DeadlineError)
		expect(error?.cause).toMatchObject({ code: '53300' })
		const served = caught(way(at.knex()))
		await until(() => at.proxy.attempts > 1, { what: 'the next caller to knock' })
		await Promise.all(hogs.map((hog) => hog.end()))
		expect(await served).toBeUndefined()
	})

	test('of a pool that is busy: knex’s own KnexTimeoutError, as without Holdfast, with the cause', async () => {
		const config = { pool: { min: 0, max: 1 }, acquireConnectionTimeout: 400 }
		const [bare, wrapped] = [at.bareKnex(config), at.knex({}, config)]
		const errors: unknown[] = []
		for (const knex of [bare, wrapped]) {
			const held = await knex.transaction()
			const error = await caught(way(knex as typeof wrapped))
			errors.push({
				class: error?.constructor.name,
				name: error?.name,
				message: error?.message,
				isKnexs: error instanceof makeKnex.KnexTimeoutError,
			})
			expect(error?.cause).toBeInstanceOf(Error)
			expect(classify(error)).toMatchObject({ kind: 'pool_timeout', outcome: 'not_sent' })
			await held.rollback()
		}
		expect(errors[1]).toEqual(errors[0])
		expect(wrapped.holdfast.stats()).toMatchObject({ waiting: 0, outages: 0, endpoint: { state: 'up' } })
	})
})

test('of a server that is starting (57P03): a DeadlineError that says so', async () => {
	const starting = await startPostgres({ settings: { hot_standby: 'off' } })
	try {
		await starting.query("copy (select 1) to program 'cat > standby.signal; : > standby.signal'")
		await starting.stop()
		// A standby that lets nobody in: it says that it is not ready yet for as long as it lives.
		starting.start().catch(() => {})
		const knex = at.knex({ deadlineMs: 3_000 }, {}, starting.config())
		const error = await until(
			async () => {
				const told = await caught(knex('t').select())
				return (told?.cause as { code?: string } | undefined)?.code === '57P03' ? told : undefined
			},
			{ what: 'the server to say that it is starting', timeoutMs: 20_000 },
		)
		expect(error).toBeInstanceOf(DeadlineError)
		expect(error.message).toContain('starting')
		expect(classify(error.cause)).toMatchObject({ kind: 'starting_up' })
		expect(knex.holdfast.stats().attempts).toBe(0)
		await knex.destroy()
	} finally {
		await starting.dispose()
	}
})

test('one connection attempt at a time, however many instances and callers wait, and all are served in the end', async () => {
	const scheduler = createScheduler()
	await at.proxy.rejectConnections()
	const instances = [1, 2, 3].map(() => at.knex({ scheduler }, { pool: { min: 0, max: 3 } }))
	const calls = Array.from({ length: 200 }, (_, i) => instances[i % 3]?.raw('select ?::int as i', [i]).then(({ rows }) => rows[0].i))
	await until(() => at.proxy.attempts >= 4, { what: 'four probes' })
	expect(at.proxy.maxInFlightAttempts).toBe(1)
	await at.proxy.accept()
	expect(await Promise.all(calls)).toEqual(Array.from({ length: 200 }, (_, i) => i))
	expect(instances.map((knex) => knex.holdfast.stats().outages)).toEqual([1, 1, 1])
})

test('destroy during an outage tells callers so, and comes to its end', async () => {
	at.proxy.refuse()
	const knex = at.knex()
	const waiting = [caught(knex.raw('select 1')), caught(knex.transaction(async () => 1)), caught(knex.client.acquireConnection())]
	await until(() => knex.holdfast.stats().endpoint.state === 'down', { what: 'the outage to be noticed' })
	await knex.destroy()
	for (const error of await Promise.all(waiting)) expect(error).toMatchObject({ code: 'HOLDFAST_CLOSED' })
	expect(String(await caught(knex.raw('select 1')))).toContain('Unable to acquire a connection')
})

/** Takes every connection that the server has. */
async function fill(): Promise<pg.Client[]> {
	const hogs: pg.Client[] = []
	for (;;) {
		const hog = new pg.Client(at.server.config())
		hog.on('error', () => {})
		try {
			await hog.connect()
			hogs.push(hog)
		} catch {
			return hogs
		}
	}
}
