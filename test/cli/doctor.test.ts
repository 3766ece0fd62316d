/** What does `doctor` find out about a database that answers, and what does it make of everything else that may listen? */
import { createServer, type Server, type Socket } from 'node:net'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Finding, Report } from '../../cli/report.ts'
import { freePort } from '../support/free-port.ts'
import { assertNoBackends } from '../support/leaks.ts'
import { startPgBouncer } from '../support/pgbouncer.ts'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import { cli } from './run-cli.ts'

let server: PostgresServer
beforeAll(async () => {
	server = await startPostgres({ settings: { max_connections: '10', superuser_reserved_connections: '3' } })
})
afterAll(() => server?.dispose())

async function report(url: string, ...options: string[]): Promise<{ code: number | null; found: Report }> {
	const { code, out } = await cli('doctor', '--json', ...options, url)
	return { code, found: (JSON.parse(out) as { report: Report }).report }
}
const named = (found: readonly Finding[], name: string) => found.find((finding) => finding.name === name)

describe('a PostgreSQL that answers', () => {
	test('product, version, settings that hurt and the way to verify commits are told; the server is left as it was', async () => {
		const { found } = await report(server.url())
		expect(found).toMatchObject({ flavour: 'PostgreSQL', version: expect.stringMatching(/^18\./) })
		expect(named(found.verification, 'commit: verify')).toMatchObject({ level: 'ok', value: 'possible' })
		expect(named(found.settings, 'fsync')).toMatchObject({ level: 'warning', value: 'off' })
		expect(named(found.settings, 'full_page_writes')).toMatchObject({ level: 'ok', says: '' })
		expect(named(found.settings, 'idle_in_transaction_session_timeout')).toMatchObject({ level: 'warning', value: '0 ms' })
		await assertNoBackends(server)
		expect(await server.query("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")).toEqual([])
	})

	test('the settings of the role that asks count, for that is who works with them', async () => {
		await server.query("CREATE ROLE careful LOGIN; ALTER ROLE careful SET idle_in_transaction_session_timeout = '60s'")
		const { found } = await report(server.url().replace('postgres@', 'careful@'))
		expect(named(found.settings, 'idle_in_transaction_session_timeout')).toMatchObject({ level: 'ok', value: '60000 ms' })
	})

	test('--strict ends with 4 where there are warnings', async () => {
		expect((await report(server.url(), '--strict')).code).toBe(4)
		expect((await report(server.url())).code).toBe(0)
	})

	test('the crash epoch stays over a clean restart and changes with a crash', async () => {
		const first = (await report(server.url())).found.crashEpoch
		await server.restart()
		const second = (await report(server.url())).found.crashEpoch
		await server.restart('kill')
		const third = (await report(server.url())).found.crashEpoch
		expect(first).toMatch(/^\d+\/[0-9A-F]{8}\/127\.0\.0\.1:\d+$/)
		expect(second).toBe(first)
		expect(third).not.toBe(first)
	})

	test('a role that may not end sessions, see others or make tables is told what that costs it', async () => {
		await server.query(
			'REVOKE EXECUTE ON FUNCTION pg_terminate_backend(integer, bigint) FROM PUBLIC; CREATE ROLE little LOGIN CONNECTION LIMIT 5',
		)
		try {
			const { found } = await report(server.url().replace('postgres@', 'little@'))
			expect(named(found.verification, 'pg_terminate_backend')).toMatchObject({ level: 'warning', value: 'not granted' })
			expect(named(found.verification, 'commit: verify')).toMatchObject({ level: 'warning', value: 'not possible' })
			expect(named(found.verification, 'pg_stat_activity')?.value).toContain("this role's own sessions")
			expect(named(found.verification, 'commit ledger')).toMatchObject({ level: 'note', value: 'not there' })
			expect(named(found.settings, 'role limit')).toMatchObject({ level: 'note', value: '5 connections' })
		} finally {
			await server.query('GRANT EXECUTE ON FUNCTION pg_terminate_backend(integer, bigint) TO PUBLIC')
		}
	})

	test('a commit ledger that is there is looked at: may this role use it?', async () => {
		const database = await server.createDatabase('ledger')
		await server.query('CREATE TABLE holdfast_commits (slot text PRIMARY KEY, token text)', database)
		await server.query('CREATE ROLE reader LOGIN')
		const url = server.url(database)
		expect(named((await report(url)).found.verification, 'commit ledger')).toMatchObject({ level: 'ok', value: 'there and usable' })
		expect(named((await report(url.replace('postgres@', 'reader@'))).found.verification, 'commit ledger')?.level).toBe('warning')
	})

	test('little room for connections is a warning', async () => {
		const clients = Array.from({ length: 6 }, () => new pg.Client(server.config()))
		for (const client of clients) await client.connect()
		try {
			const { found } = await report(server.url())
			expect(named(found.settings, 'connections')).toMatchObject({ level: 'warning', value: '7 of 7 in use, 0 free' })
		} finally {
			for (const client of clients) await client.end()
		}
	})

	test('a question that the server refuses is a note, and spoils no other', async () => {
		await server.query('REVOKE SELECT ON pg_settings FROM PUBLIC; CREATE ROLE blind LOGIN')
		try {
			const { code, found } = await report(server.url().replace('postgres@', 'blind@'))
			expect(code).toBe(0)
			expect(named(found.settings, 'settings')).toMatchObject({ level: 'note', says: expect.stringContaining('permission denied') })
			expect(named(found.settings, 'connections')).toBeDefined()
		} finally {
			await server.query('GRANT SELECT ON pg_settings TO PUBLIC')
		}
	})

	test('PostgreSQL 14 is examined as well', async () => {
		const old = await startPostgres({ major: 14 })
		try {
			const { code, found } = await report(old.url())
			expect({ code, version: found.version.slice(0, 3) }).toEqual({ code: 0, version: '14.' })
			expect(named(found.verification, 'commit: verify')?.level).toBe('ok')
			expect(named(found.settings, 'transaction_timeout')).toBeUndefined()
		} finally {
			await old.dispose()
		}
	})

	test('a PgBouncer in between is noticed', async () => {
		const bouncer = await startPgBouncer(server, 2)
		const { user, database } = bouncer.config()
		const url = `postgres://${user}@${bouncer.host}:${bouncer.port}/${database}`
		try {
			expect(named((await report(url)).found.settings, 'pooler')).toMatchObject({ level: 'note', value: 'yes' })
			expect(named((await report(server.url())).found.settings, 'pooler')).toBeUndefined()
		} finally {
			await bouncer.stop()
		}
	})
})

describe('what is no database, or another one', () => {
	const servers: Server[] = []
	afterAll(() => {
		for (const each of servers) each.close()
	})

	async function listener(greet: (socket: Socket) => void): Promise<number> {
		const port = await freePort()
		const each = createServer((socket) => {
			socket.on('error', () => {})
			greet(socket)
		})
		servers.push(each)
		await new Promise<void>((resolve) => each.listen(port, '127.0.0.1', resolve))
		return port
	}

	const strangers: Record<string, (socket: Socket) => void> = {
		'an HTTP server': (socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')),
		'an SSH server': (socket) => socket.write('SSH-2.0-OpenSSH_9.2p1\r\n'),
		noise: (socket) => socket.once('data', () => socket.end(Buffer.alloc(64, 0xff))),
		'a server that hangs up politely': (socket) => socket.once('data', () => socket.end()),
		'a greeting and silence': (socket) => socket.write(Buffer.from([0x4a, 0, 0, 0, 0x0a])),
	}

	test.each(Object.keys(strangers).flatMap((name) => ['postgres', 'mysql'].map((scheme) => [name, scheme])))(
		'%s, asked as %s: no crash, an exit code for a state, and an end in time',
		async (name, scheme) => {
			const port = await listener(strangers[name as string] as (socket: Socket) => void)
			const url = `${scheme}://app:Zq9Kv7@127.0.0.1:${port}/db`
			const examined = await cli('doctor', '--timeout', '1s', url)
			const waited = await cli('wait', '--timeout', '2s', url)
			expect([10, 11, 16, 20, 21]).toContain(examined.code)
			expect([124, 11, 16, 20, 21]).toContain(waited.code)
			expect(examined.out + examined.err + waited.out + waited.err).not.toMatch(/Zq9|^\s+at /m)
		},
	)

	test('a MySQL client at a PostgreSQL server does not hang', async () => {
		const { code } = await cli('doctor', '--timeout', '1s', `mysql://app@127.0.0.1:${server.port}/db`)
		expect([11, 20, 21]).toContain(code)
	})
})
