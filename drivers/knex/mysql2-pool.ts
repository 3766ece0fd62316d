/** Which mysql2 pool does what the knex instance was told? Made of the instance's own settings, hooks and limits. */
import type { ConnectionCallback, Mysql2Connection, Mysql2Pool } from '../mysql2/shape.ts'
import { refreshSettings } from './provider.ts'
import type { ClientConfig, KnexClient, KnexConnection } from './shape.ts'
import { nextUid } from './uid.ts'

/** mysql2's pool, with what is needed to open connections with other settings. */
interface OwnPool extends Mysql2Pool {
	readonly config: Mysql2Pool['config'] & { connectionConfig: Mysql2Pool['config']['connectionConfig'] }
}

interface Mysql2Driver {
	createPool(options: object): OwnPool
}

export interface Mysql2PoolOfKnex {
	readonly pool: Mysql2Pool
	/** Brings the settings up to date where `connection` is a function and what it gave has expired. */
	refresh(): Promise<void>
}

/** Makes the pool; nothing is opened yet. */
export function makeMysql2Pool(client: KnexClient, config: ClientConfig): Mysql2PoolOfKnex {
	const driver = client.driver as Mysql2Driver
	const settings = client.getPoolSettings(config.pool)
	const limits = {
		connectionLimit: settings.max,
		// So mysql2 closes none by itself.
		maxIdle: settings.max,
		...(settings.createTimeoutMillis !== undefined && { connectTimeout: settings.createTimeoutMillis }),
	}
	const pool = driver.createPool(withSettings(client.connectionSettings, limits))
	const checks = client.connectionConfigProvider !== undefined || needsChecks(config)
	const madeWith = new WeakMap<Mysql2Connection, object>()
	const isGood = async (connection: Mysql2Connection): Promise<boolean> => {
		const known = madeWith.get(connection)
		if (known !== undefined) return known === client.connectionSettings && (!checks || settings.validate(connection as KnexConnection))
		madeWith.set(connection, client.connectionSettings)
		await prepare(client, connection, config.pool?.afterCreate)
		return true
	}
	slipUnder(pool, !checks, (connection) => (checks || !madeWith.has(connection) ? isGood(connection) : true))
	let current = client.connectionSettings
	return {
		pool,
		async refresh() {
			if (client.connectionConfigProvider === undefined) return
			await refreshSettings(client)
			if (client.connectionSettings === current) return
			current = client.connectionSettings
			const another = driver.createPool(withSettings(current, limits))
			pool.config.connectionConfig = another.config.connectionConfig
			another.end()
		},
	}
}

/** With its properties as they are: knex hides the password from enumeration. */
function withSettings(settings: object, limits: object): object {
	const copy = Object.create(Object.getPrototypeOf(settings), Object.getOwnPropertyDescriptors(settings))
	return Object.assign(copy, limits)
}

const needsChecks = ({ pool }: ClientConfig): boolean => pool?.validate !== undefined || pool?.maxConnectionLifetimeMillis !== undefined

/** What knex does with each new connection: version, the user's `afterCreate`. */
async function prepare(client: KnexClient, connection: Mysql2Connection & Partial<KnexConnection>, afterCreate: unknown): Promise<void> {
	connection.__knexUid = nextUid()
	connection.on('error', (error) => {
		connection.__knex__disposed = error
	})
	await client.checkVersion(connection).catch(() => undefined)
	if (typeof afterCreate !== 'function') return
	await new Promise<void>((resolve, reject) => {
		afterCreate(connection, (error?: unknown) => (error ? reject(error) : resolve()))
	})
}

/** Puts a class of ours between the pool and mysql2's own: what the pool hands out goes past `check` first. */
function slipUnder(pool: OwnPool, handsOutIdleAsIs: boolean, check: (connection: Mysql2Connection) => true | Promise<boolean>): void {
	const base = Object.getPrototypeOf(pool) as OwnPool
	const getConnection = function (this: OwnPool, callback: ConnectionCallback): void {
		base.getConnection.call(this, (error, connection) => {
			if (connection === undefined) return callback(error)
			const good = check(connection)
			if (good === true) return callback(null, connection)
			const refuse = (reason: unknown) => {
				connection.destroy()
				callback(reason)
			}
			good.then((isGood) => (isGood ? callback(null, connection) : refuse(null)), refuse)
		})
	}
	Object.setPrototypeOf(pool, Object.assign(Object.create(base), { getConnection, handsOutIdleAsIs }))
}
