/** Where on a plot does a value stand, and which values are written beside the axis? Linear and logarithmic scales. */

export interface Axis {
	/** The place of a value between 0 and 1; values outside are put on the edge. */
	place(value: number): number
	readonly ticks: readonly number[]
}

const factors = [1, 2, 5, 10]
const mostTicks = 6

/** An axis that shows all of the values; a logarithmic one ignores those that are not above 0. */
export function axisFor(values: readonly number[], isLog: boolean): Axis {
	const shown = values.filter((value) => Number.isFinite(value) && (!isLog || value > 0))
	return isLog ? logAxis(shown) : linearAxis(shown)
}

function linearAxis(values: readonly number[]): Axis {
	const from = values.reduce((least, value) => Math.min(least, value), 0)
	const most = values.reduce((largest, value) => Math.max(largest, value), from)
	const rough = Math.max(most - from, Number.MIN_VALUE) / (mostTicks - 1)
	const power = most > from ? 10 ** Math.floor(Math.log10(rough)) : 1
	const step = power * (most > from ? (factors.find((factor) => power * factor >= rough * 0.999_999) ?? 10) : 1)
	const first = Math.floor(from / step)
	const last = Math.max(first + 1, Math.ceil(most / step - 0.000_001))
	return axis(
		Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12))),
		(value) => value,
	)
}

function logAxis(values: readonly number[]): Axis {
	const least = values.reduce((smallest, value) => Math.min(smallest, value), Number.POSITIVE_INFINITY)
	const most = values.reduce((largest, value) => Math.max(largest, value), 0)
	if (most === 0) return axis([1, 10], Math.log10)
	const first = Math.floor(Math.log10(least) + 0.000_001)
	const last = Math.max(first + 1, Math.ceil(Math.log10(most) - 0.000_001))
	const step = Math.ceil((last - first) / mostTicks)
	const decades = Array.from({ length: Math.ceil((last - first) / step) + 1 }, (_, index) => first + index * step)
	return axis(
		decades.map((decade) => Number((10 ** decade).toPrecision(6))),
		Math.log10,
	)
}

function axis(ticks: readonly number[], scaled: (value: number) => number): Axis {
	const low = scaled(ticks[0] as number)
	const high = scaled(ticks.at(-1) as number)
	return {
		ticks,
		place: (value) => {
			const at = (scaled(value) - low) / (high - low)
			return Number.isNaN(at) ? 0 : Math.min(1, Math.max(0, at))
		},
	}
}

const units: readonly (readonly [size: number, letter: string])[] = [
	[1e9, 'G'],
	[1e6, 'M'],
	[1e4, 'k'],
]

/** A tick in few letters: 2,500; 20k; 1M. */
export function tickText(value: number): string {
	const [size, letter] = units.find(([size]) => Math.abs(value) >= size) ?? [1, '']
	const shown = letter === 'k' ? value / 1_000 : value / size
	return `${shown.toLocaleString('en', { maximumSignificantDigits: 6 })}${letter}`
}
