/** What do tests of migrations share? A stage for the whole file, and for each test a new database in which migrations leave their names. */
import { beforeEach } from 'vitest'
import { staged } from '../support/staged.ts'
import { type MigrationStage, migrationStage, type Product, type Written } from './stage.ts'

export interface WritingMigrations extends MigrationStage {
	/** The names that are in the table `written (name)`, in their order. */
	written(): Promise<string[]>
}

/** Registers the hooks. The stage is there once `beforeAll` has run. */
export function onMigrationStage(product: Product): WritingMigrations {
	const at = staged(() => migrationStage(product))
	beforeEach(async () => {
		await at.begin()
		await at.ask('CREATE TABLE written (name varchar(50))')
	})
	const written = async () => (await at.ask<{ name: string }>('SELECT name FROM written ORDER BY name')).map(({ name }) => name)
	return Object.assign(at, { written })
}

/** A migration that leaves its name. */
export const writes = (name: string): Written => ({
	up: (knex) => knex('written').insert({ name }),
	down: (knex) => knex('written').where({ name }).del(),
})

/** What makes a migration one that runs in no transaction. */
export const outside = { config: { transaction: false } } as const
