/** Which process is killed in the tests of dead runners? One whose migration never ends. */
import { migrate } from 'holdfast/knex'
import makeKnex from 'knex'
import { sourceOf } from './sample.ts'

const migrations = new Map([['slow', { up: () => new Promise(() => {}), down: async () => {} }]])
const knex = makeKnex({
	client: 'pg',
	connection: JSON.parse(process.env.RUNNER_CONNECTION ?? '{}'),
	migrations: { migrationSource: sourceOf(migrations) },
})
const waiting = setInterval(() => {}, 1_000)
await migrate(knex)
clearInterval(waiting)
