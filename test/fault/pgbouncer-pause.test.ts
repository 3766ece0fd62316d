/** PgBouncer in transaction mode is restarted, killed or told to PAUSE under load: what do callers notice? Nothing. */
import { setTimeout as sleep } from 'node:timers/promises'
import { commitLedger, createScheduler, InDoubtError } from 'holdfast'
import { type HoldfastPool, holdfast } from 'holdfast/pg'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { accidentMark } from '../support/leaks.ts'
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { until } from '../support/until.ts'
import { startLoad } from './load.ts'
import { type Stage, stage } from './stage.ts'

let at: Stage
let bouncer: PgBouncer
let accidents: ReturnType<typeof accidentMark>
let pool: HoldfastPool
beforeAll(async () => {
	at = await stage()
	bouncer = await startPgBouncer(at.server, 4)
})
afterAll(async () => {
	await bouncer?.stop()
	await at.close()
})
const scheduler = createScheduler()
/** How long the pause has to be: longer than Holdfast leaves a link alone that says nothing. */
const pausedMs = 6_500
beforeEach(async () => {
	accidents = accidentMark()
	await at.ask('DROP TABLE IF EXISTS written, holdfast_commits; CREATE TABLE written (id int)')
})
afterEach(async () => {
	await pool.end()
	expect(scheduler.stats().waits).toBe(0)
	await until(async () => (await bouncer.console('SHOW CLIENTS')).every(({ application_name: name }) => name !== 'under test'), {
		what: 'no client to be left at the pooler',
	})
	const open =
		"SELECT count(*)::int AS n FROM pg_stat_activity WHERE state LIKE 'idle in%' OR (state = 'active' AND pid <> pg_backend_pid())"
	await until(async () => (await at.ask<{ n: number }>(open))[0]?.n === 0, { what: 'no transaction to be left on the server' })
	await accidents.assertNone()
	accidents.stop()
})

const wrap = (options: Parameters<typeof holdfast>[1] = {}) => {
	const config = { ...bouncer.config(), max: 8, application_name: 'under test' }
	pool = holdfast(new pg.Pool(config), { scheduler, ...options })
	return pool
}
/** Every id that was told as done is there, once, and nothing else is. */
const exactlyThese = async (ids: readonly number[]) => {
	const rows = await at.ask<{ id: number }>('SELECT id FROM written ORDER BY id')
	expect(rows.map(({ id }) => id)).toEqual([...ids].sort((one, other) => one - other))
}

/** A piece of the load, on the pool of the test. */
type PoolPiece = (pool: HoldfastPool, id: number) => Promise<unknown>
const reads: PoolPiece = async (on) => expect((await on.query('SELECT count(*) >= 0 AS yes FROM written')).rows).toEqual([{ yes: true }])
const transactions: PoolPiece = (on, id) =>
	on.transaction(async (tx) => {
		await tx.query('SELECT 1')
		await tx.query('INSERT INTO written VALUES ($1)', [id])
	})
const byHand: PoolPiece = async (on, id) => {
	const client = await on.connect()
	try {
		await client.query('BEGIN')
		await client.query('INSERT INTO written VALUES ($1)', [id])
		await client.query('COMMIT')
	} finally {
		client.release()
	}
}
const single: PoolPiece = (on, id) => on.query('INSERT INTO written VALUES ($1)', [id])
const once: PoolPiece = (on, id) => on.query({ text: 'INSERT INTO written VALUES ($1)', values: [id], exactlyOnce: true })
/** Runs the load through `event`; the ids of its writes that were told as done. */
const through = async (pieces: readonly PoolPiece[], event: () => Promise<void>) => {
	const writes: number[] = []
	const noted = pieces.map((piece) => async (id: number) => {
		await piece(pool, id)
		if (piece !== reads) writes.push(id)
	})
	const load = startLoad(noted)
	await load.more()
	await event()
	await load.more()
	await load.stop()
	expect(load.errors).toEqual([])
	return writes
}

test('PAUSE and RESUME: callers wait, also longer than a silent server would be given, and every write is there once', async () => {
	wrap()
	const ids = await through([reads, transactions, byHand, single], async () => {
		await bouncer.console('PAUSE')
		const parked = async () => (await bouncer.console('SHOW CLIENTS')).filter(({ state }) => state === 'waiting').length
		await until(async () => (await parked()) === 8, { what: 'every connection to wait at the pooler' })
		await sleep(pausedMs)
		await bouncer.console('RESUME')
	})
	await exactlyThese(ids)
	expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, outages: 0 })
})

test('an orderly restart (SIGINT) in the middle of work: no error, and every write is there once', async () => {
	wrap()
	const ids = await through([reads, transactions, byHand], async () => {
		await bouncer.end('SIGINT')
		await until(() => pool.holdfast.stats().endpoint.state === 'down', { what: 'the pooler to be missed' })
		await bouncer.start()
	})
	await exactlyThese(ids)
	expect(pool.holdfast.stats().endpoint).toMatchObject({ state: 'up' })
})

test.each([
	['verify', [reads, transactions]],
	['the ledger', [reads, transactions, once]],
] as const)('kill -9 of the pooler, three times (%s): no error, and every write is there once', async (how, pieces) => {
	wrap({ commit: how === 'verify' ? 'verify' : commitLedger({ create: true }) })
	const ids = await through(pieces, async () => {
		for (let round = 0; round < 3; round++) {
			await bouncer.end('SIGKILL')
			await bouncer.start()
		}
	})
	await exactlyThese(ids)
	expect(pool.holdfast.stats()).toMatchObject({ resolved: { unresolved: 0 } })
})

test('a single write that the pooler took with it into its end is reported as in doubt, and never run twice', async () => {
	wrap()
	const told = new Map<number, unknown>()
	const noted = async (id: number) => {
		await single(pool, id).then(
			() => told.set(id, 'done'),
			(error: unknown) => told.set(id, error),
		)
	}
	const load = startLoad([noted])
	await load.more()
	await bouncer.end('SIGKILL')
	await bouncer.start()
	await load.more()
	await load.stop()
	const rows = (await at.ask<{ id: number }>('SELECT id FROM written')).map(({ id }) => id)
	expect(new Set(rows).size).toBe(rows.length)
	for (const [id, answer] of told) {
		if (answer === 'done') expect(rows).toContain(id)
		else expect(answer).toBeInstanceOf(InDoubtError)
	}
	expect(pool.holdfast.stats().inDoubt).toBe([...told.values()].filter((answer) => answer !== 'done').length)
})
