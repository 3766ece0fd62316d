/** What can be told of an endpoint? Its state, and its part of `stats()`. */
import type { Fault } from '../fault.ts'

/** `suspect`: not reached yet, or a connection was lost; the next connection attempt decides. */
export type EndpointState = 'suspect' | 'up' | 'down' | 'recovering'

/** What `stats()` tells of an endpoint. */
export interface EndpointReport {
	readonly address: string
	readonly state: EndpointState
	/** Outages seen: times it went down. */
	readonly outages: number
	/** Connection attempts made through the gate. */
	readonly connectAttempts: number
	/** The kind of the last fault that hit the endpoint; undefined while none did. */
	readonly lastFault: Fault | undefined
}
