/** What does each statement of a text do to the transaction in which it is sent, and does it leave anything that lasts? */
import { controlStatements, isPlainRead, mayControlTransaction } from '../../../src/driver.ts'
import type { Server } from './server.ts'

/** One statement of a text that a migration sends. */
export interface Part {
	/** `passes`: it changes nothing that outlasts its session. `commits itself`: it ends the open transaction first, as MySQL's DDL does. */
	readonly does: 'begins' | 'commits' | 'rolls back' | 'commits itself' | 'passes' | 'works'
	readonly text: string
	/** AND CHAIN: the next transaction begins at once. */
	readonly chains: boolean
}

type Verb = ReturnType<typeof controlStatements>[number]['verb']

const meanings: Readonly<Partial<Record<Verb, Part['does']>>> = {
	begin: 'begins',
	commit: 'commits',
	// From then on the work is out of the session's hands.
	prepare: 'commits',
	rollback: 'rolls back',
	savepoint: 'passes',
	release: 'passes',
	rollback_to: 'passes',
	commit_prepared: 'works',
	rollback_prepared: 'works',
}

const setting = /^\s*(?:set|reset)\b/i
// A SELECT that calls any other function may do anything, such as `select create_hypertable(…)`.
const callsFunction =
	/["`]\s*\(|\b(?!(?:count|max|min|sum|avg|coalesce|exists|in|any|and|or|not|on|as|from|where|current_schema|database|version|to_regclass)\b)[a-z_]\w*\s*\(/i

/** The statements of the text in order; one at least. */
export function partsOf(sql: string, server: Server): readonly Part[] {
	const found = mayControlTransaction(sql) ? controlStatements(sql, server.dialect) : []
	if (found.length === 0) return [{ does: doesOf(sql, server), text: sql, chains: false }]
	return found.map(({ verb, start, chain = false }, index) => {
		const text = sql.slice(start, found[index + 1]?.start)
		return { does: meanings[verb] ?? doesOf(text, server), text, chains: chain }
	})
}

function doesOf(text: string, server: Server): Part['does'] {
	if (server.commitsImplicitly(text)) return 'commits itself'
	return setting.test(text) || (isPlainRead(text, server.dialect) && !callsFunction.test(text)) ? 'passes' : 'works'
}
