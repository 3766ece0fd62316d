/** Has the attempt's connection been returned? Once, on every path. */
import type { TransactionDriver } from '../contract.ts'

export class Loan<C extends object> {
	readonly #driver: TransactionDriver<C>
	readonly #connection: C
	#returned = false

	constructor(driver: TransactionDriver<C>, connection: C) {
		this.#driver = driver
		this.#connection = connection
	}

	/** Returns it to the pool, or has it closed where an error says that it must not be used again. Later calls do nothing. */
	giveBack(error?: unknown): void {
		if (this.#returned) return
		this.#returned = true
		this.#driver.release(this.#connection, error)
	}
}
