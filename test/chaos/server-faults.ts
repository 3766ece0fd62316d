/** How is the server struck? Killed, stopped or frozen at the drawn moment, and started again whatever happens. */
import { setTimeout as sleep } from 'node:timers/promises'
import { isRunning } from '../support/processes.ts'
import { until } from '../support/until.ts'
import type { Arena } from './arena.ts'
import type { Fault, FaultKind, Moment } from './plan.ts'

/** A moment that does not come is not waited for longer than this. */
const momentWithinMs = 300

/** Returns when the server is back and answers. */
export async function strikeServer(arena: Arena, fault: Fault): Promise<void> {
	const fromMs = performance.now()
	if (await strikes[fault.kind]?.(arena, fault)) arena.record(fault.kind, fromMs)
}

const strikes: { readonly [K in FaultKind]?: (arena: Arena, fault: Fault) => Promise<boolean> } = {
	kill: (arena, fault) => takeDown(arena, fault, () => arena.server.kill()),
	immediate: (arena, fault) => takeDown(arena, fault, () => arena.server.stop('immediate')),
	fast: (arena, fault) => takeDown(arena, fault, () => arena.server.stop('fast')),
	'stall-kill': (arena, fault) =>
		takeDown(arena, fault, async () => {
			await arena.server.pause()
			await sleep(fault.holdMs)
			const dead = arena.server.kill()
			if (fault.harsh) arena.proxy.resetAll()
			await dead
		}),
	async stall({ server }, { holdMs }) {
		await server.pause()
		await sleep(100 + holdMs * 2)
		await server.resume()
		return true
	},
	'kill-backend': killBackend,
}

/** Ends the server by `end` at the fault's moment, leaves it down for a while, and starts it. */
async function takeDown(arena: Arena, { kind, at, harsh, holdMs }: Fault, end: () => Promise<void>): Promise<boolean> {
	const { server, proxy } = arena
	let ended: Promise<void> | undefined
	await atMoment(arena, at, () => {
		arena.up = false
		ended = end()
		if (!harsh) return
		void arena.openDoor(false)
		// What the server has answered and nobody has got yet is lost with it, as when a machine dies. Frozen, it is still alive.
		if (kind !== 'stall-kill') proxy.resetAll()
	})
	try {
		await ended
		await sleep(holdMs)
	} finally {
		await server.start()
		await arena.openDoor(true)
		arena.up = true
	}
	return true
}

/** Calls `strike` once: now, or in the turn in which a COMMIT or its answer passes. */
async function atMoment({ proxy }: Arena, at: Moment, strike: () => void): Promise<void> {
	if (at === 'now') return strike()
	let struck = false
	const once = () => {
		if (!struck) strike()
		struck = true
	}
	const passed = new Promise<void>((resolve) => {
		const from = at === 'commit reply' ? 'server' : 'client'
		const rule = proxy.intercept({
			from,
			match: ({ tag, text }) => (from === 'server' ? tag === 'COMMIT' : /^\s*commit/i.test(text ?? '')),
			action: 'pass',
			onHit() {
				// The message is written when this has returned; a turn later it has left.
				if (at === 'commit sent') setImmediate(once).unref()
				else once()
				setImmediate(resolve)
			},
		})
		setTimeout(() => {
			rule.remove()
			resolve()
		}, momentWithinMs)
	})
	await passed
	once()
}

async function killBackend(arena: Arena, { nth, harsh }: Fault): Promise<boolean> {
	const pid = await arena.somebody(nth)
	if (pid === undefined) return false
	arena.up = false
	try {
		await arena.server.killBackend?.(pid)
	} catch {
		// It has ended by itself in the meantime.
		arena.up = true
		return false
	}
	if (harsh) arena.proxy.resetAll()
	// The postmaster notices, ends all others and recovers; only then it lets anybody in again.
	await until(() => !isRunning(pid), { what: `backend ${pid} to be gone` })
	await until(() => arena.server.query('select 1'), { what: 'the server to recover from the loss of a backend', timeoutMs: 30_000 })
	arena.up = true
	return true
}
