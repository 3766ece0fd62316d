/** Which product is a target? Loaded only now: the other one's driver may not be there. */
import type { Product } from './product.ts'
import type { Target } from './target.ts'

export async function productOf(target: Target): Promise<Product> {
	return target.product === 'postgres' ? (await import('./postgres/product.ts')).postgres : (await import('./mysql/product.ts')).mysql
}
