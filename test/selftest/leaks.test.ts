/** Do the leak checks see leaks, and nothing where there is none? */
import { EventEmitter } from 'node:events'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { withFileLock } from '../support/file-lock.ts'
import { accidentMark, assertNoBackends, handleMark } from '../support/leaks.ts'
import { type PostgresServer, sharedPostgres } from '../support/postgres.ts'
import { until } from '../support/until.ts'

let server: PostgresServer
beforeAll(async () => {
	server = await sharedPostgres()
})
afterAll(() => server.dispose())

test('a backend that stays is named, and one that has gone is not', async () => {
	const client = new pg.Client({ ...server.config(), application_name: 'forgotten' })
	await client.connect()
	await assertNoBackends(server, 'others')
	await expect(assertNoBackends(server, 'forgotten', 50)).rejects.toThrow(/1 backends left over:\n- .*forgotten/)
	await client.end()
	await assertNoBackends(server, 'forgotten')
})

test('a timer and a listening socket are left over until they are cleared', async () => {
	const mark = handleMark()
	const timer = setTimeout(() => {}, 60_000)
	await expect(mark.assertNone(50)).rejects.toThrow(/1 handles left over:\n- setTimeout of 60000 ms, set\n.*leaks\.test\.ts/)
	clearTimeout(timer)
	await mark.assertNone()
	const listener = createServer().listen(0)
	await expect(mark.assertNone(50)).rejects.toThrow('TCPServerWrap')
	listener.close()
	await mark.assertNone()
	mark.stop()
	const unseen = setTimeout(() => {}, 60_000)
	await mark.assertNone()
	clearTimeout(unseen)
})

test('a warning of leaked listeners is an accident', async () => {
	const mark = accidentMark()
	const emitter = new EventEmitter()
	await mark.assertNone()
	for (let i = 0; i < 11; i++) emitter.on('event', () => {})
	await expect(mark.assertNone()).rejects.toThrow('MaxListenersExceededWarning')
	mark.stop()
})

test('until says what it waited for and what it last saw', async () => {
	await expect(until(() => false, { what: 'the moon', timeoutMs: 20 })).rejects.toThrow(/waited \d+ ms for the moon; it was last false/)
	const broken = () => {
		throw new Error('clouds')
	}
	await expect(until(broken, { what: 'the moon', timeoutMs: 20 })).rejects.toThrow(/for the moon; it last threw: Error: clouds/)
	expect(await until(() => 0, { what: 'a number' })).toBe(0)
})

test('under a file lock only one works at a time', async () => {
	const lock = join(tmpdir(), `holdfast-lock-${process.pid}`)
	let inside = 0
	let most = 0
	await Promise.all(
		[1, 2, 3].map(() =>
			withFileLock(lock, async () => {
				most = Math.max(most, ++inside)
				await new Promise((resolve) => setImmediate(resolve))
				inside--
			}),
		),
	)
	expect(most).toBe(1)
})
