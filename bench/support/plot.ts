/** How do figures become a picture? Panels of lines in one SVG of text: for light and dark grounds, and the same bytes for the same figures. */
import { type Axis, axisFor, tickText } from './axis.ts'

export interface Line {
	/** Lines of the same name have the same colour in all panels, and one place in the legend. */
	readonly name: string
	readonly points: readonly (readonly [x: number, y: number])[]
}

/** One field of axes. */
export interface Panel {
	/** What is shown, with its unit. */
	readonly title: string
	readonly lines: readonly Line[]
	/** A logarithmic scale: values of 0 lie on its lower edge. Default false. */
	readonly yLog?: boolean
	/** Values that are marked by a broken line from side to side. */
	readonly rules?: readonly { readonly y: number; readonly name: string }[]
	/** Stretches of x that are shaded. */
	readonly bands?: readonly { readonly fromX: number; readonly toX: number; readonly name: string }[]
}

export interface Plot {
	readonly title: string
	/** What the picture says, in sentences, for those who do not see it. */
	readonly description: string
	/** The line under the title. */
	readonly setting: string
	readonly xTitle: string
	readonly xLog?: boolean
	/** Where given, the x at which ticks stand: for values that were chosen, such as sizes. */
	readonly xTicks?: readonly number[]
	readonly panels: readonly Panel[]
	/** Panels side by side. Default 1. */
	readonly columns?: number
	/** Such as 'Holdfast': drawn last, unbroken, and thicker than the others. */
	readonly main?: string
}

const width = 960
const left = 56
const right = 16
const gapX = 64
const gapY = 70
const panelHeight = 170
const legendRow = 20
const legendTop = 74

// Okabe and Ito's colours, which colour-blind readers can tell apart, darkened or lightened to 3 : 1 against their ground.
const colours: readonly (readonly [onLight: string, onDark: string])[] = [
	['#0072b2', '#56b4e9'],
	['#b35900', '#e69f00'],
	['#007a5a', '#2fc79b'],
	['#b0528a', '#e08fbf'],
	['#c62f2f', '#ff7b72'],
	['#6e7781', '#a8b1bb'],
	['#7a6a00', '#d9c93a'],
	['#5b3fb5', '#a996f5'],
]
const dashes = ['', '6 3', '2 3', '9 3 2 3', '', '6 3', '2 3', '9 3 2 3']

const colourRules = (side: 0 | 1) => colours.map((pair, index) => `.l${index} { stroke: ${pair[side]} }`).join(' ')

const style = `
	.ground { fill: #ffffff } text { font: 12px system-ui, sans-serif; fill: #24292f } .heading { font-size: 17px; font-weight: 600 }
	.quiet { fill: #57606a } .strong { font-weight: 600 } .axis { stroke: #8c959f } .grid { stroke: #8c959f; stroke-opacity: .25 }
	.rule { stroke: #57606a; stroke-dasharray: 3 4 } .band { fill: #8c959f; opacity: .2 } .line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
	.main { stroke-width: 3; stroke-dasharray: none } ${colourRules(0)}
	@media (prefers-color-scheme: dark) {
		.ground { fill: #0d1117 } text { fill: #e6edf3 } .quiet { fill: #9198a1 } .axis { stroke: #656c76 } .rule { stroke: #9198a1 } ${colourRules(1)}
	}
`

/** The picture as the text of an SVG file. */
export function plot(wish: Plot): string {
	const columns = wish.columns ?? 1
	const names = [...new Set(wish.panels.flatMap(({ lines }) => lines.map(({ name }) => name)))]
	const legend = legendOf(names, wish.main)
	const top = legendTop + legend.rows * legendRow + 26
	const panelWidth = (width - left - right - (columns - 1) * gapX) / columns
	const rows = Math.ceil(wish.panels.length / columns)
	const height = top + rows * panelHeight + (rows - 1) * gapY + 46
	const xs = wish.panels.flatMap(({ lines }) => lines.flatMap(({ points }) => points.map(([x]) => x)))
	const xAxis = axisFor(xs, wish.xLog ?? false)
	const drawn = wish.panels.map((panel, index) =>
		drawPanel(panel, wish, names, xAxis, {
			x: left + (index % columns) * (panelWidth + gapX),
			y: top + Math.floor(index / columns) * (panelHeight + gapY),
			width: panelWidth,
		}),
	)
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title description">
<title id="title">${escapeXml(wish.title)}</title>
<desc id="description">${escapeXml(wish.description)}</desc>
<style>${style}</style>
<rect class="ground" width="${width}" height="${height}"/>
<text class="heading" x="${left}" y="28">${escapeXml(wish.title)}</text>
<text class="quiet" x="${left}" y="48">${escapeXml(wish.setting)}</text>
${legend.text}
${drawn.join('\n')}
</svg>
`
}

function legendOf(names: readonly string[], main: string | undefined): { text: string; rows: number } {
	let x = left
	let row = 0
	const items = names.map((name, index) => {
		// Text is measured by its letters: an SVG knows no widths. Wide enough for every font that is likely.
		const wide = 44 + name.length * 7
		if (x + wide > width - right && x > left) {
			x = left
			row += 1
		}
		const y = legendTop + row * legendRow
		const at = x
		x += wide
		return `<path class="${classOf(index, name === main)}"${dashOf(index)} d="M${at} ${y - 4}h22"/><text x="${at + 28}" y="${y}">${escapeXml(name)}</text>`
	})
	return { text: items.join('\n'), rows: names.length === 0 ? 0 : row + 1 }
}

function drawPanel(panel: Panel, wish: Plot, names: readonly string[], xAxis: Axis, at: { x: number; y: number; width: number }): string {
	const bottom = at.y + panelHeight
	const ruled = panel.rules ?? []
	const values = [...panel.lines.flatMap(({ points }) => points.map(([, y]) => y)), ...ruled.map(({ y }) => y)]
	const yAxis = axisFor(values, panel.yLog ?? false)
	const x = (value: number) => round(at.x + xAxis.place(value) * at.width)
	const y = (value: number) => round(bottom - yAxis.place(value) * panelHeight)
	const end = round(at.x + at.width)
	// The main line is drawn last, over the others.
	const inOrder = [...panel.lines].sort((a, b) => Number(a.name === wish.main) - Number(b.name === wish.main))
	return [
		`<g><text class="strong" x="${round(at.x)}" y="${at.y - 12}">${escapeXml(panel.title)}</text>`,
		...(panel.bands ?? []).map(
			({ fromX, toX, name }) =>
				`<rect class="band" x="${x(fromX)}" y="${at.y}" width="${round(Math.max(1, x(toX) - x(fromX)))}" height="${panelHeight}"/><text class="quiet" x="${round(x(fromX) + 4)}" y="${at.y + 14}">${escapeXml(name)}</text>`,
		),
		...yAxis.ticks.map(
			(tick) =>
				`<path class="grid" d="M${round(at.x)} ${y(tick)}H${end}"/><text class="quiet" text-anchor="end" x="${round(at.x - 6)}" y="${round(y(tick) + 4)}">${tickText(tick)}</text>`,
		),
		...(wish.xTicks ?? xAxis.ticks).map(
			(tick) => `<text class="quiet" text-anchor="middle" x="${x(tick)}" y="${bottom + 16}">${tickText(tick)}</text>`,
		),
		`<text class="quiet" text-anchor="middle" x="${round(at.x + at.width / 2)}" y="${bottom + 33}">${escapeXml(wish.xTitle)}</text>`,
		`<path class="axis" fill="none" d="M${round(at.x)} ${at.y}V${bottom}H${end}"/>`,
		...ruled.map(
			(rule) =>
				`<path class="rule" d="M${round(at.x)} ${y(rule.y)}H${end}"/><text class="quiet" text-anchor="end" x="${end}" y="${round(y(rule.y) - 4)}">${escapeXml(rule.name)}</text>`,
		),
		...inOrder.map(({ name, points }) => {
			const index = names.indexOf(name)
			const way = points.filter(([px, py]) => Number.isFinite(px) && Number.isFinite(py)).map(([px, py]) => `${x(px)} ${y(py)}`)
			return way.length === 0 ? '' : `<path class="${classOf(index, name === wish.main)}"${dashOf(index)} d="M${way.join('L')}"/>`
		}),
		'</g>',
	]
		.filter(Boolean)
		.join('\n')
}

const classOf = (index: number, isMain: boolean) => `line l${index % colours.length}${isMain ? ' main' : ''}`

function dashOf(index: number): string {
	const dash = dashes[index % dashes.length]
	return dash ? ` stroke-dasharray="${dash}"` : ''
}

const round = (value: number) => Math.round(value * 10) / 10
const escapeXml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
