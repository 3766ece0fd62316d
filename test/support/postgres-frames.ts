/** Where does a message of the PostgreSQL protocol end, and what does it say? Source: PostgreSQL manual, "Message Formats". */
import type { Conversation, Message } from './protocol.ts'

const frontend: Readonly<Record<string, string>> = {
	B: 'Bind',
	C: 'Close',
	D: 'Describe',
	E: 'Execute',
	H: 'Flush',
	P: 'Parse',
	Q: 'Query',
	S: 'Sync',
	X: 'Terminate',
	c: 'CopyDone',
	d: 'CopyData',
	f: 'CopyFail',
	p: 'Password',
}

const backend: Readonly<Record<string, string>> = {
	'1': 'ParseComplete',
	'2': 'BindComplete',
	'3': 'CloseComplete',
	A: 'NotificationResponse',
	C: 'CommandComplete',
	D: 'DataRow',
	E: 'ErrorResponse',
	G: 'CopyInResponse',
	H: 'CopyOutResponse',
	I: 'EmptyQueryResponse',
	K: 'BackendKeyData',
	N: 'NoticeResponse',
	R: 'Authentication',
	S: 'ParameterStatus',
	T: 'RowDescription',
	Z: 'ReadyForQuery',
	c: 'CopyDone',
	d: 'CopyData',
	n: 'NoData',
	s: 'PortalSuspended',
	t: 'ParameterDescription',
	v: 'NegotiateProtocolVersion',
}

/** The codes that stand where a start-up message has its protocol version. */
const specialRequests: Readonly<Record<number, string>> = {
	80877102: 'CancelRequest',
	80877103: 'SSLRequest',
	80877104: 'GSSENCRequest',
}

/** Follows one PostgreSQL connection. After a granted TLS request everything is opaque and passes as `raw`. */
export function postgresConversation(): Conversation {
	let started = false
	let encrypted = false
	/** Requests for encryption whose one-byte answer has not come yet. */
	let unanswered = 0
	let ofClient: Buffer = Buffer.alloc(0)
	let ofServer: Buffer = Buffer.alloc(0)
	const statements = new Map<string, string>()
	const portals = new Map<string, string>()

	function readFirst(bytes: Buffer): Message {
		const type = specialRequests[bytes.readInt32BE(4)] ?? 'Startup'
		if (type === 'SSLRequest' || type === 'GSSENCRequest') unanswered++
		else started = true
		return { type, bytes }
	}

	function readClient(bytes: Buffer): Message {
		const type = frontend[String.fromCharCode(bytes[0]!)] ?? String.fromCharCode(bytes[0]!)
		const [first, second] = [cString(bytes, 5), () => cString(bytes, cStringEnd(bytes, 5))]
		switch (type) {
			case 'Query':
				return { type, text: first, bytes }
			case 'Parse':
				statements.set(first, second())
				return { type, text: second(), bytes }
			case 'Bind':
				portals.set(first, statements.get(second()) ?? '')
				return { type, text: portals.get(first)!, bytes }
			case 'Execute':
				return { type, text: portals.get(first) ?? '', bytes }
			default:
				return { type, bytes }
		}
	}

	return {
		fromClient(chunk) {
			if (encrypted) return [{ type: 'raw', bytes: chunk }]
			const messages: Message[] = []
			ofClient = joined(ofClient, chunk)
			for (;;) {
				const size = frameSize(ofClient, started ? 1 : 0)
				if (size === undefined) return messages
				const bytes = ofClient.subarray(0, size)
				ofClient = ofClient.subarray(size)
				messages.push(started ? readClient(bytes) : readFirst(bytes))
			}
		},
		fromServer(chunk) {
			if (encrypted) return [{ type: 'raw', bytes: chunk }]
			const messages: Message[] = []
			ofServer = joined(ofServer, chunk)
			while (unanswered > 0 && ofServer.length > 0) {
				unanswered--
				messages.push({ type: 'EncryptionResponse', bytes: ofServer.subarray(0, 1) })
				encrypted = ofServer[0] === 'S'.charCodeAt(0) || ofServer[0] === 'G'.charCodeAt(0)
				ofServer = ofServer.subarray(1)
				if (!encrypted) continue
				if (ofServer.length > 0) messages.push({ type: 'raw', bytes: ofServer })
				return messages
			}
			for (;;) {
				const size = frameSize(ofServer, 1)
				if (size === undefined) return messages
				messages.push(readServer(ofServer.subarray(0, size)))
				ofServer = ofServer.subarray(size)
			}
		},
		isReady: ({ type }) => type === 'ReadyForQuery' || type === 'raw',
		runsStatement: ({ type }) => type === 'Query' || type === 'Execute',
	}
}

function readServer(bytes: Buffer): Message {
	const type = backend[String.fromCharCode(bytes[0]!)] ?? String.fromCharCode(bytes[0]!)
	if (type === 'CommandComplete') return { type, tag: cString(bytes, 5), bytes }
	if (type !== 'ErrorResponse') return { type, bytes }
	const fields = new Map<string, string>()
	for (let at = 5; at < bytes.length && bytes[at] !== 0; at = cStringEnd(bytes, at + 1)) {
		fields.set(String.fromCharCode(bytes[at]!), cString(bytes, at + 1))
	}
	return { type, code: fields.get('C') ?? '', text: fields.get('M') ?? '', bytes }
}

/** The length of the first message, or undefined when it is not all there. `typeBytes` is 0 for the first messages of a client. */
function frameSize(bytes: Buffer, typeBytes: 0 | 1): number | undefined {
	if (bytes.length < typeBytes + 4) return undefined
	const size = typeBytes + bytes.readInt32BE(typeBytes)
	return bytes.length < size ? undefined : size
}

const cStringEnd = (bytes: Buffer, at: number) => {
	const end = bytes.indexOf(0, at)
	return end === -1 ? bytes.length : end + 1
}

const cString = (bytes: Buffer, at: number) => {
	const end = bytes.indexOf(0, at)
	return bytes.toString('utf8', at, end === -1 ? bytes.length : end)
}

const joined = (kept: Buffer, chunk: Buffer) => (kept.length === 0 ? chunk : Buffer.concat([kept, chunk]))
