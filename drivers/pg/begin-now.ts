/** How is a transaction begun at once, in whatever form this server takes? BEGIN, marked where its commit is to be verified. */
import type { Begun } from '../../src/driver.ts'
import { beginMarked, type Marking, type NotMarked } from './begin.ts'
import { execute } from './client.ts'
import type { PgClient, PgResult } from './shape.ts'
import { isAlive } from './state.ts'
import { sqlstateOf, type Witness } from './witness.ts'

/** A transaction that BEGIN has opened. */
export interface Opened extends Begun {
	/** The command tag of the BEGIN. */
	readonly begun: string
}

/** Opens a transaction by this text. Without a witness it is not marked. Rejects with the driver's error; nothing is open then. */
export async function beginNow(client: PgClient, text: string, witness: Witness | undefined): Promise<Opened> {
	// Sent ahead and not waited for: what the borrower sends behind the BEGIN must stay behind it.
	witness?.prepare?.(client)
	const marking = witness?.marking(client)
	if (witness === undefined || marking === undefined) {
		const { command } = (await execute(client, text)) as PgResult
		return { mark: undefined, begun: command ?? '' }
	}
	const marked = await beginMarked(client, text, marking)
	if ('failed' in marked) return beginAgain(client, text, witness, marking, marked)
	return { mark: witness.read(client, marked, marking), begun: marked.begun }
}

/** Opens it after BEGIN or its marking has failed, in another form, if the witness has one. Rejects with the error otherwise. */
export async function beginAgain(
	client: PgClient,
	text: string,
	witness: Witness | undefined,
	marking: Marking | undefined,
	{ failed, begun }: NotMarked,
): Promise<Opened> {
	// A BEGIN that was refused itself, in a failed transaction of the borrower say, has opened nothing that could be rolled back.
	if (begun === undefined || sqlstateOf(failed) === undefined || !isAlive(client)) throw failed
	await execute(client, 'ROLLBACK')
	if (marking === undefined || !(await witness?.adapt(client, failed, marking))) throw failed
	return beginNow(client, text, witness)
}
