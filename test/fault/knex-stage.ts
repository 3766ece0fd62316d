/** What does a fault test of knex need beside the stage? Wrapped instances on its server, ended and looked after at the end. */
import { createScheduler, type PoolOptions } from 'holdfast'
import { type HoldfastKnex, holdfast } from 'holdfast/knex'
import makeKnex, { type Knex } from 'knex'
import type { Flavour } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import { type MysqlStage, mysqlStage } from './mysql-stage.ts'
import { type Stage, stage } from './stage.ts'

interface Instances {
	/** A wrapped instance that talks to the server through the proxy, on a scheduler of this test. */
	knex(options?: PoolOptions, config?: Partial<Knex.Config>, connection?: object): HoldfastKnex
	/** An instance that is not wrapped, for what bare knex does. */
	bareKnex(config?: Partial<Knex.Config>, connection?: object): Knex
}

export type KnexStage = Stage & Instances

export const knexStage = async (settings: Record<string, string> = {}): Promise<KnexStage> =>
	withKnex(await stage(settings), 'pg', { application_name: 'under test' })

export const mysqlKnexStage = async (flavour: Flavour): Promise<MysqlStage & Instances> => withKnex(await mysqlStage(flavour), 'mysql2')

const quiet = { warn: () => {}, error: () => {}, deprecate: () => {}, debug: () => {} }

function withKnex<S extends Stage | MysqlStage>(at: S, client: 'pg' | 'mysql2', settings = {}): S & Instances {
	let instances: Knex[] = []
	let schedulers: ReturnType<typeof createScheduler>[] = []
	const bareKnex: Instances['bareKnex'] = (config = {}, connection = {}) => {
		const knex = makeKnex({
			client,
			connection: { ...at.server.config(), host: at.proxy.host, port: at.proxy.port, ...settings, ...connection },
			log: quiet,
			...config,
		})
		instances.push(knex)
		return knex
	}
	const own: Instances & Pick<Stage, 'leaveNothing'> = {
		bareKnex,
		knex(options = {}, config = {}, connection = {}) {
			const scheduler = options.scheduler ?? createScheduler()
			schedulers.push(scheduler)
			return holdfast(bareKnex(config, connection), { ...options, scheduler })
		},
		async leaveNothing() {
			for (const knex of instances) await knex.destroy()
			await until(() => schedulers.every((scheduler) => scheduler.stats().waits === 0), { what: 'no wait to be left on the scheduler' })
			instances = []
			schedulers = []
			await at.leaveNothing()
		},
	}
	return { ...at, ...own }
}
