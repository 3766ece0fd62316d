/** Does a first statement that takes BEGIN along behave like any other, with the installed pg? */
import pg from 'pg'
import { openingKept } from './opening-cases.ts'
import { ground } from './side-by-side.ts'

const setup = ground()
openingKept('pg', () => ({ server: setup.server, Pool: pg.Pool, limitsQueries: true }))
