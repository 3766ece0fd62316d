/** How do the overrides of a pool's subclass stay in force? The wrapper slips in between the subclass and pg's own class. */
import type { PgPool } from './shape.ts'

/** The methods that a wrapped pool answers itself. */
export interface PoolMethods {
	connect(...args: unknown[]): unknown
	query(...args: unknown[]): unknown
	end(...args: unknown[]): unknown
}

const names = ['connect', 'query', 'end'] as const
const answered = new WeakMap<object, PoolMethods>()
const slipped = new WeakSet<object>()

/** The methods of pg's own pool class, below whatever subclasses add. */
export function bareMethods(pool: PgPool): PgPool {
	let bare: object = Object.getPrototypeOf(pool)
	for (let level: object | null = bare; level !== null; level = Object.getPrototypeOf(level)) {
		if (Object.hasOwn(level, 'newClient')) bare = level
	}
	return bare as PgPool
}

/** Installs the methods below the overrides of the pool's class: there its `super.query(…)` finds them. */
export function installMethods(pool: PgPool, methods: PoolMethods): void {
	const bare = bareMethods(pool)
	const overridden = new Set<string>()
	let lowest: object | undefined
	for (let level: object = Object.getPrototypeOf(pool); level !== bare; level = Object.getPrototypeOf(level)) {
		const own = names.filter((name) => Object.hasOwn(level, name) && !slipped.has(level))
		for (const name of own) overridden.add(name)
		if (own.length > 0) lowest = level
	}
	if (lowest !== undefined) slipUnder(lowest)
	answered.set(pool, methods)
	for (const name of names) {
		if (!overridden.has(name)) Object.defineProperty(pool, name, { value: methods[name], configurable: true, writable: true })
	}
}

/** Whether a subclass has its own way of doing this. */
export function overrides(pool: PgPool, name: keyof PoolMethods): boolean {
	return !Object.hasOwn(pool, name) && pool[name] !== bareMethods(pool)[name]
}

/** Pools of the class that are not wrapped find what they found before. */
function slipUnder(level: object): void {
	const parent = Object.getPrototypeOf(level)
	if (slipped.has(parent)) return
	const between = Object.create(parent)
	slipped.add(between)
	for (const name of names) {
		const value = function (this: object, ...args: unknown[]): unknown {
			const methods = answered.get(this)
			return methods === undefined ? parent[name].apply(this, args) : methods[name](...args)
		}
		Object.defineProperty(between, name, { value, configurable: true, writable: true })
	}
	Object.setPrototypeOf(level, between)
}
