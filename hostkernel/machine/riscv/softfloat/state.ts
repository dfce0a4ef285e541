/**
 * What the floating-point routines share: rounding mode, accrued flags, the result register, NaN and infinity patterns.
 *
 * Not here: arithmetic (`f64.ts`, `f32.ts`), rounding to a format (`round.ts`).
 *
 * One small buffer is seen as words, singles and doubles at once, so that a number changes its type without allocation:
 *
 *   double   0          1          2          3          4
 *   word     0    1     2    3     4    5     6    7     8    9      word 2i is the low half (every host we run on is
 *            result     operands of the native paths     spare       little-endian, as WebAssembly memory is)
 *
 * Source: RISC-V unprivileged specification, version 2.2 of the F and D extensions.
 */

/** fflags: inexact, underflow, overflow, division by zero, invalid operation. */
export const NX = 1;
export const UF = 2;
export const OF = 4;
export const DZ = 8;
export const NV = 16;

/** frm: to nearest with ties to even, towards zero, down, up, to nearest with ties away from zero. */
export const RNE = 0;
export const RTZ = 1;
export const RDN = 2;
export const RUP = 3;
export const RMM = 4;

/**
 * The part of fcsr the routines see. `rounding` is the mode of the next operation (RNE..RMM, a dynamic mode already
 * resolved); `flags` accrues: routines set bits and never clear them.
 */
export const state = { flags: 0, rounding: RNE };

const buffer = new ArrayBuffer(40);
export const words = new Int32Array(buffer);
export const singles = new Float32Array(buffer);
export const doubles = new Float64Array(buffer);

/** Where a routine leaves 64 bits: [low, high]. Valid until the next call of any routine. */
export const result = new Int32Array(buffer, 0, 2);

export const SIGN = 0x8000_0000 | 0;
export const F64_INFINITY_HI = 0x7ff0_0000;
export const F64_NAN_HI = 0x7ff8_0000; // canonical NaN; its low half is 0
export const F32_INFINITY = 0x7f80_0000;
export const F32_NAN = 0x7fc0_0000; // canonical NaN

/** A NaN has an exponent of all ones and a fraction that is not zero; bit 0 stands in for the low half. */
export function f64IsNaN(lo: number, hi: number): boolean {
  return ((hi & 0x7fff_ffff) | ((lo | -lo) >>> 31)) > F64_INFINITY_HI;
}

/** A signalling NaN has its topmost fraction bit clear. */
export function f64IsSignalling(lo: number, hi: number): boolean {
  return f64IsNaN(lo, hi) && (hi & 0x0008_0000) === 0;
}

export function f32IsNaN(bits: number): boolean {
  return (bits & 0x7fff_ffff) > F32_INFINITY;
}

export function f32IsSignalling(bits: number): boolean {
  return f32IsNaN(bits) && (bits & 0x0040_0000) === 0;
}

/** Leaves 64 bits in `result`. */
export function setResult(lo: number, hi: number): void {
  result[0] = lo;
  result[1] = hi;
}
