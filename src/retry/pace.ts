/** How long does a wrapped driver wait before it runs work again, where the user gave no `wait`? One row for each kind of fault. */
import type { FaultKind } from '../fault.ts'
import type { Attempt } from './attempt.ts'

interface Pace {
	/** Whether the first rerun waits at all. */
	readonly firstAtOnce: boolean
	/** The bound of the first wait, doubled for each further attempt, in milliseconds. */
	readonly baseMs: number
	readonly maxMs: number
	readonly why: string
}

const outage: Pace = {
	firstAtOnce: true,
	baseMs: 25,
	maxMs: 1_000,
	why: 'the gate holds callers back while the endpoint is down; the wait is for work that loses its connection again and again',
}
const conflict: Pace = {
	firstAtOnce: false,
	baseMs: 5,
	maxMs: 500,
	why: 'milliseconds: transactions of this process that fight take turns; full jitter is for those that fight with other processes',
}
const patience: Pace = {
	firstAtOnce: false,
	baseMs: 50,
	maxMs: 2_000,
	why: 'somebody holds a lock or a resource for longer than a conflict takes',
}

const overload: Pace = {
	firstAtOnce: false,
	baseMs: 250,
	maxMs: 5_000,
	why: 'a server that is full gets emptier only if it is asked less: five times as slow as the others, as the AWS SDKs are after throttling',
}

const paces: { readonly [K in FaultKind]?: Pace } = {
	connection_refused: outage,
	connection_lost: outage,
	connect_timeout: outage,
	starting_up: outage,
	shutting_down: outage,
	dns: outage,
	session_timeout: outage,
	attempt_timeout: outage,
	read_only: { ...outage, why: 'the gate holds callers back until a server is found that takes writes' },
	stale_plan: { ...outage, why: 'a fresh connection has no stale plan' },
	serialization_failure: conflict,
	deadlock: conflict,
	too_many_connections: overload,
}

/** The default wait of the wrapped drivers: by the kind of fault, full jitter between 0 and the bound. */
export function paceOf(attempt: Attempt): number {
	const pace = (attempt.fault && paces[attempt.fault.kind]) ?? patience
	if (pace.firstAtOnce && attempt.number === 1) return 0
	const doublings = attempt.number - (pace.firstAtOnce ? 2 : 1)
	return attempt.random() * Math.min(pace.baseMs * 2 ** Math.min(doublings, 30), pace.maxMs)
}
