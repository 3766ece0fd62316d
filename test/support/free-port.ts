/** Which TCP port is free, and stays free while its server is down? */
import { createServer } from 'node:net'

// Below the ranges that Linux (32768-60999) and others (49152-65535) take for outgoing connections: one of those could
// otherwise sit on the port of a server that is down for a moment.
const lowest = 20_000
const highest = 32_000

/** A port of 127.0.0.1 that nobody listens on right now. Throws when a hundred draws found none. */
export async function freePort(): Promise<number> {
	for (let draw = 0; draw < 100; draw++) {
		const port = lowest + Math.floor(Math.random() * (highest - lowest))
		if (await canListen(port)) return port
	}
	throw new Error(`no free port found between ${lowest} and ${highest}`)
}

function canListen(port: number): Promise<boolean> {
	return new Promise((resolve) => {
		const server = createServer()
		server.once('error', () => resolve(false))
		server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
	})
}
