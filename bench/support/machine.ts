/** On which machine and with which versions were these figures taken? */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { peersFolder } from './peers.ts'

const root = join(import.meta.dirname, '../..')
const require = createRequire(import.meta.url)

function git(...args: string[]): string {
	try {
		return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
	} catch {
		return ''
	}
}

function sources(): string {
	const commit = git('rev-parse', '--short', 'HEAD')
	if (commit === '') return 'no commit known'
	return git('status', '--porcelain', '--', 'src', 'drivers') === '' ? `commit ${commit}` : `commit ${commit} with changes`
}

/** Whether the benches run what users run (`dist/`) or the sources. */
function measuredCode(): string {
	const at = fileURLToPath(import.meta.resolve('holdfast'))
	return at.includes(`${join(root, 'dist')}`) ? 'the built package (dist/)' : 'the sources'
}

function peerVersions(): string {
	const { dependencies } = JSON.parse(readFileSync(join(peersFolder, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
	return Object.entries(dependencies)
		.map(([name, version]) => `${name} ${version}`)
		.join(', ')
}

/** The load of the last minute: above the number of processors, absolute times mean little. */
export const load = (): string => (loadavg()[0] ?? 0).toFixed(2)

/** Facts of machine and versions, one a line. */
export function machineFacts(): string[] {
	const processor = cpus()[0]?.model.trim() ?? 'unknown'
	const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`
	const versionOf = (name: string) => (require(`${name}/package.json`) as { version: string }).version
	return [
		`Machine: ${availableParallelism()} × ${processor}, ${memory} memory, ${type()} ${release().split('.', 2).join('.')}${existsSync('/.dockerenv') ? ', in a container' : ''}`,
		`Node ${process.versions.node}, pg ${versionOf('pg')}, mysql2 ${versionOf('mysql2')}`,
		`Peers: ${peerVersions()}`,
		`Holdfast: ${measuredCode()}, ${sources()}`,
	]
}
