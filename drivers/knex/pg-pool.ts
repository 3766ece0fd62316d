/** Which pg pool does what the knex instance was told? Made of the instance's own settings, hooks and limits. */
import type { PgClient, PgClientClass, PgPool, QueryCallback } from '../pg/shape.ts'
import { busyError } from './faults.ts'
import { idleTimeoutMs } from './options.ts'
import { refreshSettings } from './provider.ts'
import type { ClientConfig, KnexClient, KnexConnection } from './shape.ts'
import { nextUid } from './uid.ts'

interface PgDriver {
	readonly Pool: new (options: object) => PgPool
	readonly Client: PgClientClass
}

type Prepared = (error?: unknown) => void

/** Makes the pool; nothing is opened yet. */
export function makePgPool(client: KnexClient, config: ClientConfig): PgPool {
	const { Pool, Client } = client.driver as PgDriver
	const settings = client.getPoolSettings(config.pool)
	const own = {
		max: settings.max,
		min: settings.min,
		idleTimeoutMillis: settings.idleTimeoutMillis ?? idleTimeoutMs,
		connectionTimeoutMillis: settings.acquireTimeoutMillis,
		query_timeout: (client.connectionSettings as { query_timeout?: number }).query_timeout,
		// The settings of a connection are those of the moment at which it is opened.
		Client: class extends Client {
			constructor() {
				super(connectionSettings(client, settings.createTimeoutMillis))
			}
		},
		verify: (connection: PgClient, done: Prepared) => {
			prepare(client, connection, config.pool?.afterCreate).then(() => done(), done)
		},
	}
	return needsChecks(client, config) ? checkedPool(Pool, client, settings, own) : new Pool(own)
}

function connectionSettings({ connectionSettings: settings }: KnexClient, createTimeoutMs: number | undefined): object {
	if (createTimeoutMs === undefined) return settings
	// With its properties as they are: knex hides the password from enumeration.
	const copy = Object.create(Object.getPrototypeOf(settings), Object.getOwnPropertyDescriptors(settings))
	copy.connectionTimeoutMillis ??= createTimeoutMs
	return copy
}

/** What knex does with each new connection: version, search path, the user's `afterCreate`. */
async function prepare(client: KnexClient, connection: PgClient & Partial<KnexConnection>, afterCreate: unknown): Promise<void> {
	connection.__knexUid = nextUid()
	connection.on('error', (error) => {
		connection.__knex__disposed = error
	})
	connection.on('end', () => {
		connection.__knex__disposed ??= 'Connection ended unexpectedly'
	})
	if (!client.version) client.version = await client.checkVersion(connection)
	await client.setSchemaSearchPath?.(connection)
	if (typeof afterCreate !== 'function') return
	await new Promise<void>((resolve, reject) => {
		const done: QueryCallback = (error) => (error ? reject(error) : resolve())
		afterCreate(connection, done)
	})
}

const needsChecks = ({ connectionConfigProvider }: KnexClient, { pool }: ClientConfig): boolean =>
	connectionConfigProvider !== undefined || pool?.validate !== undefined || pool?.maxConnectionLifetimeMillis !== undefined

/** A pool that asks knex about each connection before it is used, as the pool of knex does. */
function checkedPool(Pool: PgDriver['Pool'], client: KnexClient, settings: ReturnType<KnexClient['getPoolSettings']>, own: object): PgPool {
	class CheckedPool extends Pool {
		override connect(callback?: Parameters<PgPool['connect']>[0]): unknown {
			const checked = this.#checked()
			if (callback === undefined) return checked
			checked.then(
				(connection) => callback(undefined, connection, connection.release),
				(error) => callback(error, undefined, () => {}),
			)
			return undefined
		}

		async #checked(): Promise<PgClient> {
			for (let refused = 0; refused <= settings.max; refused++) {
				if (this.idleCount === 0) await refreshSettings(client)
				const connection = (await super.connect()) as PgClient & KnexConnection
				try {
					if (await settings.validate(connection)) return connection
				} catch (error) {
					connection.release(true)
					throw error
				}
				connection.release(true)
			}
			throw busyError(new Error('validate refused every connection'))
		}
	}
	return new CheckedPool(own)
}
