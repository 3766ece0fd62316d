/** What does a fault test of knex need beside the stage? Wrapped instances on its server, ended and looked after at the end. */
import { createScheduler, type PoolOptions } from 'holdfast'
import { type HoldfastKnex, holdfast } from 'holdfast/knex'
import makeKnex, { type Knex } from 'knex'
import { until } from '../support/until.ts'
import { type Stage, stage } from './stage.ts'

export interface KnexStage extends Stage {
	/** A wrapped instance that talks to the server through the proxy, on a scheduler of this test. */
	knex(options?: PoolOptions, config?: Partial<Knex.Config>, connection?: object): HoldfastKnex
	/** An instance that is not wrapped, for what bare knex does. */
	bareKnex(config?: Partial<Knex.Config>, connection?: object): Knex
}

export async function knexStage(settings: Record<string, string> = {}): Promise<KnexStage> {
	const at = await stage(settings)
	let instances: Knex[] = []
	let schedulers: ReturnType<typeof createScheduler>[] = []
	const quiet = { warn: () => {}, error: () => {}, deprecate: () => {}, debug: () => {} }
	const bareKnex: KnexStage['bareKnex'] = (config = {}, connection = {}) => {
		const knex = makeKnex({
			client: 'pg',
			connection: { ...at.server.config(), host: at.proxy.host, port: at.proxy.port, application_name: 'under test', ...connection },
			log: quiet,
			...config,
		})
		instances.push(knex)
		return knex
	}
	return {
		...at,
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
}
