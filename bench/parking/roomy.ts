/** What does the same cost in a process whose young generation is as large as asked for? Such a process, and what starts it. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { costOfLine, type Rounds } from './line.ts'

const file = fileURLToPath(import.meta.url)

/** `costOfLine` in a process of its own, where each half of the young generation has so many megabytes. */
export async function costOfLineWith(semiSpaceMb: number, rounds: Rounds): Promise<readonly number[]> {
	const child = fork(file, [JSON.stringify(rounds)], { execArgv: [...process.execArgv, `--max-semi-space-size=${semiSpaceMb}`] })
	const [costs] = await Promise.race([
		once(child, 'message'),
		once(child, 'exit').then(([code]) => Promise.reject(new Error(`It ended with ${code}, and said nothing.`))),
	])
	return costs
}

if (process.argv[1] === file) process.send?.(costOfLine(JSON.parse(process.argv[2] ?? '')))
