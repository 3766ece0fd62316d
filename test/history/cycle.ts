/** Does a directed graph lead back to where one came from, and on which shortest way? Pure. */

type Edges<R> = readonly (readonly (readonly [to: number, reason: R])[])[]

/** One way round: each node with the reason for which the next one comes after it. */
export type Cycle<R> = readonly { readonly node: number; readonly reason: R }[]

/** A short cycle of every group of nodes that can all reach each other. */
export function findCycles<R>(edges: Edges<R>): Cycle<R>[] {
	return tangles(edges).map((nodes) => shortestCycle(edges, new Set(nodes)))
}

/** Groups of two and more nodes that can all reach each other (Tarjan 1972, with a stack of its own instead of recursion). */
function tangles<R>(edges: Edges<R>): number[][] {
	const found: number[][] = []
	const order = new Int32Array(edges.length)
	const lowest = new Int32Array(edges.length)
	const open = new Uint8Array(edges.length)
	const stack: number[] = []
	let clock = 0
	const enter = (node: number) => {
		order[node] = lowest[node] = ++clock
		open[node] = 1
		stack.push(node)
		return { node, next: 0 }
	}
	for (let root = 0; root < edges.length; root++) {
		if (order[root] !== 0) continue
		const path = [enter(root)]
		for (let top = path.at(-1); top; top = path.at(-1)) {
			const edge = edges[top.node]![top.next++]
			if (edge) {
				const to = edge[0]
				if (order[to] === 0) path.push(enter(to))
				else if (open[to] === 1) lowest[top.node] = Math.min(lowest[top.node]!, order[to]!)
				continue
			}
			path.pop()
			const above = path.at(-1)
			if (above) lowest[above.node] = Math.min(lowest[above.node]!, lowest[top.node]!)
			if (lowest[top.node] !== order[top.node]) continue
			const group = stack.splice(stack.lastIndexOf(top.node))
			for (const node of group) open[node] = 0
			if (group.length > 1) found.push(group)
		}
	}
	return found
}

/** Breadth first from a few nodes of the group; the first way back to the start is the shortest from there. */
function shortestCycle<R>(edges: Edges<R>, group: ReadonlySet<number>): Cycle<R> {
	const starts = [...group].slice(0, 50)
	let best: Cycle<R> = []
	for (const start of starts) {
		const cycle = wayBack(edges, group, start)
		if (best.length === 0 || cycle.length < best.length) best = cycle
	}
	return best
}

function wayBack<R>(edges: Edges<R>, group: ReadonlySet<number>, start: number): Cycle<R> {
	const cameBy = new Map<number, { node: number; reason: R }>()
	const queue = [start]
	for (const node of queue) {
		for (const [to, reason] of edges[node]!) {
			if (!group.has(to) || cameBy.has(to)) continue
			cameBy.set(to, { node, reason })
			queue.push(to)
		}
		if (cameBy.has(start)) break
	}
	const cycle: { node: number; reason: R }[] = []
	for (let step = cameBy.get(start); step; step = step.node === start ? undefined : cameBy.get(step.node)) cycle.unshift(step)
	return cycle
}
