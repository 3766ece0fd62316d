/** How does a server run in Docker, when an engine answers? Through testcontainers, which is installed then. */
import { execFile, spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cleanUpAtExit } from './cleanup.ts'
import { freePort } from './free-port.ts'
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
	withCommand(command: string[]): this
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

/** What runs in the container. */
export interface ContainerPlan {
	readonly image: string
	/** Where the server listens inside. */
	readonly port: number
	readonly environment: Readonly<Record<string, string>>
	/** What the image runs when it starts for the first time. */
	readonly script: { readonly content: string; readonly target: string }
	/** Options of the server. Default: what the image says. */
	readonly command?: readonly string[]
}

/** A server in a container of its own, made at the first start. Its port stays. */
export interface ContainedServer {
	readonly host: string
	readonly port: number
	start(): Promise<void>
	/** Why it will never answer (it has ended again); undefined while it runs. */
	failure(): string | undefined
	/** Sends the signal to process 1 and resolves when the container has ended; nothing where it does not run. */
	end(signal: 'SIGINT' | 'SIGQUIT' | 'SIGTERM' | 'SIGKILL'): Promise<void>
	pause(): Promise<void>
	resume(): Promise<void>
	/** Runs a program inside. */
	exec(command: string[]): Promise<{ exitCode: number; output: string }>
	dispose(): Promise<void>
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
 * Gets the image ready. Throws when it cannot be had; Docker is not asked again by this process then, so that not every server waits
 * for a registry that is out of reach.
 */
export async function containedServer(plan: ContainerPlan): Promise<ContainedServer> {
	const { image } = plan
	try {
		const folder = join(serversFolder, 'docker')
		await installPrivatePackage(folder, 'testcontainers')
		const library = createRequire(join(folder, 'package.json'))('testcontainers') as Testcontainers
		const runtime = await library.getContainerRuntimeClient()
		await runtime.image.pull(library.ImageName.fromString(image))
		return serverIn(plan, library, runtime, await freePort())
	} catch (error) {
		answers = Promise.resolve(false)
		process.stderr.write(`Docker answers, but ${image} cannot be had from it (${String(error)}); looking elsewhere\n`)
		throw error
	}
}

function serverIn(
	plan: ContainerPlan,
	library: Testcontainers,
	runtime: Awaited<ReturnType<Testcontainers['getContainerRuntimeClient']>>,
	port: number,
): ContainedServer {
	let started: Awaited<ReturnType<GenericContainer['start']>> | undefined
	let container: Container | undefined
	let failed: string | undefined
	let takeBack = () => {}
	const present = () => {
		if (!container) throw new Error(`this ${plan.image} was never started`)
		return container
	}
	const isRunning = async () => container !== undefined && (await container.inspect()).State.Running

	return {
		host: runtime.info.containerRuntime.host.replace('localhost', '127.0.0.1'),
		port,
		async start() {
			failed = undefined
			if (container) {
				await container.start()
				return
			}
			const fresh = new library.GenericContainer(plan.image)
				.withEnvironment(plan.environment)
				.withExposedPorts({ container: plan.port, host: port })
				.withCopyContentToContainer([plan.script])
			started = await (plan.command ? fresh.withCommand([...plan.command]) : fresh).start()
			const id = started.getId()
			container = runtime.container.getById(id)
			// testcontainers' own reaper removes it too, unless somebody turned that off.
			takeBack = cleanUpAtExit(() => void spawnSync('docker', ['rm', '--force', '--volumes', id], { stdio: 'ignore' }))
		},
		failure() {
			// The answer comes too late for this call and in time for the next one.
			void container?.inspect().then(
				({ State }) => {
					failed = State.Running ? undefined : `the container of ${plan.image} has ended with code ${State.ExitCode}; see docker logs`
				},
				() => {},
			)
			return failed
		},
		async end(signal) {
			if (!(await isRunning())) return
			const one = present()
			// A frozen process takes no signal but SIGKILL, and Docker holds back even that.
			if ((await one.inspect()).State.Paused) await one.unpause()
			// The server is process 1 of the container: when it ends, the kernel kills all others.
			await one.kill({ signal })
			await one.wait()
		},
		async pause() {
			await present().pause()
		},
		async resume() {
			await present().unpause()
		},
		exec: async (command) => (await started?.exec(command)) ?? { exitCode: 1, output: 'never started' },
		async dispose() {
			takeBack()
			const one = container
			container = undefined
			await one?.remove({ v: true, force: true })
		},
	}
}
