/** The parts of the runner that need no server: what is shown of a query, how long a lock is waited for, and how progress looks. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import makeKnex from 'knex'
import { expect, test } from 'vitest'
import { markOf } from '../../drivers/knex/migrate/books.ts'
import type { MigrateEvent } from '../../drivers/knex/migrate/events.ts'
import { lockStep, lockTries } from '../../drivers/knex/migrate/lock-retries.ts'
import { progressOn } from '../../drivers/knex/migrate/progress.ts'
import { redact } from '../../drivers/knex/migrate/redact.ts'

test.each([
	['postgres', "SELECT * FROM users WHERE email = 'x@y.z' AND n = 42", 'SELECT * FROM users WHERE email = ? AND n = ?'],
	['postgres', `select "name" from t2 where a = 'it''s' and b = $1`, 'select "name" from t2 where a = ?? and b = $1'],
	['postgres', "SELECT 'never closed, cut by the server", 'SELECT ?'],
	['postgres', "SELECT E'a\\'b', 'secret'", 'SELECT E…'],
	['postgres', "SELECT $tag$ it's a secret $tag$, 'other'", 'SELECT …'],
	['postgres', "SELECT 1 -- it's\n, 'secret'", 'SELECT ? …'],
	['postgres', "SELECT /* it's */ 'secret'", 'SELECT …'],
	['mysql', 'SELECT "secret", `name` FROM t WHERE x = 0x41', 'SELECT ?, `name` FROM t WHERE x = ?'],
	['mysql', "SELECT 'a\\'b secret'", 'SELECT …'],
	['mysql', "SELECT 1 # it's\n, 'secret'", 'SELECT ? …'],
	['postgres', `insert into t values (${'1, '.repeat(200)}1)`, expect.stringMatching(/^insert into t values \((\?, )+.*…$/)],
] as const)('%s: %s is shown without a value in it', (dialect, text, shown) => {
	expect(redact(text, dialect)).toEqual(shown)
	expect(redact(text, dialect)).not.toMatch(/secret|x@y/)
})

test('tries for a lock begin short, and no try waits longer than it may', () => {
	expect(lockStep(1, 500)).toEqual({ lockTimeoutMs: 10, pauseMs: 40 })
	const steps = Array.from({ length: lockTries + 1 }, (_, at) => lockStep(at + 1, 500))
	expect(Math.max(...steps.map(({ lockTimeoutMs }) => lockTimeoutMs))).toBe(500)
	expect(steps.at(-1)).toEqual(steps.at(-2))
	expect(lockStep(4, 5)).toMatchObject({ lockTimeoutMs: 5 })
})

test('the tries for a lock go on for more than half an hour, and hold up others for less than a minute and a half of it', () => {
	const steps = Array.from({ length: lockTries }, (_, at) => lockStep(at + 1, Number.POSITIVE_INFINITY))
	const sum = (pick: (step: (typeof steps)[number]) => number) => steps.reduce((total, step) => total + pick(step), 0)
	expect(sum(({ pauseMs }) => pauseMs)).toBeGreaterThan(30 * 60_000)
	expect(sum(({ lockTimeoutMs }) => lockTimeoutMs)).toBeLessThan(90_000)
})

test('the mark of a migration fits into the column of knex, and tells up from down', () => {
	const marks = ['a', 'b', '20240101_c.js'].flatMap((name) => [markOf(name, 'up'), markOf(name, 'down')])
	expect(new Set(marks).size).toBe(6)
	for (const mark of marks) {
		expect(mark).toBeLessThan(0)
		expect(mark).toBeGreaterThanOrEqual(-(2 ** 31))
	}
})

const events: readonly MigrateEvent[] = [
	{ type: 'waiting', for: 'database', sinceMs: 250, detail: 'the server is starting' },
	{ type: 'start', direction: 'up', batch: 3, names: ['a', 'b'] },
	{ type: 'running', name: 'a', number: 1, total: 2, tryNumber: 1 },
	{
		type: 'blocked',
		name: 'a',
		tryNumber: 1,
		blockers: [{ pid: 7, ageMs: 1_500, state: 'active', query: 'select ?', application: 'app' }],
	},
	{ type: 'done', name: 'a', number: 1, total: 2, elapsedMs: 1_234 },
	{ type: 'failed', name: 'b', applied: ['create table ?'], invalidIndexes: [] },
]

function shown(isTTY: boolean): string {
	let text = ''
	const show = progressOn({ isTTY, columns: 60, write: (part: string) => (text += part) } as never)
	for (const event of events) show(event)
	return text
}

test('progress is a line for each thing that happened where there is no terminal', () => {
	expect(shown(false).split('\n')).toEqual([
		'waiting for the database for 0.3 s: the server is starting',
		'batch 3: 2 migrations up',
		'a: no lock in try 1, held by pid 7 (app), active for 1.5 s: select ?',
		'a (1/2) in 1.2 s',
		'b failed; in force and not to be rolled back: create table ?',
		'',
	])
})

test('progress is a bar in a terminal, never wider than it, with what is done above it', () => {
	const text = shown(true)
	expect(text).toContain('[............] 0/2'.replace('............', '.'.repeat(24)))
	expect(text).toContain(`[${'#'.repeat(12)}${'.'.repeat(12)}] 1/2`)
	const lines = text.replaceAll('\r\u001b[K', '\n').split('\n')
	expect(lines).toContain('a (1/2) in 1.2 s')
	for (const bar of lines.filter((line) => line.startsWith('['))) expect(bar.length).toBeLessThan(60)
})

test('knex is still built as the runner takes it', () => {
	const knex = makeKnex({ client: 'pg', connection: { port: 1 }, migrations: { tableName: 'other' } })
	expect(knex.client.config).toMatchObject({ client: 'pg', migrations: { tableName: 'other' } })
	expect(knex.migrate).toMatchObject({ config: { tableName: 'other', disableTransactions: false, migrationSource: expect.anything() } })
	for (const name of ['acquireRawConnection', 'destroyRawConnection', 'validateConnection', '_query', '_stream'])
		expect(knex.client.constructor.prototype[name] ?? knex.client[name]).toBeTypeOf('function')
	const folder = dirname(createRequire(import.meta.url).resolve('knex/package.json'))
	const text = (file: string) => readFileSync(join(folder, 'lib', file), 'utf8')
	// The lock is free at 0 and taken by 1; every other number is ours.
	expect(text('migrations/migrate/Migrator.js')).toContain(".where('is_locked', '=', 0)")
	expect(text('migrations/migrate/Migrator.js')).toContain('.update({ is_locked: 1 })')
	// Transactions make their clients from the class of the instance's client: that is how their statements pass by us.
	expect(text('execution/transaction.js')).toContain('Object.create(client.constructor.prototype)')
	// A pool is taken as it is when it has these.
	for (const name of ['acquire', 'release', 'destroy', 'numFree', 'numUsed', 'numPendingAcquires'])
		expect(text('pool.js')).toContain(`obj.${name} === 'function'`)
})
