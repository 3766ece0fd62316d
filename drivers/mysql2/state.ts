/** What does a mysql2 connection say of itself: alive, busy, in a transaction, refusing writes? */
import type { TransactionStatus } from '../../src/driver.ts'
import type { Command, Mysql2Connection, Packet } from './shape.ts'

/** What the server said last over a connection. */
export interface Session {
	/** Undefined until it has said something: the connection was there before anybody listened. */
	inTransaction: boolean | undefined
	autocommit: boolean
	/** It was asked to write and said that it is read-only. */
	refusesWrites: boolean
	/** The number of the error with which the server has rolled a whole transaction back. Whoever forgives it sets it to undefined. */
	rolledBackBy: number | undefined
	/** The last answer was an error, which carries no status, to something that may have begun a transaction. */
	unsure: boolean
	/** Somebody outside the pool has it. */
	isOut: boolean
	/** Somebody outside the pool has had it, and so knows it. */
	handedOut: boolean
	/** Whoever had it last has turned autocommit off: what others write on it would be left in a transaction. */
	turnedOff: boolean
	/** Tables, or the server, are locked by it until they are unlocked: no end of a statement or a transaction frees them. */
	holdsLocks: boolean
}

/** What is worth telling at once. */
export interface SessionEvents {
	/** A statement has changed rows. */
	wrote(): void
	/** The server takes no writes: with its error, as mysql2 is about to tell it. */
	refused(connection: Mysql2Connection, error: Error): void
	/** mysql2 has ended a command in the middle of its answer. */
	cutShort(connection: Mysql2Connection): void
}

// On the connection itself: it is looked up several times in each statement.
const ofHoldfast = Symbol('holdfast.session')
const known = (connection: Mysql2Connection): Session | undefined => (connection as { [ofHoldfast]?: Session })[ofHoldfast]

const unheard: Session = {
	inTransaction: undefined,
	autocommit: true,
	refusesWrites: false,
	rolledBackBy: undefined,
	unsure: false,
	isOut: false,
	handedOut: false,
	turnedOff: false,
	holdsLocks: false,
}

/** Whether somebody listens to it. */
export const isHeard = (connection: Mysql2Connection): boolean => known(connection) !== undefined

/** What is known of the connection's session. */
export const sessionOf = (connection: Mysql2Connection): Readonly<Session> => known(connection) ?? unheard

/** From now on what is done to its settings is done by who has it, and not by the pool's listener of `connection`. */
export function handOut(connection: Mysql2Connection): void {
	const session = known(connection)
	if (session === undefined) return
	session.isOut = true
	if (session.handedOut) return
	const { _command: running, _commands: waiting } = connection
	const last = waiting.length > 0 ? waiting.get(waiting.length - 1) : running
	const done = () => {
		session.handedOut = true
	}
	if (last) last.once('end', done)
	else done()
}

/** It comes back. False where it was not out by `handOut`. */
export function takeIn(connection: Mysql2Connection): boolean {
	const session = known(connection)
	if (session?.isOut !== true) return false
	session.isOut = false
	return true
}

/** The borrower has taken note that its transaction was rolled back. */
export function forgiveRollback(connection: Mysql2Connection): void {
	const session = known(connection)
	if (session !== undefined) session.rolledBackBy = undefined
}

/** The status of the transaction, as the server said with its last answer. An error carries no status: that before it stands. */
export function transactionStatus(connection: Mysql2Connection): TransactionStatus {
	if (!isAlive(connection)) return 'dead'
	const { inTransaction } = sessionOf(connection)
	if (inTransaction === undefined) return 'unknown'
	return inTransaction ? 'open' : 'none'
}

/** As far as the connection knows without asking. */
export function isAlive(connection: Mysql2Connection): boolean {
	return (
		connection._pool !== null &&
		connection._closing !== true &&
		!connection._fatalError &&
		!connection._protocolError &&
		connection.stream.destroyed !== true
	)
}

/** Whether commands run on it or wait in it. */
export const isBusy = (connection: Mysql2Connection): boolean => isAlive(connection) && hasWork(connection)

const hasWork = ({ _command, _commands }: Mysql2Connection): boolean => Boolean(_command) || _commands.length > 0

/** Alive as far as it knows, with nothing running, no transaction open, no table locked, autocommit as it was, and not known to refuse writes. */
export function isUsable(connection: Mysql2Connection): boolean {
	const { inTransaction, refusesWrites, turnedOff, holdsLocks } = sessionOf(connection)
	return inTransaction !== true && !turnedOff && !holdsLocks && !refusesWrites && isAlive(connection) && !hasWork(connection)
}

/** The same, for one whose user may have opened a transaction: what is not known is not taken for clean. */
export function isClean(connection: Mysql2Connection): boolean {
	const { inTransaction, unsure } = sessionOf(connection)
	return inTransaction === false && !unsure && isUsable(connection)
}

/**
 * Listens to what the server says of the session, for the connection's whole life. mysql2 hands the status of an OK packet to the caller of
 * the statement only, and drops that of a result set.
 */
export function hearSession(connection: Mysql2Connection, isNew: boolean, on: SessionEvents): void {
	const session: Session = { ...unheard, inTransaction: isNew ? false : undefined }
	Object.defineProperty(connection, ofHoldfast, { value: session })
	const { handlePacket } = connection
	let over = false
	connection.handlePacket = (packet) => {
		if (over) return
		// A paused connection keeps its packets and handles them again later.
		if (packet === undefined || connection._paused) return handlePacket.call(connection, packet)
		const reader = isRow(connection._command, packet) ? connection._command : undefined
		hear(connection, session, packet, on)
		handlePacket.call(connection, packet)
		// A `typeCast` that throws ends its command, and the rows that still come would be taken for the answer of the next one.
		if (reader === undefined || reader?.next) return
		over = true
		on.cutShort(connection)
	}
}

// The first byte of an answer (MySQL internals manual, "Generic Response Packets"): OK, EOF, ERR.
const ok = 0x00
const eof = 0xfe
const err = 0xff
const longestEof = 9

function hear(connection: Mysql2Connection, session: Session, { buffer, offset, end }: Packet, on: SessionEvents): void {
	const first = buffer[offset]
	if (first === ok) {
		if (!awaitsOk(connection._command)) return
		const afterRows = skipNumber(buffer, offset + 1)
		if (buffer[offset + 1] !== 0) on.wrote()
		setStatus(session, buffer, skipNumber(buffer, afterRows))
		session.turnedOff = !session.autocommit && (session.turnedOff || (session.handedOut && setsAutocommit(connection._command?.sql)))
		if (connection._command?.sql !== undefined) session.holdsLocks = keepsLocks(connection, connection._command.sql, session.holdsLocks)
		else if (isReset(connection._command)) Object.assign(session, { rolledBackBy: undefined, holdsLocks: false })
	} else if (first === eof) {
		if (end - offset < longestEof && end - offset >= 5) setStatus(session, buffer, offset + 3)
	} else if (first === err) {
		const errno = wordAt(buffer, offset + 1)
		session.unsure = !session.autocommit || mayBegin(connection._command?.sql ?? '', errno)
		if (errno === needsWrites || (errno === optionForbids && saysReadOnly(buffer, offset, end))) {
			session.refusesWrites = true
			on.refused(connection, errorOf(errno, buffer, offset, end))
		} else if (errno === unknownStatement) connection._statements.clear()
		else if (rollBack.has(errno) && session.inTransaction === true) session.rolledBackBy = errno
	}
}

// LOCK TABLES, LOCK INSTANCE FOR BACKUP, FLUSH TABLES … WITH READ LOCK and … FOR EXPORT. At the beginning, so that long values are not read;
// behind a semicolon only where one may be there.
const locking = String.raw`(?:\s|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)*(?:lock\s+(?:tables?|instance)|flush\b.*\b(?:read\s+lock|for\s+export))\b`
const locks = new RegExp(`^${locking}`, 'is')
const locksBehind = new RegExp(`;${locking}`, 'is')
const unlocks = /^\s*unlock\s+(?:tables?|instance)\s*;?\s*$/i

/** Whether locks are held after this statement was answered with OK. */
function keepsLocks({ config }: Mysql2Connection, sql: string, before: boolean): boolean {
	if (locks.test(sql) || (config.multipleStatements === true && locksBehind.test(sql))) return true
	return before && !unlocks.test(sql)
}

/** Whether a statement speaks of it. */
export const setsAutocommit = (sql: string | undefined): boolean => sql !== undefined && /\bautocommit\b/i.test(sql)

// ER_READ_ONLY_MODE; ER_OPTION_PREVENTS_STATEMENT, which other options raise as well; ER_UNKNOWN_STMT_HANDLER: the server, or a pooler
// before it, has forgotten what was prepared, so that it has to be prepared again.
const needsWrites = 1836
const optionForbids = 1290
const unknownStatement = 1243

// With autocommit on these begin nothing; a procedure may, and so may one of several statements.
const beginsNothing = /^\s*(?:select|insert|update|delete|replace)\b[^;]*$/i

// Of one statement that was not understood nothing was run, unless the text that was not understood is inside the server.
const parseError = 1064
const runsOthers = /^\s*(?:call|execute|begin)\b|;/i

const mayBegin = (sql: string, errno: number): boolean => (errno === parseError ? runsOthers.test(sql) : !beginsNothing.test(sql))

// ER_LOCK_DEADLOCK, ER_XA_RBDEADLOCK (MySQL manual, "InnoDB Error Handling"), ER_LOCK_TABLE_FULL, and ER_CHECKREAD of MariaDB's snapshot
// isolation (InnoDB's row_mysql_handle_errors): the session goes on without a transaction.
const rollBack = new Set([1213, 1614, 1206, 1020])

const saysReadOnly = (buffer: Uint8Array, offset: number, end: number): boolean =>
	Buffer.from(buffer.buffer, buffer.byteOffset + offset, end - offset).includes('read-only')

// An ERR packet: the number, '#' and an SQLSTATE of five letters, and the text, which is the server's own and names no value.
const names: Readonly<Record<number, string>> = { [needsWrites]: 'ER_READ_ONLY_MODE', [optionForbids]: 'ER_OPTION_PREVENTS_STATEMENT' }
const textAt = 9

function errorOf(errno: number, buffer: Uint8Array, offset: number, end: number): Error {
	const message = Buffer.from(buffer.buffer, buffer.byteOffset + offset + textAt, Math.max(0, end - offset - textAt)).toString()
	return Object.assign(new Error(message), { errno, code: names[errno] })
}

function isRow(command: Command | null | undefined, { buffer, offset, end }: Packet): boolean {
	if (!command?.next || command.next !== command.row) return false
	return buffer[offset] !== err && (buffer[offset] !== eof || end - offset >= longestEof)
}

// A row of a prepared statement begins with the same byte as an OK packet, so the step that waits for the packet decides.
function awaitsOk(command: Command | null | undefined): boolean {
	if (command === null || command === undefined) return false
	const { next } = command
	if (next === undefined || next === null) return false
	return (
		next === command.resultsetHeader ||
		next === command.infileOk ||
		next === command.pingResponse ||
		next === command.resetConnectionResponse
	)
}

const isReset = (command: Command | null | undefined): boolean =>
	command?.next !== undefined && command.next === command.resetConnectionResponse

// SERVER_STATUS_IN_TRANS and SERVER_STATUS_AUTOCOMMIT (MySQL internals manual, "Status Flags").
const inTrans = 1
const autocommitOn = 2

function setStatus(session: Session, buffer: Uint8Array, at: number): void {
	const flags = wordAt(buffer, at)
	session.unsure = false
	session.inTransaction = (flags & inTrans) !== 0
	session.autocommit = (flags & autocommitOn) !== 0
}

const wordAt = (buffer: Uint8Array, at: number): number => (buffer[at] as number) | ((buffer[at + 1] as number) << 8)

/** The place behind a length-encoded number. */
function skipNumber(buffer: Uint8Array, at: number): number {
	const first = buffer[at] as number
	return at + (first < 0xfb ? 1 : first === 0xfc ? 3 : first === 0xfd ? 4 : 9)
}
