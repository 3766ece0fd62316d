/** Several runners, and dead ones: does only one work at a time, is only a lock freed whose owner is proven dead, and does a pooler not hide it? */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import pg from 'pg'
import { expect, test } from 'vitest'
import { onMigrationStage, writes } from '../migrations/on-stage.ts'
import type { RunnerEnvironment } from '../migrations/runner-process.ts'
import { errorOf } from '../migrations/stage.ts'
import { startPgBouncer } from '../support/pgbouncer.ts'
import type { PostgresServer } from '../support/postgres.ts'
import { until } from '../support/until.ts'

const at = onMigrationStage('postgres')

const migrations = { a: writes('a'), b: writes('b'), c: writes('c') }

test('of two runners one works, and the other waits and finds nothing to do', async () => {
	const results = await Promise.all([at.migrate(at.knex(migrations)), at.migrate(at.knex(migrations))])
	expect(results.map((result) => (result as [number, string[]])[1].length).sort()).toEqual([0, 3])
	expect(await at.written()).toEqual(['a', 'b', 'c'])
	expect(await at.lock()).toEqual([0])
})

test('five runners that begin on an empty database at once make knex its tables once and apply each migration once', async () => {
	await Promise.all(Array.from({ length: 5 }, () => at.migrate(at.knex(migrations))))
	expect(await at.written()).toEqual(['a', 'b', 'c'])
	expect(await at.recorded()).toEqual(['a', 'b', 'c'])
})

test('a runner and a plain knex at once: each migration is applied once', async () => {
	await at.migrate(at.knex({}))
	const plain = at.knex(migrations).migrate.latest()
	const [result] = await Promise.all([at.migrate(at.knex(migrations)), plain.catch(() => {})])
	expect(result).toBeDefined()
	expect(await at.written()).toEqual(['a', 'b', 'c'])
	expect(await at.lock()).toEqual([0])
})

test('a runner that is killed leaves a lock that the next one takes over, since its session has ended', async () => {
	const environment: RunnerEnvironment = { RUNNER_CONNECTION: JSON.stringify((at.server as PostgresServer).config(at.database)) }
	const child = fork(join(import.meta.dirname, '../migrations/runner-process.ts'), {
		execArgv: ['--import', 'tsx'],
		env: { ...process.env, ...environment },
	})
	await until(async () => (await at.lock()).some((value) => value !== 0), { what: 'the runner to take the lock', timeoutMs: 30_000 })
	child.kill('SIGKILL')
	await once(child, 'exit')
	expect(await at.lock()).not.toEqual([0])
	expect(await at.migrate(at.knex({ slow: writes('slow') }))).toEqual([1, ['slow']])
	expect(at.events).toContainEqual(expect.objectContaining({ type: 'lock freed' }))
	expect(await at.lock()).toEqual([0])
	expect(await at.written()).toEqual(['slow'])
})

test('a runner whose session lives is waited for, and then named', async () => {
	const holder = new pg.Client({ ...(at.server as PostgresServer).config(at.database), application_name: 'the other runner' })
	await holder.connect()
	let release = () => {}
	const holding = at.migrate(
		at.knex({
			a: {
				up: () =>
					new Promise<void>((resolve) => {
						release = resolve
					}),
			},
		}),
	)
	await until(() => at.events.some(({ type }) => type === 'running'), { what: 'the first runner to be at work' })
	const error = await errorOf(at.migrate(at.knex(migrations), { runnerDeadlineMs: 300 }))
	expect(error).toMatchObject({ name: 'MigrationsLockedError', code: 'HOLDFAST_MIGRATIONS_LOCKED' })
	expect(error.message).toMatch(/pid \d+.*connected since/)
	release()
	await holding
	await holder.end()
})

test('a lock that a plain knex left is not freed: the error says that its owner is not known, who is connected, and what to do', async () => {
	await at.migrate(at.knex({}))
	await at.ask('UPDATE knex_migrations_lock SET is_locked = 1')
	const error = await errorOf(at.migrate(at.knex(migrations), { runnerDeadlineMs: 300 }))
	expect(error).toMatchObject({ code: 'HOLDFAST_MIGRATIONS_LOCKED' })
	expect(error.message).toMatch(/cannot be proven.*migrate:unlock/)
	expect(await at.lock()).toEqual([1])
	expect(await at.written()).toEqual([])
})

test('a lock that a plain knex frees in time is waited for', async () => {
	await at.migrate(at.knex({}))
	await at.ask('UPDATE knex_migrations_lock SET is_locked = 1')
	const run = at.migrate(at.knex(migrations), {
		onProgress: (event) => {
			if (event.type === 'waiting') void at.ask('UPDATE knex_migrations_lock SET is_locked = 0')
		},
	})
	expect(await run).toEqual([1, ['a', 'b', 'c']])
})

test('a plain knex is kept out while a runner works', async () => {
	let plain: Error | undefined
	const knex = at.knex({
		a: {
			async up() {
				plain = await errorOf(at.knex({ a: { up: async () => {} } }).migrate.latest())
			},
		},
	})
	await at.migrate(knex)
	expect(plain?.message).toMatch(/already locked/)
})

test('PgBouncer in transaction mode is recognised before anything is run', async () => {
	const bouncer = await startPgBouncer(at.server as PostgresServer, 5)
	try {
		const error = await errorOf(at.migrate(at.knex(migrations, { connection: bouncer.config(at.database) })))
		expect(error).toMatchObject({ code: 'HOLDFAST_POOLER' })
		expect(error.message).toMatch(/pool_mode = session/)
		expect(await at.written()).toEqual([])
	} finally {
		await bouncer.stop()
	}
})

test('an aborted signal ends the run before the next migration, with its reason and without a lock', async () => {
	const controller = new AbortController()
	const reason = new Error('enough')
	const knex = at.knex({ a: { up: async () => controller.abort(reason) }, b: writes('b') })
	expect(await errorOf(at.migrate(knex, { signal: controller.signal }))).toBe(reason)
	expect(await at.recorded()).toEqual(['a'])
	expect(await at.lock()).toEqual([0])
})
