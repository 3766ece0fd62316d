/** Does the lock file name every platform's binaries? Adds the entries that npm left out, so that `npm ci` works everywhere. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

// npm drops an optional package from the lock file when the registry it was written with could not deliver it,
// and every later `npm ci` then refuses the lock file as incomplete. An entry with version, os and cpu is all it wants;
// the integrity of such a package is checked against the registry's own word, not against ours.

const systems = ['android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32']
const processors = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64']

/** What this script reads of a package-lock.json. */
export interface LockFile {
	packages: Record<string, { optionalDependencies?: Record<string, string>; dev?: boolean }>
}

/** An optional package that the lock file asks for and does not describe. */
export interface MissingEntry {
	readonly name: string
	readonly version: string
	readonly dev: boolean
}

/** The entries that the lock file lacks. */
export function missingEntries(lock: LockFile): MissingEntry[] {
	const missing: MissingEntry[] = []
	for (const [place, entry] of Object.entries(lock.packages)) {
		for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
			const nested = `${place}/node_modules/${name}`
			if (!(`node_modules/${name}` in lock.packages) && !(nested in lock.packages)) missing.push({ name, version, dev: entry.dev === true })
		}
	}
	return missing
}

/** The entry for one platform's package, read off its name (`…-linux-x64-musl`). */
function entryFor({ name, version, dev }: MissingEntry) {
	const words = name.split(/[/-]/)
	const os = words.find((word) => systems.includes(word))
	const cpu = words.find((word) => processors.includes(word))
	if (os === undefined || cpu === undefined)
		throw new Error(`${name}: its name does not say for which platform it is; install it once by hand`)
	const libc = words.includes('musl') ? ['musl'] : words.includes('gnu') ? ['glibc'] : undefined
	return { version, cpu: [cpu], ...(dev && { dev }), ...(libc && { libc }), optional: true, os: [os] }
}

function main() {
	const path = fileURLToPath(new URL('../package-lock.json', import.meta.url))
	const lock = JSON.parse(readFileSync(path, 'utf8')) as LockFile
	const missing = missingEntries(lock)
	for (const entry of missing) lock.packages[`node_modules/${entry.name}`] = entryFor(entry)
	const sorted = Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, 'en'))
	if (missing.length > 0) writeFileSync(path, `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, '\t')}\n`)
	console.log(missing.length > 0 ? `Added ${missing.length} entries to package-lock.json.` : 'package-lock.json is complete.')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main()
