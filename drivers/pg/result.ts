/** What does a statement answer that was sent in another form? The result that pg itself makes of a command tag. */
import type { PgClient } from './shape.ts'

/** An empty result with this tag, of the class that the client's pg has for results. */
export function resultOf(client: PgClient, tag: string): unknown {
	const { Query } = client.constructor as unknown as {
		Query: new (text: string) => { _result?: { addCommandComplete(message: { text: string }): void } }
	}
	const result = new Query(tag)._result
	result?.addCommandComplete({ text: tag })
	return result ?? { command: tag, rowCount: null, rows: [], fields: [] }
}
