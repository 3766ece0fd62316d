/** With which options are both pools of mysql2 made? */
import type { PoolOptions } from 'mysql2/promise'
import type { MysqlConfig } from '../../../test/support/mysql.ts'
import { connectionsPerPool } from '../side.ts'
import type { Tally } from '../tally.ts'

/** The defaults of mysql2 but for the size, and sockets that are counted; mysql2 gives none of its own options to those. */
export function poolOptions(config: MysqlConfig, tally: Tally): PoolOptions {
	return { ...config, connectionLimit: connectionsPerPool, stream: () => tally.socket().setNoDelay().connect(config.port, config.host) }
}
