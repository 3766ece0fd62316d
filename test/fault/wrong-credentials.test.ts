/** The credentials do not hold, or not any more: who is told, and how often does the server hear of them? */
import { createScheduler, type PoolOptions } from 'holdfast'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Caught, caught } from '../support/caught.ts'
import { type Flavour, flavours } from '../support/mysql.ts'
import { staged } from '../support/staged.ts'
import { until } from '../support/until.ts'
import { mysqlStage } from './mysql-stage.ts'
import { stage } from './stage.ts'

interface Pool {
	query(text: string): Promise<unknown>
	readonly holdfast: { stats(): { endpoint: { state: string } } }
}

/** An account of the server under test. */
interface Account {
	readonly proxy: { readonly attempts: number; refuse(): void; accept(): Promise<void>; resetCounters(): void }
	/** A pool of this account, of so many connections. */
	pool(max: number, options?: PoolOptions): Pool
	create(): Promise<unknown>
	/** Whether its credentials hold. Sessions that are there go on. */
	holds(isRight: boolean): Promise<unknown>
	sleep(seconds: number): string
	readonly code: string
}

function onPostgres(): Account {
	const at = staged(stage)
	return {
		get proxy() {
			return at.proxy
		},
		pool: (max, options = {}) => at.wrap(options, { user: 'app', max }),
		create: () => at.ask('CREATE ROLE app'),
		holds: (isRight) => at.ask(`ALTER ROLE app ${isRight ? 'LOGIN' : 'NOLOGIN'}`),
		sleep: (seconds) => `SELECT pg_sleep(${seconds})`,
		code: '28000',
	}
}

function onMysql(flavour: Flavour): Account {
	const at = staged(() => mysqlStage(flavour))
	return {
		get proxy() {
			return at.proxy
		},
		pool: (connectionLimit, options = {}) => at.wrap(options, { user: 'app', password: 'right', connectionLimit }),
		create: () => at.ask("CREATE USER app@'%' IDENTIFIED BY 'right'; GRANT ALL ON *.* TO app@'%'"),
		holds: (isRight) => at.ask(`ALTER USER app@'%' IDENTIFIED BY '${isRight ? 'right' : 'another'}'`),
		sleep: (seconds) => `SELECT SLEEP(${seconds})`,
		code: 'ER_ACCESS_DENIED_ERROR',
	}
}

const codesOf = (errors: readonly (Caught | undefined)[]) => [...new Set(errors.map((error) => error?.code))]

describe.each<['postgres' | Flavour]>([['postgres'], ...flavours.map((flavour): [Flavour] => [flavour])])('%s', (product) => {
	const at = product === 'postgres' ? onPostgres() : onMysql(product)
	beforeAll(() => at.create())
	beforeEach(() => at.holds(true))

	test.each(['from the beginning', 'after an outage'])(
		'many callers on three pools are told by one attempt of each pool, and nobody tries again (%s)',
		async (when) => {
			await at.holds(false)
			const scheduler = createScheduler()
			const pools = [1, 2, 3].map(() => at.pool(10, { scheduler }))
			if (when === 'after an outage') at.proxy.refuse()
			const calls = pools.flatMap((pool) => Array.from({ length: 100 }, () => caught(pool.query('SELECT 1'))))
			if (when === 'after an outage') {
				await until(() => pools[0]?.holdfast.stats().endpoint.state === 'down', { what: 'the outage to be noticed' })
				await at.proxy.accept()
			}
			expect(codesOf(await Promise.all(calls))).toEqual([at.code])
			expect(at.proxy.attempts).toBe(3)
			expect(scheduler.stats().waits).toBe(0)
		},
	)

	test('as long as there are connections of before, few callers are told, and the others are served by those', async () => {
		const pool = at.pool(4)
		const slow = pool.query(at.sleep(0.7))
		await until(() => at.proxy.attempts === 1 && pool.holdfast.stats().endpoint.state === 'up', { what: 'a connection' })
		await at.holds(false)
		at.proxy.resetCounters()
		const errors = (await Promise.all(Array.from({ length: 100 }, () => caught(pool.query('SELECT 1'))))).filter(Boolean)
		await slow
		expect(codesOf(errors)).toEqual([at.code])
		expect(errors.length).toBe(at.proxy.attempts)
		expect(errors.length).toBeLessThanOrEqual(2)
	})

	test('a statement that takes long is not looked after with credentials that were refused', async () => {
		const pool = at.pool(4, { halfOpenAfterMs: 200 })
		const slow = pool.query(at.sleep(2))
		await until(() => at.proxy.attempts === 1 && pool.holdfast.stats().endpoint.state === 'up', { what: 'a connection' })
		await at.holds(false)
		at.proxy.resetCounters()
		await slow
		expect(at.proxy.attempts).toBeLessThanOrEqual(1)
	})
})
