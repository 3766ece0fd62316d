/** What does `doctor` find out about a database that answers? */

/** `warning`: this will hurt one day. `note`: worth knowing. */
export type Level = 'ok' | 'note' | 'warning'

/** One thing that was looked at. */
export interface Finding {
	readonly name: string
	readonly level: Level
	/** What it is. */
	readonly value: string
	/** Why it matters; empty where it is as it should be. */
	readonly says: string
}

/** Everything that was asked of the server. */
export interface Report {
	readonly flavour: string
	readonly version: string
	/** Why it takes no writes; undefined where it takes them. */
	readonly readOnly: string | undefined
	/** What tells one life of the server from the next; undefined where it has none or does not tell. */
	readonly crashEpoch: string | undefined
	/** What can be found out about a commit whose answer was lost. */
	readonly verification: readonly Finding[]
	/** What else was looked at: settings, room, what stands in between. */
	readonly settings: readonly Finding[]
}

/** A setting to look at: its rule, with the reason and the source. */
export interface SettingRow {
	readonly name: string
	/** How bad this value is; `ok` where it does no harm. */
	judge(value: string): Level
	/** Why it matters, where it is not `ok`. */
	readonly says: string
	readonly source: string
}

/** Applies the rows to the values that the server has; a setting that this version does not know is left out. */
export function judgeSettings(
	rows: readonly SettingRow[],
	values: ReadonlyMap<string, string>,
	shown = (_name: string, value: string) => value,
): Finding[] {
	return rows.flatMap(({ name, judge, says }) => {
		const value = values.get(name)
		if (value === undefined) return []
		const level = judge(value)
		return [{ name, level, value: shown(name, value), says: level === 'ok' ? '' : says }]
	})
}

/** How much room is left for connections. */
export function headroom(used: number, most: number): Finding {
	const left = most - used
	const level = used >= most * 0.9 ? 'warning' : used >= most * 0.75 ? 'note' : 'ok'
	const says = level === 'ok' ? '' : 'hardly any room: after an outage every process opens its connections at once'
	return { name: 'connections', level, value: `${used} of ${most} in use, ${left} free`, says }
}
