/** Which migrations does a command run, and in which order? By the rules of knex, decided from two lists. */
import type { RecordedMigration } from './books.ts'
import type { Direction } from './errors.ts'
import type { Settings } from './options.ts'

/** One migration of the source. */
export interface Candidate {
	readonly name: string
	/** What the source calls it. */
	readonly migration: unknown
}

/** What is to be run. */
export interface Plan {
	readonly direction: Direction
	readonly migrations: readonly Candidate[]
}

type Asked = Pick<Settings, 'command' | 'name' | 'all'>

/** @throws Error where the command names a migration that is not there. */
export function planOf({ command, name, all }: Asked, source: readonly Candidate[], recorded: readonly RecordedMigration[]): Plan {
	const done = new Set(recorded.map((row) => row.name))
	const pending = source.filter((candidate) => !done.has(candidate.name))
	const completed = source.filter((candidate) => done.has(candidate.name))
	switch (command) {
		case 'latest':
			return { direction: 'up', migrations: pending }
		case 'up': {
			if (name === undefined) return { direction: 'up', migrations: pending.slice(0, 1) }
			const named = pending.filter((candidate) => candidate.name === name)
			if (named.length === 0 && !done.has(name)) throw new Error(`Migration "${name}" not found.`)
			return { direction: 'up', migrations: named }
		}
		case 'down': {
			if (name === undefined) return { direction: 'down', migrations: completed.slice(-1) }
			const named = completed.filter((candidate) => candidate.name === name)
			if (named.length === 0) throw new Error(`Migration "${name}" was not run.`)
			return { direction: 'down', migrations: named }
		}
		case 'rollback': {
			if (all) return { direction: 'down', migrations: completed.toReversed() }
			const lastBatch = Math.max(...recorded.map(({ batch }) => batch))
			const names = recorded.filter(({ batch }) => batch === lastBatch).map((row) => row.name)
			// Newest record first, as they were run.
			const last = names.toReversed().map((each) => completed.find((candidate) => candidate.name === each))
			return { direction: 'down', migrations: last.filter((candidate) => candidate !== undefined) }
		}
		default:
			return { direction: 'up', migrations: [] }
	}
}

/** The number of the batch that a plan belongs to: a new one for up, the newest for down and for nothing, as knex tells it. */
export function batchOf({ direction, migrations }: Plan, recorded: readonly RecordedMigration[]): number {
	const newest = recorded.reduce((most, { batch }) => Math.max(most, batch), 0)
	return direction === 'up' && migrations.length > 0 ? newest + 1 : newest
}
