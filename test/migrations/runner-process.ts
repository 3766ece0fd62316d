/** Which process is killed in the tests of dead runners? One whose migration never ends. */
import { migrate } from 'holdfast/knex'
import makeKnex from 'knex'
import { sourceOf } from './sample.ts'

/** What the process is told. */
export interface RunnerEnvironment {
	/** The connection, as JSON. */
	readonly RUNNER_CONNECTION: string
}

const { RUNNER_CONNECTION } = process.env as NodeJS.ProcessEnv & RunnerEnvironment
const migrations = new Map([['slow', { up: () => new Promise(() => {}), down: async () => {} }]])
const knex = makeKnex({
	client: 'pg',
	connection: JSON.parse(RUNNER_CONNECTION),
	migrations: { migrationSource: sourceOf(migrations) },
})
const waiting = setInterval(() => {}, 1_000)
await migrate(knex)
clearInterval(waiting)
