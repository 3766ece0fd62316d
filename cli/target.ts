/** Which database does a URL name? Checked before anything is opened, and refused without repeating a word of it. */
import { UsageError } from './usage-error.ts'

/** The database to talk to. */
export interface Target {
	readonly product: 'postgres' | 'mysql'
	/** As the driver takes it. */
	readonly url: string
}

const products: Readonly<Record<string, Target['product']>> = {
	postgres: 'postgres',
	postgresql: 'postgres',
	mysql: 'mysql',
	mariadb: 'mysql',
}
const schemes = 'postgres://, postgresql://, mysql:// or mariadb://'

/** The URL that was given, else that of `DATABASE_URL`. Throws a UsageError. */
export function readTarget(given: string | undefined, environment: NodeJS.ProcessEnv): Target {
	const text = (given ?? environment.DATABASE_URL)?.trim()
	if (text === undefined || text === '') throw new UsageError('no database URL: give one, or set DATABASE_URL')
	const where = given === undefined ? 'DATABASE_URL' : 'the URL'
	const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase()
	const product = products[scheme ?? '']
	// The text may be a password, or hold one.
	if (product === undefined) throw new UsageError(`${where} must begin with ${schemes}, got a text of ${text.length} characters`)
	check(where, text)
	return { product, url: product === 'mysql' ? text.replace(/^[^:]*/, 'mysql') : text }
}

function check(where: string, text: string): void {
	const advice = 'in a user or password write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25'
	let url: URL
	try {
		url = new URL(text)
		decodeURIComponent(url.username + url.password + url.hostname + url.pathname)
	} catch {
		throw new UsageError(`${where} cannot be read as a URL; ${advice}`)
	}
	// What follows the host of such a URL is most likely the rest of a password.
	if (url.hash !== '' || /@/.test(url.pathname + url.search))
		throw new UsageError(`${where} has an unencoded @ or # behind the host; ${advice}`)
	if (url.port === '0') throw new UsageError(`${where} has the port 0`)
}
