/** Do `wait` and `doctor` tell each state of a real MariaDB? */
import { tellsEveryState } from './states.ts'
import { mysqlSubject } from './states-mysql.ts'

tellsEveryState('MariaDB', () => mysqlSubject('mariadb'), { tls: '?ssl=%7B%7D' })
