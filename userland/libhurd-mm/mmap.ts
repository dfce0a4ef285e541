/**
 * mmap and its kin for the program of a task: the argument rules of the calls, over the memory manager.
 *
 * All edits are local to the task: no server hears of them until a page is touched.
 * Source: POSIX.1-2017 and Linux mmap(2), mremap(2), brk(2), madvise(2), msync(2).
 */
import { EACCES, EEXIST, EFAULT, EINVAL, ENOMEM, EOVERFLOW } from '../../hostkernel/base/errno.ts';
import { isPageAligned, PAGE_SIZE, pageAlign } from '../../hostkernel/base/units.ts';
import type { L4, L4Wait } from '../../vkernel/l4/user.ts';
import {
  MADV_DONTNEED,
  MADV_FREE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_TYPE,
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
import type { MemoryManager } from './memory-manager.ts';
import { LOWEST_ADDRESS } from './regions.ts';
import { privateStore, type Store } from './store.ts';

const PROT_ALL = PROT_READ | PROT_WRITE | PROT_EXEC;
const MADV_LAST = 25; // MADV_COLLAPSE; advice beyond it is unknown

/** The memory of a task as thread `l4` uses it. `mapBase`: where mappings go that name no address, in bytes. */
export function taskMemory(memory: MemoryManager, l4: L4, mapBase: number): TaskMemory {
  return new Calls(memory, l4, mapBase);
}

class Calls implements TaskMemory {
  readonly #memory: MemoryManager;
  readonly #l4: L4;
  readonly #mapBase: number;
  #breakStart = 0; // bytes, page aligned; the heap lies between the two
  #breakEnd = 0;

  constructor(memory: MemoryManager, l4: L4, mapBase: number) {
    this.#memory = memory;
    this.#l4 = l4;
    this.#mapBase = mapBase;
  }

  *mmap(request: MapRequest): Generator<L4Wait, number> {
    const { regions } = this.#memory;
    const { addr, prot, flags, file, offset } = request;
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
    if (exact && (addr < LOWEST_ADDRESS || !regions.inUserSpace(addr, size))) return addr < LOWEST_ADDRESS ? -EACCES : -ENOMEM;
    const start = exact ? addr : this.#place(addr, size);
    if (start < 0) return -ENOMEM;
    if (exact && !regions.isFree(start, size)) {
      if ((flags & MAP_FIXED_NOREPLACE) !== 0) return -EEXIST;
      const errno = yield* this.#memory.release(this.#l4, start, size);
      if (errno !== 0) return -errno;
    }
    const store = this.#storeFor(file, shared);
    const storeOffset = file === null ? this.#memory.takeAnonymousOffsets(size) : offset;
    this.#memory.bind({ start, size, store, storeOffset, access: prot });
    return start;
  }

  #storeFor(file: MapRequest['file'], shared: boolean): Store {
    if (file === null) return this.#memory.anonymous;
    const below = this.#memory.storeOf(file);
    return shared ? below : privateStore(below);
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
    if (!this.#memory.regions.inUserSpace(addr, size)) return -EINVAL;
    return -(yield* this.#memory.release(this.#l4, addr, size));
  }

  *mprotect(addr: number, len: number, prot: number): Generator<L4Wait, number> {
    if (!isPageAligned(addr) || (prot & ~PROT_ALL) !== 0) return -EINVAL;
    if (len === 0) return 0;
    const size = pageAlign(len);
    if (!this.#isBound(addr, size)) return -ENOMEM;
    for (const map of this.#memory.regions.overlapping(addr, size)) {
      if (map.store?.kind === 'file' && (prot & PROT_WRITE) !== 0 && map.store.file.write === undefined) return -EACCES;
    }
    this.#memory.protect(this.#l4, addr, size, prot);
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
    if (newSize <= oldSize && !exact) {
      if (newSize < oldSize) yield* this.#memory.release(this.#l4, addr + newSize, oldSize - newSize);
      return addr;
    }
    if (!exact && regions.inUserSpace(addr, newSize) && regions.isFree(addr + oldSize, newSize - oldSize)) {
      this.#extend(addr + oldSize, newSize - oldSize);
      return addr;
    }
    if ((flags & MREMAP_MAYMOVE) === 0) return -ENOMEM;
    const to = exact ? newAddr : regions.findFree(newSize, this.#mapBase);
    if (to < 0) return -ENOMEM;
    if (exact) {
      const errno = yield* this.#memory.release(this.#l4, to, newSize);
      if (errno !== 0) return -errno;
    }
    if (newSize < oldSize) yield* this.#memory.release(this.#l4, addr + newSize, oldSize - newSize);
    this.#memory.move(this.#l4, addr, Math.min(oldSize, newSize), to);
    if (newSize > oldSize) this.#extend(to + oldSize, newSize - oldSize);
    return to;
  }

  /** Continues the region that ends at `start` over free space. */
  #extend(start: number, size: number): void {
    const before = this.#memory.regions.find(start - 1);
    if (before === null || before.store === null) return;
    const anonymous = before.store.kind === 'anonymous';
    const storeOffset = anonymous ? this.#memory.takeAnonymousOffsets(size) : before.storeOffset + before.size;
    this.#memory.bind({ start, size, store: before.store, storeOffset, access: before.access });
  }

  *madvise(addr: number, len: number, advice: number): Generator<L4Wait, number> {
    if (!isPageAligned(addr) || advice < 0 || advice > MADV_LAST) return -EINVAL;
    if (len === 0) return 0;
    const size = pageAlign(len);
    if (!this.#isBound(addr, size)) return -ENOMEM;
    if (advice === MADV_DONTNEED || advice === MADV_FREE) yield* this.#memory.discard(this.#l4, addr, size);
    return 0;
  }

  *msync(addr: number, len: number, flags: number): Generator<L4Wait, number> {
    const both = MS_ASYNC | MS_SYNC;
    if (!isPageAligned(addr) || (flags & ~(both | MS_INVALIDATE)) !== 0 || (flags & both) === both) return -EINVAL;
    if (len === 0) return 0;
    const size = pageAlign(len);
    if (!this.#isBound(addr, size)) return -ENOMEM;
    return -(yield* this.#memory.synchronise(this.#l4, addr, size));
  }

  *brk(addr: number): Generator<L4Wait, number> {
    const { regions } = this.#memory;
    if (addr < this.#breakStart || addr > regions.userEnd) return this.#breakEnd;
    const end = pageAlign(addr);
    const current = pageAlign(this.#breakEnd);
    if (end > current) {
      if (!regions.isFree(current, end - current)) return this.#breakEnd;
      const size = end - current;
      const storeOffset = this.#memory.takeAnonymousOffsets(size);
      this.#memory.bind({ start: current, size, store: this.#memory.anonymous, storeOffset, access: PROT_READ | PROT_WRITE });
    } else if (end < current) {
      yield* this.#memory.release(this.#l4, end, current - end);
    }
    this.#breakEnd = addr;
    return addr;
  }

  setBreak(addr: number): void {
    this.#breakStart = pageAlign(addr);
    this.#breakEnd = this.#breakStart;
  }

  *reset(): Generator<L4Wait, void> {
    yield* this.#memory.releaseAll(this.#l4);
    this.setBreak(0);
  }
}

function overlaps(a: number, aSize: number, b: number, bSize: number): boolean {
  return a < b + bSize && b < a + aSize;
}
