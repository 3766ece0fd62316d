/** Does a wrapped mysql2 pool do what the bare one does? Runs the same steps on both, against real servers, and records what can be seen. */
import { type HoldfastPool, holdfast } from 'holdfast/mysql2'
import mysql, { type Pool, type PoolOptions } from 'mysql2'
import { afterAll, beforeAll } from 'vitest'
import { type Flavour, type MysqlServer, sharedMysql } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import { seen } from './side-by-side.ts'

/** A pool by its methods alone: mysql2 takes more forms than its types say. */
export interface Untyped {
	query(...given: unknown[]): unknown
	execute(...given: unknown[]): unknown
	getConnection(...given: unknown[]): unknown
	end(...given: unknown[]): unknown
}

type Kind = 'bare' | 'wrapped'
type PromisePool = ReturnType<Pool['promise']>

/** The server of a test file; it is there once `beforeAll` has run. */
export interface Ground {
	readonly server: MysqlServer
	/** A configuration for `createPool`, in a database of the file's own. */
	config(options?: PoolOptions): PoolOptions
	/** A wrapped pool that is ended after the file. */
	wrapped(options?: PoolOptions, how?: Parameters<typeof holdfast>[1]): HoldfastPool
	/** Runs `steps` on a bare and on a wrapped pool, each of its own, ends both, and checks that no connection is left. */
	both<T>(steps: (pool: Pool, kind: Kind) => Promise<T>, options?: PoolOptions): Promise<Record<Kind, T>>
	/** The same with the promise pools. */
	promised<T>(steps: (pool: PromisePool, kind: Kind) => Promise<T>, options?: PoolOptions): Promise<Record<Kind, T>>
}

/** Registers the hooks that give a test file its server. */
export function ground(flavour: Flavour, start: (flavour: Flavour) => Promise<MysqlServer> = sharedMysql): Ground {
	let server: MysqlServer | undefined
	let database = ''
	// Pools that are left open must not be counted where pairs of pools are compared.
	let paired = ''
	const pools: Pool[] = []
	beforeAll(async () => {
		server = await start(flavour)
		database = await server.createDatabase('drop_in')
		paired = await server.createDatabase('drop_in_pair')
	})
	afterAll(async () => {
		for (const pool of pools) pool.end(() => {})
		await server?.dispose()
	})
	const there = () => {
		if (server === undefined) throw new Error('the server is not there before beforeAll')
		return server
	}
	const config = (options: PoolOptions = {}) => ({ ...there().config(database), ...options }) as PoolOptions
	const noneLeft = async () => {
		const left = async () => (await there().connections()).filter(({ db }) => db === paired)
		await until(async () => (await left()).length === 0, { what: 'every connection to be closed' })
	}
	const both: Ground['both'] = async (steps, options) => {
		const run = async (kind: Kind) => {
			const pool = mysql.createPool({ ...config(options), database: paired })
			if (kind === 'wrapped') holdfast(pool)
			try {
				return await steps(pool, kind)
			} finally {
				await new Promise((resolve) => pool.end(resolve))
				await noneLeft()
			}
		}
		return { bare: await run('bare'), wrapped: await run('wrapped') }
	}
	return {
		get server() {
			return there()
		},
		config,
		wrapped(options, how) {
			const pool = mysql.createPool(config(options))
			pools.push(pool)
			return holdfast(pool, how)
		},
		both,
		promised: (steps, options) => both((pool, kind) => steps(pool.promise(), kind), options),
	}
}

/** How a call ends: by throwing at once, by a promise, or by what it returns. */
export async function ending(call: () => unknown): Promise<unknown> {
	let returned: unknown
	try {
		returned = call()
	} catch (error) {
		return { threw: seen(error) }
	}
	if (!(returned instanceof Promise)) return { returned: kindOf(returned) }
	try {
		return { resolved: plain(await returned) }
	} catch (error) {
		return { rejected: seen(error) }
	}
}

/** How a call with a callback ends, and what it returned. */
export function calledBack(call: (callback: (...answer: unknown[]) => void) => unknown): Promise<unknown> {
	return new Promise((resolve) => {
		let returned: unknown
		try {
			returned = call((...answer) => {
				const [error, ...rest] = answer
				const now = { error: error ? seen(error) : error, answer: [plain(rest[0]), plain(rest[1])] }
				setImmediate(() => resolve({ ...now, returned: kindOf(returned) }))
			})
		} catch (error) {
			resolve({ threw: seen(error) })
		}
	})
}

const kindOf = (value: unknown): string => (typeof value === 'object' && value !== null ? value.constructor.name : typeof value)

/** Rows, headers and fields as plain data. */
export function plain(value: unknown): unknown {
	if (Array.isArray(value)) return value.map(plain)
	if (typeof value !== 'object' || value === null || Buffer.isBuffer(value) || value instanceof Date) return value
	const name = value.constructor?.name
	if (name === 'ColumnDefinition') {
		const field = value as { name: string; table: string; columnType: number; flags: number }
		return { name: field.name, table: field.table, type: field.columnType, flags: field.flags }
	}
	return { of: name, ...(value as object) }
}
