/**
 * binary64 on the host's own doubles: the common case of every operation, and a proof for each that it is the common case.
 *
 * Not here: everything else. A function returns false, having changed nothing, where it cannot show that its result and
 * flags are those of the manual; then the routine of the same name in `f64.ts` does the work (and covers every case).
 *
 * A function works on a register file `d` (the f registers of a hart as doubles, or the scratch buffer) and register
 * numbers, so that no double crosses a call: an interpreter can try it first and save the halves the way through
 * memory. Hot: nothing allocates. Registers must not hold NaN-boxed singles that are meant as such: the caller knows the width.
 *
 * Why it is exact. JavaScript arithmetic is IEEE-754 binary64 rounded to nearest even, so under RNE the rounded result is
 * right, and only flags are in question.
 *   NV, DZ, OF  each of them gives a NaN or an infinity; `magnitude <= MAX` refuses those, and all operands that are
 *               NaN. An infinite operand can give a finite result only as a divisor: that is a zero, which is refused
 *               unless the dividend is zero, and then it is exact.
 *   UF          tininess is found after rounding, so a result strictly above the smallest normal is never tiny (the
 *               smallest normal itself may have been rounded up to, and is refused). A sum is always exact below twice the smallest normal,
 *               since both operands are multiples of the smallest subnormal: sums need no lower bound.
 *   NX          if it has accrued there is nothing to find out. Otherwise the rounding error is computed, exactly, by the
 *               identities named at each function.
 *
 * Sources: Dekker 1971 (product error by splitting); Knuth, TAOCP 2, 4.2.2 (sum error); Boldo and Melquiond, "Emulation of FMA
 * and correctly rounded sums: proved algorithms using rounding to odd", IEEE TC 2008.
 */

import { doubles, NX, RNE, state, words } from './state.ts';

const MAX = Number.MAX_VALUE;
const MIN_NORMAL = 2 ** -1022;
/** Between these magnitudes numbers and products can be split without overflow, and a product's error is representable. */
const LARGE = 2 ** 990;
const SMALL = 2 ** -900;
const SPLITTER = 2 ** 27 + 1;

/** True if the double `sum` is x + y exactly. By Knuth the error is zero if both subtractions give back the operands. */
function sumIsExact(x: number, y: number, sum: number): boolean {
  return sum - x === y && sum - y === x;
}

/**
 * The exact x * y - product, for `product` = x * y rounded. Needs |x|, |y| < LARGE and SMALL < |product| < LARGE: no part
 * overflows, and the error is a multiple of 2^-1006, hence representable.
 */
function productError(x: number, y: number, product: number): number {
  const xScaled = SPLITTER * x;
  const xHigh = xScaled - (xScaled - x);
  const xLow = x - xHigh;
  const yScaled = SPLITTER * y;
  const yHigh = yScaled - (yScaled - y);
  const yLow = y - yHigh;
  return xLow * yLow - (product - xHigh * yHigh - xLow * yHigh - xHigh * yLow);
}

/** d[rd] = d[ra] + d[rb] if that is provably all there is to do. */
export function f64AddNative(d: Float64Array, rd: number, ra: number, rb: number): boolean {
  if (state.rounding !== RNE) return false;
  const x = d[ra];
  const y = d[rb];
  const sum = x + y;
  if (!(Math.abs(sum) <= MAX)) return false;
  if ((state.flags & NX) === 0 && !sumIsExact(x, y, sum)) state.flags |= NX;
  d[rd] = sum;
  return true;
}

/** d[rd] = d[ra] - d[rb]; as `f64AddNative`. */
export function f64SubNative(d: Float64Array, rd: number, ra: number, rb: number): boolean {
  if (state.rounding !== RNE) return false;
  const x = d[ra];
  const y = d[rb];
  const difference = x - y;
  if (!(Math.abs(difference) <= MAX)) return false;
  if ((state.flags & NX) === 0 && !sumIsExact(x, -y, difference)) state.flags |= NX;
  d[rd] = difference;
  return true;
}

/** d[rd] = d[ra] * d[rb]. Zero times a finite number is exact. */
export function f64MulNative(d: Float64Array, rd: number, ra: number, rb: number): boolean {
  if (state.rounding !== RNE) return false;
  const x = d[ra];
  const y = d[rb];
  const product = x * y;
  const magnitude = Math.abs(product);
  if (magnitude > MIN_NORMAL && magnitude <= MAX) {
    if ((state.flags & NX) === 0) {
      if (!(magnitude > SMALL && magnitude < LARGE && Math.abs(x) < LARGE && Math.abs(y) < LARGE)) return false;
      if (productError(x, y, product) !== 0) state.flags |= NX;
    }
  } else if (product !== 0 || (x !== 0 && y !== 0)) return false;
  d[rd] = product;
  return true;
}

/** d[rd] = d[ra] / d[rb]. The quotient q is exact if and only if q * d[rb] gives back d[ra] without an error. */
export function f64DivNative(d: Float64Array, rd: number, ra: number, rb: number): boolean {
  if (state.rounding !== RNE) return false;
  const x = d[ra];
  const y = d[rb];
  const quotient = x / y;
  const magnitude = Math.abs(quotient);
  if (magnitude > MIN_NORMAL && magnitude <= MAX) {
    if ((state.flags & NX) === 0) {
      if (!(Math.abs(x) > SMALL && Math.abs(x) < LARGE && magnitude < LARGE && Math.abs(y) < LARGE)) return false;
      const back = quotient * y;
      if (back !== x || productError(quotient, y, back) !== 0) state.flags |= NX;
    }
  } else if (quotient !== 0 || x !== 0) return false;
  d[rd] = quotient;
  return true;
}

/**
 * d[rd] = square root of d[ra]. Engines compile Math.sqrt to the processor's instruction, which rounds correctly; the root of a number in
 * range is in range. It is exact if and only if its square gives back d[ra] without an error.
 */
export function f64SqrtNative(d: Float64Array, rd: number, ra: number): boolean {
  if (state.rounding !== RNE) return false;
  const x = d[ra];
  if (!(x > SMALL && x < LARGE)) return false;
  const root = Math.sqrt(x);
  if ((state.flags & NX) === 0) {
    const back = root * root;
    if (back !== x || productError(root, root, back) !== 0) state.flags |= NX;
  }
  d[rd] = root;
  return true;
}

/**
 * d[rd] = productSign * d[ra] * d[rb] + addendSign * d[rc], rounded once. Signs are 1 or -1.
 *
 *   x * y = p + e          exactly                       p rounded product, e its error
 *   z + e = h + l          exactly                       z the addend
 *   p + h = s + t          exactly
 *   l + t = r              rounded to odd: if inexact, to the neighbour whose last bit is one
 *   s + r                  rounded to nearest            = x * y + z rounded to nearest (Boldo and Melquiond)
 *
 * The result is exact if and only if the last two sums are. It may cancel to zero, which is +0 as it has to be, but not into the
 * subnormals: z can only cancel p if all parts are multiples of 2^-1006.
 */
export function f64FmaNative(
  d: Float64Array,
  rd: number,
  ra: number,
  rb: number,
  rc: number,
  productSign: number,
  addendSign: number,
): boolean {
  if (state.rounding !== RNE) return false;
  const x = d[ra] * productSign;
  const y = d[rb];
  const z = d[rc] * addendSign;
  const p = x * y;
  const magnitude = Math.abs(p);
  if (!(magnitude > SMALL && magnitude < LARGE && Math.abs(x) < LARGE && Math.abs(y) < LARGE && Math.abs(z) < LARGE)) {
    if (x !== 0 && y !== 0) return false;
    const sum = p + z; // p is an exact zero, or NaN
    if (!(Math.abs(sum) <= MAX)) return false;
    d[rd] = sum;
    return true;
  }
  const e = productError(x, y, p);
  const h = z + e;
  const hz = h - z;
  const l = z - (h - hz) + (e - hz);
  const s = p + h;
  const sp = s - p;
  const t = p - (s - sp) + (h - sp);
  let r = l + t;
  const rl = r - l;
  const error = l - (r - rl) + (t - rl);
  if (error !== 0) r = toOdd(r, error);
  const sum = s + r;
  if ((state.flags & NX) === 0 && (error !== 0 || !sumIsExact(s, r, sum))) state.flags |= NX;
  d[rd] = sum;
  return true;
}

/** `rounded` + `error`, rounded to odd, where `rounded` is that sum to nearest and `error` is not zero. */
export function toOdd(rounded: number, error: number): number {
  doubles[4] = rounded;
  const lo = words[8];
  if ((lo & 1) !== 0) return rounded;
  if (error > 0 === rounded > 0) {
    words[8] = lo + 1;
  } else {
    words[8] = lo - 1;
    if (lo === 0) words[9]--;
  }
  return doubles[4];
}
