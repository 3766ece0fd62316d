/** Does a wrapped knex instance do what the bare one does? Runs the same steps on both, each in a database of its own, and records what can be seen. */
import type { PoolOptions } from 'holdfast'
import { type HoldfastKnex, holdfast } from 'holdfast/knex'
import makeKnex, { type Knex } from 'knex'
import { afterAll, beforeAll } from 'vitest'
import { sharedMysql } from '../support/mysql.ts'
import { sharedPostgres } from '../support/postgres.ts'

export type Product = 'postgres' | 'mysql' | 'mariadb'

interface Server {
	config(database?: string): object
	createDatabase(prefix?: string): Promise<string>
	dispose(): Promise<void>
}

/** The server of a test file; it is there once `beforeAll` has run. */
export interface KnexGround {
	readonly server: Server
	/** The config of an instance on an empty database of its own. */
	config(options?: Partial<Knex.Config>, connection?: object): Promise<Knex.Config>
	/** Runs `steps` on a bare and on a wrapped instance, each on its own database, and ends both. */
	both<T>(steps: (knex: Knex, kind: 'bare' | 'wrapped') => Promise<T>, options?: Partial<Knex.Config>): Promise<{ bare: T; wrapped: T }>
	/** A wrapped instance that is ended after the file. */
	wrapped(options?: Partial<Knex.Config>, how?: PoolOptions, connection?: object): Promise<HoldfastKnex>
}

const quiet = { warn: () => {}, error: () => {}, deprecate: () => {}, debug: () => {} }

/** Registers the hooks that give a test file its server. */
export function knexGround(product: Product): KnexGround {
	let server: Server | undefined
	const instances: Knex[] = []
	beforeAll(async () => {
		server = product === 'postgres' ? await sharedPostgres() : await sharedMysql(product)
	})
	afterAll(async () => {
		// A test that failed may hold a connection for ever: that must not hang the hook as well.
		for (const knex of instances) knex.destroy().catch(() => {})
		await server?.dispose()
	})
	const there = () => {
		if (server === undefined) throw new Error('the server is not there before beforeAll')
		return server
	}
	const config: KnexGround['config'] = async (options = {}, connection = {}) => ({
		client: product === 'postgres' ? 'pg' : 'mysql2',
		connection: { ...there().config(await there().createDatabase('knex')), ...connection },
		log: quiet,
		...options,
	})
	return {
		get server() {
			return there()
		},
		config,
		async wrapped(options, how, connection) {
			const knex = holdfast(makeKnex(await config(options, connection)), how)
			instances.push(knex)
			return knex
		},
		async both(steps, options) {
			const run = async (kind: 'bare' | 'wrapped') => {
				const knex = makeKnex(await config(options))
				if (kind === 'wrapped') holdfast(knex)
				instances.push(knex)
				try {
					return await steps(knex, kind)
				} finally {
					await knex.destroy()
				}
			}
			return { bare: await run('bare'), wrapped: await run('wrapped') }
		},
	}
}

/** What a caller can tell of an error, but for the stack. */
function seenError(error: unknown): unknown {
	if (!(error instanceof Error)) return { thrown: error }
	const { stack: _stack, ...fields } = Object.fromEntries(Object.getOwnPropertyNames(error).map((name) => [name, Reflect.get(error, name)]))
	return { class: error.constructor.name, name: error.name, ...fields, message: error.message }
}

/** How a call ends. */
export async function ending(call: () => PromiseLike<unknown> | unknown): Promise<unknown> {
	try {
		return { resolved: plain(await call()) }
	} catch (error) {
		return { rejected: plain(seenError(error)) }
	}
}

/** As plain data, without the names that differ from run to run: of databases and of transactions. */
export function plain(value: unknown): unknown {
	if (value === undefined) return 'undefined'
	const text = JSON.stringify(value, (_key, inner) => (typeof inner === 'bigint' ? `${inner}n` : inner))
	return JSON.parse(text.replaceAll(/\btrx\d+\b/g, 'trx').replaceAll(/\bknex_[0-9a-f]{12}\b/g, 'knex_database'))
}
