/** Who fights for rows of InnoDB? Holdfast and p-retry, over mysql2; the other peers know PostgreSQL only. */
import { holdfast } from 'holdfast/mysql2'
import mysql, { type Pool } from 'mysql2/promise'
import type { MysqlServer } from '../../test/support/mysql.ts'
import { type Arena, type Hands, type Pair, pRetry, rows } from './sides.ts'

type Statements = (text: string, values: readonly number[]) => Promise<unknown>

const names = { mysql: 'MySQL', mariadb: 'MariaDB' } as const

/** In the isolation level that is InnoDB's default, REPEATABLE READ. */
export function mysql2Arena(server: MysqlServer, poolSize: number): Arena {
	const pool = () => mysql.createPool({ ...server.config(), connectionLimit: poolSize })
	const hands = (): Hands => {
		const own = pool()
		return { attempt: (pair) => byHand(own, pair), end: () => own.end() }
	}
	return {
		title: `${names[server.flavour]} ${server.version}, InnoDB, REPEATABLE READ`,
		peers: [pRetry(10, hands), pRetry(100, hands)],
		async ours() {
			const wrapped = holdfast(pool(), { deadlineMs: 600_000 })
			const stopped = new AbortController()
			return {
				name: 'Holdfast',
				kind: 'holdfast',
				transact: (pair) =>
					wrapped.transaction((tx) => statements((text, values) => tx.query(text, [...values]), pair), { signal: stopped.signal }),
				stop: () => stopped.abort(),
				end: () => wrapped.end(),
			}
		},
		hands,
		// InnoDB finds every deadlock at once.
		async disentangle() {},
		async layOut() {
			const digits = Array.from({ length: 10 }, (_, digit) => `SELECT ${digit} AS d`).join(' UNION ALL ')
			const places = Array.from({ length: Math.log10(rows) }, (_, place) => `d${place}.d * ${10 ** place}`).join(' + ')
			const from = Array.from({ length: Math.log10(rows) }, (_, place) => `(${digits}) d${place}`).join(', ')
			await server.query('DROP TABLE IF EXISTS hot', 'holdfast')
			await server.query('CREATE TABLE hot (id int PRIMARY KEY, n bigint NOT NULL DEFAULT 0)', 'holdfast')
			await server.query(`INSERT INTO hot (id) SELECT 1 + ${places} FROM ${from}`, 'holdfast')
		},
	}
}

async function byHand(pool: Pool, pair: Pair): Promise<void> {
	const connection = await pool.getConnection()
	try {
		await connection.query('START TRANSACTION')
		await statements((text, values) => connection.query(text, [...values]), pair)
		await connection.query('COMMIT')
	} catch (error) {
		await connection.query('ROLLBACK')
		throw error
	} finally {
		connection.release()
	}
}

async function statements(query: Statements, [first, second]: Pair): Promise<void> {
	await query('SELECT n FROM hot WHERE id = ?', [first])
	await query('SELECT n FROM hot WHERE id = ?', [second])
	await query('UPDATE hot SET n = n + 1 WHERE id = ?', [first])
	await query('UPDATE hot SET n = n + 1 WHERE id = ?', [second])
}
