/** Are messages of the MySQL protocol found whatever pieces they come in, and is it known which statement they answer? */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { mysqlConversation } from '../support/mysql-frames.ts'
import type { Message } from '../support/protocol.ts'
import { cutUp } from './cut-up.ts'

const packet = (sequence: number, ...parts: (string | Buffer | number[])[]) => {
	const body = Buffer.concat(parts.map((part) => Buffer.from(part as string)))
	const header = Buffer.alloc(4)
	header.writeUIntLE(body.length, 0, 3)
	header[3] = sequence
	return Buffer.concat([header, body])
}
const int32 = (value: number) => {
	const bytes = Buffer.alloc(4)
	bytes.writeUInt32LE(value >>> 0)
	return bytes
}

const deprecateEof = 1 << 24
const queryAttributes = 1 << 27
const tls = 1 << 11
const compress = 1 << 5
const moreResults = 8

/** What both sides know is what the client says here: the greeting offers everything. */
const greeting = packet(0, [10], '9.7.4\0', int32(7), Buffer.alloc(9), [0xff, 0xff, 45, 2, 0, 0xff, 0xff], Buffer.alloc(24))
const login = (capabilities: number) => packet(1, int32(capabilities), Buffer.alloc(28), 'me\0')
const ok = (sequence: number, flags = 2) => packet(sequence, [0, 1, 0, flags, 0, 0, 0])
const okForEof = (sequence: number, flags = 2) => packet(sequence, [0xfe, 0, 0, flags, 0, 0, 0])
const eof = (sequence: number, flags = 2) => packet(sequence, [0xfe, 0, 0, flags, 0])
const error = (sequence: number, number: number) => packet(sequence, [0xff, number & 255, number >> 8], '#40001', 'Deadlock found')
const column = packet(9, 'def...')
const query = (sql: string) => packet(0, [3], sql)

const show = ({ type, text, tag, code }: Message) => [type, tag ?? code ?? text].filter((part) => part !== undefined).join(' ')

/** One conversation: who sends what, and what is read of it. */
type Script = readonly (readonly ['client' | 'server', Buffer, readonly string[]])[]

const opening = (capabilities: number): Script => [
	['server', greeting, ['Greeting']],
	['client', login(capabilities), ['HandshakeResponse']],
	['server', Buffer.concat([packet(2, [0xfe], 'caching_sha2_password\0')]), ['AuthSwitchRequest']],
	['client', packet(3, [1]), ['ClientData']],
	['server', Buffer.concat([packet(4, [1, 3]), ok(5)]), ['AuthMoreData', 'OK']],
]

const rest: Script = [
	['client', query('commit'), ['COM_QUERY commit']],
	['server', ok(1), ['OK COMMIT']],
	['client', query('/* why */ update t set a = 1'), ['COM_QUERY /* why */ update t set a = 1']],
	['server', error(1, 1213), ['ERR 1213']],
	['client', query("insert into t values (';'); commit"), ["COM_QUERY insert into t values (';'); commit"]],
	['server', Buffer.concat([ok(1, moreResults), ok(2)]), ['OK INSERT', 'OK COMMIT']],
	['client', Buffer.concat([packet(0, [25], int32(3)), packet(0, [14])]), ['COM_STMT_CLOSE', 'COM_PING']],
	['server', ok(1), ['OK']],
	['client', packet(0, [31]), ['COM_RESET_CONNECTION']],
	['server', ok(1), ['OK']],
	['client', packet(0, [9]), ['COM_STATISTICS']],
	['server', packet(1, 'Uptime: 1'), ['Statistics']],
	['client', query('load data local infile'), ['COM_QUERY load data local infile']],
	['server', packet(1, [0xfb], 'name'), ['LocalInfileRequest']],
	['client', Buffer.concat([packet(2, 'a,b'), packet(3)]), ['ClientData', 'ClientData']],
	['server', ok(4), ['OK LOAD']],
	['client', packet(0, [1]), ['COM_QUIT']],
	['server', error(0, 1053), ['ERR 1053']],
]

/** The same session without and with EOF behind the definitions of columns. */
const rows = (withEof: boolean): Script => {
	const gap = withEof ? [eof(3)] : []
	const gapSeen = withEof ? ['EOF'] : []
	const end = withEof ? eof : okForEof
	// A text, and a null.
	const list = [packet(4, [1], 'x'), packet(5, [0xfb])]
	const listSeen = ['Row', 'Row']
	return [
		['client', query('select 1'), ['COM_QUERY select 1']],
		[
			'server',
			Buffer.concat([packet(1, [1]), column, ...gap, ...list, end(6)]),
			['ResultSetHeader', 'ColumnDefinition', ...gapSeen, ...listSeen, 'ResultSetEnd SELECT'],
		],
		['client', query('call p()'), ['COM_QUERY call p()']],
		[
			'server',
			Buffer.concat([packet(1, [1]), column, ...gap, ...list, end(6, moreResults), ok(7)]),
			['ResultSetHeader', 'ColumnDefinition', ...gapSeen, ...listSeen, 'ResultSetEnd CALL', 'OK CALL'],
		],
		['client', query('select 2'), ['COM_QUERY select 2']],
		[
			'server',
			Buffer.concat([packet(1, [1]), column, ...gap, packet(4, [1], 'x'), error(5, 1317)]),
			['ResultSetHeader', 'ColumnDefinition', ...gapSeen, 'Row', 'ERR 1317'],
		],
		['client', packet(0, [22], 'delete from t where a = ?'), ['COM_STMT_PREPARE delete from t where a = ?']],
		[
			'server',
			Buffer.concat([packet(1, [0], int32(5), [0, 0, 1, 0, 0, 0, 0]), column, ...gap]),
			['PrepareOK', 'ColumnDefinition', ...gapSeen],
		],
		['client', packet(0, [23], int32(5), [0, 1, 0, 0, 0]), ['COM_STMT_EXECUTE delete from t where a = ?']],
		['server', ok(1), ['OK DELETE']],
		['client', packet(0, [22], 'select ?'), ['COM_STMT_PREPARE select ?']],
		[
			'server',
			Buffer.concat([packet(1, [0], int32(6), [1, 0, 1, 0, 0, 0, 0]), column, ...gap, column, ...gap]),
			['PrepareOK', 'ColumnDefinition', ...gapSeen, 'ColumnDefinition', ...gapSeen],
		],
		['client', packet(0, [23], int32(6), [0, 1, 0, 0, 0]), ['COM_STMT_EXECUTE select ?']],
		[
			'server',
			Buffer.concat([packet(1, [1]), column, ...gap, packet(4, [0, 0], 'x'), end(5)]),
			['ResultSetHeader', 'ColumnDefinition', ...gapSeen, 'Row', 'ResultSetEnd SELECT'],
		],
		['client', packet(0, [22], 'set @a = 1'), ['COM_STMT_PREPARE set @a = 1']],
		['server', packet(1, [0], int32(7), [0, 0, 0, 0, 0, 0, 0]), ['PrepareOK']],
	]
}

function play(script: Script, sizes: readonly number[]): void {
	const conversation = mysqlConversation()
	for (const [from, bytes, expected] of script) {
		const read = from === 'client' ? conversation.fromClient : conversation.fromServer
		const messages = cutUp(bytes, sizes).flatMap((piece) => read(piece))
		expect(messages.map(show)).toEqual(expected)
		expect(Buffer.concat(messages.map((message) => message.bytes)).equals(bytes)).toBe(true)
	}
}

test.each([
	['with an EOF behind the columns', true, 0],
	['without it', false, deprecateEof],
] as const)('the same messages come out however the bytes are cut up, and no byte is lost: %s', (_, withEof, capabilities) => {
	const script = [...opening(capabilities), ...rows(withEof), ...rest]
	fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 20 })), (sizes) => play(script, sizes)))
})

test('the text of a statement is found behind its attributes', () => {
	const attributes = Buffer.concat([
		// Two attributes, one set, the second is null, types follow.
		Buffer.from([2, 1, 0b10, 1]),
		Buffer.from([0xfd, 0, 2]),
		Buffer.from('id'),
		Buffer.from([8, 0, 1]),
		Buffer.from('n'),
		Buffer.from([3]),
		Buffer.from('abc'),
	])
	play(
		[...opening(queryAttributes), ['client', packet(0, [3, 0, 1], 'commit'), ['COM_QUERY commit']], ['server', ok(1), ['OK COMMIT']]],
		[],
	)
	play([...opening(queryAttributes), ['client', packet(0, [3], attributes, 'commit'), ['COM_QUERY commit']]], [])
})

test('a message of more than 16 MB is one message, in its several packets', () => {
	const text = `insert into t values ('${'x'.repeat(0xff_ff_ff)}')`
	const body = Buffer.concat([Buffer.from([3]), Buffer.from(text)])
	const header = (length: number, sequence: number) => Buffer.from([length & 255, (length >> 8) & 255, length >> 16, sequence])
	const head = body.subarray(0, 0xff_ff_ff)
	const tail = body.subarray(0xff_ff_ff)
	const wire = Buffer.concat([header(head.length, 0), head, header(tail.length, 1), tail])
	const conversation = mysqlConversation()
	conversation.fromServer(greeting)
	conversation.fromClient(login(0))
	conversation.fromServer(ok(2))
	const pieces = Array.from({ length: Math.ceil(wire.length / 65_536) }, (_, index) => wire.subarray(index * 65_536, (index + 1) * 65_536))
	const messages = pieces.flatMap((piece) => conversation.fromClient(piece))
	expect(messages.map(({ type }) => type)).toEqual(['COM_QUERY'])
	expect(messages[0]!.text === text).toBe(true)
	expect(messages[0]!.bytes.equals(wire)).toBe(true)
})

test('a row whose first byte is that of an end, but which fills its packet, is a row', () => {
	const conversation = mysqlConversation()
	conversation.fromServer(greeting)
	conversation.fromClient(login(deprecateEof))
	conversation.fromServer(ok(2))
	conversation.fromClient(query('select big'))
	const big = Buffer.alloc(4 + 0xff_ff_ff)
	big.writeUIntLE(0xff_ff_ff, 0, 3)
	big[4] = 0xfe
	const messages = conversation.fromServer(Buffer.concat([packet(1, [1]), column, big, packet(5), okForEof(6)]))
	expect(messages.map(({ type }) => type)).toEqual(['ResultSetHeader', 'ColumnDefinition', 'Row', 'ResultSetEnd'])
})

test('after a request for encryption, and with compression, everything passes unread', () => {
	const encrypted = mysqlConversation()
	encrypted.fromServer(greeting)
	const request = packet(1, int32(tls), Buffer.alloc(28))
	const noise = Buffer.from([22, 3, 1, 0, 200, 1])
	const messages = encrypted.fromClient(Buffer.concat([request, noise]))
	expect(messages.map(({ type, bytes }) => [type, bytes.length])).toEqual([
		['SSLRequest', request.length],
		['raw', noise.length],
	])
	expect(encrypted.fromServer(noise).map(({ type }) => type)).toEqual(['raw'])

	const compressed = mysqlConversation()
	compressed.fromServer(greeting)
	compressed.fromClient(login(compress))
	expect(compressed.fromServer(ok(2)).map(({ type }) => type)).toEqual(['OK'])
	expect(compressed.fromClient(noise).map(({ type }) => type)).toEqual(['raw'])
})

test('a server that turns a client away says why in its first message', () => {
	const conversation = mysqlConversation()
	const full = packet(0, [0xff, 1040 & 255, 1040 >> 8], 'Too many connections')
	expect(conversation.fromServer(full).map(({ type, code, text }) => [type, code, text])).toEqual([['ERR', '1040', 'Too many connections']])
})
