/** Can anything that is thrown harm classify? */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { classify } from '../../../src/classify/classify.ts'
import { error, pg } from './expected.ts'

test('nothing that can be thrown makes classify throw', () => {
	const thrower = new Proxy(
		{},
		{
			get: () => {
				throw new Error('get')
			},
			has: () => {
				throw new Error('has')
			},
			getPrototypeOf: () => {
				throw new Error('prototype')
			},
		},
	)
	const revoked = Proxy.revocable({}, {})
	revoked.revoke()
	const revokedList = Proxy.revocable([], {})
	revokedList.revoke()
	const cycle = error({})
	Object.assign(cycle, { cause: cycle, errors: [cycle] })
	const knot = error({})
	for (const place of ['cause', 'driverError', 'original', 'parent', 'nativeError', 'meta', 'error']) Object.assign(knot, { [place]: knot })
	const getter = Object.defineProperty(new Error('x'), 'code', {
		get: () => {
			throw new Error('no')
		},
	})
	let deep: unknown = error({ code: '40001' })
	for (let level = 0; level < 1_000; level++) deep = new Error('x', { cause: deep })
	const wide = new AggregateError(Array.from({ length: 100_000 }, () => error({ code: '40001' })))
	const odd = [null, undefined, 'x', 1, 1n, true, Symbol('x'), () => 1, [], {}, Object.freeze(error(pg('40001'))), thrower, revoked.proxy]
	for (const given of [
		...odd,
		{ errors: revokedList.proxy },
		{ cause: thrower },
		cycle,
		knot,
		getter,
		deep,
		wide,
		{ errno: Number.NaN, code: 5 },
	]) {
		for (const phase of ['connect', 'statement', 'commit'] as const) {
			expect(typeof classify(given, { phase }).retryable).toBe('boolean')
		}
	}
	expect(classify(deep).retryable).toBe(false)
	fc.assert(fc.property(fc.anything({ withProxy: false } as object), (given) => typeof classify(given).retryable === 'boolean'))
})

test('an error is left as it was', () => {
	const given = Object.freeze(error(pg('40001')))
	expect(classify(given).kind).toBe('serialization_failure')
	expect(Object.keys(given)).toEqual(['code', 'severity'])
})
