/** Is the driver's error found behind what wraps it? */
import { expect, test } from 'vitest'
import { classify } from '../../../src/classify/classify.ts'
import { conflict, endpoint, error, lost, my, pg, verdict } from './expected.ts'

const native = error(pg('40001'))
const wrapped: readonly (readonly [string, unknown])[] = [
	['as a cause (drizzle)', new Error('Failed query: insert into t\nparams: 1 - Connection terminated unexpectedly', { cause: native })],
	['three causes deep', new Error('a', { cause: new Error('b', { cause: new Error('c', { cause: native }) }) })],
	['as driverError (TypeORM)', error({ driverError: native })],
	['as original (Sequelize)', error({ name: 'SequelizeDatabaseError', original: native, parent: native })],
	['as nativeError (Objection)', error({ nativeError: native })],
	['in meta.code (Prisma)', error({ code: 'P2010', meta: { code: '40001', message: 'x' } })],
	["in the driver adapter's error (Prisma)", error({ code: 'P2010', meta: { driverAdapterError: { cause: { originalCode: '40001' } } } })],
	['as sqlState (pg-native)', error({ sqlState: '40001' })],
	['in an AggregateError', new AggregateError([native], '')],
	['in an AggregateError behind a cause', new Error('a', { cause: new AggregateError([native], '') })],
	['as a plain object', { code: '40001' }],
	["as Prisma's own code", error({ code: 'P2034' })],
]

test.each(wrapped)('a serialization failure is recognised %s', (_, given) => {
	expect(verdict(classify(given))).toEqual(conflict)
})

test('an AggregateError of addresses that all refused is a refused connection although its text is empty', () => {
	const refused = ['::1', '127.0.0.1'].map((address) => error({ code: 'ECONNREFUSED', syscall: 'connect', address }))
	expect(verdict(classify(Object.assign(new AggregateError(refused, ''), { code: 'ECONNREFUSED' })))).toEqual(
		endpoint('connection_refused'),
	)
	const late = ['::1', '127.0.0.1'].map((address) => error({ code: 'ETIMEDOUT', syscall: 'connect', address }))
	expect(verdict(classify(Object.assign(new AggregateError(late, ''), { code: 'ETIMEDOUT' })))).toEqual(endpoint('connect_timeout'))
})

test('of several errors the one that does not pass counts, then the one in doubt', () => {
	expect(classify(new AggregateError([native, error(pg('23505'))])).code).toBe('23505')
	expect(classify(new AggregateError([native, error({ message: 'nobody knows this' })])).retryable).toBe(false)
	expect(classify(new AggregateError([native, error({ code: 'ECONNRESET' })])).outcome).toBe('unknown')
	expect(classify(Object.assign(new AggregateError([new Error('a')]), { code: 'ECONNREFUSED' })).kind).toBe('connection_refused')
})

test('one error that is met twice counts as what it is', () => {
	expect(verdict(classify(new AggregateError([native, native])))).toEqual(conflict)
	expect(verdict(classify(new AggregateError([new Error('a', { cause: native }), new Error('b', { cause: native })])))).toEqual(conflict)
})

test('what a server states is the last word, whatever hangs on the error', () => {
	expect(classify(error(pg('99999', { cause: error({ code: 'ECONNREFUSED' }) }))).retryable).toBe(false)
	expect(classify(error(my(9_999, 'ER_NEW', { cause: error({ code: 'ECONNREFUSED' }) }))).retryable).toBe(false)
})

test('what knex writes before the text of an error does not hide it', () => {
	expect(verdict(classify(error({ message: 'select "a" from "t" - Connection terminated unexpectedly' })))).toEqual(lost)
	expect(verdict(classify(error({ name: 'MigrationLockError', message: 'connect ECONNREFUSED 127.0.0.1:5432' })))).toEqual(
		endpoint('connection_refused'),
	)
	const timeout = { name: 'KnexTimeoutError', message: 'Knex: Timeout acquiring a connection. The pool is probably full.' }
	expect(classify(error(timeout)).kind).toBe('pool_timeout')
	expect(classify(error({ ...timeout, cause: error({ code: 'ECONNREFUSED' }) })).kind).toBe('connection_refused')
})

test('a text that is known of clients proves nothing when a server states it', () => {
	const text = 'Client has encountered a connection error and is not queryable'
	expect(classify(error(pg('P0001', { message: text }))).retryable).toBe(false)
	expect(classify(error(my(1644, 'ER_SIGNAL_EXCEPTION', { message: text }))).retryable).toBe(false)
})
