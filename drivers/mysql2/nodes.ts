/** From which node of a cluster does a caller get its connection? From one whose server can be reached; from whichever comes back first, where none can. */
import { type Call, HoldfastError } from '../../src/driver.ts'
import { giveBack } from './client.ts'
import type { Mysql2Core } from './core.ts'
import type { ClusterNamespace, Mysql2Cluster, Mysql2Connection, Mysql2Pool } from './shape.ts'
import type { Wrapped } from './wrap.ts'

/** `node` is the one that the connection is of. */
type Done = (error: unknown, connection?: Mysql2Connection, node?: Node) => void

/** One node, and who waits for it. */
export interface Node {
	readonly id: string
	readonly pool: Mysql2Pool
	readonly wrapped: Wrapped
	/** Callers that would rather have another node than wait for this one. */
	readonly impatient: Set<(error: unknown) => void>
}

/** The nodes of one pattern. */
export class Nodes {
	readonly #cluster: Mysql2Cluster
	readonly #namespace: ClusterNamespace
	readonly #nodeOf: (id: string) => Node

	constructor(cluster: Mysql2Cluster, namespace: ClusterNamespace, nodeOf: (id: string) => Node) {
		this.#cluster = cluster
		this.#namespace = namespace
		this.#nodeOf = nodeOf
	}

	/** All of them. */
	all(): Node[] {
		return this.#cluster._findNodeIds(this.#namespace._pattern).map((id) => this.#nodeOf(id))
	}

	/** The one whose turn it is, of those that can be reached or may be tried again. Undefined where there is none. */
	next(without: ReadonlySet<Node> = new Set()): Node | undefined {
		const reachable = this.all().filter((node) => !without.has(node) && canBeTried(node.wrapped.core))
		if (reachable.length === 0) return undefined
		const id = this.#namespace._selector(reachable.map((node) => node.id))
		return reachable.find((node) => node.id === id)
	}

	/** A connection for the call. A node that goes down while the call waits for it is left for another. */
	ask(call: Call, done: Done, failed: ReadonlySet<Node> = new Set()): void {
		const node = this.next(failed)
		if (node === undefined) return this.#askAll(call, done)
		const others = this.#cluster._canRetry && this.all().length > 1
		borrow(node, call, { impatient: others }, (error, connection) => {
			if (connection !== undefined || !others || isFinal(call, error)) return done(error, connection, node)
			this.#cluster.emit('warn', error)
			this.ask(call, done, new Set([...failed, node]))
		})
	}

	/** None can be reached: the first that comes back serves. */
	#askAll(call: Call, done: Done): void {
		const nodes = this.all()
		const giveUp: Array<() => void> = []
		let left = nodes.length
		let served = false
		for (const node of nodes) {
			if (served) break
			const cancel = borrow(node, call, { impatient: false }, (error, connection) => {
				left -= 1
				if (served) return connection && giveBack(connection)
				if (connection === undefined && left > 0) return
				served = true
				for (const end of giveUp) end()
				done(error, connection, node)
			})
			giveUp.push(cancel)
		}
	}
}

const canBeTried = (core: Mysql2Core): boolean => core.policy.endpoint.state !== 'down' || core.policy.endpoint.admits

/** The caller's own limits, and the end of a pool, hold for all nodes. */
const isFinal = (call: Call, error: unknown): boolean =>
	HoldfastError.is(error) || (call.signal?.aborted === true && call.signal.reason === error)

/** Asks one node. Returns the function that ends the wait. */
function borrow(
	{ wrapped: { core }, impatient, id }: Node,
	call: Call,
	how: { impatient: boolean },
	done: (error: unknown, connection?: Mysql2Connection) => void,
): () => void {
	const controller = new AbortController()
	const leave = (error: unknown) => controller.abort(error)
	const abort = () => leave(call.signal?.reason)
	if (call.signal?.aborted) abort()
	else call.signal?.addEventListener('abort', abort)
	if (how.impatient) impatient.add(leave)
	const { deadlineAtMs, isBatch } = call
	core.borrow({
		deadlineAtMs,
		signal: controller.signal,
		isBatch,
		done: (error, connection) => {
			call.signal?.removeEventListener('abort', abort)
			impatient.delete(leave)
			// As mysql2 marks whose connection it is.
			if (connection !== undefined) Object.assign(connection, { _clusterId: id })
			done(error, connection)
		},
	})
	return () => leave(new Error('Another node was sooner.'))
}
