/** Which SQL does the workload need on MySQL and MariaDB? One text for each step. */
import type { Step } from '../../history/history.ts'
import type { Query, Write } from '../clients.ts'
import { accounts, centsEach } from '../operations.ts'

// A list is one row, so its lock gives every append its place, at each isolation level. There is no constraint that could hide a
// duplicate. Neither product has arrays: elements are numbers with commas between them.
export const schema = `
	create table list (id int primary key, elements text not null);
	create table account (id int primary key, cents int not null);
	insert into account (id, cents) values ${Array.from({ length: accounts }, (_, at) => `(${at + 1}, ${centsEach})`).join(', ')};
`

export const startAgain = `delete from list; update account set cents = ${centsEach}`

export const elementsOf = (text: string): number[] => text.split(',').map(Number)

export const append = (list: number, id: number): Write => ({
	text: "insert into list (id, elements) values (?, ?) on duplicate key update elements = concat(elements, ',', ?)",
	values: [list, id, id],
})

export async function perform(query: Query, id: number, step: Step): Promise<Step> {
	switch (step.do) {
		case 'append': {
			const { text, values } = append(step.list, id)
			await query(text, values)
			return step
		}
		case 'read': {
			const { rows } = await query('select elements from list where id = ?', [step.list])
			const [row] = rows
			return { ...step, elements: row === undefined ? [] : elementsOf(String(row.elements)) }
		}
		case 'move':
			await query('update account set cents = cents - ? where id = ?', [step.cents, step.from])
			await query('update account set cents = cents + ? where id = ?', [step.cents, step.to])
			return step
		case 'total': {
			// A sum is a decimal, which mysql2 hands over as text.
			const { rows } = await query('select sum(cents) as cents from account', [])
			return { ...step, cents: Number(rows[0]?.cents) }
		}
	}
}
