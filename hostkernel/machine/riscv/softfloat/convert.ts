/**
 * Conversions: between the formats, and between each of them and 32- and 64-bit integers, signed and unsigned.
 *
 * To an integer: the value is rounded in the current mode; if the rounded value does not fit, the result is the nearest
 * bound of the integer type and NV is the only flag. A NaN converts like +infinity.
 *
 * Integers are int32 (unsigned ones by their bits); 64-bit ones are halves, low half first. Hot: nothing allocates.
 *
 * Source: RISC-V unprivileged specification, F and D extensions 2.2.
 */

import { oddSum, roundDouble } from './f32.ts';
import { normalizeRoundPack64 } from './round.ts';
import {
  doubles,
  F32_INFINITY,
  F32_NAN,
  F64_NAN_HI,
  f32IsNaN,
  f32IsSignalling,
  f64IsNaN,
  f64IsSignalling,
  NV,
  NX,
  RDN,
  RMM,
  RNE,
  RTZ,
  SIGN,
  setResult,
  singles,
  state,
  words,
} from './state.ts';

const TWO_32 = 0x1_0000_0000;
const F32_MAX = 2 ** 128 - 2 ** 104;
const F32_MIN_NORMAL = 2 ** -126;

function doubleOf(lo: number, hi: number): number {
  words[8] = lo;
  words[9] = hi;
  return doubles[4];
}

function singleOf(bits: number): number {
  words[8] = bits;
  return singles[8];
}

/** The integer next to `value` in the current mode, as a double: NaN and infinities stay. Every step is exact. */
function toIntegral(value: number): number {
  switch (state.rounding) {
    case RTZ:
      return Math.trunc(value);
    case RDN:
      return Math.floor(value);
    case RNE: {
      const magnitude = Math.abs(value);
      if (!(magnitude < 2 ** 52)) return value; // integral already
      const rounded = magnitude + 2 ** 52 - 2 ** 52; // the last bit of the sum counts ones
      return value < 0 ? -rounded : rounded;
    }
    case RMM: {
      const magnitude = Math.abs(value);
      const whole = Math.floor(magnitude);
      const rounded = magnitude - whole >= 0.5 ? whole + 1 : whole;
      return value < 0 ? -rounded : rounded;
    }
    default:
      return Math.ceil(value);
  }
}

function toI32(value: number): number {
  const integer = toIntegral(value);
  if (integer >= -0x8000_0000 && integer <= 0x7fff_ffff) {
    if (integer !== value) state.flags |= NX;
    return integer | 0;
  }
  state.flags |= NV;
  return integer < 0 ? SIGN : 0x7fff_ffff;
}

function toU32(value: number): number {
  const integer = toIntegral(value);
  if (integer >= 0 && integer <= 0xffff_ffff) {
    if (integer !== value) state.flags |= NX;
    return integer | 0;
  }
  state.flags |= NV;
  return integer < 0 ? 0 : -1;
}

function toI64(value: number): void {
  const integer = toIntegral(value);
  if (integer >= -(2 ** 63) && integer < 2 ** 63) {
    if (integer !== value) state.flags |= NX;
    setWide(integer);
    return;
  }
  state.flags |= NV;
  if (integer < 0) setResult(0, SIGN);
  else setResult(-1, 0x7fff_ffff);
}

function toU64(value: number): void {
  const integer = toIntegral(value);
  if (integer >= 0 && integer < 2 ** 64) {
    if (integer !== value) state.flags |= NX;
    setWide(integer);
    return;
  }
  state.flags |= NV;
  if (integer < 0) setResult(0, 0);
  else setResult(-1, -1);
}

/** Leaves an integral double, at most 64 bits wide, in `result` as two's complement. */
function setWide(integer: number): void {
  const high = Math.floor(integer / TWO_32);
  setResult((integer - high * TWO_32) | 0, high | 0);
}

/** fcvt.w.d @returns int32 */
export function f64ToI32(lo: number, hi: number): number {
  return toI32(doubleOf(lo, hi));
}

/** fcvt.wu.d @returns the bits of the u32 as int32 */
export function f64ToU32(lo: number, hi: number): number {
  return toU32(doubleOf(lo, hi));
}

/** fcvt.l.d: result = int64 */
export function f64ToI64(lo: number, hi: number): void {
  toI64(doubleOf(lo, hi));
}

/** fcvt.lu.d: result = u64 */
export function f64ToU64(lo: number, hi: number): void {
  toU64(doubleOf(lo, hi));
}

/** fcvt.w.s @returns int32 */
export function f32ToI32(bits: number): number {
  return toI32(singleOf(bits));
}

/** fcvt.wu.s @returns the bits of the u32 as int32 */
export function f32ToU32(bits: number): number {
  return toU32(singleOf(bits));
}

/** fcvt.l.s: result = int64 */
export function f32ToI64(bits: number): void {
  toI64(singleOf(bits));
}

/** fcvt.lu.s: result = u64 */
export function f32ToU64(bits: number): void {
  toU64(singleOf(bits));
}

/** fcvt.d.w: result = the double of an int32; exact */
export function f64FromI32(value: number): void {
  doubles[0] = value | 0;
}

/** fcvt.d.wu: result = the double of a u32; exact */
export function f64FromU32(value: number): void {
  doubles[0] = value >>> 0;
}

/** fcvt.d.l: result = the double of an int64 */
export function f64FromI64(lo: number, hi: number): void {
  if (state.rounding === RNE) nearestDouble(lo, hi * TWO_32);
  else if (hi < 0) fromMagnitude64(1, -lo | 0, (~hi + (lo === 0 ? 1 : 0)) | 0);
  else fromMagnitude64(0, lo, hi);
}

/** fcvt.d.lu: result = the double of a u64 */
export function f64FromU64(lo: number, hi: number): void {
  if (state.rounding === RNE) nearestDouble(lo, (hi >>> 0) * TWO_32);
  else fromMagnitude64(0, lo, hi);
}

/** Both parts are exact doubles, so their sum is rounded once; it is exact if both come back. */
function nearestDouble(lo: number, upper: number): void {
  const lower = lo >>> 0;
  const sum = upper + lower;
  if (sum - upper !== lower || sum - lower !== upper) state.flags |= NX;
  doubles[0] = sum;
}

function fromMagnitude64(sign: number, lo: number, hi: number): void {
  if ((lo | hi) === 0) setResult(0, 0);
  else normalizeRoundPack64(sign, 1023 + 62 - 1, hi, lo);
}

/** fcvt.s.w @returns the bits of the single */
export function f32FromI32(value: number): number {
  return fromDouble(value | 0);
}

/** fcvt.s.wu @returns the bits of the single */
export function f32FromU32(value: number): number {
  return fromDouble(value >>> 0);
}

/** fcvt.s.l @returns the bits of the single */
export function f32FromI64(lo: number, hi: number): number {
  return (lo | hi) === 0 ? 0 : fromDouble(oddSum(hi * TWO_32, lo >>> 0));
}

/** fcvt.s.lu @returns the bits of the single */
export function f32FromU64(lo: number, hi: number): number {
  return (lo | hi) === 0 ? 0 : fromDouble(oddSum((hi >>> 0) * TWO_32, lo >>> 0));
}

/** Rounds a finite double that is exact, or rounded to odd. Above the smallest normal Math.fround is right under RNE. */
function fromDouble(value: number): number {
  if (state.rounding === RNE) {
    const single = Math.fround(value);
    const magnitude = Math.abs(single);
    if ((magnitude > F32_MIN_NORMAL && magnitude <= F32_MAX) || value === 0) {
      if (single !== value) state.flags |= NX;
      singles[8] = single;
      return words[8];
    }
  }
  return value === 0 ? 0 : roundDouble(value);
}

/** fcvt.s.d @returns the bits of the single */
export function f32FromF64(lo: number, hi: number): number {
  if (((hi >>> 20) & 0x7ff) === 0x7ff) {
    if (!f64IsNaN(lo, hi)) return (hi & SIGN) | F32_INFINITY;
    if (f64IsSignalling(lo, hi)) state.flags |= NV;
    return F32_NAN;
  }
  if (((hi << 1) | lo) === 0) return hi;
  return fromDouble(doubleOf(lo, hi));
}

/** fcvt.d.s: result = the double of a single; exact, but a NaN becomes canonical */
export function f64FromF32(bits: number): void {
  if (f32IsNaN(bits)) {
    if (f32IsSignalling(bits)) state.flags |= NV;
    setResult(0, F64_NAN_HI);
    return;
  }
  doubles[0] = singleOf(bits);
}
