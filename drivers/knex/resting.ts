/** What do the counts say where nothing has been counted? */
import type { Stats } from '../../src/driver.ts'

/** Of an instance that has no pool yet: its server's address is not known, or it was told to stay as it is. */
export const restingStats: Stats = {
	attempts: 0,
	retries: {},
	waits: 0,
	waiting: 0,
	budgetSpent: 0,
	outages: 0,
	inDoubt: 0,
	resolved: { applied: 0, notApplied: 0, unresolved: 0 },
	discarded: 0,
	halfOpen: 0,
	endpoint: { address: 'not known yet', state: 'suspect', outages: 0, connectAttempts: 0, lastFault: undefined },
}
