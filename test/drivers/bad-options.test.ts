/** Does a bad option of hosts, reads and watching fail at the call, by name, rule and value, whatever the driver, and before anything is touched? */
import { holdfast as holdfastKnex } from 'holdfast/knex'
import { holdfast as holdfastMysql } from 'holdfast/mysql2'
import { holdfast as holdfastPg } from 'holdfast/pg'
import makeKnex from 'knex'
import callbackMysql from 'mysql2'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { caught } from '../support/caught.ts'

// Nobody answers at this address: whatever asks a server fails otherwise than by its options.
const nowhere = { host: '127.0.0.1', port: 1 }

type Wrapped = { query(...given: unknown[]): unknown }
const drivers: ReadonlyArray<
	readonly [name: string, make: () => object, wrap: (pool: never, options: never) => unknown, end: (pool: never) => unknown]
> = [
	['pg', () => new pg.Pool(nowhere), holdfastPg, (pool: pg.Pool) => pool.end()],
	['mysql2, promises', () => mysql.createPool(nowhere), holdfastMysql, (pool: mysql.Pool) => pool.end()],
	['mysql2, callbacks', () => callbackMysql.createPool(nowhere), holdfastMysql, (pool: callbackMysql.Pool) => pool.end()],
	['knex', () => makeKnex({ client: 'pg', connection: nowhere }), holdfastKnex, (knex: { destroy(): unknown }) => knex.destroy()],
]

const many = 'a positive number of milliseconds (false for never)'
const bad: ReadonlyArray<readonly [options: object, kind: typeof TypeError | typeof RangeError, message: string]> = [
	...(['halfOpenAfterMs', 'checkIdleAfterMs'] as const).flatMap(
		(name) =>
			[
				[{ [name]: 0 }, RangeError, `${name} must be ${many}, got 0`],
				[{ [name]: -1 }, RangeError, `${name} must be ${many}, got -1`],
				[{ [name]: Number.NaN }, RangeError, `${name} must be ${many}, got NaN`],
				[{ [name]: Number.POSITIVE_INFINITY }, RangeError, `${name} must be ${many}, got Infinity`],
				[{ [name]: '2s' }, TypeError, `${name} must be ${many}, got "2s"`],
				[{ [name]: true }, TypeError, `${name} must be ${many}, got true`],
				[{ [name]: null }, TypeError, `${name} must be ${many}, got null`],
			] as const,
	),
	[{ hosts: 'db1' }, TypeError, 'hosts must be an array of one or more of \'host:port\' or { host, port }, got "db1"'],
	[{ hosts: [] }, TypeError, "hosts must be an array of one or more of 'host:port' or { host, port }, got an array of 0"],
	[{ hosts: null }, TypeError, "hosts must be an array of one or more of 'host:port' or { host, port }, got null"],
	[{ hosts: [5432] }, TypeError, "hosts[0] must be 'host:port' or { host, port }, got 5432"],
	[{ hosts: ['db1', { host: 'db2', port: 70_000 }] }, RangeError, 'hosts[1].port must be a whole number from 1 to 65535, got 70000'],
	[{ hosts: [{ host: 'db1', port: '1' }] }, TypeError, 'hosts[0].port must be a whole number from 1 to 65535, got "1"'],
	[{ hosts: [{ host: 'db1', weight: 2 }] }, TypeError, 'hosts[0]: unknown option weight; known are host, port'],
	[{ hosts: ['db1', 'DB1'] }, RangeError, 'hosts must name each server once, but hosts[0] and hosts[1] are the same'],
	[{ target: 'any' }, TypeError, 'target needs hosts: with one address there is nothing to choose from, got "any"'],
	[{ hosts: ['db1'], target: 'master' }, TypeError, "target must be one of 'primary', 'prefer-replica', 'any', got \"master\""],
	[{ hosts: ['db1'], target: 1 }, TypeError, "target must be one of 'primary', 'prefer-replica', 'any', got 1"],
	[{ onConnect: 'SET a = 1' }, TypeError, 'onConnect must be a function, got a string of 9 characters'],
	[{ host: ['db1'] }, TypeError, 'holdfast: unknown option host; known are scheduler, '],
]

describe.each(drivers)('%s', (_name, make, wrap, end) => {
	test.each(bad)('%o is refused', async (options, kind, message) => {
		const pool = make() as never
		const before = Object.getOwnPropertyNames(pool)
		expect(() => wrap(pool, options as never)).toThrow(kind)
		expect(() => wrap(pool, options as never)).toThrow(message)
		expect(Object.getOwnPropertyNames(pool)).toEqual(before)
		await end(pool)
	})

	test('a connection string in the wrong place is not shown', async () => {
		const pool = make() as never
		const url = 'postgres://me:sesame@db1'
		for (const options of [{ hosts: url }, { hosts: [url] }, { hosts: [{ host: url }] }, { halfOpenAfterMs: url }, { target: url }]) {
			const error = await caught(Promise.resolve().then(() => wrap(pool, options as never)))
			expect(error).toBeInstanceOf(TypeError)
			expect(String(error)).not.toContain('sesame')
		}
		await end(pool)
	})
})

const badReads: ReadonlyArray<readonly [options: object, kind: typeof TypeError | typeof RangeError, message: string]> = [
	[{ target: 'replicas' }, TypeError, "target must be one of 'primary', 'replica', got \"replicas\""],
	[{ target: 'replica', maxLagMs: 0 }, RangeError, 'maxLagMs must be a positive number of milliseconds, got 0'],
	[{ target: 'replica', maxLagMs: '1s' }, TypeError, 'maxLagMs must be a positive number of milliseconds, got "1s"'],
	[{ target: 'replica', readYourWrites: 1 }, TypeError, 'readYourWrites must be true or false, got 1'],
	[{ maxLagMs: 500 }, TypeError, "maxLagMs and readYourWrites need target: 'replica', got 500 with undefined"],
	[{ target: 'primary', readYourWrites: true }, TypeError, 'maxLagMs and readYourWrites need target: \'replica\', got true with "primary"'],
]

describe.each(drivers.filter(([name]) => name !== 'knex'))('%s, the pool at hand', (name, make, wrap, end) => {
	// knex may not know its port before it connects.
	test('the same server twice, once by the pool’s own port', async () => {
		const pool = make() as never
		expect(() => wrap(pool, { hosts: ['db1', 'db1:1'] } as never)).toThrow(
			new RangeError('hosts must name each server once, but hosts[0] and hosts[1] are the same'),
		)
		await end(pool)
	})

	test.each(badReads)('%o is refused', async (options, kind, message) => {
		const pool = wrap(make() as never, { hosts: ['127.0.0.1'], deadlineMs: 50 } as never) as Wrapped
		const statement = { [name === 'pg' ? 'text' : 'sql']: 'SELECT 1', ...options }
		const answer = new Promise((resolve, reject) => {
			const done = (error: unknown) => (error ? reject(error) : resolve('an answer'))
			Promise.resolve(name === 'mysql2, callbacks' ? pool.query(statement, done) : pool.query(statement)).catch(reject)
		})
		const error = await caught(answer)
		expect(error).toBeInstanceOf(kind)
		expect((error as Error).message).toBe(message)
		await end(pool as never)
	})

	test('a replica of a pool with one address', async () => {
		const pool = wrap(make() as never, { deadlineMs: 50 } as never) as Wrapped
		const statement = { [name === 'pg' ? 'text' : 'sql']: 'SELECT 1', target: 'replica' }
		const answer = new Promise((resolve, reject) => {
			const done = (error: unknown) => (error ? reject(error) : resolve('an answer'))
			Promise.resolve(name === 'mysql2, callbacks' ? pool.query(statement, done) : pool.query(statement)).catch(reject)
		})
		await expect(answer).rejects.toThrow(new TypeError("target: 'replica' needs a pool with hosts"))
		await end(pool as never)
	})
})
