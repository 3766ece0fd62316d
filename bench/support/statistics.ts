/** What is the middle of many noisy figures? Medians and quartiles, and the ratio of paired runs. */

/** The value below which the share `q` (0 to 1) of the values lies, interpolated. NaN for no values. */
export function quantile(values: readonly number[], q: number): number {
	const sorted = [...values].sort((a, b) => a - b)
	const place = (sorted.length - 1) * q
	const below = sorted[Math.floor(place)] ?? Number.NaN
	const above = sorted[Math.ceil(place)] ?? below
	return below + (above - below) * (place - Math.floor(place))
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** Where the middle of the values is, and how far their inner half spreads. */
export interface Spread {
	readonly median: number
	readonly lower: number
	readonly upper: number
	readonly count: number
}

export function spread(values: readonly number[]): Spread {
	return { median: median(values), lower: quantile(values, 0.25), upper: quantile(values, 0.75), count: values.length }
}
