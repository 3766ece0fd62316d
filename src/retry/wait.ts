/** How long to wait before the next attempt. Pure rules in milliseconds; jitter comes after the cap, so a herd spreads at the cap too. */
import { longestTimerMs } from '../clock.ts'
import { fn, type OptionRules } from '../options.ts'
import { askWait } from './ask.ts'
import type { Attempt, Wait } from './attempt.ts'
import { baseRule, check, checkPolicy, delayRule, stepRule } from './checks.ts'
import { checkRules, type Delay, delay, sumOf } from './compose.ts'

// What Tenacity and its relatives call these, so that a policy carried over fails with the answer. Their unit is the second.
const foreignNames = {
	multiplier: 'multiplierMs (milliseconds)',
	initial: 'multiplierMs (milliseconds)',
	min: 'minMs (milliseconds)',
	max: 'maxMs (milliseconds)',
	start: 'startMs (milliseconds)',
	increment: 'incrementMs (milliseconds)',
	jitter: 'jitterMs (milliseconds)',
	exp_base: 'expBase',
	factor: 'expBase',
}

/** No wait. `wait.none` and `wait.none()` are the same rule. Tenacity: `wait_none`. */
export const none: Delay & (() => Delay) = delay(((attempt?: Attempt) => (attempt === undefined ? none : 0)) as () => number) as Delay &
	(() => Delay)

/** Always `delayMs` milliseconds. Tenacity: `wait_fixed`. */
export function fixed(delayMs: number): Delay {
	check('wait.fixed: delayMs', delayRule, delayMs)
	return delay(() => delayMs)
}

/** The bounds of `wait.random`. */
export interface RandomOptions {
	/** The shortest wait. @default 0 */
	minMs?: number | undefined
	/** The longest wait. @default 1000 */
	maxMs?: number | undefined
}

/** Evenly spread between `minMs` (0) and `maxMs` (1,000). Tenacity: `wait_random`. @throws RangeError when `maxMs` is less than `minMs`. */
export function random(minMs?: number | RandomOptions, maxMs?: number): Delay {
	const options = typeof minMs === 'object' ? minMs : { minMs, maxMs }
	checkPolicy('wait.random', options, { minMs: delayRule, maxMs: delayRule }, foreignNames)
	const { minMs: lowMs = 0, maxMs: highMs = 1000 } = options
	checkOrder(lowMs, highMs)
	return delay((attempt) => between(lowMs, highMs, attempt))
}

/** How `wait.incrementing` grows. */
export interface IncrementingOptions {
	/** The first wait. @default 0 */
	startMs?: number | undefined
	/** What each further wait adds; may be negative. @default 100 */
	incrementMs?: number | undefined
	/** The longest wait. @default 2147483647, the longest timer: about 25 days */
	maxMs?: number | undefined
}

/** `startMs + incrementMs × (attempt − 1)`, kept between 0 and `maxMs`. Tenacity: `wait_incrementing`. */
export function incrementing(options: IncrementingOptions = {}): Delay {
	checkPolicy('wait.incrementing', options, { startMs: delayRule, incrementMs: stepRule, maxMs: delayRule }, foreignNames)
	const { startMs = 0, incrementMs = 100, maxMs = longestTimerMs } = options
	return delay((attempt) => Math.max(0, Math.min(startMs + incrementMs * (attempt.number - 1), maxMs)))
}

/** How an exponential wait grows. */
export interface ExponentialOptions {
	/** The first wait, which the power multiplies. @default 1000 */
	multiplierMs?: number | undefined
	/** The base of the power. @default 2 */
	expBase?: number | undefined
	/** The shortest wait. @default 0 */
	minMs?: number | undefined
	/** The longest wait; also what an overflow becomes. @default 2147483647, the longest timer: about 25 days */
	maxMs?: number | undefined
}

const exponentialRules: OptionRules<ExponentialOptions> = { multiplierMs: delayRule, expBase: baseRule, minMs: delayRule, maxMs: delayRule }

/** The bounds of a growing wait, and what it is at an attempt before they hold. */
function growth(options: ExponentialOptions): { minMs: number; maxMs: number; uncappedMs: (attempt: Attempt) => number } {
	const { multiplierMs = 1000, expBase = 2, minMs = 0, maxMs = longestTimerMs } = options
	checkOrder(minMs, maxMs)
	// 0 × Infinity is not a number, and 0 times anything else is 0.
	return { minMs, maxMs, uncappedMs: (attempt) => (multiplierMs === 0 ? 0 : multiplierMs * expBase ** (attempt.number - 1)) }
}

/** `multiplierMs × expBase^(attempt − 1)`, kept between `minMs` and `maxMs`. No jitter: many callers that fail together come back together. Tenacity: `wait_exponential`. */
export function exponential(options: ExponentialOptions = {}): Delay {
	checkPolicy('wait.exponential', options, exponentialRules, foreignNames)
	const { minMs, maxMs, uncappedMs } = growth(options)
	return delay((attempt) => clamp(uncappedMs(attempt), minMs, maxMs))
}

/** Full jitter: evenly spread between `minMs` and what `wait.exponential` of the same options says. Tenacity: `wait_random_exponential`, `wait_full_jitter`. */
export function randomExponential(options: ExponentialOptions = {}): Delay {
	checkPolicy('wait.randomExponential', options, exponentialRules, foreignNames)
	const { minMs, maxMs, uncappedMs } = growth(options)
	return delay((attempt) => between(minMs, clamp(uncappedMs(attempt), minMs, maxMs), attempt))
}

/** How `wait.exponentialJitter` grows and spreads. */
export interface ExponentialJitterOptions extends ExponentialOptions {
	/** How wide the waits of one attempt number are spread; at most `maxMs − minMs` of it is used. @default 1000 */
	jitterMs?: number | undefined
}

/**
 * Exponential, plus up to `jitterMs` of chance. Never below `minMs` and never above `maxMs`. The power is capped at `maxMs − jitterMs` and the jitter is added after that, so
 * the waits keep their full spread at the cap. Below it this is Tenacity's `wait_exponential_jitter`, which adds before it caps: there every
 * caller at the cap waits equally long, and they return together.
 */
export function exponentialJitter(options: ExponentialJitterOptions = {}): Delay {
	checkPolicy('wait.exponentialJitter', options, { ...exponentialRules, jitterMs: delayRule }, foreignNames)
	const { minMs, maxMs, uncappedMs } = growth(options)
	const { jitterMs = 1000 } = options
	return delay((attempt) => {
		const shortestMs = clamp(uncappedMs(attempt), minMs, maxMs - jitterMs)
		return between(shortestMs, Math.min(shortestMs + jitterMs, maxMs), attempt)
	})
}

/** The n-th rule before the attempt n + 1; the last one repeats. Plain functions are rules as well. Tenacity: `wait_chain`. @throws TypeError without any rule. */
export function chain(...rules: readonly Wait[]): Delay {
	checkRules('wait.chain', rules)
	return delay((attempt) => askWait(rules[Math.min(attempt.number, rules.length) - 1]!, attempt, 'wait.chain'))
}

/** The sum of all `rules`. Plain functions are rules as well. Tenacity: `wait_combine`, `+`. */
export function combine(...rules: readonly Wait[]): Delay {
	return sumOf('wait.combine', rules)
}

/**
 * As long as the error says: `read` gets it and answers in milliseconds, as for a Retry-After header. An attempt that returned a result
 * has no error to read: it waits 0, so combine it with another rule if `when` retries on results. Tenacity: `wait_exception`.
 */
export function exception<E = unknown>(read: (error: E) => number): Delay {
	check('wait.exception: read', fn, read)
	return delay((attempt) => (attempt.failed ? askWait(() => read(attempt.error as E), attempt, 'wait.exception') : 0))
}

function checkOrder(minMs: number, maxMs: number): void {
	if (maxMs < minMs) throw new RangeError(`maxMs must be at least minMs (${minMs}), got ${maxMs}`)
}

function clamp(valueMs: number, minMs: number, maxMs: number): number {
	return Math.max(minMs, Math.min(valueMs, maxMs))
}

function between(minMs: number, maxMs: number, attempt: Attempt): number {
	return minMs + attempt.random() * (maxMs - minMs)
}
