/** What do both sides start with? */

/** Accounts on each side. */
export const accounts = 1_000

/** What each of them holds at first. */
export const centsEach = 1_000_000

/** Finds accounts whose balance is not what the ledger's transfers make of it. */
export const recount = `
	select id from accounts
	left join (
		select account, sum(cents) as moved
		from (select debited as account, -cents as cents from transfers union all select credited, cents from transfers) as entries
		group by account
	) as movements on account = id
	where cents <> ${centsEach} + coalesce(moved, 0)
`
