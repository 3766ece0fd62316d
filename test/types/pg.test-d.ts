/** Do the types of a wrapped pool say what it does? Compiled by `tsc`; nothing here is run. */
import { type HoldfastPool, holdfast } from 'holdfast/pg'
import pg from 'pg'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_yes: Equal<A, B>): void => {}

class Mine extends pg.Pool {
	readonly tenant: string = 'one'
}

export async function pools(): Promise<void> {
	const pool = holdfast(new pg.Pool(), { deadlineMs: 5_000, commit: 'off', onRetry: ({ fault }) => void fault.kind })
	same<typeof pool, HoldfastPool<pg.Pool>>(true)
	const asPool: pg.Pool = pool
	const mine = holdfast(new Mine())
	same<typeof mine.tenant, string>(true)
	const asMine: Mine = mine
	void [asPool, asMine]
	await pool.end()
	await pool.holdfast.ready({ deadlineMs: 100 })
	same<ReturnType<typeof pool.holdfast.stats>['attempts'], number>(true)
}

export async function sessions(): Promise<void> {
	const pool = holdfast(new pg.Pool(), { onConnect: (client) => client.query('SET search_path TO app'), listenCheckMs: 1_000 })
	const unlisten = await pool.listen('jobs', ({ payload }) => payload?.length, { onGap: ({ lostAt }) => lostAt.getTime() })
	same<typeof unlisten, () => Promise<void>>(true)
}

export async function queries(pool: HoldfastPool): Promise<void> {
	interface Row {
		id: number
	}
	const typed = await pool.query<Row>({
		text: 'select id from t where id = $1',
		values: [1],
		idempotent: true,
		deadlineMs: 100,
		label: 'one',
	})
	same<typeof typed.rows, Row[]>(true)
	const plain = await pool.query<Row>('select id from t', [1])
	same<typeof plain.rows, Row[]>(true)
	const arrays = await pool.query<[number]>({ text: 'select 1', rowMode: 'array' })
	same<typeof arrays.rows, [number][]>(true)
	const client = await pool.connect()
	same<typeof client, pg.PoolClient>(true)
	pool.query('select 1', (error, result) => void [error.message, result.rows])
	pool.connect((error, lent, release) => void [error, lent, release])
}

export async function transactions(pool: HoldfastPool): Promise<void> {
	const value = await pool.transaction(
		async (tx) => {
			const { rows } = await tx.query<{ id: number }>('select 1 as id')
			const inner = await tx.transaction(async (savepoint) => {
				savepoint.onCommit(() => {})
				return 'inner' as const
			})
			return { id: rows[0]?.id, inner }
		},
		{
			isolation: 'serializable',
			readOnly: true,
			deferrable: true,
			idempotent: true,
			label: 'x',
			deadlineMs: 5,
			signal: AbortSignal.abort(),
		},
	)
	same<typeof value, { id: number | undefined; inner: 'inner' }>(true)
}

export function refused(pool: HoldfastPool): void {
	// @ts-expect-error a number of milliseconds, not a text
	holdfast(new pg.Pool(), { deadlineMs: '5s' })
	// @ts-expect-error no such option
	holdfast(new pg.Pool(), { deadline: 5 })
	// @ts-expect-error a client is no pool
	holdfast(new pg.Client())
	// @ts-expect-error no such isolation
	void pool.transaction(async () => 1, { isolation: 'snapshot' })
	// @ts-expect-error the function must return a promise
	void pool.transaction(() => 1)
	// @ts-expect-error the word for it is true or false
	void pool.query({ text: 'select 1', idempotent: 'yes' })
	// @ts-expect-error no such field
	void pool.query({ text: 'select 1', idempotnt: true })
}
