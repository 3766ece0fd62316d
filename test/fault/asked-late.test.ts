/** A write is refused, and before the server can be asked why it takes writes again: is the write run, and not reported? Without luck: the question is held. */
import { afterEach, describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import type { FaultProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'
import { onMysqlStage, onStage } from './on-stage.ts'

/** Holds the first question for this on its way to the server. */
function holdQuestion(proxy: FaultProxy, text: string) {
	let release = () => {}
	const until = new Promise<void>((resolve) => {
		release = resolve
	})
	const rule = proxy.intercept({
		from: 'client',
		match: (message) => message.text?.includes(text) === true,
		action: 'pass',
		onHit: () => until,
	})
	return { rule, release }
}

interface Counted {
	readonly holdfast: { stats(): { readonly retries: { readonly read_only?: number } } }
}
const found = (pool: Counted) =>
	until(() => (pool.holdfast.stats().retries.read_only ?? 0) >= 1, { what: 'the server to be found read-only' })

describe('PostgreSQL', () => {
	const at = onStage()
	const readOnly = async (isOn: boolean) => void (await at.server.applySettings({ default_transaction_read_only: isOn ? 'on' : 'off' }))
	afterEach(() => readOnly(false))

	const write = (pool: ReturnType<typeof at.wrap>, id: number, how: string) => {
		const text = `INSERT INTO written VALUES (${id})`
		return how === 'a statement' ? pool.query(text) : pool.transaction((tx) => tx.query(text))
	}

	test.each(['a statement', 'a transaction'])('%s whose connection was asked after another had found out', async (how) => {
		const pool = at.wrap({}, { max: 2 })
		const both = await Promise.all([pool.connect(), pool.connect()])
		for (const client of both) client.release()
		await readOnly(true)
		const held = holdQuestion(at.proxy, 'pg_is_in_recovery() THEN')
		const late = write(pool, 1, how)
		await until(() => held.rule.hits === 1, { what: 'the question of the first' })
		const other = pool.query('INSERT INTO written VALUES (2)')
		await found(pool)
		await readOnly(false)
		held.release()
		await Promise.all([late, other])
		expect(await at.rows()).toBe(2)
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, endpoint: { state: 'up' } })
	})

	test.each(['a statement', 'a transaction'])('%s whose connection is the only one that was refused', async (how) => {
		const pool = at.wrap({}, { max: 1 })
		await pool.query('SELECT 1')
		await readOnly(true)
		const held = holdQuestion(at.proxy, 'pg_is_in_recovery() THEN')
		const late = write(pool, 1, how)
		await until(() => held.rule.hits === 1, { what: 'the question' })
		await readOnly(false)
		held.release()
		await late
		expect(await at.rows()).toBe(1)
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, outages: 0, endpoint: { state: 'up' } })
	})

	test.each(['a statement', 'a transaction'])('%s whose link breaks under the question', async (how) => {
		const pool = at.wrap({}, { max: 1 })
		await pool.query('SELECT 1')
		await readOnly(true)
		const cut = at.proxy.intercept({
			from: 'client',
			match: ({ text }) => text?.includes('pg_is_in_recovery() THEN') === true,
			action: 'cut before',
			onHit: () => readOnly(false),
		})
		await write(pool, 1, how)
		expect({ hits: cut.hits, rows: await at.rows() }).toEqual({ hits: 1, rows: 1 })
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, outages: 0 })
	})

	test('who says in the statement itself that it is to be read-only is told, after a single look', async () => {
		const pool = at.wrap({}, { max: 1 })
		const statement = 'SET TRANSACTION READ ONLY; INSERT INTO written VALUES (1)'
		for (let n = 0; n < 3; n++) await expect(pool.query(statement)).rejects.toMatchObject({ code: '25006' })
		expect(pool.holdfast.stats().retries.read_only ?? 0).toBeLessThanOrEqual(1)
		expect(await at.rows()).toBe(0)
	})
})

describe.each(flavours)('%s', (flavour) => {
	const at = onMysqlStage(flavour)
	const access = flavour === 'mysql' ? 'transaction_read_only' : 'tx_read_only'
	afterEach(() => at.ask(`SET GLOBAL ${access} = 0`))

	test.each(['a statement', 'a transaction'])('%s whose connection was asked after another had found out (1792)', async (how) => {
		await at.ask(`SET GLOBAL ${access} = 1`)
		const pool = at.wrap({}, { connectionLimit: 2 })
		const both = await Promise.all([pool.getConnection(), pool.getConnection()])
		for (const connection of both) connection.release()
		const held = holdQuestion(at.proxy, 'SHOW GLOBAL VARIABLES WHERE')
		const text = 'INSERT INTO written VALUES (1)'
		const late = how === 'a statement' ? pool.query(text) : pool.transaction((tx) => tx.query(text))
		await until(() => held.rule.hits === 1, { what: 'the question of the first' })
		const other = pool.query('INSERT INTO written VALUES (2)')
		await found(pool)
		await at.ask(`SET GLOBAL ${access} = 0`)
		held.release()
		await Promise.all([late, other])
		expect(await at.ids()).toEqual([1, 2])
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, endpoint: { state: 'up' } })
	})

	test.each(['a statement', 'a transaction'])('%s whose link breaks under the question (1792)', async (how) => {
		await at.ask(`SET GLOBAL ${access} = 1`)
		const pool = at.wrap({}, { connectionLimit: 1 })
		await pool.query('SELECT 1')
		const cut = at.proxy.intercept({
			from: 'client',
			match: ({ text }) => text?.includes('SHOW GLOBAL VARIABLES WHERE') === true,
			action: 'cut before',
			onHit: async () => void (await at.ask(`SET GLOBAL ${access} = 0`)),
		})
		const text = 'INSERT INTO written VALUES (1)'
		await (how === 'a statement' ? pool.query(text) : pool.transaction((tx) => tx.query(text)))
		expect({ hits: cut.hits, ids: await at.ids() }).toEqual({ hits: 1, ids: [1] })
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, outages: 0 })
	})
})
