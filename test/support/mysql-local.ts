/** How does a MySQL or MariaDB run as a child of this process? */
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localServer } from './local-server.ts'
import { applicationUser, firstDatabase, type MysqlBackend } from './mysql-backend.ts'
import type { ServerProgram } from './mysql-programs.ts'
import { serverFlags } from './mysql-settings.ts'
import { asWhom, freshMysqlFolder } from './mysql-template.ts'

/** Lays out a new data folder, with these files beside the server's; it does not run yet. `settings` override ours. */
export async function localMysql(
	program: ServerProgram,
	settings: Readonly<Record<string, string>>,
	files: Readonly<Record<string, string>> = {},
): Promise<MysqlBackend> {
	const { flavour, version, source } = program
	const { end, port, ...server } = await localServer({
		what: `${flavour} ${version}`,
		within: tmpdir(),
		prefix: `holdfast-${flavour}-`,
		async fill(dataFolder) {
			await freshMysqlFolder(program, dataFolder)
			for (const [name, content] of Object.entries(files)) await writeFile(join(dataFolder, name), content)
		},
		command: ({ folder, dataFolder, port }) => [
			...[...program.command, '--no-defaults', ...program.places],
			// A socket file with a short name: the system allows about a hundred characters. It is in the data folder.
			...[`--datadir=${dataFolder}`, `--port=${port}`, '--bind-address=127.0.0.1', '--socket=socket', `--pid-file=${folder}/own.pid`],
			...[...asWhom(), ...serverFlags(flavour, settings)],
		],
	})
	const account = { host: '127.0.0.1', port, database: firstDatabase }
	return {
		...server,
		source,
		flavour,
		accounts: { admin: { ...account, user: 'root' }, user: { ...account, user: applicationUser } },
		stop: () => end('SIGTERM'),
		kill: () => end('SIGKILL'),
	}
}
