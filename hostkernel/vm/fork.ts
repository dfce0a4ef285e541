/**
 * fork: a second map that begins as a copy of the first. What is copied at once is the map; pages are when somebody
 * writes them (fault.ts), except where that would be too late.
 *
 *   VM_INHERIT_SHARE   the same object, the same root: the word is copied, so later roots are each space's own
 *   VM_INHERIT_COPY    the same object, and both entries need a copy: whoever writes first puts a shadow in front
 *                      at once, if others write the object too, or if the entry is wired, or if it is a piece of
 *                      a virtual page table of which another piece is inherited differently: both see all of it
 *   VM_INHERIT_NONE    nothing
 *
 * Behind a virtual page table the first access of either kind makes the shadow, because the walk writes; it is as large as
 * an object can be, so that all frames the tables name stay reachable.
 * Source: DragonFly BSD vmspace_fork(). There a shared object that is inherited by copy loses later writes of its sharers.
 */

import { type VirtualPage, WRITE } from '../base/units.ts';
import type { VmFault } from './fault.ts';
import type { VmMap, VmMapEntry } from './map.ts';
import { VM_INHERIT_COPY, VM_INHERIT_NONE, VM_INHERIT_SHARE } from './mman.ts';
import { MAX_OBJECT_PAGES, type VmObject, type VmObjects } from './object.ts';
import type { Pmap } from '../pmap/index.ts';

/** The side that forks. */
export interface ForkParent {
  readonly map: VmMap;
  readonly pmap: Pmap;
}

/** One fork: fill, then commit or undo. */
export class Fork {
  readonly #objects: VmObjects;
  readonly #fault: VmFault;
  readonly #parent: ForkParent;
  readonly #ofOne: VmObject[] = []; // objects that were of one mapping before
  readonly #copied: VmMapEntry[] = []; // entries of the parent that need a copy from now on
  readonly #made = new Map<VmObject, VmObject>(); // behind virtual page tables: the parent's object, and its copy in the child
  readonly #kept = new Set<VmObject>(); // those behind virtual page tables that the parent goes on writing, at least in part
  readonly #shared: VmMapEntry[] = []; // entries of the parent that were not shared before

  constructor(objects: VmObjects, fault: VmFault, parent: ForkParent) {
    this.#objects = objects;
    this.#fault = fault;
    this.#parent = parent;
  }

  /**
   * Enters in `child`, an empty map, what it inherits.
   * @returns false: memory ran out, or a page could not be brought in. The caller destroys the child, then calls `undo`
   */
  fill(child: VmMap): boolean {
    for (let entry = this.#parent.map.first; entry !== null; entry = entry.next) {
      if (entry.format !== null && entry.object !== null && entry.inherit !== VM_INHERIT_COPY) this.#kept.add(entry.object);
    }
    for (let entry = this.#parent.map.first; entry !== null; entry = entry.next) {
      if (entry.inherit === VM_INHERIT_NONE) continue;
      const copy = entry.inherit === VM_INHERIT_SHARE ? this.#share(entry) : this.#copy(entry);
      if (copy === null) return false;
      child.insert(copy);
    }
    return true;
  }

  /** The child exists: from now on the parent's own writes go to copies. */
  commit(): void {
    const { pmap } = this.#parent;
    for (const entry of this.#copied) {
      entry.needsCopy = true;
      pmap.protect(entry.start as VirtualPage, entry.end as VirtualPage, entry.protection & ~WRITE);
      entry.object?.collapse();
    }
  }

  /** There is no child, and its map is empty again. */
  undo(): void {
    for (const object of this.#ofOne) object.oneMapping = !object.hasShadows; // an entry that is to be shared may have got one
    for (const entry of this.#shared) entry.shared = false;
  }

  #share(entry: VmMapEntry): VmMapEntry {
    if (entry.needsCopy) this.#fault.makeOwn(this.#parent.map, entry);
    this.#noLongerOfOne(entry.object ?? this.#fault.makeObject(entry));
    if (entry.object !== null) entry.object.shared = true;
    if (!entry.shared) this.#shared.push(entry);
    entry.shared = true;
    return entry.copy(entry.start, entry.end);
  }

  #copy(entry: VmMapEntry): VmMapEntry | null {
    const { object } = entry;
    if (object !== null && !entry.needsCopy) {
      const isWritten = object.kind === 'image' || object.shared || this.#kept.has(object);
      if (isWritten || (entry.wired !== null && entry.format === null)) return this.#copyNow(entry, object);
      this.#copied.push(entry);
    }
    if (object !== null) this.#noLongerOfOne(object);
    const copy = entry.copy(entry.start, entry.end);
    copy.needsCopy = object !== null;
    copy.shared = false;
    return copy;
  }

  /** The child's entry with an object of its own, filled now; the pieces of a virtual page table stay one image. */
  #copyNow(entry: VmMapEntry, object: VmObject): VmMapEntry | null {
    const isLinear = entry.format === null;
    const made = isLinear ? undefined : this.#made.get(object);
    made?.reference();
    const own = made ?? this.#duplicate(entry, object);
    if (own === null) return null;
    if (!isLinear) this.#made.set(object, own);
    const copy = entry.copy(entry.start, entry.end);
    object.release(); // the reference of the copy
    copy.object = own;
    copy.shared = false;
    if (isLinear) copy.offset = entry.grow;
    return copy;
  }

  /** A copy of what `entry` sees of `object`. What is behind the object is behind the copy too. */
  #duplicate(entry: VmMapEntry, object: VmObject): VmObject | null {
    const isLinear = entry.format === null;
    const first = isLinear ? entry.offset - entry.grow : 0;
    const pages = isLinear ? entry.grow + entry.pages : MAX_OBJECT_PAGES;
    const { backing, backingOffset } = object;
    backing?.reference();
    const own = backing === null ? this.#objects.create(pages) : backing.shadow(pages, backingOffset + first);
    if (!own.copyFrom(object, first, isLinear ? pages : object.sizePages)) {
      own.release();
      return null;
    }
    own.oneMapping = isLinear;
    own.vpagetable = !isLinear;
    return own;
  }

  #noLongerOfOne(object: VmObject): void {
    if (!object.oneMapping) return;
    object.oneMapping = false;
    this.#ofOne.push(object);
  }
}
