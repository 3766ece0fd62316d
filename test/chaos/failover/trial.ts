/** What becomes of the writes when the primary is killed under load and its replica promoted? One trial by seed, on a cluster of two. */
import { setTimeout as sleep } from 'node:timers/promises'
import { checkHistory } from '../../history/check.ts'
import type { Anomaly, FinalState, Operation, Step } from '../../history/history.ts'
import type { PostgresServer } from '../../support/postgres.ts'
import { type PostgresCluster, startPostgresCluster } from '../../support/postgres-cluster.ts'
import { type FaultProxy, startProxy } from '../../support/proxy.ts'
import { until } from '../../support/until.ts'
import type { CommitMode } from '../clients.ts'
import { Draw } from '../draw.ts'
import { centsEach } from '../operations.ts'
import { holdfastClient } from '../pg/client-holdfast.ts'
import { append, perform, schema, startAgain } from '../pg/sql.ts'
import { work } from '../worker.ts'

/** `synchronous`: a commit is answered once the replica has it. `asynchronous`: the replica is behind when the primary dies. */
export type Replication = 'synchronous' | 'asynchronous'

/** What one failover has shown. */
export interface FailoverRecord {
	readonly seed: number
	readonly told: Readonly<Record<Operation['told'], number>>
	/** Writes that were acknowledged before the promotion and that the replica did not have: the price of asynchronous replication. */
	readonly lostBefore: number
	/** From the moment at which the replica takes writes to the first write that was acknowledged. */
	readonly firstWriteMs: number
	readonly anomalies: readonly Anomaly[]
	readonly errors: readonly string[]
	readonly stats: object | undefined
}

const workers = 12
const connections = 8
const applicationName = 'failover'
// By so much the replies are late: many commits are durable, and not answered yet, when the server dies.
const replyMs = 2

/** A cluster on which one trial follows the other: the killed primary comes back as the replica of the promoted one. */
export class FailoverCourse {
	readonly #cluster: PostgresCluster
	readonly #proxies: ReadonlyMap<PostgresServer, FaultProxy>
	readonly #replication: Replication
	#primary: PostgresServer
	#replica: PostgresServer
	#lastId = 0

	private constructor(cluster: PostgresCluster, proxies: ReadonlyMap<PostgresServer, FaultProxy>, replication: Replication) {
		this.#cluster = cluster
		this.#proxies = proxies
		this.#replication = replication
		this.#primary = cluster.nodes[0]!
		this.#replica = cluster.nodes[1]!
	}

	static async open(replication: Replication): Promise<FailoverCourse> {
		const cluster = await startPostgresCluster({ settings: { deadlock_timeout: '30ms' } })
		const proxies = new Map<PostgresServer, FaultProxy>()
		for (const node of cluster.nodes) {
			const proxy = await startProxy({ target: node, protocol: 'postgres' })
			proxy.delay('toClient', replyMs)
			proxies.set(node, proxy)
		}
		const course = new FailoverCourse(cluster, proxies, replication)
		await course.#primary.query(schema)
		return course
	}

	/** One failover under load. */
	async run(seed: number, commit: CommitMode): Promise<FailoverRecord> {
		if (this.#replication === 'synchronous') await this.#cluster.waitForReplicas(this.#primary)
		await this.#primary.query(startAgain)
		const { user, database, port } = this.#primary.config()
		const hosts = [...this.#proxies.values()].map((proxy) => ({ host: proxy.host, port: proxy.port }))
		const client = holdfastClient(
			{ user, database, port, application_name: applicationName },
			{ name: 'holdfast', commit, connections, attemptTimeoutMs: 5_000 },
			hosts,
		)
		const operations: Operation[] = []
		let stopped = false
		const shift = {
			client,
			database: { perform, append },
			isolation: 'read committed' as const,
			nextId: () => ++this.#lastId,
			crossing: () => false,
			stopped: () => stopped,
			begun: () => {},
			ended: (operation: Operation) => void operations.push(operation),
		}
		const draw = new Draw(seed, 1)
		const all = Promise.all(Array.from({ length: workers }, (_, worker) => work(shift, worker, new Draw(seed, 100 + worker))))
		try {
			await sleep(draw.whole(200, 700))
			if (this.#replication === 'asynchronous') {
				await this.#cluster.cutOff(this.#replica)
				await sleep(draw.whole(20, 120))
			}
			await this.#primary.kill()
			await sleep(draw.whole(0, 400))
			const promotionBeganAtMs = performance.now()
			await this.#cluster.promote(this.#replica)
			const promotedAtMs = performance.now()
			const wroteSince = (since: number) => operations.filter((operation) => writes(operation) && operation.endedAtMs > since)
			await until(() => wroteSince(promotedAtMs).length > 0, { what: 'a write after the promotion', timeoutMs: 40_000 })
			await sleep(draw.whole(100, 400))
			stopped = true
			await all
			const stats = client.stats()
			await client.end()
			const final = await this.#finalState()
			const firstAtMs = Math.min(...wroteSince(promotionBeganAtMs).map(({ endedAtMs }) => endedAtMs))
			const { history, lostBefore } = forgiven(operations, final, this.#replication === 'synchronous' ? 0 : promotionBeganAtMs)
			const told = { ok: 0, failed: 0, 'in doubt': 0 }
			for (const operation of operations) told[operation.told] += 1
			return {
				seed,
				told,
				lostBefore,
				firstWriteMs: Math.max(0, firstAtMs - promotedAtMs),
				anomalies: checkHistory({ operations: history, final, centsEach, isolation: 'read committed' }),
				errors: [...new Set(operations.flatMap(({ told: how, error }) => (how === 'failed' && error !== undefined ? [error] : [])))],
				stats,
			}
		} finally {
			stopped = true
		}
	}

	/** The killed one comes back as the replica of the new primary. */
	async swap(): Promise<void> {
		await this.#cluster.follow(this.#primary, this.#replica)
		;[this.#primary, this.#replica] = [this.#replica, this.#primary]
	}

	async #finalState(): Promise<FinalState> {
		const left = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = '${applicationName}'`
		await until(async () => (await this.#replica.query<{ n: number }>(left))[0]?.n === 0, {
			what: 'the sessions of the workers to be gone',
		})
		const lists = await this.#replica.query<{ id: number; elements: number[] }>('select id, elements from list')
		const accounts = await this.#replica.query<{ id: number; cents: number }>('select id, cents from account')
		return {
			lists: new Map(lists.map(({ id, elements }) => [id, elements])),
			accounts: new Map(accounts.map(({ id, cents }) => [id, cents])),
		}
	}

	async close(): Promise<void> {
		for (const proxy of this.#proxies.values()) await proxy.close()
		await this.#cluster.dispose()
	}
}

const writes = ({ told, steps }: Operation): boolean => told === 'ok' && steps.some((step) => step.do === 'append')

/**
 * With asynchronous replication the end of the old primary's history is lost with it: what was acknowledged before the promotion may be
 * missing, and what was read then may have been of that end. What was acknowledged later must be there.
 */
function forgiven(operations: readonly Operation[], { lists }: FinalState, beforeMs: number): { history: Operation[]; lostBefore: number } {
	const there = new Set([...lists.values()].flat())
	let lostBefore = 0
	const history = operations.map((operation): Operation => {
		if (operation.endedAtMs >= beforeMs) return operation
		const isLost = writes(operation) && !there.has(operation.id)
		if (isLost) lostBefore += 1
		const { commitCallbacks: _callbacks, ...rest } = operation
		return { ...(isLost ? { ...rest, told: 'in doubt' } : operation), steps: operation.steps.map(withoutAnswer) }
	})
	return { history, lostBefore }
}

function withoutAnswer(step: Step): Step {
	if (step.do === 'read') return { do: 'read', list: step.list }
	return step.do === 'total' ? { do: 'total' } : step
}
