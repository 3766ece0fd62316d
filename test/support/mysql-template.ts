/** How does a new MySQL or MariaDB get its data folder? The server fills one template per version; everybody copies that. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { withFileLock } from './file-lock.ts'
import { accountStatements } from './mysql-backend.ts'
import type { ServerProgram } from './mysql-programs.ts'
import { cacheFolder } from './private-package.ts'

/** Root is refused unless it says that it means it. */
export const asWhom = (): string[] => (process.getuid?.() === 0 ? ['--user=root'] : [])

/** Root connects by TCP from wherever the test runs; without a password, for the server listens on 127.0.0.1 only. */
const accounts = ["CREATE USER root@'%' IDENTIFIED BY '';", "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;", ...accountStatements()]

/** Fills `dataFolder`, which must not exist yet: accounts root and holdfast without passwords, an empty database holdfast. */
export async function freshMysqlFolder(program: ServerProgram, dataFolder: string): Promise<void> {
	const folder = join(cacheFolder, 'templates')
	const name = `${program.flavour}-${program.source}-${program.version}-${process.getuid?.() ?? 'me'}`
	const template = join(folder, name)
	await withFileLock(join(folder, `${name}.lock`), async () => {
		const ready = await access(template).then(
			() => true,
			() => false,
		)
		if (ready) return
		const draft = join(folder, `${name}.draft`)
		await rm(draft, { recursive: true, force: true })
		await mkdir(draft, { recursive: true, mode: 0o700 })
		await (program.flavour === 'mysql' ? fillMysql(program, draft) : fillMariadb(program, draft))
		await rename(draft, template)
	})
	await promisify(execFile)('cp', ['-Rp', template, dataFolder])
}

async function fillMysql(program: ServerProgram, folder: string): Promise<void> {
	const script = `${folder}.sql`
	await writeFile(script, accounts.join('\n'))
	// The folder must be empty, and the small log keeps the copies small.
	const args = ['--initialize-insecure', `--init-file=${script}`, '--skip-log-bin', '--innodb-redo-log-capacity=8M']
	await initialise(program, folder, args, '')
	// The server's identity: every copy makes its own, or replicas take each other for themselves.
	await rm(join(folder, 'auto.cnf'))
	await rm(script)
}

/** What mariadb-install-db does, which is a shell script that does not find its way in a tree that was moved. */
async function fillMariadb(program: ServerProgram, folder: string): Promise<void> {
	const scripts = ['mysql_system_tables.sql', 'mysql_performance_tables.sql', 'mysql_system_tables_data.sql']
	const sql = await Promise.all(scripts.map((script) => readFile(join(program.share, script), 'utf8')))
	const opening = ['CREATE DATABASE mysql;', 'USE mysql;', 'SET @auth_root_socket = NULL;']
	// Accounts are locked until the tables of rights, which were not there at the start, are read.
	const text = [...opening, ...sql, 'FLUSH PRIVILEGES;', ...accounts, ''].join('\n')
	const args = ['--bootstrap', '--enforce-storage-engine=', '--max-allowed-packet=8M', '--net-buffer-length=16K']
	await initialise(program, folder, [...args, '--innodb-log-file-size=16M', '--log-warnings=0'], text)
}

async function initialise(program: ServerProgram, folder: string, args: readonly string[], input: string): Promise<void> {
	const [first, ...rest] = [...program.command, '--no-defaults', ...program.places, `--datadir=${folder}`, ...asWhom(), ...args]
	const server = spawn(first!, rest, { cwd: '/', stdio: ['pipe', 'pipe', 'pipe'] })
	let said = ''
	const listen = (chunk: Buffer) => {
		said = (said + chunk).slice(-4_000)
	}
	server.stdout.on('data', listen)
	server.stderr.on('data', listen)
	// One that ends before it has read its input says why by itself.
	server.stdin.on('error', () => {})
	server.stdin.end(input)
	const [code] = await once(server, 'close')
	if (code !== 0) throw new Error(`${program.flavour} ${program.version} could not fill a data folder (code ${code}):\n${said.trim()}`)
}
