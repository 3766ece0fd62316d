/** How are several certain to be under way at the same time? Nobody goes on before all have come. */
import { until } from './until.ts'

/** Each call waits until there are `count` of them; later ones do not wait any more. */
export function meeting(count: number): () => Promise<void> {
	let come = 0
	return async () => {
		come += 1
		await until(() => come >= count, { what: `${count} to be under way` })
	}
}
