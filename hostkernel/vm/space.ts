/**
 * vmspace: one address space, as the system calls see it. A map (what is mapped) and a pmap (what is translated just
 * now). The checks of mmap, munmap, mprotect, madvise and mcontrol are here; a call that returns an error has changed
 * nothing.
 *
 * All addresses and lengths are bytes. Sources: DragonFly BSD mmap(2), madvise(2), mcontrol(2), vkernel(7).
 */

import { EINVAL, ENOMEM, EOPNOTSUPP } from '../base/errno.ts';
import { kassert } from '../base/assert.ts';
import { type Access, EXEC, isPageAligned, PAGE_SIZE, pageAlign, pagesOf, READ, type VirtualPage, WRITE } from '../base/units.ts';
import type { PageTableFormat, TranslationContext } from '../machine/index.ts';
import type { HardwarePmap } from '../pmap/index.ts';
import { FAULT_NAMES, FAULT_NO_MEMORY, FAULT_OK, FAULT_WAIT, type Refusal, type RefusalReason } from './counters.ts';
import { VmMap, VmMapEntry } from './map.ts';
import {
  MADV_AUTOSYNC,
  MADV_CORE,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_INVAL,
  MADV_NOCORE,
  MADV_NORMAL,
  MADV_NOSYNC,
  MADV_SETMAP,
  MAP_ANON,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NOCORE,
  MAP_NOSYNC,
  MAP_SHARED,
  MAP_STACK,
  MAP_TRYFIXED,
  MAP_VPAGETABLE,
} from './mman.ts';
import { MAX_OBJECT_PAGES, type VmObject } from './object.ts';
import type { Vm } from './vm.ts';

/** What mmap is asked for. */
export interface MmapRequest {
  /** Where; without MAP_FIXED or MAP_TRYFIXED a hint, 0 = anywhere. */
  readonly addr: number;
  readonly len: number;
  /** PROT_*. */
  readonly prot: number;
  /** MAP_*. */
  readonly flags: number;
  /** What to map; null: anonymous memory. */
  readonly object: VmObject | null;
  /** Where in the object, or in the range of the virtual page table, the mapping begins. */
  readonly offset: number;
  /** Why the caller's descriptor cannot be mapped: a positive errno, reported in its place among the checks. */
  readonly fileErrno?: number;
}

/** A range of a map, in pages. */
interface PageRange {
  readonly start: number;
  readonly end: number;
}

const PROTECTION = READ | WRITE | EXEC;
const ENTRY_FLAGS = MAP_NOSYNC | MAP_NOCORE;

export class VmSpace {
  readonly id: number;
  readonly xlen: 32 | 64;
  /** What a hart activates, and what translates for a process in TypeScript. */
  readonly context: TranslationContext;
  /** First byte address beyond user space. */
  readonly userEnd: number;
  /** Format of virtual page tables mapped from now on. */
  vpteFormat: PageTableFormat;
  readonly map: VmMap;
  readonly pmap: HardwarePmap;
  readonly #vm: Vm;
  readonly #refusal: { reason: RefusalReason; level: number } = { reason: 'none', level: -1 };
  #destroyed = false;

  /** Made by Vm.createSpace. */
  constructor(
    vm: Vm,
    fields: {
      readonly id: number;
      readonly xlen: 32 | 64;
      readonly pmap: HardwarePmap;
      readonly userEnd: number;
      readonly vpteFormat: PageTableFormat;
    },
  ) {
    this.#vm = vm;
    this.id = fields.id;
    this.xlen = fields.xlen;
    this.pmap = fields.pmap;
    this.context = fields.pmap.context;
    this.userEnd = fields.userEnd;
    this.vpteFormat = fields.vpteFormat;
    this.map = new VmMap(fields.userEnd / PAGE_SIZE);
  }

  /** Why the last fault of this space was refused. */
  get lastRefusal(): Refusal {
    return this.#refusal;
  }

  // ---------------------------------------------------------------------------------------------------- mapping

  /**
   * mmap: maps an object, anonymous memory, or either through a virtual page table (MAP_VPAGETABLE).
   *
   * A virtual page table starts with root 0: nothing is mapped until MADV_SETMAP, except in the format of 2006, where 0
   * names frame 0 as the directory. Its `offset` shifts the index into the table, never the frames found. Anonymous
   * memory behind one is as large as an object can be, so that its frames do not depend on the length of the mapping.
   * A private mapping of anonymous memory is the same as a shared one: nothing else can reach it.
   * @returns the address, or
   *   -EINVAL      anonymous with an object or an offset; length 0; MAP_VPAGETABLE with MAP_STACK or without read and write
   *                permission; MAP_FIXED and the address is not congruent with the offset, wraps, or leaves user space
   *   -EOPNOTSUPP  MAP_VPAGETABLE while vm.vkernelEnable is off; a private mapping of an object, since there is no copy-on-write
   *   -fileErrno   if given
   *   -ENOMEM      no room; too many entries; more anonymous memory than an object holds; MAP_TRYFIXED over a mapping
   * Waits: no. Cost: O(entries), and with MAP_FIXED the real PTEs replaced.
   */
  mmap(request: MmapRequest): number {
    const { addr, len, prot, flags, object, offset } = request;
    const isVpagetable = (flags & MAP_VPAGETABLE) !== 0;
    const isStack = (flags & MAP_STACK) !== 0;
    if ((flags & (MAP_ANON | MAP_ANONYMOUS)) !== 0 && (object !== null || offset !== 0)) return -EINVAL;
    if (!(len > 0) || !(offset >= 0)) return -EINVAL;
    if (isVpagetable && !this.#vm.vkernelEnable) return -EOPNOTSUPP;
    if (isStack && (isVpagetable || object !== null)) return -EINVAL;
    if ((isVpagetable || isStack) && (prot & (READ | WRITE)) !== (READ | WRITE)) return -EINVAL;
    const within = offset % PAGE_SIZE;
    const size = pageAlign(len + within);
    const isFixed = (flags & (MAP_FIXED | MAP_TRYFIXED)) !== 0;
    const at = addr - within;
    if (isFixed && (!(at >= 0) || !isPageAligned(at) || at + size > this.userEnd)) return -EINVAL;
    if (request.fileErrno !== undefined && request.fileErrno !== 0) return -request.fileErrno;
    if (object !== null && (flags & MAP_SHARED) === 0) return -EOPNOTSUPP;

    const pages = size / PAGE_SIZE;
    if (object === null && !isVpagetable && pages > MAX_OBJECT_PAGES) return -ENOMEM;
    if (!this.map.hasRoomFor(2)) return -ENOMEM; // itself, and the rest of an entry it lands in
    const start = isFixed ? at / PAGE_SIZE : this.#findSpace(addr, pages);
    if (start < 0) return -ENOMEM;
    if ((flags & MAP_TRYFIXED) !== 0 && !this.map.isFree(start, start + pages)) return -ENOMEM;

    if (isFixed) this.#unmap(start, start + pages);
    const protection = prot & PROTECTION;
    if (object !== null || isVpagetable) this.#enterObject(start, pages, request, protection);
    else this.#enterAnonymous(start, pages, protection, flags & ENTRY_FLAGS);
    return start * PAGE_SIZE + within;
  }

  /**
   * munmap: removes the mappings of whole pages around [addr, addr + len). Frames stay with their object, but for private
   * anonymous memory, which is forgotten.
   * @returns 0 (for len 0 too), or
   *   -EINVAL  the range wraps, leaves user space, or has a hole
   *   -ENOMEM  too many entries, if it splits one
   */
  munmap(addr: number, len: number): number {
    const range = this.#range(addr, len);
    if (range === null || !this.map.isCovered(range.start, range.end)) return -EINVAL;
    if (range.start === range.end) return 0;
    if (!this.map.hasRoomFor(2)) return -ENOMEM;
    this.#unmap(range.start, range.end);
    return 0;
  }

  /**
   * mprotect: sets the protection of whole pages around [addr, addr + len). Real PTEs lose what is no longer permitted and
   * gain nothing: the next fault does that.
   * @returns 0 (for len 0 too), or
   *   -EINVAL  the range wraps or leaves user space
   *   -ENOMEM  the range has a hole; too many entries, if it splits one
   */
  mprotect(addr: number, len: number, prot: number): number {
    const range = this.#range(addr, len);
    if (range === null) return -EINVAL;
    if (range.start === range.end) return 0;
    if (!this.map.isCovered(range.start, range.end) || !this.map.hasRoomFor(2)) return -ENOMEM;
    const protection = prot & PROTECTION;
    for (const entry of this.map.clip(range.start, range.end)) entry.protection = protection;
    this.pmap.protect(range.start as VirtualPage, range.end as VirtualPage, protection);
    this.map.simplify(range.start, range.end);
    return 0;
  }

  /** madvise(addr, len, behav): mcontrol without a value, and so without MADV_SETMAP. */
  madvise(addr: number, len: number, behav: number): number {
    return behav > MADV_INVAL ? -EINVAL : this.mcontrol(addr, len, behav, 0);
  }

  /**
   * mcontrol(addr, len, behav, value): gives advice, or changes or refreshes a virtual page table. Holes are skipped.
   *
   * MADV_INVAL drops the real PTEs of the range, in this space only; the caller has edited VPTEs and wants them read
   * again. MADV_SETMAP also makes `value` the root of every entry. MADV_DONTNEED and MADV_FREE forget private anonymous
   * memory, as Linux programs expect of the first. The sync and core advice is kept in the entry, the rest changes nothing.
   * @param value root VPTE in the entries' format, an integer below 2^53; any value: one that is not valid unplugs the mapping
   * @returns 0 (for len 0 too), or
   *   -EINVAL  unknown `behav`; the range wraps or leaves user space; SETMAP and `value` is out of range, or an entry is not a
   *            vpagetable (then nothing has changed)
   *   -ENOMEM  too many entries, if it splits one
   * Waits: no. Cost: O(entries + real PTEs in the range).
   * Source: DragonFly BSD mcontrol(2). Ours validates before it applies; there a mixed range was half done.
   */
  mcontrol(addr: number, len: number, behav: number, value: number): number {
    if (!(behav >= MADV_NORMAL && behav <= MADV_SETMAP)) return -EINVAL;
    const range = this.#range(addr, len);
    if (range === null) return -EINVAL;
    if (range.start === range.end) return 0;
    switch (behav) {
      case MADV_INVAL:
        this.pmap.remove(range.start as VirtualPage, range.end as VirtualPage);
        return 0;
      case MADV_SETMAP:
        return this.#setMap(range, value);
      case MADV_DONTNEED:
      case MADV_FREE:
        this.#forget(range);
        return 0;
      case MADV_NOSYNC:
        return this.#setFlags(range, MAP_NOSYNC, MAP_NOSYNC);
      case MADV_AUTOSYNC:
        return this.#setFlags(range, MAP_NOSYNC, 0);
      case MADV_NOCORE:
        return this.#setFlags(range, MAP_NOCORE, MAP_NOCORE);
      case MADV_CORE:
        return this.#setFlags(range, MAP_NOCORE, 0);
      default:
        return 0;
    }
  }

  // ----------------------------------------------------------------------------------------------------- access

  /**
   * Resolves a page fault. Hot.
   * @param access READ, WRITE or EXEC
   * @returns FAULT_OK, and the access will succeed; FAULT_WAIT: again when Vm.waitChannel is woken; or FAULT_INVALID,
   * FAULT_PROTECTION, FAULT_NO_MEMORY: see lastRefusal
   */
  fault(va: number, access: Access): number {
    const vm = this.#vm;
    const handler = vm.faultHandler;
    const walks = vm.counters.walks;
    const result = handler.resolve(this.map, this.pmap, va, access);
    if (result !== FAULT_OK) {
      this.#refusal.reason = handler.reason;
      this.#refusal.level = handler.level;
      vm.lastRefused.va = va;
      vm.lastRefused.reason = handler.reason;
      vm.lastRefused.level = handler.level;
    }
    if (vm.tracer.walk !== null && vm.counters.walks !== walks) {
      const { references, level } = handler.walker;
      vm.tracer.walk({ space: this.id, va, access, references, result: handler.reason, level });
    }
    if (vm.tracer.fault !== null) {
      vm.tracer.fault({ layer: 'host', space: this.id, va, access, pc: vm.machine.hart.pc, result: FAULT_NAMES[result] });
    }
    return result;
  }

  /** As fault(), but what has to wait is waited for on the spot. @returns FAULT_*, not FAULT_WAIT */
  faultNow(va: number, access: Access): number {
    for (;;) {
      const result = this.fault(va, access);
      if (result !== FAULT_WAIT) return result;
      if (!this.#vm.waitFor(this.#vm.waitChannel)) return FAULT_NO_MEMORY;
    }
  }

  /** Byte offset in the machine's memory for an access at `va`, after a fault if need be; -1: it cannot be resolved. Hot. */
  translate(va: number, access: Access): number {
    const offset = this.context.lookup(va, access);
    if (offset >= 0) return offset;
    return this.faultNow(va, access) === FAULT_OK ? this.context.lookup(va, access) : -1;
  }

  /** Copies from the space into `into`, faulting pages in. Returns the bytes copied before the first unresolvable page. */
  copyIn(va: number, into: Uint8Array): number {
    const { u8 } = this.#vm.machine.ram;
    let done = 0;
    while (done < into.length) {
      const count = Math.min(into.length - done, PAGE_SIZE - ((va + done) % PAGE_SIZE));
      const from = this.translate(va + done, READ);
      if (from < 0) break;
      into.set(u8.subarray(from, from + count), done);
      done += count;
    }
    return done;
  }

  /** Copies `from` into the space, faulting pages in. Returns the bytes copied before the first unresolvable page. */
  copyOut(va: number, from: Uint8Array): number {
    const { u8 } = this.#vm.machine.ram;
    let done = 0;
    while (done < from.length) {
      const count = Math.min(from.length - done, PAGE_SIZE - ((va + done) % PAGE_SIZE));
      const to = this.translate(va + done, WRITE);
      if (to < 0) break;
      u8.set(from.subarray(done, done + count), to);
      done += count;
    }
    return done;
  }

  /** A space that begins as a copy of this one; null: no memory, and nothing has changed. */
  fork(): VmSpace | null {
    return null;
  }

  /** Ends the space: real PTEs first, then the mappings, then the page tables. It must not be used again. */
  destroy(): void {
    kassert(!this.#destroyed, 'vmspace: destroyed twice');
    this.#destroyed = true;
    this.#unmap(0, this.map.endPage);
    this.pmap.destroy();
    this.#vm.forget(this);
  }

  assertInvariants(): void {
    this.map.assertInvariants();
  }

  // ---------------------------------------------------------------------------------------------------- private

  /** The whole pages around [addr, addr + len), or null: it wraps or leaves user space. */
  #range(addr: number, len: number): PageRange | null {
    if (!(addr >= 0) || !(len >= 0) || addr + len > this.userEnd) return null;
    const start = Math.floor(addr / PAGE_SIZE);
    return { start, end: len === 0 ? start : pagesOf(addr + len) };
  }

  /** The first page of free room at or above the hint; for a hint without room, above the lowest quarter of the space. */
  #findSpace(hint: number, pages: number): number {
    if (hint > 0) {
      const found = this.map.findSpace(pagesOf(hint), pages);
      if (found >= 0) return found;
    }
    return this.map.findSpace(Math.floor(this.map.endPage / 4), pages);
  }

  #enterObject(start: number, pages: number, request: MmapRequest, protection: Access): void {
    const isVpagetable = (request.flags & MAP_VPAGETABLE) !== 0;
    request.object?.reference();
    this.map.insert(
      new VmMapEntry({
        start,
        end: start + pages,
        object: request.object ?? this.#vm.createObject(MAX_OBJECT_PAGES),
        offset: Math.floor(request.offset / PAGE_SIZE),
        protection,
        flags: request.flags & ENTRY_FLAGS,
        oneMapping: false,
        format: isVpagetable ? this.vpteFormat : null,
      }),
    );
    if (!isVpagetable) this.map.simplify(start, start + pages);
  }

  /** Enters anonymous memory: as more of the entry before it where that ends its object here, or else as an entry. */
  #enterAnonymous(start: number, pages: number, protection: Access, flags: number): void {
    const before = start > 0 ? this.map.lookup(start - 1) : null;
    if (before !== null && this.#mayExtend(before, start, pages, protection, flags)) {
      before.object?.resize(before.object.sizePages + pages);
      this.map.extend(before, start + pages);
    } else {
      this.map.insert(
        new VmMapEntry({ start, end: start + pages, object: null, offset: 0, protection, flags, oneMapping: true, format: null }),
      );
    }
    this.map.simplify(start, start + pages);
  }

  #mayExtend(before: VmMapEntry, start: number, pages: number, protection: Access, flags: number): boolean {
    if (before.end !== start || !before.oneMapping || before.protection !== protection || before.flags !== flags) return false;
    const used = before.offset + (before.end - before.start);
    return used + pages <= MAX_OBJECT_PAGES && (before.object === null || before.object.sizePages === used);
  }

  /** Removes what is mapped in [start, end): real PTEs, entries, private pages. */
  #unmap(start: number, end: number): void {
    this.pmap.remove(start as VirtualPage, end as VirtualPage);
    for (const entry of this.map.remove(start, end)) {
      if (entry.object === null) continue;
      if (entry.oneMapping) entry.object.discard(entry.offset, entry.offset + (entry.end - entry.start));
      entry.object.release();
    }
  }

  #setMap(range: PageRange, value: number): number {
    if (!Number.isSafeInteger(value) || value < 0) return -EINVAL;
    if (this.map.overlapping(range.start, range.end).some((entry) => entry.format === null)) return -EINVAL;
    if (!this.map.hasRoomFor(2)) return -ENOMEM;
    for (const entry of this.map.clip(range.start, range.end)) {
      entry.rootLo = value | 0;
      entry.rootHi = Math.floor(value / 2 ** 32) | 0;
    }
    this.pmap.remove(range.start as VirtualPage, range.end as VirtualPage);
    this.map.simplify(range.start, range.end);
    return 0;
  }

  #forget(range: PageRange): void {
    for (const entry of this.map.overlapping(range.start, range.end)) {
      if (!entry.oneMapping || entry.object === null) continue;
      const first = Math.max(range.start, entry.start) - entry.start + entry.offset;
      const last = Math.min(range.end, entry.end) - entry.start + entry.offset;
      entry.object.discard(first, last);
    }
  }

  #setFlags(range: PageRange, mask: number, flags: number): number {
    if (!this.map.hasRoomFor(2)) return -ENOMEM;
    for (const entry of this.map.clip(range.start, range.end)) entry.flags = (entry.flags & ~mask) | flags;
    this.map.simplify(range.start, range.end);
    return 0;
  }
}
