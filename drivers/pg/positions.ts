/** How far must a replica have come? Positions in the log of the primary, asked when they are needed, and remembered for a moment. */
import type { PgCore } from './core.ts'
import { CallbackStatement } from './query.ts'

/** A moment, and what the primary had written by then at the latest. */
export interface Position {
	/** By the scheduler's clock, before the primary was asked. */
	readonly atMs: number
	readonly lsn: bigint
	/** The history in which that is a place. */
	readonly timeline: string
}

// As many as tell apart a replica that keeps up from one that does not, where positions are asked for twice in each `maxLagMs`.
const kept = 8

export class Positions {
	readonly #core: () => PgCore
	readonly #known: Position[] = []
	#generation = -1
	#asking: Promise<Position> | undefined
	#next: Promise<Position> | undefined

	/** `core` gives the connections to the primary. */
	constructor(core: () => PgCore) {
		this.#core = core
	}

	/** What the primary had written before this was called. Those who ask while it is being asked share the next answer. */
	fresh(deadlineMs: number): Promise<Position> {
		this.#next ??= (this.#asking ?? Promise.resolve()).then(
			() => this.#ask(deadlineMs),
			() => this.#ask(deadlineMs),
		)
		return this.#next
	}

	/** One that is not older than that. */
	async within(ageMs: number, deadlineMs: number): Promise<Position> {
		const last = this.#current().at(-1)
		const { clock } = this.#core().policy.scheduler
		return last !== undefined && clock.now() - last.atMs <= ageMs ? last : this.fresh(deadlineMs)
	}

	/** Whether one that was at that place of that history had at most so old a state. */
	provesLag(replayed: bigint, timeline: string, maxLagMs: number): boolean {
		const { clock } = this.#core().policy.scheduler
		const sinceMs = clock.now() - maxLagMs
		return this.#current().some((known) => known.atMs >= sinceMs && known.timeline === timeline && known.lsn <= replayed)
	}

	/** Positions of a former primary mean nothing in the log of the next. */
	#current(): readonly Position[] {
		const { generation } = this.#core().policy.endpoint
		if (generation !== this.#generation) this.#known.length = 0
		this.#generation = generation
		return this.#known
	}

	#ask(deadlineMs: number): Promise<Position> {
		const core = this.#core()
		const atMs = core.policy.scheduler.clock.now()
		const asking = new Promise<Position>((resolve, reject) => {
			const text = 'SELECT pg_current_wal_insert_lsn()::text AS lsn, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline'
			new CallbackStatement(core, { text, deadlineMs }, undefined, (error, result) => {
				if (error !== null && error !== undefined) return reject(error)
				const { rows } = result as { rows: [{ lsn: string; timeline: string }] }
				const position = { atMs, lsn: lsnOf(rows[0].lsn), timeline: rows[0].timeline }
				this.#current()
				this.#known.push(position)
				if (this.#known.length > kept) this.#known.shift()
				resolve(position)
			}).run()
		}).finally(() => {
			if (this.#asking === asking) this.#asking = undefined
		})
		// Whoever waits hears of it; where nobody does any more it must not end the process.
		asking.catch(() => {})
		this.#asking = asking
		this.#next = undefined
		return asking
	}
}

/** A place in the log as PostgreSQL writes it: two numbers of 32 bits. */
export function lsnOf(text: string): bigint {
	const [high = '0', low = '0'] = text.split('/')
	return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`)
}
