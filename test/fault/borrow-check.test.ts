/** Which pooled connections are handed out as they are, and which are asked or replaced first? The same on every path to a connection. */
import { createScheduler, InDoubtError, systemClock } from 'holdfast'
import type { HoldfastPool } from 'holdfast/pg'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { meeting } from '../support/meeting.ts'
import { noRetries } from '../support/no-retries.ts'
import { staged } from '../support/staged.ts'
import { until } from '../support/until.ts'
import { knexStage } from './knex-stage.ts'

const at = staged(knexStage)
beforeAll(async () => {
	await at.ask('CREATE TABLE written (pid int)')
})
afterEach(async () => {
	at.proxy.resetAll()
	await at.ask('TRUNCATE written')
})

/** A scheduler whose time the test can move on. */
function timeMachine() {
	let aheadMs = 0
	const clock = { ...systemClock, now: () => systemClock.now() + aheadMs }
	const scheduler = createScheduler({ clock, probeTimeoutMs: 300 })
	return {
		scheduler,
		pass: (ms: number) => {
			aheadMs += ms
		},
	}
}

const insert = 'INSERT INTO written SELECT pg_backend_pid() RETURNING pid'

/** One write on each path to a connection. `writes` resolves with the backend's pid. */
const paths = {
	'pool.query': (options: object) => {
		const pool = at.wrap(options, { max: 1 })
		return { write: async () => (await pool.query(insert)).rows[0].pid as number, stats: () => pool.holdfast.stats() }
	},
	'a borrowed client': (options: object) => {
		const pool = at.wrap(options, { max: 1 })
		const write = async () => {
			const client = await pool.connect()
			try {
				return (await client.query(insert)).rows[0].pid as number
			} finally {
				client.release()
			}
		}
		return { write, stats: () => pool.holdfast.stats() }
	},
	'pool.transaction': (options: object) => {
		const pool = at.wrap(options, { max: 1 })
		return {
			write: async () => pool.transaction(async (tx) => (await tx.query(insert)).rows[0].pid as number),
			stats: () => pool.holdfast.stats(),
		}
	},
	knex: (options: object) => {
		const knex = at.knex(options, { pool: { min: 0, max: 1 } })
		return { write: async () => (await knex.raw(insert)).rows[0].pid as number, stats: () => knex.holdfast.stats() }
	},
}

describe.each(Object.entries(paths))('on the path of %s', (_path, open) => {
	test('a connection that lay idle for long is asked, and replaced where it has died in silence: the write is sent once, on a new one', async () => {
		const { scheduler, pass } = timeMachine()
		const { write, stats } = open({ scheduler, halfOpenAfterMs: false })
		const before = await write()
		at.proxy.intercept({ from: 'client', match: () => true, action: 'black hole' })
		pass(30_000)
		expect(await write()).not.toBe(before)
		expect(await at.ask('SELECT 1 FROM written')).toHaveLength(2)
		expect(stats()).toMatchObject({ retries: noRetries, inDoubt: 0, discarded: 1 })
	})

	test('a connection of before an outage is replaced, although its link has lived on', async () => {
		const scheduler = createScheduler()
		const { write, stats } = open({ scheduler })
		const before = await write()
		await outageSeenBy(at.wrap({ scheduler }, { max: 1 }))
		expect(await write()).not.toBe(before)
		expect(await at.ask('SELECT 1 FROM written')).toHaveLength(2)
		expect(stats()).toMatchObject({ retries: noRetries, inDoubt: 0, outages: 1, discarded: 1 })
	})
})

/** Another pool on the same server finds it down, and up again. Links that are there live on. */
async function outageSeenBy(pool: HoldfastPool): Promise<void> {
	const { pid } = (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0]
	at.proxy.refuse()
	await at.ask(`SELECT pg_terminate_backend(${pid})`)
	const answer = pool.query('SELECT 1')
	await until(() => pool.holdfast.stats().endpoint.state === 'down', { what: 'the outage to be noticed' })
	await at.proxy.accept()
	await answer
}

test('checkIdleAfterMs: false hands out whatever lay idle', async () => {
	const { scheduler, pass } = timeMachine()
	const pool = at.wrap({ scheduler, halfOpenAfterMs: false, checkIdleAfterMs: false, attemptTimeoutMs: 500 }, { max: 1 })
	await pool.query(insert)
	at.proxy.intercept({ from: 'client', match: () => true, action: 'black hole' })
	pass(3_600_000)
	await expect(pool.query(insert)).rejects.toBeInstanceOf(InDoubtError)
})

test('a connection that was used a moment ago is handed out without being asked', async () => {
	const { scheduler, pass } = timeMachine()
	const pool = at.wrap({ scheduler }, { max: 1 })
	at.proxy.resetCounters()
	for (let turn = 0; turn < 3; turn++) {
		await pool.query('SELECT 42')
		pass(29_000)
	}
	expect(Object.fromEntries(at.proxy.seen.statements)).toEqual({ 'SELECT 42': 3 })
})

test('when the crash epoch has changed, every connection of before is asked', async () => {
	const pool = at.wrap({}, { max: 3 })
	/** So many at the same time. */
	const transactions = (count: number) => {
		const met = meeting(count)
		return Promise.all(
			Array.from({ length: count }, () =>
				pool.transaction(async (tx) => {
					await tx.query('SELECT 42')
					await met()
				}),
			),
		)
	}
	await transactions(2)
	await at.ask("SELECT pg_stat_reset_shared('bgwriter')")
	await transactions(3)
	at.proxy.resetCounters()
	await transactions(3)
	expect(at.proxy.seen.statements.get('SELECT 1')).toBe(3)
	at.proxy.resetCounters()
	await transactions(3)
	expect(at.proxy.seen.statements.get('SELECT 1')).toBeUndefined()
})

test('knex is told of a dead link as a pool is: its read is run again on another connection', async () => {
	const knex = at.knex({ halfOpenAfterMs: 300 })
	at.proxy.intercept({ from: 'client', match: ({ text }) => text?.startsWith('select 42') ?? false, action: 'black hole' })
	expect((await knex.raw('select 42 as answer')).rows).toEqual([{ answer: 42 }])
	expect(knex.holdfast.stats()).toMatchObject({ attempts: 2, halfOpen: 1 })
})
