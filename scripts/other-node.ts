/** Where is another version of Node.js for the CI run? Prints its path; prints nothing where npm has none for this platform. */
import { nodeBinary } from '../test/support/node-versions.ts'

const major = Number(process.argv[2])
if (major !== 22 && major !== 24) throw new RangeError(`the version must be 22 or 24, got ${process.argv[2]}`)
console.log((await nodeBinary(major)) ?? '')
