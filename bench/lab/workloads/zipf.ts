/**
 * Zipf's distribution over ranks 1..n: rank k comes with a probability proportional to 1 / k^s. Popular keys of stores
 * and caches follow it with s about 0.99.
 *
 * Drawn by rejection-inversion, which needs no table: two or three logarithms for any n.
 * Source: Hörmann and Derflinger, Rejection-inversion to generate variates from monotone discrete distributions, ACM
 * TOMACS 6 (1996).
 */
import { exp, ln } from './exact-math.ts';
import type { Random } from './random.ts';

export class Zipf {
  readonly #random: Random;
  readonly #n: number;
  readonly #exponent: number;
  readonly #first: number; // integral to 1.5, less the height at 1
  readonly #last: number; //  integral to n + 0.5
  readonly #shortcut: number;

  /** @param n ranks, 1 .. 2^40; exponent s > 0, also 1 */
  constructor(random: Random, n: number, exponent: number) {
    this.#random = random;
    this.#n = n;
    this.#exponent = exponent;
    this.#first = this.#integral(1.5) - 1;
    this.#last = this.#integral(n + 0.5);
    this.#shortcut = 2 - this.#inverse(this.#integral(2.5) - this.#height(2));
  }

  /** A rank, 1 .. n. Hot. */
  next(): number {
    for (;;) {
      const u = this.#last + this.#random.unit() * (this.#first - this.#last);
      const x = this.#inverse(u);
      const rank = Math.min(this.#n, Math.max(1, Math.floor(x + 0.5)));
      if (rank - x <= this.#shortcut || u >= this.#integral(rank + 0.5) - this.#height(rank)) return rank;
    }
  }

  /** 1 / x^s. */
  #height(x: number): number {
    return exp(-this.#exponent * ln(x));
  }

  /** Integral of the height from 1 to x. */
  #integral(x: number): number {
    const log = ln(x);
    return expm1Ratio((1 - this.#exponent) * log) * log;
  }

  #inverse(integral: number): number {
    const t = Math.max(-1, integral * (1 - this.#exponent));
    return exp(log1pRatio(t) * integral);
  }
}

/** (e^x - 1) / x, also near 0. */
function expm1Ratio(x: number): number {
  return Math.abs(x) > 1e-4 ? (exp(x) - 1) / x : 1 + (x / 2) * (1 + (x / 3) * (1 + x / 4));
}

/** ln(1 + x) / x, also near 0; x > -1. */
function log1pRatio(x: number): number {
  return Math.abs(x) > 1e-4 ? ln(1 + x) / x : 1 - x * (1 / 2 - x * (1 / 3 - x / 4));
}
