/**
 * System calls on the address space: argument checks that concern files, then the task's memory manager.
 *
 * Source: mmap(2), mremap(2), brk(2), madvise(2), mincore(2), membarrier(2).
 */
import { EACCES, EBADF, EINVAL, ENODEV, ENOMEM, EOVERFLOW } from '../../../hostkernel/base/errno.ts';
import { isPageAligned, PAGE_SIZE, pageAlign } from '../../../hostkernel/base/units.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_TYPE,
  MAX_FILE_SIZE,
  O_PATH,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../abi.ts';
import { backingOf } from '../exec.ts';
import type { Process } from '../process.ts';
import type { Waiting } from './files.ts';

const PROT_GROWS = 0x03000000; // PROT_GROWSDOWN | PROT_GROWSUP, which only stacks would heed

/** brk(addr). @returns the break there is afterwards */
export function sysBrk(p: Process): Waiting {
  const addr = p.args.word(0);
  return p.task.brk(p.memory.inRange(addr, 0) ? addr : 0);
}

/**
 * mmap(addr, len, prot, flags, fd, offset); on rv32 mmap2, whose offset counts pages.
 * @returns the address, or -EINVAL, -EBADF, -EACCES the descriptor does not permit it, -ENODEV it cannot be mapped, -ENOMEM
 */
export function* sysMmap(p: Process): Waiting {
  const [len, prot, flags] = [p.args.word(1), p.args.uint(2) & ~PROT_GROWS, p.args.uint(3)];
  const offset = p.wide ? p.args.long(5) : p.args.uint(5) * PAGE_SIZE;
  const type = flags & MAP_TYPE;
  if (len === 0 || (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)) !== 0) return -EINVAL;
  if (type !== MAP_SHARED && type !== MAP_PRIVATE && type !== MAP_SHARED_VALIDATE) return -EINVAL;
  if (offset < 0 || !isPageAligned(offset)) return -EINVAL;
  if (!p.memory.inRange(0, len)) return -ENOMEM;
  const exact = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0;
  let addr = p.args.word(0);
  if (!p.memory.inRange(addr, len)) {
    if (exact) return -ENOMEM;
    addr = 0; // a hint that cannot be
  }
  const rest = flags & ~MAP_TYPE;
  const sharing = type === MAP_PRIVATE ? MAP_PRIVATE : MAP_SHARED;
  if ((flags & MAP_ANONYMOUS) !== 0) return yield* p.task.mmap({ addr, len, prot, flags: rest | sharing, file: null, offset: 0 });

  const file = p.files.get(p.args.int(4));
  if (file === null || (file.flags & O_PATH) !== 0) return -EBADF;
  if (!file.readable || (sharing === MAP_SHARED && (prot & PROT_WRITE) !== 0 && !file.writable)) return -EACCES;
  const { node } = file;
  if (node.kind === 'character' && node.major === 1 && node.minor === 5) {
    return yield* p.task.mmap({ addr, len, prot, flags: rest | sharing | MAP_ANONYMOUS, file: null, offset: 0 }); // /dev/zero
  }
  if (node.kind !== 'file' || node.generate !== null) return -ENODEV;
  if (offset + len > MAX_FILE_SIZE) return -EOVERFLOW;
  const backing = backingOf(p, node, { path: file.path, writable: sharing === MAP_SHARED && file.writable });
  return yield* p.task.mmap({ addr, len, prot, flags: rest | sharing, file: backing, offset });
}

/** munmap(addr, len) */
export function* sysMunmap(p: Process): Waiting {
  const [addr, len] = [p.args.word(0), p.args.word(1)];
  if (len === 0 || !isPageAligned(addr) || !p.memory.inRange(addr, len)) return -EINVAL;
  return yield* p.task.munmap(addr, len);
}

/** mprotect(addr, len, prot) */
export function* sysMprotect(p: Process): Waiting {
  const [addr, len, prot] = [p.args.word(0), p.args.word(1), p.args.uint(2) & ~PROT_GROWS];
  if (!isPageAligned(addr) || (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)) !== 0) return -EINVAL;
  if (len === 0) return 0;
  if (!p.memory.inRange(addr, len)) return -ENOMEM;
  return yield* p.task.mprotect(addr, len, prot);
}

/** mremap(old, oldLen, newLen, flags, newAddr) */
export function* sysMremap(p: Process): Waiting {
  const [old, oldLen, newLen] = [p.args.word(0), p.args.word(1), p.args.word(2)];
  if (!isPageAligned(old) || newLen === 0 || !p.memory.inRange(old, oldLen)) return -EINVAL;
  if (!p.memory.inRange(0, newLen)) return -ENOMEM;
  const target = p.args.word(4);
  return yield* p.task.mremap(old, oldLen, newLen, p.args.uint(3), p.memory.inRange(target, newLen) ? target : -1);
}

/** madvise(addr, len, advice) */
export function* sysMadvise(p: Process): Waiting {
  const [addr, len] = [p.args.word(0), p.args.word(1)];
  if (!isPageAligned(addr)) return -EINVAL;
  if (!p.memory.inRange(addr, len)) return len > 2 ** 52 ? -EINVAL : -ENOMEM;
  return yield* p.task.madvise(addr, len, p.args.int(2));
}

/** msync(addr, len, flags) */
export function* sysMsync(p: Process): Waiting {
  const [addr, len, flags] = [p.args.word(0), p.args.word(1), p.args.uint(2)];
  if (!isPageAligned(addr) || (flags & ~7) !== 0 || (flags & 5) === 5) return -EINVAL;
  if (!p.memory.inRange(addr, len)) return -ENOMEM;
  return yield* p.task.msync(addr, len, flags);
}

/** mlock and its kin: pages stay where they are as far as the program can tell. */
export function sysMlock(p: Process): number {
  return p.memory.inRange(p.args.word(0), p.args.word(1)) ? 0 : -ENOMEM;
}

/** mlockall(flags) */
export function sysMlockall(p: Process): number {
  const flags = p.args.uint(0);
  return flags === 0 || (flags & ~7) !== 0 ? -EINVAL : 0;
}

/** mincore(addr, len, vector): everything mapped counts as resident. */
export function* sysMincore(p: Process): Waiting {
  const [addr, len, va] = [p.args.word(0), p.args.word(1), p.args.word(2)];
  if (!isPageAligned(addr)) return -EINVAL;
  if (!p.memory.inRange(addr, len)) return -ENOMEM;
  return yield* p.memory.fill(va, pageAlign(len) / PAGE_SIZE, 1);
}

const MEMBARRIER_CMD_QUERY = 0;

/** membarrier(command, flags): with one hart every barrier is there already. Only the query is offered. */
export function sysMembarrier(p: Process): number {
  return p.args.int(0) === MEMBARRIER_CMD_QUERY && p.args.uint(1) === 0 ? 0 : -EINVAL;
}
