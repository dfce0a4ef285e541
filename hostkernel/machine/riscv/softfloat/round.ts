/**
 * Rounding an exact value to a format: the one place where a mode is applied and UF, OF and NX are raised.
 *
 * Not here: what the value is (`f64.ts`, `f32.ts`, `convert.ts`).
 *
 * A value comes as sign, exponent and a significand with guard bits below it. Whatever was cut off underneath is ORed
 * ("jammed") into bit 0: with at least two guard bits the value then rounds as if it were complete, in every mode.
 *
 *   binary64   63 | 62           | 61 .. 10       | 9 .. 0
 *               0 | leading one  | fraction (52)  | guard          halves hi, lo
 *   binary32        31 | 30           | 29 .. 7        | 6 .. 0
 *                    0 | leading one  | fraction (23)  | guard
 *
 * The exponent is the biased exponent less one: packing adds the leading one to it, so that a carry out of the fraction
 * raises the exponent by itself. A significand without its leading one belongs to a subnormal and comes with exponent 0.
 */

import { F32_INFINITY, F64_INFINITY_HI, NX, OF, RDN, RMM, RNE, result, RUP, SIGN, setResult, state, UF } from './state.ts';

/** [low, high] of the last `jamRight`. */
export const jammed = new Int32Array(2);

/** Shifts a 64-bit value right by `count` >= 0 bits into `jammed`; bits that fall out are kept as bit 0. */
export function jamRight(hi: number, lo: number, count: number): void {
  if (count === 0) {
    jammed[0] = lo;
    jammed[1] = hi;
  } else if (count < 32) {
    jammed[0] = (lo >>> count) | (hi << (32 - count)) | (lo << (32 - count) ? 1 : 0);
    jammed[1] = hi >>> count;
  } else if (count < 64) {
    const lost = count === 32 ? lo : lo | (hi << (64 - count));
    jammed[0] = (hi >>> (count - 32)) | (lost ? 1 : 0);
    jammed[1] = 0;
  } else {
    jammed[0] = hi | lo ? 1 : 0;
    jammed[1] = 0;
  }
}

/** What is added below the last kept bit before the guard bits are dropped: `half`, all ones or nothing. */
function incrementFor(sign: number, half: number): number {
  const mode = state.rounding;
  if (mode === RNE || mode === RMM) return half;
  return mode === (sign ? RDN : RUP) ? 2 * half - 1 : 0;
}

/**
 * Rounds to binary64 into `result`.
 *
 * Tininess is detected after rounding: a value below the smallest normal is tiny unless it would round up to it with
 * an exponent of unlimited range.
 * @param sign 0 or 1
 * @param exponent biased exponent - 1, any int32
 */
export function roundPack64(sign: number, exponent: number, hi: number, lo: number): void {
  const increment = incrementFor(sign, 0x200);
  if (exponent < 0 || exponent >= 0x7fd) {
    const carries = hi === 0x7fff_ffff && (lo >>> 0) + increment > 0xffff_ffff;
    if (exponent < 0) {
      const tiny = exponent < -1 || !carries;
      jamRight(hi, lo, -exponent);
      lo = jammed[0];
      hi = jammed[1];
      exponent = 0;
      if (tiny && (lo & 0x3ff) !== 0) state.flags |= UF;
    } else if (exponent > 0x7fd || carries) {
      state.flags |= OF | NX;
      if (increment === 0) setResult(-1, (sign << 31) | (F64_INFINITY_HI - 1));
      else setResult(0, (sign << 31) | F64_INFINITY_HI);
      return;
    }
  }
  const guard = lo & 0x3ff;
  if (guard !== 0) state.flags |= NX;
  const sum = (lo >>> 0) + increment;
  if (sum > 0xffff_ffff) hi++;
  const even = guard === 0x200 && state.rounding === RNE ? ~1 : ~0;
  result[0] = ((sum >>> 10) | (hi << 22)) & even;
  result[1] = ((sign << 31) | (exponent << 20)) + (hi >>> 10);
}

/** `roundPack64` of a significand that is not zero and has its leading one anywhere in its 64 bits. */
export function normalizeRoundPack64(sign: number, exponent: number, hi: number, lo: number): void {
  const shift = (hi === 0 ? 32 + Math.clz32(lo) : Math.clz32(hi)) - 1;
  if (shift >= 32) roundPack64(sign, exponent - shift, lo << (shift - 32), 0);
  else if (shift > 0) roundPack64(sign, exponent - shift, (hi << shift) | (lo >>> (32 - shift)), lo << shift);
  else if (shift === 0) roundPack64(sign, exponent, hi, lo);
  else roundPack64(sign, exponent + 1, hi >>> 1, (lo >>> 1) | (hi << 31) | (lo & 1));
}

/** Rounds to binary32; as `roundPack64`. @returns the bits of the single */
export function roundPack32(sign: number, exponent: number, significand: number): number {
  const increment = incrementFor(sign, 0x40);
  if (exponent < 0 || exponent >= 0xfd) {
    const carries = significand + increment >= 0x8000_0000;
    if (exponent < 0) {
      const tiny = exponent < -1 || !carries;
      const count = -exponent;
      significand = count < 32 ? (significand >>> count) | (significand << (32 - count) ? 1 : 0) : 1;
      exponent = 0;
      if (tiny && (significand & 0x7f) !== 0) state.flags |= UF;
    } else if (exponent > 0xfd || carries) {
      state.flags |= OF | NX;
      return (sign ? SIGN : 0) | (increment === 0 ? F32_INFINITY - 1 : F32_INFINITY);
    }
  }
  const guard = significand & 0x7f;
  if (guard !== 0) state.flags |= NX;
  const even = guard === 0x40 && state.rounding === RNE ? ~1 : ~0;
  return (((sign << 31) | (exponent << 23)) + (((significand + increment) >>> 7) & even)) | 0;
}
