/** Does the driver keep the contract on older versions of mysql2, down to the oldest that package.json declares? */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { createPool } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type MysqlServer, startMysql } from '../support/mysql.ts'
import { installPrivatePackage, serversFolder } from '../support/private-package.ts'
import { contract, type Subject } from './contract.ts'
import { mysql2Subject } from './mysql2-subject.ts'

const folder = join(serversFolder, 'mysql2')
const { dependencies } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
const versions = Object.entries(dependencies).map(([alias, spec]) => [alias, spec.replace('npm:mysql2@', '')] as const)

let server: MysqlServer
const makers = new Map<string, typeof createPool>()
beforeAll(async () => {
	await installPrivatePackage(folder, 'older versions of mysql2')
	const load = createRequire(join(folder, 'package.json'))
	for (const [alias] of versions) makers.set(alias, load(`${alias}/promise`).createPool)
	server = await startMysql()
})
afterAll(() => server?.dispose())

for (const [alias, version] of versions) {
	describe(`mysql2 ${version}`, () => {
		let subject: Subject | undefined
		contract(`mysql2 ${version}`, () => {
			subject ??= mysql2Subject(() => server, makers.get(alias) as typeof createPool)
			return subject
		})
	})
}

test('the oldest version that is tested is the oldest that package.json declares', async () => {
	const { peerDependencies } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
		peerDependencies: Record<string, string>
	}
	expect(peerDependencies.mysql2).toBe(`^${versions[0]?.[1]}`)
})
