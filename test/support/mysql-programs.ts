/** Where does mysqld or mariadbd come from when there is no Docker: what is installed on this machine, or Debian's packages? */
import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Flavour } from './mysql-backend.ts'
import { type DebianPackage, unpackedTree } from './mysql-debian.ts'

const run = promisify(execFile)

/** A server program, ready to be run. */
export interface ServerProgram {
	readonly source: 'installed' | 'debian'
	readonly flavour: Flavour
	/** Such as "9.7.4": part of the template's name. */
	readonly version: string
	/** The command line up to the first option. */
	readonly command: readonly string[]
	/** Options that tell it where its files are. They come first. */
	readonly places: readonly string[]
	/** The folder of its messages, character sets and SQL scripts. */
	readonly share: string
}

/** Debian 12 keeps MariaDB 10.11 for good. MySQL is in sid only, which had the long-term release 9.7 in November 2026. */
const packages: Readonly<Record<Flavour, DebianPackage>> = {
	mysql: { suite: 'sid', name: 'mysql-server-core' },
	mariadb: { suite: 'bookworm', name: 'mariadb-server-core' },
}

/** The oldest versions that are tested. What is installed and older is passed over. */
const oldest: Readonly<Record<Flavour, number>> = { mysql: 8, mariadb: 10.06 }

/** The folder for LOAD DATA that a server was built with need not exist here. */
const anyFile = '--secure-file-priv='

const programNames: Readonly<Record<Flavour, readonly string[]>> = { mysql: ['mysqld'], mariadb: ['mariadbd', 'mysqld'] }

/** The server out of Debian's packages, unpacked when needed. Throws where that is impossible. */
export async function debianProgram(flavour: Flavour): Promise<ServerProgram> {
	if (process.platform !== 'linux') throw new Error("Debian's packages run on Linux only")
	const { root, loader } = await unpackedTree(packages[flavour])
	const share = join(root, 'usr/share/mysql')
	const command = [...loader, join(root, 'usr/sbin', programNames[flavour][0]!)]
	const places = [
		`--basedir=${join(root, 'usr')}`,
		`--lc-messages-dir=${share}`,
		`--character-sets-dir=${join(share, 'charsets')}`,
		`--plugin-dir=${join(root, 'usr/lib/mysql/plugin')}`,
		anyFile,
	]
	return { source: 'debian', flavour, version: (await inspect(command)).version, command, places, share }
}

/** The installed server of that flavour; undefined where there is none, or an old one only. */
export async function installedProgram(flavour: Flavour): Promise<ServerProgram | undefined> {
	const folders = [...(process.env.PATH ?? '').split(':').filter(Boolean), '/usr/sbin', '/usr/libexec', '/usr/local/sbin']
	for (const folder of folders) {
		for (const name of programNames[flavour]) {
			const path = join(folder, name)
			// MariaDB installs a mysqld, too: only what it says of itself counts.
			const found = await inspect([path]).catch(() => undefined)
			if (found?.flavour !== flavour || found.number < oldest[flavour]) continue
			const shares = [join(folder, '../share/mysql'), join(folder, '../share/mariadb'), '/usr/share/mysql', '/usr/share/mariadb']
			const share = (await firstWith(shares, 'english/errmsg.sys')) ?? '/usr/share/mysql'
			return { source: 'installed', flavour, version: found.version, command: [path], places: [anyFile], share }
		}
	}
	return undefined
}

async function inspect(command: readonly string[]): Promise<{ flavour: Flavour; version: string; number: number }> {
	const [program, ...args] = command
	const { stdout } = await run(program!, [...args, '--no-defaults', '--version'])
	const version = /Ver (\d+)\.(\d+)\.\d+/.exec(stdout)
	if (!version) throw new Error(`${command.join(' ')} does not say which version it is: ${stdout}`)
	return {
		flavour: /MariaDB/i.test(stdout) ? 'mariadb' : 'mysql',
		version: version[0].slice('Ver '.length),
		number: Number(version[1]) + Number(version[2]) / 100,
	}
}

async function firstWith(folders: readonly string[], file: string): Promise<string | undefined> {
	for (const folder of folders) {
		const found = await access(join(folder, file)).then(
			() => true,
			() => false,
		)
		if (found) return folder
	}
	return undefined
}
