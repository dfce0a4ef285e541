/**
 * What pmaps do, said slowly: a Map from page to leaf for each, and the sets of frames that were reported as referenced
 * and modified. It knows nothing of tables, large pages or TLBs.
 */

import { EXEC, type HostFrame, READ, WRITE } from '../../../hostkernel/base/units.ts';
import type { PageTableFormat } from '../../../hostkernel/machine/index.ts';

export const RIGHTS = READ | WRITE | EXEC;

export interface Leaf {
  readonly frame: number;
  rights: number;
  accessed: boolean;
  dirty: boolean;
}

export class PmapModel {
  readonly leaves = new Map<number, Leaf>();
  readonly #format: PageTableFormat;
  readonly #granted: (rights: number) => number;
  readonly #system: ModelSystem;

  constructor(system: ModelSystem, format: PageTableFormat, granted: (rights: number) => number) {
    this.#system = system;
    this.#format = format;
    this.#granted = granted;
    system.pmaps.push(this);
  }

  enter(page: number, frame: number, access: number, rights: number): void {
    const old = this.leaves.get(page);
    const isWritable = (rights & WRITE) !== 0;
    let dirty = isWritable && (access & WRITE) !== 0;
    if (old !== undefined) {
      if (old.frame === frame && isWritable) dirty ||= old.dirty;
      else if (old.frame !== frame || old.dirty) this.#system.fold(old);
    }
    this.leaves.set(page, { frame, rights: this.#granted(rights), accessed: true, dirty });
  }

  remove(start: number, end: number): void {
    for (const [page, leaf] of this.leaves) if (page >= start && page < end) this.#drop(page, leaf);
  }

  protect(start: number, end: number, rights: number): void {
    const allowed = rights | ((rights & WRITE) === 0 ? 0 : READ);
    for (const [page, leaf] of this.leaves) {
      if (page < start || page >= end) continue;
      const left = this.#granted(leaf.rights & allowed) & leaf.rights;
      if (left === 0) {
        this.#drop(page, leaf);
        continue;
      }
      if ((left & WRITE) === 0 && leaf.dirty) {
        this.#system.fold(leaf);
        leaf.dirty = false;
      }
      leaf.rights = left;
    }
  }

  removeFrame(frame: number): void {
    for (const [page, leaf] of this.leaves) if (leaf.frame === frame) this.#drop(page, leaf);
  }

  /** Returns whether a leaf of `frame` had been accessed. */
  harvest(frame: number): boolean {
    let accessed = false;
    for (const [page, leaf] of this.leaves) {
      if (leaf.frame !== frame) continue;
      accessed ||= leaf.accessed;
      if (!this.#format.hasAccessed) {
        this.#drop(page, leaf);
        continue;
      }
      this.#system.fold(leaf);
      leaf.accessed = false;
      leaf.dirty = false;
    }
    return accessed;
  }

  writeProtect(frame: number): void {
    for (const [page, leaf] of this.leaves) if (leaf.frame === frame) this.protect(page, page + 1, RIGHTS & ~WRITE);
  }

  /** The rights that the hardware sees: where it has no dirty bit, a page is writable only once it is written. */
  visible(leaf: Leaf): number {
    return this.#format.hasDirty || leaf.dirty ? leaf.rights : leaf.rights & ~WRITE;
  }

  /** What an access finds, and marks: the frame, or 0. */
  access(page: number, access: number): number {
    const leaf = this.leaves.get(page);
    if (leaf === undefined || (this.visible(leaf) & access) !== access) return 0;
    if (!leaf.accessed && !this.#format.hardwareAccessed) return 0;
    if (access === WRITE && !leaf.dirty && !this.#format.hardwareDirty) return 0;
    leaf.accessed = true;
    if (access === WRITE) leaf.dirty = true;
    return leaf.frame;
  }

  #drop(page: number, leaf: Leaf): void {
    this.#system.fold(leaf);
    this.leaves.delete(page);
  }
}

export class ModelSystem {
  readonly pmaps: PmapModel[] = [];
  readonly referenced = new Set<number>();
  readonly modified = new Set<number>();

  fold(leaf: Leaf): void {
    if (leaf.accessed || leaf.dirty) this.referenced.add(leaf.frame);
    if (leaf.dirty) this.modified.add(leaf.frame);
  }

  isMapped(frame: HostFrame): boolean {
    return this.pmaps.some((pmap) => [...pmap.leaves.values()].some((leaf) => leaf.frame === frame));
  }
}
