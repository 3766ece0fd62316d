/** Does `explain` tell what the running program would do, for everything that can be asked? */
import { classify, type Fault } from 'holdfast'
import { describe, expect, test } from 'vitest'
import { conditionNames } from '../../cli/explain/condition-names.ts'
import { findRows } from '../../cli/explain/find-rows.ts'
import { serverTexts } from '../../cli/explain/server-texts.ts'
import { run } from '../../cli/program.ts'
import { classificationRows, rowKey } from '../../src/knowledge.ts'

interface Told {
	readonly asked: string
	readonly known: boolean
	readonly rows: readonly { error: string; kind: Fault['kind']; retried: boolean; commits: string; meaning: string; source: string }[]
}

async function explain(...texts: string[]): Promise<{ code: number; out: string; err: string }> {
	const written = { out: '', err: '' }
	const into = (name: 'out' | 'err') => ({ write: (text: string) => (written[name] += text) })
	const code = await run(['explain', ...texts], { out: into('out'), err: into('err') })
	return { code, ...written }
}
const asJson = async (...texts: string[]) => JSON.parse((await explain('--json', ...texts)).out) as Told[]

describe('explain', () => {
	test.each([
		['40001', 'serialization_failure', true],
		['40p01', 'deadlock', true],
		['serialization_failure', 'serialization_failure', true],
		['deadlock_detected', 'deadlock', true],
		['too many connections', 'too_many_connections', true],
		['23505', 'permanent', false],
		['unique_violation', 'permanent', false],
		['1213', 'deadlock', true],
		['ER_LOCK_DEADLOCK', 'deadlock', true],
		['er_lock_wait_timeout', 'lock_timeout', true],
		['2006', 'connection_lost', true],
		['ECONNRESET', 'connection_lost', true],
		['-111', 'connection_refused', true],
		['104', 'connection_lost', true],
		['EPIPE', 'connection_lost', true],
		['ERR_TLS_CERT_ALTNAME_INVALID', 'permanent', false],
		['HOLDFAST_IN_DOUBT', 'permanent', false],
		['P2034', 'serialization_failure', true],
		['Connection terminated unexpectedly', 'connection_lost', true],
		['connect ECONNREFUSED 127.0.0.1:40001', 'connection_refused', true],
		['FATAL: the database system is starting up', 'starting_up', true],
		['ERROR 1205 (HY000): Lock wait timeout exceeded; try restarting transaction', 'lock_timeout', true],
		['update "t" set "a" = 1 - deadlock detected', 'deadlock', true],
		['error: query_wait_timeout', 'pool_timeout', true],
	])('%s is %s', async (asked, kind, retried) => {
		const [told] = await asJson(asked)
		expect(told).toMatchObject({ asked, known: true })
		expect(told?.rows[0]).toMatchObject({ kind, retried, source: expect.stringMatching(/\w/), meaning: expect.stringMatching(/\w/) })
	})

	test.each(['40', 'class 40', '40xxx', '40…'])('%s is the class with all its codes', async (asked) => {
		const [told] = await asJson(asked)
		expect(told?.rows.map(({ error }) => error)).toEqual(['40000', '40001', '40002', '40003', '40P01'])
	})

	test('a number that could be a port is not taken for a code', async () => {
		expect((await asJson('connect ECONNREFUSED 127.0.0.1:1213'))[0]?.rows.map(({ error }) => error)).toEqual(['ECONNREFUSED'])
	})

	test('text for people says what, whether, when, why and from where', async () => {
		const { code, out } = await explain('40001')
		expect(code).toBe(0)
		for (const word of ['means', 'retried     yes', 'when', 'source      PostgreSQL manual', 'COMMIT']) expect(out).toContain(word)
	})

	test('what no row knows is said to be unknown, and the exit code is 1, also where another one is known', async () => {
		const { code, out } = await explain('40001', 'no such thing')
		expect(code).toBe(1)
		expect(out).toContain('"no such thing": no row knows this.')
		for (const odd of ['', ' ', 'EBUSY', '99999', '0', '-7', 'permanent', '__proto__', 'constructor', '4', 'ER_NONSENSE'])
			expect(findRows(odd), odd).toEqual([])
	})

	test('nothing to explain is a mistake of the caller', async () => {
		expect(await explain()).toMatchObject({ code: 2, out: '', err: expect.stringContaining("missing required argument 'error'") })
	})

	test('every row of the tables can be asked for by its code, and each of its names', () => {
		const unreachable = classificationRows().filter((row) => {
			const names = [row.code, ...(row.also ?? [])].filter((name) => name !== undefined)
			return names.some((name) => !findRows(name).some(({ rows }) => rows.includes(row)))
		})
		expect(unreachable.map(rowKey)).toEqual([])
	})

	test('every text and name in the tables of the command line leads to a row', () => {
		const codes = [...serverTexts.map(({ code }) => code), ...Object.values(conditionNames)]
		expect(codes.filter((code) => findRows(code).length === 0)).toEqual([])
	})

	test('what it says of a COMMIT is what the classification decides', async () => {
		const words = { unknown: 'in doubt', rolled_back: 'the work has no effect', not_sent: 'the server never saw the work' } as const
		const wrong: string[] = []
		for (const row of classificationRows()) {
			if (row.code === undefined || row.phase !== undefined) continue
			const isMysql = /^\d{4}$/.test(row.code)
			const ofServer = /^[0-9A-Z]{5}$/.test(row.code) && !/^E[A-Z]/.test(row.code) && !/^P\d{4}$/.test(row.code)
			const text = row.says ?? ''
			const lasting = row.scope === 'statement' || row.scope === 'transaction' || row.kind === 'stale_plan'
			const error = isMysql
				? { errno: Number(row.code), code: row.also?.[0], message: text }
				: ofServer
					? { code: row.code, severity: lasting ? 'ERROR' : 'FATAL', message: text, routine: row.routine }
					: { code: row.code, message: text }
			const fault = classify(error, { phase: 'commit' })
			const told = (await asJson(row.code))[0]?.rows.find(({ meaning }) => meaning === row.reason)
			if (fault.reason === row.reason && !told?.commits.startsWith(words[fault.outcome]))
				wrong.push(`${rowKey(row)}: ${told?.commits}, ${fault.outcome}`)
		}
		expect(wrong).toEqual([])
	})
})
