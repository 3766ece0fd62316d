/** The answer to COMMIT is lost: does everybody learn the truth? One test for each branch of the decision table, on a real server. */
import { commitLedger, InDoubtError } from 'holdfast'
import { expect, test } from 'vitest'
import { onStage } from './on-stage.ts'

const at = onStage()

const ways = [
	['verify', () => 'verify' as const],
	['the ledger', () => commitLedger({ create: true })],
] as const

test.each(ways)('%s: committed, epoch unchanged: success, with the value of the attempt that was applied', async (_way, commit) => {
	const pool = at.wrap({ commit: commit() })
	const lost = at.loseCommitReply()
	expect(await at.write(pool)).toEqual({ runs: 1, told: 1, value: 1, error: undefined, rows: 1 })
	expect(lost.hits).toBe(1)
	expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { applied: 1, notApplied: 0, unresolved: 0 } })
})

test.each(ways)('%s: the COMMIT never arrived: not applied, so the function is run again', async (_way, commit) => {
	const pool = at.wrap({ commit: commit() })
	at.loseCommitItself()
	expect(await at.write(pool)).toEqual({ runs: 2, told: 1, value: 2, error: undefined, rows: 1 })
	expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { applied: 0, notApplied: 1, unresolved: 0 } })
})

test.each(ways)(
	'%s: the COMMIT vanished in a black hole: the orphan is ended on the server, then the function is run again',
	async (_way, commit) => {
		const pool = at.wrap({ commit: commit(), attemptTimeoutMs: 400 })
		const hole = at.proxy.intercept({ from: 'client', match: (message) => message.text === 'COMMIT', action: 'black hole' })
		expect(await at.write(pool)).toEqual({ runs: 2, told: 1, value: 2, error: undefined, rows: 1 })
		expect(hole.hits).toBe(1)
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { notApplied: 1 } })
		const idle = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'under test' AND state LIKE 'idle in%'"
		expect((await at.ask<{ n: number }>(idle))[0]?.n).toBe(0)
	},
)

test('verify: committed, but the server has crashed since: nobody can tell, so an InDoubtError', async () => {
	const pool = at.wrap()
	at.loseCommitReply(() => at.server.restart('kill'))
	const seen = await at.write(pool)
	expect(seen).toMatchObject({ runs: 1, told: 0, value: undefined })
	expect(seen.error).toBeInstanceOf(InDoubtError)
	expect(seen.error).toMatchObject({ phase: 'commit', attempts: 1, xid: expect.stringMatching(/^\d+$/) })
	expect(String(seen.error)).toContain('crashed or was replaced since')
	expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { unresolved: 1 } })
})

test('the ledger: committed, and the server has crashed since: applied', async () => {
	const pool = at.wrap({ commit: commitLedger({ create: true }) })
	// Durable for certain: the reply left the server after its WAL was flushed (fsync is off here, but only the processes die).
	at.loseCommitReply(() => at.server.restart('kill'))
	expect(await at.write(pool)).toMatchObject({ runs: 1, told: 1, value: 1, error: undefined, rows: 1 })
})

test.each(ways)('%s: never committed, and the server has crashed since: not applied, so it is run again', async (_way, commit) => {
	const pool = at.wrap({ commit: commit() })
	at.loseCommitItself(() => at.server.restart('kill'))
	expect(await at.write(pool)).toMatchObject({ runs: 2, told: 1, value: 2, error: undefined, rows: 1 })
})

test.each(ways)('%s: a clean restart keeps the epoch: the commit is found', async (_way, commit) => {
	const pool = at.wrap({ commit: commit() })
	at.loseCommitReply(() => at.server.restart('fast'))
	expect(await at.write(pool)).toMatchObject({ runs: 1, told: 1, value: 1, error: undefined, rows: 1 })
})

test('verify: an id whose WAL was lost in the crash and that another transaction has used since is never taken for applied', async () => {
	// synchronous_commit off, and a crash before the WAL writer has flushed: the commit was answered, is lost, and its id is handed out again.
	const pool = at.wrap()
	let reused = 0
	let xid = ''
	at.loseCommitReply(async () => {
		await at.server.kill()
		await at.server.start()
		for (let i = 0; i < 50; i++) await at.ask('INSERT INTO written VALUES (99)')
		reused = (await at.ask<{ n: number }>('SELECT count(*)::int AS n FROM written WHERE id = 99'))[0]?.n ?? 0
	})
	const error = await pool
		.transaction(async (tx) => {
			await tx.query('SET LOCAL synchronous_commit = off')
			xid = (await tx.query('SELECT pg_current_xact_id()::text AS xid')).rows[0].xid
			await tx.query('INSERT INTO written VALUES (7)')
		})
		.then(
			() => undefined,
			(reason: unknown) => reason,
		)
	expect(reused).toBe(50)
	const applied = (await at.ask<{ n: number }>('SELECT count(*)::int AS n FROM written WHERE id = 7'))[0]?.n
	if (error === undefined) expect(applied).toBe(1)
	else expect(error).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', xid })
})

test('verify: statistics reset by hand while the commit is in doubt: the epoch no longer proves anything', async () => {
	const pool = at.wrap()
	at.loseCommitReply(async () => {
		await at.ask("SELECT pg_stat_reset_shared('bgwriter')")
	})
	expect((await at.write(pool)).error).toBeInstanceOf(InDoubtError)
})

test('verify: statistics reset by hand and the orphan still running: it is ended all the same, and the work is run again', async () => {
	const pool = at.wrap({ attemptTimeoutMs: 400 })
	at.proxy.intercept({
		from: 'client',
		match: (message) => message.text === 'COMMIT',
		action: 'black hole',
		onHit: async () => {
			await at.ask("SELECT pg_stat_reset_shared('bgwriter')")
		},
	})
	expect(await at.write(pool)).toMatchObject({ runs: 2, told: 1, rows: 1, error: undefined })
})

test.each(ways)('%s: nothing can be asked before the deadline: an InDoubtError that says so', async (_way, commit) => {
	const pool = at.wrap({ commit: commit(), deadlineMs: 600 })
	await pool.query('SELECT 1')
	at.loseCommitReply(async () => at.proxy.refuse())
	const seen = await at.write(pool)
	expect(seen.error).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', phase: 'commit' })
	expect(String(seen.error)).toContain('could not be asked')
	expect(seen).toMatchObject({ runs: 1, told: 0, rows: 1 })
})

test('a read-only transaction uses up no transaction id', async () => {
	const pool = at.wrap()
	const next = async () => BigInt((await at.ask<{ x: string }>('SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS x'))[0]?.x ?? '0')
	const before = await next()
	for (let i = 0; i < 200; i++) await pool.transaction(async (tx) => tx.query('SELECT 1'), { readOnly: true })
	expect(await next()).toBe(before)
})

test('a session that is read-only by default is not made to write, by either way', async () => {
	for (const commit of ['verify', commitLedger({ create: true })] as const) {
		const pool = at.wrap({ commit }, { options: '-c default_transaction_read_only=on' })
		expect((await pool.transaction(async (tx) => tx.query('SELECT 7 AS n'))).rows).toEqual([{ n: 7 }])
	}
})

test('the ledger has one row for each connection, however many transactions were run', async () => {
	const pool = at.wrap({ commit: commitLedger({ create: true }) }, { max: 3 })
	await Promise.all(Array.from({ length: 60 }, () => pool.transaction(async (tx) => tx.query('INSERT INTO written VALUES (1)'))))
	const ledger = (await at.ask<{ n: number }>('SELECT count(*)::int AS n FROM holdfast_commits'))[0]?.n
	expect(ledger).toBeLessThanOrEqual(3)
	expect(await at.rows()).toBe(60)
})

test('a ledger whose writes a trigger suppresses proves nothing: the commit stays in doubt, and nothing is run twice', async () => {
	const pool = at.wrap({ commit: commitLedger({ create: true }) }, { max: 1 })
	await at.write(pool)
	await at.ask(`CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER suppress BEFORE INSERT OR UPDATE ON holdfast_commits FOR EACH ROW EXECUTE FUNCTION suppress()`)
	at.loseCommitReply()
	const { error, rows } = await at.write(pool)
	expect(error).toBeInstanceOf(InDoubtError)
	expect(rows).toBe(2)
	await at.ask('DROP TABLE holdfast_commits; DROP FUNCTION suppress()')
})

test('a ledger that is missing or cannot be written is told at once, with what to do', async () => {
	const pool = at.wrap({ commit: commitLedger({ table: 'no_such_ledger' }) })
	const error = await pool.transaction(async (tx) => tx.query('INSERT INTO written VALUES (1)')).catch((reason: unknown) => reason)
	expect(error).toMatchObject({ code: 'HOLDFAST_LEDGER', cause: { code: '42P01' } })
	expect(String(error)).toContain('CREATE TABLE IF NOT EXISTS "no_such_ledger"')
	expect(await at.rows()).toBe(0)
	await at.ask(
		'DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN; CREATE TABLE holdfast_commits (slot text PRIMARY KEY, token text, used_at timestamptz)',
	)
	const weak = at.wrap({ commit: commitLedger() }, { user: 'weak' })
	await expect(weak.transaction(async (tx) => tx.query('SELECT 1'))).rejects.toMatchObject({
		code: 'HOLDFAST_LEDGER',
		cause: { code: '42501' },
	})
})

test('a role without any special right can verify its commits', async () => {
	await at.ask('DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN; GRANT INSERT ON written TO weak')
	const pool = at.wrap({ attemptTimeoutMs: 400 }, { user: 'weak' })
	at.loseCommitReply()
	expect(await at.write(pool)).toMatchObject({ runs: 1, told: 1, rows: 1, error: undefined })
	at.proxy.intercept({ from: 'client', match: (message) => message.text === 'COMMIT', action: 'black hole' })
	expect(await at.write(pool)).toMatchObject({ runs: 2, told: 1, rows: 2, error: undefined })
	await at.ask('REVOKE ALL ON written FROM weak')
})

test('pool.query with exactlyOnce is applied once though its answer is lost', async () => {
	const pool = at.wrap({ commit: commitLedger({ create: true }) })
	const lost = at.loseCommitReply(() => at.server.restart('kill'))
	const result = await pool.query({ text: 'INSERT INTO written VALUES ($1) RETURNING id', values: [3], exactlyOnce: true })
	expect(result.rows).toEqual([{ id: 3 }])
	expect({ hits: lost.hits, rows: await at.rows() }).toEqual({ hits: 1, rows: 1 })
	const off = at.wrap({ commit: 'off' })
	await expect(off.query({ text: 'INSERT INTO written VALUES (1)', exactlyOnce: true })).rejects.toThrow(
		"exactlyOnce needs commit: 'verify' or a commitLedger",
	)
})

test('pool.query with exactlyOnce sends what the call said, in each attempt, whatever became of its config since', async () => {
	const pool = at.wrap()
	const lost = at.loseCommitItself()
	const values = [1]
	const config = { text: 'INSERT INTO written VALUES ($1)', values, exactlyOnce: true }
	const call = pool.query(config)
	values[0] = 2
	config.text = 'INSERT INTO written VALUES ($1 + 10)'
	await call
	expect(lost.hits).toBe(1)
	expect(await at.ask('SELECT id FROM written')).toEqual([{ id: 1 }])
})

test('the ledger: an orphan that still holds its row, behind a link that swallows everything, keeps nobody waiting', async () => {
	const pool = at.wrap({ commit: commitLedger({ create: true }), attemptTimeoutMs: 500 }, { max: 1 })
	await at.write(pool)
	const hole = at.proxy.intercept({
		from: 'client',
		match: (message) => message.text?.startsWith('INSERT INTO written') ?? false,
		action: 'black hole',
	})
	expect(await at.write(pool)).toMatchObject({ runs: 2, told: 1, error: undefined, rows: 2 })
	expect(hole.hits).toBe(1)
	expect(pool.holdfast.stats()).toMatchObject({ retries: { attempt_timeout: 1 } })
	await at.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE xact_start IS NOT NULL AND application_name = 'under test'")
})
