/** Does the pg driver keep the contract on every PostgreSQL that we test with? */
import pg from 'pg'
import { afterAll, beforeAll, describe } from 'vitest'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import { contract } from './contract.ts'
import { pgSubject } from './pg-subject.ts'

for (const major of [14, 16, 18] as const) {
	describe(`PostgreSQL ${major}`, () => {
		let server: PostgresServer
		beforeAll(async () => {
			server = await startPostgres({ major })
		})
		afterAll(() => server.dispose())
		contract(
			`pg on ${major}`,
			(
				(subject) => () =>
					subject
			)(pgSubject(() => server, pg.Pool)),
		)
	})
}
