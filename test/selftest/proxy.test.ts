/** Does the fault proxy do exactly the harm that it is ordered to do, and count rightly? Against a real server. */
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type PostgresServer, sharedPostgres } from '../support/postgres.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'

let server: PostgresServer
let database: string
let proxy: FaultProxy
const clients: pg.Client[] = []

beforeAll(async () => {
	server = await sharedPostgres()
	database = await server.createDatabase('proxy')
	await server.query('create table t (id int)', database)
})
afterAll(() => server.dispose())
beforeEach(async () => {
	proxy = await startProxy({ target: server })
	await server.query('truncate t', database)
})
afterEach(async () => {
	await proxy.close()
	await Promise.all(clients.splice(0).map((client) => client.end().catch(() => {})))
})

function newClient(): pg.Client {
	const client = new pg.Client({ ...server.config(database), host: proxy.host, port: proxy.port })
	client.on('error', () => {})
	clients.push(client)
	return client
}

async function connected(): Promise<pg.Client> {
	const client = newClient()
	await client.connect()
	return client
}

/** The code or the text of the failure; `no failure` if there was none. */
const failure = (work: Promise<unknown>) =>
	work.then(
		() => 'no failure',
		(error: NodeJS.ErrnoException) => error.code ?? error.message,
	)

const rowsOnServer = async () => (await server.query<{ id: number }>('select id from t order by id', database)).map(({ id }) => id)

test('the reply of COMMIT is lost and nothing else: the server has committed, the client sees a reset', async () => {
	const lost = proxy.intercept({ from: 'server', match: ({ tag }) => tag === 'COMMIT', action: 'cut before' })
	const client = await connected()
	await client.query('begin')
	await client.query('insert into t values ($1)', [1])
	expect(await failure(client.query('commit'))).toBe('ECONNRESET')
	expect(lost.hits).toBe(1)
	expect(await rowsOnServer()).toEqual([1])
	expect(proxy.seen.statements.get('commit')).toBe(1)
	expect(proxy.seen.tags.get('INSERT 0 1')).toBe(1)
	expect(proxy.seen.tags.has('COMMIT')).toBe(false)
})

test('COMMIT that is cut before it is forwarded never reaches the server', async () => {
	proxy.intercept({ from: 'client', match: ({ text }) => text === 'commit', action: 'cut before', how: 'close' })
	const client = await connected()
	await client.query('begin')
	await client.query('insert into t values (1)')
	expect(await failure(client.query('commit'))).toBe('Connection terminated unexpectedly')
	expect(proxy.seen.statementsLike('COMMIT')).toBe(0)
	expect(await rowsOnServer()).toEqual([])
})

test('COMMIT that is cut after it was forwarded is carried out', async () => {
	proxy.intercept({ from: 'client', match: ({ text }) => text === 'commit', action: 'cut after' })
	const client = await connected()
	await client.query('begin')
	await client.query('insert into t values (1)')
	expect(await failure(client.query('commit'))).toBe('ECONNRESET')
	await until(async () => (await rowsOnServer()).length === 1, { what: 'the server to commit' })
})

test('a rule hits as often as it says, and not after it was removed', async () => {
	const rule = proxy.intercept({ from: 'client', match: ({ type }) => type === 'Query', action: 'pass', times: 2 })
	const client = await connected()
	for (let i = 0; i < 3; i++) await client.query('select 1')
	expect(rule.hits).toBe(2)
	const removed = proxy.intercept({ from: 'client', match: () => true, action: 'cut before' })
	removed.remove()
	await client.query('select 1')
	expect(removed.hits).toBe(0)
})

test('a message waits for onHit, and so does all that follows it', async () => {
	const order: string[] = []
	let release = () => {}
	const held = new Promise<void>((resolve) => {
		release = resolve
	})
	proxy.intercept({ from: 'client', match: ({ text }) => text === 'insert into t values (1)', action: 'pass', onHit: () => held })
	const client = await connected()
	const insert = client.query('insert into t values (1)').then(() => order.push('answered'))
	expect(await rowsOnServer()).toEqual([])
	order.push('looked')
	release()
	await insert
	expect(order).toEqual(['looked', 'answered'])
})

test('refused connections see ECONNREFUSED while old links live on, and the port is the same afterwards', async () => {
	const old = await connected()
	proxy.refuse()
	expect(await failure(newClient().connect())).toBe('ECONNREFUSED')
	expect((await old.query('select 1 as one')).rows).toEqual([{ one: 1 }])
	const { port } = proxy
	await proxy.accept()
	expect(proxy.port).toBe(port)
	await connected()
	expect(proxy.attempts).toBe(2)
})

test('rejected connections are counted and reset', async () => {
	await proxy.rejectConnections()
	expect(await failure(newClient().connect())).toBe('ECONNRESET')
	expect(await failure(newClient().connect())).toBe('ECONNRESET')
	await until(() => proxy.openConnections === 0, { what: 'the rejected connections to be closed' })
	expect([proxy.attempts, proxy.inFlightAttempts, proxy.attemptTimes.length]).toEqual([2, 0, 2])
	proxy.resetCounters()
	await proxy.accept()
	await connected()
	expect([proxy.attempts, proxy.maxInFlightAttempts]).toEqual([1, 1])
})

test('hanging connections stay in flight until they are cut, and the maximum is remembered', async () => {
	await proxy.hangConnections()
	const attempts = [failure(newClient().connect()), failure(newClient().connect())]
	await until(() => proxy.maxInFlightAttempts === 2, { what: 'two attempts in flight' })
	proxy.closeAll()
	expect(await Promise.all(attempts)).toEqual(['Connection terminated unexpectedly', 'Connection terminated unexpectedly'])
	await until(() => proxy.inFlightAttempts === 0, { what: 'no attempt in flight' })
	expect(proxy.maxInFlightAttempts).toBe(2)
})

test('a session that is ready is no attempt in flight any more, whatever becomes of it', async () => {
	const client = await connected()
	expect([proxy.openConnections, proxy.inFlightAttempts, proxy.maxInFlightAttempts]).toEqual([1, 0, 1])
	await client.query('select 1')
	await client.end()
	await until(() => proxy.openConnections === 0, { what: 'the link to be closed' })
	expect(proxy.inFlightAttempts).toBe(0)
})

test('a black hole towards the client: the server does the work, the client hears nothing until the link is reset', async () => {
	const client = await connected()
	proxy.swallow('toClient', true)
	let heard = false
	const insert = failure(client.query('insert into t values (1)')).finally(() => {
		heard = true
	})
	await until(async () => (await rowsOnServer()).length === 1, { what: 'the row on the server' })
	expect(heard).toBe(false)
	proxy.swallow('both', false)
	proxy.resetAll()
	expect(await insert).toBe('ECONNRESET')
})

test('a black hole towards the server: nothing arrives, and other links are well again afterwards', async () => {
	const client = await connected()
	proxy.swallow('toServer', true)
	const insert = failure(client.query('insert into t values (1)'))
	await until(() => proxy.seen.lostBytes.toServer > 0, { what: 'the statement to be lost' })
	proxy.swallow('toServer', false)
	const other = await connected()
	await other.query('insert into t values (2)')
	expect(await rowsOnServer()).toEqual([2])
	proxy.resetAll()
	expect(await insert).toBe('ECONNRESET')
})

test('a link is cut after exactly so many bytes, and the next one is whole', async () => {
	proxy.cutAfterBytes('toClient', 7, 'close')
	expect(await failure(newClient().connect())).toBe('Connection terminated unexpectedly')
	await connected()
})

test('delayed bytes arrive in order, and whole', async () => {
	const client = await connected()
	proxy.delay('both', 20)
	const { rows } = await client.query("select string_agg(n::text, ' ' order by n) as text from generate_series(1, 200000) n")
	expect(rows[0].text).toBe(Array.from({ length: 200_000 }, (_, index) => index + 1).join(' '))
})

test('a delayed statement has not arrived before its time, and is lost when the link is cut', async () => {
	const client = await connected()
	proxy.delay('toServer', 3_600_000)
	const insert = failure(client.query('insert into t values (1)'))
	expect(await rowsOnServer()).toEqual([])
	proxy.resetAll()
	expect(await insert).toBe('ECONNRESET')
	expect(await rowsOnServer()).toEqual([])
})

test('links that were closed and are then reset are gone all the same', async () => {
	for (const _ of [1, 2, 3]) await connected()
	proxy.closeAll()
	proxy.resetAll()
	await until(() => proxy.openConnections === 0, { what: 'the links to be gone' })
})

test('a killed backend is seen through the proxy as without it', async () => {
	const client = await connected()
	const ended = new Promise((resolve) => client.once('end', resolve))
	const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
	const busy = failure(client.query('select pg_sleep(60)'))
	await server.query(`select pg_terminate_backend(${rows[0]!.pid})`)
	expect(await busy).toBe('57P01')
	await ended
	await until(() => proxy.openConnections === 0, { what: 'the link to be closed' })
})

test('statements are counted by text, whether plain, with parameters or prepared by name', async () => {
	const client = await connected()
	await client.query('select 1')
	await client.query('select $1::int', [1])
	for (let i = 0; i < 2; i++) await client.query({ name: 'named', text: 'select $1::text', values: ['x'] })
	expect([...proxy.seen.statements]).toEqual([
		['select 1', 1],
		['select $1::int', 1],
		['select $1::text', 2],
	])
	expect(proxy.seen.statementsLike('SELECT $1')).toBe(3)
})
