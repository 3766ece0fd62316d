/** Does controlStatements see every transaction verb, and none that is only quoted? */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type ControlStatement, controlStatements, mayControlTransaction } from '../../../src/sql/control.ts'
import type { Dialect } from '../../../src/sql/scan.ts'

type Seen = Omit<ControlStatement, 'start'>

const other: Seen = { verb: 'other' }
/** Without the places: they have a test of their own. */
const seen = (text: string, dialect: Dialect): readonly Seen[] => controlStatements(text, dialect).map(({ start: _start, ...rest }) => rest)
type Case = readonly [text: string, expected: readonly Seen[]]

const both: readonly Case[] = [
	['BEGIN', [{ verb: 'begin' }]],
	['begin work', [{ verb: 'begin' }]],
	['  -- a\n/* b */ Begin ;', [{ verb: 'begin' }]],
	['START TRANSACTION READ ONLY', [{ verb: 'begin', readOnly: true }]],
	['START TRANSACTION READ WRITE', [{ verb: 'begin', readOnly: false }]],
	['COMMIT', [{ verb: 'commit' }]],
	['COMMIT WORK', [{ verb: 'commit' }]],
	['COMMIT AND CHAIN', [{ verb: 'commit', chain: true }]],
	['COMMIT AND NO CHAIN', [{ verb: 'commit' }]],
	['ROLLBACK', [{ verb: 'rollback' }]],
	['ROLLBACK AND CHAIN', [{ verb: 'rollback', chain: true }]],
	['ROLLBACK TO a', [{ verb: 'rollback_to' }]],
	['ROLLBACK WORK TO SAVEPOINT a', [{ verb: 'rollback_to' }]],
	['SAVEPOINT a', [{ verb: 'savepoint' }]],
	['RELEASE SAVEPOINT a', [{ verb: 'release' }]],
	['select 1', [other]],
	['', []],
	[' ; ;', []],
	["BEGIN; insert into t values (';commit;'); COMMIT", [{ verb: 'begin' }, other, { verb: 'commit' }]],
	['commitment', [other]],
	['"commit"', [other]],
]
const postgres: readonly Case[] = [
	['BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE', [{ verb: 'begin', readOnly: true, isolation: 'serializable' }]],
	['begin isolation level repeatable read', [{ verb: 'begin', isolation: 'repeatable read' }]],
	['END', [{ verb: 'commit' }]],
	['END TRANSACTION AND CHAIN', [{ verb: 'commit', chain: true }]],
	['ABORT', [{ verb: 'rollback' }]],
	['ROLLBACK TRANSACTION TO a', [{ verb: 'rollback_to' }]],
	['RELEASE a', [{ verb: 'release' }]],
	["PREPARE TRANSACTION 'a'", [{ verb: 'prepare' }]],
	['PREPARE a AS SELECT 1', [other]],
	["COMMIT PREPARED 'a'", [{ verb: 'commit_prepared' }]],
	["ROLLBACK PREPARED 'a'", [{ verb: 'rollback_prepared' }]],
	['DO $$ BEGIN COMMIT; END $$', [other]],
	['DO $a$ begin; $$ commit; $$ end $a$; commit', [other, { verb: 'commit' }]],
	['CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 END; END; COMMIT', [other, { verb: 'commit' }]],
	['CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC INSERT INTO t VALUES (1); COMMIT; END', [other]],
	['CREATE TABLE t (begin int); COMMIT', [other, { verb: 'commit' }]],
	["select E'\\'; commit; --'", [other]],
	["select E'a'\n'b' -- c\n'd\\'; commit; --'", [other]],
	['select 1 -- \rcommit', [other]],
	['-- a\rcommit', [{ verb: 'commit' }]],
	['/* /* */ commit; */ begin', [{ verb: 'begin' }]],
	['xa start 1', [other]],
]
const mysql: readonly Case[] = [
	['START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY', [{ verb: 'begin', readOnly: true }]],
	['START SLAVE', [other]],
	['START REPLICA', [other]],
	['END', [other]],
	['BEGIN NOT ATOMIC COMMIT; END', [other, other]],
	["XA START 'a'", [{ verb: 'begin' }]],
	["XA END 'a'", [other]],
	["XA PREPARE 'a'", [{ verb: 'prepare' }]],
	["XA COMMIT 'a' ONE PHASE", [{ verb: 'commit' }]],
	["XA COMMIT 'a'", [{ verb: 'commit_prepared' }]],
	["XA ROLLBACK 'a'", [{ verb: 'rollback' }]],
	['# a\nCOMMIT', [{ verb: 'commit' }]],
	['select `;commit;`', [other]],
	['select "\\";commit;"', [other]],
	["PREPARE s FROM 'COMMIT'", [other]],
	['CREATE PROCEDURE p() BEGIN START TRANSACTION; COMMIT; END', [other]],
	['/*!40101 COMMIT */', [{ verb: 'commit' }]],
	['/* /* */ commit', [{ verb: 'commit' }]],
]

const cases = [
	...both.flatMap(([text, expected]) => [['postgres', text, expected] as const, ['mysql', text, expected] as const]),
	...postgres.map(([text, expected]) => ['postgres', text, expected] as const),
	...mysql.map(([text, expected]) => ['mysql', text, expected] as const),
]

test.each(cases)('in %s the control statements are seen in %j', (dialect, text, expected) => {
	expect(seen(text, dialect)).toEqual(expected)
	if (expected.some((statement) => statement.verb !== 'other')) expect(mayControlTransaction(text)).toBe(true)
})

test.each([
	'SELECT 1',
	' select 1;\n',
	'insert into t values (1)',
	'UPDATE t SET a = 1',
	'delete from t',
	'WITH a AS (SELECT 1) SELECT 1',
	'(select 1)',
	'set a = 1',
	'',
])('the usual single statement is told from transaction control by its first letters: %j', (text) =>
	expect(mayControlTransaction(text)).toBe(false),
)

const verbs = [
	'BEGIN',
	'START TRANSACTION',
	'COMMIT',
	'END',
	'ROLLBACK',
	'ABORT',
	'SAVEPOINT a',
	'RELEASE a',
	"PREPARE TRANSACTION 'x'",
	"XA START 'x'",
]
const verb = fc.constantFrom(...verbs)
const dialects = fc.constantFrom<Dialect>('postgres', 'mysql')
const pieces = fc.constantFrom(
	...verbs,
	'select 1',
	' ',
	';',
	'\n',
	'\r',
	'\t',
	'-- a\n',
	'# b\n',
	'/* c */',
	'/*',
	'*/',
	'/*!1 ',
	"'",
	'"',
	'$$',
	'\\',
	'(',
	'create function f() ',
	'begin atomic ',
	'\ufeff',
)
const text = fc.array(pieces, { maxLength: 12 }).map((each) => each.join(''))

test('what controls a transaction always passes the cheap test', () => {
	fc.assert(
		fc.property(text, dialects, (sql, dialect) => {
			const controls = controlStatements(sql, dialect).some((statement) => statement.verb !== 'other')
			if (controls) expect(mayControlTransaction(sql)).toBe(true)
		}),
		{ numRuns: 5_000 },
	)
})

const quotes: Readonly<Record<Dialect, readonly ((inner: string) => string)[]>> = {
	postgres: [
		(s) => `'${s}'`,
		(s) => `"${s}"`,
		(s) => `E'${s}'`,
		(s) => `$$${s}$$`,
		(s) => `$q$${s}$q$`,
		(s) => `/* ${s} */ 1`,
		(s) => `/* /* ${s} */ ${s} */ 1`,
	],
	mysql: [(s) => `'${s}'`, (s) => `"${s}"`, (s) => `\`${s}\``, (s) => `/* ${s} */ 1`, (s) => `'\\'${s}'`],
}

test('a control verb inside quotes or a comment never counts', () => {
	fc.assert(
		fc.property(verb, dialects, fc.nat(), (control, dialect, pick) => {
			const quote = quotes[dialect][pick % quotes[dialect].length]!
			const inner = `; ${control.replaceAll("'", '')}; `
			expect(seen(`select ${quote(inner)}`, dialect)).toEqual([other])
		}),
	)
})

test('each statement begins right behind the one before it, comments and blanks included', () => {
	const text = " begin; /* ; */ insert into t values (';') ;; commit;"
	const starts = controlStatements(text, 'postgres').map(({ start }) => start)
	const pieces = [...starts.keys()].map((index) => text.slice(starts[index], starts[index + 1]))
	expect(pieces).toEqual([' begin;', " /* ; */ insert into t values (';') ;", '; commit;'])
})
