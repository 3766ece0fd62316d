/** Which settings of MySQL and MariaDB hurt when something goes wrong? Rows with the reason and the source. */
import type { Level, SettingRow } from '../report.ts'

const innodb = 'MySQL manual, "InnoDB Startup Options and System Variables"'
const system = 'MySQL manual, "Server System Variables"'
const mariadb = 'MariaDB documentation, "Server System Variables"'
const when = (fits: (value: number) => boolean, level: Level) => (value: string) => (fits(Number(value)) ? level : 'ok')
const whenOff = (level: Level) => (value: string) => (/^(off|0)$/i.test(value) ? level : 'ok')

const shortestIdleS = 60
const longestIdleS = 3_600
const longLockS = 50
const longTableLockS = 3_600

/** Values as SHOW GLOBAL VARIABLES has them. */
export const settingRows: readonly SettingRow[] = [
	{
		name: 'innodb_flush_log_at_trx_commit',
		judge: when((value) => value !== 1, 'warning'),
		says: 'a commit that was confirmed can be lost: with 0 when the server crashes, with 2 when the machine does',
		source: innodb,
	},
	{
		name: 'sync_binlog',
		judge: when((value) => value !== 1, 'warning'),
		says: 'after a crash of the machine the binary log lacks commits, and replicas lack or keep others than the source',
		source: 'MySQL manual, "Binary Logging Options and Variables"',
	},
	{
		name: 'innodb_doublewrite',
		judge: whenOff('warning'),
		says: 'a crash of the machine can leave pages that are half written',
		source: innodb,
	},
	{
		name: 'innodb_deadlock_detect',
		judge: whenOff('note'),
		says: 'off: a deadlock lasts until innodb_lock_wait_timeout ends it',
		source: innodb,
	},
	{
		name: 'innodb_lock_wait_timeout',
		judge: when((value) => value >= longLockS, 'note'),
		says: 'seconds: so long does a statement wait for a row before it fails; 5 to 10 suit most applications',
		source: innodb,
	},
	{
		name: 'lock_wait_timeout',
		judge: when((value) => value >= longTableLockS, 'note'),
		says: 'seconds: so long does a migration wait for a table in use, and everybody else queues behind it',
		source: system,
	},
	{
		name: 'wait_timeout',
		judge: (value) => (Number(value) < shortestIdleS || Number(value) > longestIdleS ? 'note' : 'ok'),
		says: 'seconds: idle connections of pools are ended after that; a client that vanished in a transaction keeps its locks as long',
		source: system,
	},
	{
		name: 'idle_transaction_timeout',
		judge: when((value) => value === 0, 'note'),
		says: 'off: a client that hangs in the middle of a transaction keeps its locks until wait_timeout',
		source: mariadb,
	},
	{
		name: 'max_execution_time',
		judge: when((value) => value === 0, 'note'),
		says: 'off: nothing on the server ends a SELECT whose caller has given up',
		source: system,
	},
	{
		name: 'max_statement_time',
		judge: when((value) => value === 0, 'note'),
		says: 'off: nothing on the server ends a statement whose caller has given up',
		source: mariadb,
	},
	{
		name: 'skip_name_resolve',
		judge: whenOff('note'),
		says: 'off: the server looks up the name of each client; when name servers fail, connections hang',
		source: system,
	},
]
