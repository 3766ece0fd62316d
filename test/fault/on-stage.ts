/** What do fault tests that write share? A stage for the whole file, a fresh table for each test, replies that get lost, and nothing left. */
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import type { Intercept } from '../support/proxy-rules.ts'
import { type Stage, stage } from './stage.ts'

export interface WritingStage extends Stage {
	/** How many rows the table `written (id int)` has. */
	rows(): Promise<number | undefined>
	/** Breaks the link when the server says that a statement is done, before the client hears of it. */
	loseReply(tag: string, how?: { times?: number; onHit?: () => Promise<void> }): Intercept
	loseCommitReply(onHit?: () => Promise<void>): Intercept
	/** Breaks the link when the client sends COMMIT, before the server gets it. */
	loseCommitItself(onHit?: () => Promise<void>): Intercept
}

/** Registers the hooks. The stage is there once `beforeAll` has run. */
export function onStage(): WritingStage {
	const at = {
		rows: async () => (await at.ask<{ n: number }>('SELECT count(*)::int AS n FROM written'))[0]?.n,
		loseReply: (tag, how) => at.proxy.intercept({ from: 'server', match: (message) => message.tag === tag, action: 'cut before', ...how }),
		loseCommitReply: (onHit) => at.loseReply('COMMIT', onHit && { onHit }),
		loseCommitItself: (onHit) =>
			at.proxy.intercept({
				from: 'client',
				match: ({ text }) => /^\s*(\/\*.*\*\/)?\s*(commit|end)/i.test(text ?? ''),
				action: 'cut before',
				...(onHit && { onHit }),
			}),
	} as WritingStage
	beforeAll(async () => {
		Object.assign(at, await stage())
	})
	afterAll(() => at.close())
	beforeEach(async () => {
		await at.ask('DROP TABLE IF EXISTS written, holdfast_commits; CREATE TABLE written (id int)')
		at.proxy.resetCounters()
	})
	afterEach(async () => {
		await at.proxy.accept()
		await at.leaveNothing()
	})
	return at
}
