/** What does the fault proxy need to know of a database protocol? Where a message ends, and what a rule can match on. */

/** One complete message of the wire protocol, in words that rules can match on. */
export interface Message {
	/** The protocol's name of it, such as `Query` or `CommandComplete`; `raw` where nothing is parsed. */
	readonly type: string
	/** SQL text of a message that carries or runs a statement; the text of an error. */
	readonly text?: string
	/** Of a completed statement: PostgreSQL's command tag, such as `COMMIT` or `INSERT 0 1`; for MySQL the first word of the statement. */
	readonly tag?: string
	/** PostgreSQL's SQLSTATE or MySQL's number of an error. */
	readonly code?: string
	/** The message as it stands on the wire. */
	readonly bytes: Buffer
}

/** Follows both directions of one connection. Bytes of a message that is not complete yet are kept until it is. */
export interface Conversation {
	fromClient(chunk: Buffer): Message[]
	fromServer(chunk: Buffer): Message[]
	/** Whether the message says that the session is ready for its first statement. */
	isReady(message: Message): boolean
	/** Whether the message makes the server run the statement in its `text`. */
	runsStatement(message: Message): boolean
}

/** Understands nothing: every chunk is one message, and the first answer of the server counts as ready. */
export function rawConversation(): Conversation {
	const whole = (bytes: Buffer): Message[] => [{ type: 'raw', bytes }]
	return { fromClient: whole, fromServer: whole, isReady: () => true, runsStatement: () => false }
}
