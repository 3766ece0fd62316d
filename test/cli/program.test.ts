/** Does every wrong command line end with a clear word and exit code 2, and every right one know --help and --version? */
import { expect, test } from 'vitest'
import { endings } from '../../cli/exit-codes.ts'
import { run } from '../../cli/program.ts'
import { states } from '../../cli/states.ts'
import { textOf } from '../repo/modules.ts'
import { cli } from './run-cli.ts'

const { version } = JSON.parse(textOf('package.json')) as { version: string }

async function said(...words: string[]): Promise<{ code: number; out: string; err: string }> {
	const written = { out: '', err: '' }
	const into = (name: 'out' | 'err') => ({ write: (text: string) => (written[name] += text) })
	return { code: await run(words, { out: into('out'), err: into('err') }), ...written }
}

const commands = ['wait', 'doctor', 'explain']

test.each([[], ...commands.map((name) => [name])])(
	'holdfast %s --help and --version answer on stdout, with exit code 0',
	async (...words) => {
		const usage = ['Usage: holdfast', ...words].join(' ')
		for (const flag of ['--help', '-h'])
			expect(await said(...words, flag)).toMatchObject({ code: 0, err: '', out: expect.stringContaining(usage) })
		for (const flag of ['--version', '-V']) expect(await said(...words, flag)).toEqual({ code: 0, err: '', out: `${version}\n` })
		expect(await said('help', ...words)).toMatchObject({ code: 0, err: '', out: expect.stringContaining(usage) })
	},
)

test.each<[string[], RegExp]>([
	[[], /Usage: holdfast/],
	[['wate'], /unknown command 'wate'\n\(Did you mean wait\?\)/],
	[['--nope'], /unknown option '--nope'/],
	[['wait', '--time', '5'], /unknown option '--time'/],
	[['wait', 'postgres://h/d', 'surplus'], /too many arguments/],
	[['wait'], /no database URL: give one, or set DATABASE_URL/],
	[['wait', ''], /no database URL/],
	[['wait', 'http://h/d'], /must begin with postgres:\/\//],
	[['wait', 'postgres://h:port/d'], /cannot be read as a URL/],
	[['wait', 'postgres://h:99999/d'], /cannot be read as a URL/],
	[['wait', 'postgres://h:0/d'], /port 0/],
	[['wait', 'postgres://u:p%zz@h/d'], /cannot be read as a URL.*% as %25/],
	[['wait', 'postgres://u:p/w@h/d'], /cannot be read as a URL|unencoded @/],
	[['wait', 'postgres://u:1/w@h/d'], /unencoded @ or # behind the host/],
	[['wait', 'postgres://u:p#w@h/d'], /unencoded @ or #|cannot be read/],
	[['wait', 'postgres://h/d?sslrootcert=/no/such/file'], /the URL cannot be used: ENOENT/],
	[['wait', 'mysql://h/d?ssl=true'], /the URL cannot be used: SSL profile must be an object/],
	[['wait', '--timeout', 'soon', 'postgres://h/d'], /--timeout must be a time such as 30, 30s, 500ms or 2m \(0 for no limit\), got "soon"/],
	[['wait', '--timeout', '-5', 'postgres://h/d'], /--timeout/],
	[['wait', '--timeout'], /argument missing/],
	[['wait', 'postgres://h/d', '--'], /no command behind --/],
	[['doctor', '--timeout', '0', 'postgres://h/d'], /--timeout must be more than 0/],
	[['doctor', 'postgres://h/d', '--', 'x'], /too many arguments/],
])('holdfast %j is refused', async (words, message) => {
	const { code, out, err } = await said(...words)
	expect({ code, out }).toEqual({ code: 2, out: '' })
	expect(err).toMatch(message)
	expect(err).not.toMatch(/^\s+at /m)
})

test('as a process it ends the same way', async () => {
	expect(await cli('wate')).toMatchObject({ code: 2, out: '', err: expect.stringContaining("unknown command 'wate'") })
	expect(await cli('--version')).toEqual({ code: 0, out: `${version}\n`, err: '' })
})

test('no two meanings share an exit code', () => {
	const codes = [...Object.values(endings), ...Object.values(states)].map(({ code }) => code).filter((code) => code !== 0)
	expect(new Set(codes).size).toBe(codes.length)
	expect(codes.filter((code) => code > 128)).toEqual([])
})
