/** What does an endpoint do when its server turns read-only, and when several choose among hosts? */
import { expect, test } from 'vitest'
import { classify } from '../../../src/classify/classify.ts'
import { placedSource } from '../../../src/hosts/source.ts'
import { createScheduler } from '../../../src/outage/scheduler.ts'
import { fakeClock } from '../../support/fake-clock.ts'

const refusal = Object.assign(new Error('cannot execute INSERT in a read-only transaction'), { code: '25006', severity: 'ERROR' })
const fault = { ...classify(refusal), scope: 'endpoint' as const, retryable: true }
const setUp = () => {
	const scheduler = createScheduler({ clock: fakeClock() })
	return { scheduler, endpoint: scheduler.endpoint('db:1') }
}

test('it is down at once, its connections are of an old generation, and the next attempt need not wait', () => {
	const { endpoint } = setUp()
	endpoint.attempt()?.opened()
	const { generation } = endpoint
	endpoint.turnedReadOnly(generation, fault, refusal)
	expect(endpoint.report()).toMatchObject({ state: 'down', outages: 1, lastFault: { kind: 'read_only' } })
	expect(endpoint.generation).toBe(generation + 1)
	expect(endpoint.admits).toBe(true)
	expect(endpoint.keepsConnections).toBe(false)
})

test('a refusal on a connection of before tells nothing new', () => {
	const { endpoint } = setUp()
	endpoint.turnedReadOnly(0, fault, refusal)
	endpoint.attempt()?.opened()
	endpoint.turnedReadOnly(0, fault, refusal)
	expect(endpoint.report()).toMatchObject({ outages: 1 })
	expect(endpoint.state).not.toBe('down')
})

test('while it has not answered one attempt at a time is made there, afterwards as many as are wanted', () => {
	const { endpoint } = setUp()
	const first = endpoint.attempt()
	expect(endpoint.attempt()).toBeUndefined()
	first?.opened()
	expect([endpoint.attempt(), endpoint.attempt()]).not.toContain(undefined)
})

test('with one address the role is asked only after a refusal, and until a server takes writes', () => {
	const { scheduler, endpoint } = setUp()
	const how: string[] = []
	let role: 'replica' | 'primary' = 'replica'
	const source = {
		open: (done: (error: unknown, connection: object) => void) => {
			how.push('open')
			done(undefined, {})
			return () => {}
		},
		openAt: (_at: unknown, suits: (role: string) => boolean, done: (error: unknown, connection?: object) => void) => {
			how.push('ask')
			if (suits(role)) done(undefined, {})
			else done(new Error('not wanted'))
			return () => {}
		},
	}
	const placed = placedSource(source as never, undefined, endpoint, scheduler)
	const open = () => {
		let told: unknown
		placed?.open((error, connection) => {
			told = connection ?? error
		})
		return told
	}
	open()
	endpoint.turnedReadOnly(endpoint.generation, fault, refusal)
	expect(open()).toMatchObject({ code: 'HOLDFAST_NO_HOST', message: 'No server takes writes: db:1 is a replica.', cause: refusal })
	role = 'primary'
	expect(open()).toEqual({})
	endpoint.attempt()?.opened()
	endpoint.confirmed()
	expect(how).toEqual(['open', 'ask', 'ask'])
})
