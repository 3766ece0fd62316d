/** Are the packages of the lock file installed? Compares by content, because file times mean nothing after `git checkout`. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const installTimeLimitMs = 10 * 60_000

function packagesOf(path) {
	try {
		return JSON.parse(readFileSync(path, 'utf8')).packages ?? {}
	} catch {
		return undefined
	}
}

/** The first package that is absent or of another version than the lock file says; undefined where all is well. */
export function missingDependency(root) {
	const wanted = packagesOf(join(root, 'package-lock.json'))
	if (wanted === undefined) throw new Error(`package-lock.json in ${root} cannot be read`)
	// npm writes this file last, so an install that was interrupted has none.
	const installed = packagesOf(join(root, 'node_modules/.package-lock.json'))
	if (installed === undefined) return 'node_modules'
	return Object.keys(wanted).find((place) => {
		if (place === '') return false
		const have = installed[place]
		// An optional package may be for another platform.
		if (have === undefined) return !wanted[place].optional
		return have.version !== wanted[place].version || !existsSync(join(root, place, 'package.json'))
	})
}

// npm hands its own command line down as npm_config_*: `npm pack --dry-run` would make the install inside a dry run as well.
// What the user's machine needs (registry, proxy, cache, certificates) is passed on.
const notInherited =
	/^(npm_config_(dry_run|global|location|prefix|local_prefix|global_prefix|json|silent|parseable|omit|include|production|only|dev|save.*|package_lock.*|workspaces?|include_workspace_root|pack_destination|ignore_scripts|force|if_present)|npm_(lifecycle|package|command).*|node_env)$/i

/** The environment for an npm that runs inside another npm's script. */
export function environmentForNpm(environment = process.env) {
	return Object.fromEntries(Object.entries(environment).filter(([name]) => !notInherited.test(name)))
}

/** Runs npm, also from within npm. Returns `{ ok, output }`. */
export function npm(root, args) {
	const cli = process.env.npm_execpath
	const [command, first] = cli?.endsWith('npm-cli.js') ? [process.execPath, [cli]] : ['npm', []]
	const run = spawnSync(command, [...first, ...args], {
		cwd: root,
		env: environmentForNpm(),
		encoding: 'utf8',
		timeout: installTimeLimitMs,
		shell: process.platform === 'win32' && command === 'npm',
		stdio: ['ignore', 'pipe', 'pipe'],
	})
	return { ok: run.status === 0, output: `${run.stdout ?? ''}${run.stderr ?? ''}${run.error?.message ?? ''}` }
}

/** Installs exactly what the lock file says, with one line of output. Throws with npm's words when it fails. */
export function installDependencies(root) {
	process.stderr.write('Installing development dependencies (npm ci) … ')
	const startedAt = performance.now()
	const quiet = ['--include=dev', '--no-audit', '--no-fund', '--loglevel=error']
	const { ok, output } = npm(root, ['ci', ...quiet])
	const stillMissing = ok ? missingDependency(root) : undefined
	if (!ok || stillMissing) {
		process.stderr.write('failed.\n')
		throw new Error(`npm ci did not work${stillMissing ? `: ${stillMissing} is still missing` : ''}\n${output.trim()}`)
	}
	process.stderr.write(`done in ${((performance.now() - startedAt) / 1000).toFixed(0)} s.\n`)
}
