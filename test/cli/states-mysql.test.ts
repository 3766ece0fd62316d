/** Do `wait` and `doctor` tell each state of a real MySQL? */
import { tellsEveryState } from './states.ts'
import { mysqlSubject } from './states-mysql.ts'

tellsEveryState('MySQL', () => mysqlSubject('mysql'), { tls: '?ssl=%7B%7D' })
