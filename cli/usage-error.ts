/** What is wrong with the way the program was called? A message for people, without a stack. */
import { endings } from './exit-codes.ts'

/** Ends the program with this message and exit code. */
export class UsageError extends Error {
	readonly exitCode: number

	constructor(message: string, exitCode: number = endings.usage.code) {
		super(message)
		this.name = 'UsageError'
		this.exitCode = exitCode
	}
}
