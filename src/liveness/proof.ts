/** Do two looks in a row prove that a link is dead? Pure. One alone proves nothing: an answer may be on its way, or a command. */
import type { Presence, Sight } from './links.ts'

/** What one look has found against a link. */
export interface Finding {
	readonly presence: Presence
	readonly server: string
}

// The age of the connection is known to within a second or so, the server's clock may be set back by a little, and no two clocks go alike:
// NTP alone may make one gain or lose 500 parts in a million (adjtimex(2)).
const marginMs = 5_000
const driftShare = 0.001

/** What the server says of the connection that is at least so old. A younger one of the same name is another. */
export function presenceOf({ presence, ageMs }: Sight, connectionAgeMs: number): Presence {
	const marginOfAgeMs = marginMs + connectionAgeMs * driftShare
	return ageMs !== undefined && ageMs + marginOfAgeMs < connectionAgeMs ? 'missing' : presence
}

/** What a look has found against the link of a connection that waits for an answer; undefined where it speaks for it. */
export function findingOf(presence: Presence, server: string): Finding | undefined {
	return presence === 'working' || presence === 'hidden' ? undefined : { presence, server }
}

export const isConfirmed = (before: Finding | undefined, now: Finding): boolean =>
	before?.presence === now.presence && before.server === now.server

const whys: { readonly [K in Presence]?: string } = {
	missing: 'the server no longer has this connection',
	idle: 'the server waits for a command on this connection: what was sent, or its answer, was lost on the way',
	blocked: 'the server cannot get rid of its answer',
}

/** The words for it. */
export const why = (presence: Presence): string => whys[presence] ?? presence
