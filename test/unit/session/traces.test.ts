/** Which borrower can be given another session without his missing anything? By what he has sent, and never by what is not understood. */
import { expect, test } from 'vitest'
import { Traces } from '../../../src/session/traces.ts'

function after(sent: readonly unknown[], dialect: 'postgres' | 'mysql' = 'mysql', readsAreSafe = true): Traces {
	const traces = new Traces(dialect, readsAreSafe)
	for (const each of sent) traces.note(each)
	return traces
}

test('one text that leaves something is enough; the last ones are left out where they had no effect', () => {
	expect(after([]).areNone()).toBe(true)
	expect(after(['BEGIN', 'SELECT 1', 'UPDATE t SET a = 1']).areNone()).toBe(true)
	const locked = after(['SELECT 1', "SELECT GET_LOCK('a', 0)"])
	expect([locked.areNone(), locked.areNone(1), locked.count]).toEqual([false, true, 2])
	locked.note('UPDATE t SET a = 1')
	expect(locked.areNone(1)).toBe(false)
})

test('where reads are not believed a session is replaced only if nothing else was sent in it', () => {
	expect(after(['SELECT 1'], 'postgres', false).areNone()).toBe(false)
	expect(after(['UPDATE t SET a = 1'], 'postgres', false).areNone(1)).toBe(true)
	expect(after(['SELECT 1', 'UPDATE t SET a = 1'], 'postgres', false).areNone(1)).toBe(false)
})

test('what is no text, a text of great length, and more than a hundred of them, are not judged but taken to leave something', () => {
	for (const each of [undefined, { sql: 'SELECT 1' }, `SELECT '${'x'.repeat(10_000)}'`]) {
		const traces = after([each, 'SELECT 1'])
		expect([traces.mayBeNone, traces.areNone(), traces.areNone(1)]).toEqual([false, false, false])
	}
	const texts = Array.from({ length: 100 }, () => 'SELECT 1')
	expect(after(texts).areNone()).toBe(true)
	expect(after([...texts, 'SELECT 1']).areNone()).toBe(false)
})

test('who asks for what an earlier statement has left stays in its session', () => {
	const earlier = ['UPDATE t SET a = 1']
	for (const asks of ['INSERT INTO log VALUES (ROW_COUNT())', 'INSERT INTO log SELECT found_rows ()', 'SELECT 1; DO LAST_INSERT_ID()'])
		expect([asks, after([...earlier, asks]).areNone(1), after([asks]).areNone(1)]).toEqual([asks, false, true])
	expect(after(["INSERT INTO t VALUES (nextval('s'))", "INSERT INTO u VALUES (currval('s'))"], 'postgres').areNone(1)).toBe(false)
	for (const does of ["INSERT INTO log VALUES ('row_count()')", "INSERT INTO t VALUES (nextval('s'))"])
		expect(after([...earlier, does]).areNone(1)).toBe(true)
})
