/** Does the fault proxy understand real MySQL and MariaDB sessions of mysql2, and strike at the message it was told to? */
import { Readable } from 'node:stream'
import mysql, { type Connection, type ConnectionOptions, type ResultSetHeader } from 'mysql2/promise'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { caught } from '../support/caught.ts'
import { flavours, type MysqlServer, startMysql } from '../support/mysql.ts'
import type { Message } from '../support/protocol.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'

describe.each(flavours)('%s', (flavour) => {
	let server: MysqlServer
	let proxy: FaultProxy
	let log: string[]
	beforeAll(async () => {
		server = await startMysql({ flavour, settings: { max_allowed_packet: '64M', local_infile: 'ON' } })
		await server.query('CREATE TABLE t (id INT PRIMARY KEY, text LONGTEXT)', 'holdfast')
		await server.query('CREATE PROCEDURE two() BEGIN SELECT 1; SELECT 2; END', 'holdfast')
	})
	beforeEach(async () => {
		proxy = await startProxy({ target: server, protocol: 'mysql' })
		log = []
		await server.query('TRUNCATE TABLE t', 'holdfast')
	})
	afterEach(() => proxy.close())
	afterAll(() => server.dispose())

	const connect = async (options: ConnectionOptions = {}): Promise<Connection> => {
		const connection = await mysql.createConnection({ ...server.config(), host: proxy.host, port: proxy.port, ...options })
		connection.on('error', () => {})
		return connection
	}

	/** Logs all messages from now on. */
	const listen = () => {
		const write = ({ type, text, tag, code }: Message) => {
			const detail = tag ?? code ?? (text === undefined ? undefined : text.slice(0, 30))
			log.push(detail === undefined ? type : `${type} ${detail}`)
		}
		for (const from of ['client', 'server'] as const) {
			proxy.intercept({ from, match: () => true, action: 'pass', times: Number.POSITIVE_INFINITY, onHit: write })
		}
	}
	const said = () => log.splice(0)

	test('a session is read from its greeting to its end', async () => {
		listen()
		const connection = await connect({ multipleStatements: true })
		expect([said().at(0), proxy.inFlightAttempts]).toEqual(['Greeting', 0])
		await connection.query("INSERT INTO t VALUES (1, 'a'), (2, NULL)")
		expect(said()).toEqual(["COM_QUERY INSERT INTO t VALUES (1, 'a'),", 'OK INSERT'])
		await connection.query('SELECT * FROM t')
		const definitions = ['ColumnDefinition', 'ColumnDefinition', 'EOF']
		expect(said()).toEqual(['COM_QUERY SELECT * FROM t', 'ResultSetHeader', ...definitions, 'Row', 'Row', 'ResultSetEnd SELECT'])
		await connection.query('DELETE FROM t WHERE id = 2; SELECT 1; COMMIT')
		const one = ['ResultSetHeader', 'ColumnDefinition', 'EOF', 'Row']
		expect(said()).toEqual(['COM_QUERY DELETE FROM t WHERE id = 2; SE', 'OK DELETE', ...one, 'ResultSetEnd SELECT', 'OK COMMIT'])
		await connection.query('CALL two()')
		expect(said()).toEqual(['COM_QUERY CALL two()', ...one, 'ResultSetEnd CALL', ...one, 'ResultSetEnd CALL', 'OK CALL'])
		expect((await caught(connection.query('INSERT INTO t VALUES (1, NULL)')))?.errno).toBe(1062)
		expect(said().at(-1)).toBe('ERR 1062')
		await connection.ping()
		expect(said()).toEqual(['COM_PING', 'OK'])
		await connection.reset()
		expect(said()).toEqual(['COM_RESET_CONNECTION', 'OK'])
		await connection.changeUser({ database: 'holdfast' })
		expect([log.at(0), log.at(-1), said().includes('ERR')]).toEqual(['COM_CHANGE_USER', 'OK', false])
		await connection.end()
		await until(() => proxy.openConnections === 0, { what: 'the session to be over' })
		expect(said()).toEqual(['COM_QUIT'])
	})

	test('a prepared statement is known by its text whenever it runs', async () => {
		const connection = await connect()
		listen()
		await connection.execute('INSERT INTO t VALUES (?, ?)', [5, 'five'])
		await connection.execute('INSERT INTO t VALUES (?, ?)', [6, 'six'])
		const [run, done] = ['COM_STMT_EXECUTE INSERT INTO t VALUES (?, ?)', 'OK INSERT']
		const parameters = ['ColumnDefinition', 'ColumnDefinition', 'EOF']
		expect(said()).toEqual(['COM_STMT_PREPARE INSERT INTO t VALUES (?, ?)', 'PrepareOK', ...parameters, run, done, run, done])
		const [rows] = await connection.execute('SELECT text FROM t WHERE id = ?', [6])
		expect(rows).toEqual([{ text: 'six' }])
		expect(said().slice(-2)).toEqual(['Row', 'ResultSetEnd SELECT'])
		expect(proxy.seen.statements.get('INSERT INTO t VALUES (?, ?)')).toBe(2)
		expect(proxy.seen.tags.get('INSERT')).toBe(2)
		await connection.unprepare('INSERT INTO t VALUES (?, ?)')
		await connection.query('DO 1')
		// Closing has no answer, so the next one must not be taken for it.
		expect([log.at(0), ...said().slice(-2)]).toEqual(['COM_STMT_CLOSE', 'COM_QUERY DO 1', 'OK DO'])
		await connection.end()
	})

	test('messages of more than 16 MB and files of the client pass whole in both directions', async () => {
		const connection = await connect()
		listen()
		const text = 'x'.repeat(17 * 1024 * 1024)
		await connection.query('INSERT INTO t VALUES (1, ?)', [text])
		expect(said()).toEqual(["COM_QUERY INSERT INTO t VALUES (1, 'xxxx", 'OK INSERT'])
		const [rows] = await connection.query<mysql.RowDataPacket[]>('SELECT text FROM t')
		expect(rows[0]!.text === text).toBe(true)
		expect(said().slice(-2)).toEqual(['Row', 'ResultSetEnd SELECT'])
		const [loaded] = await connection.query<ResultSetHeader>({
			sql: "LOAD DATA LOCAL INFILE 'rows' INTO TABLE t FIELDS TERMINATED BY ','",
			infileStreamFactory: () => Readable.from([Buffer.from('7,seven\n'), Buffer.from('8,eight\n')]),
		})
		expect(loaded.affectedRows).toBe(2)
		expect(said()).toEqual([
			"COM_QUERY LOAD DATA LOCAL INFILE 'rows' ",
			'LocalInfileRequest',
			...['ClientData', 'ClientData', 'ClientData'],
			'OK LOAD',
		])
		await connection.end()
	})

	test('a COMMIT whose reply is cut off has happened, and one that is cut off itself has not', async () => {
		for (const [id, rule] of [
			[1, { from: 'server', match: ({ tag }: Message) => tag === 'COMMIT', action: 'cut before' }],
			[2, { from: 'client', match: ({ text }: Message) => text === 'COMMIT', action: 'cut before' }],
			[3, { from: 'client', match: ({ text }: Message) => text === 'COMMIT', action: 'cut after' }],
		] as const) {
			const connection = await connect()
			await connection.query('START TRANSACTION')
			await connection.query('INSERT INTO t VALUES (?, NULL)', [id])
			const cut = proxy.intercept(rule)
			const lost = await caught(connection.query('COMMIT'))
			expect([cut.hits, lost?.code]).toEqual([1, expect.stringMatching(/ECONNRESET|PROTOCOL_CONNECTION_LOST/)])
			cut.remove()
			await until(async () => (await server.connections()).length === 0, { what: 'the session to be over on the server' })
		}
		expect(await server.query('SELECT id FROM t ORDER BY id', 'holdfast')).toEqual([{ id: 1 }, { id: 3 }])
	})

	test('the server can be killed at the very message', async () => {
		const connection = await connect()
		await connection.query('START TRANSACTION')
		await connection.query('INSERT INTO t VALUES (1, NULL)')
		proxy.intercept({ from: 'server', match: ({ tag }) => tag === 'COMMIT', action: 'cut before', onHit: () => server.kill() })
		expect(await caught(connection.query('COMMIT'))).toBeDefined()
		expect((await caught(connect()))?.code).toMatch(/ECONNRESET|PROTOCOL_CONNECTION_LOST/)
		await server.start()
		expect(await server.query('SELECT id FROM t', 'holdfast')).toEqual([{ id: 1 }])
	})

	test('a reply that vanishes leaves the caller waiting, and the row in the table', async () => {
		const connection = await connect()
		const hole = proxy.intercept({ from: 'server', match: ({ tag }) => tag === 'INSERT', action: 'black hole' })
		const waiting = caught(connection.query('INSERT INTO t VALUES (1, NULL)'))
		await until(() => hole.hits === 1, { what: 'the reply to vanish' })
		expect(await server.query('SELECT id FROM t', 'holdfast')).toEqual([{ id: 1 }])
		proxy.resetAll()
		expect((await waiting)?.code).toBe('ECONNRESET')
	})
})
