/** In which order are several hosts asked, how many at a time, and what is done with a name that stands for several servers? */
import dns from 'node:dns'
import { afterEach, expect, test, vi } from 'vitest'
import type { HostAddress, ServerRole } from '../../../src/contract.ts'
import { addressOf, hostsOf } from '../../../src/hosts/host.ts'
import { keyOf } from '../../../src/hosts/list.ts'
import type { Wanted } from '../../../src/hosts/role.ts'
import { placedSource } from '../../../src/hosts/source.ts'
import { createScheduler } from '../../../src/outage/scheduler.ts'
import { fakeClock } from '../../support/fake-clock.ts'

afterEach(() => void vi.restoreAllMocks())

/** What a host does with a connection attempt. */
type Manner = ServerRole | 'refuses' | 'silent' | 'wrong password'

interface Connection {
	readonly at: string
}

/** Hosts that behave as they are told, and the source of a pool that chooses among them. */
function scene(manners: Record<string, Manner>, wanted: Wanted = 'primary') {
	const clock = fakeClock()
	const scheduler = createScheduler({ clock })
	const hosts = hostsOf([...new Set(Object.keys(manners).map((name) => name.split('#')[0] as string))], 5432)
	const endpoint = scheduler.endpoint(keyOf(hosts, wanted))
	const asked: string[] = []
	const closed: string[] = []
	const openAt = (
		at: HostAddress | undefined,
		suits: (role: ServerRole) => boolean,
		done: (error: unknown, connection: Connection | undefined) => void,
	) => {
		const { host, address } = at as HostAddress
		const name = address === undefined ? host : `${host}#${address}`
		asked.push(name)
		const manner = manners[name] ?? 'refuses'
		const refusals: Record<string, object> = {
			refuses: { code: 'ECONNREFUSED', syscall: 'connect' },
			'wrong password': { code: '28P01', severity: 'FATAL' },
		}
		const refusal = refusals[manner]
		if (manner === 'silent') {
			return () => {
				closed.push(name)
				done(Object.assign(new Error('late'), { code: 'ETIMEDOUT', syscall: 'connect' }), undefined)
			}
		}
		if (refusal !== undefined) done(Object.assign(new Error(manner), refusal), undefined)
		else if (suits(manner as ServerRole)) done(undefined, { at: name })
		else done(new Error('not wanted'), undefined)
		return () => {}
	}
	const placed = placedSource<Connection>({ openAt } as never, { hosts, wanted }, endpoint, scheduler)
	const open = () => {
		const result: { error?: unknown; at?: string | undefined; over: boolean } = { over: false }
		const giveUp = placed!.open((error, connection) => Object.assign(result, { error, at: connection?.at, over: true }))
		return { result, giveUp }
	}
	return { clock, scheduler, endpoint, asked, closed, manners, open, placed: placed!, hosts }
}

const named = (names: Record<string, string[]>) =>
	vi.spyOn(dns, 'lookup').mockImplementation(((name: string, _options: unknown, done: (error: unknown, found: unknown) => void) => {
		const found = names[name] ?? ['10.9.9.9']
		done(
			null,
			found.map((address) => ({ address, family: 4 })),
		)
	}) as never)

test('they are asked in their order until one suits, and from then on that one comes first', () => {
	named({})
	const at = scene({ a: 'replica', b: 'refuses', c: 'primary', d: 'primary' })
	expect(at.open().result).toMatchObject({ at: 'c' })
	expect(at.asked).toEqual(['a', 'b', 'c'])
	expect(at.open().result).toMatchObject({ at: 'c' })
	expect(at.asked).toEqual(['a', 'b', 'c', 'c'])
})

test('another primary in the place of the known one: connections of before belong to an old generation', () => {
	named({})
	const at = scene({ a: 'primary', b: 'replica' })
	at.open()
	const { generation } = at.endpoint
	at.manners.a = 'refuses'
	at.manners.b = 'primary'
	expect(at.open().result).toMatchObject({ at: 'b' })
	expect(at.endpoint.generation).toBeGreaterThan(generation)
	at.open()
	expect(at.placed.report()).toEqual([
		expect.objectContaining({ address: 'a:5432', role: undefined, state: 'down' }),
		expect.objectContaining({ address: 'b:5432', role: 'primary' }),
	])
})

test('a silent host keeps the others waiting for a quarter of a second, once; it is asked by one attempt at a time', async () => {
	named({})
	const at = scene({ a: 'silent', b: 'replica' })
	const { result, giveUp } = at.open()
	await at.clock.advance(249)
	expect(at.asked).toEqual(['a'])
	await at.clock.advance(1)
	expect(at.asked).toEqual(['a', 'b'])
	await at.clock.advance(2_000)
	expect(at.asked.filter((name) => name === 'a')).toHaveLength(1)
	expect(at.asked.filter((name) => name === 'b').length).toBeGreaterThan(3)
	expect(result.over).toBe(false)
	at.manners.b = 'primary'
	await at.clock.advance(500)
	expect(result).toMatchObject({ at: 'b' })
	expect(at.closed).toEqual(['a'])
	giveUp()
	expect(at.scheduler.stats().waits).toBe(0)
})

test('only silent hosts: the attempt lasts as long as it may, and ends when it is given up', async () => {
	named({})
	const at = scene({ a: 'silent', b: 'silent' })
	const { result, giveUp } = at.open()
	await at.clock.advance(4_000)
	expect(result.over).toBe(false)
	expect(at.asked).toEqual(['a', 'b'])
	giveUp()
	expect(result).toMatchObject({ over: true, at: undefined, error: { code: 'ETIMEDOUT' } })
	expect(at.closed).toEqual(['a', 'b'])
	expect(at.scheduler.stats().waits).toBe(0)
})

test('two lists with the same hosts never ask one host at once', async () => {
	named({})
	const at = scene({ a: 'silent', b: 'silent' })
	at.open()
	const other = at.endpoint.address.replace('primary', 'any')
	const second = placedSource<Connection>(
		{ openAt: () => expect.unreachable('the host is being asked') } as never,
		{ hosts: at.hosts, wanted: 'any' },
		at.scheduler.endpoint(other),
		at.scheduler,
	)
	await at.clock.advance(300)
	const giveUp = second!.open(() => {})
	await at.clock.advance(1_000)
	giveUp()
})

test('wrong credentials end the search', () => {
	named({})
	const at = scene({ a: 'wrong password', b: 'primary' })
	expect(at.open().result).toMatchObject({ error: { code: '28P01' }, at: undefined })
	expect(at.asked).toEqual(['a'])
})

test('no primary: the error says what each host is, and keeps the native error of one that does not answer', () => {
	named({})
	const at = scene({ a: 'refuses', b: 'replica', c: 'read-only' })
	expect(at.open().result.error).toMatchObject({
		code: 'HOLDFAST_NO_HOST',
		message: 'No server takes writes: b:5432 is a replica, c:5432 is set read-only.',
		cause: { code: 'ECONNREFUSED' },
	})
})

test('a name that stands for several servers: each is asked', () => {
	named({ db: ['10.0.0.1', '10.0.0.2', '10.0.0.3'] })
	const at = scene({ 'db#10.0.0.1': 'replica', 'db#10.0.0.2': 'refuses', 'db#10.0.0.3': 'primary' })
	expect(at.open().result).toMatchObject({ at: 'db#10.0.0.3' })
	expect(at.scheduler.stats().endpoints.map(({ address }) => address)).toEqual([at.endpoint.address, 'db:5432'])
})

test('names are looked up for each attempt, and nothing is kept', () => {
	const names = { db: ['10.0.0.1', '10.0.0.2'] }
	const lookup = named(names)
	const at = scene({ 'db#10.0.0.1': 'primary', 'db#10.0.0.2': 'replica', 'db#10.0.0.7': 'replica', 'db#10.0.0.8': 'primary' })
	expect(at.open().result).toMatchObject({ at: 'db#10.0.0.1' })
	names.db = ['10.0.0.7', '10.0.0.8']
	expect(at.open().result).toMatchObject({ at: 'db#10.0.0.8' })
	expect(lookup).toHaveBeenCalledTimes(2)
})

test('a name that cannot be looked up is passed over, and its error is the one that is told when nothing else is there', () => {
	vi.spyOn(dns, 'lookup').mockImplementation(((name: string, _options: unknown, done: (error: unknown, found?: unknown) => void) => {
		if (name === 'a') done(Object.assign(new Error('getaddrinfo ENOTFOUND a'), { code: 'ENOTFOUND', syscall: 'getaddrinfo' }))
		else done(null, [{ address: '10.0.0.1', family: 4 }])
	}) as never)
	const at = scene({ a: 'primary', b: 'primary' })
	expect(at.open().result).toMatchObject({ at: 'b' })
	at.manners.b = 'refuses'
	const { error } = at.open().result
	expect((error as { code: string }).code).toMatch(/ENOTFOUND|ECONNREFUSED/)
})

test('replicas take turns; where there is none another server will do if that is what was asked for', () => {
	named({})
	const at = scene({ a: 'replica', b: 'primary', c: 'replica' }, 'prefer-replica')
	const places = Array.from({ length: 6 }, () => at.open().result.at)
	expect(new Set(places)).toEqual(new Set(['a', 'c']))
	Object.assign(at.manners, { a: 'refuses', c: 'refuses' })
	expect(at.open().result).toMatchObject({ at: 'b' })
	const only = scene({ a: 'primary' }, 'replica')
	expect(only.open().result.error).toMatchObject({ code: 'HOLDFAST_NO_HOST', message: 'No server is a replica: a:5432 is the primary.' })
})

test('when the pool has ended nothing is known of the hosts any more', () => {
	named({})
	const at = scene({ a: 'primary', b: 'replica' })
	at.open()
	expect(at.scheduler.stats().endpoints.map(({ address }) => address)).toEqual([at.endpoint.address, 'a:5432', 'b:5432'])
	at.placed.end()
	expect(at.scheduler.stats().endpoints.map(({ address }) => address)).toEqual([at.endpoint.address])
	expect(at.hosts.map(addressOf)).toEqual(['a:5432', 'b:5432'])
})
