/** What is a short transaction made of? Three reads, the same for every driver, by hand and by `pool.transaction`. */

interface Queries {
	query(sql: string): Promise<unknown>
}

export async function threeReads(on: Queries): Promise<void> {
	await on.query('select 1')
	await on.query('select 2')
	await on.query('select 3')
}

/** As an application does it that has only a connection: between `begin` and `commit`, and then given back. */
export async function byHand(borrowed: Promise<Queries & { release(): void }>, begin: string): Promise<void> {
	const connection = await borrowed
	try {
		await connection.query(begin)
		await connection.query('select 1')
		await connection.query('select 2')
		await connection.query('select 3')
		await connection.query('commit')
	} finally {
		connection.release()
	}
}
