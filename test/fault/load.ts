/** What is a load that an outage must not show through? Workers that read and write without a pause, each write with an id of its own. */
import { until } from '../support/until.ts'

/** One thing that a worker does over and over; it resolves when it is done. `id` is unique. */
export type Piece = (id: number) => PromiseLike<unknown>

export interface Load {
	/** What callers were told beside success. */
	readonly errors: readonly unknown[]
	/** Ids whose piece has resolved. */
	readonly done: readonly number[]
	/** Resolves when every worker has done so many more, or one was told an error. */
	more(pieces?: number): Promise<void>
	/** No more is begun; resolves when nothing runs any more. */
	stop(): Promise<void>
}

/** Starts workers, each with one of these pieces. */
export function startLoad(pieces: readonly Piece[], workers = 12): Load {
	const errors: unknown[] = []
	const done: number[] = []
	const counts = Array.from({ length: workers }, () => 0)
	let lastId = 0
	let stopped = false
	const work = async (worker: number): Promise<void> => {
		// The first error has shown what there is to show.
		while (!stopped && errors.length === 0) {
			lastId += 1
			const id = lastId
			try {
				await pieces[worker % pieces.length]!(id)
				done.push(id)
			} catch (error) {
				errors.push(error)
			}
			counts[worker]! += 1
		}
	}
	const running = counts.map((_, worker) => work(worker))
	return {
		errors,
		done,
		async more(least = 5) {
			const before = [...counts]
			await until(() => errors.length > 0 || counts.every((count, worker) => count >= before[worker]! + least), {
				what: `every worker to do ${least} more`,
				timeoutMs: 40_000,
			})
		},
		async stop() {
			stopped = true
			await Promise.all(running)
		},
	}
}
