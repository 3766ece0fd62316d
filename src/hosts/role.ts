/** Which of several servers is wanted? By what a server says of itself. Pure. */
import type { ServerRole } from '../contract.ts'
import { type OptionRule, oneOf } from '../options.ts'

/**
 * Where the connections of a pool go. `'primary'`: to the server that takes writes. `'prefer-replica'`: to a replica, or to another server
 * where no replica answers. `'any'`: to the first that answers.
 */
export type Target = 'primary' | 'prefer-replica' | 'any'

/** What a list of hosts is searched for. */
export type Wanted = Target | 'replica'

export const targetRule: OptionRule = oneOf('primary', 'prefer-replica', 'any')

const all: readonly ServerRole[] = ['primary', 'replica', 'read-only']

/** The roles that will do, best first: those of the next round only where no host has one of the round before. */
export const rounds: { readonly [K in Wanted]: readonly (readonly ServerRole[])[] } = {
	primary: [['primary']],
	replica: [['replica']],
	'prefer-replica': [['replica'], all],
	any: [all],
}

/** What is missing where none will do. */
export const missing: { readonly [K in Wanted]: string } = {
	primary: 'No server takes writes',
	replica: 'No server is a replica',
	'prefer-replica': 'No server answers',
	any: 'No server answers',
}
