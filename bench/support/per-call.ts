/** What does one call take of the process: processor time, timers, listeners? */
import { EventEmitter } from 'node:events'
import type { Call } from './paired-runs.ts'

/** Microseconds of processor time (user and system) per call, one call after the other. */
export async function cpuPerCall(call: Call, calls: number): Promise<number> {
	const before = process.cpuUsage()
	for (let left = calls; left > 0; left--) await call()
	const { user, system } = process.cpuUsage(before)
	return (user + system) / calls
}

export interface Taken {
	readonly timers: number
	readonly listeners: number
}

/** Timers set, and listeners added to emitters and event targets, per call. */
export async function takenPerCall(call: Call, calls: number): Promise<Taken> {
	const taken = { timers: 0, listeners: 0 }
	const restore = [
		count(globalThis, 'setTimeout', () => taken.timers++),
		count(globalThis, 'setInterval', () => taken.timers++),
		count(globalThis, 'setImmediate', () => taken.timers++),
		// `once` adds through `on`.
		count(EventEmitter.prototype, 'on', () => taken.listeners++),
		count(EventEmitter.prototype, 'addListener', () => taken.listeners++),
		count(EventTarget.prototype, 'addEventListener', () => taken.listeners++),
	]
	try {
		for (let left = calls; left > 0; left--) await call()
	} finally {
		for (const undo of restore) undo()
	}
	return { timers: taken.timers / calls, listeners: taken.listeners / calls }
}

function count<Name extends string, Owner extends { [K in Name]: unknown }>(owner: Owner, name: Name, hit: () => void): () => void {
	const original = owner[name] as (...args: unknown[]) => unknown
	const counted = function (this: unknown, ...args: unknown[]) {
		hit()
		return original.apply(this, args)
	}
	owner[name] = Object.defineProperties(counted, Object.getOwnPropertyDescriptors(original)) as never
	return () => {
		owner[name] = original as never
	}
}
