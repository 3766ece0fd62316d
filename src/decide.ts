/** What may follow an attempt that failed? The rule that no write is ever applied twice. Pure. */
import type { Fault } from './fault.ts'

/** What the caller's work is, as far as running it again goes. */
export interface Repeatability {
	/** The caller's word that it may be applied twice. */
	readonly idempotent: boolean
	/** Where it conflicts with other work it takes turns. */
	readonly takesTurns?: boolean
	/** Whether it only reads. Asked only where the answer matters: it may cost a look at the text. */
	reads(): boolean
}

/** `rerun`: nothing was applied, or applying it twice does no harm. `in doubt`: neither is certain. */
export type Verdict = 'rerun' | 'in doubt'

/** Joins what is known of the work with what the work is. Nothing in a policy can widen this. */
export function mayRerun(fault: Fault, work: Repeatability): Verdict {
	if (fault.outcome !== 'unknown') return 'rerun'
	return work.idempotent || work.reads() ? 'rerun' : 'in doubt'
}
