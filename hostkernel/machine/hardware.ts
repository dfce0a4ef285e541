/**
 * Hardware: what a host kernel runs on, as types. There are two: `Machine` (machine.ts), and the machine that a host
 * kernel offers to a kernel that is one of its processes (vkernel/nest). vm/, pmap/ and kern/ are written against this
 * file, so the same kernel runs on both.
 *
 *   frame --ram.offsetOf--> byte offset in the views of memory         one frame at a time: frames need not lie in a row
 *   va ---context.lookup--> byte offset in the views of memory         what the hardware would find, or -1: a page fault
 *
 * An offset is good until the end of the scheduler step it was taken in, or until a page fault or a call to whoever is
 * below could have moved the frame: take it again rather than keep it.
 */

import type { Access, HostFrame } from '../base/units.ts';
import type { BlockDevice } from './block-device.ts';
import type { Clock } from './clock.ts';
import type { Console } from './console.ts';
import type { PageTableFormat } from './paging/format.ts';

/** The memory of a kernel. The views are of the one real memory, whoever's kernel it is. */
export interface RamView {
  /** Frames there are: 0 .. frames - 1. */
  readonly frames: number;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly f64: Float64Array;
  /** Byte offset of `frame` in the views, for reading and writing its 4096 bytes. Hot. */
  offsetOf(frame: HostFrame): number;
}

/** One address space as the hardware sees it: the root of its page tables and their format. */
export interface TranslationContext {
  readonly format: PageTableFormat;
  readonly root: HostFrame;
  /**
   * Translates as the hardware does; sets accessed and dirty bits. Hot.
   * @returns byte offset in the views of memory, or -1: a page fault
   */
  lookup(va: number, access: Access): number;
  /** Forgets the translation of the page at `va`. To be called whenever its entry got fewer rights or another frame. */
  invalidatePage(va: number): void;
  /** The same for the pages [start, end), page numbers. Cost: at most that of forgetting everything. */
  invalidateRange(start: number, end: number): void;
  /** Forgets all translations. */
  invalidateAll(): void;
  /** Gives back what the hardware keeps for this space. It must not be used again. */
  release(): void;
}

/** A processor in user mode: registers, and `run` until a trap. */
export interface Processor {
  /** Which of the harts it is just now, from 0. */
  readonly id: number;
  /** 64 words: x[2i] is the lower half of register i, x[2i + 1] the upper. */
  readonly x: Int32Array;
  /** 64 words: f0 to f31, a 32-bit value boxed in ones. */
  readonly f: Int32Array;
  fcsr: number;
  /** Set by `run` when it wrote an f register or fcsr; the kernel clears it. */
  fpDirty: boolean;
  pcLo: number;
  pcHi: number;
  /** The program counter as a number: exact below 2^53. */
  readonly pc: number;
  setPc(pc: number): void;
  readonly xlen: 32 | 64;
  /** Instructions retired since power-on, by all harts. One that traps does not retire. */
  readonly retired: number;
  /** Of the last trap: address of a page fault, bits of an illegal instruction. */
  readonly tvalLo: number;
  readonly tvalHi: number;
  readonly tval: number;
  /** Of the last page fault: READ, WRITE or EXEC. */
  readonly access: Access;
  /** Makes `context` the address space, and `xlen` the width of registers. Ends a reservation. */
  activate(context: TranslationContext, xlen: 32 | 64): void;
  /** Executes until a trap, but at most `budget` instructions. Hot. @returns TRAP_* */
  run(budget: number): number;
  /** Takes x1 to x31 from memory: register i from words at + 2i and at + 2i + 1. */
  loadX(at: number): void;
  storeX(at: number): void;
  /** Takes f0 to f31 from memory: register i from words at + 2i and at + 2i + 1. */
  loadF(at: number): void;
  storeF(at: number): void;
  /** The kernel has changed the contents of `frame`: what was decoded from it is forgotten. */
  invalidateCode(frame: HostFrame): void;
}

/** What the hardware counts of its own page-table walks. */
export interface WalkCounters {
  readonly walks: number;
  readonly walkReferences: number;
  /** Times another hart had to be told that a translation is gone. */
  readonly shootDowns: number;
}

export interface Hardware {
  readonly ram: RamView;
  /** The processor, which takes turns at being each hart. */
  readonly hart: Processor;
  /** Harts, 1 to 4. */
  readonly harts: number;
  readonly clock: Clock;
  readonly console: Console;
  readonly disk: BlockDevice | null;
  readonly mmu: WalkCounters;
  /** First byte address that no context can translate, whatever its format says; Infinity if there is none. */
  readonly userLimit: number;
  /** Makes hart `k` the one that runs: 0 <= k < harts. Its own registers come back with it. */
  select(k: number): void;
  /** An address space with the page table at `root`. @returns null: the hardware cannot have another */
  createContext(format: PageTableFormat, root: HostFrame): TranslationContext | null;
  /**
   * The program in `owner` runs the program in `context`, and calls it `key`. Hardware that is itself a process may tell
   * whoever runs it, to be left out of their traffic; the real machine has no use for it.
   */
  delegate(context: TranslationContext, owner: TranslationContext, key: number): void;
  /**
   * A program that is not RISC-V code makes a system call in `context`: what the trap of its ecall would cost here.
   * Nothing on the real machine; in a machine that is itself a process, an ecall is executed and its trap taken.
   */
  trapFromBody(context: TranslationContext, xlen: 32 | 64): void;
}
