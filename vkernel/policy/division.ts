/**
 * What a memory policy is: a function from what the principals want to what each is guaranteed.
 *
 *   claims (wanted, in force, user, priority, weight) + pages --divide--> a share each, together at most `pages`
 *
 * Policies are pure. When a share comes into force is the business of contracts.ts; fixed.ts and weight.ts are the two
 * policies there are.
 */

/** What a principal asks for, and what is known of it. */
export interface Claim {
  readonly wanted: number; //   pages
  readonly inForce: number; //  pages it is guaranteed now
  readonly user: number; //     on whose behalf it runs
  readonly priority: number; // higher goes first
  readonly weight: number; //   >= 1
}

export interface MemoryPolicy {
  readonly name: string;
  /** Whether a claim is met in full or refused. Otherwise it is cut to what there is. */
  readonly isWhole: boolean;
  /** Whether a principal that misses the deadline of a return request loses what it owes only, instead of everything. */
  readonly isMild: boolean;
  /**
   * @param claims oldest first; @param pages to be shared out, >= 0
   * @returns a share for each claim, whole pages, 0..wanted; together at most `pages`
   */
  divide(claims: readonly Claim[], pages: number): number[];
}

/** Pages all tasks of a user may be guaranteed together, by user; a user that is not listed has no quota. */
export type Quotas = ReadonlyMap<number, number>;

/**
 * The same policy with a quota for each user. What a user may not have is there for the others.
 *
 * Users whose claims would get more than their quota share that quota among themselves, by the same policy; the rest is
 * divided again among the others, until nobody exceeds: once for each user at most.
 */
export function withQuotas(policy: MemoryPolicy, quotas: Quotas): MemoryPolicy {
  return {
    ...policy,
    divide(claims, pages) {
      const shares = claims.map(() => 0);
      let open = claims.map((_, i) => i); // claims of users that have not reached their quota
      let left = pages;
      for (;;) {
        const of = (at: readonly number[], among: number): void => {
          const part = policy.divide(
            at.map((i) => claims[i] as Claim),
            among,
          );
          at.forEach((i, k) => {
            shares[i] = part[k] as number;
          });
        };
        of(open, left);
        const user = open
          .map((i) => (claims[i] as Claim).user)
          .find((each) => sumFor(each) > (quotas.get(each) ?? Number.POSITIVE_INFINITY));
        if (user === undefined) return shares;
        of(
          open.filter((i) => claims[i]?.user === user),
          Math.min(left, quotas.get(user) as number),
        );
        left -= sumFor(user);
        open = open.filter((i) => claims[i]?.user !== user);
      }
      function sumFor(user: number): number {
        return claims.reduce((sum, claim, i) => sum + (claim.user === user ? (shares[i] as number) : 0), 0);
      }
    },
  };
}
