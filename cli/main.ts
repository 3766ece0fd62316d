#!/usr/bin/env node
/** How does the program start and end? The words of the command line in, an exit code out. */
import { bug, run } from './program.ts'
import { secretsOf } from './secrets.ts'
import { Terminal } from './terminal.ts'

const words = process.argv.slice(2)
const streams = { out: process.stdout, err: process.stderr }
const secrets = secretsOf(words, process.env)

/** A socket that a silent server keeps open must not keep the process: what was written goes out first. */
function end(code: number): void {
	process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
}

// Whoever reads us may go away early, as `head` does.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
// Node.js would show it as it is, with whatever is in it.
for (const event of ['uncaughtException', 'unhandledRejection'])
	process.on(event, (error: unknown) => end(bug(error, new Terminal(streams, secrets))))

end(await run(words, streams, secrets))
