/** Does this process end by itself? A program that ends its pools in the situation it is told, and then does nothing more. */
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError } from 'holdfast'
import { holdfast } from 'holdfast/pg'
import pg from 'pg'

const [situation, url = '', parked = '0'] = process.argv.slice(2)
const pools = Array.from({ length: 3 }, () => holdfast(new pg.Pool({ connectionString: url, max: 10 })))
const callers = Number(parked)

/** Calls of every kind, so that every kind of wait is left. */
function call(pool: (typeof pools)[number], number: number): Promise<unknown> {
	if (number % 3 === 0) return pool.query('select 1')
	if (number % 3 === 1) return pool.transaction(async (tx) => tx.query('select 1'))
	return pool.connect().then((client) => client.release())
}

const codes = new Map<string, number>()
const count = (code: string) => codes.set(code, (codes.get(code) ?? 0) + 1)

if (situation === 'idle') await Promise.all(pools.map((pool) => pool.query('select 1')))
const calls = Array.from({ length: callers }, async (_, number) => {
	await call(pools[number % pools.length] as (typeof pools)[number], number).then(
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
