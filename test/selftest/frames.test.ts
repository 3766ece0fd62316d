/** Are messages of the PostgreSQL protocol found whatever pieces they come in? */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { postgresConversation } from '../support/postgres-frames.ts'
import { cutUp } from './cut-up.ts'

const frame = (type: string, ...parts: (string | Buffer)[]) => {
	const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part)))
	const length = Buffer.alloc(4)
	length.writeInt32BE(body.length + 4)
	return Buffer.concat([Buffer.from(type), length, body])
}
const int32 = (value: number) => {
	const bytes = Buffer.alloc(4)
	bytes.writeInt32BE(value)
	return bytes
}

const fromClient = Buffer.concat([
	frame('', int32(80877103)),
	frame('', int32(196608), 'user', 'me', ''),
	frame('Q', 'begin'),
	frame('P', 'named', 'select $1', Buffer.alloc(2)),
	frame('B', '', 'named', Buffer.alloc(6)),
	frame('E', '', int32(0)),
	frame('S'),
	frame('X'),
])
const fromServer = Buffer.concat([
	Buffer.from('N'),
	frame('R', int32(0)),
	frame('Z', Buffer.from('I')),
	frame('C', 'COMMIT'),
	frame('E', 'SFATAL', 'C57P01', 'Mterminating connection', ''),
])

test('the same messages come out however the bytes are cut up, and no byte is lost', () => {
	fc.assert(
		fc.property(fc.array(fc.integer({ min: 0, max: 20 })), fc.array(fc.integer({ min: 0, max: 20 })), (some, others) => {
			const conversation = postgresConversation()
			const ofClient = cutUp(fromClient, some).flatMap((piece) => conversation.fromClient(piece))
			const ofServer = cutUp(fromServer, others).flatMap((piece) => conversation.fromServer(piece))
			expect(ofClient.map(({ type, text }) => (text === undefined ? type : `${type} ${text}`))).toEqual([
				'SSLRequest',
				'Startup',
				'Query begin',
				'Parse select $1',
				'Bind select $1',
				'Execute select $1',
				'Sync',
				'Terminate',
			])
			expect(ofServer.map(({ type, tag, code, text }) => [type, tag ?? code, text])).toEqual([
				['EncryptionResponse', undefined, undefined],
				['Authentication', undefined, undefined],
				['ReadyForQuery', undefined, undefined],
				['CommandComplete', 'COMMIT', undefined],
				['ErrorResponse', '57P01', 'terminating connection'],
			])
			expect(Buffer.concat(ofClient.map(({ bytes }) => bytes)).equals(fromClient)).toBe(true)
			expect(Buffer.concat(ofServer.map(({ bytes }) => bytes)).equals(fromServer)).toBe(true)
		}),
	)
})

test('after a granted request for encryption everything passes unread', () => {
	const conversation = postgresConversation()
	conversation.fromClient(frame('', int32(80877103)))
	expect(conversation.fromServer(Buffer.from('Snoise')).map(({ type, bytes }) => [type, String(bytes)])).toEqual([
		['EncryptionResponse', 'S'],
		['raw', 'noise'],
	])
	expect(conversation.fromClient(Buffer.from('hello')).map(({ type }) => type)).toEqual(['raw'])
})
