/** How do bytes get from one end of a connection through the fault proxy to the other, and what may befall them on the way? */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Conversation, Message } from './protocol.ts'
import { type Cut, countOne, type Direction, type InterceptRule, type Orders } from './proxy-rules.ts'

/** One client connection, and the connection to the server made for it. */
export interface Link {
	/** RST or FIN to both sides. */
	cut(how: Cut): void
	/** A black hole was closed: an end that was lost in it is passed on now. */
	healed(): void
	/** Drops both sockets; resolves when they are gone. */
	destroy(): Promise<void>
}

interface LinkParts {
	readonly client: Socket
	readonly target: { readonly host: string; readonly port: number }
	readonly conversation: Conversation
	readonly orders: Orders
	/** The server said that the session is ready. */
	readonly onReady: () => void
	/** Both sockets are gone. */
	readonly onGone: () => void
}

export function openLink({ client, target, conversation, orders, onReady, onGone }: LinkParts): Link {
	const server = connect({ ...target, allowHalfOpen: true, noDelay: true })
	const lanes = [
		new Lane('toServer', client, server, conversation, orders, (how, last) => cut(how, last), onReady),
		new Lane('toClient', server, client, conversation, orders, (how, last) => cut(how, last), onReady),
	]

	const gone = Promise.all([client, server].map((socket) => new Promise((resolve) => socket.once('close', resolve))))
	void gone.then(onGone)

	function cut(how: Cut, last?: Socket): void {
		for (const socket of [client, server]) {
			// RST would throw away what the server has not read yet, and with it the message that should arrive.
			if (how === 'close' || (socket === server && last === server)) socket.end()
			else reset(socket)
			socket.resume()
		}
		for (const lane of lanes) lane.stop()
	}

	return {
		cut,
		healed: () => {
			if (lanes.some((lane) => lane.lostEnd)) cut('reset')
		},
		async destroy() {
			for (const lane of lanes) lane.stop()
			client.destroy()
			server.destroy()
			await gone
		},
	}
}

/** RST; where FIN has been sent already the system refuses that (EINVAL), and Node.js would never close the socket. */
export function reset(socket: Socket): void {
	if (socket.destroyed) return
	if (socket.writableEnded) socket.destroy()
	else socket.resetAndDestroy()
}

/** One direction of a link. Keeps the order of bytes, whatever delays them. */
class Lane {
	/** Bytes were lost: nothing that comes later may pass, for it would be read as something else. */
	lost = false
	/** The sender's end of stream was among what was lost. */
	lostEnd = false
	readonly #queue: { message: Message | 'end'; dueAt: number }[] = []
	#draining = false
	#unsent: Buffer[] = []
	#bytesLeft = Number.POSITIVE_INFINITY
	#cutAtLimit: Cut = 'reset'
	readonly #stopped = new AbortController()

	constructor(
		readonly direction: Direction,
		readonly source: Socket,
		readonly sink: Socket,
		readonly conversation: Conversation,
		readonly orders: Orders,
		readonly cut: (how: Cut, last?: Socket) => void,
		readonly onReady: () => void,
	) {
		const at = orders.byteCuts.findIndex((one) => one.direction === direction)
		const [limit] = at === -1 ? [] : orders.byteCuts.splice(at, 1)
		if (limit) {
			this.#bytesLeft = limit.bytes
			this.#cutAtLimit = limit.how
		}
		const read = direction === 'toServer' ? conversation.fromClient : conversation.fromServer
		source.on('data', (chunk: Buffer) => {
			for (const message of read(chunk)) this.#take(message)
		})
		source.on('end', () => this.#take('end'))
		source.on('error', () => {
			if (this.#loses()) this.lostEnd = true
			else cut('reset')
		})
		sink.on('drain', () => source.resume())
	}

	/** Whether what comes now is lost; once something was, everything is. */
	#loses(): boolean {
		if (this.orders.swallowing[this.direction]) this.lost = true
		return this.lost
	}

	/** The link was cut: what is still on its way is lost now. */
	stop(): void {
		this.lost = true
		this.#stopped.abort()
	}

	#take(message: Message | 'end'): void {
		this.#queue.push({ message, dueAt: performance.now() + this.orders.delayMs[this.direction] })
		if (!this.#draining) void this.#drain()
	}

	/** Runs without a break as long as nothing has to be waited for. */
	async #drain(): Promise<void> {
		this.#draining = true
		for (let item = this.#queue.shift(); item; item = this.#queue.shift()) {
			const waitMs = item.dueAt - performance.now()
			if (waitMs > 0) {
				this.#send()
				// Stopped or due, it goes on; what was stopped is lost below.
				await sleep(waitMs, undefined, { signal: this.#stopped.signal }).catch(() => {})
			}
			if (item.message === 'end') this.#end()
			else if (this.#loses()) this.orders.lostBytes[this.direction] += item.message.bytes.length
			else {
				const rule = this.orders.hit(this.direction === 'toServer' ? 'client' : 'server', item.message)
				if (rule) await this.#obey(rule, item.message)
				else this.#forward(item.message)
			}
		}
		this.#send()
		this.#draining = false
	}

	async #obey(rule: InterceptRule, message: Message): Promise<void> {
		this.#send()
		await rule.onHit?.(message)
		if (this.lost) return
		if (rule.action === 'pass' || rule.action === 'cut after') this.#forward(message)
		if (rule.action === 'black hole') this.lost = true
		if (rule.action === 'cut before') this.cut(rule.how ?? 'reset')
		if (rule.action === 'cut after') this.#send(() => this.cut(rule.how ?? 'reset', this.sink))
	}

	#forward(message: Message): void {
		const whole = message.bytes.length <= this.#bytesLeft
		this.#unsent.push(whole ? message.bytes : message.bytes.subarray(0, this.#bytesLeft))
		if (whole) this.#count(message)
		this.#bytesLeft -= Math.min(message.bytes.length, this.#bytesLeft)
		if (this.#bytesLeft > 0) return
		this.lost = true
		this.#send(() => this.cut(this.#cutAtLimit, this.sink))
	}

	#count(message: Message): void {
		if (this.conversation.runsStatement(message)) countOne(this.orders.statements, message.text ?? '')
		if (message.tag !== undefined) countOne(this.orders.tags, message.tag)
		if (this.direction === 'toClient' && this.conversation.isReady(message)) this.onReady()
	}

	/** One write for all that has gathered. `then` runs when the system has taken the bytes. */
	#send(then?: () => void): void {
		const bytes = this.#unsent.length === 1 ? this.#unsent[0]! : Buffer.concat(this.#unsent)
		this.#unsent = []
		if (bytes.length === 0 || !this.sink.writable) then?.()
		else if (!this.sink.write(bytes, then && (() => then()))) this.source.pause()
	}

	#end(): void {
		if (this.#loses()) {
			this.lostEnd = true
			return
		}
		this.#send()
		this.sink.end()
	}
}
