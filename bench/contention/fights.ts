/** Which fights are fought, and how does each come out? All sides in turn, several times: other programs on the machine come and go. */
import { startMysql } from '../../test/support/mysql.ts'
import { startPostgres } from '../../test/support/postgres.ts'
import { median } from '../support/statistics.ts'
import type { ServerName } from '../support/subject.ts'
import { mysql2Arena } from './mysql2.ts'
import { type Isolation, pgArena } from './pg.ts'
import { measure, type Outcome } from './run.ts'
import { type Arena, fixed, type Open } from './sides.ts'

export const workers = 32
export const poolSize = 32
// What is learnt in the first seconds is not what a server does all day. Nobody is ahead by it: every side has the same time.
export const warmUpMs = 1_200
export const measureMs = 1_500
export const rounds = 2
const pairs = 5
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
	/** One for each side: the median of each figure. Without hot rows only Holdfast, as the share of what is done without turns. */
	readonly outcomes: readonly Outcome[]
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
			? await startPostgres({ settings: { max_connections: '100' } })
			: await startMysql({ flavour: name, settings: { innodb_flush_log_at_trx_commit: '2' } })
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
	const sides: readonly Open[] = [...arena.peers, ...concurrencies.map((most) => fixed(most, () => arena.hands())), arena.ours]
	const outcomes = sides.map((): Outcome[] => [])
	for (let round = 0; round < rounds; round++) {
		for (const [index, open] of sides.entries()) {
			const outcome = await one(arena, open, hotRows)
			outcomes[index]?.push(outcome)
			tell(`${outcome.name}: ${Math.round(outcome.perSecond)}/s, p99 ${Math.round(outcome.p99Ms)} ms`)
		}
	}
	return outcomes.map(middle)
}

/** Each worker has rows of its own: turns with nothing to do, beside a pool of the same size that takes none. In pairs, median. */
async function share(arena: Arena, tell: (line: string) => void): Promise<number> {
	const unbounded = fixed(workers, () => arena.hands())
	const shares: number[] = []
	for (let pair = 0; pair < pairs; pair++) {
		const first = await one(arena, pair % 2 === 0 ? arena.ours : unbounded, undefined)
		const second = await one(arena, pair % 2 === 0 ? unbounded : arena.ours, undefined)
		const [ours, others] = pair % 2 === 0 ? [first, second] : [second, first]
		shares.push(ours.perSecond / others.perSecond)
		tell(`${Math.round(ours.perSecond)}/s of ${Math.round(others.perSecond)}/s`)
	}
	return median(shares)
}

async function one(arena: Arena, open: Open, hotRows: number | undefined): Promise<Outcome> {
	await arena.layOut()
	return measure(arena, open, { hotRows, workers, warmUpMs, measureMs })
}

/** The middle of each figure. */
function middle(outcomes: readonly Outcome[]): Outcome {
	const of = (figure: (outcome: Outcome) => number) => median(outcomes.map(figure))
	const { name = '', kind = 'fixed' } = outcomes[0] ?? {}
	return {
		name,
		kind,
		perSecond: of((each) => each.perSecond),
		p50Ms: of((each) => each.p50Ms),
		p99Ms: of((each) => each.p99Ms),
		errors: of((each) => each.errors),
	}
}
