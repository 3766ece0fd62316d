/** What becomes of `pool.listen` behind PgBouncer? In session mode it works; in transaction mode, where it cannot, its caller is told. */
import { createScheduler, HoldfastError } from 'holdfast'
import { type HoldfastOptions, holdfast, type Notification } from 'holdfast/pg'
import pg from 'pg'
import { afterAll, expect, test } from 'vitest'
import { meeting } from '../support/meeting.ts'
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { staged } from '../support/staged.ts'
import { until } from '../support/until.ts'
import { stage } from './stage.ts'

const at = staged(stage)
const bouncers: PgBouncer[] = []
afterAll(async () => {
	for (const bouncer of bouncers) await bouncer.stop()
})

async function through(mode: 'transaction' | 'session', poolSize: number, options: HoldfastOptions = {}) {
	const bouncer = await startPgBouncer(at.server, poolSize, mode)
	bouncers.push(bouncer)
	const scheduler = createScheduler({ probeTimeoutMs: 500 })
	const pool = holdfast(new pg.Pool(bouncer.config()), { scheduler, listenCheckMs: 20, ...options })
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
	// All of them were in use, and none has the name of another.
	const met = meeting(size)
	await Promise.all(
		Array.from({ length: 20 }, () =>
			pool.transaction(async (tx) => {
				await tx.query('SELECT 1')
				await met()
			}),
		),
	)
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

test('in session mode a slow look at what is in between takes our own checks for nobody else’s work', async () => {
	const { pool, end } = await through('session', 5, { listenCheckMs: 1, onConnect: (client) => client.query('SELECT pg_sleep(0.1)') })
	const errors: unknown[] = []
	await pool.listen('jobs', () => {}, { onError: (error) => errors.push(error) })
	expect(errors).toEqual([])
	await end()
})

test('who joins while it is looked at what is in between is told of a loss that comes then, or has not begun yet', async () => {
	const { pool, end } = await through('session', 5, { onConnect: (client) => client.query('SELECT pg_sleep(0.3)') })
	const ours =
		"FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND (query LIKE 'LISTEN%' OR query LIKE 'SELECT pg_backend_pid() AS pid')"
	const first = pool.listen('one', () => {})
	await until(async () => (await at.ask(`SELECT pid ${ours}`)).length > 0, { what: 'LISTEN' })
	const gaps: unknown[] = []
	await pool.listen('two', () => {}, { onGap: (gap) => gaps.push(gap) })
	await at.ask(`SELECT pg_terminate_backend(pid) ${ours}`)
	await until(() => gaps.length === 1, { what: 'the gap to be told' })
	await first
	await end()
})
