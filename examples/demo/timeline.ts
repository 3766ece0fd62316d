/** How did both sides fare over time? An SVG picture: commits and errors a second, with the acts marked. */
import type { PlayedAct } from './acts.ts'
import { count } from './screen.ts'
import type { Side } from './side.ts'

const width = 1_000
const left = 64
const right = 16
const panelHeight = 170
const panelGap = 76
const firstPanelTop = 138
const binMs = 500

const plotWidth = width - left - right

/** What the picture shows. */
export interface Run {
	readonly sides: readonly Side[]
	readonly acts: readonly PlayedAct[]
	readonly endMs: number
	/** The line under the heading. */
	readonly setting: string
}

// Text and lines take the reader's scheme; the colours of both have a contrast of 4.5 to 1 or more to their ground.
const style = `
	.ground { fill: #ffffff } text { font: 13px system-ui, sans-serif; fill: #24292f } .heading { font-size: 18px; font-weight: 600 }
	.quiet { fill: #57606a } .axis { stroke: #8c959f; stroke-width: 1 } .act { fill: #8c959f; opacity: .22 }
	.commits { fill: #1a7f37; fill-opacity: .3; stroke: #1a7f37; stroke-width: 1.5 } .errors { fill: #cf222e }
	@media (prefers-color-scheme: dark) {
		.ground { fill: #0d1117 } text { fill: #e6edf3 } .quiet { fill: #9198a1 } .axis { stroke: #656c76 }
		.commits { fill: #3fb950; stroke: #3fb950 } .errors { fill: #ff7b72 }
	}
`

/** The picture as the text of an SVG file. */
export function timeline({ sides, acts, endMs, setting }: Run): string {
	const bins = Math.max(1, Math.ceil(endMs / binMs))
	const series = sides.map(({ tally }) => ({ commits: perSecond(tally.commitTimes, bins), errors: perSecond(tally.errorTimes, bins) }))
	// One scale for all, so that heights can be compared; a bar that is cut off says so by its number.
	const top = roundUp(Math.max(1, ...series.flatMap(({ commits, errors }) => [...commits, ...errors])))
	const x = (atMs: number) => round(left + (Math.min(atMs, endMs) / endMs) * plotWidth)
	const panels = sides.map((side, index) => {
		const panelTop = firstPanelTop + index * (panelHeight + panelGap)
		const { commits, errors } = series[index] as (typeof series)[number]
		return panel({ side, commits, errors, panelTop, top, x, endMs, acts })
	})
	const height = firstPanelTop + sides.length * (panelHeight + panelGap) - panelGap + 32
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title description">
<title id="title">Commits and errors a second, ${escapeXml(sides.map(({ name }) => name).join(' and '))} pool side by side</title>
<desc id="description">${escapeXml(describe(sides, acts, endMs))}</desc>
<style>${style}</style>
<rect class="ground" width="${width}" height="${height}"/>
<text class="heading" x="${left}" y="30">The same traffic, the same faults: with Holdfast and without</text>
<text class="quiet" x="${left}" y="50">${escapeXml(setting)}</text>
<rect class="commits" x="${left}" y="62" width="12" height="10"/><text x="${left + 18}" y="72">commits a second</text>
<rect class="errors" x="${left + 140}" y="62" width="12" height="10"/><text x="${left + 158}" y="72">errors that reached the application, a second</text>
${panels.join('\n')}
</svg>
`
}

interface Panel {
	readonly side: Side
	readonly commits: readonly number[]
	readonly errors: readonly number[]
	readonly panelTop: number
	readonly top: number
	readonly endMs: number
	readonly acts: readonly PlayedAct[]
	x(atMs: number): number
}

function panel({ side, commits, errors, panelTop, top, x, endMs, acts }: Panel): string {
	const bottom = panelTop + panelHeight
	const y = (value: number) => round(bottom - (value / top) * panelHeight)
	// Steps, not slopes: each value holds for its whole bin.
	const outline = commits.map((value, bin) => `L${x(bin * binMs)} ${y(value)}L${x((bin + 1) * binMs)} ${y(value)}`).join('')
	const bars = errors.map((value, bin) => {
		if (value === 0) return ''
		const from = x(bin * binMs)
		const to = x((bin + 1) * binMs)
		return `<rect class="errors" x="${round(from + 1)}" y="${y(value)}" width="${round(Math.max(1, to - from - 2))}" height="${round(bottom - y(value))}"/>`
	})
	const bands = acts.map(({ title, fromMs, toMs }) => {
		const wide = round(Math.max(2, x(toMs) - x(fromMs)))
		return `<rect class="act" x="${x(fromMs)}" y="${panelTop}" width="${wide}" height="${panelHeight}"/><text class="quiet" x="${x(fromMs)}" y="${panelTop - 6}">${escapeXml(title)}</text>`
	})
	const { done, errorTimes } = side.tally
	return [
		`<g><text x="${left}" y="${panelTop - 26}"><tspan font-weight="600">${side.name}</tspan>: ${count(done.size)} commits, ${count(errorTimes.length)} errors</text>`,
		...bands,
		`<path class="commits" d="M${left} ${bottom}${outline}L${x(endMs)} ${bottom}Z"/>`,
		...bars.filter(Boolean),
		`<path class="axis" fill="none" d="M${left} ${panelTop}V${bottom}H${left + plotWidth}"/>`,
		...[0, top / 2, top].map(
			(value) => `<text class="quiet" text-anchor="end" x="${left - 8}" y="${round(y(value) + 4)}">${count(value)}</text>`,
		),
		...secondMarks(endMs).map(
			(second) => `<text class="quiet" text-anchor="middle" x="${x(second * 1_000)}" y="${bottom + 16}">${second} s</text>`,
		),
		'</g>',
	].join('\n')
}

function perSecond(times: readonly number[], bins: number): number[] {
	const counts = new Array<number>(bins).fill(0)
	for (const at of times) {
		const bin = Math.min(bins - 1, Math.max(0, Math.floor(at / binMs)))
		counts[bin] = (counts[bin] as number) + 1_000 / binMs
	}
	return counts
}

function describe(sides: readonly Side[], acts: readonly PlayedAct[], endMs: number): string {
	const marks = acts.map(({ title, fromMs, toMs }) => `${title} from ${seconds(fromMs)} to ${seconds(toMs)} s`).join('; ')
	const ends = sides.map(({ name, tally }) => {
		const errors = `${count(tally.errorTimes.length)} errors`
		return `The ${name} pool: ${count(tally.done.size)} commits, ${errors}, longest pause ${seconds(tally.longestPauseMs(endMs))} s.`
	})
	return `A run of ${seconds(endMs)} seconds. ${marks}. ${ends.join(' ')}`
}

function secondMarks(endMs: number): number[] {
	const step = roundUp(endMs / 1_000 / 8)
	return Array.from({ length: Math.floor(endMs / 1_000 / step) + 1 }, (_, mark) => mark * step)
}

/** The next of 1, 2, 5, 10, 20, 50, … */
function roundUp(value: number): number {
	const power = 10 ** Math.floor(Math.log10(Math.max(1, value)))
	return power * ([1, 2, 5, 10].find((factor) => power * factor >= value) ?? 10)
}

const round = (value: number) => Math.round(value * 10) / 10
const seconds = (ms: number) => (ms / 1_000).toFixed(1)
const escapeXml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
