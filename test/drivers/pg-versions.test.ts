/** Does the driver keep the contract on older versions of pg, down to the oldest that package.json declares? */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import { installPrivatePackage, serversFolder } from '../support/private-package.ts'
import { contract, type Subject } from './contract.ts'
import { openingKept } from './opening-cases.ts'
import { pgSubject } from './pg-subject.ts'

const folder = join(serversFolder, 'pg')
const { dependencies } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
const versions = Object.entries(dependencies)
	.filter(([alias]) => alias.startsWith('pg-'))
	.map(([alias, spec]) => [alias, spec.replace('npm:pg@', '')] as const)

let server: PostgresServer
const classes = new Map<string, typeof pg.Pool>()
beforeAll(async () => {
	await installPrivatePackage(folder, 'older versions of pg')
	const load = createRequire(join(folder, 'package.json'))
	for (const [alias] of versions) {
		const { Client } = load(alias) as typeof pg
		const OwnPool = load(`pool-of-${alias}`) as new (options: object, Class: typeof pg.Client) => object
		// As pg itself ties its Pool to its Client.
		class Pool extends OwnPool {
			constructor(options: object) {
				super(options, Client)
			}
		}
		classes.set(alias, Pool as unknown as typeof pg.Pool)
	}
	server = await startPostgres()
})
afterAll(() => server?.dispose())

for (const [alias, version] of versions) {
	describe(`pg ${version}`, () => {
		let subject: Subject | undefined
		contract(`pg ${version}`, () => {
			subject ??= pgSubject(() => server, classes.get(alias) as typeof pg.Pool)
			return subject
		})
		openingKept(`pg ${version}`, () => ({
			server,
			Pool: classes.get(alias) as typeof pg.Pool,
			limitsQueries: alias !== 'pg-8.11',
		}))
	})
}

test('the oldest version that is tested is the oldest that package.json declares', async () => {
	const { peerDependencies } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
		peerDependencies: Record<string, string>
	}
	expect(peerDependencies.pg).toBe(`^${versions[0]?.[1]}`)
})
