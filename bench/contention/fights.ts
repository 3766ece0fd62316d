/** Which fights are fought, and how does each come out? All sides in turn, several times: other programs on the machine come and go. */
import { startMysql } from '../../test/support/mysql.ts'
import { startPostgres } from '../../test/support/postgres.ts'
import { median } from '../support/statistics.ts'
import type { ServerName } from '../support/subject.ts'
import { mysql2Arena } from './mysql2.ts'
import { type Isolation, pgArena } from './pg.ts'
import { Contender, type Outcome } from './run.ts'
import { type Arena, fixed, type Open } from './sides.ts'

export const workers = 32
export const poolSize = 32
// What is learnt in the first seconds is not what a server does all day. Nobody is ahead by it: every side has the same time.
export const warmUpMs = 1_500
export const measureMs = 3_000
export const rounds = 3
// Without hot rows, where a hundredth counts.
const pairs = 16
const pairMs = 800
export const hotRowCounts = [2, 10, 100, 1_000] as const
const concurrencies = [1, 2, 4, 8, 16] as const

/** One isolation level of one server, and so many hot rows; without hot rows: nobody is in anybody's way. */
export interface Fight {
	readonly level: Isolation | 'default'
	readonly hotRows: (typeof hotRowCounts)[number] | undefined
}

export interface Fought extends Fight {
	/** Such as "PostgreSQL 18, SERIALIZABLE". */
	readonly arena: string
	/** One for each side; none without hot rows. */
	readonly outcomes: readonly Outcome[]
	/** Without hot rows: commits a second, of those without turns. */
	readonly shareWithoutTurns?: number
}

export function fightsOn(server: ServerName): readonly Fight[] {
	const levels: readonly Fight['level'][] = server === 'postgres' ? ['serializable', 'read committed'] : ['default']
	return levels.flatMap((level) => [...hotRowCounts, undefined].map((hotRows) => ({ level, hotRows })))
}

/** Fights them on a server of their own. */
export async function fight(name: ServerName, fights: readonly Fight[], progress: (line: string) => void): Promise<Fought[]> {
	const server =
		name === 'postgres'
			? await startPostgres({ settings: { max_connections: '300' } })
			: await startMysql({ flavour: name, settings: { max_connections: '300', innodb_flush_log_at_trx_commit: '2' } })
	const arenas = new Map<Fight['level'], Arena>()
	const fought: Fought[] = []
	try {
		for (const each of fights) {
			let arena = arenas.get(each.level)
			if (arena === undefined) {
				arena = 'flavour' in server ? mysql2Arena(server, poolSize) : await pgArena(server, each.level as Isolation, poolSize)
				arenas.set(each.level, arena)
			}
			const { title } = arena
			const { hotRows } = each
			const tell = (line: string) => progress(`${title}, ${hotRows ?? 'no'} hot rows: ${line}`)
			if (hotRows === undefined) fought.push({ ...each, arena: title, outcomes: [], shareWithoutTurns: await share(arena, tell) })
			else fought.push({ ...each, arena: title, outcomes: await contend(arena, hotRows, tell) })
		}
	} finally {
		await server.dispose()
	}
	return fought
}

async function contend(arena: Arena, hotRows: number, tell: (line: string) => void): Promise<Outcome[]> {
	const opens: readonly Open[] = [...arena.peers, ...concurrencies.map((most) => fixed(most, () => arena.hands())), arena.ours]
	return together(arena, opens, hotRows, async (contenders) => {
		for (let round = 0; round < rounds; round++) {
			for (const contender of contenders) {
				const perSecond = await contender.fight(measureMs)
				tell(`${contender.side.name}: ${Math.round(perSecond)}/s`)
			}
		}
		return contenders.map((contender) => contender.outcome)
	})
}

/** Each worker has rows of its own: turns with nothing to do, beside a pool of the same size that takes none. In pairs, median. */
async function share(arena: Arena, tell: (line: string) => void): Promise<number> {
	const unbounded = fixed(workers, () => arena.hands())
	return together(arena, [arena.ours, unbounded], undefined, async ([ours, others]) => {
		const shares: number[] = []
		for (let pair = 0; pair < pairs; pair++) {
			const perSecond = new Map<Contender | undefined, number>()
			for (const contender of pair % 2 === 0 ? [ours, others] : [others, ours])
				perSecond.set(contender, (await contender?.fight(pairMs)) ?? 0)
			const [mine = 0, theirs = 0] = [perSecond.get(ours), perSecond.get(others)]
			shares.push(mine / theirs)
			tell(`${Math.round(mine)}/s of ${Math.round(theirs)}/s`)
		}
		return median(shares)
	})
}

/** Opens all sides at once and warms each of them up: a machine that is slower for a while is so for all of them. */
async function together<T>(
	arena: Arena,
	opens: readonly Open[],
	hotRows: number | undefined,
	play: (contenders: readonly Contender[]) => Promise<T>,
): Promise<T> {
	await arena.layOut()
	const contenders: Contender[] = []
	try {
		for (const open of opens) contenders.push(new Contender(arena, await open(), { hotRows, workers }))
		for (const contender of contenders) await contender.warmUp(warmUpMs)
		return await play(contenders)
	} finally {
		for (const { side } of contenders) {
			side.stop()
			await side.end()
		}
	}
}
