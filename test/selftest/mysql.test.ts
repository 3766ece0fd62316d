/** Do the MySQL and MariaDB servers that the tests hurt behave: keep their data, die whole, come back on their port, leave nothing behind? */
import mysql from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Caught, caught } from '../support/caught.ts'
import { flavours, type MysqlServer, sharedMysql, startMysql } from '../support/mysql.ts'
import { until } from '../support/until.ts'

const reachable = async (port: number) => {
	try {
		const connection = await mysql.createConnection({ host: '127.0.0.1', port, user: 'holdfast', connectTimeout: 1_000 })
		await connection.end()
		return true
	} catch (error) {
		const { code, message } = error as Caught
		return code === 'ECONNREFUSED' ? false : `${code} ${message}`
	}
}

const connect = async (server: MysqlServer) => {
	const connection = await mysql.createConnection(server.config())
	connection.on('error', () => {})
	return connection
}

describe.each(flavours)('%s', (flavour) => {
	let server: MysqlServer
	let database: string
	beforeAll(async () => {
		server = await startMysql({ flavour, settings: { 'max-connections': '30' } })
		database = await server.createDatabase()
		await server.query('CREATE TABLE kept (id INT PRIMARY KEY); INSERT INTO kept VALUES (1)', database)
	})
	afterAll(() => server.dispose())

	test('it is the product that was asked for, with the settings that were asked for', async () => {
		const [row] = await server.query<{ version: string; most: number }>('SELECT VERSION() AS version, @@max_connections AS most')
		expect(/MariaDB/.test(row!.version)).toBe(flavour === 'mariadb')
		expect(row!.version.startsWith(server.version)).toBe(true)
		expect(row!.most).toBe(30)
	})

	test('the account of the tests is no administrator: read_only binds it, and the server keeps no place for it', async () => {
		await server.applySettings({ read_only: 1 })
		const connection = await connect(server)
		const refused = await caught(connection.query(`INSERT INTO ${database}.kept VALUES (2)`))
		expect(refused?.errno).toBe(1290)
		await server.applySettings({ read_only: 0, max_connections: flavour === 'mysql' ? 2 : 10 })
		const crowd = [connection]
		const full = await caught(
			(async () => {
				for (;;) crowd.push(await connect(server))
			})(),
		)
		expect(full?.errno).toBe(1040)
		expect((await server.connections()).length).toBe(crowd.length)
		await Promise.all(crowd.map((one) => one.end()))
		await server.applySettings({ max_connections: 30 })
		await until(async () => (await server.connections()).length === 0, { what: 'the connections to be gone' })
	})

	test.each(['fast', 'kill'] as const)('a restart (%s) keeps the port and the data', async (mode) => {
		const { port } = server
		await server.query('INSERT INTO kept VALUES (7)', database)
		await server.restart(mode)
		expect(server.port).toBe(port)
		expect(await server.query('SELECT id FROM kept', database)).toEqual([{ id: 1 }, { id: 7 }])
		await server.query('DELETE FROM kept WHERE id = 7', database)
	})

	test('a killed server refuses connections, ends what runs, and has forgotten what was not committed', async () => {
		const connection = await connect(server)
		await connection.query('START TRANSACTION')
		await connection.query(`INSERT INTO ${database}.kept VALUES (3)`)
		const busy = caught(connection.query('SELECT SLEEP(60)'))
		await until(async () => (await server.connections()).some(({ info }) => info?.includes('SLEEP')), { what: 'the long query to begin' })
		await server.kill()
		expect(await reachable(server.port)).toBe(false)
		expect((await busy)?.code).toMatch(/PROTOCOL_CONNECTION_LOST|ECONNRESET/)
		await server.start()
		expect(await server.query('SELECT id FROM kept', database)).toEqual([{ id: 1 }])
	})

	test('a connection that is killed is gone from the list, and the others live on', async () => {
		const victim = await connect(server)
		const witness = await connect(server)
		await server.killConnection(victim.threadId)
		expect((await server.connections()).map(({ id }) => id)).toEqual([witness.threadId])
		expect(await caught(victim.query('SELECT 1'))).toBeInstanceOf(Error)
		await witness.query('SELECT 1')
		await witness.end()
	})

	test('a paused server accepts no session until it is resumed', async () => {
		await server.pause()
		const options = { ...server.config(), connectTimeout: 200 }
		await expect(mysql.createConnection(options)).rejects.toThrow('ETIMEDOUT')
		await server.resume()
		expect(await server.query('SELECT 1 AS one')).toEqual([{ one: 1 }])
	})

	test('a second server has a port and data of its own', async () => {
		const other = await startMysql({ flavour })
		try {
			expect(other.port).not.toBe(server.port)
			await other.query('CREATE TABLE holdfast.only_here (id INT)')
			expect(await server.query("SHOW TABLES LIKE 'only_here'", 'holdfast')).toEqual([])
			await other.kill()
			expect(await server.query('SELECT id FROM kept', database)).toEqual([{ id: 1 }])
		} finally {
			await other.dispose()
			await other.dispose()
		}
		expect(await reachable(other.port)).toBe(false)
		await expect(other.start()).rejects.toThrow('disposed')
	})

	test('a given server is used and cannot be hurt', async () => {
		const variable = flavour === 'mysql' ? 'HOLDFAST_MYSQL_URL' : 'HOLDFAST_MARIADB_URL'
		const before = process.env[variable]
		process.env[variable] = `mysql://root@127.0.0.1:${server.port}/${database}`
		try {
			const given = await sharedMysql(flavour)
			expect(await sharedMysql(flavour)).toBe(given)
			expect([given.source, given.port, given.version]).toEqual(['given', server.port, server.version])
			expect(await given.query('SELECT id FROM kept')).toEqual([{ id: 1 }])
			await expect(given.kill()).rejects.toThrow(`cannot kill the server that ${variable} names`)
			await expect(given.restart()).rejects.toThrow(`cannot stop the server that ${variable} names`)
			await given.dispose()
			expect(await reachable(server.port)).toBe(true)
		} finally {
			if (before === undefined) delete process.env[variable]
			else process.env[variable] = before
		}
	})

	test('a server that cannot start says why, at once', async () => {
		await expect(startMysql({ flavour, settings: { no_such_setting: '1' } })).rejects.toThrow('no-such-setting')
	})
})

test('where no server can be had, the error names every way that was tried and what to do', async () => {
	process.env.HOLDFAST_MYSQL_SOURCE = 'nowhere'
	try {
		await expect(startMysql()).rejects.toThrow(/no mysql to be had\. Start Docker, or install mysql/)
	} finally {
		delete process.env.HOLDFAST_MYSQL_SOURCE
	}
})
