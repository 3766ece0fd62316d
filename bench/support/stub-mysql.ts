/** What does a call cost apart from the database? The other end of a MySQL connection, in this process, that answers at the next tick. */
import { Duplex } from 'node:stream'

const autocommit = 2
const inTransaction = 1

// CLIENT_PROTOCOL_41, CLIENT_TRANSACTIONS, CLIENT_SECURE_CONNECTION, CLIENT_PLUGIN_AUTH (MySQL internals manual, "Capability Flags").
const capabilities = 0x0200 | 0x2000 | 0x8000 | 0x0008_0000

const quit = 0x01

/** A stream that greets, lets anybody in, and then answers what begins or ends a transaction with OK, and all else with one row. */
export function stubStream(): Duplex {
	let loggedIn = false
	let status = autocommit
	const stream = new Duplex({
		read() {},
		write(chunk: Buffer, _encoding, done) {
			for (const answer of answersTo(chunk)) process.nextTick(() => stream.push(answer))
			done()
		},
	})

	function* answersTo(chunk: Buffer): Generator<Buffer> {
		for (let at = 0; at < chunk.length; ) {
			const length = chunk.readUIntLE(at, 3)
			const body = chunk.subarray(at + 4, at + 4 + length)
			at += 4 + length
			if (!loggedIn) {
				loggedIn = true
				yield packet(2, ok(status))
			} else if (body[0] !== quit) yield answer(body.toString('latin1', 1))
		}
	}

	function answer(text: string): Buffer {
		if (/^(?:begin|start)/i.test(text)) status |= inTransaction
		else if (/^(?:commit|rollback)/i.test(text)) status &= ~inTransaction
		else return rowWith(status)
		return packet(1, ok(status))
	}

	process.nextTick(() => stream.push(packet(0, greeting())))
	return Object.assign(stream, { setNoDelay() {}, setKeepAlive() {}, setTimeout() {}, ref() {}, unref() {} })
}

function packet(sequence: number, body: Buffer): Buffer {
	const header = Buffer.alloc(4)
	header.writeUIntLE(body.length, 0, 3)
	header[3] = sequence
	return Buffer.concat([header, body])
}

const ok = (status: number) => Buffer.from([0x00, 0, 0, status, 0, 0, 0])
const eof = (status: number) => Buffer.from([0xfe, 0, 0, status, 0])

function greeting(): Buffer {
	const flags = Buffer.alloc(4)
	flags.writeUInt32LE(capabilities)
	const challenge = 'abcdefghijklmnopqrst'
	return Buffer.concat([
		Buffer.from('\u000a8.0.0-stub\0\u0001\0\0\0', 'latin1'),
		Buffer.from(`${challenge.slice(0, 8)}\0`),
		flags.subarray(0, 2),
		Buffer.from([45, autocommit, 0]),
		flags.subarray(2),
		Buffer.from([challenge.length + 1]),
		Buffer.alloc(10),
		Buffer.from(`${challenge.slice(8)}\0mysql_native_password\0`),
	])
}

const text = (value: string) => Buffer.from([value.length, ...Buffer.from(value)])
/** One column, `1`, of the type LONGLONG. */
const column = Buffer.concat([...['def', '', '', '', '1', ''].map(text), Buffer.from([0x0c, 63, 0, 1, 0, 0, 0, 8, 0x81, 0, 0, 0, 0])])

const rowWith = (status: number) =>
	Buffer.concat([packet(1, Buffer.from([1])), packet(2, column), packet(3, eof(status)), packet(4, text('1')), packet(5, eof(status))])
