/** How does a run look while it goes on? A bar in a terminal, one line for each thing that happened elsewhere. */
import { describeBlocker } from './errors.ts'
import type { MigrateEvent } from './events.ts'

type Output = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number }

const barWidth = 24
const clearLine = '\r\u001b[K'

/** What shows events on the stream. */
export function progressOn(output: Output): (event: MigrateEvent) => void {
	const isTerminal = output.isTTY === true
	const where = { done: 0, total: 0 }
	return (event) => {
		if (event.type === 'start') Object.assign(where, { done: 0, total: event.names.length })
		if (event.type === 'done') where.done = event.number
		const line = lineOf(event)
		if (!isTerminal) {
			if (line !== undefined) output.write(`${line}\n`)
			return
		}
		// What stays to be read goes above the bar; the rest is the bar's own text.
		if (staysOf(event)) output.write(`${clearLine}${line}\n`)
		if (event.type === 'end' || event.type === 'failed') output.write(clearLine)
		else if (where.total > 0) output.write(`${clearLine}${barOf(where, textOf(event), output.columns ?? 80)}`)
		else output.write(`${clearLine}${(line ?? '').slice(0, (output.columns ?? 80) - 1)}`)
	}
}

const staysOf = ({ type }: MigrateEvent): boolean =>
	type === 'done' || type === 'failed' || type === 'resolved' || type === 'lock freed' || type === 'end'

function barOf({ done, total }: { done: number; total: number }, text: string, columns: number): string {
	const full = Math.round((done / total) * barWidth)
	return `[${'#'.repeat(full)}${'.'.repeat(barWidth - full)}] ${done}/${total} ${text}`.slice(0, columns - 1)
}

const textOf = (event: MigrateEvent): string => (event.type === 'done' || event.type === 'start' ? '' : (lineOf(event) ?? ''))
const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`

/** The event in a line; undefined where it is not worth one. */
function lineOf(event: MigrateEvent): string | undefined {
	switch (event.type) {
		case 'waiting':
			return `waiting for the ${event.for === 'database' ? 'database' : 'other runner'} for ${seconds(event.sinceMs)}: ${event.detail}`
		case 'lock freed':
			return event.detail
		case 'start':
			return `batch ${event.batch}: ${event.names.length === 1 ? '1 migration' : `${event.names.length} migrations`} ${event.direction}`
		case 'running':
			return event.tryNumber === 1 ? undefined : `${event.name}: try ${event.tryNumber}`
		case 'blocked': {
			const by = event.blockers.length === 0 ? '' : `, held by ${event.blockers.map(describeBlocker).join('; ')}`
			return `${event.name}: no lock in try ${event.tryNumber}${by}`
		}
		case 'retry':
			return `${event.name}: ${event.fault.kind.replaceAll('_', ' ')} (${event.fault.reason}), runs again`
		case 'resolved':
			return `${event.name}: its end was unknown; it was ${event.applied ? 'applied' : 'not applied'}`
		case 'done':
			return `${event.name} (${event.number}/${event.total}) in ${seconds(event.elapsedMs)}`
		case 'failed': {
			const stays = [...event.applied, ...event.invalidIndexes.map((name) => `the invalid index ${name}`)]
			return stays.length === 0
				? `${event.name} failed; nothing of it is in force`
				: `${event.name} failed; in force and not to be rolled back: ${stays.join('; ')}`
		}
		case 'end':
			return `${event.names.length === 1 ? '1 migration' : `${event.names.length} migrations`} in ${seconds(event.elapsedMs)}`
	}
}
