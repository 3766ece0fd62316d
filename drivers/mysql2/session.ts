/** In which form does `onConnect` get its connection? In that of the pool that was wrapped. */
import type { PoolOptions } from '../../src/driver.ts'
import type { Mysql2Connection } from './shape.ts'

/** mysql2's own connection, and its promise form. */
interface Both extends Mysql2Connection {
	promise(): object
}

/** The options for the callback pool inside a promise pool: its connections come to `onConnect` as promise connections. */
export function forPromises(options: PoolOptions): PoolOptions {
	const { onConnect } = options
	return onConnect === undefined ? options : { ...options, onConnect: (connection: Both) => onConnect(connection.promise()) }
}
