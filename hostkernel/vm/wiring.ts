/**
 * Wiring: what mlock keeps in memory. A wired entry holds the frames that its pages had when it was wired, and each frame
 * counts who has wired it (page.ts); pageout takes none that is counted.
 *
 * Not here: the checks of mlock and its kin (space.ts). Source: DragonFly BSD mlock(2), mlockall(2).
 *
 * Invariant (assertInvariants):
 *   W1  the pages counted are those of the map's wired entries
 */
import { kassert } from '../base/assert.ts';
import { EAGAIN, ENOMEM } from '../base/errno.ts';
import { type Access, EXEC, type HostFrame, PAGE_SIZE, READ, WRITE } from '../base/units.ts';
import { FAULT_NO_MEMORY, FAULT_OK } from './counters.ts';
import type { VmMap, VmMapEntry } from './map.ts';
import type { Vm } from './vm.ts';

/** The space whose pages are wired. */
export interface WiredSpace {
  readonly map: VmMap;
  faultNow(va: number, access: Access): number;
}

export class Wiring {
  /** Pages that may be wired. */
  max = Infinity;
  /** mlockall(MCL_FUTURE): what is mapped is wired. */
  isOfAll = false;
  readonly #vm: Vm;
  readonly #space: WiredSpace;
  #pages = 0;

  constructor(vm: Vm, space: WiredSpace) {
    this.#vm = vm;
    this.#space = space;
  }

  /**
   * Wires what is not yet of pages [start, end); there is room to clip them. Waits on the spot.
   * @returns 0; or, and nothing is wired that was not, -ENOMEM: a page cannot be accessed; no memory; -EAGAIN: more than `max`
   */
  wire(start: number, end: number): number {
    if (start === end) return 0;
    const { map } = this.#space;
    const wiredNow: VmMapEntry[] = [];
    let result = 0;
    for (const entry of map.clip(start, end)) {
      if (entry.wired !== null) continue;
      result = this.#wireEntry(entry);
      if (result !== 0) break;
      wiredNow.push(entry);
    }
    if (result !== 0) for (const entry of wiredNow) this.unwire(entry);
    map.simplify(start, end);
    return result;
  }

  #wireEntry(entry: VmMapEntry): number {
    if (this.#pages + entry.pages > this.max) return -EAGAIN;
    const { pages, faultHandler } = this.#vm;
    const access = accessOf(entry);
    const frames: HostFrame[] = [];
    for (let page = entry.start; page < entry.end; page++) {
      const result = access === 0 ? FAULT_NO_MEMORY : this.#space.faultNow(page * PAGE_SIZE, access);
      if (result === FAULT_OK && pages.wire(faultHandler.frame)) {
        frames.push(faultHandler.frame);
        continue;
      }
      for (const frame of frames) pages.unwire(frame);
      return -ENOMEM;
    }
    entry.wired = frames;
    this.#pages += frames.length;
    return 0;
  }

  /** Lets the frames of an entry go, if it is wired. */
  unwire(entry: VmMapEntry): void {
    if (entry.wired === null) return;
    for (const frame of entry.wired) this.#vm.pages.unwire(frame);
    this.#pages -= entry.wired.length;
    entry.wired = null;
  }

  /** Wires what has just been mapped at [start, end), as far as that can be. */
  wireWhatCan(start: number, end: number): void {
    const { map } = this.#space;
    if (map.hasRoomFor(map.splits(start, end))) this.wire(start, end);
  }

  assertInvariants(): void {
    let wired = 0;
    for (let entry = this.#space.map.first; entry !== null; entry = entry.next) wired += entry.wired === null ? 0 : entry.pages;
    kassert(wired === this.#pages, 'wiring W1');
  }
}

/** The access that wires a page of `entry`; 0: none is permitted. */
function accessOf(entry: VmMapEntry): Access {
  const { protection } = entry;
  if (entry.format !== null) return (protection & WRITE) !== 0 ? protection : 0;
  if ((protection & WRITE) !== 0) return WRITE;
  return (protection & READ) !== 0 ? READ : protection & EXEC;
}
