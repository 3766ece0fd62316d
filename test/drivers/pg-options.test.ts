/** Is every option of pg's pool still in force on a wrapped one? */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { createScheduler } from 'holdfast'
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import { expect, test } from 'vitest'
import { assertNoBackends } from '../support/leaks.ts'
import { meeting } from '../support/meeting.ts'
import { startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'
import { ending, ground, seen } from './side-by-side.ts'

const setup = ground()
const { both } = setup
const pid = async (pool: pg.Pool) => (await pool.query('select pg_backend_pid() as pid')).rows[0].pid
const backends = async (pool: pg.Pool) => {
	const { application_name } = (pool as pg.Pool & { options: pg.PoolConfig }).options
	return (await setup.server.query(`select 1 from pg_stat_activity where application_name = '${application_name}'`)).length
}

test('max bounds the connections, and all of them are used', async () => {
	const pool = setup.wrapped({ max: 3 })
	const met = meeting(3)
	await Promise.all(
		Array.from({ length: 30 }, async () => {
			const client = await pool.connect()
			await met()
			client.release()
		}),
	)
	expect(pool.totalCount).toBe(3)
	expect(await backends(pool)).toBe(3)
})

test('idleTimeoutMillis closes idle connections, and min keeps some', async () => {
	for (const min of [0, 1]) {
		const { bare, wrapped } = await both(
			async (pool) => {
				const clients = await Promise.all([pool.connect(), pool.connect(), pool.connect()])
				for (const client of clients) client.release()
				await until(() => pool.totalCount === min, { what: 'idle connections to be closed' })
				return [pool.totalCount, (await pool.query('select 1 as a')).rows]
			},
			{ idleTimeoutMillis: 10, min },
		)
		expect(wrapped).toEqual(bare)
	}
})

test('maxUses closes a connection after so many uses', async () => {
	const { bare, wrapped } = await both(
		async (pool) => {
			const pids = []
			for (let use = 0; use < 4; use++) pids.push(await pid(pool))
			return [pids[0] === pids[1], pids[1] === pids[2], pids[2] === pids[3]]
		},
		{ max: 1, maxUses: 2 },
	)
	expect(wrapped).toEqual(bare)
	expect(wrapped).toEqual([true, false, true])
})

test('maxLifetimeSeconds closes an old connection', async () => {
	const { wrapped } = await both(
		async (pool) => {
			const before = await pid(pool)
			await until(() => pool.totalCount === 0, { what: 'the connection to grow old' })
			return (await pid(pool)) !== before
		},
		{ max: 1, maxLifetimeSeconds: 0.05 },
	)
	expect(wrapped).toBe(true)
})

test('verify and onConnect see every new connection once, and their errors reach the caller', async () => {
	const { bare, wrapped } = await both(async (_pool, kind) => {
		const told: string[] = []
		let fail = false
		const options = {
			max: 1,
			verify: (_client: unknown, done: (error?: Error) => void) => {
				told.push('verify')
				done(fail ? new Error('not this one') : undefined)
			},
			onConnect: async (client: pg.ClientBase) => {
				told.push('onConnect')
				await client.query("set application_name = 'hooked'")
			},
		}
		const pool = new pg.Pool({ ...setup.config(), ...options } as pg.PoolConfig)
		if (kind === 'wrapped') holdfast(pool)
		const name = "select current_setting('application_name') as name"
		const results = [(await pool.query(name)).rows, (await pool.query(name)).rows]
		fail = true
		const client = await pool.connect()
		client.release(true)
		results.push([await ending(() => pool.query(name))])
		fail = false
		results.push((await pool.query(name)).rows)
		await pool.end()
		return { told, results }
	})
	expect(wrapped).toEqual(bare)
})

test('an onConnect hook that rejects fails the call with its error, and the connection is closed', async () => {
	const { bare, wrapped } = await both(async (_pool, kind) => {
		const config = setup.config({ onConnect: () => Promise.reject(new Error('hook')) } as pg.PoolConfig)
		const pool = new pg.Pool(config)
		if (kind === 'wrapped') holdfast(pool)
		const end = await ending(() => pool.query('select 1'))
		await assertNoBackends(setup.server, config.application_name)
		await pool.end()
		return { end, total: pool.totalCount }
	})
	expect(wrapped).toEqual(bare)
})

test('connectionTimeoutMillis of a busy pool fails with the error of pg-pool, by query and by connect', async () => {
	const { bare, wrapped } = await both(
		async (pool) => {
			const client = await pool.connect()
			const ends = await Promise.all([ending(() => pool.query('select 1')), ending(() => pool.connect())])
			client.release()
			return { ends, after: await ending(() => pool.query('select 1 as a')), waiting: pool.waitingCount }
		},
		{ max: 1, connectionTimeoutMillis: 20 },
	)
	expect(wrapped).toEqual(bare)
})

test('statement_timeout and lock_timeout are the server errors that they are', async () => {
	const { bare, wrapped } = await both((pool) => ending(() => pool.query('select pg_sleep(5)')), { statement_timeout: 20 })
	expect(wrapped).toEqual(bare)
	expect(wrapped).toMatchObject({ rejected: { code: '57014' } })
})

test('after query_timeout the half-open connection does not go back to the pool', async () => {
	const { bare, wrapped } = await both(
		async (pool, kind) => {
			const end = await ending(() => pool.query('select pg_sleep(0.3)'))
			const total = kind === 'wrapped' ? pool.totalCount : undefined
			return { end, total }
		},
		{ max: 1, query_timeout: 30 },
	)
	expect(wrapped.end).toEqual(bare.end)
	expect(wrapped).toEqual({ end: { rejected: { class: 'Error', message: 'Query read timeout' } }, total: 0 })
})

test('after query_timeout in a transaction the error is reported and the connection is closed', async () => {
	const pool = setup.wrapped({ max: 1, query_timeout: 30 })
	const error = await pool.transaction((tx) => tx.query('select pg_sleep(0.3)')).catch((thrown: unknown) => thrown)
	expect(seen(error)).toMatchObject({ message: 'Query read timeout' })
	expect(pool.totalCount).toBe(0)
})

test('a borrowed client released after its query_timeout is not handed out before the server has answered', async () => {
	const pool = setup.wrapped({ max: 1, query_timeout: 30 })
	const client = await pool.connect()
	await client.query('select pg_sleep(0.1)').catch(() => {})
	client.release()
	expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }])
})

test('a password function, a Client class and a connection string are used as pg uses them', async () => {
	const { bare, wrapped } = await both(async (_pool, kind) => {
		const told: string[] = []
		class Mine extends pg.Client {
			readonly mine = true
		}
		const password = () => {
			told.push('asked')
			return 'secret'
		}
		const byClass = new pg.Pool({ ...setup.config(), password, Client: Mine } as pg.PoolConfig)
		const byString = new pg.Pool({ connectionString: setup.server.url() })
		if (kind === 'wrapped') for (const pool of [byClass, byString]) holdfast(pool)
		const client = (await byClass.connect()) as pg.PoolClient & { mine?: boolean }
		const facts = { mine: client.mine, isMine: client instanceof Mine, rows: (await byString.query('select 1 as a')).rows, told }
		client.release()
		await Promise.all([byClass.end(), byString.end()])
		return facts
	})
	expect(wrapped).toEqual(bare)
})

test('PGHOST and its like lead to the server, and to its endpoint', async () => {
	const { host, port, user, password, database } = setup.server.config()
	const wanted = { PGHOST: host, PGPORT: String(port), PGUSER: user, PGDATABASE: database, ...(password && { PGPASSWORD: password }) }
	const before = { ...process.env }
	Object.assign(process.env, wanted)
	try {
		const pool = holdfast(new pg.Pool())
		expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }])
		expect(pool.holdfast.stats().endpoint.address).toBe(`${host}:${port}`)
		await pool.end()
	} finally {
		for (const name of Object.keys(wanted)) {
			if (before[name] === undefined) delete process.env[name]
			else process.env[name] = before[name]
		}
	}
})

test('a directory of unix sockets is an address like any other', async () => {
	const folder = await mkdtemp('/tmp/holdfast-socket-')
	await chmod(folder, 0o700)
	const { port, host } = setup.server
	const relay = createServer((socket) => {
		const server = connect(port, host)
		socket.pipe(server).pipe(socket)
		for (const end of [socket, server]) end.on('error', () => {})
	})
	await new Promise<void>((resolve) => relay.listen(join(folder, '.s.PGSQL.5432'), resolve))
	const pool = holdfast(new pg.Pool({ ...setup.config(), host: folder, port: 5432 }))
	expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }])
	expect(pool.holdfast.stats().endpoint.address).toBe(`${folder}/.s.PGSQL.5432`)
	await pool.end()
	relay.close()
	await rm(folder, { recursive: true })
})

test('ssl is passed on: a server without it is refused with the error of pg, after one attempt', async () => {
	const { bare, wrapped } = await both((pool) => ending(() => pool.query('select 1')), { ssl: { rejectUnauthorized: false } })
	expect(wrapped).toEqual(bare)
})

test('a wrong password and an unknown database fail at once with the error of the server', async () => {
	const { bare, wrapped } = await both((pool) => ending(() => pool.query('select 1')), { database: 'no_such_database' })
	expect(wrapped).toEqual(bare)
	expect(wrapped).toMatchObject({ rejected: { code: '3D000' } })
})

test('a port out of range rejects, holds no place in the pool, and a stream function is called for connections only', async () => {
	const bad = holdfast(new pg.Pool({ host: '127.0.0.1', port: 99_999, max: 1 }))
	for (let call = 0; call < 3; call++) await expect(bad.query('select 1')).rejects.toMatchObject({ code: 'ERR_SOCKET_BAD_PORT' })
	expect(bad.totalCount).toBe(0)
	await bad.end()
	let streams = 0
	const { Socket } = await import('node:net')
	const pool = setup.wrapped({
		max: 1,
		stream: () => {
			streams += 1
			return new Socket()
		},
	} as pg.PoolConfig)
	await pool.query('select 1')
	expect(streams).toBe(1)
})

test('pipeline: true answers statements, errors and transactions', async () => {
	const { bare, wrapped } = await both(
		async (pool) => {
			const ends = await Promise.all([
				ending(() => pool.query('select $1::int as a', [1])),
				ending(() => pool.query('select 1/0')),
				ending(() => pool.query('select 2 as a')),
			])
			const client = await pool.connect()
			const sent = [client.query('select 1 as a'), client.query('select 1/0'), client.query('select 3 as a')]
			const results = (await Promise.allSettled(sent)).map((end) => (end.status === 'fulfilled' ? end.value.rows : seen(end.reason)))
			client.release()
			return { ends, results }
		},
		{ pipeline: true, max: 2 } as pg.PoolConfig,
	)
	expect(wrapped).toEqual(bare)
})

test('a pipelined client released with statements on the wire comes back when all are answered', async () => {
	const pool = setup.wrapped({ pipeline: true, max: 1 } as pg.PoolConfig)
	const client = await pool.connect()
	const order: string[] = []
	client.query('select pg_sleep(0.02)', () => {
		order.push('first')
		client.release()
		pool.query('select 1', (error) => order.push(error?.message ?? 'next borrower'))
	})
	client.query('select pg_sleep(0.02)', (error) => order.push(error?.message ?? 'second'))
	await until(() => order.length === 3, { what: 'all three' })
	expect(order).toEqual(['first', 'second', 'next borrower'])
})

test('a server that falls silent keeps no statement, no transaction and no released client waiting for ever', async () => {
	const proxy = await startProxy({ target: setup.server })
	const config = setup.config({ host: proxy.host, port: proxy.port, max: 3, query_timeout: 500 })
	const pool = holdfast(new pg.Pool(config), { scheduler: createScheduler({ probeTimeoutMs: 100 }) })
	const client = await pool.connect()
	await client.query('select 1')
	const silent = 'select 1 from pg_sleep(0) for update'
	const failure = (call: Promise<unknown>) => call.then(String, (error: Error) => error.message)
	const transaction = pool.transaction(async (tx) => {
		await tx.query('select 1')
		proxy.swallow('toClient', true)
		return tx.query(silent)
	})
	expect(await failure(transaction)).toBe('Query read timeout')
	expect(await failure(client.query(silent))).toBe('Query read timeout')
	client.release()
	await until(() => pool.totalCount === 0, { what: 'the silent connections to be given up' })
	proxy.swallow('toClient', false)
	await proxy.accept()
	expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }])
	await pool.end()
	await proxy.close()
	await assertNoBackends(setup.server, config.application_name)
})

test('a server that falls silent between the error and its readiness does not cost the pool a place', async () => {
	const proxy = await startProxy({ target: setup.server })
	const config = setup.config({ host: proxy.host, port: proxy.port, max: 1 })
	const pool = holdfast(new pg.Pool(config), { scheduler: createScheduler({ probeTimeoutMs: 100 }) })
	await pool.query('select 1')
	proxy.intercept({ from: 'server', match: ({ type }) => type === 'ReadyForQuery', action: 'black hole' })
	await expect(pool.query('select 1/0')).rejects.toMatchObject({ code: '22012' })
	expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }])
	await pool.end()
	await proxy.close()
	await assertNoBackends(setup.server, config.application_name)
})
