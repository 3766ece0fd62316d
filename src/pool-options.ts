/** What can be set for a wrapped pool, whatever the driver, and what may it be? Every option once, with its rule. */
import type { BudgetSpentEvent, RetryEvent } from './call.ts'
import { checkRows } from './classify/classify.ts'
import type { ClassificationRow } from './classify/table.ts'
import { CommitLedger } from './commit-ledger.ts'
import { checkHosts, type HostOption } from './hosts/host.ts'
import { type Target, targetRule } from './hosts/role.ts'
import {
	abortSignal,
	bool,
	checkOptions,
	fn,
	type OptionRules,
	type Priority,
	positiveMs,
	positiveMsOrFalse,
	positiveMsOrInfinity,
	priorityRule,
	show,
	wholeNumber,
} from './options.ts'
import { Scheduler } from './outage/scheduler.ts'
import type { Stop, Wait, When } from './retry/attempt.ts'
import type { OnConnect } from './session/prepared-source.ts'

/** Options of every `holdfast(pool, options)`. */
export interface PoolOptions {
	/** The backoff scheduler. Default: one per process, shared by all pools. */
	scheduler?: Scheduler | undefined
	/** After this no further attempt starts and no wait goes on, in milliseconds; a query that is running is not cut. Default 30,000. */
	deadlineMs?: number | undefined
	/** Cuts one attempt after so many milliseconds; its connection is closed. Default: off. */
	attemptTimeoutMs?: number | undefined
	/** When to give up, besides the deadline. Default: never. */
	stop?: Stop | undefined
	/** How long to wait between attempts while the endpoint is up. Default: by kind of fault, with full jitter. */
	wait?: Wait | undefined
	/** Which faults may be retried. Work in doubt is never rerun, whatever this says. Default: those classified as retryable. */
	when?: When | undefined
	/**
	 * The servers among which the pool finds the one it needs, instead of the one address that it was made with: `'host'`, `'host:port'` or
	 * `{ host, port }`; without a port that of the pool counts. Names are looked up at each connection attempt. Default: that one address.
	 */
	hosts?: readonly HostOption[] | undefined
	/**
	 * With `hosts`, where connections go. `'primary'`: to the server that takes writes, also after another one was promoted.
	 * `'prefer-replica'`: to a replica, or to another server where no replica answers. `'any'`: to the first that answers. On PostgreSQL the
	 * last two are for reads, and what writes goes to the primary in any case. Default 'primary'.
	 */
	target?: Target | undefined
	/** Callers that may wait while the endpoint is not up; one more gets an OverloadError at once. Default 10,000. */
	maxWaiting?: number | undefined
	/**
	 * Who goes first where callers wait for a connection: `'batch'` lets the others go first, and still gets every eighth connection. A
	 * statement or transaction may say its own. Default 'normal'.
	 */
	priority?: Priority | undefined
	/**
	 * What to do about a COMMIT whose answer was lost. `'verify'`: ask the server's own record, which a crash makes unusable.
	 * A `commitLedger(…)`: ask the ledger, which survives crashes and failovers. `'off'`: an InDoubtError. Default 'verify'; 'off' on MySQL and
	 * MariaDB, which keep no such record.
	 */
	commit?: 'verify' | 'off' | CommitLedger | undefined
	/** Whether a plain read (by its text) may be rerun when its answer was lost. A SELECT can call a function that writes. Default true. */
	readsAreSafe?: boolean | undefined
	/** Called before each rerun. An error that it throws ends the call. */
	onRetry?: ((event: RetryEvent) => void) | undefined
	/** Called when a call gets its error because the retry budget is spent. An error that it throws is what the call gets instead. */
	onBudgetSpent?: ((event: BudgetSpentEvent) => void) | undefined
	/** Ends every wait of the pool's calls when it is aborted. */
	signal?: AbortSignal | undefined
	/**
	 * Prepares each new connection before anybody gets it, also those that replace lost ones: `SET search_path`, say. It is awaited. When it
	 * fails, the connection is closed: transient errors are retried as those of connecting are, others reach the caller who waits for it.
	 */
	onConnect?: OnConnect | undefined
	/**
	 * A call that had no answer for so long, in milliseconds, has its connection looked at, sooner where calls are usually quick: the server is
	 * asked over another one. Only what is proven dead is closed, at most twice this time and a little later. `false`: never. Default 2,000.
	 */
	halfOpenAfterMs?: number | false | undefined
	/** A connection that was last handed out so long ago, in milliseconds, is asked whether it lives before the next caller gets it. `false`: never. Default 30,000. */
	checkIdleAfterMs?: number | false | undefined
	/** Rows that come before the built-in classification. */
	classify?: readonly ClassificationRow[] | undefined
	/** `false`: the pool behaves as the bare one does. Default true. */
	enabled?: boolean | undefined
}

const scheduler = { rule: 'a scheduler made by createScheduler', accepts: (value: unknown) => value instanceof Scheduler }
const commit = {
	rule: "'verify', 'off' or a ledger made by commitLedger",
	accepts: (value: unknown) => value === 'verify' || value === 'off' || value instanceof CommitLedger,
}
const rows = { rule: 'an array of classification rows', accepts: (value: unknown) => Array.isArray(value) }

export const poolRules: OptionRules<PoolOptions> = {
	scheduler,
	deadlineMs: positiveMsOrInfinity,
	attemptTimeoutMs: positiveMs,
	stop: fn,
	wait: fn,
	when: fn,
	hosts: { rule: "an array of one or more of 'host:port' or { host, port }", accepts: (value: unknown) => Array.isArray(value) },
	target: targetRule,
	maxWaiting: wholeNumber,
	priority: priorityRule,
	commit,
	readsAreSafe: bool,
	onRetry: fn,
	onBudgetSpent: fn,
	signal: abortSignal,
	onConnect: fn,
	halfOpenAfterMs: positiveMsOrFalse,
	checkIdleAfterMs: positiveMsOrFalse,
	classify: rows,
	enabled: bool,
}

/** Checks options as given by a user; `ofDriver` are those that one driver has beside the common ones. Throws TypeError or RangeError. */
export function checkPoolOptions(options: unknown, ofDriver: OptionRules<object> = {}): asserts options is PoolOptions {
	checkOptions<PoolOptions>('holdfast', options, { ...poolRules, ...ofDriver })
	const { classify, hosts, target } = options as PoolOptions
	if (classify !== undefined) checkRows(classify)
	if (hosts !== undefined) checkHosts(hosts)
	else if (target !== undefined)
		throw new TypeError(`target needs hosts: with one address there is nothing to choose from, got ${show(target)}`)
}
