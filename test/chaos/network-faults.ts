/** How is the network struck? Messages lost with their link, holes that swallow, links that are slow, connections refused. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Message } from '../support/protocol.ts'
import type { InterceptRule } from '../support/proxy.ts'
import type { Arena } from './arena.ts'
import type { Fault, FaultKind } from './plan.ts'

/** A message that does not come is not waited for longer than this. */
const messageWithinMs = 200

/** Only what has hit something is recorded. */
export async function strikeNetwork(arena: Arena, fault: Fault): Promise<void> {
	// Links that lost the end of a stream in a hole hear of it now: no server waits for ever for a client that is gone.
	arena.proxy.swallow('both', false)
	const fromMs = performance.now()
	if (await strikes[fault.kind]?.(arena, fault)) arena.record(fault.kind, fromMs)
}

const any = () => true
const isCommit = ({ text, tag }: Message) => tag === 'COMMIT' || (tag === undefined && /^\s*commit/i.test(text ?? ''))

const strikes: { readonly [K in FaultKind]?: (arena: Arena, fault: Fault) => Promise<boolean> } = {
	'commit-reply': (arena, fault) => hit(arena, fault, { from: 'server', match: isCommit, action: 'cut before' }),
	'commit-request': (arena, fault) => hit(arena, fault, { from: 'client', match: isCommit, action: 'cut before' }),
	'commit-sent': (arena, fault) => hit(arena, fault, { from: 'client', match: isCommit, action: 'cut after' }),
	'commit-hole': (arena, fault) => hit(arena, fault, { from: 'server', match: isCommit, action: 'black hole' }),
	reply: (arena, fault) => hit(arena, fault, { from: 'server', match: any, action: 'cut before' }),
	request: (arena, fault) => hit(arena, fault, { from: 'client', match: any, action: 'cut before' }),
	'request-sent': (arena, fault) => hit(arena, fault, { from: 'client', match: any, action: 'cut after' }),
	async 'connect-cut'(arena, fault) {
		arena.proxy.cutAfterBytes('toClient', fault.nth * 60 - 7, fault.how)
		return hit(arena, fault, { from: 'server', match: any, action: 'cut before' })
	},
	async hole({ proxy }, { holdMs }) {
		proxy.swallow('both', true)
		await sleep(20 + holdMs)
		proxy.swallow('both', false)
		return true
	},
	async reset({ proxy }) {
		proxy.resetAll()
		return true
	},
	async close({ proxy }) {
		proxy.closeAll()
		return true
	},
	async refuse(arena, fault) {
		await arena.openDoor(false)
		const struck = await hit(arena, fault, { from: 'server', match: any, action: 'cut before' })
		await sleep(fault.holdMs / 2)
		// While the server is down, whoever took it down decides.
		if (arena.up) await arena.openDoor(true)
		return struck
	},
	async slow(arena, { holdMs }) {
		arena.proxy.delay('both', 10 + holdMs / 5)
		await sleep(50 + holdMs)
		arena.heal()
		return true
	},
}

/** Lets the rule hit the n-th message that fits, and tells whether it came. */
async function hit({ proxy }: Arena, { nth, how }: Fault, { from, match, action }: Pick<InterceptRule, 'from' | 'match' | 'action'>) {
	let left = nth
	const given = new AbortController()
	const rule = proxy.intercept({
		from,
		match: (message) => match(message) && --left <= 0,
		action,
		how,
		onHit: () => given.abort(),
	})
	await sleep(messageWithinMs, undefined, { signal: given.signal }).catch(() => {})
	rule.remove()
	return rule.hits > 0
}
