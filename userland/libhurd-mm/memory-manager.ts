/**
 * The memory manager of one task: everything virtual about it. physmem hands out pages and never looks at addresses;
 * which region shows which page, and when a page is fetched, is decided here.
 *
 *   beginFault --> Regions: which store, which page --> PageCache: resident?
 *                     | yes                                 | no, anonymous               | else
 *                     v                                     v                             v
 *             map the window of resident            provide fresh pages           fault: produce the page (file,
 *             neighbours around the page            around the page               copy, eviction), then map it
 *                     +-------- one request to physmem -----+                       as many requests as it takes
 *                                      v
 *                                 finishFault: what came? less than needed --> fault
 *
 * Memory comes lazily: binding a region asks nobody, the first touch of a page does. The bytes of all stores lie in one
 * container; a page of it holds one store page. Mappings are a cache that physmem may empty at any time.
 * When memory runs out, clean pages are given up first (files can be read again, unwritten memory is zero), then dirty
 * pages of files are written back and given up, then anonymous pages are put away, if physmem has swap space. The pages
 * that the faulting instruction has had brought in go last of all (instruction-pages.ts).
 *
 * Threads: the pager serves faults, one other thread of the task edits the regions; both call with their own `l4`. A
 * call has the manager to itself: another waits until it is done. What waits inside waits for physmem only.
 * Not here: the message loop (pager.ts), the system calls' argument rules (mmap.ts), the container (container.ts), how pages
 * are put away and taken back (swap.ts).
 * Source: libhurd-mm of hurd-l4; file stores and self-paging as its design text describes them.
 *
 * Invariants (assertInvariants):
 *   V4  a page of the container is a page of exactly one store, and no page of it is lost
 *   V5  regions of an anonymous or private store show different pages of it; each of its resident pages is shown
 *   V7  a page that was put away is of the anonymous store, and not resident
 *   V6  a clean page is never mapped writable, nor is the page below a private store
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { EACCES, EFAULT, EIO, ENOMEM } from '../../hostkernel/base/errno.ts';
import { type Access, EXEC, PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import { type L4, type L4Wait, RIGHTS_ALL, rightsOf, type ThreadId } from '../../vkernel/l4/user.ts';
import { FORCE_WRITE, LAZY } from '../../vkernel/physmem/interface.ts';
import type { PageRun } from './container-space.ts';
import { type ContainerCounters, type ContainerOptions, type Heir, TaskContainer, unmapOwn, WINDOW_PAGES } from './container.ts';
import { InstructionPages } from './instruction-pages.ts';
import type { FileBacking } from './interface.ts';
import { OffsetRange } from './offset-range.ts';
import type { PageCache } from './page-cache.ts';
import { part, type Region, Regions } from './regions.ts';
import { type Stays, Swap } from './swap.ts';
import { SwappedPages } from './swapped-pages.ts';
import { type AnonymousStore, anonymousStore, type FileStore, fileStore, type PrivateStore, privateStore, type Store } from './store.ts';

export interface MemoryOptions extends ContainerOptions {
  readonly userEnd: number; // first byte address the program may not map
  readonly faultAround: number; // pages mapped at once where already resident, a power of two up to WINDOW_PAGES
  readonly cluster: number; // fresh anonymous pages brought in by a fault, a power of two up to WINDOW_PAGES
}

export interface MemoryCounters extends ContainerCounters {
  readonly faults: number;
  readonly unmapped: number; // no region there
  readonly protection: number; // the region does not allow it
  readonly misses: number; // the page was not resident
  readonly promotions: number; // first write to a clean page
  readonly copies: number; // first write to a page of a private file mapping
  readonly storeReads: number; // reads of files, of one page or more
  readonly storeWrites: number; // pages written back
  readonly evictions: number; // clean pages given up for want of memory
  readonly swapOuts: number; // anonymous pages put away
  readonly swapIns: number; // and taken back
}

/** What beginFault and finishFault answer where it is no errno. */
export const FAULT_ASKS = -1; // the request to physmem is in the message registers
export const FAULT_UNUSUAL = -2; // one request will not do: `fault` must

/** The pages that one request is about: in a row in their store, in the container and in the address space. */
class Window {
  page = 0; // of the store: the first of them
  at = 0; // of the container; -1 while they are not resident
  vaPage = 0; // of the address space
  pages = 0;
  needed = 0; // how many must come, from the first on: the last of these is the one that is touched
  rights: Access = 0;
}

/** What a manager that is a copy begins with. */
interface ForkedMemory {
  readonly container: TaskContainer;
  readonly offsets: OffsetRange;
  readonly anonymous: AnonymousStore;
  readonly sharedAnonymous: AnonymousStore;
  readonly swapped: SwappedPages;
}

type OwnCounters = { -readonly [K in Exclude<keyof MemoryCounters, keyof ContainerCounters | 'swapOuts' | 'swapIns'>]: number };

/** Pages given up at once when memory runs out, where there are so many. */
const EVICT_PAGES = 16;
/** Microseconds between two looks whether the manager is free again. */
const BUSY_WAIT = 1;
const ALL_PAGES = Number.MAX_SAFE_INTEGER;

export class MemoryManager {
  readonly regions: Regions;
  readonly anonymous: AnonymousStore;
  readonly sharedAnonymous: AnonymousStore;
  /** Bytes; the heap of a program lies between the two. */
  breakStart = 0; // page aligned
  breakEnd = 0;
  /** Counts what changes the address space or what is resident: a fault that comes back without any of it is in vain. */
  generation = 0;
  readonly #options: MemoryOptions;
  readonly #container: TaskContainer;
  readonly #offsets: OffsetRange; // of both anonymous stores
  readonly #swap: Swap; // of `anonymous`
  readonly #files = new Map<object, FileStore>(); // by FileStore.key
  readonly #needed = new InstructionPages();
  #isForked = false; // pages may be shared copy-on-write with other tasks: a write maps the page it is about, and no other
  readonly #buffer = new Uint8Array(WINDOW_PAGES * PAGE_SIZE);
  readonly #window = new Window(); // of the fault in progress
  #fresh: PageCache | null = null; // where the fresh pages of that window will go; null: they are resident
  readonly #hand: { cache: PageCache | null; page: number } = { cache: null, page: 0 }; // where the next eviction begins
  readonly #counters: OwnCounters = {
    faults: 0,
    unmapped: 0,
    protection: 0,
    misses: 0,
    promotions: 0,
    copies: 0,
    storeReads: 0,
    storeWrites: 0,
    evictions: 0,
  };
  #busy = false;

  constructor(options: MemoryOptions, copy: ForkedMemory | null = null) {
    this.#options = options;
    this.#container = copy?.container ?? new TaskContainer(options);
    this.#offsets = copy?.offsets ?? new OffsetRange();
    this.anonymous = copy?.anonymous ?? anonymousStore(false);
    this.sharedAnonymous = copy?.sharedAnonymous ?? anonymousStore(true);
    this.#swap = new Swap(this.#container, this.anonymous.cache, copy?.swapped ?? new SwappedPages());
    this.regions = new Regions(options.userEnd);
  }

  get counters(): MemoryCounters {
    return { ...this.#counters, swapOuts: this.#swap.outs, swapIns: this.#swap.ins, ...this.#container.counters };
  }

  /** Who is asked for memory. */
  get physmem(): ThreadId {
    return this.#options.physmem;
  }

  /** Pages of the container in use. */
  get pages(): number {
    return this.#container.pages;
  }

  /** Creates the container. @returns 0, or physmem's errno */
  start(l4: L4): Generator<L4Wait, number> {
    return this.#container.create(l4);
  }

  // --- Faults ----------------------------------------------------------------------------------------------------

  /**
   * Decides what an access at `va` takes. Where one request to physmem is enough, that is put into the message registers
   * of `l4`, and the manager is busy until finishFault. Hot: allocates nothing.
   * @returns FAULT_ASKS; FAULT_UNUSUAL; or why the access is refused: EFAULT no region, EACCES the region forbids it
   */
  beginFault(l4: L4, va: number, access: Access): number {
    this.#counters.faults += 1;
    if (this.#busy) return FAULT_UNUSUAL;
    const region = this.regions.find(va);
    const refused = this.#refusal(region, access);
    if (refused !== 0 || region === null || region.store === null) return refused;
    const { store } = region;
    const vaPage = Math.floor(va / PAGE_SIZE);
    const page = storePage(region, vaPage);
    const window = this.#window;
    const force = (access & WRITE) !== 0 ? FORCE_WRITE : 0;
    let cache: PageCache = store.cache;
    if (cache.find(page) < 0) {
      if (store.kind === 'anonymous') {
        if (this.#isSwapped(store, page)) return FAULT_UNUSUAL;
        this.#chooseFresh(region, cache, page, vaPage, access);
        window.at = this.#container.askFresh(l4, window.vaPage, window.pages, rightsOf(window.rights));
        if (window.at < 0) return FAULT_UNUSUAL;
        this.#fresh = cache;
        this.#busy = true;
        return FAULT_ASKS;
      }
      if (store.kind === 'file' || (access & WRITE) !== 0 || store.below.cache.find(page) < 0) return FAULT_UNUSUAL;
      cache = store.below.cache; // not written yet: the file's own page
    } else {
      this.#promote(cache, page, access);
    }
    this.#chooseWindow(region, cache, page, vaPage, access);
    this.#container.askMap(l4, window.at, window.vaPage, window.pages, rightsOf(window.rights) | force);
    this.#fresh = null;
    this.#busy = true;
    return FAULT_ASKS;
  }

  /**
   * Takes physmem's reply to what beginFault asked for, from the message registers. Hot: allocates nothing.
   * @param error of the call @returns 0: the page is there; or FAULT_UNUSUAL: it is not, for a reason that `fault` meets too
   */
  finishFault(l4: L4, error: number): number {
    const { page, at, pages, needed, rights } = this.#window;
    const cache = this.#fresh;
    this.#busy = false;
    if (cache === null) return this.#container.tookMap(l4, error) < needed ? FAULT_UNUSUAL : 0;
    const mapped = this.#container.tookFresh(l4, error, at, pages);
    if (mapped < 0) return FAULT_UNUSUAL;
    this.#counters.misses += 1;
    this.generation += 1;
    for (let i = 0; i < pages; i += 1) cache.insert(page + i, at + i, (rights & WRITE) !== 0);
    return mapped < needed ? FAULT_UNUSUAL : 0;
  }

  /** Whether a page of an anonymous store was put away. Hot. */
  #isSwapped(store: AnonymousStore, page: number): boolean {
    return store === this.anonymous && this.#swap.pages.find(page) !== 0;
  }

  /** Why `access` to a region is refused: EFAULT, EACCES; 0: it is not. */
  #refusal(region: Region | null, access: Access): number {
    if (region === null || region.store === null) {
      this.#counters.unmapped += 1;
      return EFAULT;
    }
    if ((access & ~region.access) === 0) return 0;
    this.#counters.protection += 1;
    return EACCES;
  }

  /**
   * Makes an access at `va` succeed, whatever it takes. beginFault comes first, and counts the fault.
   * @param ip of the instruction; 0: a server's thread, not an instruction
   * @returns 0, or why not: EFAULT no region, EACCES the region forbids it, EIO the store fails, ENOMEM
   * Waits: for the call in progress, and for physmem.
   */
  *fault(l4: L4, va: number, access: Access, ip: number): Generator<L4Wait, number> {
    while (this.#busy) yield* l4.sleep(BUSY_WAIT);
    this.#busy = true;
    this.#needed.begin(ip);
    const region = this.regions.find(va);
    let errno = this.#refusal(region, access);
    if (errno === 0 && region !== null) errno = yield* this.#resolve(l4, region, Math.floor(va / PAGE_SIZE), access, ip);
    this.#busy = false;
    return errno;
  }

  /** Brings the page in if it is not resident, then maps it with its neighbours. */
  *#resolve(l4: L4, region: Region, vaPage: number, access: Access, ip: number): Generator<L4Wait, number> {
    const { store } = region;
    kassert(store !== null, 'memory-manager: reserved region');
    const page = storePage(region, vaPage);
    let cache: PageCache = store.cache;
    if (cache.find(page) < 0) {
      const shown = store.kind === 'private' && (access & WRITE) === 0 ? store.below.cache : cache;
      const isAbsent = shown.find(page) < 0;
      if (isAbsent && this.#needed.isHopeless(shown, page)) return ENOMEM;
      let errno = 0;
      if (store.kind === 'anonymous') {
        this.#counters.misses += 1;
        this.generation += 1;
        errno = yield* this.#bringInAnonymous(l4, region, store, page, vaPage, access);
      } else {
        const below = store.kind === 'file' ? store : store.below;
        if (below.cache.find(page) < 0) {
          this.#counters.misses += 1;
          this.generation += 1;
          errno = yield* this.#bringInFile(l4, below, page);
        }
        if (store.kind === 'file') this.#promote(cache, page, access);
        else if ((access & WRITE) === 0) cache = below.cache;
        else if (errno === 0) errno = yield* this.#copyPage(l4, store, page);
      }
      if (errno !== 0) return errno;
      if (isAbsent) this.#needed.note(ip, shown, page);
    } else {
      this.#promote(cache, page, access);
    }
    this.#chooseWindow(region, cache, page, vaPage, access);
    const { at, pages, needed, rights, vaPage: firstVa } = this.#window;
    return yield* this.#container.map(l4, at, firstVa, pages, rights, needed, (access & WRITE) !== 0 ? FORCE_WRITE : 0);
  }

  /** Counts a resident page as dirty when it is about to be written for the first time. */
  #promote(cache: PageCache, page: number, access: Access): void {
    if ((access & WRITE) === 0 || cache.find(page) < 0 || cache.isDirty(page)) return;
    this.#counters.promotions += 1;
    this.generation += 1;
    cache.setDirty(page, true);
  }

  /** The window of fresh zero pages: `cluster` of them around the page, clipped to the region and to what is resident. Hot. */
  #chooseFresh(region: Region, cache: PageCache, page: number, vaPage: number, access: Access): void {
    const cluster = this.#swap.pages.size > 0 ? 1 : this.#options.cluster; // neighbours may have been put away
    const base = Math.floor(vaPage / cluster) * cluster;
    const firstVa = Math.max(base, region.start / PAGE_SIZE);
    const endVa = Math.min(base + cluster, (region.start + region.size) / PAGE_SIZE);
    let before = 0;
    while (vaPage - before > firstVa && cache.find(page - before - 1) < 0) before += 1;
    let behind = 1;
    while (vaPage + behind < endVa && cache.find(page + behind) < 0) behind += 1;
    const window = this.#window;
    window.page = page - before;
    window.at = -1;
    window.vaPage = vaPage - before;
    window.pages = before + behind;
    window.needed = before + 1;
    window.rights = (access & WRITE) !== 0 ? region.access : region.access & ~WRITE; // what is written is dirty, and all of it
  }

  /** Fresh zero pages around the page; where there are not so many, the page alone. */
  *#bringInAnonymous(
    l4: L4,
    region: Region,
    store: AnonymousStore,
    page: number,
    vaPage: number,
    access: Access,
  ): Generator<L4Wait, number> {
    const { cache } = store;
    if (this.#isSwapped(store, page)) return yield* this.#takeBack(l4, page, vaPage);
    this.#chooseFresh(region, cache, page, vaPage, access);
    let from = this.#window.page;
    let to = from + this.#window.pages;
    let at = yield* this.#container.allocate(l4, to - from, this.#window.vaPage);
    if (at < 0) {
      from = page;
      to = page + 1;
      at = yield* this.#allocate(l4, 1, vaPage);
    }
    if (at < 0) return -at;
    const dirty = (access & WRITE) !== 0; // the neighbours of a written page are mapped writable with it
    for (let i = from; i < to; i += 1) cache.insert(i, at + i - from, dirty);
    return 0;
  }

  /** Reads a page of a file, and some behind it where the reader goes through the file in order. */
  *#bringInFile(l4: L4, store: FileStore, page: number): Generator<L4Wait, number> {
    const { cache } = store;
    const sizePages = Math.ceil(store.file.size / PAGE_SIZE);
    if (page >= sizePages) return EIO; // beyond the end of the file: a bus error
    store.window = page === store.expected ? Math.min(2 * store.window, WINDOW_PAGES) : 1;
    let count = 1;
    while (count < store.window && page + count < sizePages && cache.find(page + count) < 0) count += 1;
    store.expected = page + count;
    if (count > 1) {
      const ahead = yield* this.#container.allocate(l4, count, page);
      if (ahead >= 0 && (yield* this.#readFile(l4, store, page, ahead, count)) === 0) return 0;
      store.window = 1;
      store.expected = page + 1;
    }
    const at = yield* this.#allocate(l4, 1, page);
    return at < 0 ? -at : yield* this.#readFile(l4, store, page, at, 1);
  }

  /** Reads `count` pages of a file into fresh pages of the container, which are given back if that fails. */
  *#readFile(l4: L4, store: FileStore, page: number, at: number, count: number): Generator<L4Wait, number> {
    const { file, cache } = store;
    const bytes = this.#buffer.subarray(0, count * PAGE_SIZE).fill(0);
    const wanted = Math.min(bytes.length, file.size - page * PAGE_SIZE);
    this.#counters.storeReads += 1;
    const complete = file.read(page * PAGE_SIZE, bytes.subarray(0, wanted)) === wanted;
    const errno = complete ? yield* this.#container.fill(l4, at, bytes) : EIO;
    if (errno !== 0) {
      yield* this.#container.deallocate(l4, at, count);
      return errno;
    }
    for (let i = 0; i < count; i += 1) cache.insert(page + i, at + i, false);
    return 0;
  }

  /** A logical copy of the file's page: the first write of a private mapping. */
  *#copyPage(l4: L4, store: PrivateStore, page: number): Generator<L4Wait, number> {
    const source = store.below.cache;
    this.#counters.copies += 1;
    this.generation += 1;
    for (;;) {
      const at = yield* this.#container.copy(l4, source.find(page));
      if (at >= 0) {
        store.cache.insert(page, at, true);
        return 0;
      }
      if ((yield* this.#evict(l4, 1, source, page)) === 0) return -at;
    }
  }

  /** The window of the page and those around it that are resident, in a row, and good for the same rights. Hot. */
  #chooseWindow(region: Region, cache: PageCache, page: number, vaPage: number, access: Access): void {
    const own = region.store?.kind === 'private' && cache !== region.store.cache ? region.store.cache : null;
    const dirty = cache.isDirty(page);
    const at = cache.find(page);
    const faultAround = this.#isForked && (access & WRITE) !== 0 ? 1 : this.#options.faultAround;
    const base = Math.floor(vaPage / faultAround) * faultAround;
    const firstVa = Math.max(base, region.start / PAGE_SIZE);
    const endVa = Math.min(base + faultAround, (region.start + region.size) / PAGE_SIZE);
    let before = 0;
    while (vaPage - before > firstVa && fits(cache, page - before - 1, at - before - 1, dirty, own)) before += 1;
    let behind = 1;
    while (vaPage + behind < endVa && fits(cache, page + behind, at + behind, dirty, own)) behind += 1;
    const window = this.#window;
    window.page = page - before;
    window.at = at - before;
    window.vaPage = vaPage - before;
    window.pages = before + behind;
    window.needed = before + 1;
    window.rights = dirty && own === null ? region.access : region.access & ~WRITE;
  }

  // --- Memory runs out -------------------------------------------------------------------------------------------

  /** Fresh pages as TaskContainer.allocate gives them; evicts for them where it must. @returns a page, or -ENOMEM */
  *#allocate(l4: L4, pages: number, near: number): Generator<L4Wait, number> {
    for (;;) {
      const at = yield* this.#container.allocate(l4, pages, near);
      if (at >= 0 || (yield* this.#evict(l4, pages, null, 0)) === 0) return at;
    }
  }

  /**
   * Gives up pages whose bytes can be had again, at least `wanted` where there are so many. Those that the faulting
   * instruction needs go only where there is nothing else, the oldest first.
   * @param keep the page of `spare` that stays
   * @returns pages given up
   */
  *#evict(l4: L4, wanted: number, spare: PageCache | null, keep: number): Generator<L4Wait, number> {
    let evicted = 0;
    for (let newest = this.#needed.size; evicted === 0 && newest >= 0; newest -= 1) {
      const stays = (cache: PageCache, page: number): boolean =>
        (cache === spare && page === keep) || this.#needed.has(cache, page, newest);
      evicted = yield* this.#evictBut(l4, wanted, stays);
    }
    return evicted;
  }

  /** The same, but for the pages that stay. */
  *#evictBut(l4: L4, wanted: number, stays: Stays): Generator<L4Wait, number> {
    const evicted = yield* this.#evictClean(l4, wanted, stays);
    if (evicted > 0) return evicted;
    yield* this.#writeFiles(l4);
    const written = yield* this.#evictClean(l4, wanted, stays);
    return written > 0 ? written : yield* this.#swap.putAway(l4, Math.max(wanted, EVICT_PAGES), stays);
  }

  /** The same for clean pages. The hand goes round all caches, so that every page has its turn. */
  *#evictClean(l4: L4, wanted: number, stays: Stays): Generator<L4Wait, number> {
    const hand = this.#hand;
    const caches = [this.anonymous.cache, this.sharedAnonymous.cache, ...[...this.#files.values()].map((store) => store.cache)];
    const first = Math.max(0, hand.cache === null ? 0 : caches.indexOf(hand.cache));
    const from = caches[first] === hand.cache ? hand.page : 0;
    let room = Math.max(wanted, EVICT_PAGES);
    let evicted = 0;
    for (let i = 0; i <= caches.length; i += 1) {
      const cache = caches[(first + i) % caches.length] as PageCache;
      if (room === 0 || cache.resident === cache.dirty) continue;
      const isKept = (page: number, dirty: boolean): boolean => {
        if (dirty || room === 0 || stays(cache, page)) return true;
        room -= 1;
        hand.cache = cache;
        hand.page = page + 1;
        return false;
      };
      evicted += yield* this.#drop(l4, cache, i === 0 ? from : 0, i === caches.length ? from : ALL_PAGES, isKept);
    }
    this.#counters.evictions += evicted;
    return evicted;
  }

  /** Brings a page in that was put away. @returns 0, or ENOMEM or EIO: then it still is */
  *#takeBack(l4: L4, page: number, vaPage: number): Generator<L4Wait, number> {
    const at = yield* this.#allocate(l4, 1, vaPage);
    return at < 0 ? -at : yield* this.#swap.takeBack(l4, page, at);
  }

  /** What was put away, for a copy of the manager. @returns it, or -ENOMEM */
  *#copySwapped(l4: L4): Generator<L4Wait, SwappedPages | number> {
    if (this.#swap.pages.size === 0) return new SwappedPages();
    const at = yield* this.#allocate(l4, 1, 0); // may put more away
    return at < 0 ? at : yield* this.#swap.copy(l4, at);
  }

  /** Drops the resident pages [from, to) of a cache but those `stays` names. @param flags of the deallocation @returns pages dropped */
  *#drop(
    l4: L4,
    cache: PageCache,
    from: number,
    to: number,
    stays: ((page: number, dirty: boolean) => boolean) | null,
    flags = 0,
  ): Generator<L4Wait, number> {
    if (cache.resident === 0) return 0;
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
      yield* this.#container.deallocate(l4, run.at, run.count, flags);
      dropped += run.count;
    }
    return dropped;
  }

  // --- Edits: all of them wait for their turn, and for physmem -----------------------------------------------------

  /** Has the manager to itself until #leave. Waits: for the call in progress. */
  *#enter(l4: L4): Generator<L4Wait, void> {
    while (this.#busy) yield* l4.sleep(BUSY_WAIT);
    this.#busy = true;
    this.#needed.clear(); // a system call: no instruction is under way
    this.generation += 1;
  }

  #leave(): void {
    this.#busy = false;
  }

  /** Offsets of the anonymous stores for `size` bytes that no region shows. @returns the first, or -1 */
  takeAnonymousOffsets(size: number): number {
    return this.#offsets.take(size, () => this.regions.all().filter((map) => map.store?.kind === 'anonymous'));
  }

  /** Binds free space to a store. Nothing is fetched. */
  *bind(l4: L4, region: Region): Generator<L4Wait, void> {
    yield* this.#enter(l4);
    this.regions.enter(region);
    this.#leave();
  }

  /**
   * Releases [start, start + size): mappings, regions, and the pages nobody else can name. Holes are skipped.
   * Dirty pages of a shared file mapping are written back first; where that fails they stay, for a later try.
   * @returns 0, or EACCES: a reserved region is in the range (then nothing has changed)
   */
  *release(l4: L4, start: number, size: number): Generator<L4Wait, number> {
    if (this.regions.overlapping(start, size).some((map) => map.store === null)) return EACCES;
    yield* this.#enter(l4);
    yield* this.#synchronise(l4, start, size);
    for (const piece of this.regions.remove(start, size)) yield* this.#discardPiece(l4, piece);
    this.#leave();
    return 0;
  }

  *#discardPiece(l4: L4, piece: Region): Generator<L4Wait, void> {
    unmapOwn(l4, piece.start, piece.size, RIGHTS_ALL);
    const { store } = piece;
    if (store === null || store.kind === 'file') return;
    const first = piece.storeOffset / PAGE_SIZE;
    const end = first + piece.size / PAGE_SIZE;
    yield* this.#drop(l4, store.cache, first, end, null, LAZY);
    if (store === this.anonymous) yield* this.#swap.drop(l4, first, end);
  }

  /** Throws the private contents of a range away: it reads as when it was bound. What others share stays, but for `shared`. */
  *discard(l4: L4, start: number, size: number, shared = false): Generator<L4Wait, void> {
    yield* this.#enter(l4);
    for (const map of this.regions.overlapping(start, size)) {
      if (map.store === null || (map.store.kind === 'anonymous' && map.store.shared && !shared)) continue;
      yield* this.#discardPiece(l4, part(map, Math.max(map.start, start), Math.min(map.start + map.size, start + size)));
    }
    this.#leave();
  }

  /** Changes what a fully bound range permits. Lost rights go at once, new ones come with the next fault. */
  *protect(l4: L4, start: number, size: number, access: Access): Generator<L4Wait, void> {
    yield* this.#enter(l4);
    for (const piece of this.regions.remove(start, size)) {
      const lost = piece.access & ~access;
      if (lost !== 0) unmapOwn(l4, piece.start, piece.size, (lost & READ) !== 0 ? RIGHTS_ALL : rightsOf(lost));
      this.regions.enter({ ...piece, access });
    }
    this.#leave();
  }

  /** Moves the regions of [start, start + size) to free space at `to`; the pages stay where they are. */
  *move(l4: L4, start: number, size: number, to: number): Generator<L4Wait, void> {
    yield* this.#enter(l4);
    for (const piece of this.regions.remove(start, size)) {
      unmapOwn(l4, piece.start, piece.size, RIGHTS_ALL);
      this.regions.enter({ ...piece, start: to + (piece.start - start) });
    }
    this.#leave();
  }

  /**
   * The region that continues `before` by `size` bytes, at `start`. It shows pages that nobody else shows: a private
   * store that already shows them somewhere is followed by another one.
   * @returns null where no offsets are left
   */
  continuation(before: Region, start: number, size: number): Region | null {
    const { store } = before;
    if (store === null) return null;
    let storeOffset = before.storeOffset + before.size;
    if (store.kind === 'anonymous') storeOffset = this.takeAnonymousOffsets(size);
    const isShown = (map: Region): boolean =>
      map.store === store && map.storeOffset < storeOffset + size && storeOffset < map.storeOffset + map.size;
    const next: Store = store.kind === 'private' && this.regions.all().some(isShown) ? privateStore(store.below) : store;
    return storeOffset < 0 ? null : { ...before, start, size, store: next, storeOffset };
  }

  /** Releases every region of the program and every page, cached files included. Reserved regions stay. */
  *releaseAll(l4: L4): Generator<L4Wait, void> {
    for (const map of this.regions.overlapping(0, this.#options.userEnd))
      if (map.store !== null) yield* this.release(l4, map.start, map.size);
    yield* this.#enter(l4);
    for (const store of this.#files.values()) {
      yield* this.#drop(l4, store.cache, 0, ALL_PAGES, null, LAZY);
      store.file.release?.();
    }
    this.#files.clear();
    this.#leave();
  }

  // --- Fork ------------------------------------------------------------------------------------------------------

  /**
   * A manager for another task, with the same regions over a logical copy of the container: each map by its kind.
   *
   *   anonymous, private     copied: each side keeps what it has, and the first write to a side copies a page; what
   *                          was put away is copied as it is
   *   shared anonymous       the same pages for both; those that are absent come into being first
   *   file                   written back first, then copied: both caches hold the file's bytes. A shared mapping that
   *                          is resident stays the same memory until one side has the file read again
   *
   * Page tables are not touched but for the right to write, which the pages lose here: the other task begins without any
   * mapping. The cost is that of the runs of container pages, and of what the caches take.
   * @returns the manager, or -ENOMEM: nothing is left of it
   * Waits: for the call in progress, and for physmem.
   */
  *fork(l4: L4, heir: Heir): Generator<L4Wait, MemoryManager | number> {
    yield* this.#enter(l4);
    yield* this.#writeFiles(l4);
    let copy = yield* this.#copyContents(l4, heir);
    // The first pages that go are clean ones, which may not be enough; those that swap space takes come last.
    while (copy === null && (yield* this.#evict(l4, ALL_PAGES, null, 0)) > 0) copy = yield* this.#copyContents(l4, heir);
    this.#leave();
    return copy === null ? -ENOMEM : this.#copyOver(copy.container, heir, copy.swapped);
  }

  /**
   * Completes what is shared; copies what was put away, then the container.
   * @returns null: physmem has not the memory, and nothing is left of a copy
   */
  *#copyContents(l4: L4, heir: Heir): Generator<L4Wait, { container: TaskContainer; swapped: SwappedPages } | null> {
    if ((yield* this.#completeShared(l4)) < 0) return null;
    const swapped = yield* this.#copySwapped(l4); // may put more away, and so comes first
    if (typeof swapped === 'number') return null;
    const container = yield* this.#container.fork(l4, heir, this.#sharedRuns());
    if (typeof container !== 'number') return { container, swapped };
    yield* this.#swap.forget(l4, swapped);
    return null;
  }

  /** Allocates what is absent of shared anonymous memory, and keeps all of it. @returns 0 or -ENOMEM */
  *#completeShared(l4: L4): Generator<L4Wait, number> {
    const { cache } = this.sharedAnonymous;
    for (const { start, size, store, storeOffset } of this.regions.all()) {
      if (store !== this.sharedAnonymous) continue;
      const first = storeOffset / PAGE_SIZE;
      for (let i = 0; i < size / PAGE_SIZE; i += 1) {
        if (cache.find(first + i) < 0) {
          const at = yield* this.#allocate(l4, 1, start / PAGE_SIZE + i);
          if (at < 0) return at;
          cache.insert(first + i, at, true);
        } else cache.setDirty(first + i, true); // a page made again would not be the one the others see
      }
    }
    return 0;
  }

  /** Container pages that both sides go on to see. */
  #sharedRuns(): PageRun[] {
    const caches = new Set([this.sharedAnonymous.cache]);
    for (const { store } of this.regions.all()) if (store?.kind === 'file') caches.add(store.cache);
    const runs: { start: number; pages: number }[] = [];
    for (const cache of caches) cache.forEachRun(0, ALL_PAGES, (_page, start, pages) => void runs.push({ start, pages }));
    return runs.sort((a, b) => a.start - b.start);
  }

  #copyOver(container: TaskContainer, heir: Heir, swapped: SwappedPages): MemoryManager {
    const stores = new Map<Store, Store>([
      [this.anonymous, { ...this.anonymous, cache: this.anonymous.cache.clone() }],
      [this.sharedAnonymous, { ...this.sharedAnonymous, cache: this.sharedAnonymous.cache.clone() }],
    ]);
    const copy = new MemoryManager(
      { ...this.#options, control: heir.control },
      {
        container,
        offsets: this.#offsets.clone(),
        anonymous: stores.get(this.anonymous) as AnonymousStore,
        sharedAnonymous: stores.get(this.sharedAnonymous) as AnonymousStore,
        swapped,
      },
    );
    for (const [key, store] of this.#files) {
      const file = { ...store, cache: store.cache.clone() };
      stores.set(store, file);
      copy.#files.set(key, file);
      file.file.hold?.();
    }
    for (const map of this.regions.all()) copy.regions.enter({ ...map, store: map.store === null ? null : storeCopy(stores, map.store) });
    copy.breakStart = this.breakStart;
    copy.breakEnd = this.breakEnd;
    copy.#isForked = true;
    this.#isForked = true;
    return copy;
  }

  /** The task ends with all its memory: nothing is given back page by page but what was put away, and files are let go. */
  *abandon(l4: L4): Generator<L4Wait, void> {
    yield* this.#swap.drop(l4, 0, ALL_PAGES);
    for (const { file } of this.#files.values()) file.release?.();
    this.#files.clear();
  }

  // --- Files -----------------------------------------------------------------------------------------------------

  /** The one store of a file; its pages stay cached after the last mapping is gone. Waits: for physmem. */
  *storeOf(l4: L4, file: FileBacking): Generator<L4Wait, FileStore> {
    let store = this.#files.get(file.key);
    if (store === undefined) {
      yield* this.#enter(l4);
      yield* this.#forgetFiles(l4);
      store = fileStore(file);
      this.#files.set(store.key, store);
      file.hold?.();
      this.#leave();
    } else if (store.file.write === undefined && file.write !== undefined) {
      store.file = file;
    }
    return store;
  }

  /** Forgets files that are not bound and of which nothing is resident, or nobody can map again. */
  *#forgetFiles(l4: L4): Generator<L4Wait, void> {
    const bound = new Set<Store>();
    for (const { store } of this.regions.all()) if (store !== null) bound.add(store.kind === 'private' ? store.below : store);
    for (const [key, store] of this.#files) {
      if (bound.has(store) || (store.cache.resident > 0 && store.file.isNameless !== true)) continue;
      yield* this.#drop(l4, store.cache, 0, ALL_PAGES, null);
      this.#files.delete(key);
      store.file.release?.();
    }
  }

  /** Writes the dirty pages of shared file mappings in the range back. @returns 0, or EIO: some could not be written */
  *synchronise(l4: L4, start: number, size: number): Generator<L4Wait, number> {
    yield* this.#enter(l4);
    const errno = yield* this.#synchronise(l4, start, size);
    this.#leave();
    return errno;
  }

  *#synchronise(l4: L4, start: number, size: number): Generator<L4Wait, number> {
    let errno = 0;
    for (const map of this.regions.overlapping(start, size)) {
      if (map.store === null || map.store.kind !== 'file') continue;
      const piece = part(map, Math.max(map.start, start), Math.min(map.start + map.size, start + size));
      const first = piece.storeOffset / PAGE_SIZE;
      const failed = yield* this.#writeBack(l4, map.store, first, first + piece.size / PAGE_SIZE);
      if (failed !== 0) errno = failed;
    }
    return errno;
  }

  /** Whether a shared file mapping holds bytes that its file has not. */
  get filesAreDirty(): boolean {
    for (const store of this.#files.values()) if (store.cache.dirty > 0) return true;
    return false;
  }

  /** Whether a file has other bytes than its cached pages. */
  get filesAreStale(): boolean {
    for (const store of this.#files.values()) if (store.file.key !== store.key) return true;
    return false;
  }

  /** Writes all dirty pages of files back, as far as that succeeds. */
  *writeFiles(l4: L4): Generator<L4Wait, void> {
    yield* this.#enter(l4);
    yield* this.#writeFiles(l4);
    this.#leave();
  }

  *#writeFiles(l4: L4): Generator<L4Wait, void> {
    const dirty = [...this.#files.values()].filter(({ cache }) => cache.dirty > 0); // writing changes keys, and so the map
    for (const store of dirty) yield* this.#writeBack(l4, store, 0, ALL_PAGES);
  }

  /** Drops cached pages of files whose bytes have changed; the next access reads them again. Dirty pages stay. */
  *refreshFiles(l4: L4): Generator<L4Wait, void> {
    yield* this.#enter(l4);
    const stale = [...this.#files.values()].filter((store) => store.file.key !== store.key);
    for (const store of stale) {
      yield* this.#drop(l4, store.cache, 0, ALL_PAGES, (_page, dirty) => dirty);
      this.#renew(store);
    }
    yield* this.#forgetFiles(l4);
    this.#leave();
  }

  /** The bytes in the cache are those of the file as it is now. */
  #renew(store: FileStore): void {
    this.#files.delete(store.key);
    store.key = store.file.key;
    this.#files.set(store.key, store);
  }

  /** Writes dirty pages [from, to) of a file. They lose the right to write first, so that a later write is noticed. */
  *#writeBack(l4: L4, store: FileStore, from: number, to: number): Generator<L4Wait, number> {
    if (store.cache.dirty === 0) return 0;
    const dirty: { page: number; at: number }[] = [];
    store.cache.forEachRun(from, to, (page, at, count, isDirty) => {
      if (!isDirty) return;
      for (let i = 0; i < count; i += 1) dirty.push({ page: page + i, at: at + i });
    });
    if (dirty.length === 0) return 0;
    for (const map of this.regions.all()) if (map.store === store) unmapOwn(l4, map.start, map.size, rightsOf(WRITE));
    const { file } = store;
    const wasFresh = file.key === store.key;
    const bytes = this.#buffer.subarray(0, PAGE_SIZE);
    let errno = 0;
    for (const { page, at } of dirty) {
      const failed = yield* this.#container.read(l4, at, bytes);
      const length = Math.min(PAGE_SIZE, file.size - page * PAGE_SIZE); // what lies beyond the end of the file is lost
      const written = failed === 0 && length > 0 ? (file.write?.(page * PAGE_SIZE, bytes.subarray(0, length)) ?? -EIO) : 0;
      if (failed !== 0 || (length > 0 && written !== length)) {
        errno = EIO;
        continue;
      }
      store.cache.setDirty(page, false);
      this.#counters.storeWrites += 1;
    }
    if (wasFresh) this.#renew(store); // its own writes do not make it stale
    return errno;
  }

  // ---------------------------------------------------------------------------------------------------------------

  assertInvariants(): void {
    kassert(!this.#busy, 'memory-manager: looked at in the middle of a call');
    this.regions.assertInvariants();
    this.#needed.assertInvariants();
    const caches = new Set<PageCache>([this.anonymous.cache, this.sharedAnonymous.cache]);
    for (const store of this.#files.values()) caches.add(store.cache);
    for (const map of this.regions.all()) if (map.store !== null) caches.add(map.store.cache);
    const seen = new Set<number>();
    for (const cache of caches) {
      cache.forEachRun(0, ALL_PAGES, (_page, at, count) => {
        for (let i = 0; i < count; i += 1) {
          kassert(!seen.has(at + i), 'memory-manager V4: one page, two stores');
          seen.add(at + i);
        }
      });
    }
    kassert(seen.size === this.#container.pages, 'memory-manager V4: a page of the container is lost');
    for (const page of this.#swap.pages.pagesIn(0, ALL_PAGES)) kassert(this.anonymous.cache.find(page) < 0, 'memory-manager V7');
    for (const store of this.#files.values()) caches.delete(store.cache);
    for (const cache of caches) this.#assertShown(cache);
  }

  /** V5 for one store. */
  #assertShown(cache: PageCache): void {
    const maps = this.regions.all().filter((map) => map.store?.cache === cache);
    maps.sort((a, b) => a.storeOffset - b.storeOffset);
    let end = 0;
    let shown = 0;
    for (const map of maps) {
      kassert(map.storeOffset >= end, 'memory-manager V5: one page, two regions');
      end = map.storeOffset + map.size;
      cache.forEachRun(map.storeOffset / PAGE_SIZE, end / PAGE_SIZE, (_page, _at, count) => {
        shown += count;
      });
    }
    kassert(shown === cache.resident, 'memory-manager V5: a page that no region shows');
  }
}

/** What stands for `store` in a copied manager. Private stores are met here first. */
function storeCopy(stores: Map<Store, Store>, store: Store): Store {
  let copy = stores.get(store);
  if (copy === undefined) {
    kassert(store.kind === 'private', 'memory-manager: a store that nobody knows');
    const below = stores.get(store.below);
    kassert(below?.kind === 'file', 'memory-manager: a file that nobody knows');
    copy = { kind: 'private', cache: store.cache.clone(), below };
    stores.set(store, copy);
  }
  return copy;
}

/** The page of a region's store that virtual page `vaPage` shows. */
function storePage(region: Region, vaPage: number): number {
  return vaPage - region.start / PAGE_SIZE + region.storeOffset / PAGE_SIZE;
}

/** Whether store page `page` is resident in container page `at`, equally dirty, and not hidden by a page of `own`. Hot. */
function fits(cache: PageCache, page: number, at: number, dirty: boolean, own: PageCache | null): boolean {
  return at >= 0 && cache.find(page) === at && cache.isDirty(page) === dirty && (own === null || own.find(page) < 0);
}

/** What a program that asks for `prot` gets: the kernel's mappings always include the right to read. */
export function permitted(prot: Access): Access {
  return prot === 0 ? 0 : (prot & (WRITE | EXEC)) | READ;
}
