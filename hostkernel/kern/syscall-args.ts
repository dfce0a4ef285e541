/** SyscallArgs: the arguments of the system call in progress, as seven 64-bit registers, hostile until checked. */

const TWO32 = 2 ** 32;

/** Number of arguments a system call can have: a0..a6. */
export const SYSCALL_ARGS = 7;

/**
 * The argument registers. One instance a kernel, refilled by every call: a handler must have read what it needs before
 * it could cause another system call. 32-bit processes have zero in every upper half, unless the program is a
 * TypeScript one that passed a larger number.
 */
export class SyscallArgs {
  readonly lo = new Int32Array(SYSCALL_ARGS);
  readonly hi = new Int32Array(SYSCALL_ARGS);

  /** Sets argument `i` from a number without its fraction, two's complement modulo 2^64. NaN and infinities become 0. */
  setNumber(i: number, value: number): void {
    this.lo[i] = value;
    this.hi[i] = Math.floor(Math.trunc(value) / TWO32);
  }

  /** An int: the lower half, signed. */
  int(i: number): number {
    return this.lo[i];
  }

  /** An address or size in bytes, unsigned. From 2^53 on the nearest double: no range check lets that pass. */
  unsigned(i: number): number {
    return (this.hi[i] >>> 0) * TWO32 + (this.lo[i] >>> 0);
  }

  /** An offset in bytes, signed. */
  signed(i: number): number {
    return this.hi[i] * TWO32 + (this.lo[i] >>> 0);
  }
}
