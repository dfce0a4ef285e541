/** RegisterFile: a user context while it is not in the hart. */

import type { Processor } from '../machine/index.ts';

/** Everything a program can see of a hart: 32 integer and 32 floating-point registers as u64 halves, fcsr and pc. */
export class RegisterFile {
  readonly x = new Int32Array(64);
  readonly f = new Int32Array(64);
  #fcsr = 0;
  #fpDirty = false;
  #pcLo = 0;
  #pcHi = 0;

  save(hart: Processor): void {
    this.x.set(hart.x);
    this.f.set(hart.f);
    this.#fcsr = hart.fcsr;
    this.#fpDirty = hart.fpDirty;
    this.#pcLo = hart.pcLo;
    this.#pcHi = hart.pcHi;
  }

  load(hart: Processor): void {
    hart.x.set(this.x);
    hart.f.set(this.f);
    hart.fcsr = this.#fcsr;
    hart.fpDirty = this.#fpDirty;
    hart.pcLo = this.#pcLo;
    hart.pcHi = this.#pcHi;
  }

  /** Sets register xi to a number, sign included. */
  setX(i: number, value: number): void {
    this.x[2 * i] = value;
    this.x[2 * i + 1] = Math.floor(value / 2 ** 32);
  }

  /** A program's first context: all registers zero but the stack pointer. */
  start(pc: number, sp: number): void {
    this.#pcLo = pc | 0;
    this.#pcHi = Math.floor(pc / 2 ** 32);
    this.x[4] = sp | 0; // x2
    this.x[5] = Math.floor(sp / 2 ** 32);
  }
}
