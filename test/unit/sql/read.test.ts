/** Does isPlainRead say yes to reads only? */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isPlainRead } from '../../../src/sql/read.ts'

const readInBoth = [
	'SELECT 1',
	'  select * from t where a = $1;',
	'select 1; select 2;',
	'(select 1) union (select 2)',
	'VALUES (1), (2)',
	'TABLE t',
	'SHOW search_path',
	'EXPLAIN SELECT * FROM t',
	'WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM b',
	"SELECT 'insert into t; for update'",
	'SELECT "insert" FROM t -- for update',
	'/* for update */ SELECT 1',
	"SELECT replace(a, 'x', 'y') FROM t",
	"WITH a AS (SELECT 1) SELECT REPLACE(a, 'x', 'y') FROM a",
	'SELECT count(*) AS row_count FROM t',
	'SELECT substring(a from 1 for 3) FROM t',
	'SELECT pg_sleep(1), sleep(1)',
	'SELECT lo_price FROM t',
	"SELECT current_timestamp, now(), 'a''b'",
]
const readInPostgres = [
	"SELECT E'it\\'s; delete from t'",
	'SELECT $$; delete from t $$',
	'SELECT $a$ $$ ; delete from t $a$',
	'SELECT /* a /* b */ ; delete from t */ 1',
	'SELECT 5 # 3',
	'SELECT a$b$c FROM t',
	'SELECT update, delete FROM t',
	'SELECT txid_current()',
	'SELECT data @> $1, @ -5 FROM t',
	'SELECT \'a\' COLLATE "de;DE"',
	'EXPLAIN (FORMAT JSON, VERBOSE) SELECT 1',
]
const readInMysql = [
	'SELECT `insert;` FROM t',
	'SELECT 1 # ; delete from t',
	'SELECT 1--1',
	'SELECT "a; delete from t"',
	'SELECT @@global.read_only',
	'SHOW TABLES',
	'DESCRIBE t',
	'DESC t',
	'EXPLAIN t',
	'SELECT insert(a, 1, 2, b) FROM t',
	'SELECT /*+ MAX_EXECUTION_TIME(1000) */ 1',
]

test.each(readInBoth)('is a plain read for both servers: %s', (text) => {
	expect([isPlainRead(text, 'postgres'), isPlainRead(text, 'mysql')]).toEqual([true, true])
})
test.each(readInPostgres)('is a plain read for PostgreSQL: %s', (text) => expect(isPlainRead(text, 'postgres')).toBe(true))
test.each(readInMysql)('is a plain read for MySQL: %s', (text) => expect(isPlainRead(text, 'mysql')).toBe(true))

const notInBoth = [
	'',
	'  ; -- nothing',
	'INSERT INTO t VALUES (1)',
	'UPDATE t SET a = 1',
	'DELETE FROM t',
	'CALL p()',
	'DO $$ begin end $$',
	'SET a = 1',
	'BEGIN',
	'SELECT 1; DELETE FROM t',
	'select * into copy from t',
	'SELECT * FROM t FOR UPDATE',
	'SELECT * FROM t FOR/**/UPDATE NOWAIT',
	'SELECT * FROM t FOR SHARE',
	'(SELECT 1) UNION (SELECT 2 FROM t FOR UPDATE)',
	'WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a',
	'WITH a AS (SELECT 1) DELETE FROM t',
	'WITH a AS (SELECT 1) UPDATE t SET a = 1',
	'WITH RECURSIVE a(n) AS (SELECT 1) CYCLE n SET c USING p DELETE FROM t',
	'EXPLAIN ANALYZE SELECT 1',
	'EXPLAIN (ANALYZE, BUFFERS) DELETE FROM t',
	'EXPLAIN DELETE FROM t',
	'SELECT last_insert_id(5)',
	"SELECT 'open",
	'SELECT "open',
	'SELECT /* open',
	'nonsense',
	'(nonsense)',
	'"select" 1',
	'select next value for s',
]
const notInPostgres = [
	"SELECT nextval('s')",
	"SELECT pg_catalog . nextval ('s')",
	'SELECT "nextval"(\'s\')',
	"SELECT nextval/* gap */('s')",
	'SELECT U&"next\\0076al"(\'s\')',
	'SELECT pg_advisory_xact_lock(1)',
	"SELECT pg_notify('a', 'b')",
	'SELECT pg_terminate_backend(1)',
	'SELECT lo_import($1)',
	"SELECT * FROM dblink('x', 'y') AS t(a int)",
	"SELECT set_config('a', 'b', false)",
	'SELECT * FROM t FOR NO KEY UPDATE',
	'SELECT * FROM t FOR KEY SHARE',
	'SELECT $$ open',
	"SELECT 'a\\'; DELETE FROM t; --'",
	"SELECT E'a'\n'b\\'; DELETE FROM t; --'",
	'SELECT 1 -- a\r; DELETE FROM t',
	'DESCRIBE t',
	'EXPLAIN t',
]
const notInMysql = [
	"SELECT GET_LOCK('a', 1)",
	'SELECT * FROM t LOCK IN SHARE MODE',
	'SELECT 1 INTO @a',
	"SELECT * FROM t INTO OUTFILE '/tmp/x'",
	'SELECT @a := 1',
	'SELECT @a',
	'SELECT last_insert_id()',
	'SELECT s.nextval FROM dual',
	'SELECT 1 /*! ; DELETE FROM t */',
	'SELECT 1 /*M!100100 FOR UPDATE */',
	'SELECT /* a /* b */ ; delete from t */ 1',
	'SHOW WARNINGS',
	"SELECT 'it\\'s'",
	'SELECT 1 --\u0001 x\n; DELETE FROM t',
]

test.each(notInBoth)('is no plain read for either server: %j', (text) => {
	expect([isPlainRead(text, 'postgres'), isPlainRead(text, 'mysql')]).toEqual([false, false])
})
test.each(notInPostgres)('is no plain read for PostgreSQL: %j', (text) => expect(isPlainRead(text, 'postgres')).toBe(false))
test.each(notInMysql)('is no plain read for MySQL: %j', (text) => expect(isPlainRead(text, 'mysql')).toBe(false))

const pieces = fc.constantFrom(
	...[
		'select ',
		'delete from t',
		'insert ',
		"'",
		'"',
		'`',
		'$$',
		'$a$',
		'/*',
		'*/',
		'--',
		'#',
		'\n',
		'\r',
		';',
		'\\',
		"E'",
		'(',
		')',
		'with ',
		'for update',
		' ',
		'1',
		'/*!',
		'\u00e9',
		':=',
		'@',
	],
)
const noise = fc.oneof(
	fc.array(pieces, { maxLength: 30 }).map((each) => each.join('')),
	fc.string({ unit: 'binary' }),
)

test('no text makes the scanner throw', () => {
	fc.assert(
		fc.property(noise, fc.constantFrom('postgres', 'mysql'), (text, dialect) => {
			expect(typeof isPlainRead(text, dialect as 'postgres' | 'mysql')).toBe('boolean')
		}),
		{ numRuns: 2_000 },
	)
})

test('whatever follows, a text that begins with a write is no plain read', () => {
	fc.assert(
		fc.property(noise, fc.constantFrom('postgres', 'mysql'), (text, dialect) => {
			expect(isPlainRead(`delete from t ${text}`, dialect as 'postgres' | 'mysql')).toBe(false)
		}),
		{ numRuns: 1_000 },
	)
})

test('a hostile text of a megabyte takes time in proportion to its length', () => {
	const hostile = [
		'/*'.repeat(500_000),
		`${'/*'.repeat(250_000)}${'*/'.repeat(250_000)}`,
		"'\\".repeat(500_000),
		'$a'.repeat(500_000),
		'('.repeat(1_000_000),
	]
	for (const text of hostile) expect(isPlainRead(text, 'postgres')).toBe(false)
	for (const text of hostile) expect(isPlainRead(text, 'mysql')).toBe(false)
})
