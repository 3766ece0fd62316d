/** Which texts may have committed part of their work before they fail? */
import { expect, test } from 'vitest'
import { mayCommitPartly } from '../../../src/sql/commits.ts'

test.each([
	'CALL refill()',
	'/* hint */ call refill(1)',
	'DO $$ BEGIN COMMIT; END $$',
	'BEGIN; INSERT INTO t VALUES (1); COMMIT; SELECT 1/0',
	'INSERT INTO t VALUES (1); COMMIT; SELECT 1/0',
	'INSERT INTO t VALUES (1); CALL refill()',
	'CREATE INDEX CONCURRENTLY i ON t (a)',
	"INSERT INTO t VALUES ('open; COMMIT",
])('part of it may be committed: %s', (text) => {
	expect(mayCommitPartly(text, 'postgres')).toBe(true)
})

test.each([
	'INSERT INTO t VALUES (1)',
	"UPDATE t SET note = 'CALL me; COMMIT; DO it'",
	"INSERT INTO t VALUES ('C:\\\\')",
	'INSERT INTO t VALUES (1); UPDATE t SET a = 2',
	'INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING',
	'COMMIT',
	'SELECT 1',
])('it is applied as a whole or not at all: %s', (text) => {
	expect(mayCommitPartly(text, 'postgres')).toBe(false)
})

test('MySQL commits each statement of a text by itself, and DO only evaluates', () => {
	expect(mayCommitPartly('INSERT INTO t VALUES (1); UPDATE t SET a = 2', 'mysql')).toBe(true)
	expect(mayCommitPartly('CALL refill()', 'mysql')).toBe(true)
	expect(mayCommitPartly('DO SLEEP(1)', 'mysql')).toBe(false)
})
