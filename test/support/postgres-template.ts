/** How does a new server get its data folder? `initdb` makes one template per version; everybody copies that. */
import { execFile } from 'node:child_process'
import { cp, mkdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { withFileLock } from './file-lock.ts'
import { cacheFor, type PostgresBinaries } from './postgres-binaries.ts'
import { giveTo, identity, type RunAs } from './run-as.ts'

const run = promisify(execFile)

/** Fills `dataFolder`, which must not exist yet, with a fresh cluster: superuser postgres, trust authentication, locale C. */
export async function freshDataFolder(binaries: PostgresBinaries, dataFolder: string, user: RunAs | undefined): Promise<void> {
	const template = await templateOf(binaries, user)
	// cp keeps the owner and the mode 0700 that PostgreSQL insists on, for the price of one process; fs.cp would make it all root's.
	if (process.platform === 'win32') await cp(template, dataFolder, { recursive: true })
	else await run('cp', ['-Rp', template, dataFolder])
}

async function templateOf(binaries: PostgresBinaries, user: RunAs | undefined): Promise<string> {
	const folder = join(await cacheFor(user), 'templates')
	const name = `${binaries.source}-${binaries.version}-${user?.name ?? process.getuid?.() ?? 'me'}`
	const template = join(folder, name)
	const owner = user?.uid ?? process.getuid?.() ?? 0
	// A tree that was copied as a whole belongs to whoever copied it, and PostgreSQL would refuse it.
	const ready = () =>
		stat(template).then(
			({ uid }) => uid === owner,
			() => false,
		)
	if (await ready()) return template
	await withFileLock(join(folder, `${name}.lock`), async () => {
		if (await ready()) return
		const draft = join(folder, `${name}.draft`)
		for (const old of [draft, template]) await rm(old, { recursive: true, force: true })
		await mkdir(draft, { mode: 0o700 })
		await giveTo(user, draft)
		const args = ['-D', draft, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync']
		await run(join(binaries.bin, 'initdb'), args, { ...identity(user), cwd: '/' })
		await rename(draft, template)
	})
	return template
}
