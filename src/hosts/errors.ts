/** How is it told that none of the hosts is what is wanted? */
import type { ServerRole } from '../contract.ts'
import { HoldfastError } from '../errors.ts'
import { missing, type Wanted } from './role.ts'

/** A server that has answered without being what is wanted. */
export interface Unsuitable {
	readonly address: string
	readonly role: ServerRole
}

const words: { readonly [K in ServerRole]: string } = { primary: 'the primary', replica: 'a replica', 'read-only': 'set read-only' }

/** `cause` is the driver's error: of a host that did not answer, or that of the write that was refused. */
export function noHostError(wanted: Wanted, answers: readonly Unsuitable[], cause: unknown): HoldfastError {
	const list = answers.map(({ address, role }) => `${address} is ${words[role]}`).join(', ')
	return new HoldfastError('HOLDFAST_NO_HOST', `${missing[wanted]}: ${list}.`, { cause })
}
