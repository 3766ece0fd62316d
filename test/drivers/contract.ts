/** What must every driver keep, whatever its database? The promises of a wrapped pool, in words that fit all of them. */
import { HoldfastError } from 'holdfast'
import { beforeAll, expect, test } from 'vitest'
import { caught } from '../support/caught.ts'
import { until } from '../support/until.ts'

/** What the contract needs of a driver, in that driver's own SQL. */
export interface Subject {
	/** A wrapped pool of so many connections, made anew and ended by the contract. */
	pool(max: number): SubjectPool
	/** Creates the table `contract_rows (id int primary key)`, empty. */
	prepare(): Promise<void>
	/** The ids in `contract_rows`, seen from a connection of its own. */
	rows(): Promise<number[]>
	/** Ends the connection that `id` (from `SubjectPool.id`) names, from the server's side. Resolves when it is gone. */
	terminate(id: number): Promise<void>
	/** How many connections of this pool the server has with a transaction open. */
	openTransactions(pool: SubjectPool): Promise<number>
}

export interface SubjectPool {
	readonly size: number
	/** The server's id of the connection that answers. */
	id(): Promise<number>
	insert(id: number): Promise<unknown>
	/** A statement that fails with an error of the server, which `isOwnError` recognises. */
	fail(): Promise<unknown>
	isOwnError(error: unknown): boolean
	/** Borrows, runs a statement, and returns the connection. */
	leaveClean(): Promise<void>
	/** Borrows, opens a transaction by hand, and returns the connection without ending it. */
	leaveDirty(): Promise<void>
	transaction<R>(fn: (tx: SubjectTransaction) => Promise<R>): Promise<R>
	attempts(): number
	ready(): Promise<void>
	/** Resolves when every connection is back in the pool. */
	settled(): Promise<void>
	end(): Promise<void>
}

export interface SubjectTransaction {
	id(): Promise<number>
	insert(id: number): Promise<unknown>
	fail(): Promise<unknown>
	/** Sends this text, which the driver must refuse when it controls the transaction. */
	send(sql: string): Promise<unknown>
	savepoint<R>(fn: (tx: SubjectTransaction) => Promise<R>): Promise<R>
	onCommit(callback: () => unknown): void
}

/** Registers the tests of the contract for one driver. */
export function contract(name: string, subject: () => Subject): void {
	const promise = (title: string, max: number, run: (pool: SubjectPool, about: Subject) => Promise<void>) =>
		test(`${name}: ${title}`, async () => {
			const about = subject()
			await about.prepare()
			const pool = about.pool(max)
			try {
				await run(pool, about)
				await pool.settled()
				expect(await about.openTransactions(pool)).toBe(0)
			} finally {
				await pool.end()
			}
		})
	beforeAll(() => subject().prepare())

	promise('an SQL error is the driver’s own, costs one attempt, and the connection lives on', 1, async (pool) => {
		const id = await pool.id()
		const before = pool.attempts()
		const error = await caught(pool.fail())
		expect(pool.isOwnError(error)).toBe(true)
		expect(pool.attempts() - before).toBe(1)
		expect(await pool.id()).toBe(id)
	})

	promise('a connection that the server has ended is replaced without an error', 1, async (pool, about) => {
		const id = await pool.id()
		await about.terminate(id)
		expect(await pool.id()).not.toBe(id)
		expect(pool.size).toBe(1)
	})

	promise('a connection that comes back clean is used on', 1, async (pool) => {
		const id = await pool.id()
		for (let loan = 0; loan < 3; loan++) await pool.leaveClean()
		await pool.transaction((tx) => tx.id())
		expect(await pool.id()).toBe(id)
	})

	promise(
		'a connection that comes back with a transaction open is not handed out again, and its work is undone',
		1,
		async (pool, about) => {
			const id = await pool.id()
			await pool.leaveDirty()
			// Before anybody asks for a connection: an idle one must not hold locks.
			await until(async () => (await about.openTransactions(pool)) === 0, { what: 'the transaction to be undone' })
			expect(await pool.id()).not.toBe(id)
			expect(await about.rows()).toEqual([])
		},
	)

	promise('a transaction commits all of its work or nothing, and its value is the value of the call', 2, async (pool, about) => {
		const value = await pool.transaction(async (tx) => {
			await tx.insert(1)
			await tx.insert(2)
			return { done: true }
		})
		expect(value).toEqual({ done: true })
		const mine = new Error('mine')
		const error = await caught(
			pool.transaction(async (tx) => {
				await tx.insert(3)
				throw mine
			}),
		)
		expect(error).toBe(mine)
		expect(await about.rows()).toEqual([1, 2])
	})

	promise('all statements of a transaction run on one connection, and none of them is rerun alone', 3, async (pool) => {
		const ids = await pool.transaction(async (tx) => [await tx.id(), await tx.id(), await tx.id()])
		expect(new Set(ids).size).toBe(1)
	})

	promise('a transaction whose connection is lost before COMMIT runs again as a whole, once', 2, async (pool, about) => {
		let runs = 0
		const told: number[] = []
		await pool.transaction(async (tx) => {
			runs += 1
			const run = runs
			tx.onCommit(() => told.push(run))
			await tx.insert(1)
			if (runs === 1) await about.terminate(await tx.id())
			await tx.insert(2)
		})
		expect(runs).toBe(2)
		expect(told).toEqual([2])
		expect(await about.rows()).toEqual([1, 2])
	})

	promise(
		'an error that the function swallows does not become a commit of half the work unless the database kept the rest',
		1,
		async (pool, about) => {
			const error = await caught(
				pool.transaction(async (tx) => {
					await tx.insert(1)
					await tx.savepoint(async (inner) => {
						await inner.insert(2)
						await inner.fail()
					})
				}),
			)
			expect(pool.isOwnError(error)).toBe(true)
			expect(await about.rows()).toEqual([])
		},
	)

	promise('a savepoint that fails is undone alone', 1, async (pool, about) => {
		await pool.transaction(async (tx) => {
			await tx.insert(1)
			await caught(
				tx.savepoint(async (inner) => {
					await inner.insert(2)
					await inner.fail()
				}),
			)
			await tx.savepoint((inner) => inner.insert(3))
		})
		expect(await about.rows()).toEqual([1, 3])
	})

	promise('BEGIN, COMMIT and ROLLBACK by hand are refused inside a transaction, before they are sent', 1, async (pool, about) => {
		await pool.transaction(async (tx) => {
			await tx.insert(1)
			for (const sql of ['begin', 'START TRANSACTION', '/* x */ commit', 'rollback']) {
				expect(await caught(tx.send(sql)), sql).toMatchObject({ code: 'HOLDFAST_TRANSACTION_CONTROL' })
			}
		})
		expect(await about.rows()).toEqual([1])
	})

	promise('a handle used after its transaction fails clearly and sends nothing', 1, async (pool, about) => {
		const { tx } = await pool.transaction(async (handle) => ({ tx: handle }))
		const error = await caught(tx.insert(1))
		expect(HoldfastError.is(error) && error.code).toBe('HOLDFAST_TRANSACTION_ENDED')
		expect(await about.rows()).toEqual([])
	})

	promise('transaction() on the pool inside its own transaction fails at once instead of waiting for itself', 1, async (pool, about) => {
		const error = await caught(
			pool.transaction(async (tx) => {
				await tx.insert(1)
				await pool.transaction(async () => 1)
			}),
		)
		expect(error).toMatchObject({ code: 'HOLDFAST_TRANSACTION_CONTROL' })
		expect(await about.rows()).toEqual([])
	})

	promise('as many callers as there are take turns on few connections, and ready() answers', 2, async (pool, about) => {
		await pool.ready()
		await Promise.all(Array.from({ length: 40 }, (_, id) => pool.insert(id)))
		expect(await about.rows()).toHaveLength(40)
		expect(pool.size).toBe(2)
	})

	test(`${name}: callers that wait when the pool is ended get a clear error, and the end comes`, async () => {
		const pool = subject().pool(1)
		let letGo = () => {}
		const held = new Promise<void>((resolve) => {
			letGo = resolve
		})
		let inside = () => {}
		const begun = new Promise<void>((resolve) => {
			inside = resolve
		})
		const running = pool.transaction(async (tx) => {
			await tx.id()
			inside()
			await held
			return 'committed'
		})
		await begun
		const waiting = caught(pool.id())
		const end = pool.end()
		expect(await waiting).toMatchObject({ code: 'HOLDFAST_CLOSED' })
		letGo()
		expect(await running).toBe('committed')
		await end
		expect(await caught(pool.transaction(async () => 1))).toMatchObject({ code: 'HOLDFAST_CLOSED' })
	})
}
