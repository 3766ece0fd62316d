/** How did each side fare over time? The panels of a fleet's plot. */
import { type Line, type Panel, plot } from '../support/plot.ts'
import { binMs, type Scenario, type Series } from './run.ts'

export interface Played {
	readonly name: string
	readonly series: Series
}

// As the eye follows it: from shortly before the event on.
const shownFromMs = -2_000
const smoothedBins = 1_000 / binMs

/** Connection rate, goodput, backlog and waiting callers. */
export function picture(scenario: Scenario, played: readonly Played[], title: string, setting: string, description: string): string {
	const { fate, capacity, callsPerSecond } = scenario
	const bands = bandsOf(scenario)
	const lines = (values: (series: Series) => readonly number[]): Line[] =>
		played.map(({ name, series }) => ({ name, points: points(series, values(series)) }))
	const panels: readonly Panel[] = [
		{
			title: 'connection attempts a second',
			yLog: true,
			lines: lines(({ attempts }) => perSecond(attempts)),
			rules: [{ y: capacity.connectsPerSecond, name: 'what the server accepts' }],
			bands,
		},
		{
			title: 'goodput: calls answered a second',
			lines: lines(({ answered }) => perSecond(answered)),
			rules: [{ y: callsPerSecond, name: 'calls that come in' }],
			bands,
		},
		{ title: 'connection attempts in the backlog', lines: lines(({ knocking }) => knocking), bands },
		{ title: 'calls that wait for their answer', lines: lines(({ waiting }) => waiting), bands },
	]
	return plot({
		title,
		description,
		setting,
		xTitle: fate.slow === undefined ? 'seconds since the crash' : 'seconds since it became slow',
		panels,
		columns: 2,
		main: 'Holdfast',
	})
}

function bandsOf({ fate: { crashesAtMs, listensAtMs, readyAtMs, slow } }: Scenario): NonNullable<Panel['bands']> {
	if (slow !== undefined) return [{ fromX: slow.fromMs / 1_000, toX: slow.toMs / 1_000, name: 'slow' }]
	if (crashesAtMs === undefined || listensAtMs === undefined) return []
	return [
		// Together: there is no room for a name in each.
		{ fromX: crashesAtMs / 1_000, toX: listensAtMs / 1_000, name: 'down, starting' },
		{ fromX: listensAtMs / 1_000, toX: readyAtMs / 1_000, name: '' },
	]
}

function points({ fromMs }: Series, values: readonly number[]): Line['points'] {
	return values.flatMap((value, bin) => {
		const atMs = fromMs + (bin + 1) * binMs
		return atMs < shownFromMs ? [] : [[atMs / 1_000, value] as const]
	})
}

/** The mean of the second that ends with each span. */
function perSecond(counts: readonly number[]): number[] {
	return counts.map((_, bin) => {
		const span = counts.slice(Math.max(0, bin - smoothedBins + 1), bin + 1)
		return (span.reduce((total, count) => total + count, 0) * 1_000) / (span.length * binMs)
	})
}
