#!/usr/bin/env node
/** How does the program start and end? The words of the command line in, an exit code out. */
import { run } from './program.ts'

const code = await run(process.argv.slice(2), { out: process.stdout, err: process.stderr })
// A socket that a silent server keeps open must not keep the process: what was written goes out first.
process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
