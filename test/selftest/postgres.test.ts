/** Do the servers that the tests hurt behave: keep their data, die whole, come back on their port, leave nothing behind? */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type PostgresServer, sharedPostgres, startPostgres } from '../support/postgres.ts'
import { isRunning } from '../support/processes.ts'
import { until } from '../support/until.ts'

// npm has PostgreSQL 14 for this platform only.
const majors = process.platform === 'linux' && process.arch === 'x64' ? ([14, 16, 18] as const) : ([16, 18] as const)

const reachable = async (port: number) => {
	const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', connectionTimeoutMillis: 1_000 })
	client.on('error', () => {})
	const answer = await client.connect().then(
		() => true,
		(error: NodeJS.ErrnoException) => (error.code === 'ECONNREFUSED' ? false : `${error.code} ${error.message}`),
	)
	await client.end().catch(() => {})
	return answer
}

/** Resolves when the client has lost its connection; pg may tell of one loss in two errors. */
const loss = (client: pg.Client) => {
	client.on('error', () => {})
	return new Promise((resolve) => client.once('end', resolve))
}

describe.each(majors)('PostgreSQL %i', (major) => {
	let server: PostgresServer
	let database: string
	beforeAll(async () => {
		server = await startPostgres({ major })
		database = await server.createDatabase()
		await server.query('create table kept (id int); insert into kept values (1); checkpoint', database)
	})
	afterAll(() => server.dispose())

	test('it is the major that was asked for', async () => {
		expect(server.major).toBe(major)
		const [row] = await server.query<{ server_version_num: string }>('show server_version_num')
		expect(Math.floor(Number(row?.server_version_num) / 10_000)).toBe(major)
	})

	test.each(['fast', 'immediate', 'kill'] as const)('a restart (%s) keeps the port and the data', async (mode) => {
		const { port } = server
		await server.restart(mode)
		expect(server.port).toBe(port)
		expect(await server.query('select id from kept', database)).toEqual([{ id: 1 }])
	})

	test('a killed server refuses connections, and a backend that never looks up from its work is gone, too', async () => {
		const client = new pg.Client(server.config(database))
		const lost = loss(client)
		await client.connect()
		const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
		const busy = client.query('do $$ begin loop end loop; end $$').catch((error: Error) => error.message)
		await until(
			() =>
				server.query(`select 1 from pg_stat_activity where pid = ${rows[0]!.pid} and state = 'active'`).then(({ length }) => length === 1),
			{
				what: 'the endless loop to begin',
			},
		)
		await server.kill()
		// In a container the number means another process here.
		if (server.source !== 'docker') expect(isRunning(rows[0]!.pid)).toBe(false)
		expect(await reachable(server.port)).toBe(false)
		expect(await busy).toMatch(/Connection terminated|ECONNRESET/)
		await lost
		await server.start()
		expect(await reachable(server.port)).toBe(true)
	})

	test('killing one backend ends the others and the server recovers by itself', async () => {
		const client = new pg.Client(server.config())
		const lost = loss(client)
		await client.connect()
		const victim = new pg.Client(server.config())
		const victimLost = loss(victim)
		await victim.connect()
		const { rows } = await victim.query<{ pid: number }>('select pg_backend_pid() as pid')
		await server.killBackend(rows[0]!.pid)
		await Promise.all([lost, victimLost])
		await until(() => server.query('select 1'), { what: 'the server to recover' })
		expect(await server.query('select id from kept', database)).toEqual([{ id: 1 }])
	})

	test('a paused server accepts no session until it is resumed', async () => {
		await server.pause()
		const client = new pg.Client({ ...server.config(), connectionTimeoutMillis: 200 })
		client.on('error', () => {})
		await expect(client.connect()).rejects.toThrow('timeout')
		await server.resume()
		expect(await reachable(server.port)).toBe(true)
	})

	test('settings are in force when applySettings resolves, and those that need a restart are named', async () => {
		expect(await server.applySettings({ work_mem: '7MB', max_connections: '77' })).toEqual(['max_connections'])
		expect(await server.query('show work_mem')).toEqual([{ work_mem: '7MB' }])
		await server.restart()
		expect(await server.query('show max_connections')).toEqual([{ max_connections: '77' }])
	})
})

test('a server that cannot start says why, at once', async () => {
	await expect(startPostgres({ settings: { shared_buffers: 'plenty' } })).rejects.toThrow('shared_buffers')
})

test('a process that is no backend of the server is not shot', async () => {
	const server = await startPostgres()
	await expect(server.killBackend(process.pid)).rejects.toThrow('is no backend of this PostgreSQL')
	await server.dispose()
	await server.dispose()
	expect(await reachable(server.port)).toBe(false)
	await expect(server.start()).rejects.toThrow('disposed')
})

const onLinux = test.runIf(process.platform === 'linux')
onLinux.each(['running', 'killed'] as const)('a server that is disposed of leaves no shared memory in the system: %s', async (state) => {
	const server = await startPostgres()
	const [row] = await server.query<{ data_directory: string }>('show data_directory')
	// Docker's is in a container, which takes its memory with it.
	if (server.source !== 'docker') {
		// PostgreSQL source, miscadmin.h: the seventh line holds key and id.
		const id = readFileSync(join(row?.data_directory ?? '', 'postmaster.pid'), 'utf8')
			.split('\n')[6]
			?.trim()
			.split(/\s+/)[1]
		const ids = () =>
			readFileSync('/proc/sysvipc/shm', 'utf8')
				.split('\n')
				.map((line) => line.trim().split(/\s+/)[1])
		expect(ids()).toContain(id)
		if (state === 'killed') await server.kill()
		await server.dispose()
		expect(ids()).not.toContain(id)
	}
	await server.dispose()
})

test('a given server is used and cannot be hurt', async () => {
	const own = await startPostgres()
	const before = process.env.HOLDFAST_PG_URL
	process.env.HOLDFAST_PG_URL = own.url()
	try {
		const given = await sharedPostgres()
		expect(await sharedPostgres()).toBe(given)
		expect([given.source, given.port, given.major]).toEqual(['given', own.port, own.major])
		await expect(given.kill()).rejects.toThrow('cannot kill the server that HOLDFAST_PG_URL names')
		await expect(given.restart()).rejects.toThrow('cannot stop the server that HOLDFAST_PG_URL names')
		await given.dispose()
		expect(await reachable(own.port)).toBe(true)
	} finally {
		if (before === undefined) delete process.env.HOLDFAST_PG_URL
		else process.env.HOLDFAST_PG_URL = before
		await own.dispose()
	}
})
