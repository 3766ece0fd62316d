/** Which faults come, in which order and how long apart? Drawn from the seed alone, whatever happens in the run. */
import type { Cut } from '../support/proxy.ts'
import type { Driver } from './database.ts'
import { Draw } from './draw.ts'

/**
 * Who is hurt. `server`: all its processes, or one backend with all others after it. `network`: links between client and server.
 * `session`: one backend, on an administrator's order. `load`: nobody; the workers get in each other's way.
 */
export type Family = 'server' | 'network' | 'session' | 'load'

interface KindRow {
	readonly kind: string
	readonly family: Family
	/** How often it is drawn within its family. */
	readonly weight: number
	/** Whether the server loses its memory and recovers. */
	readonly crash?: true
	/** The only driver whose servers can be struck so; absent where all can. */
	readonly driver?: Driver
	readonly what: string
}

export const faultKinds = [
	{ kind: 'kill', family: 'server', weight: 6, crash: true, what: 'kill -9 of all server processes; replies on their way are lost' },
	{
		kind: 'kill-backend',
		family: 'server',
		weight: 4,
		crash: true,
		driver: 'pg',
		what: 'kill -9 of one backend: the server ends all others and recovers',
	},
	{ kind: 'immediate', family: 'server', weight: 3, crash: true, driver: 'pg', what: 'immediate shutdown, recovery at the next start' },
	{ kind: 'fast', family: 'server', weight: 2, what: 'fast or orderly shutdown, and start' },
	{ kind: 'stall', family: 'server', weight: 1, what: 'all processes frozen, as by a disk that hangs' },
	{ kind: 'stall-kill', family: 'server', weight: 2, crash: true, what: 'frozen, then killed' },
	{ kind: 'commit-reply', family: 'network', weight: 10, what: 'the reply of COMMIT is lost with its link' },
	{ kind: 'commit-request', family: 'network', weight: 4, what: 'COMMIT is lost with its link before it reaches the server' },
	{ kind: 'commit-sent', family: 'network', weight: 5, what: 'the link is cut when COMMIT has left for the server' },
	{ kind: 'reply', family: 'network', weight: 8, what: 'any message of the server is lost with its link' },
	{ kind: 'request', family: 'network', weight: 4, what: 'any message of the client is lost with its link' },
	{ kind: 'request-sent', family: 'network', weight: 4, what: 'the link is cut when any message has left for the server' },
	{ kind: 'connect-cut', family: 'network', weight: 2, what: 'a reply is lost, and the next connection breaks in the middle of a message' },
	{ kind: 'commit-hole', family: 'network', weight: 0.4, what: 'the reply of COMMIT and all after it on that link vanish; the link stays' },
	{ kind: 'hole', family: 'network', weight: 0.1, what: 'everything vanishes for a moment; the links of that moment stay dead' },
	{ kind: 'reset', family: 'network', weight: 0.6, what: 'all links are reset' },
	{ kind: 'close', family: 'network', weight: 0.6, what: 'all links are closed' },
	{ kind: 'refuse', family: 'network', weight: 0.6, what: 'nothing listens for a moment, and a link is cut' },
	{ kind: 'slow', family: 'network', weight: 0.6, what: 'the link is slow for a moment' },
	{ kind: 'terminate', family: 'session', weight: 2, what: 'one session is ended by an order: pg_terminate_backend, KILL CONNECTION' },
	{ kind: 'cancel', family: 'session', weight: 1, what: 'what one session runs is ended by an order: pg_cancel_backend, KILL QUERY' },
	{ kind: 'crossing', family: 'load', weight: 1, what: 'the workers append to the same two lists, half of them in the opposite order' },
] as const satisfies readonly KindRow[]

export type FaultKind = (typeof faultKinds)[number]['kind']

/** The kinds that the driver's servers can be struck by. */
export const kindsFor = (driver: Driver): ReadonlySet<FaultKind> =>
	new Set(faultKinds.filter((row: KindRow) => row.driver === undefined || row.driver === driver).map(({ kind }) => kind))

export const isCrash = (kind: FaultKind): boolean => faultKinds.some((row: KindRow) => row.kind === kind && row.crash === true)
export const familyOf = (kind: FaultKind): Family => faultKinds.find((row) => row.kind === kind)!.family

/** When a server is struck: at once, or at a message of COMMIT. */
export type Moment = 'now' | 'commit request' | 'commit sent' | 'commit reply'

export interface Fault {
	readonly kind: FaultKind
	/** The pause before it. */
	readonly afterMs: number
	/** How long it lasts: a server is down, a link is slow. */
	readonly holdMs: number
	readonly at: Moment
	/** What the client sees of a cut. */
	readonly how: Cut
	/** Which message that fits is hit, from 1. */
	readonly nth: number
	/** Whether the replies that are on their way are lost, and whether connections are refused while the server is down. */
	readonly harsh: boolean
}

const pauses: Readonly<Record<Family, readonly [least: number, most: number]>> = {
	server: [300, 1_400],
	network: [5, 40],
	session: [100, 600],
	load: [1_000, 4_000],
}

/** The faults of one family, without end. `only` leaves out the other kinds; with none left nothing comes. */
export function* faultsOf(family: Family, seed: number, only?: ReadonlySet<FaultKind>): Generator<Fault, void> {
	const rows = faultKinds.filter((row) => row.family === family && (only === undefined || only.has(row.kind)))
	if (rows.length === 0) return
	const draw = new Draw(seed, streams[family])
	const [least, most] = pauses[family]
	for (;;) {
		yield {
			kind: draw.weighted(rows).kind,
			afterMs: draw.whole(least, most),
			holdMs: draw.whole(0, 150),
			at: draw.one<Moment>(['now', 'commit request', 'commit sent', 'commit reply']),
			how: draw.one<Cut>(['reset', 'close']),
			nth: draw.whole(1, 4),
			harsh: draw.chance(0.7),
		}
	}
}

/** A family keeps its number, or old seeds mean something else. Workers have theirs from 100 on. */
const streams: Readonly<Record<Family, number>> = { server: 1, network: 2, session: 3, load: 4 }
