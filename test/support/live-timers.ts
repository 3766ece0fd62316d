/** Which timers were set since some moment and have neither fired nor been cleared, and who set them? */

const originals = { setTimeout: globalThis.setTimeout, setInterval: globalThis.setInterval }
const watches = new Set<Map<NodeJS.Timeout, string>>()

/** Whether it can still fire. Node keeps that in a field that has no documented name; there is no other way to ask. */
const isLive = (timer: NodeJS.Timeout) => !(timer as unknown as { _destroyed: boolean })._destroyed

/**
 * Watches calls of the global `setTimeout` and `setInterval`. Code that fetched them earlier, as test runners do, is not seen.
 * `live()` tells of each live timer how it was set.
 */
export function watchTimers(): { live(): string[]; stop(): void } {
	const seen = new Map<NodeJS.Timeout, string>()
	if (watches.size === 0) replace()
	watches.add(seen)
	return {
		live() {
			for (const timer of seen.keys()) if (!isLive(timer)) seen.delete(timer)
			return [...seen.values()]
		},
		stop() {
			if (watches.delete(seen) && watches.size === 0) Object.assign(globalThis, originals)
		},
	}
}

function replace(): void {
	for (const name of ['setTimeout', 'setInterval'] as const) {
		const original = originals[name]
		const watched = (...args: [wake: () => void, delayMs?: number]) => {
			const timer = original(...args)
			const by = (new Error().stack ?? '').split('\n').slice(2, 6).join('\n')
			for (const seen of watches) seen.set(timer, `${name} of ${args[1] ?? 0} ms, set\n${by}`)
			return timer
		}
		// The promise form (util.promisify) hangs on the function as a property.
		globalThis[name] = Object.defineProperties(watched, Object.getOwnPropertyDescriptors(original)) as never
	}
}
