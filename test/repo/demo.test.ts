/** Does the demo keep its word: an exit code that tells the truth, a picture, plain lines in a pipe, and nothing left behind? */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Stage } from '../../examples/demo/acts.ts'
import { audit } from '../../examples/demo/audit.ts'
import { openBank } from '../../examples/demo/bank.ts'
import { brokenPromises } from '../../examples/demo/summary.ts'
import { Tally } from '../../examples/demo/tally.ts'
import { timeline } from '../../examples/demo/timeline.ts'
import { until } from '../support/until.ts'
import { root } from './modules.ts'

const demo = [join(root, 'scripts/run.mjs'), 'examples/demo/main.ts']
const demoLimitMs = 90_000

let folder: string

beforeEach(async () => {
	folder = mkdtempSync(join(tmpdir(), 'demo-test-'))
	// The user who runs the server has to get through.
	await chmod(folder, 0o755)
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Starts the demo as a process group of its own, as a terminal does, with a place of its own for temporary files. */
function startDemo(...args: string[]): { child: ChildProcess; output(): string } {
	const child = spawn(process.execPath, [...demo, ...args], {
		cwd: folder,
		env: { ...process.env, TMPDIR: folder },
		stdio: ['ignore', 'pipe', 'pipe'],
		detached: true,
	})
	let output = ''
	const keep = (chunk: Buffer) => {
		output += chunk
	}
	child.stdout?.on('data', keep)
	child.stderr?.on('data', keep)
	return { child, output: () => output }
}

/** Resolves when no process mentions the folder any more and nothing but the picture is in it. */
async function nothingLeft(): Promise<void> {
	const left = () => [
		...execFileSync('ps', ['-A', '-o', 'pid=,args='], { encoding: 'utf8' })
			.split('\n')
			.filter((line) => line.includes(folder)),
		...readdirSync(folder).filter((name) => name !== 'demo-timeline.svg'),
	]
	await until(() => left().length === 0, { what: `nothing to be left of the demo, there is ${left().join('; ')}`, everyMs: 50 })
}

/** The first thing that is wrong with a text as XML; undefined where it is well formed. */
function xmlFault(text: string): string | undefined {
	const open: string[] = []
	const withoutTags = text.replaceAll(/<(\/?)([a-zA-Z]+)((?:\s+[a-zA-Z:-]+="[^"<]*")*)\s*(\/?)>/g, (_, closing, name, __, empty) => {
		if (closing === '') {
			if (empty === '') open.push(name)
		} else if (open.pop() !== name) open.push(`/${name}`)
		return ''
	})
	if (open.length > 0) return `unbalanced: ${open.join(' ')}`
	return /<|&(?!(amp|lt|gt|quot);)/.exec(withoutTags)?.[0]
}

test.each([
	['PostgreSQL', []],
	['MySQL', ['--driver', 'mysql2']],
	['MariaDB', ['--driver', 'mysql2', '--server', 'mariadb']],
] as const)(
	'a short run on %s exits with 0, in plain lines, with a table of both sides and a picture in the file that it names, and leaves nothing behind',
	async (product, args) => {
		const { child, output } = startDemo('--seconds', '8', '--workers', '20', ...args)
		const [code] = await once(child, 'close')
		expect(code, output()).toBe(0)
		expect(output()).toMatch(new RegExp(`^${product} \\d.*; on each side 20 workers`, 'm'))
		for (const act of ['kill -9', 'clean restart', 'connections terminated', 'deadlocks', 'serialization failures']) {
			expect(output()).toContain(`---- ${act} ----`)
		}
		expect(output()).toMatch(/^ {3}1 s {2}wrapped .* commits .* errors .* waiting {2}endpoint \w+$/m)
		expect(output()).toMatch(/^errors that reached the application +0 +[\d,]*[1-9][\d,]*$/m)
		expect(output()).toMatch(/^balance check +exact +exact$/m)
		// A pipe gets no cursor movement, no colour, no carriage return.
		expect([...output()].filter((character) => character < ' ' && character !== '\n')).toEqual([])
		const picture = join(folder, 'demo-timeline.svg')
		expect(output()).toContain(picture)
		expect(xmlFault(readFileSync(picture, 'utf8'))).toBeUndefined()
		await nothingLeft()
	},
	demoLimitMs,
)

test.each([
	['Ctrl-C during an outage ends the demo with 130', 'SIGINT', 'group', 130],
	['SIGTERM to the runner alone ends the demo with 143', 'SIGTERM', 'runner', 143],
] as const)(
	'%s and leaves neither a process nor a file',
	async (_, signal, whom, exitCode) => {
		const { child, output } = startDemo('--seconds', '30')
		await until(() => output().includes('---- kill -9 ----'), { what: 'the first act', timeoutMs: demoLimitMs })
		const pid = child.pid as number
		process.kill(whom === 'group' ? -pid : pid, signal)
		const [code] = await once(child, 'close')
		expect(code, output()).toBe(exitCode)
		await nothingLeft()
		expect(existsSync(join(folder, 'demo-timeline.svg'))).toBe(false)
	},
	demoLimitMs,
)

test(
	'a bad option is named with its rule and value before anything is started, with exit code 2',
	async () => {
		for (const [args, message] of [
			[['--seconds', '5s'], '--seconds must be a whole number from 8 to 600, got "5s"'],
			[['--driver', 'oracle'], '--driver must be one of pg, mysql2, got "oracle"'],
			[['--server', 'mariadb'], '--server must be one of postgres with --driver pg, got "mariadb"'],
			[['--out', 'no/such/folder/x.svg'], '--out must be a file in a folder that exists, got "no/such/folder/x.svg"'],
			[['--secnods', '9'], "Unknown option '--secnods'"],
		] as const) {
			const { child, output } = startDemo(...args)
			const [code] = await once(child, 'close')
			expect({ code, output: output() }).toMatchObject({ code: 2, output: expect.stringContaining(message) })
			expect(output()).not.toContain('starting')
		}
	},
	demoLimitMs,
)

test.each(['postgres', 'mariadb'] as const)(
	'the audit of %s sees a lost cent, a lost transfer, and one that was done although it was reported as failed',
	async (name) => {
		const bank = await openBank(name)
		try {
			const database = await bank.found('bare')
			const side = bank.open('bare', database, new Tally(new Stage().now))
			const transfer = { from: 1, to: 2, cents: 100, isolation: 'serializable' } as const
			for (const id of [1, 2]) await side.transfer({ ...transfer, id })
			await side.end()
			const { tally } = side
			tally.started()
			tally.committed(1)
			tally.started()
			tally.committed(2)
			const exact = { centsOff: 0, wrongAccounts: 0, lost: 0, doneAfterAll: 0, unanswered: 0 }
			expect(await audit(bank, side)).toEqual(exact)
			expect(brokenPromises({ side, audit: exact, hanging: 0 })).toEqual([])
			await bank.server.query('update accounts set cents = cents - 1 where id = 1', database)
			tally.started()
			tally.committed(3)
			tally.done.delete(2)
			tally.started()
			tally.failedWith(2, new Error('<no> & "yes"'))
			const found = await audit(bank, side)
			expect(found).toEqual({ centsOff: -1, wrongAccounts: 1, lost: 1, doneAfterAll: 1, unanswered: 0 })
			expect(brokenPromises({ side, audit: found, hanging: 1 })).toHaveLength(6)
			const picture = timeline({ sides: [side], acts: [{ title: '<a> & b', fromMs: 0, toMs: 1 }], endMs: 10, setting: '"' })
			expect(xmlFault(picture)).toBeUndefined()
		} finally {
			await bank.server.dispose()
		}
	},
)

test('the check of the picture sees what is no XML', () => {
	expect(xmlFault('<a><b/>x &amp; y</a>')).toBeUndefined()
	expect(xmlFault('<a><b></a>')).toBeDefined()
	expect(xmlFault('<a>1 < 2</a>')).toBeDefined()
	expect(xmlFault('<a>x & y</a>')).toBeDefined()
})
