/** Which migrations do tests and benches run? Thirty of them by a recipe: tables, indexes and data, each of which shows how often it was applied. */
import type { Knex } from 'knex'

/** A migration as knex takes it from a source. */
export interface SampleMigration {
	readonly up: (knex: Knex) => Promise<unknown>
	readonly down: (knex: Knex) => Promise<unknown>
	readonly config?: { readonly transaction: boolean }
}

const rowsEach = 200

/** Each one writes its name into `applied` by the statements of its own, so a second application is seen there. */
async function leaveTrace(knex: Knex, name: string): Promise<void> {
	await knex('applied').insert({ name })
}

function table(name: string, number: number): SampleMigration {
	return {
		async up(knex) {
			await knex.schema.createTable(`t${number}`, (columns) => {
				columns.increments()
				columns.integer('amount').notNullable()
				columns.string('note')
			})
			await leaveTrace(knex, name)
		},
		async down(knex) {
			await knex.schema.dropTable(`t${number}`)
			await knex('applied').where({ name }).del()
		},
	}
}

function index(name: string, number: number): SampleMigration {
	return {
		async up(knex) {
			await knex.schema.alterTable(`t${number}`, (columns) => columns.index(['amount'], `t${number}_amount`))
			await leaveTrace(knex, name)
		},
		async down(knex) {
			await knex.schema.alterTable(`t${number}`, (columns) => columns.dropIndex(['amount'], `t${number}_amount`))
			await knex('applied').where({ name }).del()
		},
	}
}

function data(name: string, number: number): SampleMigration {
	return {
		async up(knex) {
			const rows = Array.from({ length: rowsEach }, (_, at) => ({ amount: at, note: `row ${at} of ${name}` }))
			await knex(`t${number}`).insert(rows)
			await leaveTrace(knex, name)
		},
		async down(knex) {
			await knex(`t${number}`).del()
			await knex('applied').where({ name }).del()
		},
	}
}

const kinds = [table, index, data]

/** `count` migrations in turn; they need the table `applied`. With `outside`, the first one asks for no transaction. */
export function sampleMigrations(count: number, { outside = false } = {}): ReadonlyMap<string, SampleMigration> {
	const all = new Map<string, SampleMigration>()
	for (let at = 0; at < count; at++) {
		const name = `${String(at + 1).padStart(3, '0')}_${kinds[at % kinds.length]?.name}.js`
		const migration = kinds[at % kinds.length]?.(name, Math.floor(at / kinds.length))
		if (migration !== undefined) all.set(name, outside && at === 0 ? { ...migration, config: { transaction: false } } : migration)
	}
	return all
}

/** Migrations by name, as a source for knex. */
export function sourceOf(migrations: ReadonlyMap<string, object>): Knex.MigrationSource<string> {
	return {
		getMigrations: async () => [...migrations.keys()],
		getMigrationName: (name) => name,
		getMigration: async (name) => migrations.get(name) as Knex.Migration,
	}
}
