/** What becomes of `pool.listen` behind PgBouncer? In session mode it works; in transaction mode, where it cannot, its caller is told. */
import { createScheduler, HoldfastError } from 'holdfast'
import { holdfast, type Notification } from 'holdfast/pg'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { accidentMark } from '../support/leaks.ts'
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { until } from '../support/until.ts'
import { type Stage, stage } from './stage.ts'

let at: Stage
const bouncers: PgBouncer[] = []
const accidents = accidentMark()
beforeAll(async () => {
	at = await stage()
})
afterEach(() => accidents.assertNone())
afterAll(async () => {
	accidents.stop()
	for (const bouncer of bouncers) await bouncer.stop()
	await at.close()
})

async function through(mode: 'transaction' | 'session', poolSize: number) {
	const bouncer = await startPgBouncer(at.server, poolSize, mode)
	bouncers.push(bouncer)
	const scheduler = createScheduler({ probeTimeoutMs: 500 })
	const pool = holdfast(new pg.Pool(bouncer.config()), { scheduler, listenCheckMs: 20 })
	return {
		pool,
		end: async () => {
			await pool.end()
			expect(scheduler.stats().waits).toBe(0)
			await until(async () => (await bouncer.console('SHOW CLIENTS')).length === 1, { what: 'no client to be left at the pooler' })
		},
	}
}

test.each([1, 5])('in transaction mode listen is refused with the way out, not taken in silence (%i server connections)', async (size) => {
	const { pool, end } = await through('transaction', size)
	await Promise.all(Array.from({ length: 20 }, () => pool.query('SELECT pg_sleep(0.01)')))
	const error = await pool.listen('jobs', () => {}).catch((thrown: unknown) => thrown)
	expect(error).toBeInstanceOf(HoldfastError)
	expect(error).toMatchObject({ code: 'HOLDFAST_POOLER', message: expect.stringContaining('pool_mode = session') })
	await end()
})

test('in transaction mode, with others at work, its caller is told at once or by one of the next checks', async () => {
	const { pool, end } = await through('transaction', 5)
	const state = { busy: true }
	const others = Array.from({ length: 10 }, async () => {
		while (state.busy) await pool.query('SELECT pg_sleep(0.001)')
	})
	const error = await new Promise((resolve) => {
		pool.listen('jobs', () => {}, { onError: resolve }).catch(resolve)
	})
	expect(error).toMatchObject({ code: 'HOLDFAST_POOLER' })
	state.busy = false
	await Promise.all(others)
	await end()
})

test.each([1, 5])('in session mode notifications arrive (%i server connections)', async (size) => {
	const { pool, end } = await through('session', size)
	const heard: Notification[] = []
	await pool.listen('jobs', (notification) => heard.push(notification))
	await at.ask("SELECT pg_notify('jobs', 'here')")
	await until(() => heard.length === 1, { what: 'the notification' })
	await end()
})
