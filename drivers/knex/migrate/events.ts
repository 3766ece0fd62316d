/** What does a migration run tell while it goes on? The events of `onProgress`. No SQL parameter is in them. */
import type { Fault } from '../../../src/index.ts'
import type { Blocker, Direction } from './errors.ts'

/** What `onProgress` is told. */
export type MigrateEvent =
	/** The run cannot go on for now: the database does not answer, or another runner works. Told at once and then every second. */
	| { readonly type: 'waiting'; readonly for: 'database' | 'runner'; readonly sinceMs: number; readonly detail: string }
	/** The lock of a runner that has died was taken over; that it has died is proven. */
	| { readonly type: 'lock freed'; readonly detail: string }
	/** What is going to be run. */
	| { readonly type: 'start'; readonly direction: Direction; readonly batch: number; readonly names: readonly string[] }
	/** A migration begins; `number` counts from 1, `tryNumber` too. */
	| { readonly type: 'running'; readonly name: string; readonly number: number; readonly total: number; readonly tryNumber: number }
	/** A statement of it gets no lock for now. */
	| { readonly type: 'blocked'; readonly name: string; readonly tryNumber: number; readonly blockers: readonly Blocker[] }
	/** It was rolled back (or never sent) and is run again after `waitMs`. */
	| { readonly type: 'retry'; readonly name: string; readonly tryNumber: number; readonly fault: Fault; readonly waitMs: number }
	/** Its COMMIT got no answer; knex's table told what became of it. */
	| { readonly type: 'resolved'; readonly name: string; readonly applied: boolean }
	/** It is applied and recorded. */
	| { readonly type: 'done'; readonly name: string; readonly number: number; readonly total: number; readonly elapsedMs: number }
	/** It failed for good. `applied`: its statements that cannot be rolled back and are in force; `invalidIndexes`: what a failed build has left. */
	| {
			readonly type: 'failed'
			readonly name: string
			readonly applied: readonly string[]
			readonly invalidIndexes: readonly string[]
	  }
	/** The run is over; `names` are those that this run applied. */
	| { readonly type: 'end'; readonly batch: number; readonly names: readonly string[]; readonly elapsedMs: number }
