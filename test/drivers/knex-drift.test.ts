/** Do the parts of knex that the wrapper relies on still exist, with the meaning that it relies on? See drivers/knex/shape.ts and graft.ts. */
import { EventEmitter } from 'node:events'
import makeKnex, { type Knex } from 'knex'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { KnexClient, KnexConnection, KnexInstance, Transactor } from '../../drivers/knex/shape.ts'
import { type KnexGround, knexGround } from './knex-side-by-side.ts'

const setup: KnexGround = knexGround('postgres')
let knex: Knex
let instance: KnexInstance
let client: KnexClient
beforeAll(async () => {
	knex = makeKnex(
		await setup.config({
			pool: {
				min: 0,
				max: 2,
				afterCreate: (connection: unknown, done: (error: unknown, connection: unknown) => void) => done(null, connection),
			},
		}),
	)
	instance = knex as unknown as KnexInstance
	client = instance.client
})
afterAll(() => knex?.destroy())

/** A connection that notes what it is sent and answers everything. */
function noting(sent: string[]): KnexConnection {
	return {
		query: (config: unknown, callback: unknown) => {
			sent.push((config as { text: string }).text)
			;(callback as (error: unknown, result: unknown) => void)(null, { command: 'X', rows: [], rowCount: 0 })
		},
	}
}

test('an instance is a function with a client, and a context on which its methods are called', () => {
	expect(typeof knex).toBe('function')
	expect(instance.context.client).toBe(client)
	for (const name of ['_transaction', 'withUserParams', 'transaction'] as const)
		expect(typeof (instance.context as unknown as Record<string, unknown>)[name], name).toBe('function')
	expect(client.driverName).toBe('pg')
	expect(makeKnex({ client: 'mysql2' }).client.driverName).toBe('mysql2')
})

test('the context’s _transaction gets the function or nothing, and the config; inside a transaction also the outer one', async () => {
	const { context } = instance
	const { _transaction } = context
	const seen: unknown[] = []
	context._transaction = function (container, config, outer) {
		seen.push([typeof container, typeof config, outer === undefined || outer === null])
		return _transaction.call(this, container, config, outer)
	}
	try {
		await knex.transaction(async (trx) => {
			await trx.transaction(async () => 1)
		})
		await (await knex.transaction()).rollback()
		await (await knex.transactionProvider()()).rollback()
		await knex.batchInsert('pg_class', [] as never)
	} finally {
		context._transaction = _transaction
	}
	// A transaction's handle has a context of its own, so that its savepoints do not come here.
	expect(seen).toEqual([
		['function', 'object', true],
		['undefined', 'object', true],
		['undefined', 'object', true],
		['function', 'object', true],
	])
})

test('withUserParams makes a clone with a context of its own; class instances of the client are shared, not copied', () => {
	class Kept {}
	const kept = new Kept()
	Object.assign(client, { kept })
	const clone = knex.withUserParams({}) as unknown as KnexInstance & { extra?: unknown }
	expect(clone.context).not.toBe(instance.context)
	expect(clone.client).not.toBe(client)
	expect((clone.client as unknown as { kept: unknown }).kept).toBe(kept)
	expect(Object.getPrototypeOf(clone.client)).toBe(client.constructor.prototype)
	Object.assign(client, { kept: undefined })
})

test('the client of a transaction is made from the prototype of the client’s class, and holds one connection', async () => {
	await knex.transaction(async (trx) => {
		const inner = trx.client as unknown as KnexClient
		expect(Object.getPrototypeOf(inner)).toBe(client.constructor.prototype)
		expect(inner.transacting).toBe(true)
		expect(inner.pool).toBeUndefined()
		expect(await inner.acquireConnection()).toBe(await inner.acquireConnection())
	})
})

test('the client makes a runner for each builder; it gets its connection in ensureConnection, and several statements go through queryArray', async () => {
	const runner = client.runner(knex.select(knex.raw('1')))
	expect(runner.client).toBe(client)
	for (const name of ['ensureConnection', 'queryArray'] as const)
		expect(Object.hasOwn(Object.getPrototypeOf(runner), name), name).toBe(true)
	let inside: unknown
	await runner.ensureConnection((given) => {
		inside = [given === runner, typeof given.connection?.query]
	}, undefined)
	expect(inside).toEqual([true, 'function'])
	const arrays: number[] = []
	const schema = client.runner(knex.schema.raw('select 1').raw('select 2'))
	const { queryArray } = schema
	schema.queryArray = function (queries) {
		arrays.push(queries.length)
		return queryArray.call(this, queries)
	}
	await (schema as unknown as { run(): Promise<unknown> }).run()
	expect(arrays[0]).toBe(2)
})

test('a builder keeps its options, its timeout and its connection in _options, _timeout and _connection', () => {
	const connection = noting([])
	const builder = knex('t').options({ idempotent: true }).options({ label: 'x' }).timeout(5).connection(connection) as unknown as Record<
		string,
		unknown
	>
	expect([builder._options, builder._timeout, builder._connection]).toEqual([[{ idempotent: true }, { label: 'x' }], 5, connection])
})

test('options of a builder reach the driver’s connection in the config of the query', async () => {
	let seen: unknown
	const connection = noting([])
	const { query } = connection
	connection.query = (config, callback) => {
		seen = config
		return query(config, callback)
	}
	await knex('t').options({ idempotent: true }).connection(connection)
	expect(seen).toMatchObject({ text: 'select * from "t"', values: [], idempotent: true })
})

test('a transaction on a given connection sends BEGIN first, COMMIT; or ROLLBACK last, and never gives it back', async () => {
	for (const [end, expected] of [
		['commit', ['BEGIN;', 'select * from "t"', 'COMMIT;']],
		['rollback', ['BEGIN;', 'select * from "t"', 'ROLLBACK']],
	] as const) {
		const sent: string[] = []
		const connection = noting(sent)
		let handle: Transactor | undefined
		const run = client.transaction(
			(transactor) => {
				handle = transactor
				return undefined
			},
			{ connection, doNotRejectOnRollback: true } as object,
			null,
		)
		expect(run).toBeInstanceOf(EventEmitter)
		await expect.poll(() => handle).toBeDefined()
		expect(run.isCompleted()).toBe(false)
		await (handle as unknown as Knex)('t').select()
		await handle?.[end]()
		await run
		expect(run.isCompleted()).toBe(true)
		expect(sent).toEqual(expected)
	}
	const isolated: string[] = []
	await client.transaction(async () => 1, { connection: noting(isolated), isolationLevel: 'serializable', readOnly: true }, null)
	expect(isolated).toEqual(['BEGIN TRANSACTION ISOLATION LEVEL serializable READ ONLY;', 'COMMIT;'])
})

test('the transactor’s rollback is its own property: what the function does on a failure goes through it', async () => {
	const sent: string[] = []
	let told: unknown
	const run = client.transaction(
		async (transactor) => {
			const { rollback } = transactor
			transactor.rollback = (error) => {
				told = error
				return rollback(error)
			}
			throw new Error('mine')
		},
		{ connection: noting(sent) },
		null,
	)
	await expect(Promise.resolve(run)).rejects.toThrow('mine')
	expect([(told as Error).message, sent]).toEqual(['mine', ['BEGIN;', 'ROLLBACK']])
})

test('the pool is an object with acquire, release and destroy, which an external one may replace; _ownsPool says whose it is', async () => {
	const another = makeKnex(await setup.config())
	const calls: unknown[] = []
	const connection = noting([])
	const mine = another.client as KnexClient
	expect(mine._ownsPool).toBe(true)
	const former = mine.pool as { isEmpty(): boolean; destroy(): Promise<void>; release(connection: unknown): boolean }
	expect([former.isEmpty(), former.release(connection)]).toEqual([true, false])
	mine.pool = {
		acquire: () => ({ promise: Promise.resolve(connection) }),
		release: (given: unknown) => calls.push(['release', given === connection]),
		destroy: async () => void calls.push(['destroy']),
	}
	await another('t').select()
	await another.destroy()
	expect(calls).toEqual([['release', true], ['destroy']])
	expect(mine.pool).toBeUndefined()
	await expect(another.raw('select 1')).rejects.toThrow('Unable to acquire a connection')
	await former.destroy()
})

test('getPoolSettings tells min, max, the smaller time limit, and how to validate; knex’s defaults are 2, 10 and 60 seconds', async () => {
	expect(client.getPoolSettings(undefined)).toMatchObject({ min: 2, max: 10, acquireTimeoutMillis: 60_000 })
	const settings = client.getPoolSettings({ max: 3, acquireTimeoutMillis: 7, validate: () => false } as never)
	expect(settings).toMatchObject({ max: 3, acquireTimeoutMillis: 7 })
	expect(await settings.validate(noting([]))).toBe(false)
	expect(await client.getPoolSettings({ max: 3 }).validate(noting([]))).toBe(true)
	expect(await client.getPoolSettings({ max: 3 }).validate({ ...noting([]), __knex__disposed: new Error('x') })).toBe(false)
})

test('a function given as connection is kept in connectionConfigProvider, with a checker that says expired until it was asked', () => {
	const provide = () => ({ host: 'one' })
	const { client: made } = makeKnex({ client: 'pg', connection: provide }) as unknown as KnexInstance
	expect(made.connectionConfigProvider).toBe(provide)
	expect(made.connectionConfigExpirationChecker?.()).toBe(true)
	expect(client.connectionConfigProvider).toBeUndefined()
	expect(client.connectionSettings).toMatchObject({ host: setup.server && expect.any(String) })
})

test('the driver’s own package is in client.driver: pg with Pool and Client, mysql2 with createPool', () => {
	expect(client.driver).toMatchObject({ Pool: expect.any(Function), Client: expect.any(Function) })
	const { client: made } = makeKnex({ client: 'mysql2', connection: { host: 'x' } }) as unknown as KnexInstance
	expect(made.driver).toMatchObject({ createPool: expect.any(Function) })
})

test('a statement that exceeds its timeout marks its connection as disposed; with cancel the client is asked for it', async () => {
	const never: KnexConnection = { query: () => {} }
	await expect(Promise.resolve(knex.raw('select 1').timeout(5).connection(never))).rejects.toBeInstanceOf(makeKnex.KnexTimeoutError)
	expect(never.__knex__disposed).toBeInstanceOf(makeKnex.KnexTimeoutError)
	const cancelled: unknown[] = []
	const { cancelQuery } = client
	client.cancelQuery = async (connection) => void cancelled.push(connection)
	try {
		await expect(Promise.resolve(knex.raw('select 1').timeout(5, { cancel: true }).connection(never))).rejects.toThrow(
			'Defined query timeout',
		)
	} finally {
		client.cancelQuery = cancelQuery
	}
	expect(cancelled).toEqual([never])
})

test('knex writes the statement in front of an error’s message, by assigning to it', async () => {
	const error = new Error('from below')
	const connection: KnexConnection = { query: (_config, callback) => void (callback as (error: unknown) => void)(error) }
	await expect(Promise.resolve(knex('t').connection(connection))).rejects.toBe(error)
	expect(error.message).toBe('select * from "t" - from below')
})

test('knex.migrate makes a migrator at each access, whose _getLock uses _lockMigrations and knex.transaction and keeps the text of an error only', async () => {
	const property = Object.getOwnPropertyDescriptor(knex, 'migrate')
	expect([typeof property?.get, property?.configurable]).toEqual(['function', true])
	const migrator = knex.migrate as unknown as {
		_getLock(trx?: unknown): Promise<unknown>
		_lockMigrations(trx: unknown): Promise<unknown>
		knex: unknown
	}
	expect(knex.migrate).not.toBe(migrator)
	const cause = new Error('the cause')
	Object.defineProperty(migrator, 'knex', { value: { transaction: () => Promise.reject(cause) } })
	await expect(migrator._getLock()).rejects.toMatchObject({ name: 'MigrationLocked', message: 'the cause' })
	migrator._lockMigrations = () => Promise.reject(cause)
	await expect(migrator._getLock({})).rejects.toMatchObject({ name: 'MigrationLocked', message: 'the cause' })
})
