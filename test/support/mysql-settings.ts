/** Which options does a MySQL or MariaDB of the tests run with? */
import type { Flavour } from './mysql-backend.ts'

type Settings = Readonly<Record<string, string>>

/**
 * Small and quick. A log that is flushed once a second is safe against killed processes: what was written is in the system's memory.
 * Names are not looked up, so that no resolver decides which account somebody gets.
 */
const thrifty: Settings = {
	innodb_flush_log_at_trx_commit: '2',
	innodb_buffer_pool_size: '32M',
	performance_schema: 'OFF',
	skip_name_resolve: 'ON',
}

const logs: Readonly<Record<Flavour, Settings>> = {
	mysql: { mysqlx: 'OFF', innodb_redo_log_capacity: '8M' },
	mariadb: { innodb_log_file_size: '16M' },
}

/** Ours and the given ones, which win, as options on the command line: `max_connections: '50'` becomes `--max-connections=50`. */
export function serverFlags(flavour: Flavour, given: Settings): string[] {
	// One spelling, so that a setting that is given replaces ours.
	const chosen = Object.fromEntries(Object.entries(given).map(([name, value]) => [name.replaceAll('-', '_'), value]))
	const log = 'log_bin' in chosen ? [] : ['--skip-log-bin']
	const all = { ...thrifty, ...logs[flavour], ...chosen }
	return [...log, ...Object.entries(all).map(([name, value]) => `--${name.replaceAll('_', '-')}=${value}`)]
}
