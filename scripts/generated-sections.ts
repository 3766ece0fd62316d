/** What do the generated parts of the documentation say? Tables drawn from the code, so that no fact is typed twice. */
import { endings, signalBase } from '../cli/exit-codes.ts'
import { settingRows as mysqlSettings } from '../cli/mysql/settings.ts'
import { settingRows as postgresSettings } from '../cli/postgres/settings.ts'
import type { SettingRow } from '../cli/report.ts'
import { states } from '../cli/states.ts'
import { classificationRows } from '../src/classify/tables.ts'
import { optionRows } from './option-rows.ts'

const cell = (value: unknown) =>
	String(value ?? '')
		.replaceAll('|', '\\|')
		.replaceAll('\n', ' ')
const code = (value: unknown) => (value === undefined || value === '' ? '' : `\`${cell(value)}\``)

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
	const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
	return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n')
}

/** A table of the options that these interfaces declare together. */
function optionsOf(...interfaces: readonly (readonly [file: string, name: string])[]): string {
	const rows = interfaces.flatMap(([file, name]) => optionRows(file, name))
	const heads = ['option', 'type', 'default', 'what it does']
	return table(
		heads,
		rows.map((row) => [code(row.name), code(row.type), cell(row.default), cell(row.description)]),
	)
}

function classification(): string {
	const heads = ['error', 'kind', 'scope', 'outcome', 'retried', 'why', 'source']
	const rows = classificationRows().map((row) => {
		const key = row.code ?? (row.prefix === undefined ? row.message : `${row.prefix}…`)
		const only = [row.says && `says ${code(row.says)}`, row.routine && `from ${code(row.routine)}`, row.phase && `while ${row.phase}`]
		const error = [[key, ...(row.also ?? [])].map(code).join(', '), ...only.filter(Boolean)].join(', ')
		const verdict = [code(row.kind), row.scope, row.outcome, row.retryable ? 'yes' : 'no']
		return [error, ...verdict, cell(row.reason), cell(row.source)]
	})
	return table(heads, rows)
}

/** Every way in which the command line ends, by number. */
function exitCodes(): string {
	const ofCommands = Object.values(endings).map(({ code: number, meaning }) => ({ number, meaning }))
	const ofStates = Object.entries(states)
		.filter(([, { code: number }]) => number !== 0)
		.map(([name, { code: number, words }]) => ({ number, meaning: `\`${name}\`: the server ${words}` }))
	const all = [...ofCommands, ...ofStates].sort((a, b) => a.number - b.number)
	const signals = [`${signalBase} + n`, 'a signal ended it, or the command behind `--`; n is its number']
	return table(['exit code', 'meaning'], [...all.map(({ number, meaning }) => [String(number), cell(meaning)]), signals])
}

function settingsOf(rows: readonly SettingRow[]): string {
	return table(
		['setting', 'why it matters', 'source'],
		rows.map(({ name, says, source }) => [code(name), cell(says), cell(source)]),
	)
}

/** What stands between `<!-- generated:NAME -->` and `<!-- /generated:NAME -->`, by name. */
export const generatedSections: Readonly<Record<string, () => string>> = {
	options: () => optionsOf(['src/pool-options.ts', 'PoolOptions']),
	'transaction-options': () => optionsOf(['src/contract.ts', 'TransactionModes'], ['src/transaction/runner.ts', 'TransactionOptions']),
	'scheduler-options': () => optionsOf(['src/outage/scheduler.ts', 'SchedulerOptions']),
	'retry-options': () => optionsOf(['src/retry/policy.ts', 'RetryOptions']),
	'migrate-options': () => optionsOf(['drivers/knex/migrate/options.ts', 'MigrateOptions']),
	'classify-options': () => optionsOf(['src/classify/classify.ts', 'ClassifyOptions']),
	classification,
	'exit-codes': exitCodes,
	'postgres-settings': () => settingsOf(postgresSettings),
	'mysql-settings': () => settingsOf(mysqlSettings),
}

/** The text with every generated section brought up to date. Throws on a marker that is unknown or has no end. */
export function withGeneratedSections(text: string): string {
	const opened = [...text.matchAll(/<!-- generated:(\S+) -->/g)].map((found) => found[1] as string)
	let result = text
	for (const name of opened) {
		const render = generatedSections[name]
		if (!render) throw new Error(`no generated section is called ${name}; known are ${Object.keys(generatedSections).join(', ')}`)
		const begin = `<!-- generated:${name} -->`
		const end = `<!-- /generated:${name} -->`
		const [from, to] = [result.indexOf(begin) + begin.length, result.indexOf(end)]
		if (to < from) throw new Error(`the section ${begin} has no ${end}`)
		result = `${result.slice(0, from)}\n${render()}\n${result.slice(to)}`
	}
	return result
}
