/**
 * Comparisons, minimum and maximum, and classification of both formats: no rounding, no arithmetic.
 *
 * feq is quiet (NV for signalling NaNs only), flt and fle are signalling (NV for every NaN). Minimum and maximum are the
 * 2019 standard's minimumNumber and maximumNumber: a number wins over a NaN, -0 is below +0.
 *
 * Source: RISC-V unprivileged specification, F and D extensions 2.2.
 */

import {
  F32_INFINITY,
  F32_NAN,
  F64_INFINITY_HI,
  F64_NAN_HI,
  f32IsNaN,
  f32IsSignalling,
  f64IsNaN,
  f64IsSignalling,
  NV,
  setResult,
  state,
} from './state.ts';

/** Bits of fclass. */
const NEGATIVE_INFINITY = 1 << 0;
const NEGATIVE_NORMAL = 1 << 1;
const NEGATIVE_SUBNORMAL = 1 << 2;
const NEGATIVE_ZERO = 1 << 3;
const POSITIVE_ZERO = 1 << 4;
const POSITIVE_SUBNORMAL = 1 << 5;
const POSITIVE_NORMAL = 1 << 6;
const POSITIVE_INFINITY = 1 << 7;
const SIGNALLING_NAN = 1 << 8;
const QUIET_NAN = 1 << 9;

/** a < b for numbers in the order of their bits: as the reals, and -0 below +0. */
function f64Below(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  if (aHi !== bHi) return aHi < 0 && bHi < 0 ? aHi > bHi : aHi < bHi;
  return aHi < 0 ? aLo >>> 0 > bLo >>> 0 : aLo >>> 0 < bLo >>> 0;
}

function f64BothZero(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  return (((aHi | bHi) << 1) | aLo | bLo) === 0;
}

/** feq.d @returns 1 if a = b, else 0 */
export function f64Eq(aLo: number, aHi: number, bLo: number, bHi: number): number {
  if (f64IsNaN(aLo, aHi) || f64IsNaN(bLo, bHi)) {
    if (f64IsSignalling(aLo, aHi) || f64IsSignalling(bLo, bHi)) state.flags |= NV;
    return 0;
  }
  return (aLo === bLo && aHi === bHi) || f64BothZero(aLo, aHi, bLo, bHi) ? 1 : 0;
}

/** flt.d @returns 1 if a < b, else 0 */
export function f64Lt(aLo: number, aHi: number, bLo: number, bHi: number): number {
  if (f64IsNaN(aLo, aHi) || f64IsNaN(bLo, bHi)) {
    state.flags |= NV;
    return 0;
  }
  return f64Below(aLo, aHi, bLo, bHi) && !f64BothZero(aLo, aHi, bLo, bHi) ? 1 : 0;
}

/** fle.d @returns 1 if a <= b, else 0 */
export function f64Le(aLo: number, aHi: number, bLo: number, bHi: number): number {
  if (f64IsNaN(aLo, aHi) || f64IsNaN(bLo, bHi)) {
    state.flags |= NV;
    return 0;
  }
  return !f64Below(bLo, bHi, aLo, aHi) || f64BothZero(aLo, aHi, bLo, bHi) ? 1 : 0;
}

/** result = the smaller one (fmin.d). */
export function f64Min(aLo: number, aHi: number, bLo: number, bHi: number): void {
  const aIsNaN = f64IsNaN(aLo, aHi);
  const bIsNaN = f64IsNaN(bLo, bHi);
  if (aIsNaN || bIsNaN) chooseNumber64(aLo, aHi, aIsNaN, bLo, bHi, bIsNaN);
  else if (f64Below(bLo, bHi, aLo, aHi)) setResult(bLo, bHi);
  else setResult(aLo, aHi);
}

/** result = the larger one (fmax.d). */
export function f64Max(aLo: number, aHi: number, bLo: number, bHi: number): void {
  const aIsNaN = f64IsNaN(aLo, aHi);
  const bIsNaN = f64IsNaN(bLo, bHi);
  if (aIsNaN || bIsNaN) chooseNumber64(aLo, aHi, aIsNaN, bLo, bHi, bIsNaN);
  else if (f64Below(aLo, aHi, bLo, bHi)) setResult(bLo, bHi);
  else setResult(aLo, aHi);
}

/** Minimum or maximum where an operand is a NaN: the other one, or the canonical NaN if there is no number. */
function chooseNumber64(aLo: number, aHi: number, aIsNaN: boolean, bLo: number, bHi: number, bIsNaN: boolean): void {
  if (f64IsSignalling(aLo, aHi) || f64IsSignalling(bLo, bHi)) state.flags |= NV;
  if (!aIsNaN) setResult(aLo, aHi);
  else if (!bIsNaN) setResult(bLo, bHi);
  else setResult(0, F64_NAN_HI);
}

/** fclass.d @returns one bit of ten */
export function f64Classify(lo: number, hi: number): number {
  const magnitude = hi & 0x7fff_ffff;
  if (f64IsNaN(lo, hi)) return f64IsSignalling(lo, hi) ? SIGNALLING_NAN : QUIET_NAN;
  if (magnitude === F64_INFINITY_HI) return hi < 0 ? NEGATIVE_INFINITY : POSITIVE_INFINITY;
  if (magnitude >= 0x0010_0000) return hi < 0 ? NEGATIVE_NORMAL : POSITIVE_NORMAL;
  if ((magnitude | lo) !== 0) return hi < 0 ? NEGATIVE_SUBNORMAL : POSITIVE_SUBNORMAL;
  return hi < 0 ? NEGATIVE_ZERO : POSITIVE_ZERO;
}

function f32Below(a: number, b: number): boolean {
  return a < 0 && b < 0 ? a > b : a < b;
}

/** feq.s @returns 1 if a = b, else 0 */
export function f32Eq(a: number, b: number): number {
  if (f32IsNaN(a) || f32IsNaN(b)) {
    if (f32IsSignalling(a) || f32IsSignalling(b)) state.flags |= NV;
    return 0;
  }
  return a === b || (a | b) << 1 === 0 ? 1 : 0;
}

/** flt.s @returns 1 if a < b, else 0 */
export function f32Lt(a: number, b: number): number {
  if (f32IsNaN(a) || f32IsNaN(b)) {
    state.flags |= NV;
    return 0;
  }
  return f32Below(a, b) && (a | b) << 1 !== 0 ? 1 : 0;
}

/** fle.s @returns 1 if a <= b, else 0 */
export function f32Le(a: number, b: number): number {
  if (f32IsNaN(a) || f32IsNaN(b)) {
    state.flags |= NV;
    return 0;
  }
  return !f32Below(b, a) || (a | b) << 1 === 0 ? 1 : 0;
}

/** fmin.s @returns the bits of the smaller one */
export function f32Min(a: number, b: number): number {
  if (f32IsNaN(a) || f32IsNaN(b)) return chooseNumber32(a, b);
  return f32Below(b, a) ? b : a;
}

/** fmax.s @returns the bits of the larger one */
export function f32Max(a: number, b: number): number {
  if (f32IsNaN(a) || f32IsNaN(b)) return chooseNumber32(a, b);
  return f32Below(a, b) ? b : a;
}

function chooseNumber32(a: number, b: number): number {
  if (f32IsSignalling(a) || f32IsSignalling(b)) state.flags |= NV;
  if (!f32IsNaN(a)) return a;
  return f32IsNaN(b) ? F32_NAN : b;
}

/** fclass.s @returns one bit of ten */
export function f32Classify(bits: number): number {
  const magnitude = bits & 0x7fff_ffff;
  if (magnitude > F32_INFINITY) return f32IsSignalling(bits) ? SIGNALLING_NAN : QUIET_NAN;
  if (magnitude === F32_INFINITY) return bits < 0 ? NEGATIVE_INFINITY : POSITIVE_INFINITY;
  if (magnitude >= 0x0080_0000) return bits < 0 ? NEGATIVE_NORMAL : POSITIVE_NORMAL;
  if (magnitude !== 0) return bits < 0 ? NEGATIVE_SUBNORMAL : POSITIVE_SUBNORMAL;
  return bits < 0 ? NEGATIVE_ZERO : POSITIVE_ZERO;
}
