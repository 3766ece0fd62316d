/** How does one question that a server refuses not spoil the answers to the others? */
import type { Finding } from './report.ts'

/** The findings; where the server refuses the question, a note that says so. Rejects where there is no server any more. */
export async function askEach(questions: Readonly<Record<string, () => Promise<readonly Finding[]>>>): Promise<Finding[]> {
	const found: Finding[] = []
	for (const [name, ask] of Object.entries(questions)) {
		try {
			found.push(...(await ask()))
		} catch (error) {
			if (!isRefusal(error)) throw error
			found.push({ name, level: 'note', value: 'not known', says: `the server refuses to tell: ${error.message}` })
		}
	}
	return found
}

/** Whether the server has answered with an error and goes on, which is no reason to ask no more. */
export function isRefusal(error: unknown): error is Error {
	const { severity, errno, fatal } = error as { severity?: unknown; errno?: unknown; fatal?: unknown }
	return error instanceof Error && (severity === 'ERROR' || (typeof errno === 'number' && errno > 0 && fatal !== true))
}
