/** Which servers does a name stand for, now? It is looked up for each connection attempt; nothing is kept. */
import dns from 'node:dns'
import { isIP } from 'node:net'

/** Tells the addresses of a name, perhaps before this returns; of an address or a path there is nothing to tell. */
export function resolveHost(host: string, done: (error: unknown, addresses: readonly string[]) => void): void {
	if (host.startsWith('/') || isIP(host) !== 0) return done(undefined, [])
	// Taken from the module at each call, as Node.js itself does it, so that an application that replaces it is heard.
	dns.lookup(host, { all: true }, (error, found) => {
		if (error !== null && error !== undefined) return done(error, [])
		done(undefined, [...new Set(found.map(({ address }) => address))])
	})
}
