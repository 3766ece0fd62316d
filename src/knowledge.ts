/** Through which door does the command line look up what Holdfast knows? Tables only: nothing here decides. */
export { classificationRows } from './classify/classify.ts'
export { type ClassificationRow, lookup, rowKey } from './classify/table.ts'
export { builtIn } from './classify/tables.ts'
export { defaultProbing } from './outage/probing.ts'
export { paceOf } from './retry/pace.ts'
