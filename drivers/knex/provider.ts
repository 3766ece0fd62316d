/** With which settings is the next connection opened, where `connection` is a function? Asked again when they have expired, as knex does. */
import type { KnexClient } from './shape.ts'

const asking = new WeakMap<KnexClient, Promise<void>>()

/** Asks the user's function if it was never asked or what it gave has expired. Rejects with the function's error. */
export function refreshSettings(client: KnexClient): Promise<void> {
	if (client.connectionConfigProvider === undefined || client.connectionConfigExpirationChecker?.() !== true) return Promise.resolve()
	let answer = asking.get(client)
	if (answer === undefined) {
		answer = ask(client).finally(() => asking.delete(client))
		asking.set(client, answer)
	}
	return answer
}

async function ask(client: KnexClient): Promise<void> {
	const given = ((await client.connectionConfigProvider?.()) ?? {}) as { expirationChecker?: () => boolean }
	// With its properties as they are: the password may be hidden from enumeration.
	const settings = Object.create(Object.getPrototypeOf(given), Object.getOwnPropertyDescriptors(given))
	delete settings.expirationChecker
	client.connectionConfigExpirationChecker = given.expirationChecker ?? null
	client.connectionSettings = settings
}
