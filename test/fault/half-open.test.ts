/** Packets vanish on one link and nobody says so: who notices, how soon, and what are the callers told? */
import { type HoldfastError, InDoubtError } from 'holdfast'
import { afterEach, expect, test } from 'vitest'
import { until } from '../support/until.ts'
import { onStage } from './on-stage.ts'

const at = onStage()

// The server's ends of the links that were found dead.
afterEach(() => at.proxy.resetAll())

// The default is 2,000: the same thing in less time.
const soon = { halfOpenAfterMs: 300 }

/** Lets nothing through any more on the link over which the server's next message with this tag comes, and loses that as well. */
const loseAnswer = (tag: string) => at.proxy.intercept({ from: 'server', match: (message) => message.tag === tag, action: 'black hole' })
const loseCommand = (begin: string) =>
	at.proxy.intercept({ from: 'client', match: ({ text }) => text?.startsWith(begin) ?? false, action: 'black hole' })

test('a read whose answer vanished is run again on another connection', async () => {
	const pool = at.wrap(soon)
	const lost = loseAnswer('SELECT 1')
	expect((await pool.query('SELECT 42 AS answer')).rows).toEqual([{ answer: 42 }])
	expect(lost.hits).toBe(1)
	expect(at.proxy.seen.statementsLike('SELECT 42')).toBe(2)
	expect(pool.holdfast.stats()).toMatchObject({ attempts: 2, halfOpen: 1, retries: { connection_lost: 1 }, inDoubt: 0 })
})

test('a read that vanished on its way to the server is run again on another connection', async () => {
	const pool = at.wrap(soon)
	loseCommand('SELECT 42')
	expect((await pool.query('SELECT 42 AS answer')).rows).toEqual([{ answer: 42 }])
	expect(at.proxy.seen.statementsLike('SELECT 42')).toBe(1)
	expect(pool.holdfast.stats()).toMatchObject({ attempts: 2, halfOpen: 1 })
})

test('a write whose answer vanished is in doubt, and the error says what was found', async () => {
	const pool = at.wrap(soon)
	loseAnswer('INSERT 0 1')
	const error = await pool.query('INSERT INTO written VALUES (1)').catch((reason: unknown) => reason)
	expect(error).toBeInstanceOf(InDoubtError)
	expect((error as InDoubtError).cause).toMatchObject({ code: 'HOLDFAST_LINK_LOST' })
	expect(((error as InDoubtError).cause as HoldfastError).message).toMatch(/no answer came for \d+ ms, and the server waits for a command/)
	expect(await at.rows()).toBe(1)
	expect(at.proxy.seen.statementsLike('INSERT')).toBe(1)
})

test('a query that takes long on a healthy link is left alone, however often the server is asked', async () => {
	const pool = at.wrap({ halfOpenAfterMs: 100 })
	const { rows } = await pool.query('SELECT pg_sleep(2), pg_backend_pid() AS pid')
	expect(rows).toHaveLength(1)
	expect(at.proxy.seen.statementsLike('SELECT pg_sleep')).toBe(1)
	const { halfOpen, attempts, endpoint } = pool.holdfast.stats()
	expect({ halfOpen, attempts }).toEqual({ halfOpen: 0, attempts: 1 })
	expect(endpoint.connectAttempts).toBeGreaterThan(3)
})

test('a link whose backend is gone is found dead', async () => {
	const pool = at.wrap(soon)
	const { pid } = (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0]
	const lost = loseCommand('SELECT pg_sleep')
	const answer = pool.query('SELECT pg_sleep(0.01), pg_backend_pid() AS pid')
	await until(() => lost.hits === 1, { what: 'the statement to be lost' })
	// The end of the session does not get through either.
	const farewell = at.proxy.intercept({ from: 'server', match: ({ text }) => text?.includes('terminating') ?? true, action: 'black hole' })
	await at.ask(`SELECT pg_terminate_backend(${pid})`)
	await until(() => farewell.hits === 1, { what: 'the end of the backend to be lost' })
	const { rows } = await answer
	expect(rows[0].pid).not.toBe(pid)
	expect(pool.holdfast.stats()).toMatchObject({ attempts: 3, halfOpen: 1 })
})
