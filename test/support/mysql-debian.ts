/** How does a server out of Debian's packages run without being installed? It is unpacked with its libraries into a folder of the cache. */
import { execFile } from 'node:child_process'
import { access, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { withFileLock } from './file-lock.ts'
import { cacheFolder } from './private-package.ts'

const run = promisify(execFile)

/** Debian's own signatures, which every Debian machine has. */
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'

export interface DebianPackage {
	/** The suite that holds it. It is read from the mirror that this machine's apt uses, whatever suite the machine itself runs. */
	readonly suite: string
	readonly name: string
}

/** A tree of unpacked packages. Its programs run under its own loader, so that they do not meet this machine's libraries. */
export interface UnpackedTree {
	readonly root: string
	/** The beginning of the command line that runs a program of the tree. */
	readonly loader: readonly string[]
}

/** Unpacks the package and the libraries it needs, once for all. Throws an Error that says what to do where that cannot be. */
export async function unpackedTree(wanted: DebianPackage): Promise<UnpackedTree> {
	const root = join(cacheFolder, 'debian', `${wanted.name}-${wanted.suite}`)
	await withFileLock(join(cacheFolder, 'locks', `${wanted.name}-${wanted.suite}`), async () => {
		if (await there(root)) return
		process.stderr.write(`unpacking ${wanted.name} from Debian's packages (once) ...\n`)
		const work = `${root}.draft`
		try {
			await rm(work, { recursive: true, force: true })
			await unpack(wanted, work)
			await rename(join(work, 'root'), root)
		} finally {
			await rm(work, { recursive: true, force: true })
		}
	})
	const folders = await libraryFolders(root)
	for (const folder of folders) {
		const [loader] = (await readdir(folder)).filter((name) => /^ld-linux.*\.so\.\d+$/.test(name))
		if (loader) return { root, loader: [join(folder, loader), '--library-path', folders.join(':')] }
	}
	throw new Error(`${root} has no program loader; delete it to have it unpacked anew`)
}

async function unpack({ suite, name }: DebianPackage, work: string): Promise<void> {
	if (!(await there(keyring))) throw new Error(`this machine does not know Debian's signatures (${keyring} is missing)`)
	for (const folder of ['lists/partial', 'cache/archives/partial', 'debs', 'root']) await mkdir(join(work, folder), { recursive: true })
	await writeFile(join(work, 'status'), '')
	await useMirror(suite, work)
	const { stdout } = await apt(work, 'apt-cache', 'depends', '--recurse', '--important', name)
	// Below a library stand only libraries; perl and the like serve the package's maintenance scripts, which do not run here.
	const libraries = stdout.split('\n').filter((line) => /^lib(?!perl)[\w.+-]+$/.test(line))
	await apt(work, 'apt-get', 'download', name, ...libraries)
	for (const file of await readdir(join(work, 'debs'))) await run('dpkg', ['-x', join(work, 'debs', file), join(work, 'root')])
	for (const idle of ['bin', 'share/doc', 'share/man', 'share/locale'])
		await rm(join(work, 'root/usr', idle), { recursive: true, force: true })
}

/** Writes a list of sources with the first mirror of this machine that holds the suite, and reads what is in it. */
async function useMirror(suite: string, work: string): Promise<void> {
	// What an update would fetch is known also where there was none yet.
	const { stdout } = await run('apt-get', ['update', '--print-uris'])
	const mirrors = new Set([...stdout.matchAll(/^'(\S+)\/dists\/\S+'/gm)].map(([, mirror]) => mirror))
	const failures: string[] = []
	for (const mirror of mirrors) {
		await writeFile(join(work, 'sources.list'), `deb [signed-by=${keyring}] ${mirror} ${suite} main\n`)
		try {
			await apt(work, 'apt-get', 'update', '--error-on=any')
			return
		} catch (error) {
			failures.push(String(error).trim())
		}
	}
	throw new Error(`no mirror that apt knows has Debian's suite ${suite}: ${failures.join('; ') || 'apt knows none'}`)
}

/** apt with lists, state and cache of its own; the rest of its configuration (proxies, passwords) is this machine's. */
function apt(work: string, program: 'apt-get' | 'apt-cache', ...args: string[]): Promise<{ stdout: string }> {
	const options = {
		'Dir::Etc::sourcelist': join(work, 'sources.list'),
		'Dir::Etc::sourceparts': '-',
		'Dir::State': work,
		'Dir::State::lists': join(work, 'lists'),
		'Dir::State::status': join(work, 'status'),
		'Dir::Cache': join(work, 'cache'),
		// Otherwise root's apt would download as a user who cannot write here.
		'APT::Sandbox::User': 'root',
		'Acquire::Languages': 'none',
		'Acquire::Retries': '3',
	}
	const settings = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])
	return run(program, ['-q', ...settings, ...args], { cwd: join(work, 'debs'), maxBuffer: 64 * 1024 * 1024 })
}

/** Debian's folder of libraries is named after the processor; older suites have a second one outside of usr. */
async function libraryFolders(root: string): Promise<string[]> {
	const found: string[] = []
	for (const parent of [join(root, 'usr/lib'), join(root, 'lib')]) {
		const names = await readdir(parent).catch(() => [])
		found.push(...names.filter((name) => name.includes('-linux-gnu')).map((name) => join(parent, name)))
	}
	return found
}

const there = (path: string): Promise<boolean> =>
	access(path).then(
		() => true,
		() => false,
	)
