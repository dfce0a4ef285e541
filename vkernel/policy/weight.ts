/**
 * The policy `weight`: priority, then weight, as Viengoos has it, the Hurd's later kernel. All claims of the highest
 * priority are met before any of the next; inside one priority memory is divided in proportion to the weights, and what
 * one does not want goes to the others. Who comes later so takes from those who are there: their contracts are reduced.
 *
 *   N = 100    priority 1: A wants 20                      -> 20
 *              priority 0: B weight 3, C weight 1, both 80 -> 60, 20
 *
 * Punishment is mild: who does not return extra pages in time loses those, and not everything.
 * Source: Viengoos, activity_policy: priority and weight of an activity among its siblings (N. Walfield and M. Brinkmann,
 * "A Critique of the GNU Hurd Multi-Server Operating System", and Viengoos' hurd/activity.h).
 */
import type { Claim, MemoryPolicy } from './division.ts';

export const WEIGHT_POLICY: MemoryPolicy = { name: 'weight', isWhole: false, isMild: true, divide };

function divide(claims: readonly Claim[], pages: number): number[] {
  const shares = claims.map(() => 0);
  const priorities = [...new Set(claims.map(({ priority }) => priority))].toSorted((a, b) => b - a);
  let left = pages;
  for (const priority of priorities) {
    const peers = claims.map((_, i) => i).filter((i) => claims[i]?.priority === priority);
    left -= share(claims, peers, left, shares);
  }
  return shares;
}

/** Divides `pages` among `peers` by weight. @returns how many pages they got together */
function share(claims: readonly Claim[], peers: readonly number[], pages: number, shares: number[]): number {
  let open = [...peers]; // those that could take more than their part
  let left = pages;
  for (;;) {
    const weights = open.reduce((sum, i) => sum + (claims[i] as Claim).weight, 0);
    const content = open.filter((i) => (claims[i] as Claim).wanted * weights <= left * (claims[i] as Claim).weight);
    if (content.length === 0) {
      const whole = open.map((i) => Math.floor((left * (claims[i] as Claim).weight) / weights));
      let rest = left - whole.reduce((sum, part) => sum + part, 0); // less than one page each
      open.forEach((i, k) => {
        shares[i] = (whole[k] as number) + (rest > 0 ? 1 : 0);
        if (rest > 0) rest -= 1;
      });
      return pages - (open.length === 0 ? left : 0);
    }
    for (const i of content) {
      shares[i] = (claims[i] as Claim).wanted;
      left -= shares[i] as number;
    }
    open = open.filter((i) => !content.includes(i));
  }
}
