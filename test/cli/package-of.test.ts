/** Are packages that only some commands need found where people have them, and missed with a clear word? */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { packageOf } from '../../cli/package-of.ts'

let folder: string
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'holdfast-package-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function install(name: string, code: string): void {
	const place = join(folder, 'node_modules', name)
	mkdirSync(place, { recursive: true })
	writeFileSync(join(place, 'index.js'), code)
}

test('a package beside Holdfast is taken, and one in the folder where the program was started', async () => {
	expect(await packageOf('pg', folder)).toHaveProperty('default')
	install('only-here', 'module.exports = { where: "here" }')
	expect(await packageOf('only-here', folder)).toMatchObject({ default: { where: 'here' } })
})

test('one that is in neither place is a mistake with the command that mends it, and exit code 3', async () => {
	for (const name of ['not-anywhere', 'not-anywhere/entry'])
		await expect(packageOf(name, folder)).rejects.toMatchObject({
			name: 'UsageError',
			exitCode: 3,
			message: expect.stringContaining('npm install not-anywhere'),
		})
})

test('one that is there and lacks something itself is not called missing', async () => {
	install('broken', "require('what-it-needs')")
	await expect(packageOf('broken', folder)).rejects.toThrow('what-it-needs')
})
