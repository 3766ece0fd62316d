/** What may users call? The public surface of `holdfast`, every name spelled out. */
export type { BudgetSpentEvent, RetryEvent } from './call.ts'
export { type ClassifyOptions, classify } from './classify/classify.ts'
export type { ClassificationRow } from './classify/table.ts'
export { type Clock, systemClock } from './clock.ts'
export { type CommitLedger, commitLedger, type LedgerOptions } from './commit-ledger.ts'
export {
	DeadlineError,
	HoldfastError,
	type HoldfastErrorCode,
	InDoubtError,
	type LastAttempt,
	OverloadError,
	RetryError,
} from './errors.ts'
export type { Fault, FaultKind, FaultScope, Outcome, Phase } from './fault.ts'
export type { Priority } from './options.ts'
export type { EndpointReport, EndpointState } from './outage/endpoint-report.ts'
export type { RetryBudgetOptions } from './outage/retry-budget.ts'
export { createScheduler, type Scheduler, type SchedulerOptions } from './outage/scheduler.ts'
export type { PoolOptions } from './pool-options.ts'
export { type RetryReport, retryReport } from './report.ts'
export type { Attempt, Stop, Wait, When } from './retry/attempt.ts'
export type { Condition, Delay } from './retry/compose.ts'
export type { AttemptContext, RetryStatistics } from './retry/course.ts'
export type { Hook, RetryOptions } from './retry/policy.ts'
export { type BoundRetry, retry, retryWith, type Work } from './retry/retry.ts'
export { type Retrying, retrying, type Turn } from './retry/retrying.ts'
export * as stop from './retry/stop.ts'
export { TryAgain } from './retry/try-again.ts'
export * as wait from './retry/wait.ts'
export * as when from './retry/when.ts'
export { type Wrapped, wrap } from './retry/wrap.ts'
export type { Stats } from './stats.ts'
export type { TransactionOptions } from './transaction/runner.ts'
