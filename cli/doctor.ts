/** How is this database? One look at it, told as text or as JSON, with an exit code for scripts. */
import { diagnose } from './diagnosis.ts'
import { endings } from './exit-codes.ts'
import { placeOf } from './place.ts'
import type { Place, Product } from './product.ts'
import { productOf } from './product-of.ts'
import type { Finding, Report } from './report.ts'
import type { Secrets } from './secrets.ts'
import { type State, states } from './states.ts'
import { readTarget, type Target } from './target.ts'
import type { Terminal } from './terminal.ts'

export interface DoctorOptions {
	readonly url: string | undefined
	readonly timeoutMs: number
	readonly json: boolean
	/** Warnings count. */
	readonly strict: boolean
}

/** What was found; this is what `--json` prints. */
export interface Examination extends Place {
	readonly product: Target['product']
	readonly state: State
	readonly exitCode: number
	readonly words: string
	readonly advice: string
	readonly error?: { readonly code: string | undefined; readonly message: string; readonly reason: string; readonly retryable: boolean }
	readonly report?: Report
}

/** Resolves with the exit code. Throws a UsageError for a bad URL. */
export async function examineDatabase(options: DoctorOptions, terminal: Terminal, secrets: Secrets): Promise<number> {
	const target = readTarget(options.url, process.env)
	const product = await productOf(target)
	const place = await placeOf(product, target, secrets)
	const examination = await examine(product, target, place, options)
	if (options.json) terminal.printJson(examination)
	else for (const line of linesOf(examination)) terminal.print(line)
	return examination.exitCode
}

async function examine(product: Product, target: Target, place: Place, { timeoutMs, strict }: DoctorOptions): Promise<Examination> {
	const found = (state: State, more: Pick<Examination, 'error' | 'report'>): Examination => {
		const { code, words, advice } = states[state]
		const warned = strict && state === 'up' && findingsOf(more.report).some(({ level }) => level === 'warning')
		return { product: target.product, ...place, state, exitCode: warned ? endings.advice.code : code, words, advice, ...more }
	}
	try {
		const session = await product.connect(target, timeoutMs)
		try {
			const report = await product.examine(session)
			return found(report.readOnly === undefined ? 'up' : 'read-only', { report })
		} finally {
			session.close()
		}
	} catch (error) {
		const { state, fault, message } = diagnose(error)
		const { code, reason, retryable } = fault
		return found(state, { error: { code, message, reason, retryable } })
	}
}

const findingsOf = (report: Report | undefined): readonly Finding[] => [...(report?.verification ?? []), ...(report?.settings ?? [])]

function linesOf({ address, words, advice, error, report, ...place }: Examination): string[] {
	const lines = [`${address} ${words}`]
	const add = (name: string, value: string | undefined) => value !== undefined && lines.push(`  ${name.padEnd(width)}  ${value}`)
	add('user', place.user)
	add('database', place.database)
	if (error !== undefined) {
		add('error', error.code === undefined ? error.message : `${error.code}: ${error.message}`)
		add('meaning', `${error.reason}; ${error.retryable ? 'this passes: Holdfast waits' : 'waiting does not mend this'}`)
	}
	if (report !== undefined) {
		add('server', `${report.flavour} ${report.version}`)
		add('writes', report.readOnly === undefined ? 'yes' : `no: ${report.readOnly}`)
		add('crash epoch', report.crashEpoch ?? 'not known')
		lines.push('', 'When the answer to a COMMIT is lost', ...report.verification.map(lineOf))
		lines.push('', 'On a bad day', ...report.settings.map(lineOf))
	}
	if (advice !== '') lines.push('', advice)
	return lines
}

// The longest name of a setting, and the mark before it.
const width = 44
const marks = { ok: 'ok     ', note: 'note   ', warning: 'WARNING' } as const

const lineOf = ({ name, level, value, says }: Finding): string =>
	`  ${marks[level]} ${name.padEnd(width - 8)}  ${value}${says === '' ? '' : ` - ${says}`}`
