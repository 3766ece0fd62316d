/** What becomes of a named statement whose plan no longer fits, or whose name the server does not know as pg does? It is prepared anew. */
import { classify, type Fault, type Phase, type PoolOptions } from '../../src/driver.ts'
import type { PgClient, Submittable } from './shape.ts'
import { sqlstateOf } from './witness.ts'

// feature_not_supported, which is "cached plan must not change result type" where it comes from this function of PostgreSQL's plancache.c;
// invalid_sql_statement_name: the name is unknown; duplicate_prepared_statement: the name is taken.
const outdated = '0A000'
const outdatedBy = 'RevalidateCachedQuery'
const unknown = '26000'
const taken = '42P05'

// An empty text is pg's way to run what it has prepared before; the others speak of statements that the user has prepared.
const runsAnother = /^$|^\s*(?:execute|deallocate|prepare|create|explain)\b/i

/** Where pg notes what it has prepared. */
interface Notes {
	readonly parsedStatements?: Record<string, string>
	prependListener(event: 'errorMessage', listener: (error: object) => void): unknown
	prependOnceListener(event: 'readyForQuery', listener: () => void): unknown
	close?(message: { type: 'S'; name: string }): void
	sync(): void
}

const plansOf = new WeakMap<PgClient, Plans>()

/** The plans that the server keeps for the connections of one pool. */
export class Plans {
	readonly #rows: PoolOptions['classify']
	/** The errors about plans, and whether the statement can be prepared anew: one that pg has named, and whose text is known. */
	readonly #refused = new WeakMap<object, boolean>()
	/** A name was taken that nobody here has given: behind a pooler names mean nothing. */
	#nameless = false

	constructor(rows: PoolOptions['classify']) {
		this.#rows = rows
	}

	/** Whether statements are sent without their names. */
	get nameless(): boolean {
		return this.#nameless
	}

	/** Hears of plans that no longer fit, for the client's whole life, and forgets them: whoever runs the statement next prepares it anew. */
	watch(client: PgClient): void {
		const notes = client.connection as unknown as Notes | undefined
		if (notes === undefined || plansOf.has(client)) return
		plansOf.set(client, this)
		// Before pg's own listener, which forgets which query has failed and tells its caller.
		notes.prependListener('errorMessage', (error) => {
			if (!isAboutPlans(error)) return
			this.#forget(client, notes, error, client._getActiveQuery === undefined ? client.activeQuery : client._getActiveQuery())
		})
	}

	/** What an error about a plan means; undefined for any other, and where a row of the user says otherwise. */
	faultOf(error: unknown, phase: Phase): Fault | undefined {
		if (typeof error !== 'object' || error === null) return undefined
		const renewable = this.#refused.get(error)
		if (renewable === undefined) return undefined
		const fault = classify(error, { phase, ...(this.#rows && { rows: this.#rows }) })
		if (fault.kind !== 'stale_plan') return undefined
		// The connection is well. A name that the user's own PREPARE or EXECUTE speaks of is the user's business.
		return renewable ? { ...fault, scope: 'statement' } : { ...fault, scope: 'statement', kind: 'permanent', retryable: false }
	}

	#forget(client: PgClient, notes: Notes, error: object, query: Submittable | null | undefined): void {
		const name = query?.name
		const { where } = error as { where?: unknown }
		// An error with a context comes from inside of what was run.
		const renewable = Boolean(name) && typeof query?.text === 'string' && !runsAnother.test(query.text) && where === undefined
		this.#refused.set(error, renewable)
		if (!renewable || name === undefined) return
		const code = sqlstateOf(error)
		if (code === taken) this.#nameless = true
		else if (code === unknown) delete notes.parsedStatements?.[name]
		// Pipeline mode takes no query objects but its own, and a failed transaction no DEALLOCATE.
		else if (client.pipeline === true) this.#nameless = true
		// Ahead of whatever is sent next, and only then: pg warns of whoever adds to a line that has begun to form.
		else notes.prependOnceListener('readyForQuery', () => lineOf(client).unshift(new Forgetting(name)))
	}
}

/** The config as it is to be sent: without its name where names mean nothing. */
export function withoutLostName(client: PgClient, config: unknown): unknown {
	if (plansOf.get(client)?.nameless !== true || typeof config !== 'object' || config === null) return config
	const { name, text } = config as { name?: unknown; text?: unknown }
	return name === undefined || typeof text !== 'string' ? config : Object.create(config, { name: { value: undefined, writable: true } })
}

// The name before pg 8.17; after that it is a getter that warns.
const lineOf = (client: PgClient): Submittable[] => (client._queryQueue ?? client.queryQueue ?? []) as Submittable[]

function isAboutPlans(error: object): boolean {
	const code = sqlstateOf(error)
	return code === unknown || code === taken || (code === outdated && (error as { routine?: unknown }).routine === outdatedBy)
}

/** A query object in the sense of pg that has the server forget a statement: in a failed transaction too, where DEALLOCATE is refused. */
class Forgetting {
	readonly #name: string

	constructor(name: string) {
		this.#name = name
	}

	submit(connection: Notes): null {
		delete connection.parsedStatements?.[this.#name]
		connection.close?.({ type: 'S', name: this.#name })
		connection.sync()
		return null
	}

	handleError(): void {}
	handleReadyForQuery(): void {}
}
