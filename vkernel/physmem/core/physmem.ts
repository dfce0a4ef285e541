/**
 * The operations of physmem: containers, memory controls, and who pays. Pure and synchronous: memory, mappings and
 * flushes are handed in, so that everything here runs in a test without a machine.
 *
 * Starts, lengths and amounts are bytes, as in the interface; inside, everything is pages. An operation that may stop
 * half way says in `amount` how many bytes it did from the left; one that is refused has changed nothing.
 *
 * Layers below: frames.ts (what happens to frames), container.ts, control.ts (records), zone.ts (free memory).
 * The messages are in ../server.ts.
 *
 * Invariants (invariants.ts checks them over the whole of it):
 *   I1  an entry's size is a power of two, its offset a multiple of the size, and it lies inside its frame
 *   I2  entries of one container are disjoint
 *   I3  the intervals of a frame's entries are nested or disjoint
 *   I4  every frame has an entry covering all of it
 *   I5  a frame counts its entries; a frame without entries does not exist
 *   I7  a frame with entries of two groups has granted nobody WRITE
 *   I8  bound memory is aligned to its frame's size and belongs to one frame; free + bound + fixed = received
 *   I12 a control has used what is in its containers; the limits of all controls sum up to the memory they share out
 *   I13 pages bound <= pages charged
 * (I6, I9: groups are counted where they are needed and known by frame and number; I10, I11 speak of contents and of
 * mappings: the model tests check them.)
 */

import { kassert } from '../../../hostkernel/base/assert.ts';
import { EEXIST, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP, EPERM, ESRCH } from '../../../hostkernel/base/errno.ts';
import { type GuestFrame, PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import {
  ALL_OR_NONE,
  CONSTRAINED,
  CONTIGUOUS,
  COPY_IN_PLACE,
  COPY_MOVE,
  COPY_SHARED,
  DMA,
  EXTRA,
  FORCE_WRITE,
  LAZY,
  MAP_RIGHTS,
  MAP_WRITE,
  SOFT,
  SQUASH,
} from '../interface.ts';
import { Container, charge } from './container.ts';
import { MemoryControl, subtreeOf } from './control.ts';
import { spanPiece, xspanPiece } from './dyadic.ts';
import { type FrameEntry, isCopyOnWrite, UNBOUND } from './frame.ts';
import { type FrameCounters, Frames, type FramesOptions } from './frames.ts';

/** Where `map` puts its items: the reply being built. */
export interface MapSink {
  /** Items it still takes. */
  readonly room: number;
  /** Maps [frame, frame + pages) at page `page` of the client: a power of two, aligned at both. */
  item(frame: GuestFrame, pages: number, page: number, rights: number): void;
  /** Forgets all items. */
  clear(): void;
}

export interface PhysmemOptions extends FramesOptions {
  readonly wordBits: 32 | 64;
  /** An object has died: nobody may use it any more. */
  readonly retired: (object: Container | MemoryControl) => void;
}

/** A piece of memory that already has contents: part of a module. */
export interface Block {
  readonly frame: GuestFrame;
  readonly pages: number; // power of two; `frame` is a multiple of it
}

export interface PhysmemCounters extends FrameCounters {
  maps: number; // map requests
  items: number; // map items made
}

const ALLOCATE_FLAGS = ALL_OR_NONE | SQUASH | EXTRA;
const ALLOCATE_REFUSED = DMA | CONSTRAINED | CONTIGUOUS; // kinds of memory this machine does not tell apart
const DEALLOCATE_FLAGS = ALL_OR_NONE | LAZY;
const MAP_FLAGS = MAP_RIGHTS | FORCE_WRITE;
const PROVIDE_FLAGS = MAP_FLAGS | ALL_OR_NONE;
const COPY_FLAGS = COPY_SHARED | ALL_OR_NONE | SQUASH | EXTRA;

export class Physmem {
  readonly root = new MemoryControl(null, 0);
  readonly frames: Frames;
  /** Bytes the last allocate, provide, deallocate or copy did, from the left. */
  amount = 0;
  receivedPages = 0;
  fixedPages = 0; // received, and kept out of use
  #maps = 0;
  #items = 0;
  readonly #limitPages: number; // container and client addresses are below it
  readonly #retired: (object: Container | MemoryControl) => void;

  constructor(options: PhysmemOptions) {
    this.frames = new Frames(options);
    this.#retired = options.retired;
    this.#limitPages = (options.wordBits === 32 ? 2 ** 32 : 2 ** 53) / PAGE_SIZE; // 64-bit words are exact below 2^53
  }

  get counters(): PhysmemCounters {
    return { ...this.frames.counters, maps: this.#maps, items: this.#items };
  }

  /** Takes memory into the pool; the root may give it away. Page 0 is kept: nobody shall own it. */
  receive(frame: GuestFrame, pages: number): void {
    const kept = frame === 0 ? 1 : 0;
    this.receivedPages += pages;
    this.fixedPages += kept;
    this.root.limit += pages - kept;
    this.frames.zones.free((frame + kept) as GuestFrame, pages - kept);
  }

  // --- Containers ------------------------------------------------------------------------------------------------

  /** Makes an empty container charged to `control`. */
  create(control: MemoryControl): Container {
    kassert(control.alive, 'physmem: container of a dead control');
    const container = new Container(control);
    control.containers.add(container);
    return container;
  }

  /**
   * Makes a container of memory that has contents, received with it: page `frame - blocks[0].frame` is `frame`. The
   * control's limit grows by what it is charged, so the memory counts as guaranteed to it.
   * @returns the container, or null where a block is malformed or lies before the first
   */
  createFromMemory(control: MemoryControl, blocks: readonly Block[]): Container | null {
    const origin = blocks[0]?.frame ?? 0;
    if (blocks.some(({ frame, pages }) => frame < origin || frame === 0 || frame % pages !== 0)) return null;
    const container = this.create(control);
    for (const { frame, pages } of blocks) {
      this.receivedPages += pages;
      control.limit += pages;
      this.frames.place(container, frame - origin, pages, frame);
      charge(container, pages);
    }
    return container;
  }

  /**
   * Puts fresh pages at [start, start + size), in pieces of span(0, size): sizes depend on the length only. Memory is
   * bound at the first map, and reads as zero. Flags: ALL_OR_NONE, SQUASH (deallocate what is there), EXTRA.
   * @returns 0, or an errno with `amount`:
   *   EINVAL      not page aligned, size 0, wraps; an unknown flag
   *   EEXIST      a piece overlaps a present page (without SQUASH)
   *   ENOMEM      the control's limit; as many pages as fit are placed. EXTRA does not help: nobody is eligible
   *               before a memory policy says so
   *   EOPNOTSUPP  DMA, CONSTRAINED, CONTIGUOUS
   * With ALL_OR_NONE nothing has changed after an error.
   */
  allocate(container: Container, flags: number, start: number, size: number): number {
    this.amount = 0;
    if (!hasOnly(flags, ALLOCATE_FLAGS | ALLOCATE_REFUSED)) return EINVAL;
    if (size === 0 || !this.#isRange(start, size)) return EINVAL;
    if ((flags & ALLOCATE_REFUSED) !== 0) return EOPNOTSUPP;
    const first = start / PAGE_SIZE;
    const pages = size / PAGE_SIZE;
    const squash = (flags & SQUASH) !== 0;
    if ((flags & ALL_OR_NONE) !== 0 && !squash && container.entries.overlaps(first, first + pages)) return EEXIST;
    const admitted = admissiblePages(container, first, pages, squash);
    if ((flags & ALL_OR_NONE) !== 0 && admitted < pages) return ENOMEM;
    for (let done = 0; done < admitted; ) {
      const piece = spanPiece(done, admitted);
      const at = first + done;
      if (squash) this.#vacate(container, at, at + piece);
      else if (container.entries.overlaps(at, at + piece)) return EEXIST;
      this.frames.place(container, at, piece, UNBOUND);
      charge(container, piece);
      done += piece;
      this.amount = done * PAGE_SIZE;
    }
    return admitted < pages ? ENOMEM : 0;
  }

  /**
   * Removes the pages of [start, start + size), unmaps them everywhere and uncharges them. Holes are skipped; `amount`
   * is what was really removed. Flags: ALL_OR_NONE, LAZY (permission to unmap later, which is not used).
   * @returns 0, or EINVAL (alignment, wraps, an unknown flag), EOPNOTSUPP (SOFT), ENOENT (a hole, with ALL_OR_NONE:
   *   nothing has changed)
   */
  deallocate(container: Container, start: number, size: number, flags: number): number {
    this.amount = 0;
    if (!hasOnly(flags, DEALLOCATE_FLAGS | SOFT) || !this.#isRange(start, size)) return EINVAL;
    if ((flags & SOFT) !== 0) return EOPNOTSUPP;
    const first = start / PAGE_SIZE;
    const pages = size / PAGE_SIZE;
    if ((flags & ALL_OR_NONE) !== 0 && presentPages(container, first, pages) < pages) return ENOENT;
    this.amount = this.#vacate(container, first, first + pages) * PAGE_SIZE;
    return 0;
  }

  /**
   * Maps container bytes [index, index + size) at vaddr, as far as `sink` has room: the client asks again for the rest.
   * A success maps at least one page. Items lack WRITE where the page is shared copy-on-write, unless FORCE_WRITE
   * makes the copy now. First use binds memory.
   * @returns 0, or an errno; items made before it are good
   *   EINVAL  not page aligned, size 0, wraps, no rights, an unknown flag
   *   ENOENT  a page is absent
   *   ENOMEM  no memory for it: the principal holds more than its guarantee, or others do
   * Cost: O(log entries + items). Hot: allocates nothing but the frames it binds or copies.
   */
  map(container: Container, flags: number, vaddr: number, index: number, size: number, sink: MapSink): number {
    if (!hasOnly(flags, MAP_FLAGS) || (flags & MAP_RIGHTS) === 0 || size === 0) return EINVAL;
    if (!this.#isRange(index, size) || !this.#isRange(vaddr, size)) return EINVAL;
    this.#maps += 1;
    const end = (index + size) / PAGE_SIZE;
    const displacement = (vaddr - index) / PAGE_SIZE; // client page - container page
    for (let page = index / PAGE_SIZE; page < end && sink.room > 0; ) {
      const found = container.entries.at(page);
      if (found === null) return ENOENT;
      const entry = this.#readyEntry(found, page, flags);
      if (entry === null) return ENOMEM;
      page = this.#mapEntry(entry, page, Math.min(end, entry.start + entry.pages), displacement, flags & MAP_RIGHTS, sink);
    }
    return 0;
  }

  /**
   * Puts fresh pages at container bytes [index, index + size) and maps them at vaddr, as far as `sink` has room: what
   * allocate and map do, in one request. Without ALL_OR_NONE fewer pages than asked for are a success.
   * @returns 0 with `amount`, the bytes allocated; or an errno, and then nothing is allocated and nothing is mapped:
   *   EINVAL, EEXIST, ENOMEM as from allocate, then ENOMEM as from map
   * Hot: allocates nothing but the frames, their entries, and what those need.
   */
  provide(container: Container, flags: number, vaddr: number, index: number, size: number, sink: MapSink): number {
    this.amount = 0;
    if (!hasOnly(flags, PROVIDE_FLAGS) || (flags & MAP_RIGHTS) === 0 || !this.#isRange(vaddr, size)) return EINVAL;
    const refused = this.allocate(container, flags & ALL_OR_NONE, index, size);
    if (this.amount === 0) return refused;
    const error = this.map(container, flags & MAP_FLAGS, vaddr, index, this.amount, sink);
    if (error === 0) return 0;
    this.#vacate(container, index / PAGE_SIZE, (index + this.amount) / PAGE_SIZE);
    this.amount = 0;
    sink.clear();
    return error;
  }

  /**
   * Logical copy: container bytes of the source appear in the destination, on the same frames. COPY_SHARED: both see
   * all later writes. Else each side keeps what it has: the first write to a side copies. Nothing is bound or copied
   * now; every destination page is charged. Pieces follow the source's frames, never the destination's alignment.
   * Flags: COPY_SHARED, ALL_OR_NONE, SQUASH, EXTRA.
   * @returns 0, or an errno with `amount`:
   *   EINVAL      not page aligned, wraps, an unknown flag
   *   ENOENT      the first source page is absent; ESRCH  a later one
   *   EEXIST      a destination page is present (without SQUASH), or source and destination overlap
   *   ENOMEM      the limit of the destination's control
   *   EOPNOTSUPP  COPY_MOVE, COPY_IN_PLACE
   * With ALL_OR_NONE nothing has changed after an error.
   */
  copy(source: Container, sourceStart: number, destination: Container, destinationStart: number, size: number, flags: number): number {
    this.amount = 0;
    if (!hasOnly(flags, COPY_FLAGS | COPY_MOVE | COPY_IN_PLACE)) return EINVAL;
    if (!this.#isRange(sourceStart, size) || !this.#isRange(destinationStart, size)) return EINVAL;
    if ((flags & (COPY_MOVE | COPY_IN_PLACE)) !== 0) return EOPNOTSUPP;
    if (source === destination && Math.abs(sourceStart - destinationStart) < size) return EEXIST;
    const from = sourceStart / PAGE_SIZE;
    const to = destinationStart / PAGE_SIZE;
    const pages = size / PAGE_SIZE;
    const squash = (flags & SQUASH) !== 0;
    const present = presentPages(source, from, pages);
    const free = squash ? pages : freePages(destination, to, pages);
    const admitted = admissiblePages(destination, to, pages, squash);
    const possible = Math.min(present, free, admitted);
    const error = possible === pages ? 0 : possible === present ? (present === 0 ? ENOENT : ESRCH) : possible === free ? EEXIST : ENOMEM;
    if (error !== 0 && (flags & ALL_OR_NONE) !== 0) return error;
    if (squash) this.#vacate(destination, to, to + possible);
    this.#copyPages(source, from, destination, to, possible, (flags & COPY_SHARED) !== 0);
    this.amount = possible * PAGE_SIZE;
    return error;
  }

  /** Removes a container with all its pages. */
  destroy(container: Container): void {
    this.#vacate(container, 0, this.#limitPages);
    container.alive = false;
    container.control.containers.delete(container);
    this.#retired(container);
  }

  // --- Memory controls -------------------------------------------------------------------------------------------

  /** Moves `pages` of unused limit to a new child. @returns the child, or null where `control` has not that many */
  splitControl(control: MemoryControl, pages: number): MemoryControl | null {
    if (!isCount(pages) || pages > control.unused) return null;
    const child = new MemoryControl(control, pages);
    control.limit -= pages;
    control.children.add(child);
    return child;
  }

  /** Takes `pages` of unused limit back from a child. @returns 0, EPERM (the root) or ENOMEM (the child uses them) */
  absorbControl(child: MemoryControl, pages: number): number {
    if (child.parent === null) return EPERM;
    if (!isCount(pages) || pages > child.unused) return ENOMEM;
    child.limit -= pages;
    child.parent.limit += pages;
    return 0;
  }

  /** Destroys a control with its descendants and all their containers. @returns 0, or EPERM for the root */
  destroyControl(control: MemoryControl): number {
    if (control.parent === null) return EPERM;
    for (const each of subtreeOf(control).reverse()) this.#destroyChildless(each);
    return 0;
  }

  #destroyChildless(control: MemoryControl): void {
    const { parent } = control;
    kassert(parent !== null && control.children.size === 0, 'physmem I12');
    for (const container of control.containers) this.destroy(container);
    kassert(control.used === 0, 'physmem I12');
    parent.limit += control.limit;
    parent.children.delete(control);
    control.limit = 0;
    control.alive = false;
    this.#retired(control);
  }

  // --- Steps -----------------------------------------------------------------------------------------------------

  /** Whether [start, start + size) is whole pages inside the address range. Anything may come in: words are hostile. */
  #isRange(start: number, size: number): boolean {
    const first = start / PAGE_SIZE;
    const pages = size / PAGE_SIZE;
    if (!Number.isInteger(first) || !Number.isInteger(pages)) return false; // NaN and Infinity are no integers either
    return first >= 0 && pages >= 0 && first + pages <= this.#limitPages;
  }

  /** The entry that holds `page`, separated and bound as a mapping with `flags` needs it; null without memory. */
  #readyEntry(found: FrameEntry, page: number, flags: number): FrameEntry | null {
    const writes = (flags & MAP_WRITE) !== 0 && (flags & FORCE_WRITE) !== 0;
    const entry = writes ? this.frames.breakCopyOnWrite(found, page) : found;
    return entry === null ? null : this.frames.bind(entry, page);
  }

  /** Makes the items for container pages [page, end) of one entry. @returns the page after the last one mapped */
  #mapEntry(entry: FrameEntry, from: number, end: number, displacement: number, wanted: number, sink: MapSink): number {
    const frame = entry.frame;
    const rights = (wanted & MAP_WRITE) !== 0 && isCopyOnWrite(frame) ? wanted & ~MAP_WRITE : wanted;
    const base = frame.address + entry.offset - entry.start; // guest frame - container page
    frame.granted |= rights;
    let page = from;
    while (page < end && sink.room > 0) {
      const piece = xspanPiece(base + page, base + end, displacement + page);
      sink.item((base + page) as GuestFrame, piece, displacement + page, rights);
      this.#items += 1;
      page += piece;
    }
    return page;
  }

  /** Removes the pages of [from, to). @returns how many there were */
  #vacate(container: Container, from: number, to: number): number {
    let removed = 0;
    for (let page = from; page < to; ) {
      const entry = container.entries.from(page);
      if (entry === null || entry.start >= to) break;
      const first = Math.max(page, entry.start);
      const last = Math.min(to, entry.start + entry.pages);
      this.frames.carve(entry, first, last);
      charge(container, first - last);
      removed += last - first;
      page = last;
    }
    return removed;
  }

  /** Puts entries on the frames of source pages [from, from + pages), all present, at destination pages from `to` on. */
  #copyPages(source: Container, from: number, destination: Container, to: number, pages: number, shared: boolean): void {
    for (let done = 0; done < pages; ) {
      const entry = source.entries.at(from + done);
      kassert(entry !== null, 'physmem: copying an absent page');
      const inEntry = from + done - entry.start;
      const count = Math.min(entry.pages - inEntry, pages - done);
      const offset = entry.offset + inEntry;
      if (!shared) this.frames.revokeWrite(entry.frame);
      const group = shared ? entry.group : this.frames.newGroup();
      this.frames.cover(destination, to + done, entry.frame, offset, offset + count, group);
      charge(destination, count);
      done += count;
    }
  }
}

/** Whether a flag word has no bit outside `allowed`. It may be any word: bits beyond 32 count. */
function hasOnly(flags: number, allowed: number): boolean {
  return (flags & allowed) === flags;
}

/** Whether `n` can count pages: it comes from a message. */
function isCount(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 0;
}

/**
 * How many pages from `first` on the container's control lets in, at most `pages`. With `squash` pages that are present
 * are replaced, and cost nothing.
 */
function admissiblePages(container: Container, first: number, pages: number, squash: boolean): number {
  let allowance = container.control.unused;
  if (!squash) return Math.min(pages, allowance);
  const end = first + pages;
  let page = first;
  while (page < end) {
    const entry = container.entries.from(page);
    const gapEnd = entry === null ? end : Math.min(end, Math.max(page, entry.start));
    if (gapEnd - page > allowance) return page + allowance - first;
    allowance -= gapEnd - page;
    page = entry === null ? end : Math.min(end, entry.start + entry.pages);
  }
  return pages;
}

/** Length of the run of present pages from `first` on, at most `pages`. */
function presentPages(container: Container, first: number, pages: number): number {
  let page = first;
  while (page < first + pages) {
    const entry = container.entries.at(page);
    if (entry === null) return page - first;
    page = entry.start + entry.pages;
  }
  return pages;
}

/** Length of the run of absent pages from `first` on, at most `pages`. */
function freePages(container: Container, first: number, pages: number): number {
  const entry = container.entries.from(first);
  return entry === null ? pages : Math.min(pages, Math.max(0, entry.start - first));
}
