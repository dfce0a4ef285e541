/**
 * The policy `fixed`: contracts by share, as the original design has them. Who has a contract keeps it; who comes later
 * gets what he wants if there is so much left, and is refused otherwise.
 *
 *   N   |#### A ####|## B ##|   free   |        C wants more than is free: refused
 *
 * Source: hurd-l4 design document, guaranteed and extra pages.
 */
import type { Claim, MemoryPolicy } from './division.ts';

/** @param share largest part of the memory one principal may be guaranteed, 0..1 */
export function fixedPolicy(share = 1): MemoryPolicy {
  return {
    name: 'fixed',
    isWhole: true,
    isMild: false,
    divide: (claims, pages) => divide(claims, pages, Math.floor(pages * share)),
  };
}

function divide(claims: readonly Claim[], pages: number, most: number): number[] {
  let left = pages;
  const shares = claims.map(({ wanted, inForce }) => {
    const kept = Math.min(wanted, inForce, left);
    left -= kept;
    return kept;
  });
  claims.forEach(({ wanted }, i) => {
    const more = wanted - (shares[i] as number);
    if (more > left || wanted > most) return;
    shares[i] = wanted;
    left -= more;
  });
  return shares;
}
