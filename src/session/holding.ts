/** What waits while a borrower's connection is replaced? All that he sends meanwhile: it stays behind the statement for which that is done. */
export class Holding {
	#until: Promise<void> | undefined

	/** Whether something has to wait now. */
	get isOn(): boolean {
		return this.#until !== undefined
	}

	/** Holds everything else back until the work is done. */
	async during<R>(work: () => Promise<R>): Promise<R> {
		if (this.#until !== undefined) return work()
		let done = () => {}
		this.#until = new Promise((resolve) => {
			done = resolve
		})
		try {
			return await work()
		} finally {
			this.#until = undefined
			done()
		}
	}

	/** Runs it once nothing has to wait any more. */
	async behind<R>(run: () => R): Promise<Awaited<R>> {
		await this.#until
		return await run()
	}
}
