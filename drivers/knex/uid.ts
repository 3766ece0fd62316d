/** What is a connection called in knex's events? */

let connections = 0

export function nextUid(): string {
	connections += 1
	return `__knexUid${connections}`
}
