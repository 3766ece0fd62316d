/** Does the command behind `--` run as if it had been started in the place of `wait`? Signals, exit code, streams. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import { signalQuietly } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { cli, startCli } from './run-cli.ts'

let server: PostgresServer
beforeAll(async () => {
	server = await startPostgres()
})
afterAll(() => server?.dispose())

const program = (code: string) => ['--', process.execPath, '-e', code]
const wait = (...command: string[]) => cli('wait', server.url(), ...command)

test('the exit code of the command is that of wait, and its output is all there is on stdout', async () => {
	expect(await wait(...program("console.log('ran'); process.exit(7)"))).toMatchObject({ code: 7, out: 'ran\n' })
	expect((await wait(...program(''))).code).toBe(0)
})

test('options behind -- belong to the command, and so does a second --', async () => {
	const echo = 'console.log(JSON.stringify(process.argv.slice(1)))'
	const ended = await wait('--', process.execPath, '-e', echo, '--', '--timeout', '5', '--', '--help')
	expect(ended).toMatchObject({ code: 0, out: '["--timeout","5","--","--help"]\n' })
})

test('the command has the environment, DATABASE_URL included, which names the database where no URL is given', async () => {
	const words = ['wait', ...program('console.log(process.env.DATABASE_URL)')]
	expect(await startCli(words, { env: { DATABASE_URL: server.url() } }).ended()).toMatchObject({ code: 0, out: `${server.url()}\n` })
})

test('a command that a signal ended gives 128 and the number of the signal', async () => {
	expect((await wait(...program("process.kill(process.pid, 'SIGKILL')"))).code).toBe(137)
	expect((await wait(...program("process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000)"))).code).toBe(143)
})

test.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2', 'SIGQUIT'] as const)(
	'%s reaches the command, which decides what becomes of it',
	async (signal) => {
		const handles = `process.on('${signal}', () => { console.log('got ${signal}'); process.exit(9) }); setInterval(() => {}, 1000); console.log('up')`
		const running = startCli(['wait', server.url(), ...program(handles)])
		await running.said('up')
		running.child.kill(signal)
		expect(await running.ended()).toMatchObject({ code: 9, out: `up\ngot ${signal}\n` })
	},
)

test('a command that does not heed SIGTERM goes on until it ends by itself, and no process is left behind', async () => {
	const stubborn = "process.on('SIGTERM', () => console.log('no')); setInterval(() => {}, 1000); console.log(process.pid)"
	const running = startCli(['wait', '--quiet', server.url(), ...program(stubborn)])
	const pid = await until(() => Number(/\d+/.exec(running.out)?.[0]) || undefined, { what: 'the command to run' })
	running.child.kill('SIGTERM')
	await running.said('no')
	signalQuietly(pid, 'SIGKILL')
	expect((await running.ended()).code).toBe(137)
	expect(() => process.kill(pid, 0)).toThrow('ESRCH')
})

test('a command that is not there gives 127, one that cannot be run 126', async () => {
	expect(await wait('--', 'no-such-command-here')).toMatchObject({
		code: 127,
		out: '',
		err: expect.stringContaining('there is no command'),
	})
	expect(await wait('--', '/')).toMatchObject({ code: 126, out: '', err: expect.stringContaining('cannot be run') })
})

test('the command is not run where the database does not answer', async () => {
	const ended = await cli('wait', '--timeout', '200ms', 'postgres://127.0.0.1:1/db', ...program("console.log('ran')"))
	expect(ended).toMatchObject({ code: 124, out: '' })
})

test('--patient also waits while the database is being made', async () => {
	const running = startCli(['wait', '--patient', server.url('being_made')])
	await running.said('has no such database')
	await server.query('CREATE DATABASE being_made')
	expect(await running.ended()).toMatchObject({ code: 0, out: '' })
})
