/**
 * Hart: one RISC-V processor in user mode, RV32 or RV64 with I, M, A, F, D, C, Zicsr (floating point and counters) and
 * Zifencei. Supervisor work is TypeScript: `run` ends at every trap. The instructions themselves are interpret64.ts
 * and interpret32.ts; what they leave to others is in memory.ts, integer.ts, float.ts and csr.ts.
 *
 * A machine of several harts has one Hart, which takes turns at being each (`select`): one of them runs at a time. So
 * nothing on the way of an instruction asks which it is, and `retired` counts the instructions of all.
 */

import { panic } from '../../base/assert.ts';
import { READ, type Access, type HostFrame } from '../../base/units.ts';
import type { Clock } from '../clock.ts';
import type { Processor, TranslationContext } from '../hardware.ts';
import type { Mmu, MmuContext } from '../mmu.ts';
import type { Ram } from '../ram.ts';
import { TRAP_BUDGET } from './causes.ts';
import type { CodeCache } from './code-cache.ts';
import { makeInterpreter32 } from './interpret32.ts';
import { makeInterpreter64 } from './interpret64.ts';
import { F0 } from './memory.ts';

const TWO_32 = 4294967296;

/** Word index of the registers of harts that do not run: 64 words of x and 64 of f each. */
const PARKED = 256;
const PARKED_WORDS = 128;

/** Budget beyond which the interpreter is called more than once: its counter is an i32. */
const LONGEST_RUN = 2 ** 30;

/** A hart that does not run: what is not in the machine's memory of it. */
class ParkedHart {
  context: MmuContext | null = null;
  xlen: 32 | 64 = 64;
  fcsr = 0;
  fpDirty = false;
  pcLo = 0;
  pcHi = 0;
  tvalLo = 0;
  tvalHi = 0;
  access: Access = READ;
}

export class Hart implements Processor {
  /** Which of the machine's harts this is just now. */
  id = 0;
  readonly mmu: Mmu;
  readonly ram: Ram;
  readonly code: CodeCache;
  /** The machine's memory as words. */
  readonly words: Int32Array;
  /**
   * 64 words in the machine's memory: x[2i] is the lower half of register i, x[2i + 1] the upper; x0 reads as 0. With
   * xlen 32 upper halves are neither read nor written.
   */
  readonly x: Int32Array;
  /** 64 words in the machine's memory: f0 to f31, a 32-bit value boxed in ones. */
  readonly f: Int32Array;
  fcsr = 0;
  /** Set by `run` when it wrote an f register or fcsr; the kernel clears it. */
  fpDirty = false;
  pcLo = 0;
  pcHi = 0;
  /** Instructions retired since power-on. One that traps does not retire, ecall and ebreak included. */
  retired = 0;
  /** Of the last trap: address of a page fault, bits of an illegal instruction. */
  tvalLo = 0;
  tvalHi = 0;
  /** Of the last page fault: READ, WRITE or EXEC. */
  access: Access = READ;
  xlen: 32 | 64 = 64;
  clock: Clock | null = null;
  /** Budget the interpreter has left over: for the interpreters only. */
  left = 0;
  /** What `retired` will be when the interpreter has spent its budget: less what is left, the instructions so far. */
  horizon = 0;
  /** Bits of the instruction in the scratch slot of the code cache, 0 if there is none. */
  scratchBits = 0;
  readonly #interpret64: (budget: number) => number;
  readonly #interpret32: (budget: number) => number;
  #context: MmuContext | null = null;
  #reservedOffset = -1;
  #reservedBytes = 0;
  #reservedLo = 0;
  #reservedHi = 0;

  readonly #parked: ParkedHart[] = []; // by hart: its state while another runs

  constructor(mmu: Mmu, code: CodeCache) {
    this.mmu = mmu;
    this.ram = mmu.ram;
    this.code = code;
    this.words = mmu.ram.i32;
    this.x = new Int32Array(mmu.ram.memory.buffer, 0, 64);
    this.f = new Int32Array(mmu.ram.memory.buffer, F0 * 4, 64);
    this.#interpret64 = makeInterpreter64(this);
    this.#interpret32 = makeInterpreter32(this);
  }

  /**
   * Becomes hart `k`: its registers and address space come back, those of the hart so far are parked. That one loses its
   * reservation: others may store before it runs again. Decoded code is common to all, and stores keep it up to date
   * for all, so fence.i has nothing to do here either.
   */
  select(k: number): void {
    if (this.id === k) return;
    const { words } = this;
    for (let i = this.#parked.length; i < this.mmu.harts; i++) this.#parked.push(new ParkedHart());
    const from = this.#parked[this.id];
    words.copyWithin(PARKED + this.id * PARKED_WORDS, 0, 64);
    words.copyWithin(PARKED + this.id * PARKED_WORDS + 64, F0, F0 + 64);
    from.context = this.#context;
    from.xlen = this.xlen;
    from.fcsr = this.fcsr;
    from.fpDirty = this.fpDirty;
    from.pcLo = this.pcLo;
    from.pcHi = this.pcHi;
    from.tvalLo = this.tvalLo;
    from.tvalHi = this.tvalHi;
    from.access = this.access;
    const to = this.#parked[k];
    words.copyWithin(0, PARKED + k * PARKED_WORDS, PARKED + k * PARKED_WORDS + 64);
    words.copyWithin(F0, PARKED + k * PARKED_WORDS + 64, PARKED + k * PARKED_WORDS + 128);
    this.#context = to.context;
    this.xlen = to.xlen;
    this.fcsr = to.fcsr;
    this.fpDirty = to.fpDirty;
    this.pcLo = to.pcLo;
    this.pcHi = to.pcHi;
    this.tvalLo = to.tvalLo;
    this.tvalHi = to.tvalHi;
    this.access = to.access;
    this.#reservedOffset = -1;
    this.scratchBits = 0; // the scratch slot is common to all
    this.id = k;
  }

  /** The program counter as a number: exact below 2^53. */
  get pc(): number {
    return (this.pcHi >>> 0) * TWO_32 + (this.pcLo >>> 0);
  }

  /** Sets the program counter. Bit 0 is ignored, as a jump would. */
  setPc(pc: number): void {
    this.pcLo = pc & ~1;
    this.pcHi = ((pc - (pc >>> 0)) / TWO_32) | 0;
  }

  /** Address of the last page fault as a number, or the bits of an illegal instruction: exact below 2^53. */
  get tval(): number {
    return (this.tvalHi >>> 0) * TWO_32 + (this.tvalLo >>> 0);
  }

  /** Makes `space` the address space, and `xlen` the width of registers. Ends a reservation. */
  activate(space: TranslationContext, xlen: 32 | 64): void {
    const context = space as MmuContext; // the only contexts this machine makes
    this.#context = context;
    this.#reservedOffset = -1;
    if (this.xlen !== xlen) {
      this.xlen = xlen;
      this.scratchBits = 0;
    }
    context.setNarrow(xlen === 32);
    context.useBlock();
  }

  /** The address space. Only the interpreter asks, so there is one. */
  activeContext(): MmuContext {
    return this.#context ?? panic('hart: no address space');
  }

  /** Takes x1 to x31 from memory: register i from words at + 2i and at + 2i + 1. */
  loadX(at: number): void {
    this.words.copyWithin(2, at + 2, at + 64);
  }

  storeX(at: number): void {
    this.words.copyWithin(at + 2, 2, 64);
  }

  /** Takes f0 to f31 from memory: register i from words at + 2i and at + 2i + 1. */
  loadF(at: number): void {
    this.words.copyWithin(F0, at, at + 64);
  }

  storeF(at: number): void {
    this.words.copyWithin(at, F0, F0 + 64);
  }

  /** The kernel has changed the contents of `frame`: what was decoded from it is forgotten. */
  invalidateCode(frame: HostFrame): void {
    this.code.drop(frame);
  }

  /**
   * Executes until a trap, but at most `budget` instructions. Hot to enter and to leave: allocates nothing.
   *
   * A trap is precise: registers and pc are those of the trapping instruction, which has had no effect. Running in
   * pieces gives what running at once gives.
   * @param budget instructions, 0 or more
   * @returns TRAP_*: why it ended
   */
  run(budget: number): number {
    this.words[0] = 0; // x0, whatever the kernel has put there
    this.words[1] = 0;
    let remaining = budget;
    for (;;) {
      const piece = remaining < LONGEST_RUN ? remaining | 0 : LONGEST_RUN;
      this.horizon = this.retired + piece;
      const cause = this.xlen === 64 ? this.#interpret64(piece) : this.#interpret32(piece);
      this.retired += piece - this.left;
      if (cause !== TRAP_BUDGET) {
        this.#reservedOffset = -1;
        return cause;
      }
      remaining -= piece;
      if (!(remaining > 0)) return cause;
    }
  }

  /** Virtual nanoseconds, when `unsettled` instructions of this run are not in `retired` yet. */
  time(unsettled: number): number {
    return (this.clock === null ? this.retired : this.clock.now()) + unsettled;
  }

  /** LR: reserves `bytes` bytes at a byte offset of memory, which hold (lo, hi). */
  reserve(offset: number, bytes: number, lo: number, hi: number): void {
    this.#reservedOffset = offset;
    this.#reservedBytes = bytes;
    this.#reservedLo = lo;
    this.#reservedHi = hi;
  }

  /** SC: ends the reservation. Whether it was for exactly these bytes, and they still hold what was read. */
  endReservation(offset: number, bytes: number, lo: number, hi: number): boolean {
    const holds = this.#reservedOffset === offset && this.#reservedBytes === bytes && this.#reservedLo === lo && this.#reservedHi === hi;
    this.#reservedOffset = -1;
    return holds;
  }
}
