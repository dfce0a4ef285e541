/**
 * The arguments of one system call: six registers, read as what the call takes them for.
 *
 * A register is kept as two halves, because a 64-bit value need not be exact as a number. Each reader says what range
 * is exact; values beyond it stay beyond every limit they are compared with, so a check refuses them.
 * On rv32 a 64-bit argument takes two registers, low half first, at any position.
 */
import type { Message } from '../l4/user.ts';

const WORD = 2 ** 32;

export class CallArguments {
  readonly wide: boolean; // rv64
  readonly lo = new Int32Array(6);
  readonly hi = new Int32Array(6);

  constructor(wordBits: 32 | 64) {
    this.wide = wordBits === 64;
  }

  /** Takes the arguments out of a system-call message. Hot: allocates nothing. */
  take(message: Message, first: number): void {
    const { lo, hi } = this;
    const { lo: fromLo, hi: fromHi } = message;
    for (let i = 0; i < 6; i++) {
      lo[i] = fromLo[first + i];
      hi[i] = fromHi[first + i];
    }
  }

  /** A C int. */
  int(i: number): number {
    return this.lo[i];
  }

  /** A C unsigned int. */
  uint(i: number): number {
    return this.lo[i] >>> 0;
  }

  /** An address or size_t, unsigned: exact below 2^53, and not below 2^53 where it is not exact. */
  word(i: number): number {
    return this.wide ? (this.hi[i] >>> 0) * WORD + (this.lo[i] >>> 0) : this.lo[i] >>> 0;
  }

  /** A long: exact within 2^53 of zero. */
  long(i: number): number {
    return this.wide ? this.hi[i] * WORD + (this.lo[i] >>> 0) : this.lo[i];
  }

  /** A loff_t that starts at register i: one register on rv64, two on rv32. */
  offset(i: number): number {
    return this.wide ? this.long(i) : this.lo[i + 1] * WORD + (this.lo[i] >>> 0);
  }

  /** The register after the loff_t at register i. */
  after(i: number): number {
    return this.wide ? i + 1 : i + 2;
  }
}
