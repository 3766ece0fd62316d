/** What do our own modules import, export and touch? Read off the syntax tree, so that texts and comments count for nothing. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { parseSync } from 'oxc-parser'

/** The folder of the repository. */
export const root = join(import.meta.dirname, '..', '..')

/** Files that git tracks or would track, relative to the root, with forward slashes. */
export function repositoryFiles(...folders: string[]): string[] {
	const args = ['ls-files', '--cached', '--others', '--exclude-standard', '--deduplicate', '-z', '--', ...folders]
	const listed = execFileSync('git', args, { cwd: root, encoding: 'utf8' }).split('\0')
	const deleted = execFileSync('git', ['ls-files', '--deleted', '-z'], { cwd: root, encoding: 'utf8' }).split('\0')
	return listed.filter((path) => path !== '' && !deleted.includes(path)).sort()
}

/** The text of a file of the repository. */
export function textOf(path: string): string {
	return readFileSync(join(root, path), 'utf8')
}

/** One of our modules. */
export interface Module {
	/** Relative to the root, with forward slashes. */
	readonly path: string
	readonly text: string
	/** What it imports or re-exports from, types included: paths for relative ones, as written for all others. */
	readonly imports: readonly string[]
	/** Names it exports; types are marked `type Name`, a re-export of everything is `*`. */
	readonly exports: readonly string[]
	/** Names from outside that it uses as values, as `setTimeout` or `Math.random`. */
	readonly touches: ReadonlySet<string>
}

type Node = { readonly type: string } & Record<string, unknown>

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && 'type' in value

// Places where an identifier is a label, not a reference.
const labels: Record<string, string> = {
	MemberExpression: 'property',
	Property: 'key',
	MethodDefinition: 'key',
	PropertyDefinition: 'key',
	TSPropertySignature: 'key',
	TSMethodSignature: 'key',
	TSTypeReference: 'typeName',
}

function walk(node: Node, visit: (node: Node) => void): void {
	visit(node)
	for (const [key, value] of Object.entries(node)) {
		if (labels[node.type] === key && node.computed !== true) continue
		for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) walk(child, visit)
	}
}

const nameOf = (node: unknown) => (isNode(node) && node.type === 'Identifier' ? String(node.name) : undefined)

function literalOf(node: unknown): string | undefined {
	if (!isNode(node)) return undefined
	if (node.type === 'TSLiteralType') return literalOf(node.literal)
	return typeof node.value === 'string' ? node.value : undefined
}

/** Reads one module. Throws when it does not parse. */
export function readModule(path: string, text = textOf(path)): Module {
	const { program, module, errors } = parseSync(path, text)
	if (errors[0]) throw new Error(`${path} does not parse: ${errors[0].message}`)
	const specifiers = module.staticImports.map((found) => found.moduleRequest.value)
	const exports: string[] = []
	for (const entry of module.staticExports.flatMap((found) => found.entries)) {
		if (entry.moduleRequest) specifiers.push(entry.moduleRequest.value)
		const name = entry.exportName.name ?? (entry.exportName.kind === 'Default' ? 'default' : '*')
		exports.push(entry.isType ? `type ${name}` : name)
	}
	const touches = new Set<string>()
	walk(program as unknown as Node, (node) => {
		const name = nameOf(node)
		if (name !== undefined) touches.add(name)
		if (node.type === 'MemberExpression') {
			const property = nameOf(node.property)
			const object = nameOf(node.object)
			if (object === 'globalThis' && property) touches.add(property)
			if (object && property) touches.add(`${object}.${property}`)
		}
		const required = node.type === 'CallExpression' && nameOf(node.callee) === 'require' ? (node.arguments as unknown[])[0] : undefined
		const asked = node.type === 'ImportExpression' || node.type === 'TSImportType' ? (node.source ?? node.argument) : required
		const specifier = literalOf(asked)
		if (specifier !== undefined) specifiers.push(specifier)
	})
	const imports = [...new Set(specifiers)].map((found) => (found.startsWith('.') ? posix.join(posix.dirname(path), found) : found))
	return { path, text, imports, exports, touches }
}

/** All TypeScript modules under these folders. */
export function readModules(...folders: string[]): Module[] {
	return repositoryFiles(...folders)
		.filter((path) => path.endsWith('.ts'))
		.map((path) => readModule(path))
}
