/** What is known of the servers of one list? Shared by all pools of a scheduler that have the same list and want the same of it. */
import type { ServerRole } from '../contract.ts'
import type { FaultKind } from '../fault.ts'
import type { Endpoint } from '../outage/endpoint.ts'
import type { EndpointState } from '../outage/endpoint-report.ts'
import { addressOf, type Host } from './host.ts'
import type { Wanted } from './role.ts'

/** What `stats()` tells of one server of a list. */
export interface HostReport {
	readonly address: string
	/** What it said when it was last asked; undefined before that. */
	readonly role: ServerRole | undefined
	readonly state: EndpointState
	/** The kind of the last fault that hit it; undefined while none did. */
	readonly lastFault: FaultKind | undefined
}

/** The key of the endpoint that a list is: the order of the hosts is a matter of taste, not of the servers. */
export const keyOf = (hosts: readonly Host[], wanted: Wanted): string => `${hosts.map(addressOf).sort().join(',')} (${wanted})`

/** A search among the hosts. */
export interface Tourist {
	/** The search that it has waited for is over. */
	resume(): void
}

const lists = new WeakMap<Endpoint, HostList>()

/** Knowledge, and who goes round. */
export class HostList {
	/** Where what is wanted was last found. */
	#found: Host | undefined
	/** The endpoint's generation when it was found there. */
	#foundIn = -1
	/** Who is asking one host after the other. */
	touring: Tourist | undefined
	readonly #waiting = new Set<Tourist>()
	/** Where the next search for a replica begins, so that replicas share the load. */
	turn = 0
	readonly #roles = new Map<string, ServerRole>()
	readonly #endpoint: Endpoint

	constructor(endpoint: Endpoint) {
		this.#endpoint = endpoint
	}

	/** The list behind this endpoint of the scheduler. */
	static of(endpoint: Endpoint): HostList {
		let list = lists.get(endpoint)
		if (list === undefined) {
			list = new HostList(endpoint)
			lists.set(endpoint, list)
		}
		return list
	}

	/** Where it was last found, unless something has happened since that makes this old news. */
	get found(): Host | undefined {
		return this.#foundIn === this.#endpoint.generation ? this.#found : undefined
	}

	/** It was found here. Where it was found elsewhere before, connections of that time belong to a server that was replaced. */
	foundAt(host: Host): void {
		const before = this.#found
		if (before !== undefined && addressOf(before) !== addressOf(host)) {
			this.#endpoint.replaced()
			this.forget(before)
		}
		this.#found = host
		this.#foundIn = this.#endpoint.generation
	}

	/** It is told once the search that is under way is over. */
	await(tourist: Tourist): void {
		this.#waiting.add(tourist)
	}

	/** The search is over. */
	left(tourist: Tourist): void {
		this.#waiting.delete(tourist)
		if (this.touring !== tourist) return
		this.touring = undefined
		const waiting = [...this.#waiting]
		this.#waiting.clear()
		for (const other of waiting) other.resume()
	}

	heard(host: Host, role: ServerRole): void {
		this.#roles.set(addressOf(host), role)
	}

	/** What it said of itself is old news. */
	forget(host: Host): void {
		this.#roles.delete(addressOf(host))
	}

	report(hosts: Iterable<Endpoint>): HostReport[] {
		return Array.from(hosts, ({ address, state, lastFault }) => ({
			address,
			role: this.#roles.get(address),
			state,
			lastFault: lastFault?.kind,
		}))
	}
}
