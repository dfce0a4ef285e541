/**
 * mmap and its kin for the program of a task: the argument rules of the calls, over the memory manager.
 *
 * All edits are local to the task: no server hears of them until a page is touched. One thread of the task makes these
 * calls. Memory that can be accessed at all can be read: the kernel's mappings always include that right.
 * Source: POSIX.1-2017 and Linux mmap(2), mremap(2), brk(2), madvise(2), msync(2).
 */
import { EACCES, EEXIST, EFAULT, EINVAL, ENOMEM, EOVERFLOW, EPERM } from '../../hostkernel/base/errno.ts';
import { type Access, isPageAligned, PAGE_SIZE, pageAlign } from '../../hostkernel/base/units.ts';
import type { L4, L4Wait } from '../../vkernel/l4/user.ts';
import {
  type FileBacking,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_REMOVE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_TYPE,
  type Mapping,
  type MapRequest,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  MS_ASYNC,
  MS_INVALIDATE,
  MS_SYNC,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  type TaskMemory,
} from './interface.ts';
import { type MemoryManager, permitted } from './memory-manager.ts';
import { LOWEST_ADDRESS, type Region } from './regions.ts';
import { privateStore, type Store } from './store.ts';

const PROT_ALL = PROT_READ | PROT_WRITE | PROT_EXEC;
/** Advice that exists: 0 to 25, but for a gap. What is not acted on needs no action. */
const MADV_LAST = 25;
const MADV_GAP: readonly number[] = [5, 6, 7];

/** The memory of a task as thread `l4` uses it. `mapBase`: where mappings go that name no address, in bytes. */
export function taskMemory(memory: MemoryManager, l4: L4, mapBase: number): TaskMemory {
  return new Calls(memory, l4, mapBase);
}

class Calls implements TaskMemory {
  readonly #memory: MemoryManager;
  readonly #l4: L4;
  readonly #mapBase: number;

  constructor(memory: MemoryManager, l4: L4, mapBase: number) {
    this.#memory = memory;
    this.#l4 = l4;
    this.#mapBase = mapBase;
  }

  *mmap(request: MapRequest): Generator<L4Wait, number> {
    const { regions } = this.#memory;
    const { addr, prot, flags, offset } = request;
    const file = (flags & MAP_ANONYMOUS) === 0 ? request.file : null;
    const sharing = flags & MAP_TYPE;
    const shared = sharing === MAP_SHARED || sharing === MAP_SHARED_VALIDATE;
    if (!(request.len > 0) || (prot & ~PROT_ALL) !== 0 || (!shared && sharing !== MAP_PRIVATE)) return -EINVAL;
    const size = pageAlign(request.len);
    if (size > regions.userEnd) return -ENOMEM;
    if ((flags & MAP_ANONYMOUS) === 0 && file === null) return -EINVAL;
    if (file !== null && !isPageAligned(offset)) return -EINVAL;
    if (file !== null && offset + size > Number.MAX_SAFE_INTEGER) return -EOVERFLOW;
    if (file !== null && shared && (prot & PROT_WRITE) !== 0 && file.write === undefined) return -EACCES;
    const exact = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0;
    if (exact && !isPageAligned(addr)) return -EINVAL;
    if (exact && !regions.inUserSpace(addr, size)) return -ENOMEM;
    if (exact && addr < LOWEST_ADDRESS) return -EPERM;
    const start = exact ? addr : this.#place(addr, size);
    if (start < 0 || !regions.hasRoomFor(2)) return -ENOMEM; // one, and another where it comes to lie inside an old one
    if (exact && !regions.isFree(start, size)) {
      if ((flags & MAP_FIXED_NOREPLACE) !== 0) return -EEXIST;
      const errno = yield* this.#memory.release(this.#l4, start, size);
      if (errno !== 0) return -errno;
    }
    const region = yield* this.#regionFor({ ...request, file }, { start, size, shared });
    if (region === null) return -ENOMEM;
    yield* this.#memory.bind(this.#l4, region);
    if ((flags & MAP_POPULATE) !== 0 && region.access !== 0) yield* this.#populate(start, size, region.access & (PROT_READ | PROT_WRITE));
    return start;
  }

  /** @returns null where anonymous memory has no offsets left */
  *#regionFor(
    { file, prot, offset }: { readonly file: FileBacking | null; readonly prot: Access; readonly offset: number },
    { start, size, shared }: { readonly start: number; readonly size: number; readonly shared: boolean },
  ): Generator<L4Wait, Region | null> {
    const memory = this.#memory;
    const access = permitted(prot);
    if (file === null) {
      const storeOffset = memory.takeAnonymousOffsets(size);
      const store = shared ? memory.sharedAnonymous : memory.anonymous;
      return storeOffset < 0 ? null : { start, size, store, storeOffset, access, limit: PROT_ALL };
    }
    if (memory.filesAreStale) yield* memory.refreshFiles(this.#l4);
    const below = yield* memory.storeOf(this.#l4, file);
    const store: Store = shared ? below : privateStore(below);
    return {
      start,
      size,
      store,
      storeOffset: offset,
      access,
      limit: shared && file.write === undefined ? PROT_ALL & ~PROT_WRITE : PROT_ALL,
    };
  }

  /** Fetches the pages of a range as if they were accessed. @returns 0, or the errno of the first that cannot be had */
  *#populate(start: number, size: number, access: Access): Generator<L4Wait, number> {
    for (let va = start; va < start + size; va += PAGE_SIZE) {
      const errno = yield* this.#l4.touch(va, access);
      if (errno !== 0) return errno;
    }
    return 0;
  }

  /** An address for `size` bytes: the hint where it is free, else any. @returns -1 where there is no room */
  #place(hint: number, size: number): number {
    const { regions } = this.#memory;
    const at = Math.floor(hint / PAGE_SIZE) * PAGE_SIZE;
    if (at >= LOWEST_ADDRESS && regions.inUserSpace(at, size) && regions.isFree(at, size)) return at;
    return regions.findFree(size, this.#mapBase);
  }

  *munmap(addr: number, len: number): Generator<L4Wait, number> {
    if (!isPageAligned(addr) || !(len > 0)) return -EINVAL;
    const size = pageAlign(len);
    const { regions } = this.#memory;
    if (!regions.inUserSpace(addr, size)) return -EINVAL;
    if (!regions.hasRoomFor(1) && regions.cuts(addr, size) === 2 && regions.find(addr) === regions.find(addr + size)) return -ENOMEM;
    return resultOf(yield* this.#memory.release(this.#l4, addr, size));
  }

  *mprotect(addr: number, len: number, prot: number): Generator<L4Wait, number> {
    if (!isPageAligned(addr) || (prot & ~PROT_ALL) !== 0) return -EINVAL;
    if (len === 0) return 0;
    const size = pageAlign(len);
    if (!this.#isBound(addr, size)) return -ENOMEM;
    if (this.#memory.regions.overlapping(addr, size).some((map) => (prot & ~map.limit) !== 0)) return -EACCES;
    if (!this.#memory.regions.hasRoomFor(this.#memory.regions.cuts(addr, size))) return -ENOMEM;
    yield* this.#memory.protect(this.#l4, addr, size, permitted(prot));
    return 0;
  }

  /** Whether every byte of the range belongs to a region of the program. */
  #isBound(addr: number, size: number): boolean {
    if (!this.#memory.regions.inUserSpace(addr, size)) return false;
    let at = addr;
    for (const map of this.#memory.regions.overlapping(addr, size)) {
      if (map.store === null || map.start > at) return false;
      at = map.start + map.size;
    }
    return at >= addr + size;
  }

  *mremap(addr: number, oldLen: number, newLen: number, flags: number, newAddr: number): Generator<L4Wait, number> {
    const { regions } = this.#memory;
    if (!isPageAligned(addr) || !(newLen > 0) || !(oldLen > 0) || (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) !== 0) return -EINVAL;
    const exact = (flags & MREMAP_FIXED) !== 0;
    if (exact && ((flags & MREMAP_MAYMOVE) === 0 || !isPageAligned(newAddr))) return -EINVAL;
    const oldSize = pageAlign(oldLen);
    const newSize = pageAlign(newLen);
    if (newSize > regions.userEnd) return -ENOMEM;
    if (!this.#isBound(addr, oldSize)) return -EFAULT;
    if (exact && (!regions.inUserSpace(newAddr, newSize) || overlaps(addr, oldSize, newAddr, newSize))) return -EINVAL;
    if (exact && newAddr < LOWEST_ADDRESS) return -EPERM;
    if (!regions.hasRoomFor(3)) return -ENOMEM;
    if (newSize <= oldSize && !exact) {
      if (newSize < oldSize) yield* this.#memory.release(this.#l4, addr + newSize, oldSize - newSize);
      return addr;
    }
    if (!exact && regions.inUserSpace(addr, newSize) && regions.isFree(addr + oldSize, newSize - oldSize)) {
      return (yield* this.#extend(addr + oldSize, newSize - oldSize)) ? addr : -ENOMEM;
    }
    if ((flags & MREMAP_MAYMOVE) === 0) return -ENOMEM;
    const to = exact ? newAddr : regions.findFree(newSize, this.#mapBase);
    if (to < 0) return -ENOMEM;
    if (exact) {
      const errno = yield* this.#memory.release(this.#l4, to, newSize);
      if (errno !== 0) return -errno;
    }
    if (newSize < oldSize) yield* this.#memory.release(this.#l4, addr + newSize, oldSize - newSize);
    yield* this.#memory.move(this.#l4, addr, Math.min(oldSize, newSize), to);
    if (newSize > oldSize && !(yield* this.#extend(to + oldSize, newSize - oldSize))) return -ENOMEM;
    return to;
  }

  /** Continues the region that ends at `start` over free space. @returns whether it could */
  *#extend(start: number, size: number): Generator<L4Wait, boolean> {
    const before = this.#memory.regions.find(start - 1);
    const next = before === null ? null : this.#memory.continuation(before, start, size);
    if (next !== null) yield* this.#memory.bind(this.#l4, next);
    return next !== null;
  }

  *madvise(addr: number, len: number, advice: number): Generator<L4Wait, number> {
    if (!isPageAligned(addr) || advice < 0 || advice > MADV_LAST || MADV_GAP.includes(advice)) return -EINVAL;
    if (len === 0) return 0;
    const size = pageAlign(len);
    if (!this.#isBound(addr, size)) return -ENOMEM;
    const stores = this.#memory.regions.overlapping(addr, size).map((map) => map.store);
    switch (advice) {
      case MADV_FREE:
        if (stores.some((store) => store?.kind !== 'anonymous' || store.shared)) return -EINVAL;
        yield* this.#memory.discard(this.#l4, addr, size);
        return 0;
      case MADV_DONTNEED:
        yield* this.#memory.discard(this.#l4, addr, size);
        return 0;
      case MADV_REMOVE: // a hole: in shared memory only, and files here have none
        if (stores.some((store) => store?.kind !== 'anonymous' || !store.shared)) return -EINVAL;
        yield* this.#memory.discard(this.#l4, addr, size, true);
        return 0;
      case MADV_POPULATE_READ:
      case MADV_POPULATE_WRITE: {
        const errno = yield* this.#populate(addr, size, advice === MADV_POPULATE_READ ? PROT_READ : PROT_WRITE);
        return errno === 0 ? 0 : errno === ENOMEM ? -ENOMEM : errno === EACCES ? -EINVAL : -EFAULT;
      }
      default:
        return 0;
    }
  }

  *msync(addr: number, len: number, flags: number): Generator<L4Wait, number> {
    const both = MS_ASYNC | MS_SYNC;
    if (!isPageAligned(addr) || (flags & ~(both | MS_INVALIDATE)) !== 0 || (flags & both) === both) return -EINVAL;
    if (len === 0) return 0;
    const size = pageAlign(len);
    if (!this.#isBound(addr, size)) return -ENOMEM;
    return resultOf(yield* this.#memory.synchronise(this.#l4, addr, size));
  }

  *brk(addr: number): Generator<L4Wait, number> {
    const { regions } = this.#memory;
    if (this.#memory.breakStart === 0 || addr < this.#memory.breakStart || addr > regions.userEnd) return this.#memory.breakEnd;
    const end = pageAlign(addr);
    const current = pageAlign(this.#memory.breakEnd);
    if (end > current) {
      if (!regions.isFree(current, end - current) || !regions.hasRoomFor(1)) return this.#memory.breakEnd;
      const start = current;
      const size = end - current;
      const region = yield* this.#regionFor({ file: null, prot: PROT_READ | PROT_WRITE, offset: 0 }, { start, size, shared: false });
      if (region === null) return this.#memory.breakEnd;
      yield* this.#memory.bind(this.#l4, region);
    } else if (end < current) {
      yield* this.#memory.release(this.#l4, end, current - end);
    }
    this.#memory.breakEnd = addr;
    return addr;
  }

  setBreak(addr: number): void {
    this.#memory.breakStart = pageAlign(addr);
    this.#memory.breakEnd = this.#memory.breakStart;
  }

  *mappings(): Iterable<Mapping> {
    for (const { start, size, store, storeOffset, access } of this.#memory.regions.all()) {
      if (store === null) continue;
      const file = store.kind === 'anonymous' ? null : store.kind === 'file' ? store.file : store.below.file;
      const shared = store.kind === 'file' || (store.kind === 'anonymous' && store.shared);
      const label = file?.label ?? null;
      yield { start, end: start + size, prot: access, shared, offset: file === null ? 0 : storeOffset, file: label };
    }
  }

  *reset(): Generator<L4Wait, void> {
    yield* this.#memory.releaseAll(this.#l4);
    this.setBreak(0);
  }

  abandon(): Generator<L4Wait, void> {
    return this.#memory.abandon(this.#l4);
  }

  get filesAreDirty(): boolean {
    return this.#memory.filesAreDirty;
  }

  writeFiles(): Generator<L4Wait, void> {
    return this.#memory.writeFiles(this.#l4);
  }

  get filesAreStale(): boolean {
    return this.#memory.filesAreStale;
  }

  refreshFiles(): Generator<L4Wait, void> {
    return this.#memory.refreshFiles(this.#l4);
  }
}

/** How a call returns an errno. */
function resultOf(errno: number): number {
  return errno === 0 ? 0 : -errno;
}

function overlaps(a: number, aSize: number, b: number, bSize: number): boolean {
  return a < b + bSize && b < a + aSize;
}
