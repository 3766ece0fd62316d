/** What holds for all calls of one wrapped pool, and what may one call ask for itself? */
import type { ClassifyOptions } from './classify/classify.ts'
import type { Turns } from './conflict/turns.ts'
import type { Fault, Phase } from './fault.ts'
import type { Priority } from './options.ts'
import type { CutWork } from './outage/cut-work.ts'
import type { Ending } from './outage/ending.ts'
import type { Endpoint } from './outage/endpoint.ts'
import type { RetryBudget } from './outage/retry-budget.ts'
import type { Scheduler } from './outage/scheduler.ts'
import type { Stop, Wait, When } from './retry/attempt.ts'
import type { Counters } from './stats.ts'

/** What `onRetry` is told before a wait. No SQL and no parameter is in it. */
export interface RetryEvent {
	/** The attempt that failed, from 1. */
	readonly attempt: number
	readonly fault: Fault
	/** The driver's error. */
	readonly error: unknown
	/** The wait before the next attempt, in milliseconds; waiting at the gate comes on top. */
	readonly waitMs: number
	readonly label: string | undefined
}

/** What `onBudgetSpent` is told. No SQL and no parameter is in it. */
export interface BudgetSpentEvent {
	/** The attempt that failed, from 1: the last one. */
	readonly attempt: number
	readonly fault: Fault
	/** The driver's error, which the caller gets. */
	readonly error: unknown
	readonly label: string | undefined
}

/** What all calls of one wrapped pool share. */
export interface Policy {
	readonly scheduler: Scheduler
	readonly endpoint: Endpoint
	readonly turns: Turns
	readonly budget: RetryBudget
	readonly counters: Counters
	readonly cutWork: CutWork
	readonly priority: Priority
	readonly deadlineMs: number
	readonly stop: Stop
	readonly wait: Wait
	readonly when: When
	readonly readsAreSafe: boolean
	readonly classifyRows: ClassifyOptions['rows']
	/** What the driver has found out of an error that the error itself does not say. */
	readonly foundOut: ((error: unknown, phase: Phase) => Fault | undefined) | undefined
	readonly onRetry: ((event: RetryEvent) => void) | undefined
	readonly onBudgetSpent: ((event: BudgetSpentEvent) => void) | undefined
	readonly signal: AbortSignal | undefined
	/** Over once the pool was ended: no further attempt starts, and no wait goes on. */
	readonly ending: Ending
}

/** What one call asks for itself. */
export interface CallOptions {
	readonly deadlineMs?: number | undefined
	readonly signal?: AbortSignal | undefined
	readonly label?: string | undefined
	/** `'batch'`: it lets the other callers go first while they wait for a connection. Default: the pool's. */
	readonly priority?: Priority | undefined
}

/** A call begins. When that was is all that has to be kept of one that may well succeed at once, or only waits: see `new Call`. */
export function begin({ budget, scheduler }: Policy): number {
	budget.calls += 1
	return scheduler.clock.now()
}

/** The end of the time that the call has. */
export const deadlineOf = (policy: Policy, options: CallOptions, startedAtMs: number): number =>
	startedAtMs + (options.deadlineMs ?? policy.deadlineMs)

/** Whether it lets calls of normal priority go first. */
export const isBatchCall = (policy: Policy, options: CallOptions): boolean => (options.priority ?? policy.priority) === 'batch'
