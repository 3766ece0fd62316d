/** What does an error mean, is it retried, when and why? Told from the rows that decide it in the running program. */
import { builtIn, type ClassificationRow, defaultProbing, paceOf, rowKey } from '../../src/knowledge.ts'
import { endings } from '../exit-codes.ts'
import type { Terminal } from '../terminal.ts'
import { type Found, findRows } from './find-rows.ts'

/** One row, told; this is what `--json` prints. */
export interface Explanation {
	readonly error: string
	/** What else must hold for this row. */
	readonly only: string | undefined
	readonly from: string
	readonly kind: string
	readonly scope: string
	readonly meaning: string
	readonly retried: boolean
	readonly statements: string
	readonly commits: string
	readonly when: string
	readonly source: string
}

/** Prints what is known of each text; resolves with the exit code. */
export function explainErrors(texts: readonly string[], json: boolean, terminal: Terminal): number {
	const answers = texts.map((text) => ({ asked: text, found: findRows(text) }))
	if (json) terminal.printJson(answers.map(({ asked, found }) => ({ asked, known: found.length > 0, rows: found.flatMap(explanationsOf) })))
	else for (const { asked, found } of answers) for (const line of linesOf(asked, found)) terminal.print(line)
	return answers.every(({ found }) => found.length > 0) ? endings.ok.code : endings.failed.code
}

const explanationsOf = ({ rows }: Found): Explanation[] => rows.map(explanationOf)

function explanationOf(row: ClassificationRow): Explanation {
	const only = [
		row.says && `the text says "${row.says}"`,
		row.routine && `it is raised in ${row.routine}`,
		row.phase === 'connect' && 'it comes while connecting',
		row.phase === 'commit' && 'it answers a COMMIT',
	].filter(Boolean)
	return {
		error: [rowKey(row), ...(row.also ?? [])].join(', '),
		only: only.length > 0 ? only.join(' and ') : undefined,
		from: raisedBy(row),
		kind: row.kind,
		scope: row.scope,
		meaning: row.reason,
		retried: row.retryable,
		statements: statements(row),
		commits: commits(row),
		when: whenRetried(row),
		source: row.source,
	}
}

function raisedBy(row: ClassificationRow): string {
	const holds = (table: (typeof builtIn)['postgres']) =>
		[...table.exact.values(), ...table.prefixes.values()].some((rows) => rows.includes(row))
	if (holds(builtIn.postgres)) return row.source.startsWith('PgBouncer') ? 'PgBouncer' : 'PostgreSQL'
	if (holds(builtIn.mysql)) return row.source.startsWith('MariaDB') ? 'MariaDB' : 'MySQL or MariaDB'
	return 'this side: Node.js, a client library or Holdfast'
}

const outcomes = {
	not_sent: 'the server never saw the work',
	rolled_back: 'the work has no effect',
	unknown: 'whether the work was applied is not known',
} as const

function statements({ outcome, retryable, scope }: ClassificationRow): string {
	if (!retryable) return `not run again; ${outcomes[outcome]}. The error reaches the caller at once, as it is`
	if (outcome === 'unknown')
		return `${outcomes[outcome]}: plain reads and work declared idempotent are run again, any other ends with an InDoubtError`
	const what = scope === 'transaction' ? 'run again, inside pool.transaction the whole function' : 'run again, writes as well'
	return `${what}: ${outcomes[outcome]}`
}

function commits(row: ClassificationRow): string {
	const known = row.commit ?? (row.outcome === 'not_sent' ? 'not_sent' : provesRollback(row) ? 'rolled_back' : 'unknown')
	if (known === 'unknown') return 'in doubt: Holdfast asks the server or the commit ledger, and reruns only what was not applied'
	return `${outcomes[known]}: ${row.retryable ? 'the transaction is run again' : 'the error reaches the caller'}`
}

/** PostgreSQL answers COMMIT with ERROR only where nothing was committed; MySQL's numbers promise no such thing. */
function provesRollback(row: ClassificationRow): boolean {
	return (
		raisedBy(row) === 'PostgreSQL' &&
		row.outcome === 'rolled_back' &&
		(row.scope === 'statement' || row.scope === 'transaction' || row.kind === 'stale_plan')
	)
}

/** Bounds as the running program has them: its own function, asked with chance at its highest. */
function whenRetried(row: ClassificationRow): string {
	if (!row.retryable) return 'never by itself; a row of your own (the option classify) can change that'
	const attempt = (number: number) => {
		const rest = { elapsedMs: 0, idleForMs: 0, upcomingWaitMs: 0, failed: true, error: undefined, result: undefined }
		return paceOf({ ...rest, number, fault: { ...row, code: undefined }, random: () => 1 })
	}
	const first = attempt(1)
	const then = first === 0 ? `at once, then after a random part of ${attempt(2)} ms` : `after a random part of ${first} ms`
	const pace = `${then}, doubled each time up to ${attempt(50)} ms`
	if (row.scope !== 'endpoint') return `${pace}, until the deadline`
	const { firstDelayMs, maxDelayMs } = defaultProbing
	return `when the server is back: it is asked by one connection at a time, every ${firstDelayMs} ms doubling to ${maxDelayMs} ms, until the deadline`
}

function linesOf(asked: string, found: readonly Found[]): string[] {
	if (found.length === 0) {
		return [
			`${JSON.stringify(asked)}: no row knows this.`,
			'  What no row knows counts as permanent: it reaches the caller at once, as it is, and is not run again.',
			'  If you know that it passes, say so with a row of your own: holdfast(pool, { classify: [{ code, kind, … }] }).',
			'',
		]
	}
	return found.flatMap(({ subject, rows }) => [`${subject}: ${count(rows.length)}`, '', ...rows.flatMap((row) => told(explanationOf(row)))])
}

const count = (rows: number) => (rows === 1 ? 'one meaning' : `${rows} meanings`)

function told(explained: Explanation): string[] {
	const line = (name: string, value: string) => `  ${name.padEnd(10)}  ${value}`
	return [
		line('error', explained.error),
		...(explained.only === undefined ? [] : [line('only where', explained.only)]),
		line('raised by', explained.from),
		line('means', explained.meaning),
		line('kind', `${explained.kind}; it hits the ${explained.scope}`),
		line('retried', explained.retried ? 'yes' : 'no'),
		line('statements', explained.statements),
		line('COMMIT', explained.commits),
		line('when', explained.when),
		line('source', explained.source),
		'',
	]
}
