/** When is a link that brings no answer taken for dead, and when is it left alone? */
import { expect, test } from 'vitest'
import { says, watched } from './stage.ts'

/** What the option promises by default: everybody is told within 5 s. */
const detectionMs = 5_000

test('where calls are answered the server is never asked, and nothing is left when the pool is quiet', async () => {
	const { clock, links, send, receive, state, counters } = watched(3)
	for (let turn = 0; turn < 100; turn++) {
		for (const link of links) send(link)
		await clock.advance(70)
		for (const link of links) receive(link)
	}
	state.inUse = false
	await clock.advance(1_000)
	expect({ looks: state.looks, cuts: counters.halfOpen, timers: clock.pendingTimers }).toEqual({ looks: 0, cuts: 0, timers: 0 })
})

test('where a server is silent, all that wait for it are cut within 5 s, and the endpoint is known as down', async () => {
	const { clock, links, send, state, counters, endpoint } = watched(5)
	state.manner = 'is silent'
	for (const link of links) send(link)
	await clock.advance(detectionMs)
	expect(links.map(({ cutBy }) => (cutBy as { code?: string } | undefined)?.code)).toEqual(Array(5).fill('HOLDFAST_LINK_LOST'))
	expect(links[0]?.cutBy?.message).toMatch(
		/^The connection to db:5432 was closed: no answer came for \d+ ms, and the server cannot be reached\.$/,
	)
	expect({ state: endpoint.state, looks: state.looks, cuts: counters.halfOpen }).toEqual({ state: 'down', looks: 1, cuts: 5 })
})

test('where a call usually takes long, the bound holds as well', async () => {
	const { clock, link, other, send, receive, state } = watched(2)
	for (let turn = 0; turn < 5; turn++) {
		send(other)
		await clock.advance(20_000)
		receive(other)
	}
	state.manner = 'is silent'
	send(link)
	await clock.advance(detectionMs)
	expect(link.cutBy).toBeDefined()
})

test('patience grows with what calls usually take: fewer looks, never more', async () => {
	const looksIn = async (usualMs: number) => {
		const { clock, link, send, receive, state } = watched()
		for (let turn = 0; turn < 10; turn++) {
			send(link)
			await clock.advance(usualMs)
			receive(link)
			await clock.advance(300)
		}
		return state.looks
	}
	// 1,300 ms are unusual the first time only.
	expect(await looksIn(1_300)).toBeLessThan(3)
	expect(await looksIn(600)).toBe(0)
})

test('a server that works on the call is asked again and again, and the call is left alone for as long as it takes', async () => {
	const { clock, link, send, receive, state, counters } = watched()
	send(link)
	await clock.advance(3_600_000)
	expect(link.keptAlive).toBe(true)
	receive(link)
	await clock.advance(1_000)
	expect(link.keptAlive).toBe(false)
	expect({ cuts: counters.halfOpen, cutBy: link.cutBy }).toEqual({ cuts: 0, cutBy: undefined })
	expect(state.looks).toBeGreaterThan(1_000)
})

test.each(['idle', 'missing', 'blocked'] as const)('what two looks in a row find %s is cut', async (presence) => {
	const { clock, link, send, state } = watched()
	state.manner = says(presence)
	send(link)
	await clock.advance(detectionMs)
	expect(link.cutBy).toMatchObject({ code: 'HOLDFAST_LINK_LOST' })
	expect(state.looks).toBe(2)
})

test('what one look has found proves nothing when the answer comes after all', async () => {
	const { clock, link, send, receive, state } = watched()
	state.manner = says('idle')
	for (let turn = 0; turn < 20; turn++) {
		send(link)
		await clock.advance(1_400)
		receive(link)
		await clock.advance(300)
	}
	expect(state.looks).toBeGreaterThan(0)
	expect(link.cutBy).toBeUndefined()
})

test('rows that keep coming are a sign of life, however long the whole answer takes', async () => {
	const { clock, link, send, state, counters } = watched()
	state.manner = says('idle')
	send(link)
	for (let turn = 0; turn < 100; turn++) {
		await clock.advance(500)
		link.bytes += 1
	}
	expect({ looks: state.looks, cuts: counters.halfOpen }).toEqual({ looks: 0, cuts: 0 })
})

test('two servers at one address prove nothing by not knowing a connection', async () => {
	const { clock, link, send, state } = watched()
	send(link)
	state.manner = {
		get server() {
			return `number ${state.looks % 2}`
		},
		says: () => ({ presence: 'missing' }),
	}
	await clock.advance(60_000)
	expect(state.looks).toBeGreaterThan(10)
	expect(link.cutBy).toBeUndefined()
})

test('a server that does not know a connection over which answers come is not the only one, so that it proves nothing', async () => {
	const { clock, link, other, send, state } = watched(2)
	state.manner = says('missing')
	send(link)
	for (let turn = 0; turn < 1_000; turn++) {
		other.bytes += 1
		await clock.advance(7)
	}
	expect(state.looks).toBeGreaterThan(2)
	expect(link.cutBy).toBeUndefined()
})

test('a connection of the same name that is younger than ours is another one', async () => {
	const { clock, link, send, state } = watched()
	await clock.advance(60_000)
	state.manner = says('working', 30_000)
	send(link)
	await clock.advance(detectionMs)
	expect(link.cutBy?.message).toContain('the server no longer has this connection')
})

test('a new connection that comes to nothing is no proof while others are heard', async () => {
	const { clock, link, other, send, state, endpoint } = watched(2)
	state.manner = 'is silent'
	send(link)
	for (let turn = 0; turn < 100; turn++) {
		other.bytes += 1
		await clock.advance(100)
	}
	expect(state.looks).toBeGreaterThan(1)
	expect({ cutBy: link.cutBy, state: endpoint.state }).toEqual({ cutBy: undefined, state: 'suspect' })
})

test.each(['refuses', 'is a pooler'] as const)('a server that %s has answered, and proves nothing', async (manner) => {
	const { clock, link, send, state } = watched()
	state.manner = manner
	send(link)
	await clock.advance(60_000)
	expect(state.looks).toBeGreaterThan(3)
	expect(link.cutBy).toBeUndefined()
})

test('a look that is refused for wrong credentials is not taken again before there is another connection', async () => {
	const { clock, links, link, send, state } = watched()
	state.manner = 'knows no password'
	send(link)
	await clock.advance(60_000)
	expect({ looks: state.looks, cutBy: link.cutBy }).toEqual({ looks: 1, cutBy: undefined })
	state.manner = says('idle')
	links.push({ awaited: undefined, bytes: 0, cutBy: undefined, keptAlive: false })
	await clock.advance(detectionMs)
	expect(link.cutBy).toMatchObject({ code: 'HOLDFAST_LINK_LOST' })
})

test('that connections could not be made some time ago is no proof of anything', async () => {
	const { clock, link, send, endpoint } = watched()
	const fault = { kind: 'connect_timeout', scope: 'endpoint', outcome: 'not_sent', retryable: true, code: 'ETIMEDOUT', reason: '' } as const
	endpoint.attempt()?.failed(fault, new Error('connect ETIMEDOUT'))
	await clock.advance(60_000)
	expect(endpoint.state).toBe('down')
	send(link)
	await clock.advance(60_000)
	expect(link.cutBy).toBeUndefined()
	expect(endpoint.state).not.toBe('down')
})

test('where a server is down and still silent, the bound holds as well', async () => {
	const { clock, link, send, state, endpoint } = watched()
	const fault = { kind: 'connect_timeout', scope: 'endpoint', outcome: 'not_sent', retryable: true, code: 'ETIMEDOUT', reason: '' } as const
	for (let failures = 0; failures < 10; failures++) endpoint.attempt()?.failed(fault, new Error('connect ETIMEDOUT'))
	state.manner = 'is silent'
	send(link)
	await clock.advance(detectionMs)
	expect(link.cutBy).toBeDefined()
})

test('a server that is full is not held to be down for the sake of a look', async () => {
	const { clock, link, send, state, endpoint } = watched()
	state.manner = 'is full'
	send(link)
	await clock.advance(60_000)
	expect(state.looks).toBeGreaterThan(3)
	expect({ cutBy: link.cutBy, outages: endpoint.outages }).toEqual({ cutBy: undefined, outages: 0 })
})

test('an attempt of the pool that is under way without an answer serves as well', async () => {
	const { clock, link, send, state, endpoint } = watched()
	await clock.advance(1_000)
	const permit = endpoint.attempt()
	send(link)
	await clock.advance(2_500)
	expect({ looks: state.looks, isCut: link.cutBy !== undefined }).toEqual({ looks: 0, isCut: true })
	permit?.abandoned()
})

test('an attempt that may wait for a name server proves nothing', async () => {
	const { clock, link, send, endpoint } = watched(1, 'no-such-name.invalid')
	await clock.advance(1_000)
	const permit = endpoint.attempt()
	send(link)
	await clock.advance(10_000)
	expect(link.cutBy).toBeUndefined()
	permit?.abandoned()
})

test('time in which the process was too busy to read does not count', async () => {
	const { clock, link, send, receive, state, counters, isBusyFor } = watched()
	for (let turn = 0; turn < 20; turn++) {
		send(link)
		await clock.advance(300)
		isBusyFor(10_000)
		await clock.advance(300)
		receive(link)
		await clock.advance(300)
	}
	expect({ looks: state.looks, cuts: counters.halfOpen }).toEqual({ looks: 0, cuts: 0 })
})

test('the end takes back what is planned and under way', async () => {
	const { clock, link, lookout, send, state, scheduler } = watched()
	state.manner = 'is silent'
	send(link)
	while (state.looks === 0) await clock.advance(100)
	lookout.end()
	await clock.advance(10)
	expect({ timers: clock.pendingTimers, waits: scheduler.stats().waits }).toEqual({ timers: 0, waits: 0 })
})
