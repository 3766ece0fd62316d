/** Who came first? A queue whose ends cost nothing, however long it is. */

export class Line<T> {
	#items: (T | undefined)[] = []
	#head = 0

	get size(): number {
		return this.#items.length - this.#head
	}

	push(item: T): void {
		this.#items.push(item)
	}

	shift(): T | undefined {
		if (this.size === 0) return undefined
		const item = this.#items[this.#head]
		this.#items[this.#head] = undefined
		this.#head += 1
		if (this.#head > 1_024 && this.#head * 2 > this.#items.length) {
			this.#items = this.#items.slice(this.#head)
			this.#head = 0
		}
		return item
	}
}
