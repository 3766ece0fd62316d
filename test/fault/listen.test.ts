/** Does `pool.listen` go on through everything that can happen to its connection, and tell of the gap? */
import { createScheduler, DeadlineError } from 'holdfast'
import type { Gap, Notification } from 'holdfast/pg'
import type pg from 'pg'
import { expect, test } from 'vitest'
import { until } from '../support/until.ts'
import { onStage } from './on-stage.ts'

const at = onStage()

const notify = (channel: string, payload: string) => at.ask(`SELECT pg_notify('${channel}', '${payload}')`)
/** The backends that have run LISTEN last, or the check of it. */
const listeners = async () =>
	(
		await at.ask<{ pid: number }>(
			"SELECT pid FROM pg_stat_activity WHERE application_name = 'under test' AND (query LIKE 'LISTEN%' OR query LIKE 'SELECT pg_backend_pid() AS pid%')",
		)
	).map(({ pid }) => pid)

/** What a subscriber has heard. */
function ear() {
	const heard: string[] = []
	const gaps: Gap[] = []
	return {
		heard,
		gaps,
		handler: ({ payload }: Notification) => void heard.push(payload ?? ''),
		options: { onGap: (gap: Gap) => void gaps.push(gap) },
		hears: (payload: string) => until(() => heard.includes(payload), { what: `"${payload}" to be heard` }),
		gap: (count: number) => until(() => gaps.length >= count, { what: `gap ${count} to be told` }),
	}
}

test('notifications arrive in order, with channel, payload and sender, on a connection beside the pool', async () => {
	const pool = at.wrap({}, { max: 1 })
	const got: Notification[] = []
	await pool.listen('jobs', (notification) => got.push(notification))
	const held = await pool.connect()
	const pid = (await held.query('SELECT pg_backend_pid() AS pid')).rows[0].pid
	for (const payload of ['a', '', 'ü']) await held.query('SELECT pg_notify($1, $2)', ['jobs', payload])
	await until(() => got.length === 3, { what: 'three notifications' })
	expect(got.map(({ channel, payload, processId }) => ({ channel, payload, processId }))).toEqual(
		['a', '', 'ü'].map((payload) => ({ channel: 'jobs', payload, processId: pid })),
	)
	held.release()
	expect(pool.totalCount).toBe(1)
	expect(await listeners()).toHaveLength(1)
})

test.each(['jobs', 'Jobs', 'my "odd" channel', 'ünï', '1; DROP TABLE written', 'x'.repeat(63)])(
	'the name of a channel is taken as it is: %s',
	async (channel) => {
		const { handler, heard, hears } = ear()
		const pool = at.wrap()
		await pool.listen(channel, handler)
		await notify(channel.toUpperCase() === channel ? 'other' : channel.toUpperCase(), 'not mine')
		await notify(channel, 'mine')
		await hears('mine')
		expect(heard).toEqual(['mine'])
		expect(await at.rows()).toBe(0)
	},
)

const losses = {
	'its backend is terminated': async () => {
		await at.ask(`SELECT pg_terminate_backend(${(await listeners())[0]})`)
	},
	'its link is reset': async () => at.proxy.resetAll(),
	'its link is closed': async () => at.proxy.closeAll(),
	'the server is killed and comes back': () => at.server.restart('kill'),
	'the server is restarted': () => at.server.restart('fast'),
}
test.each(Object.entries(losses))(
	'%s: every channel is listened to again, and each handler is told of the gap once',
	async (_what, lose) => {
		const pool = at.wrap()
		const [one, two] = [ear(), ear()]
		const startedAt = new Date()
		await pool.listen('one', one.handler, one.options)
		await pool.listen('two', two.handler, two.options)
		await notify('one', 'before')
		await one.hears('before')
		await lose()
		await Promise.all([one.gap(1), two.gap(1)])
		await notify('one', 'after')
		await notify('two', 'after')
		await Promise.all([one.hears('after'), two.hears('after')])
		expect(one.heard).toEqual(['before', 'after'])
		expect(two.heard).toEqual(['after'])
		expect([one.gaps.length, two.gaps.length]).toEqual([1, 1])
		const [gap] = one.gaps as [Gap]
		expect(gap).toEqual({ channel: 'one', lostAt: expect.any(Date), resumedAt: expect.any(Date) })
		expect(gap.lostAt.getTime()).toBeGreaterThanOrEqual(startedAt.getTime() - 1)
		expect(gap.resumedAt.getTime()).toBeGreaterThanOrEqual(gap.lostAt.getTime())
		expect(await listeners()).toHaveLength(1)
	},
)

test('a notification sent while nobody listened is lost, and the gap reaches from before it to after it', async () => {
	const pool = at.wrap()
	const { handler, heard, ...told } = ear()
	await pool.listen('jobs', handler, told.options)
	await at.proxy.rejectConnections()
	at.proxy.resetAll()
	await until(async () => (await listeners()).length === 0, { what: 'the backend to go' })
	await notify('jobs', 'missed')
	const [{ now }] = (await at.ask<{ now: Date }>('SELECT clock_timestamp() AS now')) as [{ now: Date }]
	await at.proxy.accept()
	await told.gap(1)
	expect(heard).toEqual([])
	const [gap] = told.gaps as [Gap]
	expect(gap.lostAt.getTime()).toBeLessThan(now.getTime())
	expect(gap.resumedAt.getTime()).toBeGreaterThan(now.getTime())
})

test('a link that has fallen silent is noticed, although nothing is under way on it', async () => {
	const scheduler = createScheduler({ probeTimeoutMs: 200 })
	const pool = at.wrap({ scheduler, listenCheckMs: 50 })
	const { handler, hears, ...told } = ear()
	await pool.listen('jobs', handler, told.options)
	const [before] = await listeners()
	at.proxy.swallow('both', true)
	await until(() => pool.holdfast.stats().endpoint.connectAttempts > 1, { what: 'another connection to be tried' })
	at.proxy.swallow('both', false)
	await told.gap(1)
	await notify('jobs', 'after')
	await hears('after')
	expect(told.gaps).toHaveLength(1)
	await until(async () => !(await listeners()).includes(before as number), { what: 'the old backend to go' })
})

test('a link that is only quiet is left alone, and stays the same', async () => {
	const pool = at.wrap({ listenCheckMs: 10 })
	const { handler, hears, gaps, options } = ear()
	await pool.listen('jobs', handler, options)
	const before = await listeners()
	await until(() => at.proxy.seen.statementsLike('SELECT pg_backend_pid() AS pid') >= 5, { what: 'five checks' })
	await notify('jobs', 'still there')
	await hears('still there')
	expect(await listeners()).toEqual(before)
	expect(gaps).toEqual([])
})

test('onGap comes before the first notification behind the gap, also where that arrives before the answer to LISTEN', async () => {
	const pool = at.wrap({ onConnect: (client: pg.ClientBase) => client.query('LISTEN "jobs"') })
	const told: string[] = []
	await pool.listen('jobs', ({ payload }) => void told.push(payload ?? ''), { onGap: () => void told.push('gap') })
	at.proxy.intercept({
		from: 'client',
		match: ({ text }) => text?.startsWith('LISTEN "jobs"; ') === true,
		action: 'pass',
		onHit: () => notify('jobs', 'early').then(() => {}),
	})
	at.proxy.resetAll()
	await until(() => told.length === 2, { what: 'the gap and the notification' })
	expect(told).toEqual(['gap', 'early'])
})

test('a server that ends the session instead of answering LISTEN fails nobody: the channel is listened to on the next connection', async () => {
	const pool = at.wrap()
	const [one, two] = [ear(), ear()]
	await pool.listen('one', one.handler, one.options)
	const terminated = at.proxy.intercept({
		from: 'client',
		match: ({ text }) => text?.startsWith('LISTEN "two"') === true,
		action: 'swallow',
		onHit: losses['its backend is terminated'],
	})
	await pool.listen('two', two.handler, two.options)
	expect(terminated.hits).toBe(1)
	await notify('two', 'after')
	await two.hears('after')
	await one.gap(1)
	expect([one.gaps.length, two.gaps.length]).toEqual([1, 0])
	expect(await listeners()).toHaveLength(1)
})

test('a spent retry budget ends no subscription, neither when the link is lost nor when connecting again fails', async () => {
	const scheduler = createScheduler({ retryBudget: { ratio: 0, minPerSecond: 0 } })
	const pool = at.wrap({ scheduler })
	const errors: unknown[] = []
	const { handler, hears, options, gap, gaps } = ear()
	await pool.listen('jobs', handler, { ...options, onError: (error) => errors.push(error) })
	await losses['its backend is terminated']()
	await gap(1)
	await at.proxy.rejectConnections()
	at.proxy.resetAll()
	const before = at.proxy.attempts
	await until(() => errors.length > 0 || at.proxy.attempts >= before + 3, { what: 'three attempts' })
	await at.proxy.accept()
	expect(errors).toEqual([])
	await gap(2)
	await notify('jobs', 'after')
	await hears('after')
	expect(gaps).toHaveLength(2)
})

test('many channels at once are listened to one after the other: pg warns of nothing', async () => {
	const warnings: Error[] = []
	const warned = (warning: Error) => void warnings.push(warning)
	process.on('warning', warned)
	const pool = at.wrap()
	const ears = Array.from({ length: 6 }, () => ear())
	await pool.listen('first', () => {})
	const ends = await Promise.all(ears.map(({ handler }, index) => pool.listen(`channel ${index}`, handler)))
	for (const [index, { hears }] of ears.entries()) {
		await notify(`channel ${index}`, 'here')
		await hears('here')
	}
	await Promise.all(ends.map((unlisten) => unlisten()))
	process.removeListener('warning', warned)
	expect(warnings).toEqual([])
})

test('while the server is down, listening adds nothing to the one attempt at a time, and begins when it is back', async () => {
	at.proxy.resetCounters()
	await at.proxy.rejectConnections()
	const scheduler = createScheduler()
	const pool = at.wrap({ scheduler })
	const { handler, hears } = ear()
	const calls = [pool.listen('jobs', handler), pool.listen('more', handler), ...Array.from({ length: 20 }, () => pool.query('SELECT 1'))]
	await until(() => at.proxy.attempts >= 4, { what: 'four probes' })
	expect(at.proxy.maxInFlightAttempts).toBe(1)
	await at.proxy.accept()
	await Promise.all(calls)
	await notify('more', 'at last')
	await hears('at last')
	expect(pool.holdfast.stats().endpoint.state).toBe('up')
})

test('the wait for a subscription to begin ends: by the deadline, by its signal, by the end of the pool', async () => {
	at.proxy.refuse()
	const pool = at.wrap({ deadlineMs: 200 })
	const late = await pool.listen('jobs', () => {}).catch((error: unknown) => error)
	expect(late).toBeInstanceOf(DeadlineError)
	expect((late as Error).cause).toMatchObject({ code: 'ECONNREFUSED' })
	const stop = new AbortController()
	const aborted = pool.listen('jobs', () => {}, { signal: stop.signal, deadlineMs: Number.POSITIVE_INFINITY }).catch((error) => error)
	stop.abort(new Error('changed my mind'))
	expect(await aborted).toMatchObject({ message: 'changed my mind' })
	await expect(pool.listen('jobs', () => {}, { signal: stop.signal })).rejects.toThrow('changed my mind')
	const ended = pool.listen('jobs', () => {}, { deadlineMs: Number.POSITIVE_INFINITY }).catch((error) => error)
	await pool.end()
	expect(await ended).toMatchObject({ code: 'HOLDFAST_CLOSED' })
	await expect(pool.listen('jobs', () => {})).rejects.toMatchObject({ code: 'HOLDFAST_CLOSED' })
})

test('a subscription ends by the function it resolved with or by its signal, and the connection with the last of them', async () => {
	const pool = at.wrap()
	const stop = new AbortController()
	const [one, two, other] = [ear(), ear(), ear()]
	const unlisten = await pool.listen('jobs', one.handler)
	await pool.listen('jobs', two.handler, { signal: stop.signal })
	const last = await pool.listen('other', other.handler)
	await unlisten()
	await unlisten()
	await notify('jobs', 'for two')
	await two.hears('for two')
	stop.abort()
	await until(() => at.proxy.seen.statementsLike('UNLISTEN "jobs"') === 1, { what: 'UNLISTEN' })
	await notify('jobs', 'for nobody')
	await notify('other', 'for other')
	await other.hears('for other')
	expect([one.heard, two.heard]).toEqual([[], ['for two']])
	await last()
	await until(async () => (await listeners()).length === 0, { what: 'the connection to be closed' })
	const again = ear()
	await pool.listen('jobs', again.handler)
	await notify('jobs', 'again')
	await again.hears('again')
	expect(again.gaps).toEqual([])
})

test('what a handler throws is an uncaught exception, as with bare pg, and keeps nothing from the others', async () => {
	const pool = at.wrap()
	const { handler, hears } = ear()
	await pool.listen('jobs', () => {
		throw new Error('mine')
	})
	await pool.listen('jobs', handler)
	const thrown = new Promise((resolve) => {
		const others = process.listeners('uncaughtException')
		process.removeAllListeners('uncaughtException')
		process.once('uncaughtException', (error) => {
			for (const listener of others) process.on('uncaughtException', listener)
			resolve(error)
		})
	})
	await notify('jobs', 'both')
	await hears('both')
	expect(await thrown).toMatchObject({ message: 'mine' })
})

test('an error that waiting does not mend ends the subscription, at once or later, and its user is told', async () => {
	await at.ask("DROP ROLE IF EXISTS listener; CREATE ROLE listener LOGIN PASSWORD 'one'")
	const wrong = at.wrap({}, { database: 'nowhere' })
	await expect(wrong.listen('jobs', () => {})).rejects.toMatchObject({ code: '3D000' })
	const pool = at.wrap({}, { user: 'listener', password: 'one' })
	const errors: unknown[] = []
	await pool.listen('jobs', () => {}, { onError: (error) => errors.push(error) })
	await at.ask('ALTER ROLE listener NOLOGIN')
	at.proxy.resetAll()
	await until(() => errors.length === 1, { what: 'the error to be told' })
	expect(errors).toEqual([expect.objectContaining({ code: '28000' })])
	await at.ask('ALTER ROLE listener LOGIN')
	const { handler, hears } = ear()
	await pool.listen('jobs', handler)
	await notify('jobs', 'back')
	await hears('back')
})

test('it works on a pool that is wrapped with enabled: false, and on one whose connections are prepared', async () => {
	const users: unknown[] = []
	const prepared = (client: object) => void users.push(client)
	const pools = [at.wrap({ enabled: false }), at.wrap({ onConnect: prepared })]
	for (const pool of pools) {
		const { handler, hears } = ear()
		await pool.listen('jobs', handler)
		await notify('jobs', 'here')
		await hears('here')
		await pool.end()
		await expect(pool.listen('jobs', handler)).rejects.toMatchObject({ code: 'HOLDFAST_CLOSED' })
	}
	expect(users).toHaveLength(1)
})

test.each([{}, { enabled: false }])('on a pool that has ended nobody listens, also where nobody has before: %o', async (options) => {
	const pool = at.wrap(options)
	await pool.end()
	const attempts = at.proxy.attempts
	await expect(pool.listen('jobs', () => {})).rejects.toMatchObject({ code: 'HOLDFAST_CLOSED' })
	expect(at.proxy.attempts).toBe(attempts)
})

test.each([
	[['', () => {}], TypeError, 'listen: channel must be a string that is not empty, got ""'],
	[[7, () => {}], TypeError, 'listen: channel must be a string that is not empty, got 7'],
	[['x'.repeat(64), () => {}], RangeError, 'listen: channel must be a name of 63 bytes or less, which PostgreSQL keeps, got 64 bytes'],
	[['jobs'], TypeError, 'listen: handler must be a function, got undefined'],
	[['jobs', () => {}, { onGap: 1 }], TypeError, 'onGap must be a function, got 1'],
	[['jobs', () => {}, { gap: 1 }], TypeError, 'listen: unknown option gap; known are onGap, onError, signal, deadlineMs'],
	[['jobs', () => {}, { deadlineMs: -1 }], RangeError, 'deadlineMs must be a positive number'],
])('bad arguments are refused by name, rule and value: %o', async (given, kind, message) => {
	const pool = at.wrap()
	const error = await (pool.listen as (...given: unknown[]) => Promise<unknown>)(...given).catch((thrown: unknown) => thrown)
	expect(error).toBeInstanceOf(kind)
	expect((error as Error).message).toContain(message)
	expect(at.proxy.attempts).toBe(0)
})

test('a bad listenCheckMs is refused at the wrapping', () => {
	expect(() => at.wrap({ listenCheckMs: 0 } as object)).toThrow('listenCheckMs must be a positive number of milliseconds, got 0')
})
