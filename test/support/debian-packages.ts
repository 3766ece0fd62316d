/** How do programs out of this machine's own packages run without being installed? What is missing is unpacked into a folder of the cache. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { withFileLock } from './file-lock.ts'

const run = promisify(execFile)

/**
 * Unpacks the packages, and those that they need and that this machine does not have, into a folder below `cache`, once for all: its root.
 * Nothing is installed and no service started, and root is not needed. Throws an Error that says what to do where that cannot be.
 */
export async function unpackedPackages(cache: string, wanted: readonly string[]): Promise<string> {
	const digest = createHash('sha256').update(wanted.join(' ')).digest('hex').slice(0, 12)
	const root = join(cache, 'debian', `packages-${digest}`)
	await withFileLock(`${root}.lock`, async () => {
		if (await isThere(root)) return
		process.stderr.write(`unpacking ${wanted.join(', ')} from this machine's packages (once) ...\n`)
		const work = join(dirname(root), `.${basename(root)}.draft`)
		try {
			await rm(work, { recursive: true, force: true })
			await unpack(wanted, work)
			await rename(join(work, 'root'), root)
		} catch (error) {
			throw new Error(
				`${wanted.join(', ')} could not be had from this machine's apt. Install them: apt-get install --no-install-recommends ${wanted.join(' ')}`,
				{ cause: error },
			)
		} finally {
			await rm(work, { recursive: true, force: true })
		}
	})
	return root
}

async function unpack(wanted: readonly string[], work: string): Promise<void> {
	for (const folder of ['lists/partial', 'cache/archives/partial', 'root']) await mkdir(join(work, folder), { recursive: true })
	// apt knows by the machine's own list what is there already.
	await apt(work, 'update', '--error-on=any')
	await apt(work, 'install', '--yes', '--download-only', '--no-install-recommends', ...wanted)
	const archives = join(work, 'cache/archives')
	for (const file of await readdir(archives)) if (file.endsWith('.deb')) await run('dpkg', ['-x', join(archives, file), join(work, 'root')])
}

/** apt with lists and a cache of its own; sources, proxies and passwords are this machine's. */
function apt(work: string, ...args: string[]): Promise<unknown> {
	const options = {
		'Dir::State::lists': join(work, 'lists'),
		'Dir::Cache': join(work, 'cache'),
		// Otherwise root's apt would download as a user who cannot write here.
		'APT::Sandbox::User': 'root',
		'Acquire::Languages': 'none',
		'Acquire::Retries': '3',
		// Nothing of the machine's is changed.
		'Debug::NoLocking': '1',
	}
	const settings = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])
	return run('apt-get', ['-q', ...settings, ...args], { maxBuffer: 64 * 1024 * 1024 })
}

/** Whether the file is there. */
export const isThere = (path: string): Promise<boolean> =>
	access(path).then(
		() => true,
		() => false,
	)
