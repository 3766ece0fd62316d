/** How is an endpoint's state told to people? The errors that end a wait for a connection, or refuse to begin one. */
import { DeadlineError, OverloadError } from '../errors.ts'
import type { FaultKind } from '../fault.ts'
import type { Endpoint } from './endpoint.ts'

const words: { readonly [K in FaultKind]?: string } = {
	connection_refused: 'it is down (it refuses connections)',
	connection_lost: 'it is down (it closes connections before they are ready)',
	connect_timeout: 'it does not answer (connection attempts time out)',
	starting_up: 'it is starting up',
	shutting_down: 'it is shutting down',
	too_many_connections: 'it is full (too many connections)',
	read_only: 'it takes no writes (it is a replica, or was set read-only)',
	dns: 'its name cannot be resolved',
}

/** The deadline has passed, or the wait could not end before it. */
export function tooLateError(endpoint: Endpoint, capacity: number): DeadlineError {
	const { address, lastError, lastFault } = endpoint
	const text = `The deadline passed while the call waited for a connection to ${address}: ${describeEndpoint(endpoint, capacity)}. Nothing was sent.`
	return new DeadlineError(text, { cause: lastError, fault: lastError === undefined ? undefined : lastFault })
}

/** As many callers wait as may. */
export function overloadError(endpoint: Endpoint, capacity: number, waiting: number): OverloadError {
	const text = `${waiting} callers already wait for ${endpoint.address} (maxWaiting): ${describeEndpoint(endpoint, capacity)}. Nothing was sent.`
	return new OverloadError(text, { cause: endpoint.lastError })
}

/** It could not be served before its deadline, as the line gets on. */
export function hopelessError(endpoint: Endpoint, ahead: number, perSecond: number): OverloadError {
	const pace = perSecond < 10 ? perSecond.toFixed(1) : String(Math.round(perSecond))
	const text = `${ahead} callers wait for a connection to ${endpoint.address} before this one, and ${pace} a second are served: its deadline would pass first. Nothing was sent.`
	return new OverloadError(text, { cause: endpoint.lastError })
}

/** What keeps callers of this endpoint waiting. */
function describeEndpoint(endpoint: Endpoint, capacity: number): string {
	if (endpoint.state === 'up') return `the endpoint is up, but all ${capacity} connections of the pool are in use`
	const { lastFault } = endpoint
	if (endpoint.state === 'down' && lastFault !== undefined) return words[lastFault.kind] ?? `it is down (${lastFault.kind})`
	return endpoint.state === 'recovering'
		? 'it is recovering, and connections are being opened at a growing rate'
		: 'it has not answered yet'
}
