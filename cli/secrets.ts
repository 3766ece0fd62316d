/** Which texts must never be shown, and how are they kept out of everything that is written? */

// Hiding one of these tells more than showing it: servers and we ourselves use them in sentences.
const ordinaryWords = new Set(
	'admin app connection database default host local localhost mariadb mysql password postgres postgresql root server test user'.split(' '),
)
const shortest = 3
const mask = '***'

const secretName = /pass|pwd|secret|token|credential/i
const inQuery = /[?&;]([^=&#\s]+)=([^&#\s]*)/g
// libpq's other form of a connection string.
const keyValue = /\b(\w*(?:pass|pwd)\w*)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]+)/gi
// Whatever stands before the last @ of an address.
const userInfo = /([a-z][a-z0-9+.-]*:\/\/)\S*@/gi

/** Every password that a command line and an environment hold. */
export function secretsOf(words: readonly string[], environment: NodeJS.ProcessEnv): Secrets {
	const secrets = new Secrets()
	for (const text of [...words, environment.DATABASE_URL ?? '']) secrets.learn(text)
	for (const password of [environment.PGPASSWORD, environment.MYSQL_PWD]) if (password) secrets.add(password)
	return secrets
}

/** What was found to be secret, and what is public although it may look alike. */
export class Secrets {
	readonly #hidden = new Set<string>()
	readonly #shown: string[] = []

	/** Takes note of every password in a connection string, however badly it is written, and of the string itself. */
	learn(text: string): void {
		const found = passwordsIn(text)
		for (const password of found) this.add(password)
		// Where one ends cannot always be told: an echo of all of it must not show the rest.
		if (found.length > 0) this.add(text)
	}

	/** Takes note of a password itself. */
	add(password: string): void {
		for (const form of formsOf(password)) if (form.length >= shortest && !ordinaryWords.has(form.toLowerCase())) this.#hidden.add(form)
	}

	/** A part that may be shown: a user, a database or a host. A password that reads the same is not hidden in it. */
	show(part: string | undefined): void {
		if (part !== undefined) this.#shown.push(part)
	}

	/** The text without secrets. */
	hide(text: string): string {
		let result = text
		const longestFirst = [...this.#hidden].sort((a, b) => b.length - a.length)
		for (const secret of longestFirst) if (!this.#shown.some((part) => part.includes(secret))) result = result.replaceAll(secret, mask)
		return result.replace(userInfo, `$1${mask}@`)
	}
}

function passwordsIn(text: string): string[] {
	const found: string[] = []
	const afterScheme = text.replace(/^[a-z][a-z0-9+.-]*:\/\//i, '')
	const colon = afterScheme.indexOf(':')
	// A password may hold an @ that should have been encoded: each of them may be the one that ends it.
	for (let at = afterScheme.indexOf('@'); at >= 0; at = afterScheme.indexOf('@', at + 1))
		if (colon >= 0 && colon < at) found.push(afterScheme.slice(colon + 1, at))
	for (const [, name, value] of text.matchAll(inQuery)) if (secretName.test(decoded(name))) found.push(value as string)
	for (const [, , value] of text.matchAll(keyValue)) found.push((value as string).replace(/^'|'$/g, ''))
	return found
}

/** As it was given, decoded, and as Node and the drivers write it again. */
function formsOf(password: string): string[] {
	const plain = decoded(password)
	const encoded = [plain, password].flatMap((form) => {
		try {
			return [encodeURIComponent(form), encodeURI(form)]
		} catch {
			// Half of a surrogate pair cannot be encoded.
			return []
		}
	})
	return [password, plain, password.replaceAll('+', ' '), ...encoded, ...[password, plain].map((form) => JSON.stringify(form).slice(1, -1))]
}

function decoded(text = ''): string {
	try {
		return decodeURIComponent(text)
	} catch {
		return text
	}
}
