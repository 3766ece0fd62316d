/** How does the command line reach a PostgreSQL: a pool to wait with, a session to ask over? */
import type PgModule from 'pg'
import { createScheduler } from '../../src/index.ts'
import { packageOf } from '../package-of.ts'
import type { Product, Row, Session } from '../product.ts'
import { examine } from './examine.ts'

const load = async () => (await packageOf<{ default: typeof PgModule }>('pg')).default

/** What is used of the socket below a client of pg, which its types do not tell. */
interface Inside {
	readonly processID?: number | null
	readonly connection: { readonly stream: { destroy(): void; readonly encrypted?: boolean } }
}

export const postgres: Product = {
	async place(target) {
		const pg = await load()
		const { host, port, user, database } = new pg.Client({ connectionString: target.url })
		return { address: host.startsWith('/') ? `${host}/.s.PGSQL.${port}` : `${host}:${port}`, user, database }
	},

	async pool(target, attemptTimeoutMs) {
		const pg = await load()
		const { holdfast } = await import('../../drivers/pg/index.ts')
		const bare = new pg.Pool({ connectionString: target.url, max: 1, application_name: 'holdfast wait' })
		// A scheduler of its own, so that nothing of this outlives the wait.
		return holdfast(bare, { scheduler: createScheduler({ probeTimeoutMs: attemptTimeoutMs }), attemptTimeoutMs })
	},

	async connect(target, timeoutMs) {
		const pg = await load()
		const client = new pg.Client({
			connectionString: target.url,
			connectionTimeoutMillis: timeoutMs,
			query_timeout: timeoutMs,
			application_name: 'holdfast doctor',
		})
		client.on('error', () => {})
		const { connection } = client as unknown as Inside
		try {
			await client.connect()
		} catch (error) {
			connection.stream.destroy()
			throw error
		}
		return sessionOf(client, client as unknown as Inside)
	},

	examine,
}

function sessionOf(client: InstanceType<typeof PgModule.Client>, inside: Inside): Session {
	return {
		ask: async (text, values) => (await client.query(text, values === undefined ? undefined : [...values])).rows as Row[],
		greetedAs: inside.processID ?? undefined,
		encrypted: inside.connection.stream.encrypted === true,
		close() {
			// The polite good-bye, and no wait for an answer to it.
			client.end().catch(() => {})
		},
	}
}
