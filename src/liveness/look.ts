/** What does one look at the server show? A connection attempt of its own, under the rule of one attempt at a time, with a question after it. */
import { classify } from '../classify/classify.ts'
import { areCredentials } from '../outage/credentials.ts'
import type { Endpoint, Permit } from '../outage/endpoint.ts'
import type { Scheduler } from '../outage/scheduler.ts'
import type { Links, Sights } from './links.ts'

/** What has come of it. */
export type Seen<C extends object> =
	| { readonly what: 'answer'; readonly sights: Sights<C> }
	/** Nothing came back within the time limit, or the network says that there is no way. */
	| { readonly what: 'silence' }
	/** The server, or somebody in its place, has answered, but not the question. */
	| { readonly what: 'nothing' }
	/** It takes these credentials no more. */
	| { readonly what: 'refusal' }

// A process that was busy finds the answer and the end of the time limit at once, and must read before it judges. So the limit has slices, and
// one that ends late is waited for again.
const slices = 4
const lateMs = 100

/** Begins it. `isSilent` tells whether nothing has come over any connection of the pool since. Returns the function that gives it up. */
export function look<C extends object>(
	{ scheduler, endpoint, permit, limitMs }: { scheduler: Scheduler; endpoint: Endpoint; permit: Permit; limitMs: number },
	links: Links<C>,
	connections: readonly C[],
	isSilent: () => boolean,
	done: (seen: Seen<C>) => void,
): () => void {
	const { wakeUps, clock } = scheduler
	let isOver = false
	let connected = false
	let giveUp: (() => void) | undefined
	let isNeeded = true
	let left = slices
	const nextSlice = () => {
		const atMs = clock.now() + limitMs / slices
		return wakeUps.at(atMs, () => {
			if (clock.now() - atMs <= lateMs) left -= 1
			if (left > 0) limit = nextSlice()
			else giveUp?.()
		})
	}
	let limit = nextSlice()
	const over = (seen: Seen<C>) => {
		isOver = true
		wakeUps.cancel(limit)
		done(seen)
		scheduler.release(endpoint)
	}
	const failed = (error: unknown): Seen<C> => {
		const fault = classify(error, { phase: 'connect' })
		if (fault.kind === 'connect_timeout') {
			// Others are heard: the server is slow with new connections, as one does that has too much to do.
			if (!isNeeded || !isSilent()) permit.abandoned()
			else {
				permit.failed(fault, error)
				return { what: 'silence' }
			}
		} else if (fault.kind === 'too_many_connections') {
			// One connection more than the pool's own: no reason to hold anybody up.
			permit.abandoned()
		} else if (fault.retryable) permit.failed(fault, error)
		else permit.refused()
		return { what: areCredentials(fault) ? 'refusal' : 'nothing' }
	}
	giveUp = links.look(connections, {
		connected() {
			if (isOver || connected) return
			connected = true
			permit.opened()
		},
		done(error, sights) {
			if (isOver) return
			if (error !== undefined && !connected) return over(failed(error))
			if (!connected) permit.abandoned()
			over(error !== undefined || sights === undefined ? { what: 'nothing' } : { what: 'answer', sights })
		},
	})
	return () => {
		isNeeded = false
		giveUp?.()
	}
}
