/** Through which door does the command line look up what Holdfast knows? Tables only: nothing here decides. */
export { type ClassificationRow, lookup, rowKey } from './classify/table.ts'
export { builtIn, classificationRows } from './classify/tables.ts'
export { defaultProbing } from './outage/probing.ts'
export { paceOf } from './retry/pace.ts'
