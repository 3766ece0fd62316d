/** What does an SQL error in pool.query cost? No retry, no connection, and not a field of the error. */
import type { EventEmitter } from 'node:events'
import { retryReport } from 'holdfast'
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import { expect, test } from 'vitest'
import { fill } from '../support/fill.ts'
import { noRetries } from '../support/no-retries.ts'
import { startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'
import { ending, ground, seen } from './side-by-side.ts'

const setup = ground()
const { both } = setup
const pids = async (pool: pg.Pool) => (await pool.query('select pg_backend_pid() as pid')).rows

const errors: Record<string, string> = {
	'a division by zero': 'select 1/0',
	'a syntax error': 'selec 1',
	'an unknown table': 'select * from no_such_table',
	'a broken constraint': 'insert into pg_temp.checked values (-1)',
	'an error with detail, hint and context': "do $$ begin raise 'm' using detail = 'd', hint = 'h', errcode = 'P0007'; end $$",
	'a cancelled statement': 'select pg_cancel_backend(pg_backend_pid())',
	'a lock that NOWAIT did not get': "do $$ begin raise exception using errcode = '55P03', message = 'could not obtain lock on row'; end $$",
}

for (const [what, sql] of Object.entries(errors)) {
	test(`${what} reaches the caller as pg made it, after one attempt, and the connection lives on`, async () => {
		const { bare, wrapped } = await both((pool) => ending(() => pool.query(sql)))
		expect(wrapped).toEqual(bare)
		const pool = setup.wrapped({ max: 1 })
		const before = await pids(pool)
		const made: unknown[] = []
		const client = await pool.connect()
		const { connection } = client as pg.PoolClient & { connection: EventEmitter }
		connection.on('errorMessage', (message) => made.push(message))
		client.release()
		const error = await pool.query(sql).catch((thrown: unknown) => thrown)
		expect(error).toBe(made[0])
		expect(error).toBeInstanceOf(pg.DatabaseError)
		expect(retryReport(error)?.attempts ?? 1).toBe(1)
		expect(await pids(pool)).toEqual(before)
		expect(pool.holdfast.stats()).toMatchObject({ retries: noRetries, discarded: 0, inDoubt: 0, outages: 0 })
	})
}

test('the error arrives before the server says that it is ready again, and the connection is kept for when it does', async () => {
	const proxy = await startProxy({ target: setup.server })
	const pool = holdfast(new pg.Pool(setup.config({ host: proxy.host, port: proxy.port, max: 1 })))
	const before = await pids(pool)
	let letGo = () => {}
	const held = new Promise<void>((resolve) => {
		letGo = resolve
	})
	proxy.intercept({ from: 'server', match: ({ type }) => type === 'ReadyForQuery', action: 'pass', onHit: () => held })
	const error = await pool.query('select 1/0').catch((thrown: unknown) => thrown)
	expect(seen(error)).toMatchObject({ code: '22012' })
	expect(pool.idleCount).toBe(0)
	letGo()
	await until(() => pool.idleCount === 1, { what: 'the connection to come back' })
	expect(await pids(pool)).toEqual(before)
	await pool.end()
	await proxy.close()
})

test('many errors at once leave as many connections as there were', async () => {
	const pool = setup.wrapped({ max: 4 })
	await fill(4, () => pool.connect())
	const results = await Promise.allSettled(Array.from({ length: 100 }, (_, at) => pool.query(at % 2 ? 'select 1/0' : 'select 1')))
	expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(50)
	await until(() => pool.idleCount === pool.totalCount, { what: 'all connections to be idle' })
	expect(pool.totalCount).toBe(4)
	expect(pool.holdfast.stats()).toMatchObject({ discarded: 0, endpoint: { state: 'up' } })
})
