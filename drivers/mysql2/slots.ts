/** Which row of the ledger belongs to which connection? One for each place in the pool: names of rows are used again. */
import { randomUUID } from 'node:crypto'
import type { EventEmitter } from 'node:events'
import type { Mysql2Connection } from './shape.ts'
import { sessionOf } from './state.ts'

/** The row of one connection, unless somebody may still hold it or ask for it. */
export interface Slot {
	readonly index: number
	readonly name: string
	/** The server's user-level lock that only this connection holds: whoever holds it is this connection. */
	readonly lock: string
	/** A commit has left a row here: from then on a row that is missing proves nothing. */
	kept: boolean
	/** A statement that marks a transaction was sent and not answered yet: whether one is open is not known. */
	marking: boolean
	/** The server has told what became of the last transaction in it. */
	resolved: boolean
	/** Its connection is gone, and went in the middle of a transaction: what is left of that on the server holds the row. */
	orphaned: boolean
}

export class Slots {
	readonly #pool = randomUUID()
	readonly #slots = new WeakMap<Mysql2Connection, Slot>()
	readonly #unused: Array<Pick<Slot, 'index' | 'kept'>> = []
	#count = 0
	#connections = 0

	/** The slot of the connection; its first one is told to `made`. */
	of(connection: Mysql2Connection, made: (slot: Slot) => void): Slot {
		const known = this.#slots.get(connection)
		if (known !== undefined) return known
		const { index, kept } = this.#unused.pop() ?? { index: this.#count++, kept: false }
		this.#connections += 1
		const slot: Slot = {
			index,
			name: `${this.#pool}/${index}`,
			lock: `holdfast/${this.#pool}/${this.#connections}`,
			kept,
			marking: false,
			resolved: false,
			orphaned: false,
		}
		this.#slots.set(connection, slot)
		;(connection.stream as unknown as EventEmitter).once('close', () => {
			if (slot.resolved || (!slot.marking && sessionOf(connection).inTransaction === false)) this.#unused.push(slot)
			else slot.orphaned = true
		})
		made(slot)
		return slot
	}

	/** What became of the transaction in it is known. */
	resolved(slot: Slot): void {
		if (slot.resolved) return
		slot.resolved = true
		if (slot.orphaned) this.#unused.push(slot)
	}
}
