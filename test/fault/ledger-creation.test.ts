/** What if the connection breaks while the ledger's table is created? That is no reason to say that it cannot be. */
import { commitLedger } from 'holdfast'
import { expect, test } from 'vitest'
import { onStage } from './on-stage.ts'

const at = onStage()

test.each([
	['reply', 'server'],
	['request', 'client'],
] as const)('a transaction whose ledger is created on a connection that loses the %s runs all the same', async (_what, from) => {
	const pool = at.wrap({ commit: commitLedger({ create: true }) })
	const lost = at.proxy.intercept({
		from,
		match: ({ tag, text }) => (from === 'server' ? tag === 'CREATE TABLE' : /^CREATE TABLE/.test(text ?? '')),
		action: 'cut before',
	})
	await pool.transaction((tx) => tx.query('INSERT INTO written VALUES (1)'))
	expect(lost.hits).toBe(1)
	expect(await at.ask('SELECT id FROM written')).toEqual([{ id: 1 }])
})
