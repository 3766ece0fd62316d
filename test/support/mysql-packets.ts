/** Where does a packet of the MySQL protocol end, and which number or text stands in it? Source: MySQL internals manual, "Client/Server Protocol". */

/** Three bytes of length and one of sequence. */
const headerBytes = 4

/** What fills a packet: one that is full is continued by the next. */
const fullPacket = 0xff_ff_ff

/** One message, which may have come in several packets. */
export interface Packet {
	/** As it stands on the wire, with all headers. */
	readonly bytes: Buffer
	/** What the first packet holds. */
	readonly body: Buffer
	/** All that it holds; joined anew at each call where there are several packets. */
	whole(): Buffer
	/** 0 begins a command; others go on with what was begun. */
	readonly sequence: number
}

/** Puts the pieces of one direction together again. */
export class PacketReader {
	#pieces: Buffer[] = []
	#size = 0
	/** Nothing is complete before there are so many bytes. */
	#wanted = headerBytes

	/** The packets that this piece has made complete. */
	read(piece: Buffer): Packet[] {
		this.#pieces.push(piece)
		this.#size += piece.length
		if (this.#size < this.#wanted) return []
		let bytes = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces)
		const packets: Packet[] = []
		for (;;) {
			const { size, complete } = extent(bytes)
			if (!complete) {
				this.#wanted = size
				break
			}
			packets.push(packetOf(bytes.subarray(0, size)))
			bytes = bytes.subarray(size)
		}
		this.#pieces = bytes.length > 0 ? [bytes] : []
		this.#size = bytes.length
		return packets
	}

	/** Gives up on reading: what was kept of an incomplete packet. */
	rest(): Buffer {
		const rest = Buffer.concat(this.#pieces)
		this.#pieces = []
		this.#size = 0
		return rest
	}
}

/** How long the first message is, or at least must be. */
function extent(bytes: Buffer): { size: number; complete: boolean } {
	let size = 0
	for (;;) {
		if (bytes.length < size + headerBytes) return { size: size + headerBytes, complete: false }
		const length = bytes.readUIntLE(size, 3)
		size += headerBytes + length
		if (bytes.length < size) return { size, complete: false }
		if (length < fullPacket) return { size, complete: true }
	}
}

function packetOf(bytes: Buffer): Packet {
	const length = bytes.readUIntLE(0, 3)
	const body = bytes.subarray(headerBytes, headerBytes + length)
	return {
		bytes,
		body,
		sequence: bytes[3]!,
		whole() {
			if (length < fullPacket) return body
			const bodies: Buffer[] = []
			for (let at = 0; at < bytes.length; ) {
				const end = at + headerBytes + bytes.readUIntLE(at, 3)
				bodies.push(bytes.subarray(at + headerBytes, end))
				at = end
			}
			return Buffer.concat(bodies)
		},
	}
}

/** A number of one to nine bytes, and where the next thing begins. */
export function lengthEncoded(body: Buffer, at: number): { value: number; next: number } {
	const first = body[at] ?? 0
	if (first < 0xfb) return { value: first, next: at + 1 }
	if (first === 0xfc) return { value: body.readUInt16LE(at + 1), next: at + 3 }
	if (first === 0xfd) return { value: body.readUIntLE(at + 1, 3), next: at + 4 }
	return { value: Number(body.readBigUInt64LE(at + 1)), next: at + 9 }
}

/** Bytes of a value by its type. The others have their length in front of them; those of times take one byte for it. */
const fixedBytes: Readonly<Record<number, number>> = { 1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 6: 0, 8: 8, 9: 4, 13: 2 }

/** Where the SQL text of a COM_QUERY begins behind its attributes (MySQL manual, "COM_QUERY", `CLIENT_QUERY_ATTRIBUTES`). */
export function afterQueryAttributes(body: Buffer, from: number): number {
	const count = lengthEncoded(body, from)
	const sets = lengthEncoded(body, count.next)
	if (count.value === 0) return sets.next
	const nulls = sets.next
	// Behind the bits of what is null stands a byte that says that types follow.
	let at = nulls + Math.ceil(count.value / 8) + 1
	const types: number[] = []
	for (let i = 0; i < count.value; i++) {
		types.push(body[at]!)
		const name = lengthEncoded(body, at + 2)
		at = name.next + name.value
	}
	types.forEach((type, index) => {
		if (((body[nulls + (index >> 3)]! >> (index & 7)) & 1) === 1) return
		const fixed = fixedBytes[type]
		if (fixed !== undefined) at += fixed
		else {
			const { value, next } = lengthEncoded(body, at)
			at = next + value
		}
	})
	return at
}
