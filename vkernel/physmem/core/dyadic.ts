/**
 * Dyadic intervals: the length is a power of two, the start a multiple of it. Two of them are disjoint or nested.
 *
 *   span(1, 7) = [1,2) [2,4) [4,6) [6,7)        the greedy cut into largest pieces, left to right
 *   xspan                                       the same, with pieces aligned at a second place too
 *
 * Cuts are loops over `spanPiece`, so that they allocate nothing:
 *   for (let at = from; at < to; at += piece) { piece = spanPiece(at, to); ... }
 */

const LARGEST = 2 ** 31; // more than any piece: alignment of a page whose low 31 bits are zero

/**
 * Size of the piece of span(from, to) that starts at `from`. Hot: integer arithmetic on the low bits only.
 * @param from >= 0, exact @param to > from, to - from < 2^31
 */
export function spanPiece(from: number, to: number): number {
  const fits = floorPowerOfTwo(to - from);
  const alignment = alignmentOf(from | 0);
  return alignment < fits ? alignment : fits;
}

/** The piece of span(from, to) at `from` that is also aligned at `other`: what one map item can carry. */
export function xspanPiece(from: number, to: number, other: number): number {
  const fits = floorPowerOfTwo(to - from);
  const alignment = alignmentOf(from | other);
  return alignment < fits ? alignment : fits;
}

/** The largest power of two that divides a page number, of which the low 32 bits are given. */
function alignmentOf(low: number): number {
  const bit = low & -low;
  return bit > 0 ? bit : LARGEST;
}

/** Largest power of two <= n, for 1 <= n < 2^31. */
export function floorPowerOfTwo(n: number): number {
  return 1 << (31 - Math.clz32(n));
}

/** log2 of a power of two below 2^32. */
export function log2(powerOfTwo: number): number {
  return 31 - Math.clz32(powerOfTwo);
}

export function isPowerOfTwo(n: number): boolean {
  return n > 0 && (n & (n - 1)) === 0;
}
