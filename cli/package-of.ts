/** Where is a package that only some commands need? Beside Holdfast, else in the folder where the program was started. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { endings } from './exit-codes.ts'
import { UsageError } from './usage-error.ts'

/** The exports of a package, or of one of its entries. Throws a UsageError that says how to get it where it is in neither place. */
export async function packageOf<T>(name: string, folder = process.cwd()): Promise<T> {
	try {
		return (await import(name)) as T
	} catch (error) {
		if (!isMissing(error, name)) throw error
	}
	try {
		const path = createRequire(join(folder, 'package.json')).resolve(name)
		return (await import(pathToFileURL(path).href)) as T
	} catch (error) {
		if (!isMissing(error, name)) throw error
	}
	const known = packageName(name)
	throw new UsageError(`the package ${known} is needed and not installed here: npm install ${known}`, endings.missing.code)
}

/** Whether it is this package that is not there, and not one that it needs itself. */
function isMissing(error: unknown, name: string): boolean {
	const { code, message } = error as { code?: unknown; message?: unknown }
	const isAbsent = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
	return isAbsent && [name, packageName(name)].some((each) => String(message).includes(`'${each}'`))
}

const packageName = (name: string): string => name.split('/')[0] ?? name
