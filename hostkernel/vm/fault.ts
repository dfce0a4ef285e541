/**
 * vm_fault: from an access the hardware refused to a real PTE that permits it, or to the reason why not.
 *
 *   1  map entry of the address; a stack grows to it     map.ts
 *   2  a shadow in front of an object that needs a copy  object.ts
 *   3  page of the object: linear, or by the walk        vpagetable.ts
 *   4  frame of the page: resident, zero-filled, copied  object.ts
 *   5  real PTE, and its reverse record                  pmap/hardware-pmap.ts
 *
 * A fault is one transaction. Where it would have to wait, for a page to come from the device or for memory, it ends with
 * FAULT_WAIT, holds nothing, and is made again from stage 1 when Vm.waitChannel is woken. So nobody runs between the walk
 * and the real PTE made from it: an invalidation comes before the one or after the other.
 *
 *   refused                                              result
 *   no entry; an entry of the virtual page table         FAULT_INVALID     SIGSEGV
 *   the device cannot deliver the page                   FAULT_INVALID     SIGSEGV
 *   entry protection; a frame beyond the object          FAULT_PROTECTION  SIGBUS
 *   no frame for data, a virtual table or a page table   FAULT_NO_MEMORY
 *   the page, or memory for it, is on the way            FAULT_WAIT        invisible
 */

import { type Access, type HostFrame, type ObjectPage, PAGE_SIZE, type VirtualPage, WRITE } from '../base/units.ts';
import type { Hardware } from '../machine/index.ts';
import type { Pmap } from '../pmap/index.ts';
import { FAULT_INVALID, FAULT_NO_MEMORY, FAULT_OK, FAULT_PROTECTION, FAULT_WAIT, type RefusalReason, type VmCounters } from './counters.ts';
import { rightsOf, type VmMap, type VmMapEntry } from './map.ts';
import { MAX_OBJECT_PAGES, type VmObject, type VmObjects } from './object.ts';
import { PAGE_NONE, ROOM_LATER, ROOM_NOW } from './pager.ts';
import { missingReason, refusalResult, VpagetableWalker } from './vpagetable.ts';

/** More than a fault can need frames for: a table of each level, of both kinds, and the page. */
const MAX_ATTEMPTS = 16;

/** The fault handler of a machine. After a refusal `reason` and `level` say why. */
export class VmFault {
  reason: RefusalReason = 'none';
  /** As Refusal.level. */
  level = -1;
  /** After FAULT_OK: the frame the page is mapped to. */
  frame = 0 as HostFrame;
  readonly walker: VpagetableWalker;
  readonly #objects: VmObjects;
  readonly #counters: VmCounters;

  constructor(machine: Hardware, objects: VmObjects) {
    this.#objects = objects;
    this.#counters = objects.counters;
    this.walker = new VpagetableWalker(machine, objects);
  }

  /**
   * Resolves a fault. Hot: allocates nothing, but the object of anonymous memory at its first touch, and a shadow.
   * @param va     byte address, any number
   * @param access READ, WRITE or EXEC
   * @returns FAULT_OK: the access will now find its translation; or FAULT_*, and no translation has changed
   */
  resolve(map: VmMap, pmap: Pmap, va: number, access: Access): number {
    const counters = this.#counters;
    counters.faults++;
    const page = Math.floor(va / PAGE_SIZE);
    let result = this.#attempt(map, pmap, page, access);
    if (result === FAULT_NO_MEMORY) result = this.#attemptInNewRoom(map, pmap, page, access);
    if (result === FAULT_OK) {
      counters.ok++;
      this.reason = 'none';
    } else if (result === FAULT_WAIT) counters.waits++;
    else if (result === FAULT_INVALID) counters.invalid++;
    else if (result === FAULT_PROTECTION) counters.protection++;
    else counters.noMemory++;
    return result;
  }

  /** Makes room and tries again. Each attempt may find other tables and pages missing, but no more than there are levels. */
  #attemptInNewRoom(map: VmMap, pmap: Pmap, page: number, access: Access): number {
    const { io } = this.#objects;
    if (io === null) return FAULT_NO_MEMORY;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const room = io.makeRoom();
      if (room === ROOM_LATER) return this.#refuse(FAULT_WAIT, 'wait');
      if (room !== ROOM_NOW) return FAULT_NO_MEMORY;
      const result = this.#attempt(map, pmap, page, access);
      if (result !== FAULT_NO_MEMORY) return result;
    }
    return FAULT_NO_MEMORY;
  }

  #attempt(map: VmMap, pmap: Pmap, page: number, access: Access): number {
    const entry = map.lookup(page) ?? map.growStack(page);
    if (entry === null) return this.#refuse(FAULT_INVALID, 'no-entry');
    if ((entry.protection & access) !== access) return this.#refuse(FAULT_PROTECTION, 'entry-protection');
    const isWrite = (access & WRITE) !== 0;
    // The walk of a virtual page table writes, so its object must be ours for any access.
    if (entry.needsCopy && (isWrite || entry.format !== null)) this.makeOwn(map, entry);
    const object = entry.object ?? this.makeObject(entry);
    let index = page - entry.start + entry.offset;
    let rights = rightsOf(entry);
    if (entry.format !== null) {
      const walker = this.walker;
      const result = walker.walk(object, entry.format, entry.rootLo, entry.rootHi, index, access);
      if (result !== FAULT_OK) return this.#refuse(result, walker.reason, walker.level);
      index = walker.page;
      rights &= walker.rights;
    }
    const level = entry.format === null ? -1 : this.walker.level;
    if (index >= object.sizePages) return this.#refuse(FAULT_PROTECTION, 'beyond-object', level);
    const frame = isWrite ? object.writable(index as ObjectPage) : object.readable(index as ObjectPage);
    if (frame <= PAGE_NONE) return this.#refuseMissing(frame, level);
    if (!isWrite && !this.#objects.own) rights &= ~WRITE; // a page of an object behind ours: a write copies it
    if (!pmap.enter(page as VirtualPage, frame as HostFrame, access, rights)) return this.#refuse(FAULT_NO_MEMORY, 'no-frames');
    this.#objects.use(frame as HostFrame);
    this.frame = frame as HostFrame;
    return FAULT_OK;
  }

  /** Gives anonymous memory its object, which only this entry knows. With room below, if it is a stack's. */
  makeObject(entry: VmMapEntry): VmObject {
    const object = this.#objects.create(entry.offset + (entry.end - entry.start));
    object.oneMapping = true;
    entry.object = object;
    return object;
  }

  /** Puts a shadow in front of the object of an entry of `map` that needs a copy, unless nobody else has the object any more. */
  makeOwn(map: VmMap, entry: VmMapEntry): void {
    const object = entry.object;
    entry.needsCopy = false;
    if (object === null) return;
    if (object.isExclusive) {
      object.becomePrivate();
    } else if (entry.format !== null) {
      entry.object = object.shadow(MAX_OBJECT_PAGES, 0);
      entry.object.vpagetable = true;
      this.#shareShadow(map, entry.object, object);
    } else {
      const shadow = object.shadow(entry.grow + (entry.end - entry.start), entry.offset - entry.grow);
      shadow.oneMapping = true;
      entry.object = shadow;
      entry.offset = entry.grow;
    }
  }

  /** The pieces of one mapping with a virtual page table stay one image: all get the shadow that one of them got. */
  #shareShadow(map: VmMap, shadow: VmObject, object: VmObject): void {
    for (let entry = map.first; entry !== null; entry = entry.next) {
      if (entry.object !== object || !entry.needsCopy || entry.format === null) continue;
      shadow.reference();
      entry.object = shadow;
      entry.needsCopy = false;
      object.release();
    }
  }

  /** Refuses for a page of which the object said PAGE_*. */
  #refuseMissing(missing: number, level: number): number {
    const reason = missingReason(missing);
    return this.#refuse(refusalResult(reason), reason, reason === 'beyond-object' ? level : -1);
  }

  #refuse(result: number, reason: RefusalReason, level = -1): number {
    this.reason = reason;
    this.level = level;
    return result;
  }
}
