/** Does this process end by itself? A program that ends its pools in the situation it is told, and then does nothing more. */
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError } from 'holdfast'

/** What a program does with a pool. */
interface ProgramPool {
	read(): Promise<unknown>
	transaction(): Promise<unknown>
	borrow(): Promise<unknown>
	end(): Promise<void>
}

const [driver, situation, port, parked = '0'] = process.argv.slice(2)
const config = { host: '127.0.0.1', port: Number(port) }
const makePool = driver === 'pg' ? await pgPools() : await mysql2Pools()
const pools = Array.from({ length: 3 }, makePool)
const callers = Number(parked)

// Only the package that is measured is loaded.
async function pgPools(): Promise<() => ProgramPool> {
	const { default: pg } = await import('pg')
	const { holdfast } = await import('holdfast/pg')
	return () => {
		const pool = holdfast(new pg.Pool({ ...config, user: 'postgres', database: 'postgres', max: 10 }))
		return {
			read: () => pool.query('select 1'),
			transaction: () => pool.transaction(async (tx) => tx.query('select 1')),
			borrow: () => pool.connect().then((client) => client.release()),
			end: () => pool.end(),
		}
	}
}

async function mysql2Pools(): Promise<() => ProgramPool> {
	const { createPool } = await import('mysql2/promise')
	const { holdfast } = await import('holdfast/mysql2')
	return () => {
		const pool = holdfast(createPool({ ...config, user: 'holdfast', database: 'holdfast', connectionLimit: 10 }))
		return {
			read: () => pool.query('select 1'),
			transaction: () => pool.transaction(async (tx) => tx.query('select 1')),
			borrow: () => pool.getConnection().then((connection) => connection.release()),
			end: () => pool.end(),
		}
	}
}

/** Calls of every kind, so that every kind of wait is left. */
function call(pool: ProgramPool, number: number): Promise<unknown> {
	if (number % 3 === 0) return pool.read()
	if (number % 3 === 1) return pool.transaction()
	return pool.borrow()
}

const codes = new Map<string, number>()
const count = (code: string) => codes.set(code, (codes.get(code) ?? 0) + 1)

if (situation === 'idle') await Promise.all(pools.map((pool) => pool.read()))
const calls = Array.from({ length: callers }, async (_, number) => {
	await call(pools[number % pools.length] as ProgramPool, number).then(
		() => count('answered'),
		(error) => count(error instanceof HoldfastError ? error.code : `not clear: ${String(error)}`),
	)
})
if (situation === 'outage') await sleep(1_500)
const endedAt = Date.now()
const ends = pools.map((pool) => pool.end())
await Promise.all(calls)
await Promise.all(ends)
console.log(JSON.stringify({ endedAt, codes: Object.fromEntries(codes) }))
