/** With which exit code does the command line end, and what may a script conclude from it? */

/** One way to end. */
export interface Ending {
	readonly code: number
	/** What it means, for people. */
	readonly meaning: string
}

/** How any command may end. What a database was found to be has codes of its own, in `states.ts`. */
export const endings = {
	ok: { code: 0, meaning: 'done; with a command behind `--`, that command ended with 0' },
	failed: { code: 1, meaning: '`explain`: no row knows it; `migrate`: a migration failed' },
	usage: { code: 2, meaning: 'the command line is wrong: an unknown command or option, a bad URL or value' },
	missing: { code: 3, meaning: 'a package that is needed is not installed: `pg`, `mysql2` or `knex`' },
	advice: { code: 4, meaning: '`doctor --strict`: the database is up, and there are warnings' },
	inDoubt: { code: 5, meaning: '`migrate`: it is not known whether a migration was applied; the text says how to find out' },
	locked: {
		code: 6,
		meaning: '`migrate`: others hold a lock that is needed, or another runner works; nothing was applied by this migration',
	},
	bug: { code: 70, meaning: 'an error inside Holdfast itself' },
	timeout: { code: 124, meaning: '`wait` and `migrate`: the time was up before the database answered' },
	notExecutable: { code: 126, meaning: '`wait`: the command behind `--` cannot be run' },
	notFound: { code: 127, meaning: '`wait`: there is no such command' },
} as const satisfies Record<string, Ending>

/** A process that a signal ended has this and the number of the signal for its exit code, as in a shell. */
export const signalBase = 128
