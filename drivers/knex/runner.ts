/** How does a builder run on a wrapped instance? As knex runs it, on a connection that one statement may leave for another. */
import type { StatementConnection } from './backend.ts'
import { optionsOf } from './options.ts'
import type { KnexPool } from './pool.ts'
import type { Builder, KnexConnection, Runner, RunnerClass } from './shape.ts'

type Callback = Parameters<Runner['ensureConnection']>[0]

/** knex's own class, with another way to a connection. `poolOf` is undefined for clients that have no wrapped pool. */
export function runnerClass(Base: RunnerClass, poolOf: (pool: object | undefined) => KnexPool | undefined): RunnerClass {
	return class extends Base {
		#own: StatementConnection | undefined

		override async ensureConnection(callback: Callback, given: unknown): Promise<unknown> {
			const pool = poolOf(this.client.pool)
			if (pool === undefined || this.builder._connection || this.connection) return super.ensureConnection(callback, given)
			const own = await this.#acquire(pool)
			this.#own = own
			this.connection = own
			try {
				return await callback(this, given)
			} finally {
				if (this.connection === own) own.release()
				else await this.client.releaseConnection(this.connection as KnexConnection)
			}
		}

		/** Several statements of one builder share a session, as knex promises. */
		override async queryArray(queries: readonly unknown[]): Promise<unknown> {
			const own = this.#own
			if (queries.length > 1 && own !== undefined && this.connection === own) {
				own.release()
				this.connection = await this.client.acquireConnection()
			}
			return super.queryArray(queries)
		}

		async #acquire(pool: KnexPool): Promise<StatementConnection> {
			const { builder, client } = this
			try {
				return await pool.statement(optionsOf(builder), builder._timeout !== undefined)
			} catch (error) {
				client.logger.warn(`Acquire connection error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
				if ((error as Error | undefined)?.name === 'KnexTimeoutError') Object.assign(error as object, statementOf(builder))
				throw error
			}
		}
	}
}

/** knex tells with a timeout which statement had to wait. */
const statementOf = ({ sql, bindings }: Builder): object => ({ sql, bindings })
