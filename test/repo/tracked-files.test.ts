/** Do the tracked files hold only what belongs in a repository? No download address, and lock files that work everywhere. */
import { expect, test } from 'vitest'
import { missingEntries } from '../../scripts/complete-lock.ts'
import { repositoryFiles, textOf } from './modules.ts'

const downloadAddresses = [
	/registry[.](npmjs|yarnpkg|npmmirror)/,
	/registry[.]npm/,
	/(npm[.]pkg|codeload|raw|objects)[.]github/,
	/git(hub|lab)[.](com|io)\/\S+\/(releases\/download|archive|raw|tarball)\//,
	/(deb|security|snapshot)[.]debian/,
	/git[+](https|ssh):/,
]

const files = repositoryFiles().filter((path) => !/\.(png|svg|gz|tgz)$/.test(path))
const lockFiles = files.filter((path) => path.endsWith('package-lock.json'))

test('no tracked file holds the address of a package registry or of a download from a git host', () => {
	const found = files.filter((path) => downloadAddresses.some((address) => address.test(textOf(path))))
	expect(found).toEqual([])
})

test('lock files name versions and digests, not the places they came from', () => {
	expect(lockFiles).toContain('package-lock.json')
	expect(lockFiles.filter((path) => textOf(path).includes('"resolved"'))).toEqual([])
})

test('the lock file describes the binaries of every platform, so that npm ci works there (else: npx tsx scripts/complete-lock.ts)', () => {
	expect(missingEntries(JSON.parse(textOf('package-lock.json')))).toEqual([])
})

test('development dependencies are pinned to one version', () => {
	const { devDependencies } = JSON.parse(textOf('package.json')) as { devDependencies: Record<string, string> }
	expect(Object.entries(devDependencies).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([])
})

test('the command line needs a parser of arguments, and the package nothing else at run time', () => {
	expect(Object.keys(JSON.parse(textOf('package.json')).dependencies)).toEqual(['commander'])
})
