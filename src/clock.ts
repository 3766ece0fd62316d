/** What time is it, when does a wait end, and what does chance say? The only file that touches timers, monotonic time and randomness. */

/** Time and chance as the rest of Holdfast sees them; tests and the simulator pass their own. */
export interface Clock {
	/** Monotonic time in milliseconds. Only differences mean anything. */
	now(): number
	/** Calls `wake` once, `delayMs` from now at the earliest. Returns the handle for `clearTimer`. */
	setTimer(wake: () => void, delayMs: number): unknown
	/** Cancels a timer that has not fired; a handle that has fired is ignored. */
	clearTimer(handle: unknown): void
	/** A number in [0, 1). */
	random(): number
	/** Lets the process end although the timer has not fired. Optional: without it, watching over links may keep a process alive for a moment. */
	unref?(handle: unknown): void
}

/** setTimeout turns a longer delay into 1 ms (Node.js manual, "timers"), so longer waits are cut into pieces by their owners. */
export const longestTimerMs = 2_147_483_647

/** The clock of this process. Its timers keep the process alive: somebody waits for each of them. */
export const systemClock: Clock = {
	now: () => performance.now(),
	setTimer: (wake, delayMs) => setTimeout(wake, Math.min(delayMs, longestTimerMs)),
	clearTimer: (handle) => clearTimeout(handle as NodeJS.Timeout),
	random: () => Math.random(),
	unref: (handle) => (handle as NodeJS.Timeout).unref(),
}

/** The same clock for what nobody waits for: its timers do not keep the process alive. */
export const background = (clock: Clock): Clock => ({
	now: () => clock.now(),
	setTimer: (wake, delayMs) => {
		const handle = clock.setTimer(wake, delayMs)
		clock.unref?.(handle)
		return handle
	},
	clearTimer: (handle) => clock.clearTimer(handle),
	random: () => clock.random(),
})

/** The date of a moment on the clock, by the time of day as it is now. */
export const dateOf = (clock: Clock, atMs: number): Date => new Date(Date.now() - (clock.now() - atMs))

/** Waits `delayMs`, or rejects at once with the signal's reason when it is aborted. Leaves no timer and no listener behind. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
	return new Promise((resolve, reject) => {
		if (signal?.aborted) {
			reject(signal.reason)
			return
		}
		const endsAt = clock.now() + delayMs
		let timer: unknown
		const arm = () => {
			timer = clock.setTimer(wake, Math.max(0, Math.min(endsAt - clock.now(), longestTimerMs)))
		}
		const wake = () => {
			if (endsAt - clock.now() > longestTimerMs / 2) {
				arm()
				return
			}
			signal?.removeEventListener('abort', abort)
			resolve()
		}
		const abort = () => {
			clock.clearTimer(timer)
			reject(signal?.reason)
		}
		signal?.addEventListener('abort', abort, { once: true })
		arm()
	})
}
