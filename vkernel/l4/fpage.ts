/**
 * Flexpages: a naturally aligned power of two of address space, with rights, in one word.
 *
 *   ...            10 9          4 3 2 1 0
 *   base / 1024       log2 size    0 r w x
 *
 * nil = 0, the complete address space = 0x10. Base addresses are below 2^48, so a word is an exact number. The word
 * "any page of that size" (base all ones) is represented by its signed value, which is negative.
 * Rights here are those of L4 (r4 w2 x1); the rest of the system uses PROT_* bits (r1 w2 x4): accessOf and rightsOf.
 * Source: L4 X.2, "Fpages".
 */
import { type Access, EXEC, READ, WRITE } from '../../hostkernel/base/units.ts';

export type Fpage = number;

export const RIGHT_READ = 4;
export const RIGHT_WRITE = 2;
export const RIGHT_EXECUTE = 1;
export const RIGHTS_ALL = 7;

/** Status bits returned by unmap; the same bit values as the rights. */
export const STATUS_REFERENCED = 4;
export const STATUS_WRITTEN = 2;
export const STATUS_EXECUTED = 1;

export const FPAGE_NIL: Fpage = 0;
export const FPAGE_COMPLETE: Fpage = 0x10;

/** log2 of the smallest size that can be mapped, in bytes. */
export const FPAGE_MIN_SHIFT = 12;

/** Powers of two by exponent, 0..63: the engine's own power function is slow for a variable one. */
export const SIZES: Float64Array = Float64Array.from({ length: 64 }, (_, shift) => 2 ** shift);

/**
 * The fpage at byte address `base` of 2^shift bytes. Low bits of `base` that the size does not allow are cut off.
 * @param shift log2 of the size in bytes, 10..63
 * @param rights r4 w2 x1
 */
export function fpage(base: number, shift: number, rights: number): Fpage {
  const size = SIZES[shift] as number;
  return Math.floor(base / size) * size + shift * 16 + rights;
}

/** "Any page of 2^shift bytes": what a request to sigma0 names when the address does not matter. Negative; read with Message.signed. */
export function fpageAny(shift: number, rights: number): Fpage {
  return -1024 + shift * 16 + rights;
}

/** Whether the base of a (signed) fpage word is all ones: "any page of that size". */
export function fpageIsAny(page: Fpage): boolean {
  return page < 0 && page >= -1024;
}

/** log2 of the size in bytes. 1 = complete address space, 0 = nil. */
export function fpageShift(page: Fpage): number {
  return (page >>> 4) & 63;
}

/** Base address in bytes, aligned to the size. 0 for the complete space. */
export function fpageBase(page: Fpage): number {
  const shift = (page >>> 4) & 63;
  if (shift < 10) return 0;
  const size = SIZES[shift] as number;
  return Math.floor(page / size) * size;
}

/** Size in bytes; 0 for nil and for malformed sizes; Infinity for the complete space. */
export function fpageSize(page: Fpage): number {
  const shift = (page >>> 4) & 63;
  if (shift === 1) return Number.POSITIVE_INFINITY;
  return shift < 10 ? 0 : (SIZES[shift] as number);
}

/** Rights in an fpage word, r4 w2 x1. */
export function fpageRights(page: Fpage): number {
  return page & 7;
}

const SWAP = [0, 4, 2, 6, 1, 5, 3, 7] as const; // exchanges bit 0 and bit 2

/** PROT_* bits (r1 w2 x4) of L4 rights (r4 w2 x1). */
export function accessOf(rights: number): Access {
  return SWAP[rights & 7] as number;
}

/** L4 rights (r4 w2 x1) of PROT_* bits (r1 w2 x4). */
export function rightsOf(access: Access): number {
  return SWAP[access & (READ | WRITE | EXEC)] as number;
}

/** Whether `n` is a multiple of 2^shift: exact for n < 2^53. */
function isMultiple(n: number, shift: number): boolean {
  return remainder(n, SIZES[shift] as number) === 0;
}

/** n mod `size`, a power of two, for 0 <= n < 2^53: the engine's own remainder of numbers beyond 2^31 is a slow call. */
export function remainder(n: number, size: number): number {
  return n - Math.floor(n / size) * size;
}

/**
 * The fewest fpages that cover [start, start + len), largest possible each, in address order.
 * @param start bytes, page aligned; @param len bytes, page aligned
 */
export function fpagesCovering(start: number, len: number, rights: number): Fpage[] {
  const pages: Fpage[] = [];
  let at = start;
  const end = start + len;
  while (at < end) {
    let shift = FPAGE_MIN_SHIFT;
    while (shift < 47 && isMultiple(at, shift + 1) && at + (SIZES[shift + 1] as number) <= end) shift++;
    pages.push(fpage(at, shift, rights));
    at += SIZES[shift] as number;
  }
  return pages;
}
