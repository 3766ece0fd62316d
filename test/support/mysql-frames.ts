/** What does a message between a MySQL or MariaDB and its client say, and which statement does it answer? Source: MySQL internals manual. */
import { scan } from '../../src/sql/scan.ts'
import { afterQueryAttributes, lengthEncoded, type Packet, PacketReader } from './mysql-packets.ts'
import type { Conversation, Message } from './protocol.ts'

/** Capabilities that change what a message looks like. */
const capability = { compress: 1 << 5, tls: 1 << 11, deprecateEof: 1 << 24, queryAttributes: 1 << 27 }

/** Bits of the server's status. */
const status = { moreResults: 1 << 3, cursorExists: 1 << 6 }

/** What answers a command: `result` an OK or rows, `rows` rows without a header, `none` nothing. */
type Reply = 'result' | 'prepared' | 'rows' | 'fields' | 'text' | 'login' | 'stream' | 'none'

const commands: Readonly<Record<number, readonly [name: string, reply: Reply]>> = {
	1: ['COM_QUIT', 'none'],
	2: ['COM_INIT_DB', 'result'],
	3: ['COM_QUERY', 'result'],
	4: ['COM_FIELD_LIST', 'fields'],
	8: ['COM_SHUTDOWN', 'result'],
	9: ['COM_STATISTICS', 'text'],
	12: ['COM_PROCESS_KILL', 'result'],
	13: ['COM_DEBUG', 'result'],
	14: ['COM_PING', 'result'],
	17: ['COM_CHANGE_USER', 'login'],
	18: ['COM_BINLOG_DUMP', 'stream'],
	21: ['COM_REGISTER_SLAVE', 'result'],
	22: ['COM_STMT_PREPARE', 'prepared'],
	23: ['COM_STMT_EXECUTE', 'result'],
	24: ['COM_STMT_SEND_LONG_DATA', 'none'],
	25: ['COM_STMT_CLOSE', 'none'],
	26: ['COM_STMT_RESET', 'result'],
	27: ['COM_SET_OPTION', 'result'],
	28: ['COM_STMT_FETCH', 'rows'],
	30: ['COM_BINLOG_DUMP_GTID', 'stream'],
	31: ['COM_RESET_CONNECTION', 'result'],
}

/** A command whose answer is not complete yet. */
interface Pending {
	readonly reply: Reply
	readonly text?: string
	/** Which statement of the text is being answered. */
	statement: number
	/** What comes next: the first message of an answer, so many definitions and then rows or the end, or rows. */
	phase: 'first' | 'definitions' | 'rows'
	definitions: number
	/** Definitions that come after those: a prepared statement has one list for parameters and one for columns. */
	moreDefinitions: number
}

/**
 * Follows one connection. `tag` stands on the message that completes a statement and is its first word, in upper case (`COMMIT`); `code`
 * is the number of an error. After a request for TLS, and with compression, all passes as `raw`.
 */
export function mysqlConversation(): Conversation {
	const ofClient = new PacketReader()
	const ofServer = new PacketReader()
	/** The greeting's, then what both sides know. */
	let capabilities = 0
	let answered = false
	let opaque = false
	/** Nobody answers the greeting with a command, so the first answer is to the login. */
	const pending: Pending[] = [pendingFor('login')]
	const prepared = new Map<number, string>()

	const raw = (bytes: Buffer): Message => ({ type: 'raw', bytes })
	const has = (bit: number) => (capabilities & bit) !== 0

	function readClient(packet: Packet): Message {
		const { bytes, body } = packet
		if (!answered) {
			answered = true
			capabilities &= body.length >= 4 ? body.readUInt32LE(0) : 0
			opaque = has(capability.tls) && body.length === 32
			return { type: opaque ? 'SSLRequest' : 'HandshakeResponse', bytes }
		}
		if (packet.sequence !== 0) return { type: 'ClientData', bytes }
		const [type, reply] = commands[body[0] ?? 0] ?? [`COM_${body[0]}`, 'result']
		const text = textOf(type, packet)
		if (reply !== 'none') pending.push(pendingFor(reply, text))
		return text === undefined ? { type, bytes } : { type, text, bytes }
	}

	function textOf(type: string, { body, whole }: Packet): string | undefined {
		if (type === 'COM_QUERY') return whole().toString('utf8', has(capability.queryAttributes) ? afterQueryAttributes(body, 1) : 1)
		if (type === 'COM_STMT_PREPARE') return whole().toString('utf8', 1)
		if (type === 'COM_STMT_EXECUTE') return prepared.get(body.readUInt32LE(1)) ?? ''
		return undefined
	}

	function readServer({ bytes, body }: Packet): Message {
		const first = body[0]
		if (!answered && first === 0x0a) {
			capabilities = greetingCapabilities(body)
			return { type: 'Greeting', bytes }
		}
		// An error ends every answer. One without a command tells why the server is about to hang up.
		if (first === 0xff) {
			pending.shift()
			return errorOf(body, bytes)
		}
		const [command] = pending
		if (!command) return { type: 'Unasked', bytes }
		if (command.phase === 'definitions') return definition(command, body, bytes)
		if (command.phase === 'rows') return row(command, body, bytes)
		switch (command.reply) {
			case 'login':
				if (first === 0xfe) return { type: 'AuthSwitchRequest', bytes }
				if (first !== 0x00) return { type: 'AuthMoreData', bytes }
				opaque = has(capability.compress)
				return completed(command, body, bytes)
			case 'prepared':
				return preparedOk(command, body, bytes)
			case 'text':
				pending.shift()
				return { type: 'Statistics', bytes }
			case 'stream':
				if (first === 0xfe) return completed(command, body, bytes)
				return { type: 'BinlogEvent', bytes }
			default:
				if (first === 0x00 || first === 0xfe) return completed(command, body, bytes)
				if (first === 0xfb) return { type: 'LocalInfileRequest', bytes }
				command.phase = 'definitions'
				command.definitions = lengthEncoded(body, 0).value
				return { type: 'ResultSetHeader', bytes }
		}
	}

	function preparedOk(command: Pending, body: Buffer, bytes: Buffer): Message {
		prepared.set(body.readUInt32LE(1), command.text ?? '')
		const lists = [body.readUInt16LE(7), body.readUInt16LE(5)].filter((count) => count > 0)
		command.definitions = lists[0] ?? 0
		command.moreDefinitions = lists[1] ?? 0
		if (lists.length > 0) command.phase = 'definitions'
		else pending.shift()
		return { type: 'PrepareOK', bytes }
	}

	/** A definition, or the EOF behind the last one, which newer clients do without. */
	function definition(command: Pending, body: Buffer, bytes: Buffer): Message {
		const isEof = command.definitions === 0
		if (!isEof) command.definitions--
		if (isEof || (command.definitions === 0 && has(capability.deprecateEof))) {
			if (command.moreDefinitions > 0) {
				command.definitions = command.moreDefinitions
				command.moreDefinitions = 0
			} else if (command.reply === 'prepared') pending.shift()
			// Rows of a cursor come when they are fetched.
			else if (isEof && (statusOf(body) & status.cursorExists) !== 0) pending.shift()
			else command.phase = 'rows'
		}
		return { type: isEof ? 'EOF' : 'ColumnDefinition', bytes }
	}

	function row(command: Pending, body: Buffer, bytes: Buffer): Message {
		// A row that begins with the same byte has a value of more than 16 MB in it, and so fills its packet.
		if (body[0] !== 0xfe || body.length >= 0xff_ff_ff) return { type: command.reply === 'fields' ? 'ColumnDefinition' : 'Row', bytes }
		return { ...completed(command, body, bytes), type: 'ResultSetEnd' }
	}

	/** The end of one statement's answer; there may be more. */
	function completed(command: Pending, body: Buffer, bytes: Buffer): Message {
		const tag = command.text === undefined ? undefined : firstWord(command.text, command.statement)
		if ((statusOf(body) & status.moreResults) !== 0) {
			command.statement++
			command.phase = 'first'
		} else pending.shift()
		return tag === undefined ? { type: 'OK', bytes } : { type: 'OK', tag, bytes }
	}

	/** The status in an OK, or in an EOF. */
	function statusOf(body: Buffer): number {
		if (body[0] === 0xfe && body.length === 5) return body.readUInt16LE(3)
		const { next } = lengthEncoded(body, lengthEncoded(body, 1).next)
		return body.length >= next + 2 ? body.readUInt16LE(next) : 0
	}

	/** After what has made the rest unreadable, all that came with it is passed on. */
	function readAll(reader: PacketReader, read: (packet: Packet) => Message, chunk: Buffer): Message[] {
		if (opaque) return [raw(chunk)]
		const messages = reader.read(chunk).map((packet) => (opaque ? raw(packet.bytes) : read(packet)))
		const rest = opaque ? reader.rest() : Buffer.alloc(0)
		return rest.length > 0 ? [...messages, raw(rest)] : messages
	}

	return {
		fromClient: (chunk) => readAll(ofClient, readClient, chunk),
		fromServer: (chunk) => readAll(ofServer, readServer, chunk),
		isReady: ({ type }) => type === 'OK' || type === 'raw',
		runsStatement: ({ type }) => type === 'COM_QUERY' || type === 'COM_STMT_EXECUTE',
	}
}

const pendingFor = (reply: Reply, text?: string): Pending => ({
	reply,
	...(text !== undefined && { text }),
	statement: 0,
	phase: reply === 'rows' || reply === 'fields' ? 'rows' : 'first',
	definitions: 0,
	moreDefinitions: 0,
})

/** Protocol version, the server's version as text with a zero, its thread, eight bytes of challenge and a zero stand before the first half. */
function greetingCapabilities(body: Buffer): number {
	const at = body.indexOf(0, 1) + 1 + 4 + 8 + 1
	return body.readUInt16LE(at) | (body.readUInt16LE(at + 5) << 16)
}

/** Before the client has spoken an error has no SQLSTATE. */
function errorOf(body: Buffer, bytes: Buffer): Message {
	const text = body.toString('utf8', body[3] === '#'.charCodeAt(0) ? 9 : 3)
	return { type: 'ERR', code: String(body.readUInt16LE(1)), text, bytes }
}

/** The first word of that statement of the text; of its last one where a procedure has given several answers. */
function firstWord(text: string, statement: number): string | undefined {
	if (statement === 0) {
		const word = /^\s*([a-z]+)/i.exec(text)
		if (word) return word[1]!.toUpperCase()
	}
	const { statements } = scan(text, 'mysql')
	return (statements[statement] ?? statements.at(-1))?.[0]?.text
}
