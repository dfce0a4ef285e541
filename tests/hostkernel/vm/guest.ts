/**
 * A guest's memory as a vkernel drives it: one memory image, seen through a virtual page table and, to edit the tables,
 * linearly. Frame 0 is the root table, frames 1 .. levels - 1 the tables of the first page, the rest is data.
 */

import { PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import type { PageTableFormat } from '../../../hostkernel/machine/index.ts';
import { MAP_FIXED, MAP_SHARED, MAP_VPAGETABLE, type VmObject, type VmSpace } from '../../../hostkernel/vm/index.ts';
import { type Rig, RW, RWX } from './rig.ts';

export const V = 1;
export const W = 2;
export const USER = 4;
export const A = 0x20;
export const M = 0x40;
export const PS = 0x80;
export const NX = 0x800;

export class Guest {
  readonly rig: Rig;
  readonly space: VmSpace;
  readonly image: VmObject;
  /** Address of the linear view, in the rig's first space. */
  readonly view: number;
  readonly format: PageTableFormat;

  /** Builds the tables for page 0, all levels V and W, the leaf empty, in a space of its own; the root is set. */
  constructor(rig: Rig, pages = 64) {
    this.rig = rig;
    this.space = rig.newSpace();
    this.image = rig.vm.createObject(pages);
    this.format = this.space.vpteFormat;
    this.view = rig.space.mmap({ addr: 0, len: pages * PAGE_SIZE, prot: RW, flags: MAP_SHARED, object: this.image, offset: 0 });
    this.map(this.space);
    for (let level = this.format.levels - 1; level > 0; level--) {
      this.poke(this.format.levels - 1 - level, 0, (this.format.levels - level) * PAGE_SIZE + V + W);
    }
    this.setRoot(V + W);
  }

  /** Frame of the leaf table of page 0. */
  get leafTable(): number {
    return this.format.levels - 1;
  }

  /** Maps the whole user range of `space` through the tables. */
  map(space: VmSpace): void {
    const flags = MAP_SHARED | MAP_FIXED | MAP_VPAGETABLE;
    const at = space.mmap({ addr: 0, len: space.userEnd, prot: RWX, flags, object: this.image, offset: 0 });
    if (at !== 0) throw new Error(`mmap: ${at}`);
  }

  setRoot(value: number, space = this.space): void {
    const result = space.mcontrol(0, space.userEnd, 11, value);
    if (result !== 0) throw new Error(`mcontrol: ${result}`);
  }

  /** Stores an entry, through the linear view. */
  poke(frame: number, slot: number, value: number): void {
    const at = this.view + frame * PAGE_SIZE + slot * this.format.entryBytes;
    this.rig.store32(at, value % 2 ** 32);
    if (this.format.entryBytes === 8) this.rig.store32(at + 4, Math.floor(value / 2 ** 32));
  }

  /** The lower half of an entry. */
  peek(frame: number, slot: number): number {
    return this.rig.load32(this.view + frame * PAGE_SIZE + slot * this.format.entryBytes);
  }

  /** Sets the leaf of virtual page `page` < 512; no invalidation. */
  leaf(page: number, value: number): void {
    this.poke(this.leafTable, page, value);
  }

  inval(page: number, space = this.space): void {
    space.mcontrol(page * PAGE_SIZE, PAGE_SIZE, 10, 0);
  }

  /** FAULT_* of an access to virtual page `page`, made as a fault even if a translation is cached. */
  fault(page: number, access: number): number {
    return this.space.fault(page * PAGE_SIZE, access);
  }

  /** Whether a real PTE permits the access to virtual page `page` just now, without a fault. */
  permits(page: number, access: number): boolean {
    return this.space.context.lookup(page * PAGE_SIZE, access) >= 0;
  }

  load(page: number): number {
    return this.rig.load32(page * PAGE_SIZE, this.space);
  }

  store(page: number, value: number): number {
    return this.rig.store32(page * PAGE_SIZE, value, this.space);
  }
}

export { READ, WRITE };
