/** Where are the libraries that Holdfast is measured beside? Installed on first use, typed by the parts that are called. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { installPrivatePackage } from '../../test/support/private-package.ts'

export const peersFolder = join(import.meta.dirname, '../peers')

interface PRetryOptions {
	signal?: AbortSignal
	retries?: number
	minTimeout?: number
	maxTimeout?: number
	onFailedAttempt?(context: { error: unknown; attemptNumber: number }): void | Promise<void>
}

type Template = (text: TemplateStringsArray, ...values: unknown[]) => unknown
interface Statements {
	query(statement: unknown): Promise<unknown>
}

/** The calls of each peer that the benches make. */
interface Peers {
	'p-retry': { default<T>(work: () => Promise<T>, options?: PRetryOptions): Promise<T> }
	'async-retry': { default<T>(work: () => Promise<T>): Promise<T> }
	cockatiel: {
		handleAll: unknown
		ExponentialBackoff: new () => unknown
		retry(policy: unknown, options: { maxAttempts: number; backoff: unknown }): { execute<T>(work: () => Promise<T>): Promise<T> }
	}
	slonik: {
		sql: { unsafe: Template }
		createPool(
			url: string,
			options: { maximumPoolSize: number },
		): Promise<Statements & { transaction(work: (tx: Statements) => Promise<void>): Promise<void>; end(): Promise<void> }>
	}
	'@databases/pg': {
		/** A CommonJS module, whose exports Node puts under `default`. */
		default: {
			sql: Template
			default(options: { connectionString: string; poolSize: number; bigIntMode: 'number' }): {
				tx(work: (tx: Statements) => Promise<void>, options: { retrySerializationFailures: boolean }): Promise<void>
				dispose(): Promise<void>
			}
		}
	}
	'postgres-pool': {
		Pool: new (
			options: object,
		) => { on(event: 'error', heard: () => void): void; query(text: string): Promise<unknown>; end(): Promise<void> }
	}
	opossum: { default: new <T>(work: () => Promise<T>) => { fire(): Promise<T>; shutdown(): void } }
}

/** Installs the peers as their lock file says, with one line of output when there is something to do. */
export const installPeers = (): Promise<void> => installPrivatePackage(peersFolder, 'the libraries to compare with')

/** Loads a peer; `installPeers` must have resolved. */
export async function peer<Name extends keyof Peers>(name: Name): Promise<Peers[Name]> {
	const resolve = createRequire(join(peersFolder, 'package.json')).resolve
	return (await import(pathToFileURL(resolve(name)).href)) as Peers[Name]
}
