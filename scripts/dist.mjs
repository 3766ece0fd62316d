/** Is `dist/` what the sources say? Compares a digest of the sources with the one kept from the last build. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const inputs = ['src', 'drivers', 'cli', 'package.json', 'tsconfig.json', 'tsconfig.build.json']

function stampPath(root) {
	return join(root, 'node_modules/.cache/holdfast-dist')
}

function filesUnder(path) {
	if (path.endsWith('.json')) return [path]
	return readdirSync(path, { withFileTypes: true, recursive: true })
		.filter((entry) => entry.isFile())
		.map((entry) => join(entry.parentPath, entry.name))
		.sort()
}

function digest(root) {
	const hash = createHash('sha256')
	for (const path of inputs.flatMap((input) => filesUnder(join(root, input)))) hash.update(`${path}\n`).update(readFileSync(path))
	return hash.digest('hex')
}

/** Whether the last build was made from these very sources. */
export function distIsCurrent(root) {
	if (!existsSync(join(root, 'dist/src')) || !existsSync(stampPath(root))) return false
	return readFileSync(stampPath(root), 'utf8') === digest(root)
}

/** Builds `dist/` from nothing, so that no output of a deleted source survives. Throws with the compiler's words. */
export function buildDist(root) {
	const before = digest(root)
	rmSync(stampPath(root), { force: true })
	rmSync(join(root, 'dist'), { recursive: true, force: true })
	const compiler = join(root, 'node_modules/typescript/bin/tsc')
	const run = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { cwd: root, encoding: 'utf8' })
	if (run.status !== 0) throw new Error(`the build failed\n${run.stdout}${run.stderr}`.trim())
	chmodSync(join(root, 'dist/cli/main.js'), 0o755)
	mkdirSync(join(root, 'node_modules/.cache'), { recursive: true })
	writeFileSync(stampPath(root), before)
	process.stderr.write('Built dist/.\n')
}
