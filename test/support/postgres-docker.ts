/** How does a PostgreSQL run in Docker, when an engine answers? Through testcontainers, which is installed then. */
import { execFile, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cleanUpAtExit } from './cleanup.ts'
import { freePort } from './free-port.ts'
import type { PostgresBackend } from './postgres-backend.ts'
import { installPrivatePackage, serversFolder } from './private-package.ts'

/** The slices of testcontainers and of dockerode below it that are used here. */
interface Container {
	start(): Promise<unknown>
	kill(options: { signal: string }): Promise<unknown>
	wait(): Promise<unknown>
	pause(): Promise<unknown>
	unpause(): Promise<unknown>
	inspect(): Promise<{ State: { Running: boolean; Paused: boolean; ExitCode: number } }>
	remove(options: { v: boolean; force: boolean }): Promise<unknown>
}
interface GenericContainer {
	withEnvironment(variables: Record<string, string>): this
	withExposedPorts(port: { container: number; host: number }): this
	withCopyContentToContainer(files: { content: string; target: string }[]): this
	start(): Promise<{ getId(): string; exec(command: string[]): Promise<{ exitCode: number; output: string }> }>
}
interface Testcontainers {
	GenericContainer: new (image: string) => GenericContainer
	ImageName: { fromString(image: string): unknown }
	getContainerRuntimeClient(): Promise<{
		info: { containerRuntime: { host: string } }
		image: { pull(image: unknown): Promise<void> }
		container: { getById(id: string): Container }
	}>
}

let answers: Promise<boolean> | undefined

/** Whether a Docker engine answers within 3 seconds; asked once. `HOLDFAST_NO_DOCKER=1` says no. */
export function dockerAnswers(): Promise<boolean> {
	if (process.env.HOLDFAST_NO_DOCKER === '1') return Promise.resolve(false)
	answers ??= promisify(execFile)('docker', ['info', '--format', '{{.ServerVersion}}'], { timeout: 3_000 }).then(
		({ stdout }) => /^\d/.test(stdout),
		() => false,
	)
	return answers
}

/**
 * A PostgreSQL of that major in a container of its own, made at the first start. Throws when the image cannot be had;
 * Docker is not asked again by this process then, so that not every server waits for a registry that is out of reach.
 */
export async function dockerPostgres(major: number, settings: Readonly<Record<string, string>>): Promise<PostgresBackend> {
	const image = `postgres:${major}-alpine`
	try {
		const folder = join(serversFolder, 'docker')
		await installPrivatePackage(folder, 'testcontainers')
		const library = createRequire(join(folder, 'package.json'))('testcontainers') as Testcontainers
		const runtime = await library.getContainerRuntimeClient()
		await runtime.image.pull(library.ImageName.fromString(image))
		return await containerPostgres(library, runtime, image, major, settings)
	} catch (error) {
		answers = Promise.resolve(false)
		process.stderr.write(`Docker answers, but ${image} cannot be had from it (${String(error)}); looking elsewhere\n`)
		throw error
	}
}

async function containerPostgres(
	library: Testcontainers,
	runtime: Awaited<ReturnType<Testcontainers['getContainerRuntimeClient']>>,
	image: string,
	major: number,
	settings: Readonly<Record<string, string>>,
): Promise<PostgresBackend> {
	// Docker publishes the port on all addresses of the machine, so this server has a password.
	const password = randomUUID()
	const port = await freePort()
	// By name and not by an option on the command line: those cannot be altered later.
	const alterations = Object.entries(settings).map(([name, value]) => `alter system set ${name} = '${value.replaceAll("'", "''")}';\n`)
	let started: Awaited<ReturnType<GenericContainer['start']>> | undefined
	let container: Container | undefined
	let failed: string | undefined
	let takeBack = () => {}
	const present = () => {
		if (!container) throw new Error('this PostgreSQL was never started')
		return container
	}
	const isRunning = async () => container !== undefined && (await container.inspect()).State.Running

	async function end(signal: string): Promise<void> {
		if (!(await isRunning())) return
		const one = present()
		// A frozen process takes no signal but SIGKILL, and Docker holds back even that.
		if ((await one.inspect()).State.Paused) await one.unpause()
		// The postmaster is process 1 of the container: when it ends, the kernel kills all others.
		await one.kill({ signal })
		await one.wait()
	}

	return {
		source: 'docker',
		major,
		connection: { host: runtime.info.containerRuntime.host.replace('localhost', '127.0.0.1'), port, user: 'postgres', password },
		async start() {
			failed = undefined
			if (container) {
				await container.start()
				return
			}
			started = await new library.GenericContainer(image)
				.withEnvironment({ POSTGRES_PASSWORD: password, POSTGRES_INITDB_ARGS: '--locale=C --encoding=UTF8 --no-sync' })
				.withExposedPorts({ container: 5432, host: port })
				.withCopyContentToContainer([{ content: alterations.join(''), target: '/docker-entrypoint-initdb.d/settings.sql' }])
				.start()
			const id = started.getId()
			container = runtime.container.getById(id)
			// testcontainers' own reaper removes it too, unless somebody turned that off.
			takeBack = cleanUpAtExit(() => void spawnSync('docker', ['rm', '--force', '--volumes', id], { stdio: 'ignore' }))
		},
		failure() {
			// The answer comes too late for this call and in time for the next one.
			void container?.inspect().then(
				({ State }) => {
					failed = State.Running ? undefined : `the container of ${image} has ended with code ${State.ExitCode}; see docker logs`
				},
				() => {},
			)
			return failed
		},
		stop: (mode) => end(mode === 'fast' ? 'SIGINT' : 'SIGQUIT'),
		kill: () => end('SIGKILL'),
		async pause() {
			await present().pause()
		},
		async resume() {
			await present().unpause()
		},
		async killBackend(pid) {
			const { exitCode, output } = (await started?.exec(['kill', '-9', String(pid)])) ?? { exitCode: 1, output: 'never started' }
			if (exitCode !== 0) throw new Error(`process ${pid} is no backend of this PostgreSQL: ${output.trim()}`)
		},
		async dispose() {
			takeBack()
			const one = container
			container = undefined
			await one?.remove({ v: true, force: true })
		},
	}
}
