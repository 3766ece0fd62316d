/** What does a connection of knex get again that replaces a lost one? knex's own `afterCreate`, then `onConnect`. */
import type { ClientBase } from 'pg'
import { expect, test } from 'vitest'
import { staged } from '../support/staged.ts'
import { until } from '../support/until.ts'
import { knexStage } from './knex-stage.ts'

const at = staged(knexStage)

test('each new connection gets searchPath and afterCreate of knex and then onConnect, before any statement or transaction', async () => {
	const order: string[] = []
	const afterCreate = (_connection: unknown, done: () => void) => {
		order.push('afterCreate')
		done()
	}
	const onConnect = async (connection: ClientBase) => {
		order.push(`onConnect with ${(await connection.query('SHOW search_path')).rows[0].search_path}`)
		await connection.query("SET application_name TO 'under test'; SET work_mem TO '3MB'")
	}
	const knex = at.knex({ onConnect }, { searchPath: ['app'], pool: { min: 0, max: 1, afterCreate } })
	const workMem = async (on: { raw(text: string): PromiseLike<{ rows: { work_mem: string }[] }> }) =>
		(await on.raw('SHOW work_mem')).rows[0]?.work_mem
	expect(await workMem(knex)).toBe('3MB')
	expect(await knex.transaction((trx) => workMem(trx))).toBe('3MB')
	expect(order).toEqual(['afterCreate', 'onConnect with app'])
	const left = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'under test'"
	at.proxy.resetAll()
	await until(async () => (await at.ask<{ n: number }>(left))[0]?.n === 0, { what: 'the loss of the connection' })
	expect(await knex.transaction((trx) => workMem(trx))).toBe('3MB')
	expect(order).toEqual(['afterCreate', 'onConnect with app', 'afterCreate', 'onConnect with app'])
})
