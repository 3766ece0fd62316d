/** How does the command line reach a MySQL or MariaDB: a pool to wait with, a session to ask over? */
import type { Connection, createConnection, createPool } from 'mysql2'
import { createScheduler, systemClock } from '../../src/index.ts'
import { packageOf } from '../package-of.ts'
import type { Product, Row, Session } from '../product.ts'
import { examine } from './examine.ts'

interface Mysql2 {
	readonly default: { readonly createPool: typeof createPool; readonly createConnection: typeof createConnection }
}

const load = async () => (await packageOf<Mysql2>('mysql2')).default

/** What is used of a pool and a connection beyond their types. */
interface Inside {
	readonly config: {
		readonly connectionConfig: {
			readonly host: string
			readonly port: number
			readonly socketPath?: string
			readonly user?: string
			readonly database?: string
		}
	}
}
interface Greeting {
	readonly stream: { readonly encrypted?: boolean }
}

export const mysql: Product = {
	async place(target) {
		const { createPool } = await load()
		const pool = createPool({ uri: target.url })
		const { host, port, socketPath, user, database } = (pool as unknown as Inside).config.connectionConfig
		pool.end()
		return { address: socketPath ?? `${host}:${port}`, user, database: database || undefined }
	},

	async pool(target, attemptTimeoutMs) {
		const { createPool } = await load()
		const { holdfast } = await import('../../drivers/mysql2/index.ts')
		const bare = createPool({ uri: target.url, connectionLimit: 1, connectTimeout: attemptTimeoutMs, connectAttributes: named('wait') })
		const scheduler = createScheduler({ probeTimeoutMs: attemptTimeoutMs })
		const pool = holdfast(bare, { scheduler, attemptTimeoutMs, commit: 'off' })
		const end = () => new Promise<void>((resolve, reject) => pool.end((error) => (error ? reject(error) : resolve())))
		return { holdfast: pool.holdfast, end }
	},

	async connect(target, timeoutMs) {
		const { createConnection } = await load()
		const connection = createConnection({ uri: target.url, connectTimeout: timeoutMs, connectAttributes: named('doctor') })
		connection.on('error', () => {})
		// The driver's own time limit is over with the greeting; a server may fall silent behind that.
		await inTime(timeoutMs, connection, (done) => connection.connect(done))
		return sessionOf(connection, timeoutMs)
	},

	examine,
}

// What performance_schema.session_connect_attrs shows.
const named = (command: string) => ({ program_name: `holdfast ${command}` })

function sessionOf(connection: Connection, timeoutMs: number): Session {
	return {
		ask: (text, values) =>
			inTime(timeoutMs, connection, (done) => {
				connection.query(text, values === undefined ? [] : [...values], (error, rows) => done(error, rows as unknown as readonly Row[]))
			}),
		greetedAs: connection.threadId ?? undefined,
		encrypted: (connection as unknown as Greeting).stream.encrypted === true,
		close: () => connection.end(() => {}),
	}
}

/** Rejects, and cuts the connection, where no answer comes in time. */
function inTime<T>(timeoutMs: number, connection: Connection, ask: (done: (error: unknown, answer?: T) => void) => void): Promise<T> {
	return new Promise((resolve, reject) => {
		const timer = systemClock.setTimer(() => {
			connection.destroy()
			reject(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT', syscall: 'connect' }))
		}, timeoutMs)
		ask((error, answer) => {
			systemClock.clearTimer(timer)
			if (error) reject(error)
			else resolve(answer as T)
		})
	})
}
