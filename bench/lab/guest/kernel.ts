/**
 * The kernel of a modelled guest: its memory management. It answers what programs do (regions, touches, forks) and writes
 * the guest's page tables as an operating system would, in guest-physical memory.
 *
 *   record --> regions of the space          what may be touched
 *          \-> frames of guest-physical memory, with counts of references: copy-on-write
 *          \-> PageTables                    what has been touched; the walk sets accessed and dirty bits there
 *
 * A space whose records say what a real kernel wrote (MAP, UNMAP, PROTECT) has no regions: its entries are taken as they are.
 * What a hypervisor may see goes to a GuestWatcher, after it was done.
 *
 * A page that a program may not touch at all (no permission) has no entry: its frame is kept aside, as a base page.
 * Formats without permission bits cannot be made to fault on a write: there a fork copies at once.
 */
import { kassert, panic } from '../../../hostkernel/base/assert.ts';
import { type Access, EXEC, PAGE_SHIFT, PAGE_SIZE, powerOf2, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_USER, type PageTableFormat } from '../../../hostkernel/machine/paging/index.ts';
import { type PageSize, PageTables, type TableMemory } from '../../../hostkernel/machine/timing/index.ts';
import type { EventCounts } from '../events.ts';
import {
  type Batch,
  END,
  FORK,
  INVALIDATE,
  MAP,
  PROTECT,
  REGION,
  REGION_POPULATE,
  REGION_SHARED,
  REPERMIT,
  SWITCH,
  UNMAP,
  UNREGION,
} from '../stream.ts';
import { FramePool } from './frame-pool.ts';
import { LabError } from './lab-error.ts';
import { grantedBy, isEmptyFor, leafPages, nextLeaf, pagesIn, PERMISSIONS, requireTables } from './leaves.ts';
import { checkPolicy, type GuestPolicy, isLargeHere, sizesOf } from './policy.ts';
import { type Region, Regions, SharedMemory } from './regions.ts';
import type { GuestWatcher } from './watcher.ts';

const MARKS = ATTR_ACCESSED | ATTR_DIRTY;
const PAGES_END = 2 ** 52; // pages of any address
const SPACES = 65536;
const FLAGS_END = 128; // of attributes

/** More single-page invalidations than this are done as one of the whole space: Linux on x86 does so. */
const MOST_SINGLES = 33;

/** Pages filled between two calls of `filling`. */
const FILLED_BETWEEN = 65_536;

export interface GuestKernelSetup {
  readonly format: PageTableFormat;
  /** Memory of the guest's tables: guest-physical. */
  readonly memory: TableMemory;
  readonly policy: GuestPolicy;
  readonly seed: number;
  readonly watcher: GuestWatcher;
  /** Where table writes, switches and invalidations are counted. */
  readonly events: EventCounts;
  /** Told of guest-physical memory that comes into use, tables and data, before it is used: for hosts that fill ahead. */
  readonly taken?: (frame: number, pages: number) => void;
  /** Told now and then while a region is filled at once, which may take minutes: pages done, of how many. */
  readonly filling?: (done: number, pages: number) => void;
}

/** An address space of the guest. */
export interface GuestSpace {
  readonly id: number;
  readonly root: number; // byte address, as PageTables has it
  readonly regions: Regions;
  /** Pages without permissions that have a frame: the frame, and the accessed and dirty bits they had. */
  readonly hidden: Map<number, HiddenPage>;
  /** Its entries come from records of a real kernel. */
  isExplicit: boolean;
  /** Tables of it have gone since the last invalidation. */
  hasLostTables: boolean;
}

interface HiddenPage {
  readonly frame: number;
  readonly marks: number;
}

/**
 * Invariants (assertInvariants):
 *   K1  a touched page of a region has a leaf or is hidden, its frame is taken; pages outside of regions have neither
 *   K2  references to a frame are: its leaves and hidden pages, one if shared memory holds it, one if it is reserved and untouched
 *   K3  a leaf grants no more than its region, but for what the format cannot deny; WRITE only where the frame is not shared privately
 */
export class GuestKernel {
  readonly format: PageTableFormat;
  readonly tables: PageTables;
  readonly frames: FramePool;
  readonly spaces = new Map<number, GuestSpace>();
  /** The space that runs, or -1. */
  current = -1;
  readonly #policy: GuestPolicy;
  readonly #seed: number;
  readonly #watcher: GuestWatcher;
  readonly #events: EventCounts;
  readonly #taken: ((frame: number, pages: number) => void) | null;
  readonly #filling: ((done: number, pages: number) => void) | null;
  readonly #sizes: readonly PageSize[]; // that the policy allows, the largest first
  readonly #base: PageSize;
  readonly #reach: number; // pages that the tables resolve
  readonly #upperStart: number; // first page of addresses with ones on top; Infinity: there are none
  readonly #canDenyWrite: boolean;
  readonly #marksNew: number; // attributes of leaves that only software sets
  readonly #marksDirty: boolean;
  readonly #spaceOfRoot = new Map<number, number>();
  #hasRun = false;

  constructor({ format, memory, policy, seed, watcher, events, taken, filling }: GuestKernelSetup) {
    checkPolicy(policy, format);
    this.format = format;
    this.#policy = policy;
    this.#seed = seed;
    this.#watcher = watcher;
    this.#events = events;
    this.#taken = taken ?? null;
    this.#filling = filling ?? null;
    this.tables = new PageTables(format, memory, {
      entryWritten: (root, level, entryAddress, page) => this.#entryWritten(root, level, entryAddress, page),
      tableMade: (_root, level, tableAddress) => this.#tableMade(level, tableAddress),
      tableFreed: (root) => this.#tableFreed(root),
    });
    this.#sizes = sizesOf(this.tables.sizes, policy.pageSizes, format.id);
    this.#base = this.#sizes[this.#sizes.length - 1];
    const { memoryBytes, dataBase, placement } = policy;
    this.frames = new FramePool({
      first: dataBase / PAGE_SIZE,
      frames: Math.floor(memoryBytes / PAGE_SIZE),
      placement,
      seed,
      basePages: pagesIn(this.#base),
      hasLarger: this.#sizes.length > 1,
    });
    this.#reach = format.span(format.levels);
    this.#upperStart = format.descriptor.va.rule === 'sign' ? PAGES_END - this.#reach / 2 : Infinity;
    this.#canDenyWrite = (grantedBy(format, 0, READ) & WRITE) === 0;
    this.#marksNew = format.hasAccessed && !format.hardwareAccessed ? ATTR_ACCESSED : 0;
    this.#marksDirty = format.hasDirty && !format.hardwareDirty;
  }

  // ------------------------------------------------------------------------------------------------------- records

  /**
   * Does what control record `i` says, for all kinds but FAULT and HOST_UNMAP, which are the method's.
   * @throws LabError if it makes no sense; then nothing has changed
   */
  record(batch: Batch, i: number): void {
    const id = batch.space[i];
    const page = batch.page[i];
    const value = batch.value[i];
    const flags = batch.flags[i];
    switch (batch.kind[i]) {
      case REGION:
        return this.#region(id, this.#range(page, value), flags);
      case UNREGION:
        return this.#unregion(this.#modelled(id), this.#range(page, value));
      case REPERMIT:
        return this.#repermit(this.#modelled(id), this.#range(page, value), flags);
      case SWITCH:
        this.#getOrCreate(id);
        return this.switchTo(id);
      case FORK:
        return this.#fork(this.#modelled(id), value);
      case END:
        return this.#end(this.#get(id));
      case MAP:
        return this.#map(id, page, value, batch.bytes[i], flags);
      case UNMAP:
        return this.#unmap(id, this.#range(page, value));
      case PROTECT:
        return this.#protect(id, this.#range(page, value), flags);
      case INVALIDATE:
        return this.#invalidate(this.#get(id), page, value);
      default:
        throw new LabError(`kind ${batch.kind[i]}: no such record`);
    }
  }

  /**
   * The processor goes to `id`, by a record or because an access is that space's.
   * @throws LabError if there is no such space, and traces do not make them
   */
  switchTo(id: number): void {
    if (id === this.current) return;
    if (this.#policy.implicitRegions) this.#getOrCreate(id);
    else this.#get(id);
    this.current = id;
    if (this.#hasRun) this.#events.switches++;
    this.#hasRun = true;
    this.#watcher.switched(id);
  }

  /**
   * A true fault: the guest's tables refuse `access` to `page`. The kernel maps, copies, or marks the page.
   * @returns whether the access may be tried again; false: it is an error of the program
   * @throws LabError if memory is used up
   */
  fault(id: number, page: number, access: Access): boolean {
    const space = this.#get(id);
    if (space.isExplicit || !this.#isAddressable(page)) return false;
    const region = space.regions.find(page) ?? this.#implicitRegion(space, page);
    if (region === null || (region.flags & access) !== access) return false;
    const at = this.#inTables(page);
    if (!this.tables.find(space.root, at)) {
      this.#fill(space, region, page, access);
      return true;
    }
    if ((access & WRITE) !== 0 && (this.tables.attributes & WRITE) === 0) this.#permitWrite(space, region, page);
    if (this.#marksNew !== 0 || this.#marksDirty) this.tables.mark(space.root, at, access);
    return true;
  }

  /** The space `id`, or null. */
  space(id: number): GuestSpace | null {
    return this.spaces.get(id) ?? null;
  }

  /** Pages of the leaf that maps `page`, or 0: none does. */
  leafPages(id: number, page: number): number {
    const { tables } = this;
    return tables.find(this.#get(id).root, this.#inTables(page)) ? powerOf2(tables.shift - PAGE_SHIFT) : 0;
  }

  /** `page` as the tables count it: sign bits dropped. */
  #inTables(page: number): number {
    return page < this.#reach ? page : page % this.#reach;
  }

  /** And back. */
  #outOfTables(page: number): number {
    return this.#upperStart < Infinity && page >= this.#reach / 2 ? PAGES_END - this.#reach + page : page;
  }

  /** Whether `page` is an address that the format expresses. */
  #isAddressable(page: number): boolean {
    return page < this.format.userEnd / PAGE_SIZE || page >= this.#upperStart;
  }

  // -------------------------------------------------------------------------------------------------------- spaces

  #get(id: number): GuestSpace {
    const space = this.spaces.get(id);
    if (space === undefined) throw new LabError(`space ${id}: there is none`);
    return space;
  }

  #modelled(id: number): GuestSpace {
    const space = this.#get(id);
    if (space.isExplicit) throw new LabError(`space ${id}: its kernel's own records say what is mapped`);
    return space;
  }

  #explicit(id: number): GuestSpace {
    const space = this.#getOrCreate(id);
    if (space.regions.list.length > 0) throw new LabError(`space ${id}: it has regions, so the modelled kernel maps its pages`);
    return space;
  }

  #getOrCreate(id: number): GuestSpace {
    return this.spaces.get(id) ?? this.#create(id);
  }

  #create(id: number): GuestSpace {
    requireTables(this.tables, 1);
    const root = this.tables.createRoot();
    this.#taken?.(Math.floor(root / PAGE_SIZE), 1);
    const space: GuestSpace = { id, root, regions: new Regions(), hidden: new Map(), isExplicit: false, hasLostTables: false };
    this.spaces.set(id, space);
    this.#spaceOfRoot.set(root, id);
    this.#watcher.created(id, root);
    return space;
  }

  #end(space: GuestSpace): void {
    this.#watcher.destroyed(space.id);
    if (!space.isExplicit) this.#dropFrames(space, space.regions.remove(0, PAGES_END));
    this.tables.destroyRoot(space.root);
    this.#spaceOfRoot.delete(space.root);
    this.spaces.delete(space.id);
    if (this.current === space.id) this.current = -1;
  }

  // ------------------------------------------------------------------------------------------------------- regions

  #region(id: number, range: PageRange, flags: number): void {
    const { start, end } = range;
    if (flags >= 2 * REGION_POPULATE) throw new LabError(`flags ${flags}: no such flags of a region`);
    const present = this.space(id);
    if (present?.isExplicit === true) throw new LabError(`space ${id}: its kernel's own records say what is mapped`);
    if (present?.regions.overlaps(start, end) === true)
      throw new LabError(`pages ${start} to ${end} of space ${id}: some are mapped already`);
    const pages = end - start;
    const fills = (this.#policy.populate || (flags & REGION_POPULATE) !== 0) && (flags & PERMISSIONS) !== 0;
    const isLinear = this.#policy.placement === 'linear';
    if ((fills || isLinear) && this.frames.free < pages)
      throw new LabError(`a region of ${pages} pages: ${this.frames.free} frames are free`);
    requireTables(this.tables, fills ? this.#tablesFor(pages) + 1 : 1);
    const linear = isLinear ? this.#reserve(start, pages) : null;
    const space = present ?? this.#create(id);
    const isShared = (flags & REGION_SHARED) !== 0;
    const shared = isShared ? new SharedMemory(start, end, linear) : null;
    const region: Region = { start, end, flags: permissionsIn(flags) | (flags & REGION_SHARED), linear: isShared ? null : linear, shared };
    space.regions.insert(region);
    if (!fills) return;
    const access = flags & WRITE ? WRITE : flags & READ ? READ : EXEC;
    let told = start;
    for (let page = start; page < end; ) {
      page = this.#fill(space, region, page, access);
      if (page - told < FILLED_BETWEEN) continue;
      told = page;
      this.#filling?.(page - start, pages);
    }
  }

  /** Frames for a whole region, such that pages of every size are aligned in both. @returns frame - page */
  #reserve(start: number, pages: number): number {
    const align = pagesIn(this.#sizes[0]);
    const frame = this.frames.reserve(pages, align, start % align);
    if (frame < 0) throw new LabError(`a region of ${pages} pages: no ${pages} frames in a row are free`);
    return frame - start;
  }

  /** A region around `page` for a program that does not tell: as far as the largest page size reaches, between its neighbours. */
  #implicitRegion(space: GuestSpace, page: number): Region | null {
    if (!this.#policy.implicitRegions) return null;
    const reach = pagesIn(this.#sizes[0]);
    let start = page - (page % reach);
    let end = start + reach;
    for (const { start: from, end: to } of space.regions.within(start, end)) {
      if (to <= page) start = Math.max(start, to);
      else end = Math.min(end, from);
    }
    const linear = this.#policy.placement === 'linear' ? this.#reserve(start, end - start) : null;
    space.regions.insert({ start, end, flags: PERMISSIONS, linear, shared: null });
    return space.regions.find(page);
  }

  #unregion(space: GuestSpace, { start, end }: PageRange): void {
    requireTables(this.tables, 2 * this.format.levels);
    const leaves = this.#dropFrames(space, space.regions.remove(start, end));
    if (leaves === 0) return;
    this.tables.unmap(space.root, this.#inTables(start), end - start);
    this.#forget(space, start, end - start, leaves);
  }

  #repermit(space: GuestSpace, { start, end }: PageRange, flags: number): void {
    if (flags > PERMISSIONS) throw new LabError(`flags ${flags}: permissions are READ, WRITE and EXEC`);
    if (!space.regions.covers(start, end)) throw new LabError(`pages ${start} to ${end} of space ${space.id}: not all are mapped`);
    requireTables(this.tables, 2 * this.format.levels + this.#tablesFor(Math.min(end - start, space.hidden.size)));
    let lost = 0;
    for (const part of space.regions.remove(start, end)) {
      const region: Region = { ...part, flags: permissionsIn(flags) | (part.flags & REGION_SHARED) };
      space.regions.insert(region);
      lost += flags === 0 ? this.#hide(space, region) : this.#repermitLeaves(space, region);
    }
    this.#forget(space, start, end - start, lost);
  }

  /** Gives the leaves of `region` its permissions. @returns those that lost one */
  #repermitLeaves(space: GuestSpace, region: Region): number {
    const { tables } = this;
    this.#unhide(space, region);
    const { end } = region;
    let lost = 0;
    for (let page = this.#nextLeaf(space, region.start, end); page < end; ) {
      const { attributes: before, frame, level } = tables;
      const pages = leafPages(this.tables, page, end);
      const rights = this.#rightsOf(region, frame, pages);
      if ((before & PERMISSIONS & ~grantedBy(this.format, level, rights)) !== 0) lost++;
      tables.protect(space.root, this.#inTables(page), pages, rights | ATTR_USER);
      page = this.#nextLeaf(space, page + pages, end);
    }
    return lost;
  }

  /** What leaves of `region` for these frames may grant: a frame that other spaces have their own copy of is not written. */
  #rightsOf(region: Region, frame: number, pages: number): number {
    const rights = region.flags & PERMISSIONS;
    return region.shared === null && (rights & WRITE) !== 0 && this.frames.isShared(frame, pages) ? rights & ~WRITE : rights;
  }

  /** Takes the leaves of `region` away, and keeps their frames aside. @returns how many leaves */
  #hide(space: GuestSpace, { start, end }: Region): number {
    const { tables } = this;
    const base = pagesIn(this.#base);
    let leaves = 0;
    for (let page = this.#nextLeaf(space, start, end); page < end; ) {
      const pages = leafPages(this.tables, page, end);
      const { frame } = tables;
      const marks = tables.attributes & MARKS;
      for (let i = 0; i < pages; i += base) space.hidden.set(page + i, { frame: frame + i, marks });
      page = this.#nextLeaf(space, page + pages, end);
      leaves++;
    }
    if (leaves > 0) tables.unmap(space.root, this.#inTables(start), end - start);
    return leaves;
  }

  /** Gives the hidden pages of `region` their leaves back. */
  #unhide(space: GuestSpace, region: Region): void {
    const base = pagesIn(this.#base);
    for (const [page, { frame, marks }] of space.hidden) {
      if (page < region.start || page >= region.end) continue;
      space.hidden.delete(page);
      const attributes = this.#rightsOf(region, frame, base) | ATTR_USER | marks;
      this.tables.map(space.root, this.#inTables(page), frame, this.#base.shift, attributes);
    }
  }

  /** Gives back the frames of what were regions of `space`; the leaves stay. @returns how many leaves there are */
  #dropFrames(space: GuestSpace, parts: readonly Region[]): number {
    const base = pagesIn(this.#base);
    let leaves = 0;
    for (const { start, end, linear } of parts) {
      let untouched = start; // from here on no page has a leaf
      for (let page = this.#nextLeaf(space, start, end); page < end; ) {
        const pages = leafPages(this.tables, page, end);
        this.frames.release(this.tables.frame, pages);
        if (linear !== null) this.#dropReserved(space, untouched, page, linear);
        untouched = page + pages;
        page = this.#nextLeaf(space, untouched, end);
        leaves++;
      }
      if (linear !== null) this.#dropReserved(space, untouched, end, linear);
      for (const [page, { frame }] of space.hidden) {
        if (page < start || page >= end) continue;
        space.hidden.delete(page);
        this.frames.release(frame, base);
      }
    }
    const orphans = new Set(parts.map((part) => part.shared).filter((shared) => shared?.regions === 0));
    for (const shared of orphans) if (shared !== null) this.#dropShared(shared);
    return leaves;
  }

  /** Gives back the frames reserved for pages [start, end), which have no leaves; those of hidden pages are no reserve any more. */
  #dropReserved(space: GuestSpace, start: number, end: number, linear: number): void {
    const base = pagesIn(this.#base);
    if (space.hidden.size === 0) this.frames.release(start + linear, end - start);
    else for (let page = start; page < end; page += base) if (!space.hidden.has(page)) this.frames.release(page + linear, base);
  }

  #dropShared({ frames, linear, start, end }: SharedMemory): void {
    const base = pagesIn(this.#base);
    for (const frame of frames.values()) this.frames.release(frame, base);
    if (linear !== null) for (let page = start; page < end; page += base) if (!frames.has(page)) this.frames.release(page + linear, base);
    frames.clear();
  }

  // --------------------------------------------------------------------------------------------------------- faults

  /** Maps `page`, which has no leaf, with a page as large as its place allows. @returns the first page behind it */
  #fill(space: GuestSpace, region: Region, page: number, access: Access): number {
    requireTables(this.tables, this.format.levels);
    for (let i = 0; i < this.#sizes.length; i++) {
      const size = this.#sizes[i];
      const pages = pagesIn(size);
      const first = page - (page % pages);
      if (size !== this.#base && !this.#fits(space, region, first, size)) continue;
      const frame = this.#frameFor(region, first, pages);
      if (frame < 0) continue;
      this.#enter(space, first, frame, size, region.flags & PERMISSIONS, access);
      return first + pages;
    }
    throw new LabError(`page ${page} of space ${space.id}: no frame is free, of ${this.frames.frames}`);
  }

  /** Makes the leaf for a touched page. */
  #enter(space: GuestSpace, page: number, frame: number, size: PageSize, rights: number, access: Access): void {
    let attributes = rights | ATTR_USER | this.#marksNew;
    if (this.#marksDirty && (access & WRITE) !== 0) attributes |= ATTR_DIRTY;
    this.#taken?.(frame, pagesIn(size));
    this.tables.map(space.root, this.#inTables(page), frame, size.shift, attributes);
  }

  /** Whether a large page may be at `first`: room in the region, nothing there yet, and luck. */
  #fits(space: GuestSpace, region: Region, first: number, size: PageSize): boolean {
    const pages = pagesIn(size);
    if (first < region.start || first + pages > region.end) return false;
    if (!isLargeHere(this.#policy.largeShare, this.#seed, space.id, first)) return false;
    const linear = region.linear ?? region.shared?.linear ?? 0;
    if (!this.format.offsetAdds && (first + linear) % pages !== 0) return false;
    return isEmptyFor(this.tables, space.root, this.#inTables(first), size);
  }

  /** A frame for pages [first, first + pages) of `region`, none of which has one; -1: there is none of that size. */
  #frameFor({ shared, linear }: Region, first: number, pages: number): number {
    if (shared !== null) return this.#sharedFrameFor(shared, first, pages);
    return linear === null ? this.frames.take(pages) : first + linear;
  }

  /** The frame that shared memory has for a page, or gets now; with a reference for the new leaf. */
  #sharedFrameFor(shared: SharedMemory, first: number, pages: number): number {
    const base = pagesIn(this.#base);
    const there = shared.frames.get(first);
    for (let i = base; i < pages; i += base) {
      if (shared.frames.get(first + i) !== (there === undefined ? undefined : there + i)) return -1; // not in one piece
    }
    const frame = there ?? (shared.linear === null ? this.frames.take(pages) : first + shared.linear);
    if (frame < 0 || (frame % pages !== 0 && !this.format.offsetAdds)) return -1;
    for (let i = 0; i < pages; i += base) shared.frames.set(first + i, frame + i);
    this.frames.share(frame, pages);
    return frame;
  }

  /** Makes the leaf of `page` writable, with a copy of its frames if others have them too. A large page is copied whole if it can be. */
  #permitWrite(space: GuestSpace, region: Region, page: number): void {
    const { tables, frames } = this;
    const { shift } = tables;
    const size = this.tables.sizes.find((one) => one.shift === shift) ?? this.#base;
    const first = page - (page % pagesIn(size));
    const isWhole = first >= region.start && first + pagesIn(size) <= region.end;
    if (isWhole && this.#renew(space, region, first, size)) return;
    requireTables(this.tables, 2 * this.format.levels);
    if (!this.#renew(space, region, page - (page % pagesIn(this.#base)), this.#base)) {
      throw new LabError(`page ${page} of space ${space.id}: no frame is free for its copy, of ${frames.frames}`);
    }
  }

  /** Makes `size` of memory at `page`, which is mapped, writable: its own frames, or copies. @returns false: there are no frames for them */
  #renew(space: GuestSpace, region: Region, page: number, size: PageSize): boolean {
    const { tables, frames } = this;
    const pages = pagesIn(size);
    const at = this.#inTables(page);
    const rights = region.flags & PERMISSIONS;
    tables.find(space.root, at);
    const { frame: old } = tables;
    if (region.shared !== null || !frames.isShared(old, pages)) {
      tables.protect(space.root, at, pages, rights | ATTR_USER);
      return true;
    }
    const copy = frames.take(pages);
    if (copy < 0) return false;
    frames.release(old, pages);
    this.#enter(space, page, copy, size, rights, WRITE);
    this.#forget(space, page, pages, 1);
    return true;
  }

  // ----------------------------------------------------------------------------------------------------------- fork

  /** Makes space `id` a copy of `parent`. Private memory is shared until one of them writes, where writes can be denied. */
  #fork(parent: GuestSpace, id: number): void {
    if (!Number.isInteger(id) || id < 0 || id >= SPACES) throw new LabError(`space ${id}: spaces are 0 to ${SPACES - 1}`);
    if (this.spaces.has(id)) throw new LabError(`space ${id}: it exists already`);
    const child = this.#create(id);
    try {
      for (const region of parent.regions.list) child.regions.insert({ ...region, linear: null });
      for (const region of parent.regions.list) this.#copyLeaves(parent, child, region);
    } catch (error) {
      this.#end(child);
      throw error;
    }
    let denied = 0;
    for (const region of parent.regions.list) {
      const wasWritable = region.shared === null && (region.flags & WRITE) !== 0;
      if (wasWritable && this.#canDenyWrite) denied += this.#repermitLeaves(parent, region);
    }
    if (denied > 0) this.#forget(parent, 0, Infinity, denied);
  }

  #copyLeaves(parent: GuestSpace, child: GuestSpace, region: Region): void {
    const { tables, frames } = this;
    const { start, end } = region;
    for (let page = this.#nextLeaf(parent, start, end); page < end; ) {
      const { shift, frame } = tables;
      const pages = leafPages(this.tables, page, end);
      const whole = powerOf2(shift - PAGE_SHIFT);
      const isWhole = page % whole === 0 && pages === whole;
      this.#copyPages(child, region, { page, frame, pages, size: isWhole ? this.#sizeOf(shift) : this.#base });
      page = this.#nextLeaf(parent, page + pages, end);
    }
    const base = pagesIn(this.#base);
    for (const [page, { frame, marks }] of parent.hidden) {
      if (page < start || page >= end) continue;
      const copies = !this.#canDenyWrite && region.shared === null;
      const own = copies ? this.#takeCopy(page) : frame;
      if (!copies) frames.share(frame, base);
      child.hidden.set(page, { frame: own, marks });
    }
  }

  /** Maps pages of the parent in its child too, in pages of `size`. */
  #copyPages(child: GuestSpace, region: Region, from: { page: number; frame: number; pages: number; size: PageSize }): void {
    const { page, frame, pages, size } = from;
    const copies = !this.#canDenyWrite && region.shared === null;
    const step = copies ? pagesIn(this.#base) : pagesIn(size);
    for (let i = 0; i < pages; i += step) {
      requireTables(this.tables, this.format.levels);
      const own = copies ? this.#takeCopy(page + i) : frame + i;
      if (!copies) this.frames.share(own, step);
      const rights = this.#rightsOf(region, own, step);
      this.#enter(child, page + i, own, copies ? this.#base : size, rights, READ);
    }
  }

  #takeCopy(page: number): number {
    const frame = this.frames.take(pagesIn(this.#base));
    if (frame < 0) throw new LabError(`page ${page}: no frame is free for its copy, of ${this.frames.frames}`);
    return frame;
  }

  // ------------------------------------------------------------------------------------------- records of real kernels

  #map(id: number, page: number, frame: number, shift: number, attributes: number): void {
    const size = this.tables.sizes.find((one) => one.shift === shift);
    if (size === undefined) {
      const shifts = this.tables.sizes.map((one) => one.shift).join(', ');
      throw new LabError(`a page of 2^${shift} bytes: ${this.format.id} has pages of 2^ ${shifts} bytes`);
    }
    const pages = pagesIn(size);
    this.#range(page, pages * PAGE_SIZE);
    if (page % pages !== 0) throw new LabError(`page ${page}: no multiple of ${pages}, the size of the page`);
    const { dataBase, memoryBytes } = this.#policy;
    const end = (dataBase + memoryBytes) / PAGE_SIZE;
    if (!Number.isInteger(frame) || frame < 0 || frame + pages > end)
      throw new LabError(`frame ${frame}: the guest's memory ends at ${end}`);
    if (frame % pages !== 0 && !this.format.offsetAdds) throw new LabError(`frame ${frame}: no multiple of ${pages}, the size of the page`);
    if (attributes >= FLAGS_END) throw new LabError(`flags ${attributes}: no such attributes`);
    requireTables(this.tables, 2 * this.format.levels + 1);
    const space = this.#explicit(id);
    space.isExplicit = true;
    // A leaf that grants nothing is none.
    if ((attributes & PERMISSIONS) === 0) {
      this.tables.unmap(space.root, this.#inTables(page), pages);
      return;
    }
    this.#taken?.(frame, pages);
    this.tables.map(space.root, this.#inTables(page), frame, shift, attributes);
  }

  #unmap(id: number, { start, end }: PageRange): void {
    requireTables(this.tables, 2 * this.format.levels + 1);
    const space = this.#explicit(id);
    space.isExplicit = true;
    this.tables.unmap(space.root, this.#inTables(start), end - start);
  }

  #protect(id: number, { start, end }: PageRange, rights: number): void {
    if (rights >= FLAGS_END) throw new LabError(`flags ${rights}: no such attributes`);
    requireTables(this.tables, 2 * this.format.levels + 1);
    const space = this.#explicit(id);
    space.isExplicit = true;
    this.tables.protect(space.root, this.#inTables(start), end - start, rights);
  }

  #invalidate(space: GuestSpace, page: number, bytes: number): void {
    if (bytes === Infinity) return this.#forget(space, 0, Infinity, Infinity);
    const { start, end } = this.#range(page, bytes);
    this.#forget(space, start, end - start, (end - start) / pagesIn(this.#base));
  }

  // ------------------------------------------------------------------------------------------------------ invariants

  assertInvariants(): void {
    const references = new Map<number, number>();
    const refer = (frame: number): void => void references.set(frame, (references.get(frame) ?? 0) + 1);
    const shares = new Set<SharedMemory>();
    for (const space of this.spaces.values()) {
      space.regions.assertInvariants();
      for (const region of space.regions.list) this.#checkRegion(space, region, refer);
      for (const { shared } of space.regions.list) if (shared !== null) shares.add(shared);
      if (!space.isExplicit) this.#checkOutside(space);
    }
    const base = pagesIn(this.#base);
    for (const { frames, linear, start, end } of shares) {
      for (let page = start; page < end; page += base) {
        const frame = frames.get(page) ?? (linear === null ? null : page + linear);
        if (frame !== null) refer(frame);
      }
    }
    for (const [frame, count] of references) kassert(this.frames.references(frame) === count, 'guest kernel K2');
    kassert(references.size * base === this.frames.taken, 'guest kernel K2: frames are lost');
    this.frames.assertInvariants();
    this.tables.assertInvariants();
  }

  #checkRegion(space: GuestSpace, region: Region, refer: (frame: number) => void): void {
    const { start, end, flags, linear } = region;
    const base = pagesIn(this.#base);
    for (let page = start; page < end; page += base) {
      const hidden = space.hidden.get(page);
      if (this.tables.find(space.root, this.#inTables(page))) {
        const { frame, level, attributes } = this.tables;
        kassert(hidden === undefined && (flags & PERMISSIONS) !== 0, 'guest kernel K1');
        refer(frame);
        kassert((attributes & PERMISSIONS & ~grantedBy(this.format, level, flags & PERMISSIONS)) === 0, 'guest kernel K3');
        const isDenied = region.shared !== null || !this.frames.isShared(frame, base) || (attributes & WRITE) === 0;
        kassert(isDenied || !this.#canDenyWrite, 'guest kernel K3: a shared frame is writable');
      } else if (hidden !== undefined) refer(hidden.frame);
      else if (linear !== null) refer(page + linear);
    }
  }

  /** Nothing is mapped or hidden outside of regions. */
  #checkOutside(space: GuestSpace): void {
    this.tables.forEachLeaf(space.root, (page) => kassert(space.regions.find(this.#outOfTables(page)) !== null, 'guest kernel K1'));
    for (const page of space.hidden.keys()) kassert(space.regions.find(page) !== null, 'guest kernel K1');
  }

  // --------------------------------------------------------------------------------------------------------- inside

  /** The first page of [from, end) that has a leaf, or `end`. What tables.find() found is that leaf. */
  #nextLeaf(space: GuestSpace, from: number, end: number): number {
    const at = this.#inTables(from);
    return from - at + nextLeaf(this.tables, space.root, at, at + end - from);
  }

  #sizeOf(shift: number): PageSize {
    return this.tables.sizes.find((size) => size.shift === shift) ?? panic('guest kernel: a leaf of no size');
  }

  /** Tells that up to `leaves` translations in [page, page + pages) are to be forgotten, if there are any. */
  #forget(space: GuestSpace, page: number, pages: number, leaves: number): void {
    if (leaves === 0) return;
    const singles = leaves <= MOST_SINGLES ? leaves : 0;
    this.#events.invalidations += Math.max(1, singles);
    if (pages < Infinity) this.#events.invalidatedPages += pages;
    this.#watcher.invalidated(space.id, page, pages, singles, space.hasLostTables);
    space.hasLostTables = false;
  }

  #entryWritten(root: number, level: number, entryAddress: number, page: number): void {
    this.#events.tableWrites++;
    this.#watcher.entryWritten(this.#spaceOfRoot.get(root) ?? -1, level, entryAddress, this.#outOfTables(page));
  }

  #tableMade(level: number, tableAddress: number): void {
    const frame = Math.floor(tableAddress / PAGE_SIZE);
    const end = Math.ceil((tableAddress + this.format.tableBytes(level)) / PAGE_SIZE);
    this.#taken?.(frame, end - frame);
  }

  #tableFreed(root: number): void {
    const space = this.spaces.get(this.#spaceOfRoot.get(root) ?? -1);
    if (space !== undefined) space.hasLostTables = true;
  }

  /** The pages that a record's `bytes` from `page` on cover, widened to base pages. */
  #range(page: number, bytes: number): PageRange {
    const base = pagesIn(this.#base);
    if (!Number.isInteger(page) || page < 0 || page >= PAGES_END) throw new LabError(`page ${page}: pages are 0 to 2^52 - 1`);
    if (!(bytes >= 1 && bytes <= PAGES_END * PAGE_SIZE)) throw new LabError(`${bytes} bytes: a number from 1 on`);
    const start = page - (page % base);
    const end = Math.ceil((page + Math.ceil(bytes / PAGE_SIZE)) / base) * base;
    const isWithin =
      end <= PAGES_END &&
      this.#isAddressable(start) &&
      this.#isAddressable(end - 1) &&
      start >= this.#upperStart === end - 1 >= this.#upperStart;
    if (!isWithin) throw new LabError(`pages ${start} to ${end}: ${this.format.id} has no such addresses`);
    return { start, end };
  }

  /** How many tables map `pages` pages in a row, at most. */
  #tablesFor(pages: number): number {
    const { format } = this;
    let tables = 0;
    for (let level = 1; level < format.levels; level++) tables += Math.ceil(pages / format.span(level)) + 1;
    return tables;
  }
}

interface PageRange {
  readonly start: number;
  readonly end: number;
}

/** The permissions of a region: what can be written can be read, as everywhere. */
function permissionsIn(flags: number): number {
  return (flags & WRITE) === 0 ? flags & PERMISSIONS : (flags & PERMISSIONS) | READ;
}
