/** How much processor time have the server's processes used for one application? Read from /proc: a server on this Linux machine only. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { PostgresServer } from '../../test/support/postgres.ts'

/** Milliseconds of all its live backends together; NaN where they cannot be seen. */
export async function backendCpuMs(server: PostgresServer, applicationName: string): Promise<number> {
	const rows = await server.query<{ pid: number }>(`SELECT pid FROM pg_stat_activity WHERE application_name = '${applicationName}'`)
	// A server in a container numbers its processes itself.
	if (server.source === 'docker' || server.source === 'given' || process.platform !== 'linux') return Number.NaN
	const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
	return rows.reduce((sum, { pid }) => sum + (1_000 * ticksOf(pid)) / ticksPerSecond, 0)
}

/** User and system time: fields 14 and 15 of proc(5), counted behind the command's closing bracket because the command may have blanks. */
function ticksOf(pid: number): number {
	const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
	const [user, system] = stat
		.slice(stat.lastIndexOf(')') + 2)
		.split(' ')
		.slice(11, 13)
	return Number(user) + Number(system)
}
