/** Who does the harm in a round? One loop for each family of faults, which stops between two faults. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Arena } from './arena.ts'
import { strikeNetwork } from './network-faults.ts'
import type { Family, Fault } from './plan.ts'
import { strikeServer } from './server-faults.ts'

/** Draws and strikes until the signal; a fault that has begun is finished. */
export async function torment(arena: Arena, family: Family, faults: Iterator<Fault, void>, signal: AbortSignal): Promise<void> {
	while (!signal.aborted) {
		// Network and sessions are left alone while there is no server: nothing would be hit.
		if (family !== 'server' && !arena.up) {
			await pause(10, signal)
			continue
		}
		const next = faults.next()
		if (next.done) return
		await pause(next.value.afterMs, signal)
		if (!signal.aborted) await strike[family](arena, next.value)
	}
}

const pause = (ms: number, signal: AbortSignal) => sleep(ms, undefined, { signal }).catch(() => {})

const strike: Readonly<Record<Family, (arena: Arena, fault: Fault) => Promise<void>>> = {
	server: strikeServer,
	network: strikeNetwork,
	session: strikeSession,
	load: cross,
}

async function strikeSession(arena: Arena, { kind, nth }: Fault): Promise<void> {
	const fromMs = performance.now()
	try {
		const session = await arena.somebody(nth)
		if (session === undefined) return
		if (await arena.database.end(session, kind === 'cancel' ? 'statement' : 'session')) arena.record(kind, fromMs)
	} catch {
		// The server was taken down meanwhile: nobody was hit, and nothing is counted.
	}
}

async function cross(arena: Arena, { kind, holdMs }: Fault): Promise<void> {
	const fromMs = performance.now()
	arena.crossing = true
	await sleep(150 + holdMs)
	arena.crossing = false
	arena.record(kind, fromMs)
}
