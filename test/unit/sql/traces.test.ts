/** Which statements leave nothing behind in their session, so that another session can take its place? */
import { expect, test } from 'vitest'
import { leavesNoTrace } from '../../../src/sql/traces.ts'

const everywhere = [
	'SELECT 1',
	'/* a */ select * from t where a = $1;',
	'UPDATE t SET a = 1 WHERE b = 2',
	'DELETE FROM t',
	'BEGIN',
	'START TRANSACTION ISOLATION LEVEL SERIALIZABLE',
	'COMMIT',
	'ROLLBACK TO SAVEPOINT a',
	'RELEASE SAVEPOINT a',
]
const onlyPostgres = ['INSERT INTO t (a) VALUES (1) RETURNING a', 'MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE']
const nowhere = [
	'SET search_path TO app',
	'SELECT set_config($1, $2, false)',
	'SELECT pg_advisory_lock(1)',
	'INSERT INTO t VALUES (nextval($1))',
	'UPDATE t SET a = get_lock(b, 1)',
	'UPDATE t SET a = last_insert_id(a + 1)',
	'CREATE TEMPORARY TABLE t (a int)',
	'LISTEN jobs',
	'PREPARE a AS SELECT 1',
	'DECLARE a CURSOR WITH HOLD FOR SELECT 1',
	'CALL p()',
	'DO $$ BEGIN END $$',
	'LOCK TABLES t WRITE',
	'SELECT 1; SET a = 1',
	'BEGIN NOT ATOMIC SET @a = 1; END',
	'XA START $1',
	'START REPLICA',
	"SELECT 'open",
]

test.each([...everywhere, ...onlyPostgres])('PostgreSQL: %s leaves nothing', (text) => {
	expect(leavesNoTrace(text, 'postgres')).toBe(true)
})
test.each(everywhere)('MySQL: %s leaves nothing', (text) => {
	expect(leavesNoTrace(text, 'mysql')).toBe(true)
})
test.each(nowhere)('%s may leave something', (text) => {
	for (const dialect of ['postgres', 'mysql'] as const) expect(leavesNoTrace(text, dialect)).toBe(false)
})
test.each([...onlyPostgres, 'INSERT INTO t VALUES (1)', 'REPLACE INTO t VALUES (1)', 'UPDATE t SET a = (@n := a)', 'SELECT @a := 1'])(
	'MySQL: %s may leave something',
	(text) => {
		expect(leavesNoTrace(text, 'mysql')).toBe(false)
	},
)
