/** Do `wait` and `doctor` tell each state of a real server, end with its exit code, and leave nothing? The same promises for every product. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { State } from '../../cli/states.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'
import { cli, type Ended, startCli } from './run-cli.ts'

/** Who asks for what; the rest is the product's default. */
export interface Asker {
	readonly user?: string
	readonly password?: string
	readonly database?: string
	readonly port?: number
}

/** A product's server in good health, and the ways to take it out of that. */
export interface Subject {
	readonly server: {
		readonly host: string
		readonly port: number
		pause(): Promise<void>
		resume(): Promise<void>
		dispose(): Promise<void>
	}
	/** The account `asker` with the password `s3cr3t/@:word` may connect. */
	url(asker?: Asker): string
	/** Connections of the command line that the server has now. */
	connections(): Promise<number>
	/** Takes all connections that an application may have; resolves with the way to let them go. */
	fill(): Promise<() => Promise<unknown>>
	/** Makes it take no writes; resolves with the way back, where there is one. */
	makeReadOnly(): Promise<() => Promise<unknown>>
	/** A server of its own that says it is starting for as long as it lives; absent where the product has no such state. */
	readonly starting?: () => Promise<{ url: string; dispose(): Promise<void> }>
	/** What the proxy speaks. */
	readonly protocol: 'postgres' | 'raw'
}

export const password = 's3cr3t/@:word'
// Of one second nobody can say on a busy machine that nothing came in it; where nothing ever comes it is enough.
const giveUpAfter = ['--timeout', '3s'] as const
const answerWithin = ['--timeout', '1s'] as const

/** What each state is called, and the exit code for scripts. */
const codes: { readonly [K in State]: number } = {
	up: 0,
	down: 10,
	silent: 11,
	unresolved: 12,
	starting: 13,
	stopping: 14,
	full: 15,
	tls: 16,
	credentials: 17,
	'unknown database': 18,
	'read-only': 19,
	lost: 20,
	refused: 21,
}

export function tellsEveryState(product: string, make: () => Promise<Subject>, wanted: { tls: string }): void {
	describe(product, () => {
		let subject: Subject
		let proxy: FaultProxy

		beforeAll(async () => {
			subject = await make()
			proxy = await startProxy({ target: subject.server, protocol: subject.protocol })
		})
		afterAll(async () => {
			await proxy?.close()
			await subject?.server.dispose()
		})

		/** No password in what was written, no stack, and nothing of ours on the server or on the way to it. */
		async function leavesNothing(...endings: Ended[]) {
			for (const { out, err } of endings) {
				expect(out + err).not.toContain('s3cr3t')
				expect(out + err).not.toMatch(/^\s+at /m)
			}
			await until(async () => proxy.openConnections === 0, { what: 'no connection to be left at the proxy' })
			await until(async () => (await subject.connections()) === 0, { what: 'no connection of the command line to be left' })
		}

		/** Both commands tell it; waiting does not mend it, or goes on until the time is up. */
		async function both(state: State, url: string, lasts: 'waits' | 'ends at once', says: RegExp) {
			const limits = state === 'silent' ? answerWithin : []
			const examined = await cli('doctor', '--json', ...limits, url)
			const told = await cli('doctor', ...limits, url)
			const waited = await cli('wait', ...(lasts === 'waits' ? giveUpAfter : ['--timeout', '1m']), url)
			expect(JSON.parse(examined.out)).toMatchObject({
				state,
				exitCode: codes[state],
				product: /^postgres/.test(url) ? 'postgres' : 'mysql',
			})
			expect(examined).toMatchObject({ code: codes[state], err: '' })
			expect(told).toMatchObject({ code: codes[state], err: '', out: expect.stringMatching(says) })
			expect(waited).toMatchObject({ code: lasts === 'waits' ? 124 : codes[state], out: '', err: expect.stringMatching(says) })
			await leavesNothing(examined, told, waited)
		}
		const throughProxy = () => subject.url({ port: proxy.port })

		test('a server that answers: doctor ends with 0 and tells the version, wait ends with 0', async () => {
			const examined = await cli('doctor', '--json', subject.url())
			expect(examined).toMatchObject({ code: 0, err: '' })
			expect(JSON.parse(examined.out)).toMatchObject({ state: 'up', report: { version: expect.stringMatching(/^\d+\./) } })
			const waited = await cli('wait', subject.url())
			expect(waited).toMatchObject({ code: 0, out: '', err: expect.stringMatching(/answers after/) })
			expect(await cli('wait', '--quiet', subject.url())).toEqual({ code: 0, out: '', err: '' })
			await leavesNothing(examined, waited)
		})

		test('nothing listens: down', async () => {
			proxy.refuse()
			await both('down', throughProxy(), 'waits', /is down: nothing listens/)
			await proxy.accept()
		})

		test('the name does not resolve', async () => {
			await both('unresolved', subject.url().replace('127.0.0.1', 'no-such-host.invalid'), 'waits', /name does not resolve/)
		})

		test('a black hole that accepts connections and says nothing: silent', async () => {
			await proxy.hangConnections()
			await both('silent', throughProxy(), 'waits', /does not answer/)
			await proxy.accept()
		})

		test('a server that is frozen: silent', async () => {
			await subject.server.pause()
			const examined = await cli('doctor', ...answerWithin, subject.url())
			const waited = await cli('wait', ...giveUpAfter, subject.url())
			await subject.server.resume()
			expect(examined).toMatchObject({ code: 11, out: expect.stringMatching(/does not answer/) })
			expect(waited).toMatchObject({ code: 124, err: expect.stringMatching(/does not answer/) })
			await leavesNothing(examined, waited)
		})

		test('a server that takes the login and swallows the question: silent', async () => {
			await proxy.accept()
			// What the server sends goes missing from the second message on: it has greeted, and we are waiting.
			proxy.swallow('toClient', true)
			const examined = await cli('doctor', ...answerWithin, throughProxy())
			const waited = await cli('wait', ...giveUpAfter, throughProxy())
			proxy.swallow('toClient', false)
			expect(examined).toMatchObject({ code: 11, out: expect.stringMatching(/does not answer/) })
			expect(waited).toMatchObject({ code: 124, err: expect.stringMatching(/does not answer/) })
			await leavesNothing(examined, waited)
		})

		test('connections that are closed before they are ready: lost', async () => {
			await proxy.rejectConnections()
			await both('lost', throughProxy(), 'waits', /closes connections before they are ready/)
			await proxy.accept()
		})

		test('a wrong password ends the wait at once', async () => {
			await both(
				'credentials',
				subject.url({ user: 'asker', password: 's3cr3t-and-wrong' }),
				'ends at once',
				/refuses the user or the password/,
			)
		})

		test('an unknown database ends the wait at once', async () => {
			await both('unknown database', subject.url({ database: 'nowhere' }), 'ends at once', /has no such database/)
		})

		test('a server without TLS, where TLS is demanded, ends the wait at once', async () => {
			await both('tls', subject.url() + wanted.tls, 'ends at once', /TLS does not work out/)
		})

		test('a server that is full: wait waits, and ends with 0 when there is room', async () => {
			const release = await subject.fill()
			const waiting = startCli(['wait', subject.url({ user: 'asker', password })])
			try {
				await both('full', subject.url({ user: 'asker', password }), 'waits', /is full/)
				await waiting.said('is full')
			} finally {
				await release()
			}
			const waited = await waiting.ended()
			expect(waited.code).toBe(0)
			await leavesNothing(waited)
		})

		test('a server that takes no writes: doctor tells, and wait is content with it', async () => {
			const back = await subject.makeReadOnly()
			const examined = await cli('doctor', '--json', subject.url({ user: 'asker', password }))
			const told = await cli('doctor', subject.url({ user: 'asker', password }))
			const waited = await cli('wait', subject.url({ user: 'asker', password }))
			await back()
			expect(JSON.parse(examined.out)).toMatchObject({ state: 'read-only', report: { readOnly: expect.any(String) } })
			expect(examined.code).toBe(19)
			expect(told).toMatchObject({ code: 19, out: expect.stringMatching(/takes no writes/) })
			expect(waited.code).toBe(0)
			await leavesNothing(examined, told, waited)
		})

		test('wait ends when the server comes up, and tells what it was waiting for', async () => {
			proxy.refuse()
			proxy.resetCounters()
			const waiting = startCli(['wait', throughProxy()])
			await waiting.said('is down')
			await proxy.accept()
			const waited = await waiting.ended()
			expect(waited).toMatchObject({ code: 0, out: '', err: expect.stringMatching(/is down.*\n.*answers after/) })
			expect(proxy.maxInFlightAttempts).toBe(1)
			await leavesNothing(waited)
		})

		test('a signal ends the wait with the exit code that shells give it', async () => {
			proxy.refuse()
			for (const [signal, code] of [
				['SIGTERM', 143],
				['SIGINT', 130],
			] as const) {
				const waiting = startCli(['wait', throughProxy(), '--', 'echo', 'never'])
				await waiting.said('is down')
				waiting.child.kill(signal)
				expect(await waiting.ended()).toMatchObject({ code, out: '' })
			}
			await proxy.accept()
			await leavesNothing()
		})

		if (startingOf(product))
			test('a server that is starting up', async () => {
				const server = await (subject.starting as NonNullable<Subject['starting']>)()
				try {
					await both('starting', server.url, 'waits', /is starting up/)
				} finally {
					await server.dispose()
				}
			})
	})
}

const startingOf = (product: string) => product.startsWith('PostgreSQL')
