/**
 * Clock: virtual time. One retired instruction is one nanosecond; kernel work is charged on top.
 *
 * There is no wall clock anywhere in the machine: the same inputs give the same times.
 */

/** What counts instructions: the hart. */
export interface InstructionCounter {
  /** Instructions retired since power-on. */
  readonly retired: number;
}

export class Clock {
  readonly #hart: InstructionCounter;
  #charged = 0; // ns

  constructor(hart: InstructionCounter) {
    this.#hart = hart;
  }

  /** Nanoseconds since power-on. Exact below 2^53: 104 days of instructions. */
  now(): number {
    return this.#hart.retired + this.#charged;
  }

  /** Adds `ns` of kernel work, a non-negative integer. */
  charge(ns: number): void {
    this.#charged += ns;
  }

  /** Nanoseconds charged since power-on. */
  get charged(): number {
    return this.#charged;
  }
}
