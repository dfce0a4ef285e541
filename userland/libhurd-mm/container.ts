/**
 * The container of a task at physmem: where the bytes of all its stores lie, and how they are reached.
 *
 *   allocate, copy, deallocate    pages of the container, named by container page
 *   map                           some of them at addresses of the task
 *   askFresh, askMap              both for the usual page fault, whose caller makes the call itself: no generator
 *   fill, read                    their bytes, through a window of addresses that the program cannot map
 *
 * Not here: what the pages are (page-cache.ts) and what to do when there are no more (memory-manager.ts).
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { EIO, ENOMEM } from '../../hostkernel/base/errno.ts';
import { type Access, PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import { invoke, putRequest, replyLabel } from '../../vkernel/cap/rpc.ts';
import { fpagesCovering, fpageSize, type L4, type L4Wait, RIGHTS_ALL, rightsOf, type ThreadId } from '../../vkernel/l4/user.ts';
import { ALL_OR_NONE, COPY_SHARED, FORCE_WRITE, KEEP, PHYSMEM } from '../../vkernel/physmem/interface.ts';
import { ContainerSpace, type PageRun } from './container-space.ts';

/** Most pages moved through the window at once. */
export const WINDOW_PAGES = 16;

/** How often the window is mapped again when its mapping has gone before it was used: physmem may take it at any time. */
const WINDOW_TRIES = 64;

export interface ContainerOptions {
  readonly physmem: ThreadId;
  readonly control: number; // memory control that is charged
  readonly scratch: number; // address of WINDOW_PAGES pages: the window
}

/** A task that gets a copy of a container: its id at the task server, and its handle of the memory control. */
export interface Heir {
  readonly task: number;
  readonly control: number;
}

export interface ContainerCounters {
  mapRequests: number;
  pagesMapped: number;
  pagesAllocated: number;
  pagesReturned: number;
}

export class TaskContainer {
  readonly counters: ContainerCounters = { mapRequests: 0, pagesMapped: 0, pagesAllocated: 0, pagesReturned: 0 };
  readonly #options: ContainerOptions;
  readonly #space: ContainerSpace;
  #handle = 0;

  constructor(options: ContainerOptions, space = new ContainerSpace()) {
    this.#options = options;
    this.#space = space;
  }

  /** Pages allocated now. */
  get pages(): number {
    return this.#space.used;
  }

  /** Creates the container. @returns 0, or physmem's errno */
  *create(l4: L4): Generator<L4Wait, number> {
    const label = yield* invoke(l4, this.#options.physmem, PHYSMEM.create, this.#options.control);
    if (label === 0) this.#handle = l4.message.word(1);
    return label;
  }

  /**
   * A logical copy of the whole container for another task, each page under the number it has here. Nothing is copied
   * until one side writes, and what is charged is the pages. Pages of `shared` runs are the same for both sides.
   * @param shared runs in order, of pages in use
   * @returns the copy, which only `heir` can use; or -ENOMEM, and nothing is left of it
   */
  *fork(l4: L4, heir: Heir, shared: readonly PageRun[]): Generator<L4Wait, TaskContainer | number> {
    const { physmem, control } = this.#options;
    if ((yield* invoke(l4, physmem, PHYSMEM.create, control)) !== 0) return -ENOMEM;
    const handle = l4.message.word(1);
    let label = 0;
    for (const { start, pages, isShared } of forkRuns(this.#space.usedRuns(), shared)) {
      const flags = ALL_OR_NONE | (isShared ? COPY_SHARED : 0);
      const at = start * PAGE_SIZE;
      label = yield* invoke(l4, physmem, PHYSMEM.copy, this.#handle, at, handle, at, pages * PAGE_SIZE, flags);
      if (label !== 0) break;
    }
    if (label === 0) label = yield* invoke(l4, physmem, PHYSMEM.copyCapability, handle, heir.task);
    if (label !== 0) {
      yield* invoke(l4, physmem, PHYSMEM.destroy, handle);
      return -ENOMEM;
    }
    const copy = new TaskContainer({ ...this.#options, control: heir.control }, this.#space.clone());
    copy.#handle = l4.message.word(1);
    yield* invoke(l4, physmem, PHYSMEM.releaseCapability, handle);
    return copy;
  }

  /**
   * Fresh zero pages in a row; more than one are congruent to page `near`, so that large pieces can be mapped there.
   * @returns the first container page, or -ENOMEM
   */
  *allocate(l4: L4, pages: number, near: number): Generator<L4Wait, number> {
    const at = this.#space.take(pages, pages > 1 ? WINDOW_PAGES : 1, near);
    if (at < 0) return -ENOMEM;
    const { physmem } = this.#options;
    const label = yield* invoke(l4, physmem, PHYSMEM.allocate, this.#handle, ALL_OR_NONE, at * PAGE_SIZE, pages * PAGE_SIZE);
    return this.#taken(label, at, pages);
  }

  /** A logical copy of page `source`. @returns its container page, or -ENOMEM */
  *copy(l4: L4, source: number): Generator<L4Wait, number> {
    const at = this.#space.take(1, 1, 0);
    if (at < 0) return -ENOMEM;
    const { physmem } = this.#options;
    const [from, to] = [source * PAGE_SIZE, at * PAGE_SIZE];
    const label = yield* invoke(l4, physmem, PHYSMEM.copy, this.#handle, from, this.#handle, to, PAGE_SIZE, ALL_OR_NONE);
    return this.#taken(label, at, 1);
  }

  /** Ends an allocation: with the pages, or with nothing where physmem refuses. */
  #taken(label: number, at: number, pages: number): number {
    if (label !== 0) {
      this.#space.giveBack(at, pages);
      return -ENOMEM; // whatever it says: the memory cannot be had
    }
    this.counters.pagesAllocated += pages;
    return at;
  }

  /**
   * Gives pages back; their mappings disappear with them.
   * @param flags LAZY: the task has unmapped them itself, so other tasks that read the same memory may keep theirs
   */
  *deallocate(l4: L4, at: number, pages: number, flags = 0): Generator<L4Wait, void> {
    const { physmem } = this.#options;
    const label = yield* invoke(l4, physmem, PHYSMEM.deallocate, this.#handle, at * PAGE_SIZE, pages * PAGE_SIZE, flags);
    kassert(label === 0 && l4.message.word(1) === pages * PAGE_SIZE, 'container: physmem disowns our pages');
    this.#space.giveBack(at, pages);
    this.counters.pagesReturned += pages;
  }

  // --- Swap: ids are those of the memory control's principal -----------------------------------------------------

  /**
   * Puts pages away and gives them back: as many of `pages` from `at` on as physmem takes.
   * @returns how many; the message registers then hold the id of the first as word 2
   */
  *swapOut(l4: L4, at: number, pages: number): Generator<L4Wait, number> {
    yield* invoke(l4, this.#options.physmem, PHYSMEM.swapOut, this.#handle, at * PAGE_SIZE, pages * PAGE_SIZE);
    return l4.message.word(1) / PAGE_SIZE; // whatever else it says: there is no more swap space
  }

  /** Makes what has swap id `id` the contents of page `at`. @param keep the id stays good @returns 0, or physmem's errno */
  swapIn(l4: L4, id: number, at: number, keep: boolean): Generator<L4Wait, number> {
    return invoke(l4, this.#options.physmem, PHYSMEM.swapIn, this.#handle, id, at * PAGE_SIZE, PAGE_SIZE, keep ? KEEP : 0);
  }

  /** Forgets a swap id. */
  *swapDrop(l4: L4, id: number): Generator<L4Wait, void> {
    const label = yield* invoke(l4, this.#options.physmem, PHYSMEM.swapDrop, this.#options.control, id, 1);
    kassert(label === 0, 'container: physmem disowns our swap ids');
  }

  /**
   * Asks for mappings of `pages` container pages from `at`, at virtual pages from `vaPage`, until `needed` of them are
   * there; the rest is a gift. Hot.
   * @param rights PROT_* bits; @param force FORCE_WRITE where a page shared copy-on-write is to be copied now
   * @returns 0, ENOMEM, or EIO: physmem does not know the pages
   */
  *map(l4: L4, at: number, vaPage: number, pages: number, rights: Access, needed: number, force = 0): Generator<L4Wait, number> {
    const flags = rightsOf(rights) | force;
    const { physmem } = this.#options;
    for (let done = 0; done < needed; ) {
      this.counters.mapRequests += 1;
      const va = (vaPage + done) * PAGE_SIZE;
      const index = (at + done) * PAGE_SIZE;
      const label = yield* invoke(l4, physmem, PHYSMEM.map, this.#handle, flags, va, index, (pages - done) * PAGE_SIZE);
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
   * Puts the request for a mapping of `pages` container pages from `at`, at virtual pages from `vaPage`, into the
   * message registers. Hot: allocates nothing.
   */
  askMap(l4: L4, at: number, vaPage: number, pages: number, flags: number): void {
    this.counters.mapRequests += 1;
    putRequest(l4, PHYSMEM.map, this.#handle, flags, vaPage * PAGE_SIZE, at * PAGE_SIZE, pages * PAGE_SIZE);
  }

  /** Takes the reply to askMap. @param error of the call @returns pages mapped, from the first on */
  tookMap(l4: L4, error: number): number {
    if (replyLabel(l4, error) !== 0) return 0;
    const mapped = mappedPages(l4);
    this.counters.pagesMapped += mapped;
    return mapped;
  }

  /**
   * The same for fresh zero pages, allocated as `allocate` does and mapped with one request.
   * @returns the first container page, or -1: there is none to be had, and no request to be made
   */
  askFresh(l4: L4, vaPage: number, pages: number, flags: number): number {
    const at = this.#space.take(pages, pages > 1 ? WINDOW_PAGES : 1, vaPage);
    if (at < 0) return -1;
    this.counters.mapRequests += 1;
    putRequest(l4, PHYSMEM.provide, this.#handle, flags | ALL_OR_NONE, vaPage * PAGE_SIZE, at * PAGE_SIZE, pages * PAGE_SIZE);
    return at;
  }

  /** Takes the reply to askFresh. @returns pages mapped, at least one; -ENOMEM: physmem refuses, and there are no pages */
  tookFresh(l4: L4, error: number, at: number, pages: number): number {
    const taken = this.#taken(replyLabel(l4, error), at, pages);
    return taken < 0 ? taken : this.tookMap(l4, error);
  }

  /** Writes `bytes`, whole pages, at most WINDOW_PAGES. @returns 0, ENOMEM or EIO */
  *fill(l4: L4, at: number, bytes: Uint8Array): Generator<L4Wait, number> {
    const { scratch } = this.#options;
    const pages = bytes.length / PAGE_SIZE;
    for (let tries = 0; tries < WINDOW_TRIES; tries += 1) {
      const errno = yield* this.map(l4, at, scratch / PAGE_SIZE, pages, READ | WRITE, pages, FORCE_WRITE);
      if (errno !== 0) return errno;
      const done = l4.tryWrite(scratch, bytes, 0, bytes.length);
      unmapOwn(l4, scratch, bytes.length, RIGHTS_ALL);
      if (done === bytes.length) return 0;
    }
    return ENOMEM; // the kernel has no frames for the window's page tables
  }

  /** Reads one page. @returns 0, ENOMEM or EIO */
  *read(l4: L4, at: number, into: Uint8Array): Generator<L4Wait, number> {
    const { scratch } = this.#options;
    for (let tries = 0; tries < WINDOW_TRIES; tries += 1) {
      const errno = yield* this.map(l4, at, scratch / PAGE_SIZE, 1, READ, 1);
      if (errno !== 0) return errno;
      const done = l4.tryRead(scratch, into, 0, PAGE_SIZE);
      unmapOwn(l4, scratch, PAGE_SIZE, RIGHTS_ALL);
      if (done === PAGE_SIZE) return 0;
    }
    return ENOMEM;
  }
}

/** The runs of `used`, cut where sharing begins and ends. @param shared runs in order, inside those of `used` */
function* forkRuns(used: readonly PageRun[], shared: readonly PageRun[]): Iterable<PageRun & { readonly isShared: boolean }> {
  let next = 0;
  for (const run of used) {
    const end = run.start + run.pages;
    let at = run.start;
    for (; next < shared.length && (shared[next] as PageRun).start < end; next += 1) {
      const { start, pages } = shared[next] as PageRun;
      if (start > at) yield { start: at, pages: start - at, isShared: false };
      yield { start, pages, isShared: true };
      at = start + pages;
    }
    if (end > at) yield { start: at, pages: end - at, isShared: false };
  }
}

/** Takes rights away from the task's mappings in a range. @param rights L4 rights */
export function unmapOwn(l4: L4, start: number, size: number, rights: number): void {
  for (const page of fpagesCovering(start, size, rights)) l4.unmap(page, true);
}

/** Pages the map items of the reply in the message registers cover. */
function mappedPages(l4: L4): number {
  const { message } = l4;
  let bytes = 0;
  for (let i = 0; i < message.typed; i += 2) bytes += fpageSize(message.itemFpage(1 + message.untyped + i));
  return bytes / PAGE_SIZE;
}
