/** What can be read of an unknown value without being harmed by it? Getters and proxies may throw; then there is nothing to read. */

/** A property, or undefined. */
export function read(from: unknown, key: string): unknown {
	if ((typeof from !== 'object' && typeof from !== 'function') || from === null) return undefined
	try {
		return (from as Record<string, unknown>)[key]
	} catch {
		return undefined
	}
}

/** A property that is a text, or undefined. */
export function readText(from: unknown, key: string): string | undefined {
	const value = read(from, key)
	return typeof value === 'string' ? value : undefined
}

/** Up to `most` elements of a property that is a list. */
export function readList(from: unknown, key: string, most: number): readonly unknown[] {
	const value = read(from, key)
	try {
		return Array.isArray(value) ? value.slice(0, most) : []
	} catch {
		return []
	}
}
