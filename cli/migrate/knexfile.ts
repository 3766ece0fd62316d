/** Where is knex's configuration, and what does it say for this environment? Found and read as knex's own command line does it. */
import { existsSync, statSync } from 'node:fs'
import { dirname, extname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { packageOf } from '../package-of.ts'
import { UsageError } from '../usage-error.ts'

/** As knex names them. */
export interface KnexfileOptions {
	readonly knexfile: string | undefined
	readonly cwd: string | undefined
	readonly env: string | undefined
}

export interface Knexfile {
	/** The folder that relative paths in it start from. */
	readonly folder: string
	readonly environment: string
	readonly config: Readonly<Record<string, unknown>>
}

const extensions = ['js', 'mjs', 'cjs', 'ts', 'mts', 'cts']
const isTypescript = (path: string) => /^\.[mc]?ts$/.test(extname(path))

/** Finds and reads it. Throws a UsageError that says what is missing. */
export async function readKnexfile({ knexfile, cwd, env }: KnexfileOptions): Promise<Knexfile> {
	const base = resolve(cwd ?? '.')
	if (!existsSync(base) || !statSync(base).isDirectory()) throw new UsageError(`--cwd must be a folder, got ${JSON.stringify(cwd)}`)
	const path = knexfile === undefined ? findUp(base) : resolve(base, knexfile)
	if (path === undefined) throw new UsageError(`no knexfile (${extensions.join(', ')}) in ${base} or above it; name one with --knexfile`)
	if (!existsSync(path)) throw new UsageError(`--knexfile: there is no file ${path}`)
	const folder = knexfile === undefined || cwd !== undefined ? base : dirname(path)
	const all = await contentOf(path, folder)
	const environment = env ?? (process.env.NODE_ENV || 'development')
	return { folder, environment, config: configFor(environment, all, path, env !== undefined) }
}

function findUp(folder: string): string | undefined {
	const found = extensions.map((extension) => join(folder, `knexfile.${extension}`)).find((path) => existsSync(path))
	return found ?? (dirname(folder) === folder ? undefined : findUp(dirname(folder)))
}

async function contentOf(path: string, folder: string): Promise<Record<string, unknown>> {
	const before = process.cwd()
	// What it says of paths is meant from there, also while it is read.
	process.chdir(folder)
	let content: unknown
	try {
		if (isTypescript(path)) await readTypescript(dirname(path))
		content = unwrapped(await import(pathToFileURL(path).href))
		if (typeof content === 'function') content = await (content as () => unknown)()
	} catch (error) {
		if (error instanceof UsageError) throw error
		throw new UsageError(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
	} finally {
		process.chdir(before)
	}
	if (typeof content !== 'object' || content === null) throw new UsageError(`${path} must export an object, or a function that returns one`)
	return content as Record<string, unknown>
}

/** A module's default export; that of a compiled CommonJS module is one level deeper. */
function unwrapped(module: unknown): unknown {
	const inner = (value: unknown) => (typeof value === 'object' && value !== null && 'default' in value ? value.default : value)
	return inner(inner(module))
}

/** Lets this process import TypeScript, by tsx where it is installed, else by Node.js itself. */
async function readTypescript(folder: string): Promise<void> {
	try {
		// Migrations may be required as well as imported, after the package that they are in.
		for (const way of ['tsx/esm/api', 'tsx/cjs/api']) (await packageOf<{ register(): unknown }>(way, folder)).register()
	} catch (error) {
		if (!(error instanceof UsageError)) throw error
		if (!('typescript' in process.features) || process.features.typescript === false)
			throw new UsageError(`Node ${process.versions.node} cannot read TypeScript by itself: npm install --save-dev tsx`, error.exitCode)
	}
}

function configFor(environment: string, all: Record<string, unknown>, path: string, isAsked: boolean): Record<string, unknown> {
	const own = all[environment]
	if (typeof own === 'object' && own !== null) return own as Record<string, unknown>
	const isOneForAll = all.client !== undefined || all.connection !== undefined
	const isEmpty = !Object.values(all).some((part) => typeof part === 'object' && part !== null)
	if (isOneForAll || (isEmpty && !isAsked)) return all
	const known = Object.keys(all).join(', ')
	throw new UsageError(`${path} says nothing of the environment ${environment}; it has ${known}. Choose one with --env`)
}
