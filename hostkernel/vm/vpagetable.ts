/**
 * The walk of a virtual page table, made once for each real PTE: from the root in the map entry, over table pages that
 * are pages of the entry's own object, to the page of the object behind an address. The format of the entries is data
 * (machine/paging). What is done with the result is fault.ts.
 *
 *   root --check--> table page --load slot, mark A (M)--> check --> table page --> ... --> frame + rest of the index
 *   level: levels        levels - 1                                                 0, or where an entry is a leaf
 *
 * The walk never passes through a virtual page table itself: table frames are pages of the object. So it makes at most
 * `levels` steps, whatever the tables say, and needs nothing but the object.
 *
 * Where this is stricter than its model: an index the table cannot express is refused instead of wrapping, and rights
 * are intersected over the root and all levels instead of taken from the last entry.
 * Source: DragonFly BSD vm_fault_vpagetable(), 2006 to 2020.
 */

import { type Access, EXEC, type HostFrame, type ObjectPage, PAGE_SIZE, READ, WRITE } from '../base/units.ts';
import {
  ATTR_DIRTY,
  ATTR_USER,
  ENTRY_INVALID,
  ENTRY_LEAF,
  ENTRY_RESERVED,
  type Hardware,
  type PageTableFormat,
  swap32,
} from '../machine/index.ts';
import { FAULT_INVALID, FAULT_NO_MEMORY, FAULT_OK, FAULT_PROTECTION, FAULT_WAIT, type RefusalReason, type VmCounters } from './counters.ts';
import { PAGE_BEYOND, PAGE_ZERO, type VmObject, type VmObjects } from './object.ts';
import { PG_DIRTY, PG_REFERENCED, type VmPages } from './page.ts';
import { PAGE_ERROR, PAGE_WAIT } from './pager.ts';

const ALL = READ | WRITE | EXEC;

/** The walker, with the result of its last walk. One serves all spaces: a walk is never interrupted. */
export class VpagetableWalker {
  /** After FAULT_OK: page of the object; not yet compared with its size. */
  page = 0;
  /** After FAULT_OK: rights the table grants to the real PTE. */
  rights: Access = 0;
  /** After a refusal. */
  reason: RefusalReason = 'none';
  /** Level of the entry looked at last. */
  level = 0;
  /** Entries loaded. */
  references = 0;
  readonly #machine: Hardware;
  readonly #pages: VmPages;
  readonly #counters: VmCounters;

  constructor(machine: Hardware, objects: VmObjects) {
    this.#machine = machine;
    this.#pages = objects.pages;
    this.#counters = objects.counters;
  }

  /**
   * Walks for `index`. Hot: no allocation, no exception.
   * @param rootLo lower half of the root VPTE; `rootHi` the upper. The root is never written.
   * @param index  virtual page index, an integer >= 0: already relative to the mapping, with its offset added
   * @param access READ, WRITE or EXEC. For a write the entries on the way are marked modified, for the rest accessed
   * @returns FAULT_OK with `page` and `rights`; FAULT_INVALID, FAULT_PROTECTION, FAULT_NO_MEMORY or FAULT_WAIT with `reason`
   */
  walk(object: VmObject, format: PageTableFormat, rootLo: number, rootHi: number, index: number, access: Access): number {
    this.#counters.walks++;
    this.references = 0;
    const result = this.#walk(object, format, rootLo, rootHi, index, access);
    this.#counters.walkReferences += this.references;
    if (result === FAULT_INVALID || result === FAULT_PROTECTION) this.#counters.walkRefusals++;
    return result;
  }

  #walk(object: VmObject, format: PageTableFormat, rootLo: number, rootHi: number, index: number, access: Access): number {
    let level = format.levels;
    let lo = rootLo;
    let hi = rootHi;
    let rights = ALL;
    let address = ((rootHi >>> 0) * 4294967296 + (rootLo >>> 0)) * PAGE_SIZE; // where the root is no entry
    let attributes = ALL | ATTR_USER | ATTR_DIRTY;
    this.level = level;
    if (index >= format.span(level)) return this.#refuse('excess-index');
    for (let isEntry = format.rootIsEntry; ; isEntry = true) {
      if (isEntry) {
        const kind = format.kind(level, lo, hi);
        if (kind <= ENTRY_RESERVED) return this.#refuse(kind === ENTRY_INVALID ? 'not-valid' : 'reserved');
        attributes = format.attributes(level, lo, hi);
        const missing = (access | ATTR_USER) & ~attributes;
        if (missing !== 0) return this.#refuse(missingRight(missing));
        rights &= attributes;
        if (kind === ENTRY_LEAF) break;
        address = format.tableAddress(level, lo, hi);
      }
      level--;
      // Tables need not be pages, so the slot decides which page is read.
      address += format.index(level, index) << format.entryShift;
      const frame = Math.floor(address / PAGE_SIZE);
      if (frame >= object.sizePages) return this.#refuse('beyond-object');
      const found = object.writable(frame as ObjectPage);
      if (found <= 0) return this.#refuse(missingReason(found));
      const table = found as HostFrame;
      this.level = level;
      const word = this.#pages.word(table) + ((address - frame * PAGE_SIZE) >>> 2);
      const { i32 } = this.#machine.ram;
      const first = i32[word];
      const second = format.entryBytes === 8 ? i32[word + 1] : 0;
      const swapped = format.bigEndian;
      const loWord = swapped && format.entryBytes === 8 ? word + 1 : word;
      lo = swapped ? swap32(i32[loWord]) : first;
      hi = swapped && format.entryBytes === 8 ? swap32(first) : second;
      this.references++;
      this.#pages.flags[table] |= PG_REFERENCED;
      const marked = format.marked(level, lo, hi, access);
      if (marked !== lo) {
        lo = marked;
        i32[loWord] = swapped ? swap32(lo) : lo;
        this.#pages.flags[table] |= PG_DIRTY;
        this.#machine.hart.invalidateCode(table);
        this.#counters.walkUpdates++;
      }
    }
    // Mapped without write until the entry is modified, so that the first write faults and marks it.
    if ((access & WRITE) === 0 && (attributes & ATTR_DIRTY) === 0) rights &= ~WRITE;
    const span = format.leafPages(level, lo, hi);
    this.page = format.frame(level, lo, hi) + (index - Math.floor(index / span) * span);
    this.rights = rights;
    return FAULT_OK;
  }

  /**
   * Walks for `index` without changing anything: no marks, no zero pages, nothing is brought in. Rights are not looked at.
   * @returns FAULT_OK with `page`, not compared with the size of the object; FAULT_INVALID, FAULT_PROTECTION; FAULT_WAIT
   *          with `page`: this page, of a table, is not resident
   */
  probe(object: VmObject, format: PageTableFormat, rootLo: number, rootHi: number, index: number): number {
    let level = format.levels;
    let lo = rootLo;
    let hi = rootHi;
    let address = ((rootHi >>> 0) * 4294967296 + (rootLo >>> 0)) * PAGE_SIZE;
    if (index >= format.span(level)) return FAULT_INVALID;
    for (let isEntry = format.rootIsEntry; ; isEntry = true) {
      if (isEntry) {
        const kind = format.kind(level, lo, hi);
        if (kind <= ENTRY_RESERVED) return FAULT_INVALID;
        if (kind === ENTRY_LEAF) break;
        address = format.tableAddress(level, lo, hi);
      }
      level--;
      address += format.index(level, index) << format.entryShift;
      this.page = Math.floor(address / PAGE_SIZE);
      if (this.page >= object.sizePages) return FAULT_PROTECTION;
      const table = object.peek(this.page);
      if (table === PAGE_BEYOND) return FAULT_PROTECTION;
      if (table === PAGE_WAIT) return FAULT_WAIT;
      const word = this.#pages.word(table as HostFrame) + ((address - this.page * PAGE_SIZE) >>> 2);
      const { i32 } = this.#machine.ram;
      const first = table === PAGE_ZERO ? 0 : i32[word];
      const second = table === PAGE_ZERO || format.entryBytes === 4 ? 0 : i32[word + 1];
      lo = !format.bigEndian ? first : swap32(format.entryBytes === 8 ? second : first);
      hi = !format.bigEndian || format.entryBytes === 4 ? second : swap32(first);
    }
    const span = format.leafPages(level, lo, hi);
    this.page = format.frame(level, lo, hi) + (index - Math.floor(index / span) * span);
    return FAULT_OK;
  }

  #refuse(reason: RefusalReason): number {
    this.reason = reason;
    return refusalResult(reason);
  }
}

/** Why an object gave PAGE_* instead of a frame. */
export function missingReason(missing: number): RefusalReason {
  if (missing === PAGE_WAIT) return 'wait';
  if (missing === PAGE_BEYOND) return 'beyond-object';
  return missing === PAGE_ERROR ? 'pager-error' : 'no-frames';
}

/** The result of a fault that a walk, or the lack of a page, refuses. */
export function refusalResult(reason: RefusalReason): number {
  if (reason === 'no-frames') return FAULT_NO_MEMORY;
  if (reason === 'wait') return FAULT_WAIT;
  return reason === 'beyond-object' ? FAULT_PROTECTION : FAULT_INVALID;
}

/** @param missing READ, WRITE, EXEC and ATTR_USER: what the entry does not grant of what the access needs */
function missingRight(missing: number): RefusalReason {
  if ((missing & ATTR_USER) !== 0) return 'no-user';
  if ((missing & WRITE) !== 0) return 'no-write';
  return (missing & READ) !== 0 ? 'no-read' : 'no-exec';
}
