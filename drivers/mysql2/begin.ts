/** How is a transaction opened and marked in as few round trips as the server allows? */
import type { TransactionModes } from '../../src/driver.ts'
import { execute, perform } from './client.ts'
import type { Mysql2Connection } from './shape.ts'

/** What the handshake told of the server. */
interface Handshake {
	readonly _handshakePacket?: { readonly serverVersion?: string } | null
}

const plainOpening = ['START TRANSACTION']

/** The statements that open a transaction of this kind. The isolation level is that of the next transaction only. */
export function openingTexts({ isolation, readOnly }: TransactionModes): readonly string[] {
	if (isolation === undefined && readOnly === undefined) return plainOpening
	const access = readOnly === undefined ? '' : readOnly ? ' READ ONLY' : ' READ WRITE'
	return [...(isolation === undefined ? [] : [`SET TRANSACTION ISOLATION LEVEL ${isolation.toUpperCase()}`]), `START TRANSACTION${access}`]
}

// Servers that do not take a block of statements: MariaDB with `sql_mode=ORACLE` reads it in another way.
const withoutBlocks = new WeakSet<object>()

/**
 * Runs the texts one after the other, as one query where that can be had: in a block (MariaDB), or where the pool was made for several
 * statements in one text. They are not sent behind each other without waiting: ProxySQL ends such a connection, and Aurora may never answer.
 */
export async function runInOrder(connection: Mysql2Connection, texts: readonly string[]): Promise<void> {
	if (texts.length > 1 && connection.config.multipleStatements === true) {
		await execute(connection, texts.join('; '))
		return
	}
	if (texts.length > 1 && takesBlocks(connection)) {
		try {
			await execute(connection, `BEGIN NOT ATOMIC ${texts.join('; ')}; END`)
			return
		} catch (error) {
			if (errnoOf(error) !== syntaxError) throw error
			withoutBlocks.add(connection.config)
		}
	}
	for (const text of texts) await perform(connection, text)
}

function takesBlocks(connection: Mysql2Connection): boolean {
	const version = (connection as Handshake)._handshakePacket?.serverVersion
	return version?.includes('MariaDB') === true && !withoutBlocks.has(connection.config)
}

// ER_PARSE_ERROR.
const syntaxError = 1064

/** The server's number of an error; undefined where it has none. */
export function errnoOf(error: unknown): number | undefined {
	const errno = typeof error === 'object' && error !== null && 'errno' in error ? error.errno : undefined
	return typeof errno === 'number' ? errno : undefined
}
