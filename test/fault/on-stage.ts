/** What do fault tests that write share? A stage for the whole file, a fresh table for each test, replies that get lost, and nothing left. */
import { beforeEach } from 'vitest'
import type { Flavour } from '../support/mysql.ts'
import { staged } from '../support/staged.ts'
import { type MysqlStage, mysqlStage } from './mysql-stage.ts'
import { type Stage, stage } from './stage.ts'
import { type Writing, writing } from './writing.ts'

const tables = (columns = 'id int') => `DROP TABLE IF EXISTS written, holdfast_commits; CREATE TABLE written (${columns})`

export type WritingStage = Stage & Writing

interface OnMysql {
	readonly settings?: Record<string, string>
	/** Of the table `written`. Default `id int`. */
	readonly columns?: string
}

/** Registers the hooks. The stage is there once `beforeAll` has run. */
export function onStage(major?: 14 | 16 | 18): WritingStage {
	const at = staged(() => stage({}, major))
	beforeEach(() => at.ask(tables()))
	return Object.assign(at, writing(at))
}

/** The same on MySQL or MariaDB. */
export function onMysqlStage(flavour: Flavour, { settings, columns }: OnMysql = {}): MysqlStage & Writing {
	const at = staged(() => mysqlStage(flavour, settings))
	beforeEach(() => at.ask(tables(columns)))
	return Object.assign(at, writing(at))
}
