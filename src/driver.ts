/** Through which door do drivers reach the core? Everything that a wrapper may use, and nothing that users should. */
export { Call } from './call.ts'
export { classify } from './classify/classify.ts'
export { dateOf } from './clock.ts'
export { CommitLedger, ledgerRetentionHours } from './commit-ledger.ts'
export type {
	Begun,
	CommitMark,
	CommitVerdict,
	ConnectionSource,
	HostAddress,
	ServerRole,
	TransactionDriver,
	TransactionModes,
	TransactionStatus,
} from './contract.ts'
export type { Repeatability } from './decide.ts'
export { HoldfastError } from './errors.ts'
export type { Fault, Phase } from './fault.ts'
export { addressOf, type Host, hostsOf } from './hosts/host.ts'
export type { Wanted } from './hosts/role.ts'
export { KeepAlive } from './liveness/keep-alive.ts'
export type { Links, Looking, Presence, Sight, Sights } from './liveness/links.ts'
export {
	abortSignal,
	bool,
	checkOptions,
	fn,
	type OptionRules,
	oneOf,
	positiveMs,
	positiveMsOrInfinity,
	show,
	text,
} from './options.ts'
export { tooLateError } from './outage/describe.ts'
export { Request } from './outage/waiting-list.ts'
export { begin, deadlineOf, isBatchCall } from './policy.ts'
export { PoolCore } from './pool.ts'
export { checkPoolOptions, type PoolOptions } from './pool-options.ts'
export { Holding } from './session/holding.ts'
export { Traces } from './session/traces.ts'
export { mayCommitPartly } from './sql/commits.ts'
export { controlStatements, mayControlTransaction } from './sql/control.ts'
export { implicitCommit, takesOverTransaction } from './sql/implicit-commit.ts'
export { isPlainRead } from './sql/read.ts'
export { rejection, rewriteStack } from './stack.ts'
export { isOnce, type OnceQuery, ownOptions, type QueryOptions } from './statement-options.ts'
export type { Stats } from './stats.ts'
export { resolveCommit } from './transaction/resolve.ts'
export { runTransaction, type TransactionOptions } from './transaction/runner.ts'
export { type AttemptState, TransactionScope } from './transaction/scope.ts'
