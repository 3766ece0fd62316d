/** Savepoints and commit callbacks: what is undone, what is told, and what is refused? */
import { afterEach, expect, test, vi } from 'vitest'
import { FakeDatabase, type FakeTransaction, linkLost, serializationFailure, uniqueViolation } from './fake-database.ts'

const databases: FakeDatabase[] = []
const database = (): FakeDatabase => {
	const made = new FakeDatabase()
	databases.push(made)
	return made
}

afterEach(() => {
	for (const each of databases.splice(0)) expect(each.leaked).toBe(0)
})

test('a savepoint is released when its function resolves, and its value is passed on', async () => {
	const db = database()
	const { value } = await db.run(async (tx) => {
		await tx.query('write a')
		return tx.transaction(async (inner) => inner.query('write b'))
	})
	expect(value).toBe('write b')
	expect(db.log).toEqual(['BEGIN', 'write a', 'SAVEPOINT holdfast_1', 'write b', 'RELEASE SAVEPOINT holdfast_1', 'COMMIT'])
	expect(db.applied).toEqual(['a', 'b'])
})

test('an error in a savepoint undoes its work alone, is thrown on as the same object, and the transaction may go on', async () => {
	const db = database()
	const own = new Error('own')
	const { value } = await db.run(async (tx) => {
		await tx.query('write a')
		const caught = await tx
			.transaction(async (inner) => {
				await inner.query('write b')
				throw own
			})
			.catch((error: unknown) => error)
		expect(caught).toBe(own)
		await tx.query('write c')
		return 'done'
	})
	expect(value).toBe('done')
	expect(db.applied).toEqual(['a', 'c'])
})

test('a database error in a savepoint heals by the rollback to it', async () => {
	const db = database()
	db.fail('write b', uniqueViolation())
	const { value } = await db.run(async (tx) => {
		await tx.query('write a')
		await tx.transaction(async (inner) => inner.query('write b')).catch(() => {})
		await tx.query('write c')
		return 'done'
	})
	expect(value).toBe('done')
	expect(db.applied).toEqual(['a', 'c'])
})

test('a database error that the function of a savepoint swallowed rolls the savepoint back and is thrown', async () => {
	const db = database()
	const error = uniqueViolation()
	db.fail('write b', error)
	const { value } = await db.run(async (tx) =>
		tx
			.transaction(async (inner) => {
				await inner.query('write b').catch(() => {})
				return 'swallowed'
			})
			.catch((caught: unknown) => caught),
	)
	expect(value).toBe(error)
})

test('savepoints nest, each with a name of its own', async () => {
	const db = database()
	await db.run(async (tx) => {
		await tx.transaction(async (inner) => {
			await inner.query('write a')
			await inner.transaction(async (innermost) => innermost.query('write b'))
			await inner
				.transaction(async (innermost) => {
					await innermost.query('write c')
					throw new Error('own')
				})
				.catch(() => {})
		})
		await tx.transaction(async (inner) => inner.query('write d'))
	})
	expect(db.applied).toEqual(['a', 'b', 'd'])
	const names = db.log.filter((text) => text.startsWith('SAVEPOINT'))
	expect(new Set(names).size).toBe(4)
})

test('a conflict in a savepoint is no matter for the savepoint: the whole transaction runs again', async () => {
	const db = database()
	db.fail('write b', serializationFailure())
	let runs = 0
	const { value } = await db.run(async (tx) => {
		runs += 1
		await tx.query('write a')
		await tx.transaction(async (inner) => inner.query('write b'))
		return runs
	})
	expect(value).toBe(2)
	expect(db.applied).toEqual(['a', 'b'])
})

test('two savepoints at once are refused, and the first goes on', async () => {
	const db = database()
	const { value } = await db.run(async (tx) => {
		const first = tx.transaction(async (inner) => inner.query('write a'))
		await expect(tx.transaction(async (inner) => inner.query('write b'))).rejects.toMatchObject({
			code: 'HOLDFAST_TRANSACTION_CONTROL',
			message: expect.stringContaining('take turns'),
		})
		return first
	})
	expect(value).toBe('write a')
	expect(db.applied).toEqual(['a'])
})

test('a savepoint that cannot be set is that error, and another one may be tried', async () => {
	const db = database()
	const error = uniqueViolation()
	db.fail('SAVEPOINT', error)
	const { error: thrown } = await db.run(async (tx) => {
		await expect(tx.transaction(async () => {})).rejects.toBe(error)
		await tx.transaction(async () => {})
	})
	expect(thrown).toMatchObject({ code: '25P02' })
})

test('the handle of a savepoint cannot be used after it, and nothing is sent', async () => {
	const db = database()
	await db.run(async (tx) => {
		let kept: FakeTransaction | undefined
		await tx.transaction(async (inner) => {
			kept = inner
		})
		await expect(kept?.query('write a')).rejects.toMatchObject({
			code: 'HOLDFAST_TRANSACTION_ENDED',
			message: expect.stringContaining('released'),
		})
		await tx
			.transaction(async (inner) => {
				kept = inner
				throw new Error('own')
			})
			.catch(() => {})
		await expect(kept?.query('write b')).rejects.toMatchObject({ message: expect.stringContaining('rolled back') })
	})
	expect(db.applied).toEqual([])
})

test('a savepoint whose function is not async is refused and rolled back', async () => {
	const db = database()
	const { error } = await db.run(async (tx) => tx.transaction((() => 'value') as never))
	expect(error).toBeInstanceOf(TypeError)
	expect(db.log).toContain('ROLLBACK TO SAVEPOINT holdfast_1')
})

test.each([[undefined], ['write a']])('a savepoint without a function is a TypeError: %s', async (fn) => {
	const db = database()
	const { error } = await db.run(async (tx) => tx.transaction(fn as never))
	expect((error as Error).message).toMatch(/fn must be an async function, got/)
})

test('a connection that is lost in a savepoint makes the whole transaction run again', async () => {
	const db = database()
	db.fail('write b', linkLost(), { dies: true })
	const { value } = await db.run(async (tx) => {
		await tx.query('write a')
		return tx.transaction(async (inner) => inner.query('write b'))
	})
	expect(value).toBe('write b')
	expect(db.applied).toEqual(['a', 'b'])
})

test('a function that returns while its savepoint is still open is refused, and nothing of it is committed', async () => {
	const db = database()
	let inner: Promise<unknown> | undefined
	let goOn = () => {}
	const held = new Promise<void>((resolve) => {
		goOn = resolve
	})
	const { error } = await db.run(async (tx) => {
		inner = tx.transaction(async (savepoint) => {
			await savepoint.query('write a')
			await held
			await savepoint.query('write b')
		})
		inner.catch(() => {})
		await new Promise((resolve) => setImmediate(resolve))
		return 'done'
	})
	expect(error).toMatchObject({ code: 'HOLDFAST_TRANSACTION_CONTROL', message: expect.stringContaining('savepoint') })
	goOn()
	// The fake throws at any statement on a connection that was returned.
	await expect(inner).rejects.toMatchObject({ code: 'HOLDFAST_TRANSACTION_ENDED' })
	expect(db.applied).toEqual([])
	expect(db.log.at(-1)).toBe('ROLLBACK')
})

test('a function that fails beside an open savepoint ends that savepoint too: none of its statements runs on a returned connection', async () => {
	const db = database()
	const own = new Error('own')
	let inner: Promise<unknown> | undefined
	let goOn = () => {}
	const held = new Promise<void>((resolve) => {
		goOn = resolve
	})
	const { error } = await db.run(async (tx) => {
		inner = tx.transaction(async (savepoint) => {
			await savepoint.transaction(async (innermost) => {
				await held
				await innermost.query('write b')
			})
		})
		inner.catch(() => {})
		await new Promise((resolve) => setImmediate(resolve))
		throw own
	})
	expect(error).toBe(own)
	goOn()
	await expect(inner).rejects.toMatchObject({ code: 'HOLDFAST_TRANSACTION_ENDED' })
	expect(db.log.at(-1)).toBe('ROLLBACK')
})

test('callbacks of onCommit run once, in order, after the commit', async () => {
	const db = database()
	const told: string[] = []
	await db.run(async (tx) => {
		tx.onCommit(async () => {
			await Promise.resolve()
			told.push(`first after ${db.applied}`)
		})
		tx.onCommit(() => told.push('second'))
		await tx.query('write a')
		expect(told).toEqual([])
	})
	expect(told).toEqual(['first after a', 'second'])
})

test('callbacks of an attempt that was rolled back never run', async () => {
	const db = database()
	db.fail('write a', serializationFailure())
	const told: number[] = []
	let runs = 0
	await db.run(async (tx) => {
		runs += 1
		const run = runs
		tx.onCommit(() => told.push(run))
		await tx.query('write a')
	})
	expect(told).toEqual([2])
})

test.each(['COMMIT', 'write a'])('callbacks never run when %s fails for good', async (statement) => {
	const db = database()
	db.fail(statement, uniqueViolation())
	let told = 0
	await db.run(async (tx) => {
		tx.onCommit(() => {
			told += 1
		})
		await tx.query('write a')
	})
	expect(told).toBe(0)
})

test('callbacks of a savepoint run only if it was released, and its outer ones as well', async () => {
	const db = database()
	const told: string[] = []
	await db.run(async (tx) => {
		tx.onCommit(() => told.push('outer'))
		await tx.transaction(async (inner) => {
			inner.onCommit(() => told.push('released'))
			await inner
				.transaction(async (innermost) => {
					innermost.onCommit(() => told.push('rolled back'))
					throw new Error('own')
				})
				.catch(() => {})
		})
		await tx
			.transaction(async (inner) => {
				await inner.transaction(async (innermost) => innermost.onCommit(() => told.push('released in vain')))
				throw new Error('own')
			})
			.catch(() => {})
	})
	expect(told).toEqual(['outer', 'released'])
})

test('a callback that throws is a warning: the commit stands, and the other callbacks run', async () => {
	const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
	const db = database()
	let told = 0
	const { value } = await db.run(async (tx) => {
		tx.onCommit(() => {
			throw new Error('thrown by a callback')
		})
		tx.onCommit(async () => Promise.reject(new Error('rejected by a callback')))
		tx.onCommit(() => {
			told += 1
		})
		return tx.query('write a')
	})
	expect(value).toBe('write a')
	expect(told).toBe(1)
	expect(warn).toHaveBeenCalledTimes(2)
	expect(warn).toHaveBeenCalledWith(expect.stringContaining('committed'), expect.objectContaining({ type: 'HoldfastWarning' }))
	warn.mockRestore()
})

test('onCommit wants a function', async () => {
	const db = database()
	const { error } = await db.run(async (tx) => tx.onCommit('later' as never))
	expect(error).toMatchObject({ message: 'onCommit: callback must be a function, got "later"' })
})
