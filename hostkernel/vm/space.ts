/**
 * vmspace: one address space, as the system calls see it. A map (what is mapped) and a pmap (what is translated just
 * now). The checks of mmap, munmap, mprotect, madvise and mcontrol are here; a call that returns an error has changed
 * nothing. Not here: how pages stay in memory that mlock wires (wiring.ts).
 *
 * All addresses and lengths are bytes. Sources: DragonFly BSD mmap(2), madvise(2), mcontrol(2), vkernel(7).
 */

import { EEXIST, EINVAL, ENOMEM, EOPNOTSUPP } from '../base/errno.ts';
import { kassert } from '../base/assert.ts';
import {
  type Access,
  EXEC,
  type HostFrame,
  isPageAligned,
  PAGE_SIZE,
  pageAlign,
  pagesOf,
  READ,
  type VirtualPage,
  WRITE,
} from '../base/units.ts';
import type { PageTableFormat, TranslationContext } from '../machine/index.ts';
import type { HardwarePmap } from '../pmap/index.ts';
import {
  FAULT_INVALID,
  FAULT_NAMES,
  FAULT_NO_MEMORY,
  FAULT_OK,
  FAULT_PROTECTION,
  FAULT_WAIT,
  type Refusal,
  type RefusalReason,
  type SpaceCounters,
} from './counters.ts';
import { Fork } from './fork.ts';
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
  MADV_WILLNEED,
  MAP_ANON,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NOCORE,
  MAP_NOREPLACE,
  MAP_NOSYNC,
  MAP_SHARED,
  MAP_STACK,
  MAP_TRYFIXED,
  MAP_VPAGETABLE,
  MCL_CURRENT,
  MCL_FUTURE,
  MINCORE_INCORE,
  MS_ASYNC,
  MS_INVALIDATE,
  MS_SYNC,
  VM_INHERIT_COPY,
  VM_INHERIT_NONE,
  VM_INHERIT_SHARE,
} from './mman.ts';
import { MAX_OBJECT_PAGES, PAGE_BEYOND, PAGE_ZERO, type VmObject } from './object.ts';
import { PAGE_WAIT } from './pager.ts';
import type { Vm } from './vm.ts';
import { Wiring } from './wiring.ts';

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

/** Pages a stack has before it grows: 128 KiB. */
const STACK_INITIAL = 32;

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
  readonly wiring: Wiring;
  /** Shared by all spaces of its kind. */
  readonly counters: SpaceCounters;
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
      readonly counters: SpaceCounters;
    },
  ) {
    this.#vm = vm;
    this.id = fields.id;
    this.xlen = fields.xlen;
    this.pmap = fields.pmap;
    this.context = fields.pmap.context;
    this.userEnd = fields.userEnd;
    this.vpteFormat = fields.vpteFormat;
    this.counters = fields.counters;
    this.map = new VmMap(fields.userEnd / PAGE_SIZE);
    this.wiring = new Wiring(vm, this);
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
   * A private mapping of an object sees the object's pages until it writes them: then it has copies. A stack begins with
   * its highest pages and grows down as it is touched; what is below is reserved, but a fixed mapping may take it.
   * @returns the address; of a stack, that of its reserve; or
   *   -EINVAL      anonymous with an object or an offset; length 0; MAP_VPAGETABLE with MAP_STACK or without read and write
   *                permission; MAP_FIXED and the address is not congruent with the offset, wraps, or leaves user space
   *   -EOPNOTSUPP  MAP_VPAGETABLE while vm.vkernelEnable is off
   *   -fileErrno   if given
   *   -ENOMEM      no room; too many entries or pages; more anonymous memory than an object holds; MAP_TRYFIXED over a mapping
   *   -EEXIST      MAP_NOREPLACE over a mapping
   * Waits: no, but to wire what mlockall(MCL_FUTURE) asks for. Cost: O(log entries), and with MAP_FIXED what is replaced.
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
    const mustBeFree = (flags & (MAP_TRYFIXED | MAP_NOREPLACE)) !== 0;
    const isFixed = mustBeFree || (flags & MAP_FIXED) !== 0;
    const at = addr - within;
    if (isFixed && (!(at >= 0) || !isPageAligned(at) || at + size > this.userEnd)) return -EINVAL;
    if (request.fileErrno !== undefined && request.fileErrno !== 0) return -request.fileErrno;

    const { map } = this;
    const pages = size / PAGE_SIZE;
    if (object === null && !isVpagetable && pages > MAX_OBJECT_PAGES) return -ENOMEM;
    const start = isFixed ? at / PAGE_SIZE : this.#findSpace(addr, pages);
    if (start < 0) return -ENOMEM;
    const end = start + pages;
    if (mustBeFree && !map.isFree(start, end)) return (flags & MAP_NOREPLACE) !== 0 ? -EEXIST : -ENOMEM;
    if (map.pages - map.pagesIn(start, end) + pages > map.maxPages) return -ENOMEM;
    if (!map.hasRoomFor(1 + map.splits(start, end) - map.countIn(start, end))) return -ENOMEM;

    if (isFixed) this.#unmap(start, end);
    const protection = prot & PROTECTION;
    if (isStack) this.#enterStack(start, pages, protection, flags);
    else if (object !== null || isVpagetable) this.#enterObject(start, pages, request, protection);
    else this.#enterAnonymous(start, pages, protection, flags);
    if (this.wiring.isOfAll) this.wiring.wireWhatCan(start, end);
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
    if (!this.#canClip(range)) return -ENOMEM;
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
    if (!this.map.isCovered(range.start, range.end) || !this.#canClip(range)) return -ENOMEM;
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
   * again; what mlock wired stays wired, and is mapped again by the next access. MADV_SETMAP also makes `value` the root of
   * every entry. MADV_DONTNEED and MADV_FREE forget private memory, as Linux programs expect of the first: it is zero
   * again, or what the image has. MADV_WILLNEED starts to bring in what is on the device. None of the three does anything
   * to a virtual page table. The sync and core advice is kept in the entry, the rest changes nothing.
   * @param value root VPTE in the entries' format, an integer below 2^53; any value: one that is not valid unplugs the mapping
   * @returns 0 (for len 0 too), or
   *   -EINVAL  unknown `behav`; the range wraps or leaves user space; SETMAP and `value` is out of range, or an entry is not a
   *            vpagetable; DONTNEED or FREE, and an entry is wired (then nothing has changed)
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
        this.#invalidate(range);
        return 0;
      case MADV_SETMAP:
        if (!Number.isSafeInteger(value) || value < 0) return -EINVAL;
        return this.setRoot(addr, len, value | 0, Math.floor(value / 2 ** 32) | 0);
      case MADV_DONTNEED:
      case MADV_FREE:
        return this.#forget(range);
      case MADV_WILLNEED:
        this.#bringIn(range);
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

  /**
   * MADV_SETMAP with a root of 64 bits: a format may have its valid bit where no exact number reaches.
   * @param lo lower half of the root VPTE; `hi` the upper
   * @returns as mcontrol
   */
  setRoot(addr: number, len: number, lo: number, hi: number): number {
    const range = this.#range(addr, len);
    if (range === null) return -EINVAL;
    if (range.start === range.end) return 0;
    if (this.map.overlapping(range.start, range.end).some((entry) => entry.format === null)) return -EINVAL;
    if (!this.#canClip(range)) return -ENOMEM;
    for (const entry of this.map.clip(range.start, range.end)) {
      entry.rootLo = lo | 0;
      entry.rootHi = hi | 0;
    }
    this.pmap.remove(range.start as VirtualPage, range.end as VirtualPage);
    this.map.simplify(range.start, range.end);
    return 0;
  }

  /**
   * MADV_INVAL of several ranges: all are checked before any is applied.
   * @returns 0, or -EINVAL: one of them wraps or leaves user space
   */
  invalidate(ranges: readonly { readonly addr: number; readonly len: number }[]): number {
    for (const { addr, len } of ranges) if (this.#range(addr, len) === null) return -EINVAL;
    for (const { addr, len } of ranges) this.mcontrol(addr, len, MADV_INVAL, 0);
    return 0;
  }

  // ----------------------------------------------------------------------------------------------------- access

  /**
   * Resolves a page fault. Hot.
   * @param access READ, WRITE or EXEC
   * @returns FAULT_OK, and the access will succeed; FAULT_WAIT: again when Vm.waitChannel is woken; FAULT_INVALID,
   *          FAULT_PROTECTION, FAULT_NO_MEMORY: see lastRefusal
   */
  fault(va: number, access: Access): number {
    const vm = this.#vm;
    const handler = vm.faultHandler;
    const { walks, walkReferences, walkUpdates, walkRefusals } = vm.counters;
    const result = handler.resolve(this.map, this.pmap, va, access);
    const { counters } = this;
    counters.faults++;
    if (result === FAULT_OK) counters.ok++;
    else if (result === FAULT_INVALID || result === FAULT_PROTECTION) counters.refused++;
    counters.walks += vm.counters.walks - walks;
    counters.walkReferences += vm.counters.walkReferences - walkReferences;
    counters.walkUpdates += vm.counters.walkUpdates - walkUpdates;
    counters.walkRefusals += vm.counters.walkRefusals - walkRefusals;
    if (result !== FAULT_OK && result !== FAULT_WAIT) {
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

  /** fault(), waiting on the spot for pages and memory that are under way. @returns as fault, but not FAULT_WAIT */
  faultNow(va: number, access: Access): number {
    for (;;) {
      const result = this.fault(va, access);
      if (result !== FAULT_WAIT) return result;
      if (!this.#vm.waitFor(this.#vm.waitChannel)) return FAULT_NO_MEMORY;
    }
  }

  /**
   * Byte offset in the machine's memory for an access at `va`, after a fault if need be; -1: it cannot be resolved. Waits on
   * the spot. Hot.
   */
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

  /**
   * Copies from the space into `into` as a debugger reads it: whatever the entry permits, no real PTE, no mark in a virtual
   * page table, no zero page. Waits on the spot for pages on the device.
   * @returns the bytes copied before the first page there is not
   */
  peek(va: number, into: Uint8Array): number {
    const { ram } = this.#vm.machine;
    let done = 0;
    while (done < into.length) {
      const at = (va + done) % PAGE_SIZE;
      const count = Math.min(into.length - done, PAGE_SIZE - at);
      const frame = this.#peekPage(Math.floor((va + done) / PAGE_SIZE));
      if (frame === PAGE_ZERO) into.fill(0, done, done + count);
      else if (frame <= 0) break;
      else {
        const from = ram.offsetOf(frame as HostFrame) + at;
        into.set(ram.u8.subarray(from, from + count), done);
      }
      done += count;
    }
    return done;
  }

  // ------------------------------------------------------------------------------------------------ what is in memory

  /**
   * mincore(addr, len): which pages of the range are in memory, by looking at the objects, so also without a real PTE.
   * Behind a virtual page table, whose entries are walked and not marked, a page is what the walk leads to.
   * @returns a byte for each page, MINCORE_INCORE or 0; or
   *   -EINVAL  the address is not that of a page; the range wraps or leaves user space
   *   -ENOMEM  the range has a hole
   * Source: DragonFly BSD mincore(2), which knows of virtual page tables only what has a real PTE.
   */
  mincore(addr: number, len: number): Uint8Array | number {
    const range = this.#range(addr, len);
    if (range === null || !isPageAligned(addr)) return -EINVAL;
    if (!this.map.isCovered(range.start, range.end)) return -ENOMEM;
    const found = new Uint8Array(range.end - range.start);
    for (const entry of this.map.overlapping(range.start, range.end)) {
      const last = Math.min(entry.end, range.end);
      for (let page = Math.max(entry.start, range.start); page < last; page++) {
        if (this.#isResident(entry, page)) found[page - range.start] = MINCORE_INCORE;
      }
    }
    return found;
  }

  /**
   * msync(addr, len, flags): nothing is written, since an image is nowhere but in memory and on the swap device; what is
   * left are the checks.
   * @param flags MS_*
   * @returns 0; or
   *   -EINVAL  the address is not that of a page; unknown flags, or both MS_ASYNC and MS_SYNC; the range wraps or leaves user space
   *   -ENOMEM  the range has a hole
   */
  msync(addr: number, len: number, flags: number): number {
    const range = this.#range(addr, len);
    if (range === null || !isPageAligned(addr)) return -EINVAL;
    if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) !== 0 || (flags & (MS_ASYNC | MS_SYNC)) === (MS_ASYNC | MS_SYNC)) return -EINVAL;
    return this.map.isCovered(range.start, range.end) ? 0 : -ENOMEM;
  }

  /**
   * mlock(addr, len): faults in every page around the range and keeps its frame in memory until munlock or munmap. A page
   * that may be written is made writable now, so that no later write meets a copy.
   *
   * Behind a virtual page table every entry must be valid and grant what the mapping does; it is marked modified. It is
   * the frames found now that stay: a table edited later leads to others, and MADV_INVAL drops real PTEs as ever.
   * @returns 0; or, and nothing has changed,
   *   -EINVAL  the range wraps or leaves user space
   *   -ENOMEM  the range has a hole, or a page that cannot be accessed; no memory; too many entries
   *   -EAGAIN  more pages than this space may wire (Wiring.max)
   * Waits on the spot.
   */
  mlock(addr: number, len: number): number {
    const range = this.#range(addr, len);
    if (range === null) return -EINVAL;
    if (!this.map.isCovered(range.start, range.end) || !this.#canClip(range)) return -ENOMEM;
    return this.wiring.wire(range.start, range.end);
  }

  /** munlock(addr, len): undoes mlock for the pages around the range, wired or not. @returns 0; or errors as mlock */
  munlock(addr: number, len: number): number {
    const range = this.#range(addr, len);
    if (range === null) return -EINVAL;
    if (!this.map.isCovered(range.start, range.end) || !this.#canClip(range)) return -ENOMEM;
    if (range.start === range.end) return 0;
    for (const entry of this.map.clip(range.start, range.end)) this.wiring.unwire(entry);
    this.map.simplify(range.start, range.end);
    return 0;
  }

  /**
   * mlockall(flags): MCL_CURRENT wires all that is mapped now, MCL_FUTURE from now on what mmap maps, as far as it can be.
   * @returns 0; -EINVAL no or unknown flags; -ENOMEM, -EAGAIN as mlock
   */
  mlockall(flags: number): number {
    if (flags === 0 || (flags & ~(MCL_CURRENT | MCL_FUTURE)) !== 0) return -EINVAL;
    if ((flags & MCL_CURRENT) !== 0) {
      const result = this.wiring.wire(0, this.map.endPage);
      if (result !== 0) return result;
    }
    this.wiring.isOfAll = (flags & MCL_FUTURE) !== 0;
    return 0;
  }

  /** munlockall(): nothing is wired, and nothing will be. */
  munlockall(): number {
    this.wiring.isOfAll = false;
    for (const entry of this.map.entries) this.wiring.unwire(entry);
    this.map.simplify(0, this.map.endPage);
    return 0;
  }

  // ------------------------------------------------------------------------------------------------------ fork, exec

  /**
   * minherit(addr, len, inherit): what a fork does with the pages around the range.
   * @param inherit VM_INHERIT_*
   * @returns 0; -EINVAL unknown `inherit`, the range wraps or leaves user space; -ENOMEM a hole, too many entries
   */
  minherit(addr: number, len: number, inherit: number): number {
    const range = this.#range(addr, len);
    if (range === null) return -EINVAL;
    if (inherit !== VM_INHERIT_SHARE && inherit !== VM_INHERIT_COPY && inherit !== VM_INHERIT_NONE) return -EINVAL;
    if (!this.map.isCovered(range.start, range.end) || !this.#canClip(range)) return -ENOMEM;
    if (range.start === range.end) return 0;
    for (const entry of this.map.clip(range.start, range.end)) entry.inherit = inherit;
    this.map.simplify(range.start, range.end);
    return 0;
  }

  /**
   * The address space of a forked process: what is mapped here, by each entry's inheritance (fork.ts). Nothing is wired in it.
   * @returns null: no memory, and nothing has changed
   * Waits on the spot, but only where an entry is copied at once. Cost: O(entries + real PTEs that lose write permission).
   */
  fork(): VmSpace | null {
    const vm = this.#vm;
    const child = vm.createSpace(this.context.format, this.xlen, this.counters);
    if (child === null) return null;
    child.vpteFormat = this.vpteFormat;
    child.wiring.max = this.wiring.max;
    child.map.maxEntries = this.map.maxEntries;
    child.map.maxPages = this.map.maxPages;
    const fork = new Fork(vm.objects, vm.faultHandler, this);
    if (fork.fill(child.map)) {
      fork.commit();
      return child;
    }
    child.destroy();
    fork.undo();
    return null;
  }

  /** For exec: nothing is mapped any more, nothing is wired. Limits stay. */
  clear(): void {
    this.wiring.isOfAll = false;
    this.#unmap(0, this.map.endPage);
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
    this.wiring.assertInvariants();
  }

  // ---------------------------------------------------------------------------------------------------- private

  /** The whole pages around [addr, addr + len), or null: it wraps or leaves user space. */
  #range(addr: number, len: number): PageRange | null {
    if (!(addr >= 0) || !(len >= 0) || addr + len > this.userEnd) return null;
    const start = Math.floor(addr / PAGE_SIZE);
    return { start, end: len === 0 ? start : pagesOf(addr + len) };
  }

  #canClip(range: PageRange): boolean {
    return this.map.hasRoomFor(this.map.splits(range.start, range.end));
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
    const isShared = (request.flags & MAP_SHARED) !== 0;
    const entry = new VmMapEntry({
      start,
      end: start + pages,
      object: request.object ?? this.#vm.objects.create(MAX_OBJECT_PAGES),
      offset: Math.floor(request.offset / PAGE_SIZE),
      protection,
      flags: request.flags & ENTRY_FLAGS,
      format: isVpagetable ? this.vpteFormat : null,
    });
    request.object?.reference();
    if (isVpagetable && entry.object?.kind === 'anonymous') entry.object.vpagetable = true;
    entry.shared = isShared;
    entry.inherit = isShared ? VM_INHERIT_SHARE : VM_INHERIT_COPY;
    entry.needsCopy = request.object !== null && !isShared;
    this.map.insert(entry);
    // Each private mapping has copies of its own; behind a virtual page table all its pieces have the same ones.
    if (isVpagetable && entry.needsCopy) this.#vm.faultHandler.makeOwn(this.map, entry);
    if (!isVpagetable) this.map.simplify(start, start + pages);
  }

  /** Enters anonymous memory: as more of the entry before it where that ends its object here, or else as an entry. */
  #enterAnonymous(start: number, pages: number, protection: Access, flags: number): void {
    const isShared = (flags & MAP_SHARED) !== 0;
    const fields = { start, end: start + pages, object: null, offset: 0, protection, flags: flags & ENTRY_FLAGS, format: null };
    const before = start > 0 ? this.map.lookup(start - 1) : null;
    if (before !== null && before.object !== null && mayExtend(before, before.object, fields, isShared)) {
      before.object.resize(before.object.sizePages + pages);
      this.map.extend(before, start + pages);
    } else {
      const entry = new VmMapEntry(fields);
      entry.shared = isShared;
      entry.inherit = isShared ? VM_INHERIT_SHARE : VM_INHERIT_COPY;
      this.map.insert(entry);
    }
    this.map.simplify(start, start + pages);
  }

  #enterStack(start: number, pages: number, protection: Access, flags: number): void {
    const initial = Math.min(pages, STACK_INITIAL);
    const grow = pages - initial;
    const end = start + pages;
    const entry = new VmMapEntry({
      start: end - initial,
      end,
      object: null,
      offset: grow,
      protection,
      flags: flags & ENTRY_FLAGS,
      format: null,
    });
    entry.grow = grow;
    this.map.insert(entry);
  }

  /** Removes what is mapped in [start, end): real PTEs, entries, what stacks have in reserve there, private pages. */
  #unmap(start: number, end: number): void {
    this.pmap.remove(start as VirtualPage, end as VirtualPage);
    for (const entry of this.map.remove(start, end)) {
      this.wiring.unwire(entry);
      const { object } = entry;
      if (object === null) continue;
      if (object.oneMapping && object.references > 1) forgetPages(object, entry);
      object.release();
    }
    const above = this.map.from(end);
    if (above !== null && above.start - above.grow < end) this.map.limitGrowth(above, above.start - end);
  }

  /** MADV_INVAL. */
  #invalidate(range: PageRange): void {
    const { counters, pmap } = this;
    const before = pmap.mapped;
    pmap.remove(range.start as VirtualPage, range.end as VirtualPage);
    counters.invalidations++;
    counters.invalidatedPages += range.end - range.start;
    counters.dropped += before - pmap.mapped;
  }

  /** MADV_DONTNEED, MADV_FREE. */
  #forget(range: PageRange): number {
    const { map } = this;
    const entries = map.overlapping(range.start, range.end);
    if (entries.some((entry) => entry.wired !== null)) return -EINVAL;
    const isHidden = entries.some((entry) => isPrivate(entry) && hidesOthers(entry));
    if (isHidden && !this.#canClip(range)) return -ENOMEM;
    for (const entry of isHidden ? map.clip(range.start, range.end) : entries) {
      const { object } = entry;
      if (object === null || !isPrivate(entry)) continue;
      const first = Math.max(range.start, entry.start);
      const last = Math.min(range.end, entry.end);
      if (!hidesOthers(entry)) object.discard(first - entry.start + entry.offset, last - entry.start + entry.offset);
      else this.#startAgain(entry, object);
    }
    if (isHidden) map.simplify(range.start, range.end);
    return 0;
  }

  /** Makes a private entry, the whole of it, what it was when it was mapped. */
  #startAgain(entry: VmMapEntry, object: VmObject): void {
    const { object: bottom, offset } = object.bottom;
    this.pmap.remove(entry.start as VirtualPage, entry.end as VirtualPage);
    if (bottom.kind === 'image') {
      bottom.reference();
      entry.object = bottom;
      entry.offset += offset;
      entry.needsCopy = true;
    } else {
      if (object.oneMapping && object.references > 1) forgetPages(object, entry);
      entry.object = null;
      entry.offset = entry.grow;
      entry.needsCopy = false;
    }
    object.release();
  }

  /** MADV_WILLNEED: starts to read what is on the device, until memory is short. */
  #bringIn(range: PageRange): void {
    const { pager } = this.#vm.objects;
    if (pager === null) return;
    for (const entry of this.map.overlapping(range.start, range.end)) {
      const { object } = entry;
      if (object === null || entry.format !== null) continue;
      const shift = entry.offset - entry.start;
      const last = Math.min(range.end, entry.end) + shift;
      for (let index = object.nextPage(Math.max(range.start, entry.start) + shift); index >= 0 && index < last; ) {
        if (object.peek(index) === PAGE_WAIT && object.bringIn(index) !== PAGE_WAIT) return;
        index = object.nextPage(index + 1);
      }
    }
  }

  #setFlags(range: PageRange, mask: number, flags: number): number {
    if (!this.#canClip(range)) return -ENOMEM;
    for (const entry of this.map.clip(range.start, range.end)) entry.flags = (entry.flags & ~mask) | flags;
    this.map.simplify(range.start, range.end);
    return 0;
  }

  /** What takes the place of a frame for page `page`, without a fault: a frame, PAGE_ZERO, or another value <= 0: none. */
  #peekPage(page: number): number {
    const entry = this.map.lookup(page);
    if (entry === null) return PAGE_BEYOND;
    const { object, format } = entry;
    if (object === null) return PAGE_ZERO;
    let index = page - entry.start + entry.offset;
    if (format !== null) {
      const { walker } = this.#vm.faultHandler;
      let result = walker.probe(object, format, entry.rootLo, entry.rootHi, index);
      while (result === FAULT_WAIT) {
        if (object.settle(walker.page, false) <= 0) return PAGE_BEYOND;
        result = walker.probe(object, format, entry.rootLo, entry.rootHi, index);
      }
      if (result !== FAULT_OK) return PAGE_BEYOND;
      index = walker.page;
    }
    return index < object.sizePages ? object.settle(index, false) : PAGE_BEYOND;
  }

  #isResident(entry: VmMapEntry, page: number): boolean {
    const { object, format } = entry;
    if (object === null) return false;
    let index = page - entry.start + entry.offset;
    if (format !== null) {
      const { walker } = this.#vm.faultHandler;
      if (walker.probe(object, format, entry.rootLo, entry.rootHi, index) !== FAULT_OK) return false;
      index = walker.page;
    }
    return index < object.sizePages && object.peek(index) > 0;
  }
}

/** Whether anonymous memory mapped behind `before` can be more of it: the object ends here, and is this entry's alone. */
function mayExtend(
  before: VmMapEntry,
  object: VmObject,
  next: { readonly start: number; readonly end: number; readonly protection: Access; readonly flags: number },
  isShared: boolean,
): boolean {
  if (before.end !== next.start || before.protection !== next.protection || before.flags !== next.flags) return false;
  if (
    before.shared !== isShared ||
    before.inherit !== (isShared ? VM_INHERIT_SHARE : VM_INHERIT_COPY) ||
    before.wired !== null ||
    before.needsCopy ||
    !object.oneMapping ||
    object.backing !== null
  )
    return false;
  const used = before.offset + before.pages;
  return object.sizePages === used && used + (next.end - next.start) <= MAX_OBJECT_PAGES;
}

/** Forgets the pages of an entry that is taken out; at the end of the object, also that it had them. */
function forgetPages(object: VmObject, entry: VmMapEntry): void {
  const end = entry.offset + entry.pages;
  if (end === object.sizePages && object.backing === null) object.resize(entry.offset);
  else object.discard(entry.offset, end);
}

/** Whether what is written through a linear entry is seen here only. */
function isPrivate(entry: VmMapEntry): boolean {
  return entry.format === null && !entry.shared;
}

/** Whether something would show if the pages of a private entry's object were forgotten, or somebody else would miss them. */
function hidesOthers(entry: VmMapEntry): boolean {
  return entry.object !== null && (entry.needsCopy || !entry.object.oneMapping || entry.object.backing !== null);
}
