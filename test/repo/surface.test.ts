/** Which names does the package export? Exactly the ones in surface.txt; a change there is a change of the public surface. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readModule, root, textOf } from './modules.ts'

const { exports } = JSON.parse(textOf('package.json')) as { exports: Record<string, string | { types: string; default: string }> }

// What the package exports as, and the source it is built from.
const entries = Object.entries(exports).flatMap(([subpath, target]) => {
	if (typeof target === 'string') return []
	return [{ name: subpath.replace('.', 'holdfast'), target, source: target.default.replace('./dist/', '').replace(/js$/, 'ts') }]
})

const listed = textOf('test/repo/surface.txt').split('\n').filter(Boolean)

for (const { name, source } of entries) {
	test(`${name} exports the names listed in surface.txt, each spelled out`, () => {
		const actual = [...readModule(source).exports].sort().map((exported) => `${name}: ${exported}`)
		expect(actual).toEqual(listed.filter((line) => line.startsWith(`${name}: `)).sort())
	})

	test(`every value that ${name} lists is there at run time`, async () => {
		const values = listed.filter((line) => line.startsWith(`${name}: `) && !line.includes(': type ')).map((line) => line.split(': ')[1])
		expect(Object.keys((await import(join(root, source))) as object).sort()).toEqual(values.sort())
	})
}

test('surface.txt names nothing but exports of the package', () => {
	const known = entries.map(({ name }) => name)
	expect(listed.filter((line) => !known.includes(line.split(': ')[0] ?? ''))).toEqual([])
})

test('the names that the documentation promises are listed', () => {
	const promised = ['retry', 'retrying', 'stop', 'wait', 'when', 'createScheduler', 'classify', 'retryReport']
	const errors = ['HoldfastError', 'RetryError', 'InDoubtError', 'OverloadError', 'DeadlineError']
	const wanted = [...promised, ...errors].map((name) => `holdfast: ${name}`)
	expect([...wanted, 'holdfast/pg: holdfast'].filter((line) => !listed.includes(line))).toEqual([])
})

test('types stand beside the code of each entry', () => {
	for (const { target } of entries) expect(target.types).toBe(target.default.replace(/js$/, 'd.ts'))
})
