/** Do the conditions tell what is to be tried again from what is not? */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import * as when from '../../../src/retry/when.ts'
import { anAttempt } from './an-attempt.ts'

class LostError extends Error {}
class LostSocketError extends LostError {}
class Thrown {}
abstract class Family extends Error {}
class Member extends Family {}
// A class as compilers for ES5 write it: a plain function whose prototype descends from Error.
function OldError(this: Error) {}
OldError.prototype = Object.create(Error.prototype)
const old = Reflect.construct(OldError as never, [])

const threw = (error: unknown) => anAttempt({ error })
const returned = (result: unknown) => anAttempt({ result })
const chainOf = (...links: Error[]) => links.reduceRight((cause, link) => Object.assign(link, { cause }))
const circle = new Error('circle')
circle.cause = new Error('inner', { cause: circle })

test.each([
	['error() on a throw', when.error(), threw(new Error('x')), true],
	['error() on a thrown string', when.error(), threw('x'), true],
	['error() on a thrown undefined', when.error(), anAttempt({ failed: true }), true],
	['error() on a result', when.error(), returned(1), false],
	['error(class)', when.error(LostError), threw(new LostError()), true],
	['error(class) on a subclass', when.error(LostError), threw(new LostSocketError()), true],
	['error(class) on another class', when.error(LostSocketError), threw(new LostError()), false],
	['error(Error)', when.error(Error), threw(new TypeError()), true],
	['error(DOMException)', when.error(DOMException), threw(new DOMException('x')), true],
	['error(abstract class)', when.error(Family), threw(new Member()), true],
	['error(class that is no Error)', when.error(Thrown), threw(new Thrown()), true],
	['error(class that is no Error) on another', when.error(Thrown), threw(new Error('x')), false],
	['error(class written for ES5)', when.error(OldError as never), threw(old), true],
	['error(classes), the second', when.error([TypeError, LostError]), threw(new LostError()), true],
	['error(classes), neither', when.error([TypeError, LostError]), threw(new RangeError()), false],
	['error(arrow)', when.error((error: { code?: string }) => error.code === 'A'), threw({ code: 'A' }), true],
	['error(arrow), no', when.error((error: { code?: string }) => error.code === 'A'), threw({ code: 'B' }), false],
	[
		'error(plain function)',
		when.error(function isA(error: { code?: string }) {
			return error.code === 'A'
		}),
		threw({ code: 'A' }),
		true,
	],
	['error(predicate) on a result', when.error(() => true), returned(1), false],
	['notError(class) on it', when.notError(LostError), threw(new LostError()), false],
	['notError(class) on another', when.notError(LostError), threw(new Error('x')), true],
	['notError(class) on a result', when.notError(LostError), returned(1), false],
	['unlessError(class) on a result', when.unlessError(LostError), returned(1), true],
	['unlessError(class) on it', when.unlessError(LostError), threw(new LostError()), false],
	['unlessError(class) on another', when.unlessError(LostError), threw(new Error('x')), true],
	['unlessError() on a throw', when.unlessError(), threw(new Error('x')), false],
	['causedBy at depth 1', when.causedBy(LostError), threw(chainOf(new Error('a'), new LostError())), true],
	['causedBy at depth 3', when.causedBy(LostError), threw(chainOf(new Error('a'), new Error('b'), new Error('c'), new LostError())), true],
	['causedBy on the error itself', when.causedBy(LostError), threw(new LostError()), false],
	['causedBy on a chain without it', when.causedBy(LostError), threw(chainOf(new Error('a'), new Error('b'))), false],
	['causedBy on a circle', when.causedBy(LostError), threw(circle), false],
	['causedBy of a thrown string', when.causedBy(LostError), threw('x'), false],
	['causedBy a code', when.causedBy((error: { code?: string }) => error.code === 'A'), threw({ cause: { code: 'A' } }), true],
	['causedBy on a result', when.causedBy(LostError), returned({ cause: new LostError() }), false],
	['message(string), equal', when.message('lost'), threw(new Error('lost')), true],
	['message(string), only within', when.message('lost'), threw(new Error('lost it')), false],
	['message(string), a thrown string', when.message('lost'), threw('lost'), true],
	['message(expression), within', when.message(/lost/), threw(new Error('have lost it')), true],
	['message(expression), not there', when.message(/lost/), threw(new Error('found')), false],
	['message on a result', when.message('lost'), returned('lost'), false],
	['notMessage, equal', when.notMessage('lost'), threw(new Error('lost')), false],
	['notMessage, another', when.notMessage(/lost/), threw(new Error('found')), true],
	['notMessage on a result', when.notMessage('lost'), returned(1), false],
	['unlessMessage, equal', when.unlessMessage('lost'), threw(new Error('lost')), false],
	['unlessMessage, another', when.unlessMessage('lost'), threw(new Error('found')), true],
	['unlessMessage on a result', when.unlessMessage('lost'), returned(1), true],
	['result', when.result((rows: unknown[]) => rows.length === 0), returned([]), true],
	['result, no', when.result((rows: unknown[]) => rows.length === 0), returned([1]), false],
	['result on a throw', when.result(() => true), threw(new Error('x')), false],
	['notResult', when.notResult((ok) => ok === true), returned(false), true],
	['notResult, no', when.notResult((ok) => ok === true), returned(true), false],
	['notResult on a throw', when.notResult(() => false), threw(new Error('x')), false],
	['always on a throw', when.always(), threw(1), true],
	['always on a result', when.always, returned(1), true],
	['never on a throw', when.never(), threw(1), false],
	['never without a call', when.never, threw(1), false],
	['any', when.any(when.error(LostError), (attempt) => attempt.result === 1), returned(1), true],
	['any, none', when.any(when.error(LostError), (attempt) => attempt.result === 1), returned(2), false],
	['all', when.all(when.error(LostError), (attempt) => attempt.number < 3), threw(new LostError()), true],
	['all, not each', when.all(when.error(LostError), when.never), threw(new LostError()), false],
	['or', when.error(LostError).or(when.result((x) => x === null)), returned(null), true],
	['and', when.error(LostError).and(when.message('x')), threw(new LostError('y')), false],
])('when: %s', (_title, rule, attempt, answer) => {
	expect(rule(attempt)).toBe(answer)
})

test('an expression with the flag g answers the same each time, and the one given is not touched', () => {
	const expression = /lost/g
	const rule = when.message(expression)
	const attempt = threw(new Error('lost'))
	expect([rule(attempt), rule(attempt), rule(attempt)]).toEqual([true, true, true])
	expect(expression.lastIndex).toBe(0)
})

test('any and all agree with their rules, however they are nested', () => {
	const answers = fc.array(fc.boolean(), { minLength: 1, maxLength: 8 })
	fc.assert(
		fc.property(answers, answers, (left, right) => {
			const rules = (values: boolean[]) => values.map((value) => () => value)
			const nested = when.any(when.all(...rules(left)), when.any(...rules(right)))
			expect(nested(anAttempt())).toBe(left.every(Boolean) || right.some(Boolean))
		}),
	)
})

test.each([
	['error(number)', () => when.error(5 as never), 'when.error must be given an error class, a list of them or a function, got 5'],
	['error([])', () => when.error([]), 'when.error: a list must be of classes, at least one'],
	['error(list of predicates)', () => when.error([() => true] as never), 'when.error: a list must be of classes'],
	[
		'notError()',
		() => when.notError(undefined as never),
		'when.notError must be given an error class, a list of them or a function, got undefined',
	],
	[
		'causedBy(text)',
		() => when.causedBy('ECONNRESET' as never),
		'when.causedBy must be given an error class, a list of them or a function, got "ECONNRESET"',
	],
	['message(number)', () => when.message(5 as never), 'when.message must be given a string or a regular expression, got 5'],
	['result(value)', () => when.result(null as never), 'when.result: test must be a function, got null'],
	['notResult(value)', () => when.notResult(true as never), 'when.notResult: test must be a function, got true'],
	['any()', () => when.any(), 'when.any must be given at least one rule, got none'],
	['all()', () => when.all(), 'when.all must be given at least one rule, got none'],
	[
		'an async predicate',
		() => when.error((async () => false) as never)(threw(1)),
		'when.error must answer true or false at once, got a promise',
	],
	[
		'an async result test',
		() => when.result((async () => false) as never)(returned(1)),
		'when.result must answer true or false at once, got a promise',
	],
	['an async test that rejects', () => when.all((() => Promise.reject(new Error('late'))) as never)(threw(1)), 'when.all must answer'],
])('when refuses %s', (_title, make, text) => {
	expect(make).toThrow(TypeError)
	expect(make).toThrow(text)
})
