/** How is a TypeScript program of this repository run? `node scripts/run.mjs [--build] [--tsconfig FILE] PROGRAM ARGS…`, in this very process. */
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { prepare } from './prepare.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const words = process.argv.slice(2)
const programAt = words.findIndex((word) => word.endsWith('.ts'))
const { values } = parseArgs({
	args: words.slice(0, programAt),
	options: { build: { type: 'boolean', default: false }, tsconfig: { type: 'string', default: 'tsconfig.json' } },
})

prepare(values)

// tsx would keep what it compiled in a folder of the temporary directory, and leave it there.
process.env.TSX_DISABLE_CACHE = '1'
process.env.TSX_TSCONFIG_PATH = join(root, values.tsconfig)

// In this process and not in a child: a signal reaches the program itself, its exit code is the exit code, and nothing can be orphaned.
// The scripts of package.json begin with `exec` for the same reason: the shell between npm and us would keep a signal to itself.
const { register } = await import('tsx/esm/api')
register()
// A program that starts another one passes its own flags on, as if it had been run by `node --import tsx`.
process.execArgv.push('--import', import.meta.resolve('tsx'))

const program = join(root, words[programAt])
process.argv.splice(1, 1 + programAt + 1, program)
await import(pathToFileURL(program))
