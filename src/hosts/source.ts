/** How does a pool open a connection where it matters what the server is? Its source, with a choice of the server in front of it. */
import type { ConnectionSource, OpenAt, ServerRole } from '../contract.ts'
import { HoldfastError } from '../errors.ts'
import { ForwardingSource } from '../forwarding-source.ts'
import type { Endpoint } from '../outage/endpoint.ts'
import type { Scheduler } from '../outage/scheduler.ts'
import { noHostError } from './errors.ts'
import { addressOf, type Host } from './host.ts'
import { HostList, type HostReport } from './list.ts'
import type { Wanted } from './role.ts'
import { type Region, Tour } from './tour.ts'

/** The hosts of one pool, and what it wants of them. */
export interface HostSearch {
	readonly hosts: readonly Host[]
	readonly wanted: Wanted
}

type Done<C> = (error: unknown, connection: C | undefined) => void

/** The source of a pool, with that choice. Undefined where the driver leaves no choice. */
export function placedSource<C extends object>(
	source: ConnectionSource<C>,
	search: HostSearch | undefined,
	endpoint: Endpoint,
	scheduler: Scheduler,
): PlacedSource<C> | undefined {
	const openAt = source.openAt?.bind(source) as OpenAt<C> | undefined
	if (openAt === undefined) return undefined
	return search === undefined ? new WritableSource(source, openAt, endpoint) : new HostSource(source, openAt, search, endpoint, scheduler)
}

/** The source that a pool asks for connections instead of its own. */
export abstract class PlacedSource<C extends object> extends ForwardingSource<C> {
	/** What is known of the hosts; undefined where there is one address. */
	report(): HostReport[] | undefined {
		return undefined
	}

	/** The connection was lost, whoever held it. */
	lost(_connection: C): void {}

	/** The pool has ended. */
	end(): void {}
}

/** One address. Once its server has refused writes, a connection is only good if the server behind it takes them again. */
class WritableSource<C extends object> extends PlacedSource<C> {
	readonly #openAt: OpenAt<C>
	readonly #endpoint: Endpoint

	constructor(source: ConnectionSource<C>, openAt: OpenAt<C>, endpoint: Endpoint) {
		super(source)
		this.#openAt = openAt
		this.#endpoint = endpoint
	}

	override open(done: Done<C>): () => void {
		const { lastError, lastFault, address } = this.#endpoint
		if (lastError === undefined || lastFault?.kind !== 'read_only') return this.source.open(done)
		let refusedAs: ServerRole | undefined
		const suits = (role: ServerRole): boolean => {
			refusedAs = role === 'primary' ? undefined : role
			return refusedAs === undefined
		}
		return this.#openAt(undefined, suits, (error, connection) => {
			done(refusedAs === undefined ? error : noHostError('primary', [{ address, role: refusedAs }], refusal(lastError)), connection)
		})
	}
}

/** The driver's error: the last look has left one that has it as its cause, and a chain would grow with every look. */
const refusal = (error: unknown): unknown => (HoldfastError.is(error) && error.code === 'HOLDFAST_NO_HOST' ? error.cause : error)

/** Several hosts. */
class HostSource<C extends object> extends PlacedSource<C> {
	readonly #region: Region<C>
	readonly #members: ReadonlyMap<string, Endpoint>
	readonly #member = { capacity: 0, open: () => false }
	readonly #met = new WeakMap<C, { readonly at: Endpoint; readonly generation: number }>()

	constructor(source: ConnectionSource<C>, openAt: OpenAt<C>, { hosts, wanted }: HostSearch, endpoint: Endpoint, scheduler: Scheduler) {
		super(source)
		endpoint.hasHosts = true
		const met = (connection: C, at: Endpoint) => this.#met.set(connection, { at, generation: at.generation })
		// For as long as somebody has them in a list their state is kept.
		const members = new Map(hosts.map((host) => [addressOf(host), scheduler.endpoint(addressOf(host))]))
		this.#members = members
		for (const host of members.values()) host.join(this.#member)
		const at = (host: Host) => members.get(addressOf(host)) as Endpoint
		this.#region = { scheduler, endpoint, list: HostList.of(endpoint), hosts, at, wanted, openAt, met }
	}

	override open(done: Done<C>): () => void {
		const tour = new Tour(this.#region, done)
		tour.start()
		return () => tour.giveUp()
	}

	override report(): HostReport[] {
		return this.#region.list.report(this.#members.values())
	}

	/** Its host is asked by one at a time until it has answered. */
	override lost(connection: C): void {
		const met = this.#met.get(connection)
		if (met === undefined) return
		this.#met.delete(connection)
		met.at.lost(met.generation)
	}

	override end(): void {
		const { scheduler } = this.#region
		for (const host of this.#members.values()) {
			host.leave(this.#member)
			scheduler.release(host)
		}
	}
}
