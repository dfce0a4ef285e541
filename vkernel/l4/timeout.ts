/**
 * Timeouts: 16 bits that hold a duration in microseconds.
 *
 *   15   14     10 9         0
 *   0    exponent  mantissa        value = mantissa * 2^exponent microseconds
 *
 * 0 means never; zero is written as mantissa 0 with exponent 1. Time points (bit 15) are not used here.
 * Source: L4 X.2, "Time".
 */

export type Timeout = number;

export const NEVER: Timeout = 0;
export const ZERO: Timeout = 0x0400;

const LONGEST = 1023 * 2 ** 31; // microseconds

/** The longest period that is not longer than `microseconds`; ZERO below one, the longest there is above the range. */
export function timeout(microseconds: number): Timeout {
  if (!(microseconds >= 1)) return ZERO;
  let mantissa = Math.floor(Math.min(microseconds, LONGEST));
  let exponent = 0;
  while (mantissa > 1023) {
    mantissa = Math.floor(mantissa / 2);
    exponent++;
  }
  return (exponent << 10) | mantissa;
}

/** Microseconds a timeout stands for; Infinity for NEVER. Bit 15 is ignored. */
export function timeoutMicroseconds(value: Timeout): number {
  if ((value & 0xffff) === NEVER) return Number.POSITIVE_INFINITY;
  return (value & 1023) * 2 ** ((value >>> 10) & 31);
}
