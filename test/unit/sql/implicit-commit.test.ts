/** Is a statement that commits by itself recognised, in any spelling, and is nothing else taken for one? */
import { expect, test } from 'vitest'
import { implicitCommit, implicitCommits, takesOverTransaction } from '../../../src/sql/implicit-commit.ts'

test.each([
	['CREATE TABLE t (id int)', 'CREATE TABLE'],
	['create or replace view v as select 1', 'CREATE OR'],
	['/* app */ alter table t add c int', 'ALTER TABLE'],
	['-- note\nDROP INDEX i ON t', 'DROP INDEX'],
	['/*!50100 DROP TABLE t */', 'DROP TABLE'],
	['RENAME TABLE a TO b', 'RENAME TABLE'],
	['truncate t', 'TRUNCATE'],
	["GRANT SELECT ON *.* TO 'a'@'b'", 'GRANT SELECT'],
	["SET PASSWORD = 'x'", 'SET PASSWORD'],
	['ANALYZE TABLE t', 'ANALYZE TABLE'],
	['FLUSH TABLES', 'FLUSH TABLES'],
	['START REPLICA', 'START REPLICA'],
	['INSERT INTO t VALUES (1); CREATE TABLE u (id int)', 'CREATE TABLE'],
])('%s commits, and is called by its first words', (text, statement) => {
	expect(implicitCommit(text)).toEqual({ statement, certain: true })
})

test.each([
	['CALL p()', 'CALL'],
	['EXECUTE stmt USING @a', 'EXECUTE'],
	['BEGIN NOT ATOMIC INSERT INTO t VALUES (1); COMMIT; END', 'BEGIN NOT'],
])('%s may commit: what it runs decides', (text, statement) => {
	expect(implicitCommit(text)).toEqual({ statement, certain: false })
})

test.each([
	'SELECT 1',
	"INSERT INTO t VALUES ('; DROP TABLE t')",
	'insert into create_log values (1);',
	'CREATE TEMPORARY TABLE t (id int)',
	'create or replace temporary table t (id int)',
	'DROP TEMPORARY TABLE t',
	'DROP PREPARE stmt',
	'ANALYZE SELECT 1',
	'LOAD DATA INFILE "x" INTO TABLE t',
	'SET @a = 1',
	'SAVEPOINT a',
	'UPDATE `create` SET `alter` = 1',
	'WITH x AS (SELECT 1) SELECT * FROM x',
])('%s commits nothing', (text) => {
	expect(implicitCommit(text)).toBeUndefined()
})

test.each([
	['LOCK TABLES t WRITE', 'LOCK TABLES'],
	['lock table t read', 'LOCK TABLES'],
	['UNLOCK TABLES', 'UNLOCK TABLES'],
	['SET autocommit=1', 'SET autocommit'],
	['set @@session.AutoCommit = 0', 'SET autocommit'],
	['SELECT 1; UNLOCK TABLES', 'UNLOCK TABLES'],
])('%s takes the transaction out of our hands', (text, what) => {
	expect(takesOverTransaction(text)).toBe(what)
})

test.each(['SELECT * FROM t LOCK IN SHARE MODE', "INSERT INTO t VALUES ('lock tables')", 'SELECT @@autocommit', "SET @a = 'autocommit'"])(
	'%s does not',
	(text) => {
		expect(takesOverTransaction(text)).toBeUndefined()
	},
)

test('every row says why, and where that is written', () => {
	for (const { verb, reason, source } of implicitCommits) expect([verb, reason, source].every((text) => text.length > 1)).toBe(true)
	expect(new Set(implicitCommits.map(({ verb }) => verb)).size).toBe(implicitCommits.length)
})
