/** Who answers reads through the restart? The same pool size for all, and each library's own way to retry with its defaults. */
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import { peer } from '../support/peers.ts'

export interface Side {
	read(): Promise<unknown>
	end(): Promise<void>
}

export interface Door {
	readonly host: string
	readonly port: number
}

const max = 10
const config = ({ host, port }: Door) => ({ host, port, user: 'postgres', database: 'postgres', max })

/** A bare pool; without a listener its idle connections would take the process down with them. */
const barePool = (door: Door): pg.Pool => new pg.Pool(config(door)).on('error', () => {})

export const sides: readonly { readonly name: string; open(door: Door): Promise<Side> }[] = [
	{
		name: 'bare pg',
		async open(door) {
			const pool = barePool(door)
			return { read: () => pool.query('select 1'), end: () => pool.end() }
		},
	},
	{
		name: 'p-retry',
		async open(door) {
			const { default: pRetry } = await peer('p-retry')
			const pool = barePool(door)
			return { read: () => pRetry(() => pool.query('select 1')), end: () => pool.end() }
		},
	},
	{
		name: 'postgres-pool',
		async open(door) {
			const { Pool } = await peer('postgres-pool')
			const { max: poolSize, ...rest } = config(door)
			const pool = new Pool({ ...rest, poolSize })
			pool.on('error', () => {})
			return { read: () => pool.query('select 1'), end: () => pool.end() }
		},
	},
	{
		name: 'slonik',
		async open({ host, port }) {
			const { createPool, sql } = await peer('slonik')
			const pool = await createPool(`postgres://postgres@${host}:${port}/postgres`, { maximumPoolSize: max })
			return { read: () => pool.query(sql.unsafe`select 1`), end: () => pool.end() }
		},
	},
	{
		name: 'Holdfast',
		async open(door) {
			const pool = holdfast(new pg.Pool(config(door)))
			return { read: () => pool.query('select 1'), end: () => pool.end() }
		},
	},
]
