/** How is an endpoint's state told to people? The sentence part in errors that end a wait. */
import type { FaultKind } from '../fault.ts'
import type { Endpoint } from './endpoint.ts'

const words: { readonly [K in FaultKind]?: string } = {
	connection_refused: 'it is down (it refuses connections)',
	connection_lost: 'it is down (it closes connections before they are ready)',
	connect_timeout: 'it does not answer (connection attempts time out)',
	starting_up: 'it is starting up',
	shutting_down: 'it is shutting down',
	too_many_connections: 'it is full (too many connections)',
	dns: 'its name cannot be resolved',
}

/** What keeps callers of this endpoint waiting. */
export function describeEndpoint(endpoint: Endpoint, capacity: number): string {
	if (endpoint.state === 'up') return `the endpoint is up, but all ${capacity} connections of the pool are in use`
	const { lastFault } = endpoint
	if (endpoint.state === 'down' && lastFault !== undefined) return words[lastFault.kind] ?? `it is down (${lastFault.kind})`
	return endpoint.state === 'recovering'
		? 'it is recovering, and connections are being opened at a growing rate'
		: 'it has not answered yet'
}
