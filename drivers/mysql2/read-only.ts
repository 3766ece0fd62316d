/** Does this server take writes? What is asked of it, and how its answer is read, whatever the pool makes of numbers. */

/** For a SELECT. The second is that of Aurora's readers and of `--innodb-read-only`. */
export const readOnlyColumns = '@@global.read_only AS readOnly, @@innodb_read_only AS replica'

/** What comes of it. */
export interface ReadOnlyRow {
	readonly readOnly?: unknown
	readonly replica?: unknown
}

/** Whether it refuses writes. */
export const isReadOnly = (row: ReadOnlyRow | undefined): boolean => isOn(row?.readOnly) || isOn(row?.replica)

// MariaDB 12 answers with words, and `bigNumberStrings` makes a text of a number.
const isOn = (value: unknown): boolean => value !== undefined && value !== null && !['0', 'OFF'].includes(String(value).toUpperCase())
