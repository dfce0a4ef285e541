/** Memory for a frame, wherever it can be had. */

import type { GuestFrame } from '../../../hostkernel/base/units.ts';
import type { Constraint } from './constraint.ts';
import type { MemoryControl } from './control.ts';
import type { Physmem } from './physmem.ts';

/**
 * What an operation returns when it has to be tried again: nothing has changed; memory is being asked back. It is no
 * errno. The time to try again is when pages were freed or the deadline of who was asked has passed.
 */
export const WAIT = -2;

/**
 * Takes a block of 2^size pages on behalf of `control`. Frames may have moved, lost memory or been split
 * when it returns: the caller looks at `table.changes`.
 * @returns the first guest frame, or NO_BLOCK, or WAIT
 */
export function obtain(pm: Physmem, size: number, constraint: Constraint, _control: MemoryControl): GuestFrame {
  return pm.zones.allocate(2 ** size, constraint);
}
