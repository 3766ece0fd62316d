/** Which rows of knowledge does somebody mean who types a code, a number, a name, a class or a whole message? */
import { getSystemErrorMap } from 'node:util'
import { builtIn, type ClassificationRow, classificationRows, lookup } from '../../src/knowledge.ts'
import { conditionNames } from './condition-names.ts'
import { serverTexts } from './server-texts.ts'

/** What was understood, and the rows for it: the general one first. */
export interface Found {
	readonly subject: string
	readonly rows: readonly ClassificationRow[]
}

const rows = classificationRows()

/** Everything that fits; empty where no row knows it. */
export function findRows(given: string): Found[] {
	const text = given.trim()
	if (text === '') return []
	const found = byCode(text) ?? byName(text) ?? bySystemNumber(text) ?? byClass(text) ?? byMessage(text)
	return found.filter((one) => one.rows.length > 0)
}

const one = (subject: string, some: readonly ClassificationRow[]): Found[] | undefined =>
	some.length > 0 ? [{ subject, rows: [...some].sort(generalFirst) }] : undefined

// A row that asks for less comes first.
const generalFirst = (a: ClassificationRow, b: ClassificationRow) => conditions(a) - conditions(b)
const conditions = ({ says, routine, phase }: ClassificationRow) => [says, routine, phase].filter((each) => each !== undefined).length

/** A code as rows have it; else, of five characters, the rows of its class. */
function byCode(text: string): Found[] | undefined {
	const code = rows.some((row) => row.code === text || row.also?.includes(text)) ? text : text.toUpperCase()
	const exact = rows.filter((row) => row.code === code || row.also?.includes(code))
	if (exact.length > 0) return one(code, exact)
	if (!/^[0-9A-Z]{5}$/.test(code) && !/^ERR_|^HANDSHAKE_/.test(code)) return undefined
	const prefixed = rows.filter((row) => row.prefix !== undefined && code.startsWith(row.prefix))
	return one(code, prefixed)
}

/** A name that PostgreSQL gives to a code, or a kind of fault in our own words. */
function byName(text: string): Found[] | undefined {
	const name = text.toLowerCase().replaceAll(/[\s-]+/g, '_')
	const code = Object.hasOwn(conditionNames, name) ? conditionNames[name] : undefined
	const named = code === undefined ? undefined : byCode(code)?.map((found) => ({ ...found, subject: `${name} (${code})` }))
	return (
		named ??
		one(
			`the kind ${name}`,
			rows.filter((row) => row.kind === name && name !== 'permanent'),
		)
	)
}

/** A number of the operating system, with or without its minus. */
function bySystemNumber(text: string): Found[] | undefined {
	if (!/^-?\d{1,3}$/.test(text) || /^\d{2}$/.test(text)) return undefined
	const name = getSystemErrorMap().get(-Math.abs(Number(text)))?.[0]
	return name === undefined ? undefined : byCode(name)?.map((found) => ({ ...found, subject: `${text} (${name})` }))
}

/** `40`, `class 40`, `40…`, `40xxx`: all rows of a class of SQLSTATEs. */
function byClass(text: string): Found[] | undefined {
	const name = /^(?:class\s+)?([0-9A-Z]{2})(?:xxx|\*+|\.{3}|…)?$/i.exec(text)?.[1]?.toUpperCase()
	if (name === undefined) return undefined
	const isOfClass = (row: ClassificationRow) => row.prefix === name || (row.code?.length === 5 && row.code.startsWith(name))
	return one(
		`class ${name}`,
		rows.filter((row) => isOfClass(row) && !/^E[A-Z]/.test(row.code ?? '')),
	)
}

// Codes inside a message. Five digits or letters alone may be a port or a word.
const sqlstate = /(?:SQLSTATE\W*|\bcode\W*|\(|\bERROR:\s+)([0-9A-Z]{5})\b/g
const mysqlNumber = /\b(?:ERROR|errno|code)\W*(\d{4})\b/gi
const symbol = /\b((?:ER|CR|ERR|HOLDFAST|PROTOCOL|HANDSHAKE)_[A-Z0-9_]+|E[A-Z]{3,}(?:_[A-Z]+)*)\b/g

/** A message as a client or a server words it, perhaps with a code in it. */
function byMessage(text: string): Found[] {
	for (const phase of ['statement', 'connect', 'commit'] as const) {
		const row = lookup(builtIn.unknown, { codes: [], message: text, routine: undefined }, phase)
		if (row !== undefined) return [{ subject: 'the message', rows: [row] }]
	}
	const codes = [symbol, mysqlNumber, sqlstate].flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1] as string))
	const said = serverTexts.filter((row) => row.text.test(text)).map((row) => row.code)
	const saying = rows.filter((row) => row.says !== undefined && text.includes(row.says))
	const inText = [...new Set([...codes, ...said])].flatMap((code) => byCode(code) ?? [])
	return inText.length > 0 ? inText.map((found) => narrowed(found, text)) : (one('the message', saying) ?? [])
}

/** Of several rows for a code, those whose own words are in the text; else those without. */
function narrowed(found: Found, text: string): Found {
	const saying = found.rows.filter((row) => row.says !== undefined && text.includes(row.says))
	return saying.length > 0 ? { ...found, rows: saying } : found
}
