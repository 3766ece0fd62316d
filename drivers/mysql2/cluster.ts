/** How is a cluster wrapped? Each node's pool by itself, and the choice between them: a server that is down is passed over, not removed. */
import { isOnce, type PoolOptions } from '../../src/driver.ts'
import { commandMaker, ExecuteStatement, queryStatement, snapshot, snapshotValues } from './command.ts'
import type { Mysql2Core } from './core.ts'
import { handOver } from './lend.ts'
import { type Node, Nodes } from './nodes.ts'
import type { Connections } from './query.ts'
import type { ClusterNamespace, ConnectionCallback, Mysql2Cluster, Mysql2Connection, QueryCallback } from './shape.ts'
import { tellOnce } from './transact.ts'
import { type Added, addMethods, readyOf, replace, wrapPool } from './wrap.ts'

const wrapped = new WeakMap<Mysql2Cluster, Added>()

/** Wraps the cluster, those of its nodes that are there, and those that will be added. */
export function wrapCluster(cluster: Mysql2Cluster, options: PoolOptions): Added {
	const known = wrapped.get(cluster)
	if (known !== undefined) return known
	const bare = Object.getPrototypeOf(cluster) as Mysql2Cluster
	const nodeOf = nodesOf(cluster, options)
	const wrapAll = () => {
		for (const id of Object.keys(cluster._nodes)) nodeOf(id)
	}
	wrapAll()
	const spaces = new WeakMap<ClusterNamespace, Nodes>()
	const wrapSpace = (namespace: ClusterNamespace): Nodes => {
		const nodes = spaces.get(namespace) ?? new Nodes(cluster, namespace, nodeOf)
		if (!spaces.has(namespace) && options.enabled !== false) wrapNamespace(namespace, nodes)
		spaces.set(namespace, nodes)
		return nodes
	}
	const everywhere = () => wrapSpace(bare.of.call(cluster))
	const added: Added = {
		transaction: async (fn, given) => oneOf(everywhere()).wrapped.transactions.transaction(fn, given),
		holdfast: {
			stats: () => Object.fromEntries(Object.keys(cluster._nodes).map((id) => [id, nodeOf(id).wrapped.core.stats()])),
			ready: async (given) => readyOf(connectionsOf(everywhere()))(given),
		},
	}
	for (const namespace of Object.values(cluster._namespaces)) wrapSpace(namespace)
	if (options.enabled !== false) {
		replace(cluster, {
			of(pattern?: string, selector?: string) {
				const namespace = bare.of.call(cluster, pattern, selector)
				wrapSpace(namespace)
				return namespace
			},
			add(...given: unknown[]) {
				bare.add.apply(cluster, given)
				wrapAll()
			},
		} satisfies Pick<Mysql2Cluster, 'of' | 'add'>)
	}
	wrapped.set(cluster, added)
	addMethods(cluster, added)
	return added
}

/** Looks up a node by its name, and wraps its pool the first time. */
function nodesOf(cluster: Mysql2Cluster, options: PoolOptions): (id: string) => Node {
	const nodes = new Map<string, Node>()
	return (id) => {
		const { pool } = cluster._nodes[id] as Mysql2Cluster['_nodes'][string]
		const known = nodes.get(id)
		// A node may have been removed, and another added by the same name.
		if (known?.pool === pool) return known
		const node: Node = { id, pool, wrapped: wrapPool(pool, options), impatient: new Set() }
		nodes.set(id, node)
		follow(cluster, node)
		return node
	}
}

/** The events of a cluster, and the callers who would rather have another node than wait for this one. */
function follow(cluster: Mysql2Cluster, { id, pool, wrapped: node, impatient }: Node): void {
	const { endpoint } = node.core.policy
	let offline = false
	pool.on('connection', () => {
		if (offline) cluster.emit('online', id)
		offline = false
	})
	node.onFailure = (error) => {
		if (endpoint.state !== 'down') return
		for (const leave of [...impatient]) leave(error)
		if (!offline) cluster.emit('offline', id)
		offline = true
	}
}

/** One node, for what has to stay on it. */
function oneOf(nodes: Nodes): Node {
	const node = nodes.next() ?? nodes.all()[0]
	// The error of mysql2.
	if (node === undefined) throw Object.assign(new Error('Pool does Not exist.'), { code: 'POOL_NOEXIST' })
	return node
}

/** Where one call on these nodes gets its connections. There must be a node. */
function connectionsOf(nodes: Nodes): Connections {
	const { core } = (nodes.all()[0] ?? oneOf(nodes)).wrapped
	const owners = new WeakMap<Mysql2Connection, Mysql2Core>()
	return {
		policy: core.policy,
		attemptTimeoutMs: core.attemptTimeoutMs,
		call: (given) => core.call(given),
		ask(statement) {
			nodes.ask(statement.call, (error, connection, node) => {
				if (connection !== undefined && node !== undefined) owners.set(connection, node.wrapped.core)
				statement.done(error, connection)
			})
		},
		limit: (connection) => core.limit(connection),
		settle: (connection, broken) => owners.get(connection)?.settle(connection, broken),
		turnedReadOnly: (connection, fault, error) => owners.get(connection)?.turnedReadOnly(connection, fault, error),
		isStale: (connection) => owners.get(connection)?.isStale(connection) === true,
	}
}

function wrapNamespace(namespace: ClusterNamespace, nodes: Nodes): void {
	const bare = Object.getPrototypeOf(namespace) as ClusterNamespace
	const makeCommand = commandMaker(bare.query, undefined)
	// Without a node mysql2's own error says so.
	const none = () => nodes.all().length === 0
	replace(namespace, {
		getConnection(callback: ConnectionCallback) {
			if (none()) return bare.getConnection.call(namespace, callback)
			const call = connectionsOf(nodes).call({})
			const borrow = () =>
				nodes.ask(call, (error, connection, node) => {
					if (connection === undefined || node === undefined) return callback(error)
					const { core, transactions } = node.wrapped
					// Never before `getConnection` has returned.
					process.nextTick(handOver, core, transactions.forBorrowers, connection, callback, borrow)
				})
			borrow()
		},
		query(sql: unknown, values?: unknown, callback?: QueryCallback) {
			if (none()) return bare.query.call(namespace, sql, values, callback)
			const done = typeof values === 'function' ? (values as QueryCallback) : callback
			const given = typeof values === 'function' ? undefined : snapshotValues(values)
			const said = snapshot(sql)
			const command = makeCommand(said, given, done)
			if (isOnce(said)) return tellOnce(oneOf(nodes).wrapped.transactions.once('query', said, given), command, done)
			queryStatement(connectionsOf(nodes), command, said, given, done).run()
			return command
		},
		execute(sql: unknown, values?: unknown, callback?: QueryCallback) {
			if (none()) return bare.execute.call(namespace, sql, values, callback)
			const done = typeof values === 'function' ? (values as QueryCallback) : callback
			const given = typeof values === 'function' ? [] : snapshotValues(values)
			const said = snapshot(sql)
			if (isOnce(said)) return tellOnce(oneOf(nodes).wrapped.transactions.once('execute', said, given), undefined, done)
			new ExecuteStatement(connectionsOf(nodes), said, given, done as QueryCallback).run()
			return undefined
		},
	} satisfies Pick<ClusterNamespace, 'getConnection' | 'query' | 'execute'>)
}
