/** How is money moved so that neither a conflict nor a restart loses or doubles it? */
import { InDoubtError, retryReport } from 'holdfast'
import { holdfast } from 'holdfast/pg'
import pg from 'pg'

const pool = holdfast(new pg.Pool({ connectionString: process.env.DATABASE_URL }))

async function transfer(from: number, to: number, amount: number): Promise<void> {
	await pool.transaction(
		async (tx) => {
			// The whole function runs again after a conflict: keep effects on the outside world out of it …
			await tx.query('update accounts set balance = balance - $1 where id = $2', [amount, from])
			await tx.query('update accounts set balance = balance + $1 where id = $2', [amount, to])
			// … and put them here: this runs once, when the commit is certain.
			tx.onCommit(() => console.log(`moved ${amount} from ${from} to ${to}`))
		},
		{ isolation: 'serializable' },
	)
}

await pool.query('create table if not exists accounts (id integer primary key, balance integer not null)')
await pool.query('insert into accounts values (1, 100), (2, 100) on conflict do nothing')

try {
	await transfer(1, 2, 25)
} catch (error) {
	if (error instanceof InDoubtError) console.error('look for the transfer before repeating it:', error.message)
	else console.error('not transferred:', error, retryReport(error))
	process.exitCode = 1
}

await pool.end()
