/** The server says "rolled back", but part of what was sent may be committed: it must never be applied twice, nor lost by a rerun. */
import { InDoubtError } from 'holdfast'
import pg from 'pg'
import { beforeEach, expect, test } from 'vitest'
import { onStage } from './on-stage.ts'
import { whileLocked } from './while-locked.ts'

const at = onStage()
beforeEach(async () => {
	await at.ask(`CREATE OR REPLACE PROCEDURE write_then_conflict() LANGUAGE plpgsql AS $$ BEGIN ${commitThenConflict} END $$`)
})

const conflict = "IF (SELECT count(*) FROM written) < 2 THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END IF;"
const commitThenConflict = `INSERT INTO written VALUES (1); COMMIT; ${conflict}`

const partly = [
	['a procedure that commits', 'CALL write_then_conflict()'],
	['a block that commits', `DO $$ BEGIN ${commitThenConflict} END $$`],
	['a text with a transaction in it', `BEGIN; INSERT INTO written VALUES (1); COMMIT; DO $$ BEGIN ${conflict} END $$`],
] as const

test.each(partly)('a conflict that answers %s is told, not rerun: what was committed before it stands', async (_what, text) => {
	const pool = at.wrap()
	await expect(pool.query(text)).rejects.toMatchObject({ code: '40001' })
	expect(await at.rows()).toBe(1)
	await at.ask('TRUNCATE written')
	await expect(pool.query(new pg.Query(text) as never)).rejects.toMatchObject({ code: '40001' })
	expect(await at.rows()).toBe(1)
	await pool.query({ text, idempotent: true })
	expect(await at.rows()).toBe(2)
})

const writes = [
	['a text', () => 'INSERT INTO written VALUES (1)'],
	['a query with values', () => ({ text: 'INSERT INTO written VALUES ($1)', values: [1] })],
	['a query object', () => new pg.Query('INSERT INTO written VALUES (1)')],
] as const

test.each(writes)('a session that is ended after the write was reported complete leaves it in doubt (%s)', async (_what, write) => {
	const pool = at.wrap({}, { max: 1 })
	const { pid } = (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0]
	let completed = false
	at.proxy.intercept({
		from: 'server',
		match: ({ type, tag }) => {
			completed ||= tag === 'INSERT 0 1'
			return completed && type === 'ReadyForQuery'
		},
		action: 'swallow',
		onHit: async () => {
			await at.ask(`SELECT pg_terminate_backend(${pid})`)
		},
	})
	const error = await (pool.query(write() as string) as Promise<unknown>).then(
		() => undefined,
		(reason: unknown) => reason,
	)
	expect(error).toBeInstanceOf(InDoubtError)
	expect((error as Error).cause).toMatchObject({ code: '57P01' })
	expect(await at.rows()).toBe(1)
})

test('a session that is ended while the write still runs has rolled it back: it is rerun', async () => {
	const pool = at.wrap({}, { max: 1 })
	let running: Promise<unknown> | undefined
	await whileLocked(at.server, 'written', async (waiting) => {
		running = pool.query('INSERT INTO written VALUES (1)')
		const [pid] = await waiting(1)
		await at.ask(`SELECT pg_terminate_backend(${pid})`)
	})
	await running
	expect(await at.rows()).toBe(1)
	expect(pool.holdfast.stats()).toMatchObject({ attempts: 2, retries: { shutting_down: 1 } })
})

/** As pg-copy-streams does it: the data is handed over as it comes, and cannot be taken back. */
class CopyIn {
	callback: ((error: unknown) => void) | undefined
	readonly #chunks: string[]
	constructor(chunks: string[]) {
		this.#chunks = chunks
	}
	readonly text = 'COPY written FROM STDIN'
	#wire: { sendCopyFromChunk(chunk: Buffer): void; endCopyFrom(): void } | undefined
	submit(connection: unknown) {
		this.#wire = connection as never
		;(connection as { query(text: string): void }).query(this.text)
	}
	handleCopyInResponse() {
		for (const chunk of this.#chunks.splice(0)) this.#wire?.sendCopyFromChunk(Buffer.from(chunk))
		this.#wire?.endCopyFrom()
	}
	handleCommandComplete() {}
	handleError(error: unknown) {
		this.callback?.(error)
	}
	handleReadyForQuery() {
		this.callback?.(null)
	}
}

test('a COPY whose data was handed over is not begun again: its second run would be empty, and report success', async () => {
	await at.ask('DROP SEQUENCE IF EXISTS tries; CREATE SEQUENCE tries')
	await at.ask(`CREATE OR REPLACE FUNCTION conflict_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('tries') = 1 THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$`)
	await at.ask('CREATE TRIGGER once BEFORE INSERT ON written FOR EACH ROW EXECUTE FUNCTION conflict_once()')
	const pool = at.wrap()
	const outcome = await new Promise((resolve) => {
		const copy = new CopyIn(['1\n', '2\n'])
		copy.callback = (error) => resolve(error ?? 'success')
		pool.query(copy as never)
	})
	expect(outcome).toMatchObject({ code: '40001' })
	expect(await at.rows()).toBe(0)
})
