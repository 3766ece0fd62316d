/** A pooler gives each transaction another session, and with it other prepared statements: does anybody notice? PgBouncer, transaction mode. */
import { createScheduler } from 'holdfast'
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { until } from '../support/until.ts'
import { onStage } from './on-stage.ts'

const at = onStage()
let bouncer: PgBouncer
beforeAll(async () => {
	// Before 1.21 it knows nothing of prepared statements.
	bouncer = await startPgBouncer(at.server, 3)
})
afterAll(() => bouncer?.stop())

const pools = (count: number) => {
	const scheduler = createScheduler()
	return Array.from({ length: count }, () => holdfast(new pg.Pool({ ...bouncer.config(), max: 5 }), { scheduler }))
}
const leave = async (all: ReturnType<typeof pools>) => {
	for (const pool of all) await pool.end()
	await until(async () => (await bouncer.console('SHOW CLIENTS')).length === 1, { what: 'no client to be left at the pooler' })
}
const add = (id: number) => ({ name: 'add', text: 'INSERT INTO written VALUES ($1)', values: [id] })
const read = { name: 'read', text: 'SELECT count(*)::int AS n FROM written' }

test('bare pg fails with names behind this pooler: what follows is worth something', async () => {
	const pool = new pg.Pool({ ...bouncer.config(), max: 5 })
	const results = await Promise.allSettled(Array.from({ length: 60 }, (_, id) => pool.query(add(id))))
	const codes = new Set(results.flatMap((result) => (result.status === 'rejected' ? [result.reason.code] : [])))
	await pool.end()
	expect([...codes].some((code) => code === '26000' || code === '42P05')).toBe(true)
})

test('named statements of several pools get no error, and every write is applied once', async () => {
	const all = pools(3)
	const ids = Array.from({ length: 300 }, (_, id) => id)
	await Promise.all(ids.map((id) => all[id % 3]?.query(add(id))))
	await Promise.all(ids.map((id) => all[id % 3]?.query(read)))
	expect((await at.ask<{ id: number }>('SELECT id FROM written ORDER BY id')).map(({ id }) => id)).toEqual(ids)
	for (const pool of all) expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, endpoint: { outages: 0 } })
	// A pool that has learnt that names mean nothing here sends none any more.
	const learnt = all.map((pool) => pool.holdfast.stats().retries)
	await Promise.all(ids.map((id) => all[id % 3]?.query(read)))
	expect(all.map((pool) => pool.holdfast.stats().retries)).toEqual(learnt)
	await leave(all)
})

test('transactions with named statements run again, and every one is committed once', async () => {
	const all = pools(3)
	const ids = Array.from({ length: 90 }, (_, id) => id)
	await Promise.all(
		ids.map((id) =>
			all[id % 3]?.transaction(async (tx) => {
				await tx.query(read)
				await tx.query(add(id))
			}),
		),
	)
	expect((await at.ask<{ id: number }>('SELECT id FROM written ORDER BY id')).map(({ id }) => id)).toEqual(ids)
	for (const pool of all) expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, endpoint: { outages: 0 } })
	await leave(all)
})
