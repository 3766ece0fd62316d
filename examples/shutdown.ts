/** How does a service start before its database is up, and stop without leaving anything behind? */
import { holdfast } from 'holdfast/pg'
import pg from 'pg'

const pool = holdfast(new pg.Pool({ connectionString: process.env.DATABASE_URL }))

// Waits while the server starts or restarts; fails after ten seconds with the reason.
await pool.holdfast.ready({ deadlineMs: 10_000 })
console.log('ready')

async function shutDown(): Promise<void> {
	// Callers that still wait for the database get an error at once. Then nothing keeps the process alive.
	await pool.end()
	console.log('bye')
}

process.once('SIGTERM', shutDown)
process.once('SIGINT', shutDown)
await shutDown()
