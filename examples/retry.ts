/** How is anything else retried? The general retry, without a database. */
import { retry, stop, wait } from 'holdfast'

let calls = 0

const answer = await retry(
	async () => {
		calls += 1
		if (calls < 3) throw new Error('not yet')
		return 'done'
	},
	{ stop: stop.afterAttempts(5), wait: wait.randomExponential({ multiplierMs: 10, maxMs: 100 }) },
)

console.log(`${answer} after ${calls} calls`)
