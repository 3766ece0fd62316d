/** What does a test of the lookout need? A clock, links that are busy or silent on command, and a server that says what it is told to say. */
import type { Links, Looking, Sight } from '../../../src/liveness/links.ts'
import { Lookout } from '../../../src/liveness/lookout.ts'
import { createScheduler, type Scheduler } from '../../../src/outage/scheduler.ts'
import { type FakeClock, fakeClock } from '../../support/fake-clock.ts'

export interface FakeLink {
	/** The command whose answer is awaited. */
	awaited: object | undefined
	bytes: number
	/** The error that it was cut with. */
	cutBy: Error | undefined
	keptAlive: boolean
}

/** What the server does with a look. */
export type Manner =
	| 'is silent'
	| 'refuses'
	| 'is full'
	| 'knows no password'
	| 'is a pooler'
	| { readonly server?: string; readonly says: (link: FakeLink) => Sight | undefined }

export const says = (presence: Sight['presence'], ageMs?: number): Manner => ({ says: () => ({ presence, ageMs }) })

const refused = () => Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:5432'), { code: 'ECONNREFUSED', syscall: 'connect' })
const full = () => Object.assign(new Error('Too many connections'), { code: 'ER_CON_COUNT_ERROR', errno: 1040 })
const unknown = () => Object.assign(new Error('password authentication failed'), { code: '28P01', severity: 'FATAL', routine: 'fake' })
const timedOut = () => Object.assign(new Error('connect ETIMEDOUT'), { code: 'ETIMEDOUT', syscall: 'connect' })
const greetingBytes = 100

/** One pool of so many connections. `another` is one more on the same server. */
export function stage(count = 1, host = '127.0.0.1') {
	const clock: FakeClock = fakeClock()
	// A busy process: the clock has moved on, and no timer has fired meanwhile.
	let behindMs = 0
	const scheduler = createScheduler({ clock: { ...clock, now: () => clock.now() + behindMs } })
	const ofServer = {
		clock,
		scheduler,
		endpoint: scheduler.endpoint('db:5432'),
		isBusyFor: (ms: number) => {
			behindMs += ms
		},
		another: () => poolOn(clock, scheduler, 1, host),
	}
	return { ...ofServer, ...poolOn(clock, scheduler, count, host) }
}

/** The same with the lookout at work, and its first connections by name. */
export function watched(count = 1, host?: string) {
	const set = stage(count, host)
	set.lookout.watch()
	const [link, other] = set.links as [FakeLink, FakeLink]
	return { ...set, link, other }
}

function poolOn(clock: FakeClock, scheduler: Scheduler, count: number, host: string) {
	const links: FakeLink[] = Array.from({ length: count }, () => ({
		awaited: undefined,
		bytes: greetingBytes,
		cutBy: undefined,
		keptAlive: false,
	}))
	const living = () => links.filter(({ cutBy }) => cutBy === undefined)
	const state = { manner: says('working') as Manner, looks: 0, inUse: true, answerAfterMs: 5 }
	const answer = (connections: readonly FakeLink[], on: Looking<FakeLink>) => {
		const { manner } = state
		if (manner === 'is silent') return
		if (manner === 'refuses') return on.done(refused(), undefined)
		if (manner === 'is full') return on.done(full(), undefined)
		if (manner === 'knows no password') return on.done(unknown(), undefined)
		on.connected()
		if (manner === 'is a pooler') return on.done(undefined, undefined)
		const of = new Map<FakeLink, Sight>()
		for (const link of connections) {
			const sight = manner.says(link)
			if (sight !== undefined) of.set(link, sight)
		}
		on.done(undefined, { server: manner.server ?? 'one', of })
	}
	const fake: Links<FakeLink> = {
		connections: living,
		hostOf: () => ({ host, port: 5432 }),
		awaited: ({ awaited }) => awaited,
		bytesRead: ({ bytes }) => bytes,
		keepAlive(link, on) {
			link.keptAlive = on
		},
		cut(link, error) {
			link.cutBy = error
			link.awaited = undefined
		},
		look(connections, on) {
			state.looks += 1
			let over = false
			const once: Looking<FakeLink> = {
				connected: () => over || on.connected(),
				done(error, sights) {
					if (over) return
					over = true
					on.done(error, sights)
				},
			}
			clock.setTimer(() => answer(connections, once), state.answerAfterMs)
			return () => once.done(timedOut(), undefined)
		},
	}
	const counters = { halfOpen: 0 }
	const pool = { scheduler, address: 'db:5432', hosts: undefined, isInUse: () => state.inUse, counters }
	return {
		links,
		state,
		counters,
		lookout: new Lookout(fake, pool, 2_000),
		send: (link: FakeLink) => {
			link.awaited = {}
		},
		receive: (link: FakeLink) => {
			link.awaited = undefined
			link.bytes += 100
		},
	}
}
