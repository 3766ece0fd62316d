/** What do tests that write ask of any database? How much was written, messages that get lost, and one transaction that is counted. */
import type { FaultProxy } from '../support/proxy.ts'
import type { Intercept } from '../support/proxy-rules.ts'

interface Stage {
	readonly proxy: FaultProxy
	ask<Row extends object>(text: string): Promise<Row[]>
}

interface Transactions {
	transaction(
		work: (tx: { query(text: string): Promise<unknown>; onCommit(callback: () => void): void }) => Promise<number>,
		options?: object,
	): Promise<unknown>
}

/** What became of one transaction. */
export interface Counted {
	/** How often its function was run. */
	readonly runs: number
	/** How often `onCommit` was called. */
	readonly told: number
	/** Which run the caller was given the value of. */
	readonly value: unknown
	readonly error: unknown
	/** How many rows there are afterwards. */
	readonly rows: number
}

export interface Writing {
	/** How many rows the table `written` has. */
	rows(): Promise<number>
	/** Their values of `id`. */
	ids(): Promise<number[]>
	/** Breaks the link when the server says that a statement is done, before the client hears of it. */
	loseReply(tag: string, how?: { times?: number; onHit?: () => Promise<void> }): Intercept
	loseCommitReply(onHit?: () => Promise<void>): Intercept
	/** Breaks the link when the client sends COMMIT, before the server gets it. */
	loseCommitItself(onHit?: () => Promise<void>): Intercept
	/** One transaction that writes a row. */
	write(pool: Transactions, options?: object): Promise<Counted>
}

const isCommit = /^\s*(\/\*.*\*\/)?\s*(commit|end)/i

/** For a stage whose database has a table `written (id int)`. */
export function writing(at: Stage): Writing {
	const own: Writing = {
		rows: async () => Number((await at.ask<{ n: unknown }>('SELECT count(*) AS n FROM written'))[0]?.n),
		ids: async () => (await at.ask<{ id: number }>('SELECT id AS id FROM written ORDER BY id')).map(({ id }) => id),
		loseReply: (tag, how) => at.proxy.intercept({ from: 'server', match: (message) => message.tag === tag, action: 'cut before', ...how }),
		loseCommitReply: (onHit) => own.loseReply('COMMIT', onHit && { onHit }),
		loseCommitItself: (onHit) =>
			at.proxy.intercept({
				from: 'client',
				match: ({ text }) => isCommit.test(text ?? ''),
				action: 'cut before',
				...(onHit && { onHit }),
			}),
		async write(pool, options = {}) {
			const seen = { runs: 0, told: 0, value: undefined as unknown, error: undefined as unknown }
			try {
				seen.value = await pool.transaction(async (tx) => {
					seen.runs += 1
					const run = seen.runs
					tx.onCommit(() => {
						seen.told += 1
					})
					await tx.query('INSERT INTO written VALUES (1)')
					return run
				}, options)
			} catch (error) {
				seen.error = error
			}
			return { ...seen, rows: await own.rows() }
		},
	}
	return own
}
