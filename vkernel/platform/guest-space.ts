/**
 * A guest address space: a virtual page table, the host's vmspace that runs on it, and the software's access to it.
 *
 *   hart         vmspace (one entry, whole user range) --> real PTEs, made by the host from our VPTEs
 *   TypeScript   access(va) --> cache of 256 pages     --> VPTE: rights checked, A and M set, as a processor would
 *
 * The vmspace is made when a hart first runs here; until then the host has nothing to invalidate. Order of every change
 * that takes something away: *clear the VPTE, invalidate, reuse the frame*. Invalidations of neighbouring pages are
 * collected into one host call; flush() must be called before the operation that caused them is over.
 *
 * Invalidated: a removal, a change that takes EXEC away, one that takes WRITE away from a page with M set, clearing A
 * or M. Not invalidated: a first entry, more rights, taking WRITE from a clean page (the host holds it read-only).
 * Source: DragonFly BSD virtual kernels, the guest pmap's rules.
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { ENOMEM } from '../../hostkernel/base/errno.ts';
import { type Access, EXEC, PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import { type Host, SYS_vmspace_create, SYS_vmspace_destroy, SYS_vmspace_mcontrol, SYS_vmspace_mmap } from '../../hostkernel/kern/host.ts';
import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_USER, ENTRY_LEAF, type PageTableFormat } from '../../hostkernel/machine/paging/index.ts';
import { MADV_INVAL, MADV_SETMAP, MAP_FIXED, MAP_SHARED, MAP_VPAGETABLE } from '../../hostkernel/vm/mman.ts';
import type { MemoryImage } from './image.ts';
import { type LeafRegistry, PageTable, type TableNode } from './page-table.ts';
import type { SpaceWatcher } from './space-watcher.ts';

const CACHE_PAGES = 256;
const NO_PAGE = Number.NaN; // in the cache: equals no page number, not even one that an access made up
const SMALL = 128; // bytes; longer runs are copied by the engine's own block copy

/** Counts of all spaces of one vkernel. */
export interface SpaceCounters {
  invalidations: number; //   host calls
  skipped: number; //         pages whose invalidation the rules let us skip
  cacheMisses: number; //     software accesses that walked
}

/**
 * End of guest user space, bytes: what the host has and the format reaches. On a 32-bit host the last page is left
 * out: a length of 2^32 does not fit into a register.
 */
export function guestUserEnd(host: Host, format: PageTableFormat): number {
  const reach = format.span(format.levels) * PAGE_SIZE;
  return Math.min(host.userEnd, reach, host.xlen === 32 ? 2 ** 32 - PAGE_SIZE : reach);
}

export class GuestSpace {
  readonly id: number;
  readonly image: MemoryImage;
  readonly table: PageTable;
  readonly userEnd: number; // bytes
  readonly #counters: SpaceCounters;
  readonly #marksItself: boolean; // the host's walk sets A and M, where the format has them
  #hosted = false; // the host has a vmspace for us
  readonly #watcher: SpaceWatcher | null;
  #watched: SpaceWatcher | null = null; // the same, once hosted
  #dead = false;
  #closing = false;
  /** For whoever collects spaces to flush: already on the list. */
  flushQueued = false;

  // Pages to be invalidated: [#staleStart, #staleEnd).
  #staleStart = 0;
  #staleEnd = 0;

  // Software translation cache, direct mapped by the low bits of the page number. A slot with `writable` set has been
  // through a write access: M is set, and the host lets us write.
  readonly #tag = new Float64Array(CACHE_PAGES).fill(NO_PAGE);
  readonly #offset = new Float64Array(CACHE_PAGES);
  readonly #epoch = new Int32Array(CACHE_PAGES);
  readonly #writable = new Uint8Array(CACHE_PAGES);

  constructor(
    id: number,
    image: MemoryImage,
    format: PageTableFormat,
    leaves: LeafRegistry,
    counters: SpaceCounters,
    watcher: SpaceWatcher | null,
  ) {
    this.id = id;
    this.#watcher = watcher;
    this.image = image;
    this.#counters = counters;
    this.#marksItself = (format.hardwareAccessed || !format.hasAccessed) && (format.hardwareDirty || !format.hasDirty);
    this.userEnd = guestUserEnd(image.host, format);
    this.table = new PageTable(image, format, leaves, this.userEnd / PAGE_SIZE, this);
  }

  /** Whether the host has a vmspace for this space. */
  get hosted(): boolean {
    return this.#hosted;
  }

  /** Makes the host's vmspace: one entry over the whole user range. @returns 0 or -errno (then nothing has changed) */
  host(): number {
    if (this.#hosted) return 0;
    if (!this.table.open()) return -ENOMEM;
    const { image, id, userEnd } = this;
    const created = image.syscall(SYS_vmspace_create, id, 0, 0);
    if (created < 0) return created;
    const flags = MAP_SHARED | MAP_FIXED | MAP_VPAGETABLE;
    let result = image.syscall(SYS_vmspace_mmap, id, 0, userEnd, READ | WRITE | EXEC, flags, image.fd); // offset 0: indexed by address
    if (result >= 0) result = image.syscall(SYS_vmspace_mcontrol, id, 0, userEnd, MADV_SETMAP, this.table.rootValue);
    if (result < 0) {
      image.syscall(SYS_vmspace_destroy, id);
      return result;
    }
    this.#hosted = true;
    this.#watched = this.#watcher;
    if (this.#watched !== null) this.#watched.hosted(this);
    return 0;
  }

  /** Runs a hart here until its next trap. @returns 0, -errno, or RUN_PREEMPTED */
  run(trapframe: number, vextframe: number): number {
    if (this.#watched !== null) this.#watched.runs(this);
    return this.image.run(this.id, trapframe, vextframe);
  }

  /** Whoever runs a hart here found that its access was refused: for who looks on. */
  refused(page: number, offset: number, access: Access): void {
    if (this.#watched !== null) this.#watched.refused(this, page, offset, access);
  }

  /**
   * Attributes of a leaf with these rights. Where a walk refuses an entry without A or D instead of setting them, they
   * are set from the start: this kernel has no use for such faults.
   */
  #attributes(access: number): number {
    const preset = this.#marksItself ? 0 : ATTR_ACCESSED | ((access & WRITE) !== 0 ? ATTR_DIRTY : 0);
    return access | ATTR_USER | preset;
  }

  /** Enters a page in an empty slot. A and M start clear. No invalidation: the slot's last removal had its own. Hot. */
  enter(leaf: TableNode, slot: number, frame: number, access: number, tag: number): void {
    this.table.write(leaf, slot, frame, this.#attributes(access), tag);
    if (this.#watched !== null) this.#watched.written(this, leaf.base + slot);
  }

  /** Removes a page. Its status bits must have been taken before. */
  remove(leaf: TableNode, slot: number): void {
    this.table.clear(leaf, slot);
    if (this.#watched !== null) this.#watched.written(this, leaf.base + slot);
    this.#stale(leaf.base + slot);
  }

  /** Changes the rights of a page whose status bits have just been taken (A and M are clear). */
  protect(leaf: TableNode, slot: number, frame: number, before: number, after: number, wasWritten: boolean): void {
    this.table.write(leaf, slot, frame, this.#attributes(after), leaf.tags[slot] as number);
    if (this.#watched !== null) this.#watched.written(this, leaf.base + slot);
    const taken = before & ~after;
    const noteless = !this.#marksItself || !this.table.format.hasDirty; // the host may hold a clean page writable
    if ((taken & EXEC) !== 0 || ((taken & WRITE) !== 0 && (wasWritten || noteless))) this.#stale(leaf.base + slot);
    else if (taken !== 0) this.#counters.skipped++;
    if (taken !== 0) this.#forget(leaf.base + slot);
  }

  /** Gives a page more rights and keeps A and M. */
  extend(leaf: TableNode, slot: number, frame: number, access: number): void {
    const { format } = this.table;
    const before = format.attributes(0, this.table.low(leaf, slot), this.table.high(leaf, slot));
    const kept = this.#marksItself ? before & (ATTR_ACCESSED | ATTR_DIRTY) : 0;
    this.table.write(leaf, slot, frame, this.#attributes(access) | kept, leaf.tags[slot] as number);
    if (this.#watched !== null) this.#watched.written(this, leaf.base + slot);
  }

  /**
   * Takes the status of a page: reads A and M, and clears them. Formats that have none, or leave
   * them to software, report both as set.
   * @returns READ if accessed, WRITE if written
   */
  takeStatus(leaf: TableNode, slot: number): number {
    const { format } = this.table;
    if (!this.#marksItself) return READ | WRITE;
    const lo = this.table.low(leaf, slot);
    const attributes = format.attributes(0, lo, this.table.high(leaf, slot));
    const status = ((attributes & ATTR_ACCESSED) !== 0 ? READ : 0) | ((attributes & ATTR_DIRTY) !== 0 ? WRITE : 0);
    const cleared = format.clearStatus(lo);
    if (cleared !== lo) {
      this.table.setLow(leaf, slot, cleared);
      if (this.#watched !== null) this.#watched.written(this, leaf.base + slot);
      this.#stale(leaf.base + slot);
    }
    return status;
  }

  /** Notes that the host must forget `page`, and forgets it here. */
  #stale(page: number): void {
    this.#forget(page);
    if (!this.#hosted || this.#closing) return;
    if (page === this.#staleEnd && this.#staleStart !== this.#staleEnd) this.#staleEnd = page + 1;
    else if (page < this.#staleStart || page >= this.#staleEnd) {
      this.flush();
      this.#staleStart = page;
      this.#staleEnd = page + 1;
    }
  }

  #forget(page: number): void {
    const i = page & (CACHE_PAGES - 1);
    if (this.#tag[i] === page) this.#tag[i] = NO_PAGE;
  }

  /** Tells the host what is stale. After this the frames may be used again. */
  flush(): void {
    this.flushQueued = false;
    if (this.#staleStart === this.#staleEnd) return;
    const start = this.#staleStart;
    const len = (this.#staleEnd - start) * PAGE_SIZE;
    this.#staleStart = 0;
    this.#staleEnd = 0;
    this.#counters.invalidations++;
    const result = this.image.syscall(SYS_vmspace_mcontrol, this.id, start * PAGE_SIZE, len, MADV_INVAL, 0);
    kassert(result === 0, 'guest-space: the host refused MADV_INVAL');
    if (this.#watched !== null) this.#watched.invalidated(this, start, len / PAGE_SIZE);
  }

  /** Frees page tables that map nothing. @returns frames freed */
  trim(): number {
    return this.table.trim((page, pages) => {
      if (!this.#hosted) return;
      this.flush();
      this.#staleStart = page;
      this.#staleEnd = page + Math.min(pages, this.table.pageLimit - page);
      if (this.#watched !== null) this.#watched.trimmed(this, page, this.#staleEnd - page);
      this.flush();
    });
  }

  /** Ends the space: nothing may be mapped any more. */
  destroy(): void {
    kassert(!this.#dead, 'guest-space: destroyed twice');
    this.#dead = true;
    this.#staleStart = this.#staleEnd; // the host forgets everything at once
    if (this.#hosted) {
      const result = this.image.syscall(SYS_vmspace_destroy, this.id);
      kassert(result === 0, 'guest-space: the host refused to destroy the vmspace');
    }
    this.#hosted = false;
    this.#tag.fill(NO_PAGE);
    this.table.destroy();
    if (this.#watched !== null) this.#watched.destroyed(this);
  }

  /** Announces destroy(): from now on nothing is invalidated, because the host is about to forget everything. */
  close(): void {
    this.#closing = true;
    this.#staleStart = this.#staleEnd;
  }

  /**
   * Offset in image.bytes of the byte at `va`, as an access of a processor: rights are checked, A and M are set.
   * Hot: allocates nothing.
   * @param access PROT_* bits; the vkernel's own access to the page is to its bytes, never to run them
   * @returns -1 where a processor would fault. Good until the next host call, to the end of the page
   */
  access(va: number, access: number): number {
    const page = Math.floor(va / PAGE_SIZE);
    const i = page & (CACHE_PAGES - 1);
    if (
      this.#tag[i] === page &&
      this.#epoch[i] === this.image.epoch &&
      (access === READ || (access === WRITE && this.#writable[i] === 1))
    ) {
      return (this.#offset[i] as number) + (va - page * PAGE_SIZE);
    }
    return this.#walk(va, page, access);
  }

  #walk(va: number, page: number, access: number): number {
    const { table, image } = this;
    const leaf = table.find(page);
    if (leaf === null) return -1;
    const slot = table.slot(page);
    const { format } = table;
    const lo = table.low(leaf, slot);
    const hi = table.high(leaf, slot);
    if (format.kind(0, lo, hi) !== ENTRY_LEAF || (format.attributes(0, lo, hi) & access) !== access) return -1;
    const seen = (access & WRITE) !== 0 ? format.setDirty(lo) : format.setAccessed(lo);
    if (seen !== lo) {
      table.setLow(leaf, slot, seen);
      if (this.#watched !== null) this.#watched.written(this, page);
    }
    const offset = image.offset(format.frame(0, lo, hi), (access & WRITE) !== 0 ? WRITE : READ);
    const i = page & (CACHE_PAGES - 1);
    this.#counters.cacheMisses++;
    this.#writable[i] =
      (access & WRITE) !== 0 || (this.#tag[i] === page && this.#epoch[i] === image.epoch && this.#writable[i] === 1) ? 1 : 0;
    this.#tag[i] = page;
    this.#offset[i] = offset;
    this.#epoch[i] = image.epoch;
    return offset + (va - page * PAGE_SIZE);
  }

  /** @returns bytes copied from `va` before the first page that cannot be read. Allocates nothing for short runs. */
  read(va: number, into: Uint8Array, at: number, len: number): number {
    const { bytes } = this.image;
    let done = 0;
    while (done < len) {
      const offset = this.access(va + done, READ);
      if (offset < 0) return done;
      const run = Math.min(len - done, PAGE_SIZE - ((va + done) & (PAGE_SIZE - 1)));
      if (run > SMALL) into.set(bytes.subarray(offset, offset + run), at + done);
      else for (let i = 0; i < run; i++) into[at + done + i] = bytes[offset + i] as number;
      done += run;
    }
    return done;
  }

  /** @returns bytes copied to `va` before the first page that cannot be written. Allocates nothing for short runs. */
  write(va: number, from: Uint8Array, at: number, len: number): number {
    const { bytes } = this.image;
    let done = 0;
    while (done < len) {
      const offset = this.access(va + done, WRITE);
      if (offset < 0) return done;
      const run = Math.min(len - done, PAGE_SIZE - ((va + done) & (PAGE_SIZE - 1)));
      if (run > SMALL) bytes.set(from.subarray(at + done, at + done + run), offset);
      else for (let i = 0; i < run; i++) bytes[offset + i] = from[at + done + i] as number;
      done += run;
    }
    return done;
  }

  /** @returns bytes filled before the first page that cannot be written */
  fill(va: number, len: number, byte: number): number {
    const { bytes } = this.image;
    let done = 0;
    while (done < len) {
      const offset = this.access(va + done, WRITE);
      if (offset < 0) return done;
      const run = Math.min(len - done, PAGE_SIZE - ((va + done) & (PAGE_SIZE - 1)));
      bytes.fill(byte, offset, offset + run);
      done += run;
    }
    return done;
  }

  /** Copies forwards within the space, page piece by page piece. @returns bytes done before the first page that refuses */
  copy(dst: number, src: number, len: number): number {
    const { bytes } = this.image;
    let done = 0;
    while (done < len) {
      const from = this.access(src + done, READ);
      const to = from < 0 ? -1 : this.access(dst + done, WRITE);
      if (to < 0) return done;
      const run = Math.min(len - done, PAGE_SIZE - ((src + done) & (PAGE_SIZE - 1)), PAGE_SIZE - ((dst + done) & (PAGE_SIZE - 1)));
      bytes.copyWithin(to, from, from + run);
      done += run;
    }
    return done;
  }
}
