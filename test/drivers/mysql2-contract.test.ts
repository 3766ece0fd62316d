/** Does the mysql2 driver keep the contract on MySQL and on MariaDB? */
import { createPool } from 'mysql2/promise'
import { afterAll, beforeAll, describe } from 'vitest'
import { flavours, type MysqlServer, startMysql } from '../support/mysql.ts'
import { contract } from './contract.ts'
import { mysql2Subject } from './mysql2-subject.ts'

for (const flavour of flavours) {
	describe(flavour, () => {
		let server: MysqlServer
		beforeAll(async () => {
			server = await startMysql({ flavour })
		})
		afterAll(() => server.dispose())
		const subject = mysql2Subject(() => server, createPool)
		contract(`mysql2 on ${flavour}`, () => subject)
	})
}
