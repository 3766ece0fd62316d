/** Do the installed drivers still raise the texts and codes that the tables know them by? */
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { clientRows } from '../../../src/classify/clients.ts'
import { mysqlRows } from '../../../src/classify/mysql.ts'

const require = createRequire(import.meta.url)

/** The folder of an installed package; not every package lets its package.json be asked for. */
function rootOf(name: string): string {
	const entry = require.resolve(name)
	const folder = join('node_modules', name)
	return entry.slice(0, entry.lastIndexOf(folder) + folder.length)
}

/** All of a package's own JavaScript in one text. */
function sourceOf(name: string, folder: string): string {
	const root = rootOf(name)
	const files = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter(
		(file) => file.endsWith('.js') && !file.includes('node_modules'),
	)
	return files.map((file) => readFileSync(join(root, folder, file), 'utf8')).join('\n')
}

const sources = {
	pg: sourceOf('pg', 'lib'),
	'pg-pool': sourceOf('pg-pool', '.'),
	mysql2: sourceOf('mysql2', 'lib'),
} as const

const packageOf = (source: string) => /^(pg|pg-pool|mysql2) \d/.exec(source)?.[1] as keyof typeof sources | undefined
const watched = clientRows.flatMap((row) => {
	const name = packageOf(row.source)
	return name ? [[name, row.code ?? row.message, row] as const] : []
})

test.each(watched)('%s still raises %s', (name, key) => {
	const text = key instanceof RegExp ? key.source.replace('^', '') : String(key)
	expect(
		sources[name].includes(`'${text}'`) ||
			sources[name].includes(`"${text}"`) ||
			(key instanceof RegExp && sources[name].includes(`'${text}`)),
	).toBe(true)
})

test('a text that no driver has would be noticed', () => {
	expect(watched.length).toBeGreaterThan(20)
	expect(sources.pg).not.toContain('Connection terminated without warning')
})

test.each(['Connection terminated', 'Query read timeout'])('the native client of pg raises %s as well', (text) => {
	expect(sourceOf('pg', 'lib/native')).toContain(`'${text}'`)
})

test('mysql2 gives each number the name that the row has, where it knows the number', () => {
	const names: Readonly<Record<string, unknown>> = require(join(rootOf('mysql2'), 'lib/constants/errors.js'))
	const unnamed = mysqlRows.filter((row) => names[row.code!] === undefined).map((row) => row.code)
	for (const row of mysqlRows) if (names[row.code!] !== undefined) expect(row.also, row.code).toContain(names[row.code!])
	expect(new Set(unnamed)).toEqual(new Set(['1927', '1969', '2002', '2003', '2005', '2006', '2013', '2055']))
})
