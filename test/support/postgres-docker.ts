/** How does a PostgreSQL run in Docker, when an engine answers? Through testcontainers, which is installed then. */
import type { PostgresBackend } from './postgres-backend.ts'

/** Whether a Docker engine answers within 3 seconds. `HOLDFAST_NO_DOCKER=1` says no. */
export async function dockerAnswers(): Promise<boolean> {
	return false
}

/** A PostgreSQL of that major in a container of its own. */
export async function dockerPostgres(major: number, _settings: Readonly<Record<string, string>>): Promise<PostgresBackend> {
	throw new Error(`PostgreSQL ${major} from Docker is not there yet`)
}
