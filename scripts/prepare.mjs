/** Is this clone ready to run? Installs what is missing and, with `--build`, builds a stale `dist/`. Does nothing where nothing is to do. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { installDependencies, missingDependency } from './dependencies.mjs'
import { buildDist, distIsCurrent } from './dist.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))

function requireNode() {
	const wanted = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).engines.node
	const [major, minor] = wanted.replace('>=', '').split('.').map(Number)
	const [hasMajor, hasMinor] = process.versions.node.split('.').map(Number)
	if (hasMajor > major || (hasMajor === major && hasMinor >= minor)) return
	throw new Error(`Node ${wanted} is needed, this is ${process.versions.node}`)
}

/** Makes the clone ready, or says why it cannot and ends the process. */
export function prepare({ build }) {
	try {
		requireNode()
		if (missingDependency(root) !== undefined) installDependencies(root)
		if (build && !distIsCurrent(root)) buildDist(root)
	} catch (error) {
		console.error(`prepare: ${error.message}`)
		process.exit(1)
	}
}

if (process.argv[1] === fileURLToPath(import.meta.url)) prepare({ build: process.argv.includes('--build') })
