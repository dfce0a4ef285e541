/**
 * vm_fault: from an access the hardware refused to a real PTE that permits it, or to the reason why not.
 *
 *   1  map entry of the address                          map.ts
 *   2  page of the object: linear, or by the walk        vpagetable.ts
 *   3  frame of the page: resident, brought in           object.ts, pager.ts
 *      from the swap device, or zero-filled
 *   4  real PTE, and its reverse record                  pmap/hardware.ts
 *
 * Nothing waits between the walk and the real PTE made from it: an invalidation comes before the one or after the other.
 * What has to wait ends the fault with nothing held, and is begun again from the map entry when it has been waited for.
 *
 *   refused                                              result
 *   no entry; an entry of the virtual page table;        FAULT_INVALID     SIGSEGV
 *   the device cannot deliver the page
 *   entry protection; a frame beyond the object          FAULT_PROTECTION  SIGBUS
 *   no frame for data, a virtual table or a page table   FAULT_NO_MEMORY
 *   the page, or memory for it, is on the way            FAULT_WAIT        invisible
 */

import { type Access, type HostFrame, type ObjectPage, PAGE_SIZE, type VirtualPage } from '../base/units.ts';
import type { Hardware } from '../machine/index.ts';
import type { Pmap } from '../pmap/index.ts';
import { FAULT_INVALID, FAULT_NO_MEMORY, FAULT_OK, FAULT_PROTECTION, FAULT_WAIT, type RefusalReason, type VmCounters } from './counters.ts';
import type { VmMap, VmMapEntry } from './map.ts';
import type { VmObject, VmObjects } from './object.ts';
import { PG_FRESH, PG_REFERENCED, type VmPages } from './page.ts';
import { ROOM_LATER, ROOM_NOW } from './pager.ts';
import { missingReason, refusalResult, VpagetableWalker } from './vpagetable.ts';

/** More than a fault can need frames for: a table of each level, of both kinds, and the page. */
const MAX_ATTEMPTS = 16;

/** The fault handler of a machine. After a refusal `reason` and `level` say why. */
export class VmFault {
  reason: RefusalReason = 'none';
  /** As Refusal.level. */
  level = -1;
  readonly walker: VpagetableWalker;
  readonly #objects: VmObjects;
  readonly #pages: VmPages;
  readonly #counters: VmCounters;

  constructor(machine: Hardware, objects: VmObjects) {
    this.#objects = objects;
    this.#pages = objects.pages;
    this.#counters = objects.counters;
    this.walker = new VpagetableWalker(machine, objects.pages, objects.counters);
  }

  /**
   * Resolves a fault. Hot: allocates nothing, but the object of anonymous memory at its first touch.
   * @param va     byte address, any number
   * @param access READ, WRITE or EXEC
   * @returns FAULT_OK: the access will now find its translation; or FAULT_*, and no translation has changed
   */
  resolve(map: VmMap, pmap: Pmap, va: number, access: Access): number {
    const counters = this.#counters;
    counters.faults++;
    const page = Math.floor(va / PAGE_SIZE);
    let result = this.#resolve(map, pmap, page, access);
    if (result === FAULT_NO_MEMORY) result = this.#resolveInNewRoom(map, pmap, page, access);
    if (result === FAULT_OK) {
      counters.ok++;
      this.reason = 'none';
    } else if (result === FAULT_INVALID) counters.invalid++;
    else if (result === FAULT_PROTECTION) counters.protection++;
    else if (result === FAULT_WAIT) counters.waits++;
    else counters.noMemory++;
    return result;
  }

  /** Makes room and tries again. Each attempt may find other tables and pages missing, but no more than there are levels. */
  #resolveInNewRoom(map: VmMap, pmap: Pmap, page: number, access: Access): number {
    const { io } = this.#objects;
    if (io === null) return FAULT_NO_MEMORY;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const room = io.makeRoom();
      if (room === ROOM_LATER) return this.#refuse(FAULT_WAIT, 'wait');
      if (room !== ROOM_NOW) return FAULT_NO_MEMORY;
      const result = this.#resolve(map, pmap, page, access);
      if (result !== FAULT_NO_MEMORY) return result;
    }
    return FAULT_NO_MEMORY;
  }

  #resolve(map: VmMap, pmap: Pmap, page: number, access: Access): number {
    const entry = map.lookup(page);
    if (entry === null) return this.#refuse(FAULT_INVALID, 'no-entry');
    if ((entry.protection & access) !== access) return this.#refuse(FAULT_PROTECTION, 'entry-protection');
    const object = entry.object ?? this.#allocateObject(entry);
    let index = page - entry.start + entry.offset;
    let rights = entry.protection;
    if (entry.format !== null) {
      const walker = this.walker;
      const result = walker.walk(object, entry.format, entry.rootLo, entry.rootHi, index, access);
      if (result !== FAULT_OK) return this.#refuse(result, walker.reason, walker.level);
      index = walker.page;
      rights &= walker.rights;
    }
    if (index >= object.sizePages) return this.#refuse(FAULT_PROTECTION, 'beyond-object', entry.format === null ? -1 : this.walker.level);
    const frame = object.fill(index as ObjectPage);
    if (frame <= 0) return this.#refuseMissing(frame);
    if (!pmap.enter(page as VirtualPage, frame as HostFrame, access, rights)) return this.#refuse(FAULT_NO_MEMORY, 'no-frames');
    const { flags } = this.#pages;
    flags[frame] = (flags[frame] & ~PG_FRESH) | PG_REFERENCED;
    return FAULT_OK;
  }

  /** Gives anonymous memory its object, which only this entry knows. */
  #allocateObject(entry: VmMapEntry): VmObject {
    const object = this.#objects.create(entry.end - entry.start);
    entry.object = object;
    entry.offset = 0;
    return object;
  }

  /** Refuses for a page of which fill() said PAGE_*. */
  #refuseMissing(missing: number): number {
    const reason = missingReason(missing);
    return this.#refuse(refusalResult(reason), reason);
  }

  #refuse(result: number, reason: RefusalReason, level = -1): number {
    this.reason = reason;
    this.level = level;
    return result;
  }
}
