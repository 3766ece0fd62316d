/** What can a database be found to be, in words and as an exit code? */
import type { FaultKind } from '../src/index.ts'

/** One finding. */
export interface StateRow {
	/** The exit code of `doctor`, and of `wait` where waiting does not mend it. */
	readonly code: number
	/** Ends the sentence "the database at host:port …". */
	readonly words: string
	/** What to do about it. */
	readonly advice: string
}

/** Every state, by the name that `--json` uses. */
export const states = {
	up: { code: 0, words: 'answers and takes writes', advice: '' },
	down: { code: 10, words: 'is down: nothing listens there', advice: 'Start the server, or check host and port.' },
	silent: {
		code: 11,
		words: 'does not answer: connections are neither accepted nor refused, or what is sent goes unanswered',
		advice: 'Check firewalls, security groups and routes, and whether the server process is frozen or overloaded.',
	},
	unresolved: {
		code: 12,
		words: 'cannot be found: its name does not resolve',
		advice: 'Check the spelling of the host and the name server.',
	},
	starting: { code: 13, words: 'is starting up', advice: 'Wait: `holdfast wait` does.' },
	stopping: { code: 14, words: 'is shutting down', advice: 'Wait until it is back: `holdfast wait` does.' },
	full: {
		code: 15,
		words: 'is full: it has no room for one more connection',
		advice: 'Use smaller pools, put a pooler in front, or raise max_connections.',
	},
	tls: { code: 16, words: 'is there, but TLS does not work out', advice: 'Check the TLS settings of the URL and the certificate.' },
	credentials: { code: 17, words: 'refuses the user or the password', advice: 'Check user and password.' },
	'unknown database': { code: 18, words: 'has no such database', advice: 'Check the name, or create the database.' },
	'read-only': {
		code: 19,
		words: 'answers, but takes no writes',
		advice: 'It is a standby or a replica, or was set read-only: connect to the primary to write.',
	},
	lost: {
		code: 20,
		words: 'closes connections before they are ready',
		advice: 'Look at the server and at what stands in front of it: a proxy without a server behind it, or another protocol on this port.',
	},
	refused: { code: 21, words: 'does not let us in', advice: 'The message says why.' },
} as const satisfies Record<string, StateRow>

export type State = keyof typeof states

/** The state that a kind of fault while connecting stands for; kinds that are not here are told apart by code. */
export const stateOfKind: { readonly [K in FaultKind]?: State } = {
	connection_refused: 'down',
	connection_lost: 'lost',
	connect_timeout: 'silent',
	attempt_timeout: 'silent',
	statement_timeout: 'silent',
	pool_timeout: 'silent',
	starting_up: 'starting',
	shutting_down: 'stopping',
	too_many_connections: 'full',
	dns: 'unresolved',
	read_only: 'read-only',
}
