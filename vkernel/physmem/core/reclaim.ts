/** Memory for a frame, wherever it can be had. */

import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import { ANYWHERE, type Constraint } from './constraint.ts';
import type { MemoryControl } from './control.ts';
import { writeOut } from './inactive.ts';
import { openBlock, openRun } from './move.ts';
import type { Physmem } from './physmem.ts';
import { discardSoft } from './soft.ts';
import { NO_BLOCK } from './zone.ts';

/**
 * What an operation returns when it has to be tried again: nothing has changed; memory is being asked back. It is no
 * errno. The time to try again is when pages were freed or the deadline of who was asked has passed.
 */
export const WAIT = -2;

/**
 * Takes a block of 2^size pages on behalf of `control`, from the first rung of the ladder that has one:
 *
 *   1  a free block                       2  none that large, and any would do: the caller asks for smaller ones
 *   5  a block that moving frames opens, which is tried before smaller ones are
 *   3  pages that only soft references use, oldest first; where they do not make a block, 4
 *   4  inactive pages, written out, oldest first
 *   6  ask who holds extra pages: WAIT    7  who does not answer loses memory: look again
 *   8  NO_BLOCK: only to those above their guarantee, while guarantees are in force
 *
 * Frames may have moved, lost memory or been split when it returns: the caller looks at `table.changes`.
 * @returns the first guest frame, or NO_BLOCK, or WAIT, or BUSY: the constraint can be met only where memory is pinned
 */
export function obtain(pm: Physmem, size: number, constraint: Constraint, control: MemoryControl): GuestFrame {
  for (;;) {
    const address = pm.zones.allocate(2 ** size, constraint);
    if (address !== NO_BLOCK) return address;
    const opened = openBlock(pm, size, constraint);
    if (opened !== NO_BLOCK) return opened;
    if (size > 0 && constraint === ANYWHERE) return NO_BLOCK;
    if (discardSoft(pm, 2 ** size) > 0 || writeOut(pm, 2 ** size) > 0) continue;
    if (pm.zones.freePages >= 2 ** size) return NO_BLOCK; // there is memory, but not where it must be
    const answer = askBack(pm, 2 ** size, control);
    if (answer !== AGAIN) return answer;
  }
}

/**
 * The same for a run of consecutive pages, which is had at once or not at all: the rungs 1, 5, 3 and 4.
 * @returns its first page, which is nobody's; NO_BLOCK, or BUSY
 */
export function obtainRun(pm: Physmem, pages: number, constraint: Constraint): GuestFrame {
  for (;;) {
    const free = pm.zones.allocate(pages, constraint);
    const run = free === NO_BLOCK ? openRun(pm, pages, constraint) : free;
    if (run >= 0 || pm.zones.freePages >= pages) return run;
    if (discardSoft(pm, pages) === 0 && writeOut(pm, pages) === 0) return run;
  }
}

const AGAIN = -4 as GuestFrame;

/** The last rungs. @returns WAIT, NO_BLOCK, or AGAIN: memory was taken from somebody */
function askBack(pm: Physmem, pages: number, control: MemoryControl): GuestFrame {
  const { accounts, returns } = pm;
  const wait = WAIT as GuestFrame;
  if (!accounts.isInForce()) return NO_BLOCK;
  accounts.consult(control.principal);
  if (!control.principal.isWithinGuarantee) return returns.isOutstanding ? wait : NO_BLOCK; // others are served first
  const { dropped } = returns.counters;
  if (!returns.demand(pages)) return NO_BLOCK;
  return returns.counters.dropped === dropped ? wait : AGAIN;
}
