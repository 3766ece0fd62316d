/** What may be wrapped, and what of the instance stays as it was: settings, limits and hooks of its pool, life and end. */
import { getEventListeners } from 'node:events'
import { createScheduler } from 'holdfast'
import { holdfast } from 'holdfast/knex'
import { holdfast as wrapPool } from 'holdfast/pg'
import makeKnex, { type Knex } from 'knex'
import mysql from 'mysql2'
import pg from 'pg'
import { describe, expect, test, vi } from 'vitest'
import type { KnexInstance } from '../../drivers/knex/shape.ts'
import { caught } from '../support/caught.ts'
import { until } from '../support/until.ts'
import { knexGround, type Product } from './knex-side-by-side.ts'

const numbers = (knex: Knex) => [knex.client.pool.numUsed(), knex.client.pool.numFree(), knex.client.pool.numPendingAcquires()]

// Its package is not needed, for it is never asked to connect.
const another = 'sqlite3'

describe('what is refused, by name', () => {
	const offline = () => makeKnex({ client: 'pg', connection: { host: '127.0.0.1', port: 1 } })

	test.each([
		['nothing', undefined, 'knex must be an instance of knex (knex({ client, connection })), got undefined'],
		['a pool', new pg.Pool(), 'knex must be an instance of knex (knex({ client, connection })), got an object'],
		['the package', makeKnex, 'knex must be an instance of knex (knex({ client, connection })), got the function knex'],
		[
			'another database',
			makeKnex({ client: another, useNullAsDefault: true }),
			'the client of knex must be one of pg, cockroachdb, pg-redshift, mysql2, got "sqlite3"',
		],
	])('%s', (_, given, text) => {
		expect(() => holdfast(given as Knex)).toThrow(new RegExp(text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')))
		expect(() => holdfast(given as Knex)).toThrow(TypeError)
	})

	test('a bad option and an unknown one, which leave the instance as it was', () => {
		const knex = offline()
		const before = [knex.client.pool, Object.getPrototypeOf(knex.client), (knex as unknown as KnexInstance).context._transaction]
		expect(() => holdfast(knex, { deadlineMs: '5s' as never })).toThrow('deadlineMs must be a positive number of milliseconds')
		expect(() => holdfast(knex, { deadline: 5 } as never)).toThrow('unknown option deadline')
		expect([knex.client.pool, Object.getPrototypeOf(knex.client), (knex as unknown as KnexInstance).context._transaction]).toEqual(before)
		expect('holdfast' in knex).toBe(false)
	})

	test("commit: 'verify' on MySQL, which keeps no record to verify by", () => {
		const knex = makeKnex({ client: 'mysql2', connection: { host: '127.0.0.1', port: 1 } })
		expect(() => holdfast(knex, { commit: 'verify' })).toThrow("commit must be a ledger made by commitLedger or 'off' here")
	})

	test('a pool of tarn given as connectionPool', () => {
		const pool = new makeKnex.KnexPool({ min: 0, max: 1, create: async () => ({}), destroy: () => {} })
		const knex = makeKnex({ client: 'pg', connectionPool: pool } as unknown as Knex.Config)
		expect(() => holdfast(knex)).toThrow('connectionPool must be a pool of pg (new pg.Pool()), got an object (KnexPool)')
		expect(knex.client.pool).toBe(pool)
	})

	test('options of a statement and of a transaction', async () => {
		const knex = holdfast(offline())
		expect(await caught(knex('t').options({ deadlineMs: -1 }))).toMatchObject({
			message: expect.stringContaining('deadlineMs must be a positive'),
		})
		expect(await caught(knex.transaction(async () => 1, { label: '' }))).toBeInstanceOf(TypeError)
		await knex.destroy()
	})
})

for (const product of ['postgres', 'mysql', 'mariadb'] as const satisfies readonly Product[]) {
	describe(product, () => {
		const setup = knexGround(product)
		const idOf = product === 'postgres' ? 'select pg_backend_pid() as id' : 'select connection_id() as id'
		const id = async (knex: Knex): Promise<number> => (await knex.first(knex.raw(idOf.replace('select ', '')))).id

		test('the same object comes back, once and again, and its clones of withUserParams are wrapped as well', async () => {
			const bare = makeKnex(await setup.config())
			const knex = holdfast(bare)
			expect(knex).toBe(bare)
			expect(holdfast(knex, { deadlineMs: 1 })).toBe(knex)
			const clone = knex.withUserParams({ a: 1 }) as typeof knex
			expect(clone.userParams).toEqual({ a: 1 })
			expect(holdfast(clone)).toBe(clone)
			await clone.raw('select 1')
			expect(await clone.transaction(async (trx) => trx.userParams)).toEqual({ a: 1 })
			expect(knex.holdfast.stats()).toMatchObject({ attempts: 2, endpoint: { state: 'up' } })
			await knex.transaction(async (trx) => {
				expect(() => holdfast(trx)).toThrow('knex must be an instance, not one of its transactions')
			})
			await knex.destroy()
		})

		test('with enabled: false it is knex’s own pool and transactions', async () => {
			const bare = makeKnex(await setup.config())
			const { pool } = bare.client
			const knex = holdfast(bare, { enabled: false })
			await knex.holdfast.ready()
			expect(knex.client.pool).toBe(pool)
			expect(knex.holdfast.stats()).toMatchObject({ attempts: 0 })
			await knex.destroy()
		})

		test('an instance in use is wrapped: what was lent before goes back to where it came from, and nothing stays open', async () => {
			const bare = makeKnex(await setup.config({ pool: { min: 0, max: 3 } }))
			const lent = await bare.transaction()
			const former = bare.client.pool
			const knex = holdfast(bare)
			await knex.raw('select 1')
			await lent.raw('select 1')
			await lent.commit()
			await until(() => former.numUsed() + former.numFree() === 0, { what: 'the former pool to be empty' })
			await knex.destroy()
		})

		test('min, max and idleTimeoutMillis hold, and the numbers of the pool are there', async () => {
			const knex = await setup.wrapped({ pool: { min: 1, max: 2, idleTimeoutMillis: 50 } })
			expect([knex.client.pool.min, knex.client.pool.max, ...numbers(knex)]).toEqual([1, 2, 0, 0, 0])
			const [one, two] = [await knex.transaction(), await knex.transaction()]
			await Promise.all([one.raw('select 1'), two.raw('select 1')])
			const waiting = id(knex)
			await until(() => knex.client.pool.numPendingAcquires() === 1, { what: 'the third caller to wait' })
			expect(numbers(knex)).toEqual([2, 0, 1])
			await Promise.all([one.commit(), two.commit()])
			await waiting
			await until(() => numbers(knex).join() === '0,1,0', { what: 'one idle connection to be closed' })
			await knex.destroy()
			expect(knex.client.pool).toBeUndefined()
		})

		test('acquireConnectionTimeout and pool.acquireTimeoutMillis limit the wait for a busy pool, the smaller of both', async () => {
			for (const config of [
				{ pool: { min: 0, max: 1, acquireTimeoutMillis: 30 }, acquireConnectionTimeout: 60_000 },
				{ pool: { min: 0, max: 1 }, acquireConnectionTimeout: 30 },
			]) {
				const knex = await setup.wrapped(config)
				const held = await knex.transaction()
				const error = await caught(knex.raw('select 1'))
				expect(error).toBeInstanceOf(makeKnex.KnexTimeoutError)
				expect(error).toMatchObject({ sql: 'select 1' })
				await held.rollback()
				expect(await id(knex)).toBeGreaterThan(0)
				await knex.destroy()
			}
		})

		test('afterCreate is run once on each new connection before anybody has it, and its error is the caller’s', async () => {
			const seen: unknown[] = []
			const knex = await setup.wrapped({
				pool: {
					min: 0,
					max: 2,
					afterCreate: (
						connection: { __knexUid: unknown; query(sql: string, done: (error: unknown) => void): void },
						done: (error: unknown, connection: unknown) => void,
					) => {
						seen.push(typeof connection.__knexUid)
						connection.query(product === 'postgres' ? "set application_name = 'made by hook'" : "set @made = 'made by hook'", (error) =>
							done(error, connection),
						)
					},
				},
			})
			const ask = knex.raw(
				product === 'postgres' ? 'current_setting(?) as v' : '@made as v',
				product === 'postgres' ? ['application_name'] : [],
			)
			expect(await knex.first(ask)).toEqual({ v: 'made by hook' })
			await knex.transaction(async (trx) => void (await trx.raw('select 1')))
			expect(seen).toEqual(['string'])
			await knex.destroy()
			const broken = await setup.wrapped({
				pool: { min: 0, max: 1, afterCreate: (_: unknown, done: (error: unknown) => void) => done(new Error('the hook’s own')) },
			})
			expect(await caught(broken.raw('select 1'))).toMatchObject({ message: 'the hook’s own' })
			expect(numbers(broken)).toEqual([0, 0, 0])
			await broken.destroy()
		})

		test('validate is asked before a connection is used again; what it refuses is replaced', async () => {
			const refused = new Set<unknown>()
			const validate = vi.fn((connection: object) => !refused.has(connection))
			const knex = await setup.wrapped({ pool: { min: 0, max: 2, validate } as Knex.PoolConfig })
			const first = await id(knex)
			expect(await id(knex)).toBe(first)
			expect(validate).toHaveBeenCalled()
			refused.add(validate.mock.lastCall?.[0])
			const second = await id(knex)
			expect(second).not.toBe(first)
			expect(await knex.transaction(async (trx) => id(trx as unknown as Knex))).toBe(second)
			expect(numbers(knex)).toEqual([0, 1, 0])
			await knex.destroy()
		})

		test('connection may be a function; what it gave is used until its expirationChecker says otherwise', async () => {
			const { connection } = await setup.config()
			let expired = false
			const provide = vi.fn(async () => ({ ...(connection as object), expirationChecker: () => expired }))
			const scheduler = createScheduler()
			const knex = holdfast(makeKnex({ client: product === 'postgres' ? 'pg' : 'mysql2', connection: provide, pool: { min: 0, max: 1 } }), {
				scheduler,
			})
			expect(provide).not.toHaveBeenCalled()
			expect(knex.holdfast.stats()).toMatchObject({ attempts: 0, endpoint: { state: 'suspect' } })
			const first = await id(knex)
			expect([await id(knex), provide.mock.calls.length]).toEqual([first, 1])
			const { host, port } = connection as { host: string; port: number }
			expect(knex.holdfast.stats().endpoint.address).toBe(`${host}:${port}`)
			expired = true
			provide.mockImplementation(async () => {
				expired = false
				return { ...(connection as object), expirationChecker: () => expired }
			})
			const second = await id(knex)
			expect(second).not.toBe(first)
			expect([await id(knex), provide.mock.calls.length]).toEqual([second, 2])
			provide.mockRejectedValue(new Error('no secret to be had'))
			expired = true
			expect(await caught(id(knex))).toMatchObject({ message: 'no secret to be had' })
			await knex.destroy()
		})

		test('what a connection function hides from enumeration, as knex does with passwords, is used all the same', async () => {
			const connection = (await setup.config()).connection as { database: string }
			const hiding = () => Object.defineProperty({ ...connection }, 'database', { value: connection.database, enumerable: false })
			const knex = holdfast(makeKnex({ client: product === 'postgres' ? 'pg' : 'mysql2', connection: hiding, pool: { min: 0, max: 1 } }), {
				scheduler: createScheduler(),
			})
			const [row] = await knex.select(knex.raw(product === 'postgres' ? 'current_database() AS name' : 'database() AS name'))
			expect(row.name).toBe(connection.database)
			await knex.destroy()
		})

		test('a connection string works as before', async () => {
			const { connection } = await setup.config()
			const { host, port, user, password = '', database } = connection as Record<string, string>
			const url = `${product === 'postgres' ? 'postgres' : 'mysql'}://${user}:${password}@${host}:${port}/${database}`
			const knex = holdfast(makeKnex({ client: product === 'postgres' ? 'pg' : 'mysql2', connection: url }))
			expect(await id(knex)).toBeGreaterThan(0)
			await knex.destroy()
		})

		test('destroy ends it, initialize begins it anew, wrapped as before', async () => {
			const knex = await setup.wrapped()
			const first = await id(knex)
			await knex.destroy()
			expect(await caught(id(knex))).toMatchObject({ message: 'Unable to acquire a connection' })
			expect(await caught(knex.transaction(async () => 1))).toMatchObject({ message: 'Unable to acquire a connection' })
			knex.initialize()
			expect(await id(knex)).not.toBe(first)
			expect(knex.holdfast.stats()).toMatchObject({ attempts: 1 })
			await new Promise((resolve) => knex.destroy(resolve as () => void))
			await knex.destroy()
		})

		test('connections are asked for and given back by hand, once and again', async () => {
			const knex = await setup.wrapped({ pool: { min: 0, max: 1 } })
			const connection = await knex.client.acquireConnection()
			expect(numbers(knex)).toEqual([1, 0, 0])
			await knex.client.releaseConnection(connection)
			await knex.client.releaseConnection(connection)
			await until(() => knex.client.pool.numFree() === 1, { what: 'the connection to be back' })
			expect(await id(knex)).toBeGreaterThan(0)
			await knex.destroy()
		})

		test('a signal ends a statement’s wait, and remembers none that are over', async () => {
			const knex = await setup.wrapped({ pool: { min: 0, max: 1 } })
			const stop = new AbortController()
			for (let call = 0; call < 3; call++) await knex.raw('select 1').timeout(5_000).options({ signal: stop.signal })
			expect(getEventListeners(stop.signal, 'abort')).toEqual([])
			const held = await knex.transaction()
			const waiting = [
				caught(knex.raw('select 1').options({ signal: stop.signal })),
				caught(knex.raw('select 1').timeout(5_000).options({ signal: stop.signal })),
			]
			await until(() => knex.client.pool.numPendingAcquires() === 2, { what: 'both callers to wait' })
			stop.abort(new Error('changed my mind'))
			for (const error of await Promise.all(waiting)) expect(error).toMatchObject({ message: 'changed my mind' })
			await held.rollback()
			await knex.destroy()
		})

		test('instances and pools of one server share its gate', async () => {
			const scheduler = createScheduler()
			const [one, two] = [await setup.wrapped({}, { scheduler }), await setup.wrapped({}, { scheduler })]
			await one.raw('select 1')
			expect(two.holdfast.stats().endpoint).toEqual(one.holdfast.stats().endpoint)
			await Promise.all([one.destroy(), two.destroy()])
		})

		test('a native pool given as connectionPool is wrapped in place, and stays its owner’s', async () => {
			const { connection } = await setup.config()
			const pool = product === 'postgres' ? new pg.Pool(connection as pg.PoolConfig) : mysql.createPool(connection as mysql.PoolOptions)
			const knex = holdfast(makeKnex({ client: product === 'postgres' ? 'pg' : 'mysql2', connectionPool: pool } as unknown as Knex.Config))
			expect('holdfast' in pool).toBe(true)
			await knex.schema.createTable('t', (t) => void t.increments())
			await knex.transaction(async (trx) => void (await trx('t').insert({})))
			for await (const row of knex('t').stream()) expect(row).toEqual({ id: 1 })
			expect(await knex('t').count('* as n').first()).toMatchObject({ n: expect.anything() })
			await knex.destroy()
			if (pool instanceof pg.Pool) {
				expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
				expect(wrapPool(pool)).toBe(pool)
				await pool.end()
			} else {
				expect(
					await new Promise((resolve, reject) => pool.query('select 1 as one', (error, rows) => (error ? reject(error) : resolve(rows)))),
				).toEqual([{ one: 1 }])
				await new Promise((resolve) => pool.end(resolve))
			}
		})
	})
}

describe('PostgreSQL', () => {
	const setup = knexGround('postgres')

	test('searchPath holds on every connection', async () => {
		const knex = await setup.wrapped({ searchPath: ['one', 'public'], pool: { min: 0, max: 2 } })
		await knex.raw('create schema one')
		await knex.schema.createTable('t', (t) => void t.increments())
		expect(await knex.schema.withSchema('one').hasTable('t')).toBe(true)
		const both = await Promise.all(
			[1, 2].map(() => knex.transaction(async (trx) => (await trx.raw('show search_path')).rows[0].search_path)),
		)
		expect(both).toEqual(['one, public', 'one, public'])
		await knex.destroy()
	})
})
