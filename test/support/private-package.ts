/** Are the packages that only tests need there? Installs one of the private packages under test/servers when it is not. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { withFileLock } from './file-lock.ts'

/** The folder of the private packages: PostgreSQL binaries in itself, other Node versions in `node`, testcontainers in `docker`. */
export const serversFolder = join(import.meta.dirname, '..', 'servers')

/** What may be thrown away at any time: templates, copies, locks. */
export const cacheFolder = join(serversFolder, '.cache')

/**
 * Makes sure that the private package in `folder` is installed as its lock file says; a second process waits for the first.
 * Install scripts stay off: whoever uses a package does what its script would have done.
 * Throws with npm's last words when the install fails.
 */
export async function installPrivatePackage(folder: string, what: string): Promise<void> {
	const digest = createHash('sha256')
		.update(await readFile(join(folder, 'package-lock.json')))
		.digest('hex')
	const stamp = join(folder, 'node_modules', '.holdfast-installed')
	const current = async () => (await readFile(stamp, 'utf8').catch(() => '')) === digest
	if (await current()) return
	const lockName = `install-${createHash('sha256').update(folder).digest('hex').slice(0, 12)}`
	await withFileLock(join(cacheFolder, 'locks', lockName), async () => {
		if (await current()) return
		process.stderr.write(`installing ${what} from npm (once) ...\n`)
		await npmInstall(folder)
		await writeFile(stamp, digest)
	})
}

function npmInstall(folder: string): Promise<void> {
	const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
	return new Promise((resolve, reject) => {
		// npm_* variables of an outer `npm run` would point the inner npm at the outer package.
		const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle|command)/i.test(name)))
		const npm = spawn('npm', args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'], shell: process.platform === 'win32' })
		let said = ''
		const listen = (chunk: Buffer) => {
			said = (said + chunk).slice(-2_000)
		}
		npm.stdout.on('data', listen)
		npm.stderr.on('data', listen)
		npm.on('error', reject)
		npm.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`npm ci in ${folder} failed with code ${code}: ${said.trim()}`))))
	})
}
