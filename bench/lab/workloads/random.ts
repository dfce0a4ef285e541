/**
 * The random numbers of all workloads: one linear congruential generator of 64 bits, in halves, so that a seed gives the
 * same accesses in every engine and in any other program.
 *
 *   x = (x * 6364136223846793005 + 1442695040888963407) mod 2^64, x begins as the seed; a number is x >> 33
 *
 * Source: the multiplier and increment are Knuth's MMIX generator. Low bits of x repeat soon: only upper ones are used.
 */

const MULTIPLIER_LO = 0x4c957f2d;
const MULTIPLIER_HI = 0x5851f42d;
const INCREMENT_LO = 0xf767814f;
const INCREMENT_HI = 0x14057b7e;

const LO_0 = MULTIPLIER_LO & 0xffff;
const LO_1 = MULTIPLIER_LO >>> 16;

export class Random {
  #lo: number;
  #hi = 0;

  /** @param seed 0 .. 2^32 - 1 */
  constructor(seed: number) {
    this.#lo = seed | 0;
  }

  /** The next number: 0 .. 2^31 - 1. Hot. */
  next(): number {
    const lo = this.#lo;
    const low = lo & 0xffff;
    const high = lo >>> 16;
    // The upper half of lo * MULTIPLIER_LO, in 16-bit steps: each sum stays below 2^32.
    const middle = high * LO_0 + ((low * LO_0) >>> 16);
    const cross = low * LO_1 + (middle & 0xffff);
    const upper = high * LO_1 + (middle >>> 16) + (cross >>> 16);
    const sum = (Math.imul(lo, MULTIPLIER_LO) >>> 0) + INCREMENT_LO;
    const carry = sum > 0xffff_ffff ? 1 : 0;
    this.#hi = (upper + Math.imul(lo, MULTIPLIER_HI) + Math.imul(this.#hi, MULTIPLIER_LO) + INCREMENT_HI + carry) | 0;
    this.#lo = sum | 0;
    return this.#hi >>> 1;
  }

  /** Of the last number: nine more bits of x, independent enough to choose a place in a page with. */
  get spare(): number {
    return ((this.#hi & 1) << 8) | (this.#lo >>> 24);
  }

  /** An integer below n, 1 <= n <= 2^53. Where n is no power of two small ones are favoured, by less than n / 2^31 or n / 2^53. */
  below(n: number): number {
    if (n <= 0x8000_0000) return this.next() % n;
    return (this.next() * 0x40_0000 + (this.next() >>> 9)) % n;
  }

  /** A number in (0, 1). */
  unit(): number {
    return (this.next() + 0.5) / 0x8000_0000;
  }
}
