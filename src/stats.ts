/** What has happened on this pool so far? The counts behind `pool.holdfast.stats()`. */
import type { FaultKind } from './fault.ts'
import type { HostReport } from './hosts/list.ts'
import type { EndpointReport } from './outage/endpoint-report.ts'

/** Counts since the pool was wrapped. */
export interface Stats {
	/** Statements and transactions that were started, reruns included. */
	readonly attempts: number
	/** Reruns, by the kind of fault that caused them. */
	readonly retries: { readonly [K in FaultKind]?: number }
	/** Waits between two attempts of a call. */
	readonly waits: number
	/** Callers that wait for a connection now. */
	readonly waiting: number
	/** Calls on the endpoint that got their error because the retry budget was spent, whichever pool they came from. */
	readonly budgetSpent: number
	/** Times the endpoint went down. */
	readonly outages: number
	/** Times the outcome of work was unknown and the work could not simply be run again. */
	readonly inDoubt: number
	/** What became of them. */
	readonly resolved: { readonly applied: number; readonly notApplied: number; readonly unresolved: number }
	/** Connections closed because they were stale, dirty or dead when they came back or were to be handed out. */
	readonly discarded: number
	/** Connections closed because no answer could come over them any more, which nobody had said. */
	readonly halfOpen: number
	readonly endpoint: EndpointReport
	/** The servers of `hosts`; undefined where the pool has one address. */
	readonly hosts?: readonly HostReport[] | undefined
}

export class Counters {
	attempts = 0
	waits = 0
	inDoubt = 0
	applied = 0
	notApplied = 0
	unresolved = 0
	discarded = 0
	halfOpen = 0
	readonly #retries: { [K in FaultKind]?: number } = {}

	retried(kind: FaultKind): void {
		this.#retries[kind] = (this.#retries[kind] ?? 0) + 1
	}

	report(waiting: number, budgetSpent: number, endpoint: EndpointReport, hosts: readonly HostReport[] | undefined): Stats {
		const { attempts, waits, inDoubt, applied, notApplied, unresolved, discarded } = this
		return {
			attempts,
			retries: { ...this.#retries },
			waits,
			waiting,
			budgetSpent,
			outages: endpoint.outages,
			inDoubt,
			resolved: { applied, notApplied, unresolved },
			discarded,
			halfOpen: this.halfOpen,
			endpoint,
			hosts,
		}
	}
}
