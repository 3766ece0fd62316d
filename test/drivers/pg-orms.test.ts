/** Do query builders and ORMs run on a wrapped pool without a change? */
import { eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import makeKnex from 'knex'
import { Kysely, PostgresDialect } from 'kysely'
import { beforeAll, expect, test } from 'vitest'
import { noRetries } from '../support/no-retries.ts'
import { ground } from './side-by-side.ts'

const setup = ground()
beforeAll(async () => {
	await setup.server.query('create table if not exists pets (id int primary key, name text not null)')
})

interface Pets {
	pets: { id: number; name: string }
}
const pets = pgTable('pets', { id: integer('id').primaryKey(), name: text('name').notNull() })
const names = async (ids: string) =>
	(await setup.server.query<{ name: string }>(`select name from pets where id in (${ids}) order by id`)).map(({ name }) => name)

test('kysely queries, commits and rolls back over a wrapped pool', async () => {
	const pool = setup.wrapped({ max: 2 })
	const db = new Kysely<Pets>({ dialect: new PostgresDialect({ pool }) })
	await db.insertInto('pets').values({ id: 1, name: 'kysely' }).execute()
	expect(await db.selectFrom('pets').select('name').where('id', '=', 1).execute()).toEqual([{ name: 'kysely' }])
	await db.transaction().execute(async (tx) => {
		await tx.insertInto('pets').values({ id: 2, name: 'committed' }).execute()
	})
	await expect(
		db.transaction().execute(async (tx) => {
			await tx.insertInto('pets').values({ id: 3, name: 'rolled back' }).execute()
			await tx.insertInto('pets').values({ id: 3, name: 'twice' }).execute()
		}),
	).rejects.toMatchObject({ code: '23505' })
	expect(await names('1, 2, 3')).toEqual(['kysely', 'committed'])
	expect(pool.holdfast.stats()).toMatchObject({ discarded: 0, retries: noRetries })
	await db.destroy()
	expect(pool.ended).toBe(true)
})

test('drizzle queries, commits, rolls back and nests over a wrapped pool', async () => {
	const pool = setup.wrapped({ max: 2 })
	const db = drizzle(pool)
	await db.insert(pets).values({ id: 11, name: 'drizzle' })
	expect(await db.select({ name: pets.name }).from(pets).where(eq(pets.id, 11))).toEqual([{ name: 'drizzle' }])
	await db.transaction(async (tx) => {
		await tx.insert(pets).values({ id: 12, name: 'committed' })
		await tx
			.transaction(async (inner) => {
				await inner.insert(pets).values({ id: 13, name: 'savepoint' })
				inner.rollback()
			})
			.catch(() => {})
	})
	await expect(
		db.transaction(async (tx) => {
			await tx.insert(pets).values({ id: 14, name: 'rolled back' })
			throw new Error('mine')
		}),
	).rejects.toThrow('mine')
	expect(await names('11, 12, 13, 14')).toEqual(['drizzle', 'committed'])
	expect(pool.holdfast.stats()).toMatchObject({ discarded: 0 })
	expect(pool.idleCount).toBe(pool.totalCount)
})

// No stream: with `connectionPool` knex 3.3 releases its connection twice after one, over a bare pool as well.
test('knex queries, commits and rolls back over a wrapped pool', async () => {
	const pool = setup.wrapped({ max: 2 })
	const knex = makeKnex({ client: 'pg', connectionPool: pool } as unknown as makeKnex.Knex.Config)
	await knex('pets').insert({ id: 21, name: 'knex' })
	expect(await knex('pets').where({ id: 21 }).select('name')).toEqual([{ name: 'knex' }])
	await knex.transaction(async (tx) => {
		await tx('pets').insert({ id: 22, name: 'committed' })
	})
	await expect(
		knex.transaction(async (tx) => {
			await tx('pets').insert({ id: 23, name: 'rolled back' })
			await tx('pets').insert({ id: 23, name: 'twice' })
		}),
	).rejects.toMatchObject({ code: '23505' })
	expect(await names('21, 22, 23')).toEqual(['knex', 'committed'])
	expect(pool.holdfast.stats()).toMatchObject({ discarded: 0 })
	await knex.destroy()
	expect(pool.idleCount).toBe(pool.totalCount)
})
