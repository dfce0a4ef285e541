/**
 * Hart: one RISC-V processor in user mode, RV32 or RV64 with I, M, A, F, D, C, Zicsr (floating point and counters) and
 * Zifencei. Supervisor work is TypeScript: `run` ends at every trap. The instructions themselves are interpret64.ts
 * and interpret32.ts.
 */

import { READ, type Access, type HostFrame } from '../../base/units.ts';
import type { Clock } from '../clock.ts';
import type { Mmu, TranslationContext } from '../mmu.ts';
import type { CodeCache } from './code-cache.ts';
import { TRAP_BUDGET } from './causes.ts';

const TWO_32 = 4294967296;

export class Hart {
  readonly mmu: Mmu;
  readonly code: CodeCache;
  /** 64 words in the machine's memory: x[2i] is the lower half of register i, x[2i + 1] the upper. x0 stays 0. */
  readonly x: Int32Array;
  /** 64 words in the machine's memory: f0 to f31, a 32-bit value boxed in ones. */
  readonly f: Int32Array;
  fcsr = 0;
  /** Set by `run` when it wrote an f register or fcsr; the kernel clears it. */
  fpDirty = false;
  pcLo = 0;
  pcHi = 0;
  /** Instructions retired since power-on. One that traps does not retire. */
  retired = 0;
  /** Of the last trap: address of a page fault, bits of an illegal instruction. */
  tvalLo = 0;
  tvalHi = 0;
  /** Of the last page fault: READ, WRITE or EXEC. */
  access: Access = READ;
  context: TranslationContext | null = null;
  xlen: 32 | 64 = 64;
  clock: Clock | null = null;

  constructor(mmu: Mmu, code: CodeCache) {
    this.mmu = mmu;
    this.code = code;
    this.x = new Int32Array(mmu.ram.memory.buffer, 0, 64);
    this.f = new Int32Array(mmu.ram.memory.buffer, 512, 64);
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

  /** Makes `context` the address space, and `xlen` the width of registers. Ends a reservation. */
  activate(context: TranslationContext, xlen: 32 | 64): void {
    this.context = context;
    this.xlen = xlen;
    context.setNarrow(xlen === 32);
    context.useBlock();
  }

  /** The kernel has changed the contents of `frame`: what was decoded from it is forgotten. */
  invalidateCode(frame: HostFrame): void {
    this.code.drop(frame);
  }

  run(_budget: number): number {
    return TRAP_BUDGET;
  }
}
