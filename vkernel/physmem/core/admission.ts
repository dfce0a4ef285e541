/**
 * Who is let in: how many more pages a control may be charged now.
 *
 *   before guarantees are in force   first come, first served: sum(A) + n <= N
 *   within the guarantee             A + n <= G: always, even where others hold these pages: they are asked back
 *   extra (EXTRA)                    the policy allows it, nothing is asked back from the principal, sum(A) + n <= N
 *
 * What is not extra must also fit what is left of the limit of the control it is charged to.
 * Here, not in the operations: each asks once, then does what it may.
 */

import { EXTRA, SQUASH } from '../interface.ts';
import type { Container } from './container.ts';
import type { MemoryControl } from './control.ts';
import { NO_ENTRY } from './frame-table.ts';
import type { Physmem } from './physmem.ts';
import type { Accounts } from './principals.ts';

/**
 * Pages that may be charged to `control` at this moment, at least 0. One decision: it reads the policy buffer.
 * @param extra the request has EXTRA: it may exceed the guarantee
 */
export function allowance(accounts: Accounts, control: MemoryControl, extra: boolean): number {
  const free = accounts.pages - accounts.allocated;
  if (!accounts.isInForce()) return Math.max(0, extra ? free : Math.min(free, control.unused));
  const { principal } = control;
  accounts.consult(principal); // may change limits
  const own = control.unused;
  const guaranteed = principal.task === 0 ? own : Math.min(own, principal.guaranteed - principal.allocated);
  return Math.max(0, guaranteed, extra && accounts.isEligible(principal) ? free : 0);
}

/**
 * Whether `control` may have one more container or child, whose descriptor may start a page: an extra one if need be, or a
 * control split off with nothing could not be used.
 */
export function admitsDescriptor(accounts: Accounts, control: MemoryControl): boolean {
  return !accounts.startsPage(control, 1) || allowance(accounts, control, true) >= 1;
}

/**
 * How many pages from `first` on may be charged to the container's control, at most `pages`. With SQUASH pages that are
 * present are replaced, and cost nothing.
 */
export function admissiblePages(pm: Physmem, container: Container, first: number, pages: number, flags: number): number {
  const { table } = pm;
  let room = allowance(pm.accounts, container.control, (flags & EXTRA) !== 0);
  if ((flags & SQUASH) === 0) return Math.min(pages, room);
  const end = first + pages;
  let page = first;
  while (page < end) {
    const entry = container.entries.from(page);
    const gapEnd = entry === NO_ENTRY ? end : Math.min(end, Math.max(page, table.start[entry]));
    if (gapEnd - page > room) return page + room - first;
    room -= gapEnd - page;
    page = entry === NO_ENTRY ? end : Math.min(end, table.start[entry] + (1 << table.log2[entry]));
  }
  return pages;
}
