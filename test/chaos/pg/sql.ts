/** Which SQL does the workload need on PostgreSQL? One text for each step. */
import type { Step } from '../../history/history.ts'
import type { Query, Write } from '../clients.ts'
import { accounts, centsEach } from '../operations.ts'

// A list is one row, so its lock gives every append its place, at each isolation level. There is no constraint that could hide a
// duplicate. fillfactor leaves room on the page: new versions stay there and touch no index.
export const schema = `
	create table list (id int primary key, elements int[] not null) with (fillfactor = 30);
	create table account (id int primary key, cents int not null) with (fillfactor = 30);
	insert into account select id, ${centsEach} from generate_series(1, ${accounts}) as id;
`

export const startAgain = `truncate list; update account set cents = ${centsEach}`

export const append = (list: number, id: number): Write => ({
	text: `insert into list values ($1, array[$2::int])
		on conflict (id) do update set elements = list.elements || excluded.elements`,
	values: [list, id],
})

export async function perform(query: Query, id: number, step: Step): Promise<Step> {
	switch (step.do) {
		case 'append': {
			const { text, values } = append(step.list, id)
			await query(text, values)
			return step
		}
		case 'read': {
			const { rows } = await query('select elements from list where id = $1', [step.list])
			return { ...step, elements: (rows[0]?.elements as number[] | undefined) ?? [] }
		}
		case 'move':
			await query('update account set cents = cents - $2 where id = $1', [step.from, step.cents])
			await query('update account set cents = cents + $2 where id = $1', [step.to, step.cents])
			return step
		case 'total': {
			const { rows } = await query('select sum(cents)::int as cents from account', [])
			return { ...step, cents: rows[0]?.cents as number }
		}
	}
}
