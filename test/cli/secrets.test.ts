/** Is a password ever written, whatever the URL looks like and whatever goes wrong? */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { run } from '../../cli/program.ts'
import { Secrets } from '../../cli/secrets.ts'
import { cli, startCli } from './run-cli.ts'

/** Runs a command line in this process; everything it wrote, on both streams. */
async function written(...words: string[]): Promise<string> {
	let text = ''
	const stream = { write: (part: string) => (text += part) }
	await run(words, { out: stream, err: stream })
	return text
}

// Nobody listens on port 1: each attempt ends at once.
const nowhere = '127.0.0.1:1'
const commands = [
	['wait', '--timeout', '20ms'],
	['doctor'],
	['doctor', '--json'],
	['explain'],
	[],
	['doctor', '--unknown'],
	['wait', 'surplus'],
] as const

// Long enough to be no chance hit among our own words.
const part = fc.string({ unit: fc.constantFrom(...'abcXYZ019_-.~!$&*+,;=:@/?#[]%^|<>"\'` ä✓'), minLength: 8, maxLength: 20 })
const forms: ((password: string) => string)[] = [
	(password) => `postgres://user:${encodeURIComponent(password)}@${nowhere}/db`,
	(password) => `mysql://user:${encodeURIComponent(password)}@${nowhere}/db`,
	(password) => `mariadb://user:${password}@${nowhere}/db`,
	(password) => `postgres://user:${password}@${nowhere}/db`,
	(password) => `postgresql://${nowhere}/db?user=me&password=${encodeURIComponent(password)}`,
	(password) => `postgres://${nowhere}/db?password=${password}`,
	(password) => `postgres://user:${password}@`,
	(password) => `postgres://user:${password}@${nowhere}:x/db`,
	(password) => `postgres:user:${password}@${nowhere}/db`,
	(password) => `oracle://user:${password}@${nowhere}/db`,
	(password) => `user:${password}@${nowhere}/db`,
	(password) => `host=127.0.0.1 port=1 user=me password='${password}'`,
	(password) =>
		`postgres://user:${[...password].map((c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0').slice(-2)}`).join('')}@${nowhere}/db`,
]

test('no form of URL, however malformed, brings a password into the output of any command', async () => {
	await fc.assert(
		fc.asyncProperty(part, fc.constantFrom(...forms), fc.constantFrom(...commands), async (middle, form, command) => {
			// A core that cannot occur by chance, so that parts of the password count as well.
			const password = `Zq9${middle}Kv7`
			const text = await written(...command, form(password))
			expect(text).not.toContain(password)
			expect(text).not.toContain(encodeURIComponent(password))
			expect(text).not.toMatch(/Zq9|Kv7/)
			expect(text).not.toMatch(/^\s+at /m)
		}),
		{ numRuns: 1500 },
	)
}, 60_000)

test('DATABASE_URL, PGPASSWORD and MYSQL_PWD are kept out as well', async () => {
	const env = { DATABASE_URL: `postgres://user:Zq9Kv7secret@${nowhere}/db`, PGPASSWORD: 'Kv7Zq9secret' }
	const ended = await startCli(['doctor'], { env }).ended()
	expect(ended).toMatchObject({ code: 10, err: '' })
	expect(ended.out).not.toMatch(/Zq9|Kv7/)
	const echoed = await startCli(['Kv7Zq9secret'], { env }).ended()
	expect(echoed.code).toBe(2)
	expect(echoed.err).not.toContain('Kv7Zq9secret')
})

test('texts of servers and drivers lose every known form of a password, and any URL loses what stands before its @', () => {
	const secrets = new Secrets()
	secrets.learn('postgres://user:p%40ss%2Fw0rd@host/db?sslpassword=k3y+pass')
	const text = 'p@ss/w0rd, p%40ss%2Fw0rd, "k3y pass", k3y+pass and mysql://somebody:else@host/db'
	expect(secrets.hide(text)).toBe('***, ***, "***", *** and mysql://***@host/db')
})

test('a password that is also the name of the user or an ordinary word is not blotted out of sentences: that would tell it', () => {
	const secrets = new Secrets()
	secrets.learn('postgres://tiger:tiger@host/db')
	secrets.learn('postgres://u:password@host/db')
	secrets.show('tiger')
	expect(secrets.hide('password authentication failed for user "tiger"')).toBe('password authentication failed for user "tiger"')
})

test('an unknown command does not repeat a URL in its place', async () => {
	const { code, err } = await cli('postgres://user:Zq9Kv7@host/db')
	expect(code).toBe(2)
	expect(err).not.toContain('Zq9')
})
