/** Where is another version of Node.js to run things on? In a private package of the tests, for the platforms that npm has it for. */
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { installPrivatePackage, serversFolder } from './private-package.ts'

/** The path of that Node.js, installed when needed; undefined when npm has none for this platform. */
export async function nodeBinary(major: 22 | 24): Promise<string | undefined> {
	const folder = join(serversFolder, 'node')
	await installPrivatePackage(folder, 'Node.js 22 and 24')
	const binary = process.platform === 'win32' ? 'node.exe' : 'node'
	const path = join(folder, 'node_modules', `node${major}-${process.platform}-${process.arch}`, 'bin', binary)
	return access(path).then(
		() => path,
		() => undefined,
	)
}
