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

function listedFor(name: string): string[] {
	const prefix = `${name}: `
	const lines = listed.filter((line) => line.startsWith(prefix))
	return lines.map((line) => line.slice(prefix.length)).sort()
}

for (const { name, source } of entries) {
	test(`${name} exports the names listed in surface.txt, each spelled out`, () => {
		const actual = [...readModule(source).exports].sort()
		expect(actual).toEqual(listedFor(name).filter((line) => !line.includes('.')))
	})

	test(`every value that ${name} lists is there at run time, the members of stop, wait and when included`, async () => {
		const values = listedFor(name).filter((line) => !line.startsWith('type '))
		const module = (await import(join(root, source))) as Record<string, object>
		const members = Object.entries(module).flatMap(([key, value]) =>
			Object.prototype.toString.call(value) === '[object Module]'
				? [key, ...Object.keys(value).map((member) => `${key}.${member}`)]
				: [key],
		)
		expect(members.sort()).toEqual(values)
	})
}

test('surface.txt names nothing but exports of the package', () => {
	const known = entries.map(({ name }) => name)
	expect(listed.filter((line) => !known.includes(line.split(': ')[0] ?? ''))).toEqual([])
})

test('the names that the documentation promises are listed', () => {
	const promised = ['retry', 'retrying', 'retryWith', 'wrap', 'stop', 'wait', 'when', 'createScheduler', 'classify', 'retryReport']
	const errors = ['HoldfastError', 'RetryError', 'InDoubtError', 'OverloadError', 'DeadlineError']
	const wanted = [...promised, ...errors].map((name) => `holdfast: ${name}`)
	expect([...wanted, 'holdfast/pg: holdfast'].filter((line) => !listed.includes(line))).toEqual([])
})

test('types stand beside the code of each entry', () => {
	for (const { target } of entries) expect(target.types).toBe(target.default.replace(/js$/, 'd.ts'))
})
