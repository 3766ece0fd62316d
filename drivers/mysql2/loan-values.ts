/** What does a borrower's statement say at the moment when he sends it? His values are his, and may be used for another statement since. */

// An object inside an array of rows. What lies deeper is made JSON or text as a whole, and may lead round in a circle.
const deepest = 4

/** Whether a value is SQL itself, as those of `mysql.raw` are: then the text does not tell what is run. */
export function holdsText(value: unknown, depth = 0): boolean {
	if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || depth > deepest) return false
	if (typeof (value as { toSqlString?: unknown }).toSqlString === 'function') return true
	return Object.values(value).some((inner) => holdsText(inner, depth + 1))
}

/** The values as they are now. */
export function asTheyAre(value: unknown, depth = 0): unknown {
	if (depth > deepest) return value
	if (Array.isArray(value)) return value.map((inner) => asTheyAre(inner, depth + 1))
	if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
	return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, asTheyAre(inner, depth + 1)]))
}

/** The options object, or text, as it is now. */
export function statementAsItIs(sql: unknown): unknown {
	if (typeof sql !== 'object' || sql === null) return sql
	const { sql: text, values } = sql as { sql?: unknown; values?: unknown }
	return { ...sql, sql: text, ...(values !== undefined && { values: asTheyAre(values) }) }
}
