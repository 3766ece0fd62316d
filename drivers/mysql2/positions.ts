/** How far has a replica to have come? To the position that the primary had at a known time: a set of GTIDs, which the replica itself can wait for. */
import { errnoOf } from './begin.ts'
import { execute } from './client.ts'
import type { Mysql2Core } from './core.ts'
import type { Mysql2Connection } from './shape.ts'

/** What a server had committed, and when it said so. */
export interface Position {
	readonly gtids: string
	/** By the clock of this process, before the question was sent. */
	readonly askedAtMs: number
	readonly dialect: Dialect
}

type Dialect = 'mysql' | 'mariadb'

const dialects: Readonly<Record<Dialect, { readonly position: string; wait(gtids: string, seconds: number): string }>> = {
	mysql: {
		position: 'SELECT @@global.gtid_executed AS gtids',
		wait: (gtids, seconds) => `SELECT WAIT_FOR_EXECUTED_GTID_SET('${gtids}', ${seconds}) AS late`,
	},
	mariadb: {
		position: 'SELECT @@global.gtid_binlog_pos AS gtids',
		wait: (gtids, seconds) => `SELECT MASTER_GTID_WAIT('${gtids}', ${seconds}) AS late`,
	},
}

// ER_UNKNOWN_SYSTEM_VARIABLE.
const unknownVariable = 1193
// What is not one cannot stand in a statement.
const isGtidSet = (text: string): boolean => /^[0-9A-Za-z:,_-]+$/.test(text)

/** The primary's positions, as one pool has asked for them. */
export class Positions {
	readonly #primary: () => Mysql2Core
	#last: Position | undefined
	#asking: Promise<Position | undefined> | undefined
	#dialect: Dialect = 'mysql'

	constructor(primary: () => Mysql2Core) {
		this.#primary = primary
	}

	/** A position that is no older; undefined where the primary keeps none. Rejects where it cannot be asked in time. */
	async within(ageMs: number, leftMs: number): Promise<Position | undefined> {
		const { clock } = this.#primary().policy.scheduler
		if (this.#last !== undefined && clock.now() - this.#last.askedAtMs <= ageMs) return this.#last
		return this.fresh(leftMs)
	}

	/** A position asked for from now on. Who wants one at the same moment, before the question is sent, shares it. */
	async fresh(leftMs: number): Promise<Position | undefined> {
		this.#asking ??= this.#ask(leftMs)
		return this.#asking
	}

	async #ask(leftMs: number): Promise<Position | undefined> {
		const primary = this.#primary()
		const { clock } = primary.policy.scheduler
		const connection = await primary.acquire(primary.call({ deadlineMs: leftMs })).finally(() => {
			// From here on the question is on its way, and an answer may be older than what is committed now.
			this.#asking = undefined
		})
		const stop = primary.limit(connection)
		try {
			const askedAtMs = clock.now()
			const gtids = (await this.#gtids(connection)).replaceAll(/\s/g, '')
			primary.settle(connection, false)
			if (!isGtidSet(gtids)) return undefined
			const position: Position = { gtids, askedAtMs, dialect: this.#dialect }
			this.#last = position
			return position
		} catch (error) {
			primary.settle(connection, true)
			throw error
		} finally {
			stop()
		}
	}

	async #gtids(connection: Mysql2Connection): Promise<string> {
		try {
			const [row] = (await execute(connection, dialects[this.#dialect].position)) as Array<{ gtids?: unknown }>
			return String(row?.gtids ?? '')
		} catch (error) {
			if (errnoOf(error) !== unknownVariable || this.#dialect === 'mariadb') throw error
			this.#dialect = 'mariadb'
			return this.#gtids(connection)
		}
	}
}

/** Waits on a replica until it has come that far. False where it does not within that time. */
export async function comesTo(connection: Mysql2Connection, { gtids, dialect }: Position, forMs: number): Promise<boolean> {
	const [row] = (await execute(connection, dialects[dialect].wait(gtids, Math.max(forMs, 1) / 1_000))) as Array<{ late?: unknown }>
	return String(row?.late) === '0'
}
