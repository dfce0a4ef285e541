/**
 * binary32 arithmetic on the host's doubles, which are wide enough to make every operation exact or honest about what is missing.
 *
 * Operands and results are the 32 bits of a single as an int32; flags are ORed into `state.flags`. NaN-boxing is the caller's.
 * Hot: nothing allocates.
 *
 * Two ways lead to the result.
 *   to nearest    the double result, itself rounded to nearest, is rounded again by Math.fround. With p = 24 and 53 >= 2p + 2 the
 *                 double rounding is innocuous for + - * / and the root (Figueroa, "When is double rounding
 *                 innocuous?", 1995). It holds above the smallest normal; results below it are exact for sums, and go the other way otherwise.
 *   any mode      the double result is rounded to odd: if inexact, to the neighbour whose last bit is one. With 53 >= 24 + 2 bits a second
 *                 rounding of it, by `roundDouble`, in any mode and into the subnormals too, gives the result and the flags of a single rounding.
 *
 * Source: RISC-V unprivileged specification, F extension 2.2.
 */

import { toOdd } from './f64-native.ts';
import { roundPack32 } from './round.ts';
import { DZ, doubles, F32_INFINITY, F32_NAN, f32IsNaN, f32IsSignalling, NV, NX, RDN, RNE, SIGN, singles, state, words } from './state.ts';

const MAX = 2 ** 128 - 2 ** 104;
const MIN_NORMAL = 2 ** -126;

/** The value of a single. A signalling NaN becomes quiet: ask its bits, not its value. */
function valueOf(bits: number): number {
  words[8] = bits;
  return singles[8];
}

/** The bits of a number that is a single. */
function bitsOf(value: number): number {
  singles[8] = value;
  return words[8];
}

function isZero(bits: number): boolean {
  return bits << 1 === 0;
}

function isInfinite(bits: number): boolean {
  return (bits & 0x7fff_ffff) === F32_INFINITY;
}

function invalid(): number {
  state.flags |= NV;
  return F32_NAN;
}

function propagateNaN(signalling: boolean): number {
  if (signalling) state.flags |= NV;
  return F32_NAN;
}

/** Rounds a double, finite and not zero, to a single in the current mode, with flags. @returns the bits of the single */
export function roundDouble(value: number): number {
  doubles[4] = value;
  const lo = words[8];
  const hi = words[9];
  const exponent = (hi >>> 20) & 0x7ff;
  // A subnormal double gets a leading one that it does not have: it is far below every single either way.
  const upper = 0x4000_0000 | ((hi & 0x000f_ffff) << 10) | (lo >>> 22); // the fraction's 20 + 10 topmost bits
  return roundPack32(hi >>> 31, exponent - 1023 + 126, upper | ((lo & 0x003f_ffff) !== 0 ? 1 : 0));
}

/** x + y in a double, rounded to odd. The sum must not be zero. */
export function oddSum(x: number, y: number): number {
  const sum = x + y;
  const back = sum - x;
  const error = x - (sum - back) + (y - back);
  return error === 0 ? sum : toOdd(sum, error);
}

/** fadd.s @returns the bits of a + b */
export function f32Add(a: number, b: number): number {
  const x = valueOf(a);
  const y = valueOf(b);
  if (state.rounding === RNE) {
    const sum = Math.fround(x + y);
    if (Math.abs(sum) <= MAX) {
      // Exact if both operands come back: the error would be a multiple of the smaller one's last bit, and show.
      if ((state.flags & NX) === 0 && !(sum - x === y && sum - y === x)) state.flags |= NX;
      return bitsOf(sum);
    }
  }
  return add(a, b);
}

/** fsub.s @returns the bits of a - b */
export function f32Sub(a: number, b: number): number {
  return f32Add(a, b ^ SIGN);
}

function add(a: number, b: number): number {
  if (f32IsNaN(a) || f32IsNaN(b)) return propagateNaN(f32IsSignalling(a) || f32IsSignalling(b));
  if (isInfinite(a)) return isInfinite(b) && a !== b ? invalid() : a;
  if (isInfinite(b)) return b;
  const x = valueOf(a);
  const y = valueOf(b);
  if (x + y !== 0) return roundDouble(oddSum(x, y));
  if (a === b) return a; // two zeros of one sign
  return state.rounding === RDN ? SIGN : 0;
}

/** fmul.s @returns the bits of a * b. The product of two singles is exact in a double. */
export function f32Mul(a: number, b: number): number {
  const x = valueOf(a);
  const y = valueOf(b);
  const exact = x * y;
  if (state.rounding === RNE) {
    const product = Math.fround(exact);
    const magnitude = Math.abs(product);
    if ((magnitude > MIN_NORMAL && magnitude <= MAX) || exact === 0) {
      if (product !== exact) state.flags |= NX;
      return bitsOf(product);
    }
  }
  if (f32IsNaN(a) || f32IsNaN(b)) return propagateNaN(f32IsSignalling(a) || f32IsSignalling(b));
  if (isInfinite(a) || isInfinite(b)) return isZero(a) || isZero(b) ? invalid() : ((a ^ b) & SIGN) | F32_INFINITY;
  return exact === 0 ? (a ^ b) & SIGN : roundDouble(exact);
}

/** fdiv.s @returns the bits of a / b. Quotient times divisor is exact in a double, and shows whether the quotient is. */
export function f32Div(a: number, b: number): number {
  const x = valueOf(a);
  const y = valueOf(b);
  if (state.rounding === RNE) {
    const quotient = Math.fround(x / y);
    const magnitude = Math.abs(quotient);
    if (magnitude > MIN_NORMAL && magnitude <= MAX) {
      if (quotient * y !== x) state.flags |= NX;
      return bitsOf(quotient);
    }
  }
  const sign = (a ^ b) & SIGN;
  if (f32IsNaN(a) || f32IsNaN(b)) return propagateNaN(f32IsSignalling(a) || f32IsSignalling(b));
  if (isInfinite(a)) return isInfinite(b) ? invalid() : sign | F32_INFINITY;
  if (isZero(b)) {
    if (isZero(a)) return invalid();
    state.flags |= DZ;
    return sign | F32_INFINITY;
  }
  if (isInfinite(b) || isZero(a)) return sign;
  const head = headOf(x / y);
  const remainder = x - head * y; // both exact: the product has 50 bits, the difference is a small multiple of its last one
  return roundDouble(remainder === 0 ? head : toOdd(head, remainder > 0 === y > 0 ? 1 : -1));
}

/**
 * The first 26 bits of a double, which decide the rounding to 24 together with the sign of what was cut off. The low bits are
 * zero, so that `toOdd` marks that side by one unit, whatever the size of its second argument.
 */
function headOf(value: number): number {
  doubles[4] = value;
  words[8] &= ~0x07ff_ffff;
  return doubles[4];
}

/** fsqrt.s @returns the bits of the square root of a */
export function f32Sqrt(a: number): number {
  const x = valueOf(a);
  if (state.rounding === RNE && x > 0 && x <= MAX) {
    const root = Math.fround(Math.sqrt(x)); // between 2^-75 and 2^64: never subnormal
    if (root * root !== x) state.flags |= NX;
    return bitsOf(root);
  }
  if (f32IsNaN(a)) return propagateNaN(f32IsSignalling(a));
  if (isZero(a) || a === F32_INFINITY) return a;
  if (a < 0) return invalid();
  const head = headOf(Math.sqrt(x));
  const remainder = x - head * head; // exact: 52 bits, and as in the quotient
  return roundDouble(remainder === 0 ? head : toOdd(head, remainder));
}

/**
 * fmadd.s @returns the bits of a * b + c, rounded once.
 *
 * The product is exact in a double. Rounding the double sum again goes wrong only where that sum was inexact and fell on
 * the midpoint of two singles: then, and in other modes, it is rounded to odd instead.
 */
export function f32Madd(a: number, b: number, c: number): number {
  const product = valueOf(a) * valueOf(b);
  const z = valueOf(c);
  const sum = product + z;
  if (state.rounding === RNE) {
    const single = Math.fround(sum);
    const magnitude = Math.abs(single);
    if (magnitude > MIN_NORMAL && magnitude <= MAX) {
      doubles[4] = sum;
      const midpoint = (words[8] & 0x1fff_ffff) === 0x1000_0000;
      if (!midpoint) {
        if ((state.flags & NX) === 0 && (single !== sum || !(sum - product === z && sum - z === product))) state.flags |= NX;
        return bitsOf(single);
      }
    }
  }
  return multiplyAdd(a, b, c);
}

/** fmsub.s @returns the bits of a * b - c */
export function f32Msub(a: number, b: number, c: number): number {
  return f32Madd(a, b, c ^ SIGN);
}

/** fnmsub.s @returns the bits of -(a * b) + c */
export function f32Nmsub(a: number, b: number, c: number): number {
  return f32Madd(a ^ SIGN, b, c);
}

/** fnmadd.s @returns the bits of -(a * b) - c */
export function f32Nmadd(a: number, b: number, c: number): number {
  return f32Madd(a ^ SIGN, b, c ^ SIGN);
}

/** Zero times infinity is invalid even if the addend is a quiet NaN. */
function multiplyAdd(a: number, b: number, c: number): number {
  const sign = (a ^ b) & SIGN;
  if ((isInfinite(a) && isZero(b)) || (isZero(a) && isInfinite(b))) return invalid();
  if (f32IsNaN(a) || f32IsNaN(b) || f32IsNaN(c)) return propagateNaN(f32IsSignalling(a) || f32IsSignalling(b) || f32IsSignalling(c));
  if (isInfinite(a) || isInfinite(b)) return isInfinite(c) && ((c ^ sign) & SIGN) !== 0 ? invalid() : sign | F32_INFINITY;
  if (isInfinite(c)) return c;
  const product = valueOf(a) * valueOf(b);
  const z = valueOf(c);
  if (product + z !== 0) return roundDouble(oddSum(product, z));
  if (product === 0 && (c & SIGN) === sign) return c; // two zeros of one sign
  return state.rounding === RDN ? SIGN : 0;
}
