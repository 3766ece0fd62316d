/** Where is the database of a target, in parts that may be shown? */
import type { Place, Product } from './product.ts'
import type { Secrets } from './secrets.ts'
import type { Target } from './target.ts'
import { UsageError } from './usage-error.ts'

/** Throws a UsageError where the driver cannot use the URL: a certificate file that is not there, an option that it refuses. */
export async function placeOf(product: Product, target: Target, secrets: Secrets): Promise<Place> {
	let place: Place
	try {
		place = await product.place(target)
	} catch (error) {
		if (error instanceof UsageError) throw error
		throw new UsageError(`the URL cannot be used: ${error instanceof Error ? error.message : String(error)}`)
	}
	for (const part of [place.address, place.user, place.database]) secrets.show(part)
	return place
}
