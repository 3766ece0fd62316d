/** What does a source of connections do that stands in front of another one? What it does not change it passes on. */
import type { ConnectionSource } from './contract.ts'

export abstract class ForwardingSource<C extends object> implements ConnectionSource<C> {
	protected readonly source: ConnectionSource<C>
	readonly order: ConnectionSource<C>['order']

	constructor(source: ConnectionSource<C>) {
		this.source = source
		this.order = source.order?.bind(source)
	}

	abstract open(done: (error: unknown, connection: C | undefined) => void): () => void

	get capacity(): number {
		return this.source.capacity
	}

	idle(): number {
		return this.source.idle()
	}

	total(): number {
		return this.source.total()
	}

	take(done: (error: unknown, connection: C | undefined) => void): void {
		this.source.take(done)
	}

	takeNow(): C | undefined {
		return this.source.takeNow?.()
	}

	recall(): boolean {
		return this.source.recall?.() ?? false
	}

	giveBack(connection: C): void {
		this.source.giveBack(connection)
	}

	discard(connection: C, error: unknown): void {
		this.source.discard(connection, error)
	}

	isUsable(connection: C): boolean {
		return this.source.isUsable(connection)
	}

	ask(connection: C, done: (alive: boolean) => void): () => void {
		return this.source.ask(connection, done)
	}
}
