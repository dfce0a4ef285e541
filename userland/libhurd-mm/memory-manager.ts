/**
 * The memory manager of one task: everything virtual about it. physmem hands out pages and never looks at addresses;
 * which region shows which page, and when a page is fetched, is decided here.
 *
 *   fault --> Regions: which store, which page --> PageCache: resident? --no--> produce it
 *                                                       | yes
 *                                                       v
 *             physmem.map, for the window of resident neighbours around the page
 *
 * Memory comes lazily: binding a region asks nobody, the first touch of a page does. The bytes of all stores lie in one
 * container; a page of it holds one store page. Mappings are a cache that physmem may empty at any time.
 *
 * Threads: the pager serves faults, another thread of the task edits the regions; both call with their own `l4`. The
 * editor's program does not run meanwhile, so the two never overlap, and #enter panics if they do.
 * Not here: the message loop (pager.ts) and the system calls' argument rules (mmap.ts).
 * Source: libhurd-mm of hurd-l4; file stores and self-paging as its design text describes them.
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { EACCES, EFAULT, EIO, ENOMEM } from '../../hostkernel/base/errno.ts';
import { type Access, EXEC, PAGE_SHIFT, PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import { invoke } from '../../vkernel/cap/rpc.ts';
import { fpagesCovering, fpageSize, type L4, type L4Wait, RIGHTS_ALL, rightsOf, type ThreadId } from '../../vkernel/l4/user.ts';
import { ALL_OR_NONE, FORCE_WRITE, PHYSMEM } from '../../vkernel/physmem/interface.ts';
import { ContainerSpace } from './container-space.ts';
import type { PageCache } from './page-cache.ts';
import { type Region, Regions } from './regions.ts';
import { anonymousStore, type AnonymousStore, type FileStore, fileStore } from './store.ts';
import type { FileBacking } from './interface.ts';

/** Most pages a fault maps, reads ahead or brings in: one window, aligned. */
export const WINDOW_PAGES = 16;

export interface MemoryOptions {
  readonly physmem: ThreadId;
  readonly control: number; // memory control that is charged
  readonly userEnd: number; // first byte address the program may not map
  readonly faultAround: number; // pages mapped at once where already resident, a power of two up to WINDOW_PAGES
  readonly cluster: number; // fresh anonymous pages brought in by a fault, a power of two up to WINDOW_PAGES
  readonly scratch: number; // address of WINDOW_PAGES pages for filling pages before the program sees them
}

export interface MemoryCounters {
  faults: number;
  unmapped: number; // no region there
  protection: number; // the region does not allow it
  misses: number; // the page was not resident
  promotions: number; // first write to a clean page
  copies: number; // first write to a page of a private file mapping
  mapRequests: number;
  pagesMapped: number;
  pagesAllocated: number;
  pagesReturned: number;
  storeReads: number; // pages read from files
  storeWrites: number; // pages written back
  evictions: number; // clean file pages given up for want of memory
}

export class MemoryManager {
  readonly regions: Regions;
  readonly counters: MemoryCounters = {
    faults: 0,
    unmapped: 0,
    protection: 0,
    misses: 0,
    promotions: 0,
    copies: 0,
    mapRequests: 0,
    pagesMapped: 0,
    pagesAllocated: 0,
    pagesReturned: 0,
    storeReads: 0,
    storeWrites: 0,
    evictions: 0,
  };
  readonly anonymous: AnonymousStore = anonymousStore();
  readonly #options: MemoryOptions;
  readonly #space = new ContainerSpace();
  readonly #files = new Map<object, FileStore>(); // by FileBacking.key
  readonly #buffer = new Uint8Array(WINDOW_PAGES * PAGE_SIZE);
  #container = 0;
  #nextAnonymous = 0; // byte offset in the anonymous store handed out next; never used again
  #busy = false;

  constructor(options: MemoryOptions) {
    this.#options = options;
    this.regions = new Regions(options.userEnd);
  }

  /** Creates the container. @returns 0, or physmem's errno */
  *start(l4: L4): Generator<L4Wait, number> {
    const label = yield* invoke(l4, this.#options.physmem, PHYSMEM.create, this.#options.control);
    if (label === 0) this.#container = l4.message.word(1);
    return label;
  }

  /** Offsets of the anonymous store for `size` bytes. */
  takeAnonymousOffsets(size: number): number {
    const offset = this.#nextAnonymous;
    this.#nextAnonymous += size;
    return offset;
  }

  /** The one store of a file; its pages stay cached after the last mapping is gone. */
  storeOf(file: FileBacking): FileStore {
    let store = this.#files.get(file.key);
    if (store === undefined) {
      store = fileStore(file);
      this.#files.set(file.key, store);
    }
    return store;
  }

  /**
   * Makes an access at `va` succeed. Hot: the path of every page fault of the program.
   * @returns 0, or why not: EFAULT no region, EACCES the region forbids it, EIO the store fails, ENOMEM
   * Waits: for physmem.
   */
  *fault(l4: L4, va: number, access: Access): Generator<L4Wait, number> {
    this.#enter();
    this.counters.faults += 1;
    const region = this.regions.find(va);
    let errno = 0;
    if (region === null || region.store === null) {
      this.counters.unmapped += 1;
      errno = EFAULT;
    } else if ((access & ~region.access) !== 0) {
      this.counters.protection += 1;
      errno = EACCES;
    } else {
      errno = yield* this.#resolve(l4, region, Math.floor(va / PAGE_SIZE), access);
    }
    this.#busy = false;
    return errno;
  }

  /** Brings the page in if it is not resident, then maps it with its neighbours. */
  *#resolve(l4: L4, region: Region, vaPage: number, access: Access): Generator<L4Wait, number> {
    const store = region.store;
    kassert(store !== null, 'memory-manager: reserved region');
    const page = vaPage - region.start / PAGE_SIZE + region.storeOffset / PAGE_SIZE;
    let cache: PageCache = store.cache;
    if (cache.find(page) < 0) {
      let errno = 0;
      if (store.kind === 'anonymous') {
        this.counters.misses += 1;
        errno = yield* this.#bringInAnonymous(l4, region, page, access);
      } else {
        const below = store.kind === 'file' ? store : store.below;
        if (below.cache.find(page) < 0) {
          this.counters.misses += 1;
          errno = yield* this.#bringInFile(l4, below, page);
        }
        if (errno === 0 && store.kind === 'private' && (access & WRITE) !== 0) errno = yield* this.#copyPage(l4, below.cache, cache, page);
        else if (store.kind === 'private') cache = below.cache;
      }
      if (errno !== 0) return errno;
    } else if ((access & WRITE) !== 0 && !cache.isDirty(page)) {
      this.counters.promotions += 1;
      cache.setDirty(page, true);
    }
    return yield* this.#mapWindow(l4, region, cache, page, vaPage, access);
  }

  /** Fresh zero pages: `cluster` of them around the page, clipped to the region and to what is resident. */
  *#bringInAnonymous(l4: L4, region: Region, page: number, access: Access): Generator<L4Wait, number> {
    const { cache } = this.anonymous;
    const first = region.storeOffset / PAGE_SIZE;
    const last = first + region.size / PAGE_SIZE;
    const vaDelta = region.start / PAGE_SIZE - first; // store page + vaDelta = virtual page
    const base = Math.floor((page + vaDelta) / this.#options.cluster) * this.#options.cluster - vaDelta;
    let from = page;
    let to = page + 1;
    while (from > first && from > base && cache.find(from - 1) < 0) from -= 1;
    while (to < last && to < base + this.#options.cluster && cache.find(to) < 0) to += 1;
    let at = yield* this.#allocate(l4, to - from, from + vaDelta);
    if (at < 0 && to - from > 1) {
      from = page;
      to = page + 1;
      at = yield* this.#allocate(l4, 1, from + vaDelta);
    }
    if (at < 0) return -at;
    const dirty = (access & WRITE) !== 0; // the neighbours of a written page are mapped writable with it
    for (let i = from; i < to; i += 1) cache.insert(i, at + i - from, dirty);
    return 0;
  }

  /** Reads a page of a file, and some behind it where the reader goes through the file in order. */
  *#bringInFile(l4: L4, store: FileStore, page: number): Generator<L4Wait, number> {
    const { cache, file } = store;
    const sizePages = Math.ceil(file.size / PAGE_SIZE);
    if (page >= sizePages) return EIO; // beyond the end of the file: a bus error
    store.window = page === store.expected ? Math.min(2 * store.window, WINDOW_PAGES) : 1;
    let count = 1;
    while (count < store.window && page + count < sizePages && cache.find(page + count) < 0) count += 1;
    store.expected = page + count;
    const bytes = this.#buffer.subarray(0, count * PAGE_SIZE).fill(0);
    const wanted = Math.min(bytes.length, file.size - page * PAGE_SIZE);
    if (file.read(page * PAGE_SIZE, bytes.subarray(0, wanted)) !== wanted) return EIO;
    this.counters.storeReads += count;
    const at = yield* this.#allocate(l4, count, page);
    if (at < 0) return -at;
    const errno = yield* this.#fillPages(l4, at, bytes);
    if (errno !== 0) {
      yield* this.#deallocate(l4, at, count);
      return errno;
    }
    for (let i = 0; i < count; i += 1) cache.insert(page + i, at + i, false);
    return 0;
  }

  /** Writes bytes into container pages through the scratch window, which the program cannot reach. */
  *#fillPages(l4: L4, containerPage: number, bytes: Uint8Array): Generator<L4Wait, number> {
    const { scratch } = this.#options;
    const pages = bytes.length / PAGE_SIZE;
    const errno = yield* this.#map(l4, containerPage, scratch / PAGE_SIZE, pages, READ | WRITE, pages);
    if (errno !== 0) return errno;
    const done = l4.tryWrite(scratch, bytes, 0, bytes.length);
    this.#flush(l4, scratch, bytes.length);
    return done === bytes.length ? 0 : EIO;
  }

  /** A logical copy of the file's page: the first write of a private mapping. */
  *#copyPage(l4: L4, from: PageCache, to: PageCache, page: number): Generator<L4Wait, number> {
    this.counters.copies += 1;
    let at = this.#space.take(1, 1, 0);
    if (at < 0) return ENOMEM;
    const { physmem } = this.#options;
    for (let tries = 0; ; tries += 1) {
      const source = from.find(page) * PAGE_SIZE;
      const container = this.#container;
      const label = yield* invoke(l4, physmem, PHYSMEM.copy, container, source, container, at * PAGE_SIZE, PAGE_SIZE, ALL_OR_NONE);
      if (label === 0) break;
      const evicted = label === ENOMEM && tries === 0 ? yield* this.#evict(l4, from, page) : 0;
      if (evicted > 0) continue;
      this.#space.giveBack(at, 1);
      at = -1;
      return label;
    }
    this.counters.pagesAllocated += 1;
    to.insert(page, at, true);
    return 0;
  }

  /** Maps the page and those around it that are resident, in a row, and good for the same rights. */
  *#mapWindow(l4: L4, region: Region, cache: PageCache, page: number, vaPage: number, access: Access): Generator<L4Wait, number> {
    const dirty = cache.isDirty(page);
    const rights = dirty ? region.access : region.access & ~WRITE;
    const at = cache.find(page);
    const window = this.#options.faultAround;
    const windowStart = Math.floor(vaPage / window) * window;
    const firstVa = Math.max(windowStart, region.start / PAGE_SIZE);
    const endVa = Math.min(windowStart + window, (region.start + region.size) / PAGE_SIZE);
    const own = region.store?.kind === 'private' && cache !== region.store.cache ? region.store.cache : null;
    let before = 0;
    while (vaPage - before > firstVa && fits(cache, page - before - 1, at - before - 1, dirty, own)) before += 1;
    let behind = 1;
    while (vaPage + behind < endVa && fits(cache, page + behind, at + behind, dirty, own)) behind += 1;
    const force = (access & WRITE) !== 0 ? FORCE_WRITE : 0;
    return yield* this.#map(l4, at - before, vaPage - before, before + behind, rights, before + 1, force);
  }

  /**
   * Asks physmem for mappings until `needed` pages of the range are there; the rest is a gift.
   * @param rights PROT_* bits
   */
  *#map(
    l4: L4,
    containerPage: number,
    vaPage: number,
    pages: number,
    rights: Access,
    needed: number,
    force = 0,
  ): Generator<L4Wait, number> {
    const flags = rightsOf(rights) | force;
    const { physmem } = this.#options;
    for (let done = 0; done < needed; ) {
      this.counters.mapRequests += 1;
      const va = (vaPage + done) * PAGE_SIZE;
      const index = (containerPage + done) * PAGE_SIZE;
      const label = yield* invoke(l4, physmem, PHYSMEM.map, this.#container, flags, va, index, (pages - done) * PAGE_SIZE);
      const mapped = mappedPages(l4);
      this.counters.pagesMapped += mapped;
      done += mapped;
      if (done >= needed) break;
      if (label !== 0) return label === ENOMEM ? ENOMEM : EIO;
      if (mapped === 0) return EIO;
    }
    return 0;
  }

  /**
   * Fresh zero pages in the container, in a row, congruent to virtual page `near` where there is more than one.
   * @returns the first container page, or -ENOMEM
   */
  *#allocate(l4: L4, pages: number, near: number): Generator<L4Wait, number> {
    const at = this.#space.take(pages, pages > 1 ? WINDOW_PAGES : 1, near);
    if (at < 0) return -ENOMEM;
    const { physmem } = this.#options;
    for (let tries = 0; ; tries += 1) {
      const label = yield* invoke(l4, physmem, PHYSMEM.allocate, this.#container, ALL_OR_NONE, at * PAGE_SIZE, pages * PAGE_SIZE);
      if (label === 0) break;
      if (label === ENOMEM && tries === 0 && (yield* this.#evict(l4, null, 0)) > 0) continue;
      this.#space.giveBack(at, pages);
      return -ENOMEM;
    }
    this.counters.pagesAllocated += pages;
    return at;
  }

  /** Gives pages of the container back; their mappings disappear with them. */
  *#deallocate(l4: L4, containerPage: number, pages: number): Generator<L4Wait, void> {
    const { physmem } = this.#options;
    const label = yield* invoke(l4, physmem, PHYSMEM.deallocate, this.#container, containerPage * PAGE_SIZE, pages * PAGE_SIZE);
    kassert(label === 0 && l4.message.word(1) === pages * PAGE_SIZE, 'memory-manager: physmem disowns our pages');
    this.#space.giveBack(containerPage, pages);
    this.counters.pagesReturned += pages;
  }

  /** Gives up all clean pages of files: they can be read again. @returns pages given up; `keep` of `spare` stays */
  *#evict(l4: L4, spare: PageCache | null, keep: number): Generator<L4Wait, number> {
    let evicted = 0;
    for (const store of this.#files.values()) {
      evicted += yield* this.#drop(
        l4,
        store.cache,
        0,
        Number.MAX_SAFE_INTEGER,
        (page, dirty) => dirty || (store.cache === spare && page === keep),
      );
    }
    this.counters.evictions += evicted;
    return evicted;
  }

  /** Drops the resident pages [from, to) of a cache but those `stays` names. @returns pages dropped */
  *#drop(
    l4: L4,
    cache: PageCache,
    from: number,
    to: number,
    stays: ((page: number, dirty: boolean) => boolean) | null,
  ): Generator<L4Wait, number> {
    const runs: { page: number; at: number; count: number }[] = [];
    cache.forEachRun(from, to, (page, at, count, dirty) => {
      for (let i = 0; i < count; i += 1) {
        if (stays !== null && stays(page + i, dirty)) continue;
        const last = runs.at(-1);
        if (last !== undefined && last.page + last.count === page + i && last.at + last.count === at + i) last.count += 1;
        else runs.push({ page: page + i, at: at + i, count: 1 });
      }
    });
    let dropped = 0;
    for (const run of runs) {
      for (let i = 0; i < run.count; i += 1) cache.remove(run.page + i);
      yield* this.#deallocate(l4, run.at, run.count);
      dropped += run.count;
    }
    return dropped;
  }

  /** Takes our own mappings of a range away. */
  #flush(l4: L4, start: number, size: number, lost = READ | WRITE | EXEC): void {
    const rights = lost === (READ | WRITE | EXEC) ? RIGHTS_ALL : rightsOf(lost);
    for (const page of fpagesCovering(start, size, rights)) l4.unmap(page, true);
  }

  /** Binds free space to a store. Nothing is fetched. */
  bind(region: Region): void {
    this.#enter();
    this.regions.enter(region);
    this.#busy = false;
  }

  /**
   * Releases [start, start + size): mappings, regions, and the pages nobody else can name. Holes are skipped.
   * Dirty pages of a shared file mapping are written back first.
   * @returns 0, or EACCES: a reserved region is in the range (then nothing has changed)
   */
  *release(l4: L4, start: number, size: number): Generator<L4Wait, number> {
    if (this.regions.overlapping(start, size).some((map) => map.store === null)) return EACCES;
    yield* this.synchronise(l4, start, size);
    this.#enter();
    for (const piece of this.regions.remove(start, size)) yield* this.#discardPiece(l4, piece);
    this.#busy = false;
    return 0;
  }

  *#discardPiece(l4: L4, piece: Region): Generator<L4Wait, void> {
    this.#flush(l4, piece.start, piece.size);
    const store = piece.store;
    if (store === null || store.kind === 'file') return;
    const first = piece.storeOffset / PAGE_SIZE;
    yield* this.#drop(l4, store.cache, first, first + piece.size / PAGE_SIZE, null);
  }

  /** Throws the private contents of a range away: it reads as when it was bound. Shared file pages stay. */
  *discard(l4: L4, start: number, size: number): Generator<L4Wait, void> {
    this.#enter();
    for (const map of this.regions.overlapping(start, size)) {
      if (map.store === null) continue;
      const from = Math.max(map.start, start);
      const to = Math.min(map.start + map.size, start + size);
      yield* this.#discardPiece(l4, { ...map, start: from, size: to - from, storeOffset: map.storeOffset + from - map.start });
    }
    this.#busy = false;
  }

  /** Changes what a fully bound range permits. Lost rights go at once, new ones come with the next fault. */
  protect(l4: L4, start: number, size: number, access: Access): void {
    this.#enter();
    for (const piece of this.regions.remove(start, size)) {
      const lost = piece.access & ~access;
      if (lost !== 0) this.#flush(l4, piece.start, piece.size, lost === piece.access ? READ | WRITE | EXEC : lost);
      this.regions.enter({ ...piece, access });
    }
    this.#busy = false;
  }

  /** Moves the regions of [start, start + size) to free space at `to`; the pages stay where they are. */
  move(l4: L4, start: number, size: number, to: number): void {
    this.#enter();
    for (const piece of this.regions.remove(start, size)) {
      this.#flush(l4, piece.start, piece.size);
      this.regions.enter({ ...piece, start: to + (piece.start - start) });
    }
    this.#busy = false;
  }

  /** Writes the dirty pages of shared file mappings in the range back. @returns 0, or EIO: some could not be written */
  *synchronise(l4: L4, start: number, size: number): Generator<L4Wait, number> {
    this.#enter();
    let errno = 0;
    for (const map of this.regions.overlapping(start, size)) {
      if (map.store === null || map.store.kind !== 'file') continue;
      const from = Math.max(map.start, start);
      const first = (map.storeOffset + from - map.start) / PAGE_SIZE;
      const pages = (Math.min(map.start + map.size, start + size) - from) / PAGE_SIZE;
      const failed = yield* this.#writeBack(l4, map.store, first, first + pages);
      if (failed !== 0) errno = failed;
    }
    this.#busy = false;
    return errno;
  }

  /** Writes dirty pages [from, to) of a file, clean first so that a write meanwhile is seen. */
  *#writeBack(l4: L4, store: FileStore, from: number, to: number): Generator<L4Wait, number> {
    const dirty: { page: number; at: number }[] = [];
    store.cache.forEachRun(from, to, (page, at, count, isDirty) => {
      if (!isDirty) return;
      for (let i = 0; i < count; i += 1) dirty.push({ page: page + i, at: at + i });
    });
    if (dirty.length === 0) return 0;
    for (const map of this.regions.all()) if (map.store === store) this.#flush(l4, map.start, map.size, WRITE);
    const { scratch } = this.#options;
    const bytes = this.#buffer.subarray(0, PAGE_SIZE);
    let errno = 0;
    for (const { page, at } of dirty) {
      const failed = yield* this.#map(l4, at, scratch / PAGE_SIZE, 1, READ, 1);
      const readable = failed === 0 && l4.tryRead(scratch, bytes, 0, PAGE_SIZE) === PAGE_SIZE;
      this.#flush(l4, scratch, PAGE_SIZE);
      const length = Math.min(PAGE_SIZE, store.file.size - page * PAGE_SIZE);
      const written = readable && length > 0 ? (store.file.write?.(page * PAGE_SIZE, bytes.subarray(0, length)) ?? -EIO) : 0;
      if (!readable || written < 0) {
        errno = EIO;
        continue;
      }
      store.cache.setDirty(page, false);
      this.counters.storeWrites += 1;
    }
    return errno;
  }

  /** Releases every region of the program and every page, cached files included. Reserved regions stay. */
  *releaseAll(l4: L4): Generator<L4Wait, void> {
    for (const map of this.regions.overlapping(0, this.#options.userEnd))
      if (map.store !== null) yield* this.release(l4, map.start, map.size);
    this.#enter();
    for (const store of this.#files.values()) yield* this.#drop(l4, store.cache, 0, Number.MAX_SAFE_INTEGER, null);
    this.#files.clear();
    this.#busy = false;
  }

  /** Checks the database, and that every page of the container is a page of exactly one store. */
  assertInvariants(): void {
    this.regions.assertInvariants();
    const seen = new Set<number>();
    const caches = new Set<PageCache>([this.anonymous.cache]);
    for (const store of this.#files.values()) caches.add(store.cache);
    for (const map of this.regions.all()) if (map.store !== null) caches.add(map.store.cache);
    for (const cache of caches) {
      cache.forEachRun(0, Number.MAX_SAFE_INTEGER, (_page, at, count) => {
        for (let i = 0; i < count; i += 1) {
          kassert(!seen.has(at + i), 'memory-manager V4');
          seen.add(at + i);
        }
      });
    }
    kassert(seen.size === this.#space.used, 'memory-manager: a page of the container is lost');
  }

  #enter(): void {
    kassert(!this.#busy, 'memory-manager: entered twice');
    this.#busy = true;
  }
}

/** Whether store page `page` lies in container page `at`, equally dirty, and is not hidden by a page of `own`. */
function fits(cache: PageCache, page: number, at: number, dirty: boolean, own: PageCache | null): boolean {
  return at >= 0 && cache.find(page) === at && cache.isDirty(page) === dirty && (own === null || own.find(page) < 0);
}

/** Pages the map items of the reply in the message registers cover. */
function mappedPages(l4: L4): number {
  const { message } = l4;
  let bytes = 0;
  for (let i = 0; i < message.typed; i += 2) bytes += fpageSize(message.itemFpage(1 + message.untyped + i));
  return bytes / 2 ** PAGE_SHIFT;
}
