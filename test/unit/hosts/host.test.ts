/** What may stand in `hosts`, and what does it come to? */
import { describe, expect, test } from 'vitest'
import { addressOf, checkHosts, hostsOf } from '../../../src/hosts/host.ts'
import { checkPoolOptions } from '../../../src/pool-options.ts'

test('names, addresses and paths, with a port or without', () => {
	const hosts = hostsOf(
		['db1', 'db2:6000', '10.0.0.1', '10.0.0.2:6000', '::1', '[::2]:6000', '[::3]', '/run/pg', { host: 'db3' }, { host: 'db4', port: 6000 }],
		5432,
	)
	expect(hosts.map(addressOf)).toEqual([
		'db1:5432',
		'db2:6000',
		'10.0.0.1:5432',
		'10.0.0.2:6000',
		'[::1]:5432',
		'[::2]:6000',
		'[::3]:5432',
		'/run/pg/.s.PGSQL.5432',
		'db3:5432',
		'db4:6000',
	])
})

describe('each of these is refused, by name, rule and value', () => {
	test.each([
		[undefined, "hosts must be an array of one or more of 'host:port' or { host, port }, got undefined"],
		[[], "hosts must be an array of one or more of 'host:port' or { host, port }, got an array of 0"],
		['db1:5432', "hosts must be an array of one or more of 'host:port' or { host, port }, got a string of 8 characters"],
		[[5432], "hosts[0] must be 'host:port' or { host, port }, got 5432"],
		[['db1', null], "hosts[1] must be 'host:port' or { host, port }, got null"],
		[[''], `hosts[0] must be 'host:port' or { host, port }, got ""`],
		[['db1:'], "hosts[0] must be 'host:port' or { host, port }, got a string of 4 characters"],
		[['db1:pg'], "hosts[0] must be 'host:port' or { host, port }, got a string of 6 characters"],
		[['db1:70000'], 'the port of hosts[0] must be a whole number from 1 to 65535, got 70000'],
		[[{ host: 'db1', port: 0 }], 'hosts[0].port must be a whole number from 1 to 65535, got 0'],
		[[{ host: 'db1', port: '5432' }], 'hosts[0].port must be a whole number from 1 to 65535, got "5432"'],
		[[{ port: 5432 }], 'hosts[0].host must be the name or address of a server, got undefined'],
		[[{ host: 'db1', user: 'me' }], 'hosts[0]: unknown option user; known are host, port'],
		[['db1', 'DB1'], 'hosts must name each server once, but hosts[0] and hosts[1] are the same'],
	])('%j', (hosts, message) => {
		expect(() => checkHosts(hosts)).toThrow(message)
	})

	test('a connection string is not shown: it may hold a password', () => {
		for (const hosts of [['postgres://me:sesame@db1'], [{ host: 'me:sesame@db1' }]]) {
			expect(() => checkHosts(hosts)).toThrow(TypeError)
			expect(() => checkHosts(hosts)).not.toThrow('sesame')
		}
	})

	test('the same server by the port of the pool', () => {
		expect(() => hostsOf(['db1', 'db1:5432'], 5432)).toThrow(RangeError)
	})

	test('a target without hosts, or one that there is not', () => {
		expect(() => checkPoolOptions({ target: 'primary' })).toThrow('target needs hosts')
		expect(() => checkPoolOptions({ hosts: ['db1'], target: 'master' })).toThrow(
			"target must be one of 'primary', 'prefer-replica', 'any', got \"master\"",
		)
	})
})
