/** What do knex's own two tables say, and how does the runner write into them? In knex's formats, so that plain knex goes on working. */
import { createHash } from 'node:crypto'
import type { Knex } from 'knex'
import type { Direction } from './errors.ts'
import type { MigratorConfig } from './shape.ts'

// knex writes 0 and 1 into is_locked, looks for 0 and treats everything else as locked. So the other numbers are ours: a lock that
// we set is known from one of plain knex, and guarded by the lock of a session, which ends with its owner.
const free = 0
const foreign = 1
const held = 2

/** A row of knex's table of migrations. */
export interface RecordedMigration {
	readonly name: string
	readonly batch: number
}

/** What the lock says. `unfinished`: a runner of ours was in the middle of a migration that cannot be rolled back; `mark` tells which. */
export type LockState = { readonly by: 'nobody' | 'plain knex' | 'holdfast' } | { readonly by: 'unfinished'; readonly mark: number }

/** The mark of a migration that is under way and cannot be rolled back: a negative number, so that it fits into knex's column. */
export function markOf(name: string, direction: Direction): number {
	const digest = createHash('sha256').update(`${direction} ${name}`).digest()
	return -1 - (digest.readUInt32BE(0) >>> 2)
}

export class Books {
	readonly #knex: Knex
	readonly #tableName: string
	readonly #lockTableName: string
	readonly #schemaName: string | null
	readonly #ownMarks: Set<number>

	/** `knex` runs on the session and changes no names. `ownMarks` gets those that this run has noted. */
	constructor(knex: Knex, { tableName, schemaName }: MigratorConfig, ownMarks: Set<number>) {
		this.#knex = knex
		this.#ownMarks = ownMarks
		this.#tableName = tableName
		this.#lockTableName = `${tableName}_lock`
		this.#schemaName = schemaName
	}

	async recorded(): Promise<readonly RecordedMigration[]> {
		return this.#table(this.#tableName).select('name', 'batch').orderBy('id')
	}

	async has(name: string): Promise<boolean> {
		const rows = await this.#table(this.#tableName).select('name').where({ name }).limit(1)
		return rows.length > 0
	}

	async record(name: string, direction: Direction, batch: number): Promise<void> {
		if (direction === 'up') await this.#table(this.#tableName).insert({ name, batch, migration_time: this.#knex.fn.now() })
		else await this.#table(this.#tableName).where({ name }).del()
	}

	async lockState(): Promise<LockState> {
		const rows: { is_locked: number | null }[] = await this.#table(this.#lockTableName).select('is_locked')
		const values = rows.map(({ is_locked }) => Number(is_locked ?? free))
		const mark = values.find((value) => value < 0)
		if (mark !== undefined) return { by: 'unfinished', mark }
		if (values.includes(foreign)) return { by: 'plain knex' }
		return { by: values.some((value) => value !== free) ? 'holdfast' : 'nobody' }
	}

	/** Takes the lock for us if nobody has it, by the same condition as knex. */
	async take(): Promise<void> {
		await this.#table(this.#lockTableName).where('is_locked', '=', free).update({ is_locked: held })
	}

	/** Notes that a migration begins that cannot be rolled back. */
	async begin(mark: number): Promise<void> {
		await this.#table(this.#lockTableName).update({ is_locked: mark })
		// Without an answer it may be another runner's that is found there later.
		this.#ownMarks.add(mark)
	}

	/** The migration is finished; the lock stays ours. */
	async keep(): Promise<void> {
		await this.#table(this.#lockTableName).update({ is_locked: held })
	}

	async release(): Promise<void> {
		await this.#table(this.#lockTableName).update({ is_locked: free })
	}

	#table(name: string): Knex.QueryBuilder {
		const table = this.#knex(name)
		return this.#schemaName === null ? table : table.withSchema(this.#schemaName)
	}
}
