/** Which servers may a pool talk to? The `hosts` option: what is accepted, and what comes of it. */
import { isIP } from 'node:net'
import { show } from '../options.ts'

/** One server: `'host'`, `'host:port'`, `'[::1]:port'`, or an object. Without a port that of the pool counts. */
export type HostOption = string | { readonly host: string; readonly port?: number | undefined }

/** A server by name and port. */
export interface Host {
	readonly host: string
	readonly port: number
}

const rule = "'host:port' or { host, port }"
const known = ['host', 'port']
// A connection string in the wrong place must be refused, not taken for a name: it may hold a password.
const nameRule = 'the name or address of a server'
const isName = (value: unknown): value is string => typeof value === 'string' && (value.startsWith('/') || /^[^\s@=/,?#]+$/.test(value))
const isPort = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535

/** Checks the option as given by a user. Throws TypeError or RangeError. */
export function checkHosts(hosts: unknown): asserts hosts is readonly HostOption[] {
	if (!Array.isArray(hosts) || hosts.length === 0) {
		throw new TypeError(`hosts must be an array of one or more of ${rule}, got ${show(hosts)}`)
	}
	const seen = new Map<string, number>()
	for (const [index, given] of hosts.entries()) {
		const { host, port } = fieldsOf(given, `hosts[${index}]`)
		const address = addressOf({ host: host.toLowerCase(), port: port ?? 0 })
		const before = seen.get(address)
		if (before !== undefined)
			throw new RangeError(`hosts must name each server once, but hosts[${before}] and hosts[${index}] are the same`)
		seen.set(address, index)
	}
}

/** The servers of an option that was checked. Throws a RangeError where two of them come to be the same by the pool's own port. */
export function hostsOf(option: readonly HostOption[], defaultPort: number): readonly Host[] {
	const hosts = option.map((given, index) => {
		const { host, port } = fieldsOf(given, `hosts[${index}]`)
		return { host, port: port ?? defaultPort }
	})
	checkHosts(hosts)
	return hosts
}

/** How a server is told to people, and its key. */
export function addressOf({ host, port }: Host): string {
	if (host.startsWith('/')) return `${host}/.s.PGSQL.${port}`
	return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}

function fieldsOf(given: unknown, name: string): { host: string; port: number | undefined } {
	if (typeof given === 'string') return fromText(given, name)
	if (typeof given !== 'object' || given === null || Array.isArray(given)) {
		throw new TypeError(`${name} must be ${rule}, got ${show(given)}`)
	}
	const unknown = Object.keys(given).find((key) => !known.includes(key))
	if (unknown !== undefined) throw new TypeError(`${name}: unknown option ${unknown}; known are ${known.join(', ')}`)
	const { host, port } = given as { host?: unknown; port?: unknown }
	if (!isName(host)) throw new TypeError(`${name}.host must be ${nameRule}, got ${show(host)}`)
	return { host, port: portOf(port, `${name}.port`) }
}

function fromText(given: string, name: string): { host: string; port: number | undefined } {
	// A colon within an address of IPv6 is no separator unless that stands in brackets.
	const bracketed = /^\[([^\]]+)\](?::(.*))?$/.exec(given)
	const plain = isIP(given) === 6 || given.startsWith('/') ? undefined : /^([^:]*)(?::(.*))?$/.exec(given)
	const [, host = given, port] = bracketed ?? plain ?? []
	if (!isName(host) || (bracketed !== null && isIP(host) !== 6)) throw new TypeError(`${name} must be ${rule}, got ${show(given)}`)
	if (port === undefined) return { host, port: undefined }
	if (!/^\d{1,5}$/.test(port)) throw new TypeError(`${name} must be ${rule}, got ${show(given)}`)
	return { host, port: portOf(Number(port), `the port of ${name}`) }
}

function portOf(port: unknown, name: string): number | undefined {
	if (port === undefined || isPort(port)) return port
	const Kind = typeof port === 'number' ? RangeError : TypeError
	throw new Kind(`${name} must be a whole number from 1 to 65535, got ${show(port)}`)
}
