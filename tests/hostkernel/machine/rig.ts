/**
 * A machine on the test bench: page tables are built by hand, from frames given out one after the other, and code is put
 * where the test wants it. No kernel.
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import { EXEC, PAGE_SIZE, READ, WRITE, type HostFrame } from '../../../hostkernel/base/units.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_USER,
  ENTRY_TABLE,
  Machine,
  MmuContext,
  compileLayout,
  layoutByName,
  type PageTableFormat,
} from '../../../hostkernel/machine/index.ts';

export const RW = READ | WRITE;
export const RX = READ | EXEC;
export const RWX = READ | WRITE | EXEC;

export interface RigOptions {
  readonly xlen?: 32 | 64;
  /** sv39 for RV64 and sv32 for RV32 by default. */
  readonly format?: string;
  readonly ramBytes?: number;
  readonly harts?: number;
}

export class Rig {
  readonly machine: Machine;
  readonly xlen: 32 | 64;
  readonly format: PageTableFormat;
  readonly context: MmuContext;
  #nextFrame = 1;

  constructor(options: RigOptions = {}) {
    const machine = Machine.create({ ramBytes: options.ramBytes ?? 4 * 1024 * 1024, harts: options.harts ?? 1 });
    kassert(machine !== null, 'rig: no memory');
    this.machine = machine;
    this.xlen = options.xlen ?? 64;
    const layout = layoutByName(options.format ?? (this.xlen === 64 ? 'sv39' : 'sv32'));
    kassert(layout !== null, 'rig: no such format');
    this.format = compileLayout(layout);
    this.context = this.space();
    machine.hart.activate(this.context, this.xlen);
  }

  /** Another, empty address space. */
  space(): MmuContext {
    return new MmuContext(this.machine.mmu, this.format, this.frame());
  }

  /** A frame nobody has. */
  frame(): HostFrame {
    kassert(this.#nextFrame < this.machine.ram.frames, 'rig: out of frames');
    return this.#nextFrame++ as HostFrame;
  }

  /** Word index of the leaf entry of `va`; tables on the way are made. */
  entryAt(va: number, context = this.context): number {
    const { ram } = this.machine;
    const { format } = this;
    const page = Math.floor(va / PAGE_SIZE);
    let table = context.root;
    for (let level = format.levels - 1; ; level--) {
      const at = (ram.offsetOf(table) + (format.index(level, page) << format.entryShift)) / 4;
      if (level === 0) return at;
      const hi = format.entryBytes === 8 ? ram.i32[at + 1] : 0;
      if (format.kind(level, ram.i32[at], hi) !== ENTRY_TABLE) {
        const next = this.frame();
        ram.i32[at] = format.tableLo(level, next * PAGE_SIZE);
        if (format.entryBytes === 8) ram.i32[at + 1] = format.tableHi(level, next * PAGE_SIZE);
      }
      table = (format.tableAddress(level, ram.i32[at], format.entryBytes === 8 ? ram.i32[at + 1] : 0) / PAGE_SIZE) as HostFrame;
    }
  }

  /** Maps the page at `va`. Rights are READ, WRITE, EXEC; ATTR_ACCESSED and ATTR_DIRTY unless `attributes` says otherwise. */
  map(va: number, frame: HostFrame, rights: number, context = this.context, attributes = ATTR_ACCESSED | ATTR_DIRTY): void {
    const at = this.entryAt(va, context);
    const { ram } = this.machine;
    ram.i32[at] = this.format.leafLo(0, frame, rights | ATTR_USER | attributes);
    if (this.format.entryBytes === 8) ram.i32[at + 1] = this.format.leafHi(0, frame, rights | ATTR_USER | attributes);
    context.invalidatePage(va);
  }

  /** Unmaps the page at `va`. */
  unmap(va: number, context = this.context): void {
    const at = this.entryAt(va, context);
    this.machine.ram.i32[at] = 0;
    if (this.format.entryBytes === 8) this.machine.ram.i32[at + 1] = 0;
    context.invalidatePage(va);
  }

  /** Maps `pages` new frames from `va` on. Returns the first frame; the others follow it if no table was needed. */
  mapNew(va: number, pages: number, rights: number): HostFrame {
    const frames: HostFrame[] = [];
    for (let i = 0; i < pages; i++) this.entryAt(va + i * PAGE_SIZE);
    for (let i = 0; i < pages; i++) {
      const frame = this.frame();
      this.map(va + i * PAGE_SIZE, frame, rights);
      frames.push(frame);
    }
    return frames[0];
  }

  /** Puts bytes into a frame, as a loader would. */
  put(frame: HostFrame, offset: number, bytes: Uint8Array): void {
    this.machine.ram.u8.set(bytes, this.machine.ram.offsetOf(frame) + offset);
    for (let i = 0; i <= (offset + bytes.length - 1) / PAGE_SIZE; i++) this.machine.hart.invalidateCode((frame + i) as HostFrame);
  }

  /** Sets register i. */
  setX(i: number, value: bigint | number): void {
    const bits = BigInt.asUintN(64, BigInt(value));
    this.machine.hart.x[2 * i] = Number(bits & 0xffff_ffffn);
    this.machine.hart.x[2 * i + 1] = Number(bits >> 32n);
  }

  /** Register i as an unsigned number of xlen bits. */
  x(i: number): bigint {
    const { x } = this.machine.hart;
    const lo = BigInt(x[2 * i] >>> 0);
    return this.xlen === 32 ? lo : (BigInt(x[2 * i + 1] >>> 0) << 32n) | lo;
  }
}

/** Instruction words as bytes; a number below 2^16 whose lower bits are not 3 is a compressed instruction. */
export function code(words: readonly number[]): Uint8Array {
  const bytes: number[] = [];
  for (const word of words) {
    bytes.push(word & 255, (word >>> 8) & 255);
    if ((word & 3) === 3) bytes.push((word >>> 16) & 255, word >>> 24);
  }
  return Uint8Array.from(bytes);
}
