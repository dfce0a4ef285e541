/**
 * What a process sees of the host kernel: the only thing a vkernel knows of its host.
 *
 * A RISC-V program reaches these calls by `ecall`; a TypeScript program is a generator function that gets a `Host`.
 * Both are processes alike: own address space, own descriptors, killed by the same signals. This file is types, and
 * the numbers of the interface (abi.ts); kernel.ts and the files beside it are the implementation.
 */

import type { Access } from '../base/units.ts';

export * from '../vm/mman.ts';
export * from './abi.ts';

/** What a TypeScript program yields: nothing. A `yield` gives the processor to the next lwp, or sleeps if a call waits. */
export type HostWait = undefined;

/**
 * A TypeScript program. Its return value is its exit code.
 *
 * It cannot be pre-empted between two yields: only the guests it runs can. An exception it does not catch is a defect
 * of the program and leaves HostKernel.run(). It must not catch what Host and UserMemory throw: that is its own end,
 * and whatever it calls afterwards throws again.
 */
export type HostBody = (host: Host) => Generator<HostWait, number, void>;

/** The system-call interface of one process. */
export interface Host {
  readonly xlen: 32 | 64; // of the process and of every guest it runs
  readonly userEnd: number; // first byte address beyond user space
  readonly memory: UserMemory;

  /**
   * Makes system call `nr`. Arguments are integers as a register holds them: -1 is all ones; fractions are cut off.
   * All are whole values, in 32-bit processes too: a length or offset is one argument, and in bytes.
   * @param a6 only vmspace_mmap has as many
   * @returns a value >= 0, or -errno; -ENOSYS for a number nobody serves; RUN_PREEMPTED: the call waits for something, and
   *   the program sleeps at its next `yield` until it is worth making the same call again. Any other call gives up waiting.
   *   exit and exit_group do not return.
   */
  syscall(nr: number, a0?: number, a1?: number, a2?: number, a3?: number, a4?: number, a5?: number, a6?: number): number;

  /**
   * vmspace_ctl(id, VMSPACE_CTL_RUN, tf, vf). Hot: the same call as through `syscall`, without its argument passing.
   * @param tf address of a struct trapframe, vf of a struct vextframe: 8-byte aligned, each within one page
   * @returns 0 and a trap in `tf`; trapno is 0 where the budget is spent or a signal is due; -errno (then nothing ran); or
   *   RUN_PREEMPTED: `yield`, then repeat the call
   */
  run(id: number, tf: number, vf: number): number;

  /**
   * Takes the lowest signal that is due: pending, not blocked, and caught.
   *
   * A TypeScript program catches a signal by rt_sigaction with any handler address above 1, which is never called. One it
   * catches ends a RUN with 0 and trapno 0, and a call that waits with -EINTR; it is due until it is taken here. A signal
   * that is not caught does what it does by default, which for most is to end the process.
   * @returns its number; 0: none is due
   */
  takeSignal(): number;

  /**
   * Another lwp in this process: the same memory, descriptors, signals and guest spaces, a program of its own. It runs from
   * the next step on. Its return value counts only if it is the last to end.
   * @returns its number; or -EAGAIN: the process has 1024
   */
  createLwp(body: HostBody): number;
}

/**
 * The process's own memory, as its loads and stores see it. A fault is resolved at once; one that cannot be resolved
 * is SIGSEGV or SIGBUS, and the call does not return.
 *
 * Addresses are bytes and may be misaligned unless said otherwise. Values are little endian, and unsigned: load32
 * returns 0..2^32-1. Stores keep the low bits of any integer, negative ones included.
 */
export interface UserMemory {
  load8(va: number): number;
  load16(va: number): number;
  load32(va: number): number;
  /** Exact below 2^53; above that the nearest double. Take two load32 where all 64 bits matter. */
  load64(va: number): number;
  store8(va: number, value: number): void;
  store16(va: number, value: number): void;
  store32(va: number, value: number): void;
  /** Two's complement of an integer of magnitude below 2^53. */
  store64(va: number, value: number): void;

  read(va: number, into: Uint8Array): void;
  write(va: number, from: Uint8Array): void;
  /** memmove: the ranges may overlap. */
  copy(dst: number, src: number, len: number): void;
  fill(va: number, len: number, byte: number): void;

  /**
   * Offset into `bytes` of the byte behind `va`, after whatever fault the access takes; `offset >>> 2` indexes `words`
   * if va is a multiple of 4. Good to the end of the page, and until the next system call. Hot: allocates nothing.
   */
  translate(va: number, access: Access): number;
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
}
