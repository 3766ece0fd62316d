/** Do the types of a wrapped knex instance say what it does? Compiled by `tsc`; nothing here is run. */
import { type HoldfastKnex, holdfast } from 'holdfast/knex'
import makeKnex, { type Knex } from 'knex'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_yes: Equal<A, B>): void => {}

interface Pet {
	id: number
	name: string
}

export async function instances(typed: Knex<Pet>): Promise<void> {
	const knex = holdfast(makeKnex({ client: 'pg' }), { deadlineMs: 5_000, commit: 'off', onRetry: ({ fault }) => void fault.kind })
	const asWrapped: HoldfastKnex = knex
	const asKnex: Knex = knex
	const pets = holdfast(typed)
	const asPets: Knex<Pet> = pets
	void [asWrapped, asKnex, asPets]
	const [bareNames, names] = [await typed.select('name').from('pets'), await pets.select('name').from('pets')]
	same<typeof bareNames, typeof names>(true)
	await knex.holdfast.ready({ deadlineMs: 100 })
	same<ReturnType<typeof knex.holdfast.stats>['attempts'], number>(true)
	await knex.destroy()
}

export async function statements(knex: HoldfastKnex): Promise<void> {
	const rows = await knex<Pet>('pets').where({ id: 1 }).select('name').options({ idempotent: true })
	same<typeof rows, Pick<Pet, 'name'>[]>(true)
	const raw = await knex.raw('select 1').options({ exactlyOnce: true, deadlineMs: 5, label: 'x' })
	void raw
}

export async function transactions(knex: HoldfastKnex): Promise<void> {
	const value = await knex.transaction(
		async (trx) => {
			trx.onCommit(() => {})
			const inner = await trx.transaction(async (savepoint) => (await savepoint<Pet>('pets').first())?.name)
			return { inner, n: 1 }
		},
		{ isolationLevel: 'serializable', readOnly: true, idempotent: true, label: 'x', deadlineMs: 5, signal: AbortSignal.abort() },
	)
	same<typeof value, { inner: string | undefined; n: number }>(true)
	const trx = await knex.transaction({ isolationLevel: 'serializable' })
	same<typeof trx, Knex.Transaction>(true)
	await trx.commit()
	const provide = knex.transactionProvider()
	same<Awaited<ReturnType<typeof provide>>, Knex.Transaction>(true)
}

export function refused(knex: HoldfastKnex): void {
	// @ts-expect-error a number of milliseconds, not a text
	holdfast(makeKnex({ client: 'pg' }), { deadlineMs: '5s' })
	// @ts-expect-error no such option
	holdfast(makeKnex({ client: 'pg' }), { deadline: 5 })
	// @ts-expect-error the package is no instance
	holdfast(makeKnex)
	// @ts-expect-error no such option of a transaction
	void knex.transaction(async () => 1, { idempotnt: true })
}
