/** What does one see while it runs? Two lines a second, and a progress bar where the output is a terminal. */
import type { Side } from './side.ts'

const csi = '\u001b['
const barWidth = 40
const barEveryMs = 250

/** Where the lines go: a terminal gets colour and a bar, anything else plain lines without a control character. */
export class Screen {
	readonly #out: NodeJS.WriteStream
	readonly #rich: boolean
	readonly #colour: boolean
	#bar = ''
	#timers: NodeJS.Timeout[] = []

	constructor(out: NodeJS.WriteStream) {
		this.#out = out
		this.#rich = out.isTTY === true && process.env.TERM !== 'dumb'
		this.#colour = this.#rich && !process.env.NO_COLOR
	}

	/** Writes a line above the bar. */
	line(text = ''): void {
		this.#out.write(this.#bar === '' ? `${text}\n` : `\r${csi}2K${text}\n${this.#bar}`)
	}

	/** Starts to show both sides once a second. */
	watch(sides: readonly Side[], runMs: number, now: () => number): void {
		let second = 0
		const before = new Map(sides.map((side) => [side, { commits: 0, errors: 0 }]))
		const tick = () => {
			second++
			for (const side of sides) {
				const last = before.get(side) as { commits: number; errors: number }
				const commits = side.tally.commitTimes.length
				const errors = side.tally.errorTimes.length
				const time = side === sides[0] ? `${String(second).padStart(4)} s` : ' '.repeat(6)
				this.line(`${time}  ${this.#describe(side, commits, commits - last.commits, errors, errors - last.errors)}`)
				before.set(side, { commits, errors })
			}
		}
		this.#timers.push(setInterval(tick, 1_000))
		if (this.#rich) this.#timers.push(setInterval(() => this.#drawBar(Math.min(1, now() / runMs)), barEveryMs))
	}

	/** Says what is done to the server now. */
	announce(title: string): void {
		this.line(this.#paint('1', `   ---- ${title} ----`))
	}

	/** Paints a verdict. */
	verdict(good: boolean, text: string): void {
		this.line(this.#paint(good ? '32' : '31', text))
	}

	/** Ends the live part and takes the bar away. */
	stop(): void {
		for (const timer of this.#timers) clearInterval(timer)
		this.#timers = []
		if (this.#bar !== '') this.#out.write(`\r${csi}2K`)
		this.#bar = ''
	}

	#describe(side: Side, commits: number, newCommits: number, errors: number, newErrors: number): string {
		const state = side.endpointState()
		return [
			this.#paint('1', side.name.padEnd(7)),
			`${count(commits, 7)} commits ${`(+${newCommits})`.padEnd(7)}`,
			this.#paint(newErrors > 0 ? '31' : '', `${count(errors, 6)} errors ${`(+${newErrors})`.padEnd(7)}`),
			`${count(side.waiting(), 4)} waiting`,
			`endpoint ${this.#paint(state === 'up' ? '32' : state === 'not known' ? '2' : '33', state)}`,
		].join('  ')
	}

	#drawBar(share: number): void {
		const full = Math.round(share * barWidth)
		this.#bar = `[${'#'.repeat(full)}${'.'.repeat(barWidth - full)}] ${Math.floor(share * 100)} %`
		this.#out.write(`\r${csi}2K${this.#bar}`)
	}

	#paint(code: string, text: string): string {
		return this.#colour && code !== '' ? `${csi}${code}m${text}${csi}0m` : text
	}
}

/** A number with its thousands apart, right-aligned. */
export const count = (value: number, width = 0): string => value.toLocaleString('en-US').padStart(width)
