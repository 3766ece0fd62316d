/** Was nothing tried again? For `toMatchObject`, which takes `{}` for any object. */
import { expect } from 'vitest'

export const noRetries = expect.toSatisfy((retries: object) => Object.keys(retries).length === 0, 'no retries')
