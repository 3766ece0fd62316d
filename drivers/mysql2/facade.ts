/** What does a borrower hold whose connection was dead at its first BEGIN? The same object, which another connection answers for. */
import type { Mysql2Connection } from './shape.ts'

// What mysql2 documents of a connection and what goes to the server; the rest works on a dead one as well.
const answered = ['query', 'execute', 'ping', 'reset', 'changeUser', 'prepare', 'unprepare', 'pause', 'resume', 'destroy'] as const

/** Until the returned function is called, `left` hears that the borrower has given back, or destroyed, what is to be replaced. */
export function whileMoving(held: Mysql2Connection, left: () => void): () => void {
	const object: Record<string, unknown> = held as never
	for (const name of ['release', 'destroy']) object[name] = left
	return () => {
		for (const name of ['release', 'destroy']) delete object[name]
	}
}

/** Lets `fresh` answer for `held` until that is released: then `fresh` goes back to the pool, and `held` is as dead as before. */
export function standIn(held: Mysql2Connection, fresh: Mysql2Connection): void {
	const object: Record<string, unknown> = held as never
	const methods: Record<string, (...args: unknown[]) => unknown> = fresh as never
	for (const name of answered) object[name] = (...args: unknown[]) => methods[name]?.(...args)
	Object.defineProperty(held, 'threadId', { value: fresh.threadId, configurable: true, writable: true })
	object.release = () => {
		for (const name of [...answered, 'release']) delete object[name]
		fresh.release()
	}
}
