/** Does a real PostgreSQL raise what the rows say, and does pg pass it on in the same form? */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { classify } from '../../src/classify/classify.ts'
import type { Fault, Phase } from '../../src/fault.ts'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import { until } from '../support/until.ts'

let server: PostgresServer
let database: string
const open: pg.Client[] = []

beforeAll(async () => {
	server = await startPostgres({ major: 18, settings: { max_connections: '12', superuser_reserved_connections: '2' } })
	database = await server.createDatabase()
	await server.query('create table t (id int primary key, v int); insert into t values (1, 0), (2, 0)', database)
})

afterAll(async () => {
	await Promise.allSettled(open.map((client) => client.end()))
	await server?.dispose()
})

async function connect(name = database): Promise<pg.Client> {
	const client = new pg.Client(server.config(name))
	client.on('error', () => {})
	await client.connect()
	open.push(client)
	return client
}

async function end(...clients: pg.Client[]): Promise<void> {
	for (const client of clients) {
		open.splice(open.indexOf(client), 1)
		await client.end()
	}
}

async function faultOf(failing: Promise<unknown>, phase: Phase = 'statement'): Promise<Fault> {
	const error = await failing.then(
		() => expect.unreachable('it was to fail'),
		(reason: unknown) => reason,
	)
	return classify(error, { phase })
}

const pid = async (client: pg.Client) => (await client.query('select pg_backend_pid() as pid')).rows[0].pid as number
const isWaiting = (backend: number) =>
	until(
		async () => (await server.query(`select 1 from pg_stat_activity where pid = ${backend} and wait_event_type = 'Lock'`)).length === 1,
		{
			what: 'the backend to wait for a lock',
		},
	)

test('a lock that lock_timeout gave up passes, one refused by NOWAIT does not', async () => {
	const [holder, waiter] = [await connect(), await connect()]
	await holder.query('begin; lock table t in access exclusive mode')
	await waiter.query("set lock_timeout = '20ms'")
	expect(await faultOf(waiter.query('select * from t'))).toMatchObject({
		kind: 'lock_timeout',
		outcome: 'rolled_back',
		retryable: true,
		code: '55P03',
	})
	const nowait = await faultOf(waiter.query('begin; lock table t in share mode nowait'))
	expect(nowait).toMatchObject({ kind: 'permanent', retryable: false, code: '55P03' })
	await end(holder, waiter)
})

test('a statement that statement_timeout ended is not retried', async () => {
	const client = await connect()
	await client.query("set statement_timeout = '20ms'")
	const fault = await faultOf(client.query('select pg_sleep(10)'))
	expect(fault).toMatchObject({ kind: 'statement_timeout', scope: 'statement', outcome: 'rolled_back', retryable: false, code: '57014' })
	await end(client)
})

test('a serialization failure is known for what it is, also when it answers COMMIT', async () => {
	const [first, second] = [await connect(), await connect()]
	const overlap = async () => {
		for (const client of [first, second]) {
			await client.query('begin isolation level serializable')
			await client.query('select sum(v) from t')
		}
		await first.query('update t set v = v + 1 where id = 1')
		await second.query('update t set v = v + 1 where id = 2')
		await first.query('commit')
	}
	const expected = { kind: 'serialization_failure', scope: 'transaction', outcome: 'rolled_back', retryable: true, code: '40001' }
	await overlap()
	expect(await faultOf(second.query('commit'), 'commit')).toMatchObject(expected)
	await overlap()
	expect(await faultOf(second.query('select v from t'))).toMatchObject(expected)
	await second.query('rollback')
	await end(first, second)
})

test('a deadlock is known for what it is, and what follows in the failed transaction too', async () => {
	const [first, second] = [await connect(), await connect()]
	for (const [client, id] of [
		[first, 1],
		[second, 2],
	] as const) {
		await client.query("begin; set local deadlock_timeout = '50ms'")
		await client.query('update t set v = v + 1 where id = $1', [id])
	}
	const firstPid = await pid(first)
	const results = [first.query('update t set v = 1 where id = 2')]
	await isWaiting(firstPid)
	results.push(second.query('update t set v = 1 where id = 1'))
	const settled = await Promise.allSettled(results)
	const loser = settled.findIndex((result) => result.status === 'rejected')
	expect(await faultOf(results[loser]!)).toMatchObject({
		kind: 'deadlock',
		scope: 'transaction',
		outcome: 'rolled_back',
		retryable: true,
		code: '40P01',
	})
	const swallowed = await faultOf([first, second][loser]!.query('select 1'))
	expect(swallowed).toMatchObject({ kind: 'permanent', scope: 'transaction', outcome: 'rolled_back', retryable: false, code: '25P02' })
	await end(first, second)
})

test('a backend that an administrator ended costs its connection only, and what it was running had no effect', async () => {
	const client = await connect()
	const victim = await pid(client)
	// Until pg notices the end it still writes to the dead connection.
	const gone = new Promise((resolve) => client.once('end', resolve))
	const failing = faultOf(client.query('select pg_sleep(30)'))
	await until(
		async () => (await server.query(`select 1 from pg_stat_activity where pid = ${victim} and wait_event = 'PgSleep'`)).length === 1,
		{
			what: 'the query to run',
		},
	)
	await server.query(`select pg_terminate_backend(${victim})`)
	expect(await failing).toMatchObject({
		kind: 'shutting_down',
		scope: 'connection',
		outcome: 'rolled_back',
		retryable: true,
		code: '57P01',
	})
	await gone
	expect(await faultOf(client.query('select 1'))).toMatchObject({
		kind: 'connection_lost',
		outcome: 'not_sent',
		retryable: true,
		code: undefined,
	})
})

test('a backend that was killed leaves no code behind, and the work is in doubt', async () => {
	const client = await connect()
	const victim = await pid(client)
	const failing = client.query('select pg_sleep(30)')
	await until(
		async () => (await server.query(`select 1 from pg_stat_activity where pid = ${victim} and wait_event = 'PgSleep'`)).length === 1,
		{
			what: 'the query to run',
		},
	)
	const settled = faultOf(failing)
	await server.killBackend(victim)
	expect(await settled).toMatchObject({ kind: 'connection_lost', scope: 'connection', outcome: 'unknown', retryable: true })
	// The postmaster now ends all others and recovers; whoever connects meanwhile is told so.
	await until(() => server.query('select 1'), { what: 'the server to recover' })
})

test('a server whose connections are all taken is full: nothing was sent, and no endpoint is down', async () => {
	await server.query("drop role if exists guest; create role guest login password 'guest' connection limit 1")
	const config = { ...server.config(database), user: 'guest', password: 'guest' }
	const guest = new pg.Client(config)
	await guest.connect()
	open.push(guest)
	const limited = new pg.Client(config)
	limited.on('error', () => {})
	const full = { kind: 'too_many_connections', scope: 'connection', outcome: 'not_sent', retryable: true, code: '53300' }
	expect(await faultOf(limited.connect(), 'connect')).toMatchObject(full)

	const taken: pg.Client[] = []
	const fill = async (): Promise<never> => {
		while (true) taken.push(await connect())
	}
	expect(await faultOf(fill(), 'connect')).toMatchObject(full)
	await end(guest, ...taken)
})

test('a database that does not exist is permanent, while connecting and in DROP DATABASE', async () => {
	expect(await faultOf(connect('nowhere'), 'connect')).toMatchObject({
		kind: 'permanent',
		outcome: 'not_sent',
		retryable: false,
		code: '3D000',
	})
	const client = await connect()
	expect(await faultOf(client.query('drop database nowhere'))).toMatchObject({ scope: 'statement', outcome: 'rolled_back', code: '3D000' })
	await end(client)
})

test('a plan whose result columns changed is stale, other missing features are permanent', async () => {
	const client = await connect()
	await client.query('create table shape (a int)')
	const prepared = { name: 'all', text: 'select * from shape' }
	await client.query(prepared)
	await client.query('alter table shape add column b int')
	expect(await faultOf(client.query(prepared))).toMatchObject({
		kind: 'stale_plan',
		outcome: 'rolled_back',
		retryable: true,
		code: '0A000',
	})
	await client.query('deallocate all')
	expect(await faultOf(client.query(prepared))).toMatchObject({ kind: 'stale_plan', retryable: true, code: '26000' })
	expect(await faultOf(client.query('create table other.database.x (a int)'))).toMatchObject({
		kind: 'permanent',
		retryable: false,
		code: '0A000',
	})
	await end(client)
})

test('a write in a read-only transaction, and a constraint that COMMIT finds broken, have no effect', async () => {
	const client = await connect()
	await client.query('begin read only')
	expect(await faultOf(client.query('update t set v = 0'))).toMatchObject({
		kind: 'read_only',
		outcome: 'rolled_back',
		retryable: false,
		code: '25006',
	})
	await client.query('rollback; create table u (a int unique deferrable initially deferred)')
	await client.query('begin; insert into u values (1), (1)')
	expect(await faultOf(client.query('commit'), 'commit')).toMatchObject({ kind: 'permanent', outcome: 'rolled_back', code: '23505' })
	await end(client)
})

test('a transaction that was left idle is ended by the server, and a session that was left idle too', async () => {
	const client = await connect()
	const idle = new Promise<unknown>((resolve) => client.once('error', resolve))
	await client.query("set idle_in_transaction_session_timeout = '20ms'; begin")
	expect(classify(await idle)).toMatchObject({ kind: 'session_timeout', scope: 'connection', retryable: false, code: '25P03' })
	const other = await connect()
	const ended = new Promise<unknown>((resolve) => other.once('error', resolve))
	await other.query("set idle_session_timeout = '20ms'")
	expect(classify(await ended)).toMatchObject({ kind: 'session_timeout', scope: 'connection', retryable: true, code: '57P05' })
})

test('a server that is being stopped says so, and one that is stopped refuses connections', async () => {
	// A smart stop waits for this session to end, and turns newcomers away meanwhile.
	const client = await connect()
	await server.query("copy (select 1) to program 'cat > /dev/null; kill -TERM $(head -n 1 postmaster.pid)'")
	const stopping = await until(
		async () => {
			const fault = await faultOf(connect(), 'connect')
			return fault.code === '57P03' ? fault : undefined
		},
		{ what: 'the server to begin its stop' },
	)
	expect(stopping).toMatchObject({ kind: 'shutting_down', scope: 'endpoint', outcome: 'not_sent', retryable: true })
	await end(client)
	await server.stop()
	const refused = { kind: 'connection_refused', scope: 'endpoint', outcome: 'not_sent', retryable: true, code: 'ECONNREFUSED' }
	expect(await faultOf(connect(), 'statement')).toMatchObject(refused)
})
