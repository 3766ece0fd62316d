/** What did a bench find, and did it keep its limits? Printed as it comes, and written to a dated file on request. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { load, machineFacts } from './machine.ts'
import type { ServerName } from './subject.ts'
import { type Cell, digits, table } from './table.ts'

const resultsFolder = join(import.meta.dirname, '../results')

interface Limit {
	readonly what: string
	readonly measured: number
	readonly rule: string
	readonly kept: boolean
}

export class Report {
	readonly #name: string
	readonly #server: ServerName
	readonly #lines: string[] = []
	readonly #limits: Limit[] = []
	readonly #pictures: { readonly file: string; readonly svg: string }[] = []
	readonly #date = new Date().toISOString().slice(0, 10)
	readonly #loadAtStart = load()
	#isSimulated = false

	constructor(name: string, question: string, server: ServerName = 'postgres') {
		this.#name = name
		this.#server = server
		this.say(`# ${name}: ${question}`)
		this.say('')
		for (const fact of machineFacts()) this.say(`- ${fact}`)
	}

	/** One line of the report. */
	say(line: string): void {
		this.#lines.push(line)
		console.log(line)
	}

	/** No figure depends on the machine or its load: the same run again gives the same text. */
	simulated(): void {
		this.#isSimulated = true
	}

	/** A line about how far it is; not part of the report. */
	progress(line: string): void {
		process.stderr.write(`  ${line}\n`)
	}

	table(heads: readonly string[], rows: readonly (readonly Cell[])[]): void {
		this.say('')
		for (const line of table(heads, rows).split('\n')) this.say(line)
		this.say('')
	}

	/** A picture as the text of an SVG file: shown in the report, and written beside it. */
	picture(name: string, shows: string, svg: string): void {
		const file = `${this.#date}-${this.#name}${name === '' ? '' : `-${name}`}.svg`
		this.#pictures.push({ file, svg })
		this.say('')
		this.say(`![${shows}](${file})`)
		this.say('')
	}

	/** A figure that must not be above the limit. */
	atMost(what: string, measured: number, limit: number): void {
		this.#limits.push({ what, measured, rule: limit === 0 ? '0' : `at most ${digits(limit)}`, kept: measured <= limit })
	}

	/** A figure that must not be below the limit. */
	atLeast(what: string, measured: number, limit: number): void {
		this.#limits.push({ what, measured, rule: `at least ${digits(limit)}`, kept: measured >= limit })
	}

	/** Prints the limits and returns whether all were kept. With `save`, writes everything to `bench/results/`. */
	end(save: boolean): boolean {
		const kept = this.#limits.every((limit) => limit.kept)
		this.table(
			['limit', 'measured', 'must be', 'kept'],
			this.#limits.map(({ what, measured, rule, kept }) => [what, digits(measured), rule, kept]),
		)
		if (!this.#isSimulated) this.say(`Load of the machine (1 minute): ${this.#loadAtStart} at the start, ${load()} at the end.`)
		if (save) {
			const now = new Date().toISOString()
			const isPg = this.#server === 'postgres'
			const file = `${this.#date}-${this.#name}${isPg ? '' : `-${this.#server}`}.md`
			const where = isPg ? '' : ` --driver mysql2 --server ${this.#server}`
			const [title, ...rest] = this.#lines
			const command = `- Taken ${now.slice(0, 16).replace('T', ' ')} UTC by \`npm run bench -- ${this.#name}${where} --save\``
			mkdirSync(resultsFolder, { recursive: true })
			writeFileSync(join(resultsFolder, file), `${[title, '', command, ...rest.slice(1)].join('\n').trimEnd()}\n`)
			for (const { file, svg } of this.#pictures) writeFileSync(join(resultsFolder, file), svg)
			console.log(`Written to bench/results/${file}`)
		}
		return kept
	}
}
