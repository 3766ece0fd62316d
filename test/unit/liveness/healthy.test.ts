/** What looks like a dead link and is none? Slow beginnings, clocks that drift, a busy process, looks that nobody needs any more. */
import { expect, test } from 'vitest'
import { type FakeLink, stage, watched } from './stage.ts'

test('a connection that took long to be made is not older than its session', async () => {
	const { clock, lookout, links, send, state } = stage()
	const [link] = links as [FakeLink]
	link.bytes = 0
	lookout.watch()
	// The server stood still, or a packet was lost, before it took the connection.
	await clock.advance(30_000)
	link.bytes = 100
	const beganAtMs = clock.now()
	state.manner = {
		says: () => ({ presence: 'working', ageMs: clock.now() - beganAtMs }),
	}
	await clock.advance(1_000)
	send(link)
	await clock.advance(60_000)
	expect(state.looks).toBeGreaterThan(10)
	expect(link.cutBy).toBeUndefined()
})

test('clocks that drift apart for days do not make a session another one', async () => {
	const { clock, link, send, state } = watched()
	await clock.advance(24 * 3_600_000)
	// A hundred parts in a million, as quartz does.
	state.manner = { says: () => ({ presence: 'working', ageMs: clock.now() * 0.9999 }) }
	send(link)
	await clock.advance(60_000)
	expect(state.looks).toBeGreaterThan(10)
	expect(link.cutBy).toBeUndefined()
})

test('a look that is given up because nobody needs it says nothing of the server', async () => {
	const { clock, link, scheduler, send, state, endpoint } = watched()
	state.answerAfterMs = 500
	send(link)
	while (state.looks === 0) await clock.advance(50)
	// Its user has cut the connection.
	link.cutBy = new Error('cut by its user')
	state.inUse = false
	await clock.advance(300)
	expect({ state: endpoint.state, outages: endpoint.outages, waits: scheduler.stats().waits }).toEqual({
		state: 'suspect',
		outages: 0,
		waits: 0,
	})
})

test('no look is taken for a connection that has gone while others held the gate', async () => {
	const { clock, lookout, links, send, state, endpoint } = stage()
	const [link] = links as [FakeLink]
	const permit = endpoint.attempt()
	lookout.watch()
	send(link)
	await clock.advance(1_600)
	link.cutBy = new Error('cut by its user')
	permit?.abandoned()
	await clock.advance(10)
	expect({ looks: state.looks, state: endpoint.state }).toEqual({ looks: 0, state: 'suspect' })
})

test('a process that is busy while it looks finds the answer late, and waits for it', async () => {
	const { clock, link, scheduler, send, state, endpoint, isBusyFor } = watched()
	state.answerAfterMs = 300
	send(link)
	while (state.looks === 0) await clock.advance(10)
	// Nearly as long as a look may take: its time is up soon after, and not late.
	scheduler.wakeUps.at(clock.now() + 10, () => {})
	isBusyFor(1_900)
	await clock.advance(10_000)
	expect(state.looks).toBeGreaterThan(1)
	expect({ cutBy: link.cutBy, outages: endpoint.outages }).toEqual({ cutBy: undefined, outages: 0 })
})

test('another pool whose connection is slow to be made, but is heard, proves nothing', async () => {
	const one = stage()
	const other = one.another()
	const [link] = one.links as [FakeLink]
	const [slow] = other.links as [FakeLink]
	slow.bytes = 0
	one.lookout.watch()
	other.lookout.watch()
	await one.clock.advance(1_000)
	const permit = one.endpoint.attempt()
	one.send(link)
	await one.clock.advance(300)
	// The server asks for the password, and then takes its time with it, as one does that asks a directory, or a pooler that is paused.
	slow.bytes = 20
	await one.clock.advance(4_000)
	expect(link.cutBy).toBeUndefined()
	permit?.abandoned()
})

test.each(['idle', 'missing'] as const)('what is said to be %s once, and to work after that, is left alone', async (presence) => {
	const { clock, link, send, state } = watched()
	state.manner = { says: () => ({ presence: state.looks % 2 === 0 ? presence : 'working' }) }
	send(link)
	await clock.advance(60_000)
	expect(state.looks).toBeGreaterThan(10)
	expect(link.cutBy).toBeUndefined()
})

test('a new connection of the pool itself from which nothing comes is no sign of life', async () => {
	const { clock, lookout, links, send, endpoint } = stage(2)
	const [link, added] = links as [FakeLink, FakeLink]
	links.pop()
	lookout.watch()
	await clock.advance(1_000)
	added.bytes = 0
	links.push(added)
	const permit = endpoint.attempt()
	send(link)
	await clock.advance(4_900)
	expect(link.cutBy?.message).toContain('the server cannot be reached')
	permit?.abandoned()
})
