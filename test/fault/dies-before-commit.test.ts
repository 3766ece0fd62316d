/** The connection breaks while a transaction has nothing running on it: what becomes of the transaction? */
import type { HoldfastPool } from 'holdfast/pg'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { staged } from '../support/staged.ts'
import { stage } from './stage.ts'

const at = staged(stage)
beforeAll(async () => {
	await at.ask('CREATE TABLE written (attempt int)')
})
beforeEach(() => at.ask('TRUNCATE written'))

/** Terminates the backend of the transaction and resolves when the client knows that its connection is gone. */
function terminator(pool: HoldfastPool): (pid: number) => Promise<void> {
	const ends: Promise<void>[] = []
	pool.on('connect', (client) => ends.push(new Promise((resolve) => client.on('end', resolve))))
	return async (pid) => {
		await at.ask(`SELECT pg_terminate_backend(${pid})`)
		await ends.at(-1)
	}
}

test('a connection that is lost between the last statement and COMMIT costs a rerun and no error: COMMIT was never sent', async () => {
	const pool = at.wrap()
	const terminate = terminator(pool)
	let attempts = 0
	const value = await pool.transaction(async (tx) => {
		attempts += 1
		const { rows } = await tx.query<{ pid: number }>(`INSERT INTO written VALUES (${attempts}) RETURNING pg_backend_pid() AS pid`)
		if (attempts === 1) await terminate(rows[0]?.pid as number)
		return attempts
	})
	expect(value).toBe(2)
	expect(await at.ask('SELECT attempt FROM written')).toEqual([{ attempt: 2 }])
	expect(pool.holdfast.stats()).toMatchObject({ retries: { connection_lost: 1 }, inDoubt: 0 })
})

test('when no rerun is allowed, the caller gets the error of pg', async () => {
	const pool = at.wrap({ stop: () => true })
	const terminate = terminator(pool)
	const lost = pool.transaction(async (tx) => {
		const { rows } = await tx.query<{ pid: number }>('INSERT INTO written VALUES (1) RETURNING pg_backend_pid() AS pid')
		await terminate(rows[0]?.pid as number)
	})
	await expect(lost).rejects.toThrow('Client has encountered a connection error and is not queryable')
	expect(await at.ask('SELECT attempt FROM written')).toEqual([])
})

test('an error that the function throws itself stays the answer when its connection is lost meanwhile', async () => {
	const pool = at.wrap()
	const terminate = terminator(pool)
	const refusal = new Error('not enough money')
	let attempts = 0
	const refused = pool.transaction(async (tx) => {
		attempts += 1
		const { rows } = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
		await terminate(rows[0]?.pid as number)
		throw refusal
	})
	await expect(refused).rejects.toBe(refusal)
	expect(attempts).toBe(1)
})
