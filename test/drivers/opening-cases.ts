/** What must a first statement that takes BEGIN along keep, on every version of pg? That nobody can tell it from one that came after BEGIN. */
import { commitLedger, stop } from 'holdfast'
import { type HoldfastPool, holdfast } from 'holdfast/pg'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Opening } from '../../drivers/pg/opening.ts'
import type { PgClient } from '../../drivers/pg/shape.ts'
import { caught } from '../support/caught.ts'
import { accidentMark } from '../support/leaks.ts'
import type { PostgresServer } from '../support/postgres.ts'
import { type FaultProxy, type Intercept, startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'

/** Where the tests run, once `beforeAll` has run. */
export interface OpeningGround {
	readonly server: PostgresServer
	/** The class of any version of pg. */
	readonly Pool: typeof pg.Pool
	/** Before 8.16 pg knew no `query_timeout` of a single query. */
	readonly limitsQueries: boolean
}

type Query = (...given: unknown[]) => unknown

const application_name = 'opening'

/** Registers the tests for one version of pg. */
export function openingKept(version: string, about: () => OpeningGround): void {
	let proxy: FaultProxy
	beforeAll(async () => {
		const { server } = about()
		proxy = await startProxy({ target: server, protocol: 'postgres' })
	})
	afterAll(() => proxy?.close())

	/** Runs the steps on a pool of one connection, and asserts that nothing is left: no connection, no accident in the process. */
	const kept = (title: string, steps: (make: typeof pool) => Promise<void>) =>
		test(`${version}: ${title}`, async () => {
			const { server } = about()
			await server.query('drop table if exists first_ledger; drop table if exists first; create table first (id int primary key)')
			const accidents = accidentMark()
			const pools: HoldfastPool[] = []
			try {
				await steps((options, config, prepare) => {
					const made = pool(options, config, prepare)
					pools.push(made)
					return made
				})
			} finally {
				for (const silent of silences.splice(0)) silent.remove()
				await Promise.all(pools.map((made) => made.end()))
			}
			const left = () => server.query(`select 1 from pg_stat_activity where application_name = '${application_name}'`)
			await until(async () => (await left()).length === 0, { what: 'no backend to be left' })
			await accidents.assertNone()
			accidents.stop()
		})
	const pool = (options: Parameters<typeof holdfast>[1] = {}, config: pg.PoolConfig = {}, prepare?: (client: { query: Query }) => void) => {
		const { server, Pool } = about()
		const bare = new Pool({ ...server.config(), host: proxy.host, port: proxy.port, max: 1, application_name, ...config })
		if (prepare !== undefined) bare.on('connect', (client) => prepare(client as unknown as { query: Query }))
		return holdfast(bare, options)
	}
	const ids = async () => (await about().server.query<{ id: number }>('select id from first order by id')).map(({ id }) => id)
	const silences: Intercept[] = []
	const silence = (times = 1_000) => {
		const silent = proxy.intercept({ from: 'server', match: () => true, action: 'black hole', times })
		silences.push(silent)
		return silent
	}

	const firsts: ReadonlyArray<[string, unknown]> = [
		['a text', "select 1 as one, 'x' as two"],
		['a text with values', { text: 'select $1::int as one, $2 as two', values: [1, 'x'] }],
		['a named statement', { name: 'first', text: 'select $1::int as one, $2 as two', values: [1, 'x'] }],
		['rows as arrays', { text: 'select $1::int as one, 2 as one', values: [1], rowMode: 'array' }],
		['parsers of its own', { text: 'select 1 as one', types: { getTypeParser: () => (value: string) => `parsed ${value}` } }],
		['the extended protocol on demand', { text: 'select 1 as one', queryMode: 'extended' }],
		['several statements', 'select 1 as one; select 2 as two'],
		['nothing', ''],
	]
	for (const options of [{ commit: 'off' as const }, {}]) {
		const commit = options.commit ?? 'verify'
		for (const [name, config] of firsts) {
			kept(`commit: ${commit}; ${name}: the result is the one of a later statement, each time`, async (make) => {
				const wrapped = make(options)
				for (let round = 0; round < 3; round++) {
					await wrapped.transaction(async (tx) => {
						const seen = (result: unknown) =>
							[result].flat().map((one) => {
								const { command, rowCount, rows, fields } = one as pg.QueryResult
								return { command, rowCount, rows, fields: fields.map((field) => field.name) }
							})
						const first = seen(await tx.query(config as string))
						expect(first).toEqual(seen(await tx.query(config as string)))
					})
				}
			})
		}

		kept(`commit: ${commit}; an error that only the parser finds has its position in the statement's own text`, async (make) => {
			const wrapped = make(options)
			for (const query of ['insert intoo first values (1)', { text: 'insert intoo first values ($1)', values: [1] }]) {
				expect(await caught(wrapped.transaction((tx) => tx.query(query as string)))).toMatchObject({ code: '42601', position: '8' })
			}
		})

		kept(`commit: ${commit}; arguments that pg refuses do not end the transaction, nor what waits behind them`, async (make) => {
			const wrapped = make(options)
			await wrapped.transaction(async (tx) => {
				const refused = caught(tx.query({ text: 'select $1', values: 'no array' as unknown as unknown[] }))
				const waited = tx.query('insert into first values (1)')
				expect((await refused)?.message).toMatch('must be an array')
				await waited
			})
			await wrapped.transaction(async (tx) => {
				expect((await caught(tx.query({ text: 'select $1', values: 'no array' as unknown as unknown[] })))?.message).toMatch('array')
				await tx.query('insert into first values (2)')
			})
			await caught(
				wrapped.transaction(async (tx) => {
					await caught(tx.query({ text: 'select $1', values: 'no array' as unknown as unknown[] }))
					await tx.query('insert into first values (3)')
					throw new Error('mine')
				}),
			)
			expect(await ids()).toEqual([1, 2])
		})

		kept(`commit: ${commit}; what wraps client.query, and changes the text or hands on a copy, keeps BEGIN in front`, async (make) => {
			const comment = (text: unknown) => `/* traced */ ${text}`
			const withText = (change: (config: { text: string }) => unknown) => (query: Query) =>
				function (this: unknown, config: unknown, ...rest: unknown[]) {
					const { text } = config as { text?: unknown }
					const changed =
						typeof config === 'string' ? comment(config) : typeof text === 'string' ? change(config as { text: string }) : config
					return query.call(this, changed, ...rest)
				}
			const wrappers = [
				// A getter without a setter, on the object itself.
				withText((config) => {
					const { text } = config
					return Object.defineProperty(config, 'text', { get: () => comment(text), configurable: true, enumerable: true })
				}),
				withText((config) => ({ ...config, text: comment(config.text) })),
			]
			for (const wrap of wrappers) {
				const wrapped = make(options, { query_timeout: 5_000 }, (client) => {
					client.query = wrap(client.query)
				})
				const insert = async (id: number, end: () => void) =>
					wrapped.transaction(async (tx) => {
						expect((await tx.query({ text: 'insert into first values ($1) returning id', values: [id] })).rows).toEqual([{ id }])
						end()
					})
				await insert(1, () => {})
				const undone = insert(2, () => {
					throw new Error('mine')
				})
				expect((await caught(undone))?.message).toBe('mine')
				expect((await caught(wrapped.transaction(async (tx) => void (await tx.query('insert into first values (1)')))))?.code).toBe('23505')
				expect(await ids()).toEqual([1])
				await wrapped.query('delete from first')
			}
		})

		kept(
			`commit: ${commit}; a server that no longer answers BEGIN holds a query_timeout up for nobody, and no later error is nobody's`,
			async (make) => {
				const wrapped = make({ ...options, stop: stop.afterAttempts(1) }, { query_timeout: 200 })
				for (const first of [
					(tx: Parameters<Parameters<HoldfastPool['transaction']>[0]>[0]) => tx.query('insert into first values (1)'),
					(tx: Parameters<Parameters<HoldfastPool['transaction']>[0]>[0]) => tx.transaction((inner) => inner.query('select 1')),
				]) {
					await wrapped.transaction((tx) => tx.query('select 1'))
					const silent = silence()
					const error = await caught(wrapped.transaction(first))
					expect(error?.message).toMatch('Query read timeout')
					expect(silent.hits).toBeGreaterThan(0)
					silent.remove()
					await until(() => wrapped.totalCount === 0, { what: 'the silent connection to be dropped' })
				}
				expect(await ids()).toEqual([])
			},
		)
	}

	kept('a query_timeout of the statement itself holds for the first one', async (make) => {
		if (!about().limitsQueries) return
		const wrapped = make({ stop: stop.afterAttempts(1) })
		const query = { text: 'select pg_sleep(1)', query_timeout: 100 }
		expect((await caught(wrapped.transaction((tx) => tx.query(query))))?.message).toMatch('Query read timeout')
	})

	kept('a backend that ends in the middle of the packet is told as it is told later', async (make) => {
		const wrapped = make({ stop: stop.afterAttempts(1) })
		const end = 'select pg_terminate_backend(pg_backend_pid())'
		const later = await caught(wrapped.transaction((tx) => tx.query('select 1').then(() => tx.query(end))))
		expect(later?.code).toBe('57P01')
		for (const query of [end, { text: `${end}, $1::int`, values: [1] }]) {
			expect(await caught(wrapped.transaction((tx) => tx.query(query as string)))).toMatchObject({
				code: later?.code,
				message: later?.message,
			})
		}
		await until(() => wrapped.totalCount === 0, { what: 'the dead connections to be dropped' })
	})

	kept('a query whose text is no property of its own, a tagged template say, is run', async (make) => {
		class Template {
			readonly values = [1]
			get text() {
				return 'insert into first values ($1)'
			}
		}
		await make().transaction((tx) => tx.query(new Template()))
		expect(await ids()).toEqual([1])
	})

	kept('a callback is called, and the call itself returns nothing, as ever', async (make) => {
		await make().transaction(async (tx) => {
			const query = tx.query.bind(tx) as Query
			for (const given of [['select 1 as one'], ['select $1::int as one', [1]]]) {
				let returned: unknown
				const { rows } = await new Promise<pg.QueryResult>((resolve, reject) => {
					returned = query(...given, (error: unknown, result: pg.QueryResult) => (error ? reject(error) : resolve(result)))
				})
				expect({ returned, rows }).toEqual({ returned: undefined, rows: [{ one: 1 }] })
			}
		})
	})

	for (const [commit, options] of [
		['verify', {}],
		['a ledger', { commit: commitLedger({ create: true, table: 'first_ledger' }) }],
	] as const) {
		kept(
			`commit: ${commit}; a session that forgot what was prepared marks anew; statements not awaited keep their order and are run once`,
			async (make) => {
				const wrapped = make(options)
				for (let warm = 0; warm < 2; warm++) await wrapped.transaction((tx) => tx.query('select 1'))
				await wrapped.query('deallocate all')
				const before = proxy.seen.statementsLike('insert into first')
				const config = { text: 'insert into first values ($1)', values: [1] }
				await wrapped.transaction(async (tx) => {
					const calls = [
						tx.query(config),
						tx.query('insert into first select max(id) + 1 from first'),
						tx.query('update first set id = id * 10'),
					]
					// The call was made with this.
					config.values[0] = 7
					await Promise.all(calls)
				})
				expect(await ids()).toEqual([10, 20])
				expect(proxy.seen.statementsLike('insert into first') - before).toBeLessThanOrEqual(3)
			},
		)
	}

	kept('a name of which the server has not heard, since its BEGIN failed, is prepared by the next statement', async (make) => {
		const wrapped = make({ commit: 'off' })
		const client = await wrapped.connect()
		const opening = new Opening(client as unknown as PgClient, 'BEGIN BOGUS', undefined)
		const named = { name: 'unheard', text: 'insert into first values ($1)', values: [1] }
		expect(await new Promise((resolve) => opening.run(named, undefined, (error) => resolve(error)))).toMatchObject({ code: '42601' })
		expect(await ids()).toEqual([])
		await client.query(named)
		client.release()
		expect(await ids()).toEqual([1])
	})

	for (const options of [{ commit: 'off' as const }, {}]) {
		kept(`commit: ${options.commit ?? 'verify'}; an attempt that is cut while its BEGIN is under way is run again, once`, async (make) => {
			const wrapped = make({ ...options, attemptTimeoutMs: 1_000 })
			await wrapped.transaction((tx) => tx.query('select 1'))
			const silent = silence(1)
			let runs = 0
			await wrapped.transaction(async (tx) => {
				runs += 1
				await tx.query('insert into first values (1)')
			})
			expect({ hits: silent.hits, runs, ids: await ids() }).toEqual({ hits: 1, runs: 2, ids: [1] })
		})
	}
}
