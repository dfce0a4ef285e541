/**
 * VirtualContext: an address space of a kernel that is a process.
 *
 *   guest code       space of the host, one vpagetable entry --> the host walks our tables on a fault, caches real PTEs
 *   our own access   lookup(va) --> cache of 256 pages       --> we walk our tables, and mark them as the host would
 *
 * The page tables are in VPTE format: what this kernel takes for the hardware's format is what its host was told to
 * walk. One lookup at depth d is a lookup at each of the d kernels below, each of which hits its own cache.
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { type Access, EXEC, type HostFrame, PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import {
  type Host,
  MADV_SETMAP,
  MAP_FIXED,
  MAP_NOSYNC,
  MAP_SHARED,
  MAP_VPAGETABLE,
  SYS_vmspace_create,
  SYS_vmspace_destroy,
  SYS_vmspace_mcontrol,
  SYS_vmspace_mmap,
} from '../../hostkernel/kern/index.ts';
import { ATTR_DIRTY, ENTRY_LEAF, ENTRY_TABLE, type PageTableFormat, type TranslationContext } from '../../hostkernel/machine/index.ts';
import type { Invalidations } from './invalidations.ts';
import type { VirtualRam } from './virtual-ram.ts';

const CACHE_PAGES = 256;
const NO_PAGE = -1;
const ALL = READ | WRITE | EXEC;

/** What the contexts of a machine share. */
export interface ContextHome {
  readonly host: Host;
  readonly ram: VirtualRam;
  readonly userLimit: number; // bytes
  readonly invalidations: Invalidations;
  readonly walkCounters: { walks: number; walkReferences: number };
}

export class VirtualContext implements TranslationContext {
  readonly id: number; // of the host's space
  readonly format: PageTableFormat;
  readonly root: HostFrame;
  /** Whether a guest has run here: before that the host has nothing to forget. */
  hosted = false;
  readonly #home: ContextHome;
  readonly #ram: VirtualRam;
  readonly #limit: number;
  // By page & 255: a page that translates, its frame, and what for. WRITE only where the entry is marked modified.
  readonly #pages = new Float64Array(CACHE_PAGES).fill(NO_PAGE);
  readonly #frames = new Int32Array(CACHE_PAGES);
  readonly #rights = new Uint8Array(CACHE_PAGES);

  /** @returns the context, or -errno: the host has no room for its space */
  static create(home: ContextHome, id: number, format: PageTableFormat, root: HostFrame): VirtualContext | number {
    const { host, ram, userLimit } = home;
    const created = host.syscall(SYS_vmspace_create, id, 0, 0);
    if (created < 0) return created;
    const flags = MAP_SHARED | MAP_FIXED | MAP_NOSYNC;
    const table = host.syscall(SYS_vmspace_mmap, id, 0, userLimit, ALL, flags | MAP_VPAGETABLE, ram.fd, 0);
    const stub = table < 0 ? table : host.syscall(SYS_vmspace_mmap, id, userLimit, PAGE_SIZE, READ | EXEC, flags, ram.fd, ram.stubOffset);
    const set = stub < 0 ? stub : host.syscall(SYS_vmspace_mcontrol, id, 0, userLimit, MADV_SETMAP, rootValue(format, root));
    if (set >= 0) return new VirtualContext(home, id, format, root);
    host.syscall(SYS_vmspace_destroy, id);
    return set;
  }

  private constructor(home: ContextHome, id: number, format: PageTableFormat, root: HostFrame) {
    kassert(!format.bigEndian, 'nest: page tables of the other byte order');
    this.id = id;
    this.format = format;
    this.root = root;
    this.#home = home;
    this.#ram = home.ram;
    this.#limit = home.userLimit;
  }

  lookup(va: number, access: Access): number {
    if (!(va >= 0 && va < this.#limit)) return -1;
    const page = Math.floor(va / PAGE_SIZE);
    const slot = page & (CACHE_PAGES - 1);
    if ((this.#pages[slot] !== page || (this.#rights[slot] & access) === 0) && !this.#walk(page, slot, access)) return -1;
    return this.#ram.offsetFor(this.#frames[slot], access) + (va & (PAGE_SIZE - 1));
  }

  invalidatePage(va: number): void {
    const page = Math.floor(va / PAGE_SIZE);
    const slot = page & (CACHE_PAGES - 1);
    if (this.#pages[slot] === page) this.#pages[slot] = NO_PAGE;
    if (this.hosted) this.#home.invalidations.add(this.id, page, page + 1);
  }

  invalidateRange(start: number, end: number): void {
    const last = Math.min(end, this.#limit / PAGE_SIZE);
    if (last <= start) return;
    if (last - start >= CACHE_PAGES) this.#pages.fill(NO_PAGE);
    else
      for (let page = start; page < last; page++) {
        const slot = page & (CACHE_PAGES - 1);
        if (this.#pages[slot] === page) this.#pages[slot] = NO_PAGE;
      }
    if (this.hosted) this.#home.invalidations.add(this.id, start, last);
  }

  invalidateAll(): void {
    this.invalidateRange(0, this.#limit / PAGE_SIZE);
  }

  release(): void {
    this.#pages.fill(NO_PAGE);
    this.#home.invalidations.drop(this.id);
    this.#home.host.syscall(SYS_vmspace_destroy, this.id);
  }

  /** Walks for `page` and caches what it finds. Marks the entries accessed, for a write modified. @returns whether it may */
  #walk(page: number, slot: number, access: Access): boolean {
    const { format } = this;
    const words = this.#ram.i32;
    const wide = format.entryBytes === 8;
    const counters = this.#home.walkCounters;
    const ramEnd = this.#ram.frames * PAGE_SIZE;
    let table = this.root * PAGE_SIZE; // byte address in our RAM
    let rights: number = ALL;
    counters.walks++;
    for (let level = format.levels - 1; level >= 0; level--) {
      const address = table + (format.index(level, page) << format.entryShift);
      if (address >= ramEnd) return false;
      const word = this.#ram.offsetFor(Math.floor(address / PAGE_SIZE), READ) / 4 + ((address & (PAGE_SIZE - 1)) >>> 2);
      const lo = words[word];
      const hi = wide ? words[word + 1] : 0;
      counters.walkReferences++;
      const kind = format.kind(level, lo, hi);
      if (kind !== ENTRY_LEAF && kind !== ENTRY_TABLE) return false;
      const attributes = format.attributes(level, lo, hi);
      rights &= attributes;
      if ((rights & access) !== access) return false;
      const marked = format.marked(level, lo, hi, access);
      if (marked !== lo) {
        words[this.#ram.offsetFor(Math.floor(address / PAGE_SIZE), WRITE) / 4 + ((address & (PAGE_SIZE - 1)) >>> 2)] = marked;
      }
      if (kind === ENTRY_TABLE) {
        table = format.tableAddress(level, lo, hi);
        continue;
      }
      const pages = format.leafPages(level, lo, hi);
      const found = format.frame(level, lo, hi) + (page - Math.floor(page / pages) * pages);
      if (found >= this.#ram.frames) return false;
      this.#pages[slot] = page;
      this.#frames[slot] = found;
      this.#rights[slot] = access === WRITE || (attributes & ATTR_DIRTY) !== 0 ? rights : rights & ~WRITE;
      return true;
    }
    return false;
  }
}

/** The value of MADV_SETMAP that makes the table in frame `root` the root table. */
function rootValue(format: PageTableFormat, root: HostFrame): number {
  return (format.rootHi(root * PAGE_SIZE) >>> 0) * 2 ** 32 + (format.rootLo(root * PAGE_SIZE) >>> 0);
}
