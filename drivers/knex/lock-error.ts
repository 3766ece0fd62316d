/** Why could knex's migrator not take its lock? It keeps the text of the error only; the error itself is put back. */

/** knex's migrator, as far as it takes its lock. */
interface Migrator {
	readonly knex: { transaction(container: (trx: unknown) => unknown): Promise<unknown> }
	_getLock(trx?: unknown): Promise<unknown>
	_lockMigrations(trx: unknown): Promise<unknown>
}

/** `knex.migrate` makes a migrator at each access: from now on one whose lock errors have a cause. */
export function keepLockErrors(knex: object): void {
	const make = Object.getOwnPropertyDescriptor(knex, 'migrate')?.get as (() => Migrator) | undefined
	if (make === undefined) return
	const get = () => {
		const migrator = make.call(knex)
		const { _getLock } = migrator
		migrator._getLock = (trx) => withCause(migrator, (watched) => _getLock.call(watched, trx))
		return migrator
	}
	Object.defineProperty(knex, 'migrate', { configurable: true, get })
}

async function withCause(migrator: Migrator, getLock: (watched: Migrator) => Promise<unknown>): Promise<unknown> {
	let cause: unknown
	const note = (error: unknown) => {
		cause = error
		throw error
	}
	const watched: Migrator = Object.create(migrator, {
		knex: { value: { transaction: (container: (trx: unknown) => unknown) => migrator.knex.transaction(container).catch(note) } },
		_lockMigrations: { value: (trx: unknown) => migrator._lockMigrations(trx).catch(note) },
	})
	try {
		return await getLock(watched)
	} catch (error) {
		if (error instanceof Error && error !== cause && cause !== undefined) error.cause ??= cause
		throw error
	}
}
