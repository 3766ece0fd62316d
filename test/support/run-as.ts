/** As which user does a server run? PostgreSQL refuses root, so root lends it the identity of another user. */
import { chown, readFile, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, resolve } from 'node:path'

/** The user that runs the servers, or undefined when that is the present one. */
export interface RunAs {
	readonly name: string
	readonly uid: number
	readonly gid: number
}

/** `postgres` where it is in the user list, else `nobody`; undefined unless this process is root. Throws when root finds neither. */
export async function runAs(): Promise<RunAs | undefined> {
	if (process.getuid?.() !== 0) return undefined
	const rows = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
	for (const name of ['postgres', 'nobody']) {
		const row = rows.find(([user]) => user === name)
		if (row) return { name, uid: Number(row[2]), gid: Number(row[3]) }
	}
	throw new Error('PostgreSQL refuses to run as root, and /etc/passwd has neither "postgres" nor "nobody": run the tests as another user')
}

/** Spawn options of that user. */
export const identity = (user: RunAs | undefined): { uid?: number; gid?: number } => (user ? { uid: user.uid, gid: user.gid } : {})

/** Hands a file or folder to that user. */
export async function giveTo(user: RunAs | undefined, path: string): Promise<void> {
	if (user) await chown(path, user.uid, user.gid)
}

/** Whether that user can reach `path`: every folder on the way must let it through. */
export async function reachable(user: RunAs | undefined, path: string): Promise<boolean> {
	if (!user) return true
	for (let folder = resolve(path); ; folder = dirname(folder)) {
		const { mode, uid, gid } = await stat(folder)
		const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001
		if ((mode & bit) === 0) return false
		if (folder === dirname(folder)) return true
	}
}

/** A folder for temporary files that the user can reach. */
export async function reachableTmpdir(user: RunAs | undefined): Promise<string> {
	return (await reachable(user, tmpdir())) ? tmpdir() : '/tmp'
}
