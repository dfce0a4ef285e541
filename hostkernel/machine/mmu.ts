/**
 * Mmu: translation as the hart, and TypeScript processes, see it. The walk itself is paging/walk.ts; the entries it
 * fills are drawn in tlb.ts.
 *
 *   access -> first part of the TLB block (inline, in the interpreter) -> translate(): second part -> walk -> fill
 *
 * A translation context is what the satp register is on real hardware, a root and a format, plus a TLB block of its
 * own on every hart that has used it. There are fewer blocks than contexts: the one not used for the longest time loses
 * its block. So a switch of address spaces flushes nothing, and a context that was away for long starts with an empty
 * block.
 *
 *   blocks   | hart 0: 0 .. n-1 | hart 1: n .. 2n-1 | ...      n = TLB_BLOCKS / harts
 *
 * What is forgotten is forgotten on all harts before the call returns. Each block of another hart that had to be
 * reached counts as a shoot-down: on real hardware it is an interrupt.
 */

import { kassert } from '../base/assert.ts';
import { EXEC, PAGE_SHIFT, PAGE_SIZE, READ, WRITE, type Access, type HostFrame } from '../base/units.ts';
import type { TranslationContext } from './hardware.ts';
import { ATTR_ACCESSED, ATTR_DIRTY, type PageTableFormat } from './paging/format.ts';
import { WALK_BUS, WALK_HIT, compileWalk, type HardwareWalk } from './paging/index.ts';
import { TLB_BASE, TLB_BLOCKS, TLB_BLOCK_BYTES, type Ram } from './ram.ts';
import {
  ADDEND,
  TAG_EXEC,
  TAG_READ,
  TAG_WRITE,
  clearBlock,
  clearPage,
  clearWriteTags,
  copyEntry,
  firstEntry,
  forEachEntry,
  isInFirstPart,
  secondEntry,
} from './tlb.ts';

/** translate(): the walk refuses. */
export const TRANSLATE_PAGE_FAULT = -1;
/** translate(): the tables name memory that does not exist. */
export const TRANSLATE_ACCESS_FAULT = -2;

/** Harts a machine may have. */
export const MAX_HARTS = 4;

/** Pages from which on it is cheaper to clear a whole TLB block. */
const RANGE_PAGES = 512;

/** What the MMU must know of decoded code: a frame that has some never gets a write tag. */
export interface CodeFrames {
  /** Whether decoded code of `frame` is kept. */
  has(frame: number): boolean;
  /** Drops the decoded code of `frame`, if any. */
  drop(frame: HostFrame): void;
}

/** Looks on as harts access memory: Mmu.watch. */
export interface AccessWatcher {
  /**
   * An access that the page tables permit is about to be made, or a page entered to execute instructions in it. Hot.
   *
   * Of an access on two pages each part is told, the first one also when the second is refused: it is translated again
   * when the instruction is tried again.
   * @param lo      lower half of the address, i32; `hi` the upper
   * @param bytes   on this page; of a page entered, 2: the least an instruction has
   * @param access  READ, WRITE, READ | WRITE of an atomic operation, EXEC
   * @param retired instructions the machine has retired, this one included; of a page entered, those before
   */
  accessed(lo: number, hi: number, bytes: number, access: Access, retired: number): void;
}

/**
 * The TLB blocks and their owners.
 *
 * Invariants (assertInvariants):
 *   I1  a block's owner knows it has that block, on that hart, and no other context does
 *   I2  a cached translation names a frame of RAM
 *   I3  a write tag's frame has no decoded code, and the block's bit in `#writers`
 *   I4  while somebody looks on, first parts are empty
 */
export class Mmu {
  readonly ram: Ram;
  readonly code: CodeFrames;
  /** Walks made since power-on, and the page-table entries they read: what a benchmark reports beside times. */
  walks = 0;
  walkReferences = 0;
  /** Blocks of harts other than the running one that an invalidation had to reach. */
  shootDowns = 0;
  readonly harts: number;
  /** The hart that runs: its blocks are the ones contexts use. */
  hart = 0;
  /** Who looks on. While somebody does, nothing is in the first part of any block: every access takes the slow path. */
  watcher: AccessWatcher | null = null;
  /** Grows whenever a context gets a block or becomes the hart's: the time scale of "not used for the longest time". */
  epoch = 0;
  readonly #owners: (MmuContext | null)[] = Array.from({ length: TLB_BLOCKS }, () => null);
  readonly #perHart: number; // blocks
  readonly #walks = new Map<PageTableFormat, HardwareWalk>();
  readonly #writers: Uint32Array; // per frame: bit b is set if block b may hold a write tag of it

  constructor(ram: Ram, code: CodeFrames, harts: number) {
    kassert(TLB_BLOCKS <= 32, 'mmu: one bit a block');
    kassert(Number.isInteger(harts) && harts >= 1 && harts <= MAX_HARTS, 'mmu: harts');
    this.harts = harts;
    this.#perHart = Math.floor(TLB_BLOCKS / harts);
    this.ram = ram;
    this.code = code;
    this.#writers = new Uint32Array(ram.frames);
  }

  /**
   * Gives `context` an empty block of the running hart: a free one, or that of the context not used for the longest time.
   */
  acquire(context: MmuContext): void {
    const first = this.hart * this.#perHart;
    let victim = first;
    let oldest = Infinity;
    for (let i = first; i < first + this.#perHart; i++) {
      const age = this.#owners[i]?.lastUse ?? -1;
      if (age < oldest) {
        oldest = age;
        victim = i;
      }
    }
    const owner = this.#owners[victim];
    if (owner !== null) owner.setBlock(this.hart, -1);
    this.#owners[victim] = context;
    context.lastUse = ++this.epoch;
    const block = blockWord(victim);
    context.setBlock(this.hart, block);
    clearBlock(this.ram.i32, block);
  }

  /** Makes hart `k` the one that runs: contexts use its blocks from now on. */
  select(k: number): void {
    kassert(k >= 0 && k < this.harts, 'mmu: no such hart');
    const before = this.hart * this.#perHart;
    for (let i = before; i < before + this.#perHart; i++) {
      const owner = this.#owners[i];
      if (owner !== null) owner.block = -1;
    }
    this.hart = k;
    const after = k * this.#perHart;
    for (let i = after; i < after + this.#perHart; i++) {
      const owner = this.#owners[i];
      if (owner !== null) owner.block = blockWord(i);
    }
  }

  /**
   * From now on `watcher` is told every access of a hart; null: nobody is. What a program does and what the kernel counts
   * stay as they are; only `walks` and `walkReferences` may grow faster, because a translation has one place in the TLB
   * less.
   */
  watch(watcher: AccessWatcher | null): void {
    this.watcher = watcher;
    for (const [i, owner] of this.#owners.entries()) if (owner !== null) clearBlock(this.ram.i32, blockWord(i));
  }

  /** The walk of `format` in our RAM: one for all contexts of the format. */
  walkOf(format: PageTableFormat): HardwareWalk {
    let hardware = this.#walks.get(format);
    if (hardware === undefined) {
      hardware = compileWalk(format, this.ram);
      this.#walks.set(format, hardware);
    }
    return hardware;
  }

  /** Takes back the block at word `block`. */
  release(block: number): void {
    this.#owners[blockNumber(block)] = null;
  }

  /** Notes that the block at word `block` gets a write tag of `frame`. */
  noteWriter(frame: number, block: number): void {
    this.#writers[frame] |= 1 << blockNumber(block);
  }

  /** Takes away every write tag of `frame`: its stores go the slow way from now on. */
  revokeWriteTags(frame: HostFrame): void {
    const writers = this.#writers[frame];
    if (writers === 0) return;
    for (let i = 0; i < TLB_BLOCKS; i++) {
      if ((writers & (1 << i)) !== 0) clearWriteTags(this.ram.i32, blockWord(i), this.ram.offsetOf(frame));
    }
    this.#writers[frame] = 0;
  }

  assertInvariants(): void {
    const words = this.ram.i32;
    for (const [i, owner] of this.#owners.entries()) {
      if (owner === null) continue;
      const block = blockWord(i);
      const hart = Math.floor(i / this.#perHart);
      kassert(owner.blocks[hart] === block && (hart !== this.hart || owner.block === block), 'mmu I1');
      forEachEntry(words, block, (entry) => {
        kassert(this.watcher === null || !isInFirstPart(block, entry), 'mmu I4');
        for (const tag of [TAG_READ, TAG_WRITE, TAG_EXEC]) {
          if (words[entry + tag] === -1) continue;
          const offset = (words[entry + tag] + words[entry + ADDEND]) >>> 0;
          const frame = (offset - this.ram.base) / 4096;
          kassert(Number.isInteger(frame) && frame >= 0 && frame < this.ram.frames, 'mmu I2');
          if (tag === TAG_WRITE) kassert(!this.code.has(frame) && (this.#writers[frame] & (1 << i)) !== 0, 'mmu I3');
        }
      });
    }
  }
}

function blockWord(block: number): number {
  return (TLB_BASE + block * TLB_BLOCK_BYTES) >>> 2;
}

function blockNumber(word: number): number {
  return (word * 4 - TLB_BASE) / TLB_BLOCK_BYTES;
}

/**
 * One address space as the hardware sees it: the root of its tables and their format.
 *
 * A *narrow* context belongs to a 32-bit program: no address has an upper half, and its interpreter does not compare
 * one. In a wide context the first and the last page of every 4 GiB are never in the first part of the TLB: there an
 * access may add an offset to the lower half of an address without looking whether it carries.
 */
export class MmuContext implements TranslationContext {
  readonly mmu: Mmu;
  readonly format: PageTableFormat;
  readonly root: HostFrame;
  /** Word index of our TLB block of the running hart, -1 if we have none there. Only Mmu changes it from outside. */
  block = -1;
  /** The same by hart. */
  readonly blocks: Int32Array;
  /** Epoch of the last use. */
  lastUse = 0;
  #narrow = false;
  readonly #hardware: HardwareWalk;
  readonly #words: Int32Array;

  constructor(mmu: Mmu, format: PageTableFormat, root: HostFrame) {
    this.mmu = mmu;
    this.format = format;
    this.root = root;
    this.#words = mmu.ram.i32;
    this.#hardware = mmu.walkOf(format);
    this.blocks = new Int32Array(mmu.harts).fill(-1);
  }

  /**
   * Translates as the hardware does: cached, and the walk sets accessed and dirty bits. Hot: allocates nothing.
   *
   * For a write to a page with decoded code the code is dropped first, so whoever writes to the offset needs to tell
   * nobody. Hold the offset no longer than the page tables stay as they are and the hart does not run.
   * @param va     any number; what is no address is refused
   * @param access READ, WRITE or EXEC, one of them
   * @returns byte offset into the machine's memory, or -1 when the walk refuses
   */
  lookup(va: number, access: Access): number {
    if (!(va >= 0 && va < 9007199254740992)) return -1;
    const lo = va | 0;
    const hi = ((va - (lo >>> 0)) * 2.3283064365386963e-10) | 0;
    const block = this.block;
    if (block >= 0) {
      this.lastUse = this.mmu.epoch;
      const entry = firstEntry(block, lo);
      const tag = entry + (access & 6);
      if (this.#words[tag] === (lo & -4096) && this.#words[tag + 1] === hi) return (lo + this.#words[entry + ADDEND]) >>> 0;
    }
    const offset = this.translate(lo, hi, access);
    if (offset < 0) return -1;
    if (access === WRITE) this.mmu.code.drop(((offset - this.mmu.ram.base) >>> PAGE_SHIFT) as HostFrame);
    return offset;
  }

  /**
   * Translates what missed in the first part of our TLB block, and fills it. Hot: allocates nothing.
   *
   * A write to a page with decoded code is translated but not cached; the caller takes care of the code.
   * @param lo     lower half of the address, i32
   * @param hi     upper half, i32
   * @param access READ, WRITE or EXEC, one of them
   * @returns byte offset into the machine's memory, TRANSLATE_PAGE_FAULT or TRANSLATE_ACCESS_FAULT
   */
  translate(lo: number, hi: number, access: Access): number {
    const words = this.#words;
    const page = lo & -4096;
    if (this.block < 0) this.mmu.acquire(this);
    this.lastUse = this.mmu.epoch;
    const block = this.block;
    const second = secondEntry(block, lo, hi);
    const tag = second + (access & 6);
    if (words[tag] !== page || words[tag + 1] !== hi) {
      if (this.#narrow && hi !== 0) return TRANSLATE_PAGE_FAULT;
      const result = this.#walk(lo, hi, access);
      if (result < 0) return result;
      this.#fill(second, page, hi);
    }
    if (words[tag] === page && this.#isFast(page)) copyEntry(words, firstEntry(block, lo), second);
    return (lo + words[second + ADDEND]) >>> 0;
  }

  /**
   * Makes this a context of 32-bit programs, or of 64-bit ones. It stays what it was made first in practice; a change
   * forgets all translations.
   */
  setNarrow(narrow: boolean): void {
    if (this.#narrow === narrow) return;
    this.#narrow = narrow;
    this.invalidateAll();
  }

  /** The TLB block's word index; a context without one gets one. Marks the context as used. */
  useBlock(): number {
    if (this.block < 0) this.mmu.acquire(this);
    else this.lastUse = ++this.mmu.epoch;
    return this.block;
  }

  /** Walks the tables for an address; the result is in `#hardware.result`. Returns 0 or TRANSLATE_*. */
  #walk(lo: number, hi: number, access: Access): number {
    const { mmu } = this;
    const { walk, result } = this.#hardware;
    const outcome = walk(this.root, lo, hi, access);
    mmu.walks++;
    mmu.walkReferences += result.references;
    if (outcome !== WALK_HIT) return outcome === WALK_BUS ? TRANSLATE_ACCESS_FAULT : TRANSLATE_PAGE_FAULT;
    return result.frame < mmu.ram.frames ? 0 : TRANSLATE_ACCESS_FAULT;
  }

  /** Whether the page may be in the first part: see the class comment, and Mmu.watcher. */
  #isFast(page: number): boolean {
    return this.mmu.watcher === null && (this.#narrow || (page !== 0 && page !== -4096));
  }

  /** Writes the last walk's result over the entry at word `second`, for every kind of access it permits. */
  #fill(second: number, page: number, hi: number): void {
    const words = this.#words;
    const { frame, attributes } = this.#hardware.result;
    const isCode = this.mmu.code.has(frame);
    const mayRead = (attributes & READ) !== 0 && (attributes & ATTR_ACCESSED) !== 0;
    const mayWrite = (attributes & WRITE) !== 0 && (attributes & ATTR_DIRTY) !== 0 && !isCode;
    const mayExecute = (attributes & EXEC) !== 0 && (attributes & ATTR_ACCESSED) !== 0;
    words[second + TAG_READ] = mayRead ? page : -1;
    words[second + TAG_READ + 1] = mayRead ? hi : -1;
    words[second + TAG_WRITE] = mayWrite ? page : -1;
    words[second + TAG_WRITE + 1] = mayWrite ? hi : -1;
    words[second + TAG_EXEC] = mayExecute ? page : -1;
    words[second + TAG_EXEC + 1] = mayExecute ? hi : -1;
    words[second + ADDEND] = (this.mmu.ram.base + frame * PAGE_SIZE - page) | 0;
    if (mayWrite) this.mmu.noteWriter(frame, this.block);
  }

  /** Forgets the translation of the page at `va`. To be called whenever its entry got fewer rights or another frame. */
  invalidatePage(va: number): void {
    if (!(va >= 0 && va < 9007199254740992)) return;
    const hi = ((va - (va >>> 0)) * 2.3283064365386963e-10) | 0;
    if (this.block >= 0) clearPage(this.#words, this.block, va | 0, hi);
    if (this.mmu.harts === 1) return;
    for (let hart = this.#other(-1); hart >= 0; hart = this.#other(hart)) clearPage(this.#words, this.blocks[hart], va | 0, hi);
  }

  /** Forgets the translations of the pages [start, end). */
  invalidateRange(start: number, end: number): void {
    if (end - start > RANGE_PAGES) this.invalidateAll();
    else for (let page = start; page < end; page++) this.invalidatePage(page * PAGE_SIZE);
  }

  /** Forgets all translations. */
  invalidateAll(): void {
    if (this.block >= 0) clearBlock(this.#words, this.block);
    if (this.mmu.harts === 1) return;
    for (let hart = this.#other(-1); hart >= 0; hart = this.#other(hart)) clearBlock(this.#words, this.blocks[hart]);
  }

  /** Gives the TLB blocks back. The context may still be used: it then gets others. */
  release(): void {
    for (let hart = 0; hart < this.blocks.length; hart++) {
      if (this.blocks[hart] < 0) continue;
      this.mmu.release(this.blocks[hart]);
      this.setBlock(hart, -1);
    }
  }

  /** For Mmu: our block of `hart` is the one at word `block`, or -1: none. */
  setBlock(hart: number, block: number): void {
    this.blocks[hart] = block;
    if (hart === this.mmu.hart) this.block = block;
  }

  /** The next hart after `hart` that does not run and has a block of ours, or -1. Counts a shoot-down. */
  #other(hart: number): number {
    for (let k = hart + 1; k < this.blocks.length; k++) {
      if (k === this.mmu.hart || this.blocks[k] < 0) continue;
      this.mmu.shootDowns++;
      return k;
    }
    return -1;
  }
}
