/** What of a knex instance has to be replaced? All of it is here: a subclass for its client, and one method of its context. */
import type { PoolOptions } from '../../src/driver.ts'
import type { MakeBackend, StatementConnection } from './backend.ts'
import { keepLockErrors } from './lock-error.ts'
import { canBegin } from './options.ts'
import { type FormerPool, KnexPool } from './pool.ts'
import { runnerClass } from './runner.ts'
import type { ClientConfig, KnexClient, KnexConnection, KnexInstance, RunnerClass } from './shape.ts'
import { wholeTransaction } from './transaction.ts'

/** How an instance was wrapped. A class, for knex copies plain objects deeply when it clones a client. */
class Wrapping {
	readonly options: PoolOptions
	readonly make: MakeBackend

	constructor(options: PoolOptions, make: MakeBackend) {
		this.options = options
		this.make = make
	}
}

type WrappedClient = KnexClient & { __holdfast?: Wrapping }
type ClientClass = (new (...given: unknown[]) => WrappedClient) & { prototype: object }

const subclasses = new WeakMap<object, object>()
const poolOf = (pool: object | undefined): KnexPool | undefined => (pool instanceof KnexPool ? pool : undefined)

const isOfStatement = (connection: KnexConnection): connection is StatementConnection => 'abandon' in connection

/** Replaces the pool of the instance, and what leads to it. */
export function graft(knex: KnexInstance, options: PoolOptions, make: MakeBackend): void {
	const client = knex.client as WrappedClient
	// First, for it may refuse: the instance is then left as it was.
	const former = client._ownsPool === false ? undefined : (client.pool as FormerPool | undefined)
	const pool = client.pool === undefined ? undefined : new KnexPool(client, client.config, options, make, former)
	// knex makes the clients of transactions and clones from the prototype, so there is where methods must be.
	Object.setPrototypeOf(client, prototypeFor(Object.getPrototypeOf(client)))
	client.__holdfast = new Wrapping(options, make)
	client.pool = pool
	if (former !== undefined && !former.isEmpty()) former.destroy().catch(() => {})
	graftInstance(knex)
}

/** The pool of the instance; undefined while it has none. */
export const poolOfKnex = (knex: KnexInstance): KnexPool | undefined => poolOf(knex.client.pool)

function prototypeFor(base: object): object {
	let made = subclasses.get(base)
	if (made === undefined) {
		made = subclass(base.constructor as ClientClass).prototype
		subclasses.set(base, made)
	}
	return made
}

function subclass(Base: ClientClass): ClientClass {
	let Runner: RunnerClass | undefined
	return class extends Base {
		override runner(builder: unknown): ReturnType<KnexClient['runner']> {
			if (poolOf(this.pool) === undefined) return super.runner(builder)
			Runner ??= runnerClass(super.runner(builder).constructor as RunnerClass, poolOf)
			return new Runner(this, builder)
		}

		override initializePool(config: ClientConfig = this.config): void {
			const wrapping = this.__holdfast
			if (this.pool !== undefined || wrapping === undefined || config.connectionPool !== undefined) return super.initializePool(config)
			this.pool = new KnexPool(this, config, wrapping.options, wrapping.make)
			this._ownsPool = true
		}

		override releaseConnection(connection: KnexConnection): Promise<void> {
			// A stream lets go of it once more when it closes, when the pool may be gone.
			if (!isOfStatement(connection)) return super.releaseConnection(connection)
			connection.release()
			return Promise.resolve()
		}

		override async cancelQuery(connection: KnexConnection): Promise<unknown> {
			// A statement that is waiting for a connection, or about to be run again, must not be run any more.
			if (isOfStatement(connection)) connection.abandon(new Error('The statement was cancelled.'))
			return super.cancelQuery(connection)
		}
	}
}

/** `transaction(fn)` is run as a whole. The clones that `withUserParams` makes have a context of their own. */
function graftInstance(knex: KnexInstance): void {
	const { context } = knex
	const { _transaction, withUserParams } = context
	context._transaction = function (container, config, outer = null) {
		const pool = poolOf(this.client.pool)
		if (typeof container !== 'function' || outer !== null || pool === undefined || !canBegin(config))
			return _transaction.call(this, container, config, outer)
		return wholeTransaction(this.client, pool, container, config)
	}
	context.withUserParams = function (params) {
		const clone = withUserParams.call(this, params)
		graftInstance(clone)
		return clone
	}
	keepLockErrors(knex)
}
