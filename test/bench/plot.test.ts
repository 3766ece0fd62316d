/** Do plots show what they are given, in the same bytes each time? */
import { expect, test } from 'vitest'
import { axisFor, tickText } from '../../bench/support/axis.ts'
import { type Plot, plot } from '../../bench/support/plot.ts'

const wish: Plot = {
	title: 'Commits & errors',
	description: 'Holdfast has more commits than the others.',
	setting: 'seed 1',
	xTitle: 'seconds',
	main: 'Holdfast',
	panels: [
		{
			title: 'goodput, calls a second',
			lines: [
				{
					name: 'Holdfast',
					points: [
						[0, 0],
						[10, 100],
					],
				},
				{
					name: 'no <retry>',
					points: [
						[0, 100],
						[10, 0],
					],
				},
			],
			rules: [{ y: 50, name: 'accepted' }],
			bands: [{ fromX: 2, toX: 4, name: 'down' }],
		},
	],
}

test('the same figures give the same bytes, and every text is escaped', () => {
	expect(plot(wish)).toBe(plot(wish))
	expect(plot(wish)).toContain('Commits &amp; errors')
	expect(plot(wish)).not.toContain('no <retry>')
})

test('a line goes through its points, and the main one is drawn over the others', () => {
	const paths = plot(wish).match(/d="M[^"]+L[^"]+"/g) ?? []
	expect(paths).toEqual(['d="M56 120L944 290"', 'd="M56 290L944 120"'])
})

test('a picture can be read on light and on dark ground', () => {
	expect(plot(wish)).toContain('@media (prefers-color-scheme: dark)')
})

test.each([
	['linear', false, [0, 37], [0, 10, 20, 30, 40]],
	['logarithmic', true, [3, 4_000], [1, 10, 100, 1_000, 10_000]],
	['of nothing', false, [], [0, 1]],
	['logarithmic, of zeros', true, [0, 0], [1, 10]],
] as const)('a %s axis has round ticks that enclose its values', (_, isLog, values, ticks) => {
	expect(axisFor(values, isLog).ticks).toEqual(ticks)
})

test('a zero on a logarithmic axis lies on its edge', () => {
	const axis = axisFor([1, 100], true)
	expect([axis.place(0), axis.place(10), axis.place(100)]).toEqual([0, 0.5, 1])
})

test('large ticks are short', () => {
	expect([0.5, 2_500, 20_000, 3_000_000].map(tickText)).toEqual(['0.5', '2,500', '20k', '3M'])
})
