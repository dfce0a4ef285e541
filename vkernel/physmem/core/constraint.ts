/**
 * Which physical memory will do: two words of bits that a start address must have set (S) and must have clear (C).
 *
 *   address x is acceptable where  (x & S) == S  and  (x & C) == 0
 *
 *   ANY             S = 0                  C = 0
 *   DMA16           S = 0                  C = every bit from 24 up: below 16 MiB
 *   colour(5, 8)    S = 0x5000             C = 0x2000: address bits 12 to 14 read 101
 *   at(x)           S = x                  C = every page bit that x has not
 *
 * Words arrive from clients in bytes. Inside, a Constraint is in page bits, 31 of them: a machine has less than 4 GiB,
 * and bits above that are clear in every address. C counts from the sign down as well as from zero up: -4096 is all
 * page bits, exact whatever the width of a word.
 *
 * Not here: judging free blocks (zone.ts), what memory there is at all (received.ts), frames that remember a
 * constraint (placement.ts).
 */

import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';

/** A named kind of memory, as a client asks for it: words in bytes. */
export interface MemoryType {
  readonly set: number;
  readonly clear: number;
}

/** The same in page bits, 0..2^31 - 1, with set & clear = 0. */
export interface Constraint {
  readonly set: number;
  readonly clear: number;
}

export const ANY: MemoryType = { set: 0, clear: 0 };
/** What old DMA controllers reach: the flag DMA means this. */
export const DMA16: MemoryType = { set: 0, clear: -(2 ** 24) };

/** Pages of colour i of n: 0 <= i < n, n a power of two. Pages of different colours never compete for a cache set. */
export function colour(i: number, n: number): MemoryType {
  return { set: i * PAGE_SIZE, clear: (n - 1 - i) * PAGE_SIZE };
}

/** The one block that starts at `address`. */
export function at(address: number): MemoryType {
  return { set: address, clear: -address - PAGE_SIZE };
}

const PAGE_BITS = 2 ** 31;

/** No constraint. */
export const ANYWHERE: Constraint = { set: 0, clear: 0 };

/**
 * The constraint two words of a request make for a frame, or a run whose first frame has this size.
 * @param firstPages pages of the (first) frame, a power of two
 * @returns null where no address can meet it: a bit must be set and clear, or a bit of S is below the size
 */
export function constraintOf(set: number, clear: number, firstPages: number): Constraint | null {
  if (!(set >= 0) || !Number.isFinite(clear) || set >= PAGE_BITS * PAGE_SIZE || set % (firstPages * PAGE_SIZE) !== 0) return null;
  const pages = Math.floor(clear / PAGE_SIZE);
  const constraint = { set: set / PAGE_SIZE, clear: pages - Math.floor(pages / PAGE_BITS) * PAGE_BITS };
  return (constraint.set & constraint.clear) === 0 ? constraint : null;
}

/**
 * What the halves of a frame of 2^log2 pages inherit: bits from there up. Below, the frame's own alignment made every
 * bit clear, which the upper half no longer is.
 */
export function highPart(constraint: Constraint, log2: number): Constraint {
  const high = -(2 ** log2);
  return { set: constraint.set & high, clear: constraint.clear & high };
}

/** Whether a block may start at page `frame`. */
export function accepts(constraint: Constraint, frame: number): boolean {
  return (frame & constraint.set) === constraint.set && (frame & constraint.clear) === 0;
}

/**
 * The lowest acceptable multiple of `alignment` at or above `from`, or -1 where there is none.
 *
 *   from   1 0 1 1 0 1      the highest bit that is wrong decides: where it should be 1, set it and take the least below;
 *   wanted . 1 . 0 . .      where it should be 0, carry into the lowest free bit above that is still 0
 *
 * @param from 0..2^31 - 1 @param alignment a power of two; no bit of `set` is below it
 */
export function nextAcceptable(constraint: Constraint, alignment: number, from: number): number {
  const { set } = constraint;
  const fixed = set | constraint.clear | (alignment - 1);
  const wrong = (from & fixed) ^ set;
  if (wrong === 0) return from;
  let bit = 31 - Math.clz32(wrong);
  if ((set & (1 << bit)) === 0) {
    do bit += 1;
    while (bit < 31 && ((fixed | from) & (1 << bit)) !== 0);
    if (bit === 31) return -1;
  }
  const below = (1 << bit) - 1;
  return (from & ~below) | (1 << bit) | (set & below);
}
