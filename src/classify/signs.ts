/** What does one error show of itself, and who raised it? Reads codes, text and severity; decides nothing. */
import { read, readText } from './read.ts'
import type { Signs } from './table.ts'

/** The signs of one error object. */
export interface Signed extends Signs {
	/** Who raised it: a PostgreSQL server (it states a severity), a MySQL server (it states a number), or not known. */
	readonly from: 'postgres' | 'mysql' | 'unknown'
	/** PostgreSQL's severity. FATAL stands for PANIC too; undefined where there is none or it is translated. */
	readonly severity: 'ERROR' | 'FATAL' | undefined
	/** The code to show to people. */
	readonly code: string | undefined
	/** Names of the error's class, weaker than codes: a wrapper's name says less than what it wraps. */
	readonly names: readonly string[]
	/** The text without what knex puts in front of it. */
	readonly bareMessage: string
	/** Whether the error itself says that it happened while connecting. */
	readonly connecting: boolean
}

// The text of a system error, for wrappers that keep the text and lose the code (knex's LockError).
const systemErrorText = /^(connect|getaddrinfo|read|write) (E[A-Z_]+)\b/
const severities: Readonly<Record<string, 'ERROR' | 'FATAL'>> = { ERROR: 'ERROR', FATAL: 'FATAL', PANIC: 'FATAL' }

/** Reads the signs of an error. Never throws. */
export function signsOf(error: unknown): Signed {
	const message = readText(error, 'message') ?? ''
	const code = readText(error, 'code') ?? readText(error, 'originalCode')
	const severityText = readText(error, 'severity')
	const errno = read(error, 'errno')
	const fromMysql = typeof errno === 'number' && errno > 0 && severityText === undefined
	const text = code === undefined ? systemErrorText.exec(message) : null
	const codes = [fromMysql ? String(errno) : undefined, code, fromMysql ? undefined : readText(error, 'sqlState'), text?.[2]]
	const known = codes.filter((each) => each !== undefined && each !== '') as string[]
	const syscall = readText(error, 'syscall') ?? text?.[1]
	// knex writes the statement and " - " in front of the driver's text.
	const afterStatement = message.lastIndexOf(' - ')
	const name = readText(error, 'name')
	return {
		from: severityText !== undefined ? 'postgres' : fromMysql ? 'mysql' : 'unknown',
		severity: severityText === undefined ? undefined : severities[severityText],
		codes: known,
		code: code ?? known.find((each) => !fromMysql || each !== String(errno)),
		names: name === undefined ? [] : [name],
		message,
		bareMessage: afterStatement < 0 ? message : message.slice(afterStatement + 3),
		routine: readText(error, 'routine'),
		connecting: syscall === 'connect' || syscall === 'getaddrinfo',
	}
}
