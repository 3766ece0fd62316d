/** Which of several ways to get a server works here? The first that does. */

/** A way that cannot be gone here says why, or throws. */
export type Way<Backend> = readonly [source: string, go: () => Promise<Backend | string>]

/** Tries them in turn; `only` allows that source alone. Throws an Error that begins with `none` and names every way that was tried. */
export async function firstWay<Backend extends object>(
	ways: readonly Way<Backend>[],
	only: string | undefined,
	none: string,
): Promise<Backend> {
	const tried: string[] = []
	for (const [source, go] of ways) {
		if (only && only !== source) continue
		try {
			const found = await go()
			if (typeof found !== 'string') return found
			tried.push(`${source}: ${found}`)
		} catch (error) {
			tried.push(`${source}: ${error instanceof Error ? error.message : String(error)}`)
		}
	}
	throw new Error(`${none} Tried:\n- ${tried.join('\n- ')}`)
}
