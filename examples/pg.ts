/** How is a pool wrapped? The least that an application has to change. */
import { holdfast } from 'holdfast/pg'
import pg from 'pg'

const pool = holdfast(new pg.Pool({ connectionString: process.env.DATABASE_URL }))

await pool.query('create table if not exists notes (id integer primary key, text text not null)')

// A write may be rerun when its fate is unknown only if running it twice does no harm. This one does none, so we say so.
await pool.query({
	text: 'insert into notes (id, text) values ($1, $2) on conflict (id) do update set text = excluded.text',
	values: [1, 'survives restarts'],
	idempotent: true,
})

const { rows } = await pool.query<{ text: string }>('select text from notes where id = $1', [1])
console.log(rows[0]?.text)

await pool.end()
