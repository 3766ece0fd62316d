/** Every form of working with knex, side by side: are results, errors and events those of the bare instance? */
import type { Knex } from 'knex'
import { describe, expect, test } from 'vitest'
import { ending, knexGround, type Product, plain } from './knex-side-by-side.ts'

type Steps = (knex: Knex) => Promise<unknown>

const table = (knex: Knex) =>
	knex.schema.createTable('pets', (t) => {
		t.increments('id')
		t.string('name').notNullable().unique()
		t.integer('age').index()
	})
const some = (knex: Knex) =>
	knex('pets').insert([
		{ name: 'a', age: 1 },
		{ name: 'b', age: 2 },
		{ name: 'c', age: 3 },
	])

const forms: Record<string, Steps> = {
	'select, first, pluck, count, where, join, subquery': async (knex) => [
		await knex('pets').select('*').orderBy('id'),
		await knex('pets').where({ id: 1 }).first(),
		await knex('pets').where({ id: -1 }).first(),
		await knex('pets').orderBy('id').pluck('name'),
		await knex('pets').count('* as n'),
		await knex('pets as p').join('pets as q', 'p.id', 'q.id').where('p.age', '>', 1).select('p.name').orderBy('p.id'),
		await knex('pets')
			.whereIn('id', knex('pets').where('age', '<', 3).select('id'))
			.orderBy('id'),
	],
	'insert, update, delete, increment, onConflict': async (knex) => [
		await knex('pets').insert({ name: 'x', age: 9 }),
		await knex('pets').insert({ name: 'y', age: 9 }, ['id']),
		await knex('pets').where({ name: 'x' }).update({ age: 10 }),
		await knex('pets').where({ name: 'x' }).increment('age', 2),
		await knex('pets').insert({ name: 'x', age: 0 }).onConflict('name').merge(),
		await knex('pets').where({ name: 'x' }).del(),
		await knex('pets').where({ id: -1 }).update({ age: 1 }),
		await knex('pets').orderBy('id'),
	],
	'raw, with and without bindings': async (knex) => {
		const keep = (result: unknown) => {
			// mysql2 gives rows and fields; fields hold pieces of the network's buffers.
			if (Array.isArray(result)) return [result.length, result[0], result[1].map(({ name }: { name: string }) => name)]
			const { rows, rowCount, command, fields } = result as {
				rows: unknown
				rowCount: unknown
				command: unknown
				fields: { name: string }[]
			}
			return { rows, rowCount, command, fields: fields.map(({ name }) => name), class: (result as object).constructor.name }
		}
		return [
			keep(await knex.raw('select 1 as one')),
			keep(await knex.raw('select ? as a, ? as b', [1, 'two'])),
			keep(await knex.raw('select :a as a', { a: 3 })),
			keep(await knex.raw('select ?? from ??', ['id', 'pets'])),
		]
	},
	'errors of the server: unknown table, unique, not null, syntax, by every way': async (knex) => [
		await ending(() => knex('no_such_table').select()),
		await ending(() => knex('pets').insert({ name: 'a', age: 1 })),
		await ending(() => knex('pets').insert({ age: 1 })),
		await ending(() => knex.raw('selec 1')),
		await ending(() => knex.transaction(async (trx) => trx('no_such_table').select())),
		await ending(() =>
			knex.transaction(async (trx) => {
				await trx('pets').insert({ name: 'a', age: 1 })
			}),
		),
		await ending(async () => {
			const trx = await knex.transaction()
			await trx('pets').insert({ name: 'a', age: 1 }).catch(trx.rollback)
			await trx.executionPromise
		}),
	],
	'errors of knex itself': async (knex) => [
		await ending(() => knex.raw('select ?', [])),
		await ending(() => knex('pets').where('id', undefined as never)),
		await ending(() => knex('pets').insert({ id: undefined as never, name: 'z' })),
		await ending(() => knex.raw('')),
		await ending(() => knex.transaction(async () => 1, { isolationLevel: 'no such' as never })),
		await ending(() => knex('pets').transacting(undefined as never)),
	],
	'schema: create, alter, rename, has, columnInfo, drop, several statements of one builder': async (knex) => [
		await knex.schema.hasTable('pets'),
		await knex.schema.hasColumn('pets', 'age'),
		await ending(() =>
			knex.schema.alterTable('pets', (t) => {
				t.string('colour')
				t.index(['colour'])
			}),
		),
		await knex.schema.renameTable('pets', 'animals').then(() => knex.schema.hasTable('animals')),
		Object.keys(await knex('animals').columnInfo()).sort(),
		await ending(() => knex.schema.createTable('animals', (t) => void t.increments())),
		await ending(() => knex.schema.dropTableIfExists('animals').dropTableIfExists('nothing')),
	],
	streams: async (knex) => {
		const names: unknown[] = []
		for await (const { name } of knex('pets').orderBy('id').stream()) names.push(name)
		const handled = await knex('pets')
			.orderBy('id')
			.stream((stream) => stream.on('data', ({ name }) => names.push(name)))
		const early: unknown[] = []
		for await (const row of knex('pets').orderBy('id').stream()) {
			early.push(row)
			break
		}
		const failed = await ending(
			() => new Promise((resolve, reject) => void knex('no_such_table').stream().on('error', reject).on('end', resolve).resume()),
		)
		return [names, typeof handled, early, failed, await knex('pets').count('* as n')]
	},
	'transaction(fn): value, commit and rollback by hand, in the function': async (knex) => [
		await knex.transaction(async (trx) => {
			await trx('pets').insert({ name: 'd', age: 4 })
			return { done: true }
		}),
		await ending(() => knex.transaction((trx) => void trx('pets').insert({ name: 'e', age: 5 }).then(trx.commit, trx.rollback))),
		await ending(() =>
			knex.transaction((trx) => {
				trx('pets')
					.insert({ name: 'f', age: 6 })
					.then(() => trx.rollback(new Error('by hand')))
			}),
		),
		await ending(() =>
			knex.transaction(async (trx) => {
				await trx('pets').insert({ name: 'g', age: 7 })
				await trx.rollback()
				return 'after the rollback'
			}),
		),
		await ending(() => knex.transaction(async (trx) => void (await trx.rollback()), { doNotRejectOnRollback: false })),
		await ending(() =>
			knex.transaction(async (trx) => {
				await trx.commit('given to commit')
				return 'returned'
			}),
		),
		await ending(() =>
			knex.transaction(async () => {
				throw 'no error'
			}),
		),
		await ending(() =>
			knex.transaction(() => {
				throw new Error('at once')
			}),
		),
		await ending(() => knex.transaction((trx) => trx('pets').insert({ name: 'h', age: 8 }))),
		await knex('pets').orderBy('id').pluck('name'),
	],
	'transaction: a handle after its end, isCompleted, userParams': async (knex) => {
		let handle: Knex.Transaction | undefined
		const states: unknown[] = []
		await knex.withUserParams({ tenant: 7 }).transaction(async (trx) => {
			handle = trx
			states.push(trx.isCompleted(), trx.isTransaction, trx.userParams)
			await trx('pets').first()
		})
		states.push(handle?.isCompleted(), await ending(() => handle?.('pets').select()), await ending(() => handle?.commit()))
		const trx = await knex.transaction()
		await trx.rollback()
		return [states, trx.isCompleted(), await ending(() => trx('pets').select()), await ending(() => trx.executionPromise)]
	},
	'savepoints: kept, undone, nested, one after the other': async (knex) => [
		await ending(() =>
			knex.transaction(async (trx) => {
				await trx('pets').insert({ name: 'outer', age: 0 })
				const undone = await ending(() =>
					trx.transaction(async (inner) => {
						await inner('pets').insert({ name: 'undone', age: 0 })
						throw new Error('mine')
					}),
				)
				const kept = await trx.savepoint(async (inner) => {
					await inner('pets').insert({ name: 'kept', age: 0 })
					return inner.transaction(async (deep) => {
						await deep('pets').insert({ name: 'deep', age: 0 })
						return 'deep value'
					})
				})
				const object = await trx.transaction()
				await object('pets').insert({ name: 'by object', age: 0 })
				await object.rollback()
				return [undone, kept]
			}),
		),
		await knex('pets').orderBy('id').pluck('name'),
	],
	'transacting, transactionProvider, batchInsert': async (knex) => {
		await knex.transaction(async (trx) => {
			await knex('pets').transacting(trx).insert({ name: 'p', age: 1 })
			await knex.raw('select 1').transacting(trx)
		})
		const provide = knex.transactionProvider()
		const [first, second] = [await provide(), await provide()]
		await first('pets').insert({ name: 'q', age: 1 })
		await second.rollback()
		const ids = await knex.batchInsert(
			'pets',
			Array.from({ length: 25 }, (_, i) => ({ name: `batch ${i}`, age: i })),
			10,
		)
		return [
			first === second,
			first.isCompleted(),
			Array.isArray(ids),
			await knex('pets').count('* as n'),
			await knex('pets').orderBy('id').pluck('name'),
		]
	},
	'a transaction inside another one is independent of it': async (knex) => {
		const outcome = await ending(() =>
			knex.transaction(async (trx) => {
				await trx('pets').where({ name: 'a' }).first()
				await knex.transaction(async (other) => void (await other('pets').insert({ name: 'independent', age: 0 })))
				throw new Error('mine')
			}),
		)
		return [outcome, await knex('pets').orderBy('id').pluck('name')]
	},
	'a connection by hand, and builders on it': async (knex) => {
		const connection = await knex.client.acquireConnection()
		const rows = await knex('pets').connection(connection).orderBy('id').pluck('name')
		await knex.client.releaseConnection(connection)
		return [rows, await knex('pets').count('* as n')]
	},
	'timeout, with and without cancel': async (knex) => {
		const sleep = knex.client.driverName === 'pg' ? 'select pg_sleep(2)' : 'select sleep(2)'
		return [
			await ending(() => knex.raw(sleep).timeout(40)),
			await ending(() => knex.raw(sleep).timeout(40, { cancel: true })),
			await ending(() => knex.transaction(async (trx) => void (await trx.raw(sleep).timeout(40)))),
			await ending(() => knex.raw('select 1 as one').timeout(5_000)),
			await knex('pets').count('* as n'),
		]
	},
	'asCallback, then, catch, finally, hooks': async (knex) => [
		await new Promise(
			(resolve) =>
				void knex('pets')
					.orderBy('id')
					.pluck('name')
					.asCallback((error: unknown, rows: unknown) => resolve([error, rows])),
		),
		await new Promise((resolve) => {
			const trx = knex.transaction(async (handle) => handle('pets').first()) as unknown as {
				asCallback(callback: (...given: unknown[]) => void): void
			}
			trx.asCallback((...given) => resolve(given))
		}),
		await knex('pets')
			.first()
			.then(({ name }) => name),
		await knex('none')
			.select()
			.catch(() => 'caught'),
		await knex
			.transaction(async () => 1)
			.finally(() => {})
			.then((value) => value + 1),
	],
}

for (const product of ['postgres', 'mysql', 'mariadb'] as const satisfies readonly Product[]) {
	describe(product, () => {
		const setup = knexGround(product)
		test.each(Object.entries(forms))('%s: the same as of the bare instance', async (_, steps) => {
			const { bare, wrapped } = await setup.both(async (knex) => {
				await table(knex)
				await some(knex)
				return plain(await steps(knex))
			})
			expect(wrapped).toEqual(bare)
		})

		test('events of statements, transactions and errors: the same, in the same order, with the same content', async () => {
			const { bare, wrapped } = await setup.both(async (knex) => {
				await table(knex)
				const heard: unknown[] = []
				const names = new Map<string, string>()
				const name = (kind: string, given: unknown) => {
					if (typeof given !== 'string') return given
					names.set(given, names.get(given) ?? `${kind} ${[...names.keys()].filter((known) => known.startsWith(kind)).length}`)
					return names.get(given)
				}
				const note =
					(source: string, event: string) =>
					(...given: unknown[]) => {
						const about = given.find((one) => typeof one === 'object' && one !== null && 'sql' in one && '__knexUid' in one) as
							| Record<string, unknown>
							| undefined
						const { __knexTxId, __knexUid, __knexQueryUid, ...rest } = about ?? {}
						heard.push([
							source,
							event,
							typeof __knexUid,
							name('trx', __knexTxId),
							typeof __knexQueryUid,
							String(rest.sql).replaceAll(/trx\d+/g, 'trx'),
							rest.bindings,
							rest.method,
						])
					}
				const events = ['start', 'query', 'query-response', 'query-error']
				for (const event of events) knex.on(event, note('knex', event))
				const listen = (source: string, on: { on(event: string, listener: (...given: unknown[]) => void): unknown }) => {
					for (const event of events) on.on(event, note(source, event))
				}
				const builder = knex('pets').insert({ name: 'a', age: 1 })
				listen('builder', builder as never)
				await builder
				await ending(() => knex('none').where({ id: 7 }).select())
				const trx = knex.transaction(async (handle) => {
					listen('handle', handle as never)
					await handle('pets').where({ id: 1 }).update({ age: 2 })
					await handle.transaction(async (inner) => inner('pets').first())
				})
				listen('transaction', trx as never)
				await trx
				await ending(() => knex.transaction(async (handle) => void (await handle('none').select())))
				const object = await knex.transaction()
				await object('pets').first()
				await object.commit()
				return plain(heard)
			})
			expect(wrapped).toEqual(bare)
		})
	})
}
