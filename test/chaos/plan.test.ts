/** Can a failing seed be run again: same seed, same faults, same command line? */
import { expect, test } from 'vitest'
import { commandLine, readArguments, UsageError } from './arguments.ts'
import { Draw } from './draw.ts'
import { accounts, drawPlan } from './operations.ts'
import { type Family, type FaultKind, faultKinds, faultsOf } from './plan.ts'
import type { ChaosOptions } from './run.ts'

const families: readonly Family[] = ['server', 'network', 'session', 'load']

const take = (family: Family, seed: number, many: number, only?: ReadonlySet<FaultKind>) => {
	const faults = faultsOf(family, seed, only)
	return Array.from({ length: many }, () => faults.next().value)
}

test.each(families)('the %s faults of a seed are always the same, and those of another seed are others', (family) => {
	expect(take(family, 7, 50)).toEqual(take(family, 7, 50))
	expect(take(family, 8, 50)).not.toEqual(take(family, 7, 50))
})

test('a seed means what it meant yesterday: this is what it begins with', () => {
	expect(take('server', 1, 6).map((fault) => fault?.kind)).toMatchInlineSnapshot(`
		[
		  "kill",
		  "kill",
		  "kill",
		  "kill",
		  "kill",
		  "kill-backend",
		]
	`)
	expect(take('network', 1, 6).map((fault) => fault?.kind)).toMatchInlineSnapshot(`
		[
		  "commit-sent",
		  "reply",
		  "reply",
		  "reset",
		  "request",
		  "request",
		]
	`)
})

test('every kind of fault is drawn', () => {
	const drawn = new Set(families.flatMap((family) => take(family, 1, 2_000).map((fault) => fault?.kind)))
	expect([...drawn].sort()).toEqual(faultKinds.map(({ kind }) => kind).sort())
})

test('only the kinds that were asked for are drawn, and a family without one stays quiet', () => {
	const only: ReadonlySet<FaultKind> = new Set(['kill', 'reset'])
	expect(new Set(take('server', 1, 50, only).map((fault) => fault?.kind))).toEqual(new Set(['kill']))
	expect(take('session', 1, 1, only)).toEqual([undefined])
})

test('a plan appends to each list once, moves money between two accounts that are there, and a reader only reads', () => {
	const draw = new Draw(1, 100)
	for (let id = 1; id <= 2_000; id++) {
		const { steps, readOnly } = drawPlan(draw, id, id % 10 === 0)
		const lists = steps.flatMap((step) => (step.do === 'append' ? [step.list] : []))
		expect(new Set(lists).size).toBe(lists.length)
		expect(lists.length === 0).toBe(readOnly)
		for (const step of steps) {
			if (step.do !== 'move') continue
			expect(step.from).not.toBe(step.to)
			for (const account of [step.from, step.to]) expect(account > 0 && account <= accounts).toBe(true)
		}
	}
})

// What a shell makes of the printed line.
const wordsOf = (line: string) =>
	[...line.replace('npm run chaos -- ', '').matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare!)

test.each([
	['--seed 5'],
	['--seed 5 --crashes 200 --faults 2000 --commit ledger'],
	['--seed 5 --minutes 0.5 --client p-retry --isolation serializable --workers 8 --connections 4 --fsync'],
	['--seed 5 --driver mysql2 --crashes 100 --faults 1000'],
	['--seed 5 --driver mysql2 --server mariadb --commit off --minutes 1'],
	['--seed 5 --minutes 2 --nemeses kill,commit-reply --isolation "read committed" --reply-ms 0 --round-s 5 --attempt-ms 900'],
])('the printed command line of %s asks for the same run', (line) => {
	const options = readArguments(wordsOf(line))
	expect(readArguments(wordsOf(commandLine(options as ChaosOptions)))).toEqual(options)
})

test.each([
	['--seed x', '--seed must be a whole number'],
	['--minutes -1', 'minutes'],
	['--driver oracle', '--driver must be one of pg, mysql2, got "oracle"'],
	['--server mysql', '--server must be one of postgres, got "mysql"'],
	['--driver mysql2 --server postgres', '--server must be one of mysql, mariadb, got "postgres"'],
	['--driver mysql2 --client bare-xid', '--client bare-xid is for --driver pg'],
	['--driver mysql2 --commit verify', '--commit must be ledger or off with --driver mysql2'],
	['--driver mysql2 --nemeses kill-backend', 'got "kill-backend"'],
	['--commit maybe', '--commit must be one of verify, ledger, off, got "maybe"'],
	['--nemeses kill,godzilla', 'got "godzilla"'],
	['--nemeses reset --crashes 3', '--crashes needs a kind of crash'],
	['--nemeses kill --faults 3', '--faults needs a network fault'],
	['--speed 3', '--speed'],
])('%s is refused', (line, text) => {
	expect(() => readArguments(wordsOf(line))).toThrow(UsageError)
	expect(() => readArguments(wordsOf(line))).toThrow(text)
})
