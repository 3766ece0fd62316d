/** Which hooks does a stage need? Set once for a file or a `describe`, counters at nought before each test, and nothing left after it. */
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import type { FaultProxy } from './proxy.ts'

interface Stage {
	readonly proxy: FaultProxy
	/** Asserts it, having ended what the test has opened. */
	leaveNothing(): Promise<void>
	close(): Promise<void>
}

/** Registers the hooks. The stage is there once `beforeAll` has run; hooks registered later find it as it is for a test. */
export function staged<S extends Stage>(set: () => Promise<S>): S {
	const at = {} as S
	let isSet = false
	beforeAll(async () => {
		Object.defineProperties(at, Object.getOwnPropertyDescriptors(await set()))
		isSet = true
	})
	afterAll(async () => {
		if (isSet) await at.close()
	})
	beforeEach(() => at.proxy.resetCounters())
	afterEach(async () => {
		await at.proxy.accept()
		await at.leaveNothing()
	})
	return at
}
