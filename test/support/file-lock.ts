/** How does only one process at a time do a piece of work? By a folder that only one of them can create. */
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const pollEveryMs = 50
/** A lock whose owner wrote no pid for this long died between the two steps of taking it. */
const ownerlessAfterMs = 5_000

/**
 * Runs `work` while no other process runs its own under the same `lockPath`. A lock left by a dead process is taken over.
 * Throws what `work` throws, or an Error that names the lock when it was not free within `timeoutMs` (default 5 minutes).
 */
export async function withFileLock<T>(lockPath: string, work: () => Promise<T>, timeoutMs = 300_000): Promise<T> {
	await mkdir(dirname(lockPath), { recursive: true })
	const givesUpAt = Date.now() + timeoutMs
	while (!(await take(lockPath))) {
		if (await abandoned(lockPath)) {
			await rm(lockPath, { recursive: true, force: true })
			continue
		}
		if (Date.now() > givesUpAt) throw new Error(`the lock ${lockPath} was not free within ${timeoutMs} ms; delete it if nothing holds it`)
		await sleep(pollEveryMs)
	}
	try {
		return await work()
	} finally {
		await rm(lockPath, { recursive: true, force: true })
	}
}

async function take(lockPath: string): Promise<boolean> {
	try {
		await mkdir(lockPath)
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
		throw error
	}
	await writeFile(join(lockPath, 'pid'), String(process.pid))
	return true
}

async function abandoned(lockPath: string): Promise<boolean> {
	const owner = await readFile(join(lockPath, 'pid'), 'utf8').catch(() => '')
	if (owner === '') {
		const made = await stat(lockPath).catch(() => undefined)
		return made !== undefined && Date.now() - made.mtimeMs > ownerlessAfterMs
	}
	try {
		process.kill(Number(owner), 0)
		return false
	} catch (error) {
		// EPERM means that it lives and belongs to somebody else.
		return (error as NodeJS.ErrnoException).code === 'ESRCH'
	}
}
