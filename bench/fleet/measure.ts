/** What do the figures of a run say? The peak of connection attempts, how soon goodput is back, and whether it stays. */
import { binMs, type Scenario, type Series } from './run.ts'

export interface Finding {
	/** The most connection attempts in any second that begins after the recovery. */
	readonly peakAfter: number
	/** The same from the crash on. */
	readonly peak: number
	/** From the recovery until at least 95 % of the calls that come in are answered, and that for 5 s; Infinity: never. */
	readonly backMs: number
	/** From the recovery until no more calls wait than arrive in a twentieth of a second; Infinity: never. */
	readonly drainedMs: number
	/** Answers a second in the last 5 s, as a share of the calls that come in. */
	readonly atTheEnd: number
	/** Calls that failed, from the crash on. */
	readonly failed: number
	readonly attempts: number
	readonly mostKnocking: number
	readonly wasted: number
}

const goodShare = 0.95
const smoothedBins = 1_000 / binMs
const heldBins = 5_000 / binMs

export function measure(series: Series, { fate, callsPerSecond }: Scenario): Finding {
	const binOf = (atMs: number) => Math.floor((atMs - series.fromMs) / binMs)
	const crash = binOf(fate.crashesAtMs ?? fate.slow?.fromMs ?? fate.readyAtMs)
	const ready = binOf(fate.readyAtMs)
	const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
	const peak = (values: readonly number[]) => values.reduce((most, value) => Math.max(most, value), 0)
	const busiest = (values: readonly number[]) =>
		peak(values.slice(smoothedBins - 1).map((_, bin) => sum(values.slice(bin, bin + smoothedBins))))
	const drained = series.waiting.findIndex((waiting, bin) => bin >= ready && waiting <= callsPerSecond / 20)
	const last = series.answered.slice(-heldBins)
	return {
		peakAfter: busiest(series.attempts.slice(ready)),
		peak: busiest(series.attempts.slice(crash)),
		backMs: backAt(series.answered, ready, (callsPerSecond * goodShare * binMs) / 1_000),
		drainedMs: drained < 0 ? Number.POSITIVE_INFINITY : (drained + 1 - ready) * binMs,
		atTheEnd: (sum(last) * 1_000) / (last.length * binMs * callsPerSecond),
		failed: sum(series.failed.slice(crash)),
		attempts: sum(series.attempts.slice(crash)),
		mostKnocking: peak(series.knocking.slice(crash)),
		wasted: series.wasted,
	}
}

/** The end of the first second, from `ready` on, with enough answers that is followed by such seconds only, for as long as they must hold. */
function backAt(answered: readonly number[], ready: number, enough: number): number {
	let held = 0
	for (let bin = ready + smoothedBins; bin <= answered.length; bin++) {
		const mean = answered.slice(bin - smoothedBins, bin).reduce((total, value) => total + value, 0) / smoothedBins
		held = mean >= enough ? held + 1 : 0
		if (held === heldBins) return (bin - heldBins + 1 - smoothedBins - ready) * binMs
	}
	return Number.POSITIVE_INFINITY
}
