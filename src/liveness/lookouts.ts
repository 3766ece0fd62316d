/** Who watches over the links of a pool? One lookout for each server that it has connections to. */
import { addressOf } from '../hosts/host.ts'
import type { Links } from './links.ts'
import { Lookout, type Watched } from './lookout.ts'

/** None where there is nothing to watch, or where it is not wanted. */
export function lookoutsOf<C extends object>(
	links: Links<C> | undefined,
	pool: Watched,
	halfOpenAfterMs: number | false,
): readonly Lookout<C>[] {
	if (links === undefined || halfOpenAfterMs === false) return []
	if (pool.hosts === undefined) return [new Lookout(links, pool, halfOpenAfterMs)]
	return pool.hosts.map((host) => {
		const address = addressOf(host)
		return new Lookout(linksTo(links, address), { ...pool, address }, halfOpenAfterMs)
	})
}

const linksTo = <C extends object>(links: Links<C>, address: string): Links<C> => ({
	connections: () => [...links.connections()].filter((connection) => addressOf(links.hostOf(connection)) === address),
	hostOf: (connection) => links.hostOf(connection),
	awaited: (connection) => links.awaited(connection),
	bytesRead: (connection) => links.bytesRead(connection),
	keepAlive: (connection, on) => links.keepAlive(connection, on),
	look: (connections, on) => links.look(connections, on),
	cut: (connection, error) => links.cut(connection, error),
})
