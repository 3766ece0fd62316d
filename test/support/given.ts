/** What can be done with a server that somebody else runs and a variable of the environment names? Everything but hurting it. */

interface Account {
	readonly host: string
	readonly port: number
	readonly user: string
	readonly password?: string
	readonly database: string
}

/** The account that a URL names, such as `mysql://root:secret@127.0.0.1:3306/test`. Throws when it is no URL. */
export function accountIn(url: string, otherwise: { readonly port: number; readonly user: string; readonly database: string }): Account {
	const parsed = new URL(url)
	return {
		host: parsed.hostname,
		port: Number(parsed.port || otherwise.port),
		user: decodeURIComponent(parsed.username || otherwise.user),
		database: decodeURIComponent(parsed.pathname.slice(1) || otherwise.database),
		...(parsed.password ? { password: decodeURIComponent(parsed.password) } : {}),
	}
}

/** What a backend does that is not ours: nothing, and it says so. `instead` gets a server that may be hurt. */
export function notOurs(variable: string, instead: string) {
	const refuse = (what: string) => async (): Promise<never> => {
		throw new Error(`cannot ${what} the server that ${variable} names: it is not ours; use ${instead} for that`)
	}
	return {
		source: 'given' as const,
		start: refuse('start'),
		failure: () => undefined,
		stop: refuse('stop'),
		kill: refuse('kill'),
		pause: refuse('pause'),
		resume: refuse('resume'),
		killBackend: refuse('kill a backend of'),
		dispose: async () => {},
	}
}
