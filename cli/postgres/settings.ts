/** Which settings of PostgreSQL hurt when something goes wrong? Rows with the reason and the source. */
import type { Level, SettingRow } from '../report.ts'

const manual = 'PostgreSQL manual, '
const whenOff = (level: Level) => (value: string) => (value === 'off' ? level : 'ok')
const whenZero = (level: Level) => (value: string) => (Number(value) === 0 ? level : 'ok')
const whenSet = (level: Level) => (value: string) => (Number(value) > 0 ? level : 'ok')
// Longer than that, and a vanished client's locks outlast the patience of everybody who waits for them.
const slowestKeepaliveS = 300

/** Values as `pg_settings` has them: times in the unit of the setting, 0 for off. */
export const settingRows: readonly SettingRow[] = [
	{ name: 'fsync', judge: whenOff('warning'), says: 'a crash of the machine can destroy the whole cluster', source: `${manual}19.5` },
	{
		name: 'full_page_writes',
		judge: whenOff('warning'),
		says: 'a crash of the machine can leave pages that are half written',
		source: `${manual}19.5`,
	},
	{
		name: 'synchronous_commit',
		judge: whenOff('warning'),
		says: 'a commit that was confirmed can be lost in a crash: no client can find that out',
		source: `${manual}19.5`,
	},
	{
		name: 'restart_after_crash',
		judge: whenOff('note'),
		says: 'after the crash of one backend the server stays down until something else starts it',
		source: `${manual}19.13`,
	},
	{
		name: 'idle_in_transaction_session_timeout',
		judge: whenZero('warning'),
		says: 'off: a client that hangs in the middle of a transaction keeps its locks for ever; 60 s is a start',
		source: `${manual}19.11`,
	},
	{
		name: 'statement_timeout',
		judge: whenZero('note'),
		says: 'off: nothing on the server ends a statement whose caller has given up; set it for the role of the application',
		source: `${manual}19.11`,
	},
	{
		name: 'lock_timeout',
		judge: whenZero('note'),
		says: 'off: a statement waits for a lock for ever, and everybody else queues behind it; migrations above all should set it',
		source: `${manual}19.11`,
	},
	{
		name: 'tcp_keepalives_idle',
		judge: (value) => (Number(value) === 0 || Number(value) > slowestKeepaliveS ? 'note' : 'ok'),
		says: 'a client that vanished without a word keeps its session and its locks that long and longer (0: two hours on most systems); 60 s is a start',
		source: `${manual}19.3`,
	},
	{
		name: 'client_connection_check_interval',
		judge: whenZero('note'),
		says: 'off: the server works on for clients that are gone, and notices when it writes the result',
		source: `${manual}19.3`,
	},
	{
		name: 'idle_session_timeout',
		judge: whenSet('note'),
		says: "ends idle connections of pools; wrapped pools replace them, bare ones raise errors. Keep the pool's idle timeout below it",
		source: `${manual}19.11`,
	},
	{
		name: 'transaction_timeout',
		judge: whenSet('note'),
		says: 'ends transactions that take longer, and the connection with them; it is not retried',
		source: `${manual}19.11`,
	},
]
