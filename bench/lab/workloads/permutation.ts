/**
 * A shuffled order without a table: a bijection of 0 .. n - 1 that looks random. For data that lies in memory in another
 * order than it is used in: nodes of trees, vertices of graphs, keys by popularity.
 *
 * Rounds of an invertible hash on the next power of two; what falls outside n goes round again until it falls inside.
 * Source of the cycle walking: Black and Rogaway, Ciphers with arbitrary finite domains, CT-RSA 2002.
 */

const ROUNDS = 3;

export class Permutation {
  readonly #n: number;
  readonly #lowMask: number;
  readonly #highMask: number;
  readonly #keys: Int32Array;

  /** @param n 1 .. 2^48; seed: another seed, another order */
  constructor(n: number, seed: number) {
    this.#n = n;
    let bits = 2;
    while (2 ** bits < n) bits++;
    const low = bits >> 1;
    this.#lowMask = 2 ** low - 1;
    this.#highMask = 2 ** (bits - low) - 1;
    this.#keys = Int32Array.from({ length: 2 * ROUNDS }, (_, i) => mix(Math.imul(seed + i + 1, 0x9e3779b9)));
  }

  /** Where i, 0 <= i < n, has gone. Hot. */
  at(i: number): number {
    let x = i;
    do x = this.#permute(x);
    while (x >= this.#n);
    return x;
  }

  /** A Feistel network on the two halves of the number. */
  #permute(x: number): number {
    const scale = this.#lowMask + 1;
    let high = Math.floor(x / scale);
    let low = x - high * scale;
    for (let round = 0; round < 2 * ROUNDS; round += 2) {
      high = (high ^ mix(low ^ this.#keys[round])) & this.#highMask;
      low = (low ^ mix(high ^ this.#keys[round + 1])) & this.#lowMask;
    }
    return high * scale + low;
  }
}

/** A 32-bit hash in which every bit of the input moves every bit of the output. Source: MurmurHash3's finaliser, Appleby. */
export function mix(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
