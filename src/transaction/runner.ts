/** How is a unit of work applied once? begin, the user's function, commit; the whole function again, or nothing. */
import { Call, type Policy } from '../call.ts'
import { isConflict } from '../conflict/turns.ts'
import type { Begun, CommitMark, TransactionDriver, TransactionModes, TransactionStatus } from '../contract.ts'
import type { Fault, FaultKind } from '../fault.ts'
import {
	abortSignal,
	bool,
	checkOptions,
	fn as fnRule,
	type OptionRules,
	oneOf,
	type Priority,
	positiveMsOrInfinity,
	priorityRule,
	show,
	text,
} from '../options.ts'
import { spentSoFar, wasSpentSince } from '../retry/spent.ts'
import { endedByHand, type Failure, judge, partlyCommitted, swallowed } from './judge.ts'
import { Loan } from './loan.ts'
import { refuseNesting, runInside } from './nesting.ts'
import { resolveCommit } from './resolve.ts'
import { type AttemptState, callAsync, type TransactionScope } from './scope.ts'

/** Options of `pool.transaction`. */
export interface TransactionOptions extends TransactionModes {
	/** The caller's word that the whole function may be applied twice: then a commit in doubt is simply run again. Default false. */
	idempotent?: boolean | undefined
	/** A name for hooks and reports. Where transactions conflict, those with the same label take turns among themselves, apart from others. */
	label?: string | undefined
	/** After this no further attempt starts and no wait goes on. Default: the pool's. */
	deadlineMs?: number | undefined
	/** `'batch'`: it lets the other callers go first while they wait for a connection. Default: the pool's. */
	priority?: Priority | undefined
	/** Ends waits at once, and stops before the next attempt and before COMMIT. A running statement is not cut. */
	signal?: AbortSignal | undefined
}

const isolations = ['read uncommitted', 'read committed', 'repeatable read', 'serializable'] as const

const transactionRules: OptionRules<TransactionOptions> = {
	isolation: oneOf(...isolations),
	readOnly: bool,
	deferrable: bool,
	idempotent: bool,
	label: text,
	deadlineMs: positiveMsOrInfinity,
	priority: priorityRule,
	signal: abortSignal,
}

// Where less is left before the deadline no attempt is cut short for a lock: there might be no time for another.
const leastTimeToRunAgainMs = 2_000

/** What the runner needs of a wrapped pool. */
export interface TransactionHost<C extends object, T extends TransactionScope<C, T>> {
	readonly policy: Policy
	readonly driver: TransactionDriver<C>
	readonly attemptTimeoutMs: number | undefined
	/** Without options it is to ask what became of a commit. */
	acquire(call: Call, options?: TransactionOptions): Promise<C>
	/** True: a transaction of the pool inside another one is independent of it, as query builders promise. Default: it is refused. */
	readonly nests?: boolean
	/** Makes the handle for one attempt. */
	scope(state: AttemptState<C>): T
}

/** Runs `fn` in a transaction, as often as transient faults need it, and resolves with the value of the attempt that was committed. */
export async function runTransaction<C extends object, T extends TransactionScope<C, T>, R>(
	host: TransactionHost<C, T>,
	fn: (tx: T) => Promise<R>,
	options: TransactionOptions = {},
): Promise<R> {
	if (!fnRule.accepts(fn)) throw new TypeError(`transaction: fn must be an async function, got ${show(fn)}`)
	checkOptions('transaction', options, transactionRules)
	if (host.nests !== true) refuseNesting(host)
	const { deadlineMs, signal, label, priority } = options
	const call = new Call(host.policy, { deadlineMs, signal, label, priority })
	const work = { idempotent: options.idempotent === true, takesTurns: true, reads: () => options.readOnly === true }
	const { turns, counters, scheduler } = host.policy
	let losses = 0
	let timesCutShort = 0
	for (;;) {
		call.throwIfAborted()
		const lane = turns.lane(options.label)
		// Before there is a connection, so that nobody keeps one while it waits.
		if (!turns.enter(lane, losses)) await call.turn(lane, losses)
		const nowMs = scheduler.clock.now()
		const startedAtMs = lane.narrow ? nowMs : undefined
		const mayWaitLong = options.readOnly === true || call.deadlineAtMs - nowMs < leastTimeToRunAgainMs
		const lockWaitMs = lane.begin(timesCutShort, mayWaitLong)
		let how: FaultKind | 'committed' | undefined
		let outcome: Success<R> | Failure
		try {
			const connection = await host.acquire(call, options)
			turns.connected(lane)
			counters.attempts += 1
			outcome = await attempt(host, connection, fn, options, call, lockWaitMs)
			how = 'value' in outcome ? 'committed' : outcome.cutShort === true ? 'lock_timeout' : outcome.fault.kind
		} finally {
			turns.leave(lane, { losses, lockWaitMs, startedAtMs, how })
		}
		if ('value' in outcome) {
			if (outcome.callbacks.length > 0) await tellCommitted(outcome.callbacks)
			return outcome.value
		}
		if (outcome.cutShort === true || isConflict(outcome.fault)) losses += 1
		if (outcome.cutShort === true) {
			timesCutShort += 1
			call.again(outcome.error, outcome.fault)
		} else await call.next(outcome.error, outcome.fault, outcome.phase, work, outcome.doubt)
	}
}

interface Success<R> {
	readonly value: R
	readonly callbacks: ReadonlyArray<() => unknown>
}

async function attempt<C extends object, T extends TransactionScope<C, T>, R>(
	host: TransactionHost<C, T>,
	connection: C,
	fn: (tx: T) => Promise<R>,
	options: TransactionOptions,
	call: Call,
	lockWaitMs: number | undefined,
): Promise<Success<R> | Failure> {
	const { driver, policy } = host
	const { clock, wakeUps } = policy.scheduler
	const told = (error: unknown) => call.classify(error, 'statement')
	const isRerun = (error: unknown) => told(error).retryable
	const spentBefore = spentSoFar()
	const state: AttemptState<C> = {
		connection,
		driver,
		abortedBy: undefined,
		savepoints: 0,
		begun: undefined,
		isRerun,
		cutShortBy: undefined,
	}
	const limit =
		host.attemptTimeoutMs === undefined
			? undefined
			: wakeUps.at(clock.now() + host.attemptTimeoutMs, () => driver.cut(connection, call.cutOff()))
	const tx = host.scope(state)
	const loan = new Loan(driver, connection)
	try {
		let begun: Begun
		try {
			const opening = driver.begin(connection, options, lockWaitMs)
			begun = opening instanceof Promise ? await opening : opening
			state.begun = begun
		} catch (error) {
			// Nothing can have been applied yet, whatever became of the BEGIN.
			return fail(loan, { error, fault: { ...told(error), outcome: 'not_sent' }, phase: 'statement' })
		}
		const failed = (failure: Failure): Failure => {
			if (begun.committedBy !== undefined) return partlyCommitted(failure, begun.committedBy, options.idempotent === true)
			const error = state.cutShortBy
			if (error === undefined || failure.fault.outcome !== 'rolled_back') return failure
			return { error, fault: { ...told(error), outcome: 'rolled_back' }, phase: failure.phase, cutShort: true }
		}
		let value: R
		try {
			value = await runInside(host, tx, () => callAsync(fn, tx))
			tx.assertNoSavepoint()
			call.throwIfAborted()
		} catch (error) {
			tx.end('its function has failed')
			const { status, undone } = await rollBack(state, loan, told)
			const spent = wasSpentSince(spentBefore, error, state.reruns)
			return failed(judge({ thrown: error, abortedBy: state.abortedBy, spent, status, undone }, told))
		}
		tx.end('its function has returned')
		const asked = driver.status(connection)
		const status = typeof asked === 'string' ? asked : await asked
		if (status === 'dead') state.abortedBy ??= await errorOfLostLink(driver, connection)
		// A savepoint may have healed it: what the function then went on to do, it did for an error that nobody else would have met.
		if (status === 'failed' || status === 'dead' || (status === 'open' && state.cutShortBy !== undefined)) {
			await rollBack(state, loan, told)
			return failed(swallowed(state.abortedBy, told))
		}
		if (status === 'none') {
			loan.giveBack()
			return endedByHand(told)
		}
		let answer: 'committed' | 'rolled_back'
		try {
			answer = await driver.commit(connection)
		} catch (error) {
			wakeUps.cancel(limit)
			if (begun.isLockWait?.(error) === true) state.cutShortBy = error
			const failure = fail(loan, { error, fault: call.classify(error, 'commit'), phase: 'commit' })
			const outcome = await afterCommitFailed(host, failure, begun.mark, call, options, { value, callbacks: tx.callbacks })
			return 'fault' in outcome ? failed(outcome) : outcome
		}
		loan.giveBack()
		return answer === 'rolled_back' ? failed(swallowed(state.abortedBy, told)) : { value, callbacks: tx.callbacks }
	} catch (error) {
		// A mistake in the driver, for every error of the database has been dealt with. What state it left the connection in nobody knows.
		loan.giveBack(error ?? new Error('The driver failed'))
		throw error
	} finally {
		wakeUps.cancel(limit)
	}
}

/** The commit's answer is an error. Where it proves nothing, the server is asked; an attempt that was applied keeps its value. */
async function afterCommitFailed<C extends object, T extends TransactionScope<C, T>, S>(
	host: TransactionHost<C, T>,
	failure: Failure,
	mark: CommitMark | undefined,
	call: Call,
	options: TransactionOptions,
	success: S,
): Promise<S | Failure> {
	if (failure.fault.outcome !== 'unknown') return failure
	// Work that may run twice need not be asked about where nothing was noted to ask by.
	if (mark === undefined && (options.idempotent === true || options.readOnly === true)) return failure
	const resolution = await resolveCommit(host, mark, call, host.policy.counters)
	if (resolution.state === 'applied') return success
	if (resolution.state === 'not applied') return { ...failure, fault: { ...failure.fault, outcome: 'rolled_back' } }
	return { ...failure, doubt: { xid: mark?.xid, token: mark?.token, detail: resolution.why } }
}

/** Ends an attempt whose connection may be broken; the pool keeps it only if the fault says that it is healthy. */
function fail<C extends object>(loan: Loan<C>, failure: Failure): Failure {
	const { error, fault } = failure
	loan.giveBack(isBroken(fault) || fault.outcome === 'unknown' ? error : undefined)
	return failure
}

/** Undoes what there is to undo and returns the connection. Tells how the transaction stood before. */
async function rollBack<C extends object>(
	{ driver, connection, abortedBy }: AttemptState<C>,
	loan: Loan<C>,
	classify: (error: unknown) => Fault,
): Promise<{ status: TransactionStatus; undone: boolean }> {
	const status = await driver.status(connection)
	if (status === 'dead') {
		loan.giveBack(abortedBy ?? new Error('The connection was lost'))
		return { status, undone: true }
	}
	try {
		if (status !== 'none') await driver.rollback(connection)
		// The link is well, but a session whose plans no longer fit would fail in the same way again.
		loan.giveBack(abortedBy !== undefined && isBroken(classify(abortedBy)) ? abortedBy : undefined)
		return { status, undone: true }
	} catch (error) {
		loan.giveBack(error)
		return { status, undone: false }
	}
}

const isBroken = ({ scope }: Fault): boolean => scope === 'connection' || scope === 'endpoint'

/** The link broke between two statements, so none of them has the error: the driver's own is what the next one would get. */
function errorOfLostLink<C extends object>(driver: TransactionDriver<C>, connection: C): Promise<unknown> {
	return driver.execute(connection, 'ROLLBACK').then(
		() => undefined,
		(error: unknown) => error,
	)
}

async function tellCommitted(callbacks: ReadonlyArray<() => unknown>): Promise<void> {
	for (const callback of callbacks) {
		try {
			await callback()
		} catch (error) {
			// The commit stands; a rejected transaction() would say the opposite.
			const detail = error instanceof Error ? (error.stack ?? error.message) : String(error)
			process.emitWarning('An onCommit callback failed. Its transaction is committed.', { type: 'HoldfastWarning', detail })
		}
	}
}
