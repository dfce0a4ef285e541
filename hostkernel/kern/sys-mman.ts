/**
 * System calls on the caller's address space: mmap, munmap, mprotect, madvise, mcontrol, brk.
 *
 * The checks of ranges, flags and protections are the VM's (vm/space.ts); what is checked here are descriptors and the
 * width of arguments. The vmspace_* calls use the same two helpers on another space.
 */

import { EBADF, EFAULT, EINVAL } from '../base/errno.ts';
import { PAGE_SIZE, pageAlign, pagesOf } from '../base/units.ts';
import { MADV_SETMAP, MAP_ANON, MAP_ANONYMOUS, MAP_PRIVATE, MAP_TRYFIXED, PROT_READ, PROT_WRITE, type VmSpace } from '../vm/index.ts';
import { copyOut } from './copy.ts';
import { MAX_FILE_BYTES } from './file.ts';
import type { Process } from './process.ts';
import type { SyscallArgs } from './syscall-args.ts';

/** Bytes of address space that mincore looks at in one go. */
const MINCORE_BYTES = 4096 * PAGE_SIZE;

/**
 * mmap(addr, len, prot, flags, fd, offset): maps a memory image, or anonymous memory, possibly through a virtual page table.
 * @param args addr: hint, or the place with MAP_FIXED; len, offset: bytes; prot: PROT_*; flags: MAP_*; fd: -1 with MAP_ANON
 * @returns the address; or
 *   -EINVAL      MAP_ANON with a descriptor or an offset; length 0; MAP_VPAGETABLE with MAP_STACK, or without read and
 *                write permission; MAP_FIXED and the address is not congruent with the offset, wraps or leaves user space;
 *                the console, which like most character devices has nothing to map
 *   -EOPNOTSUPP  MAP_VPAGETABLE while vm.vkernel_enable is off
 *   -EBADF       no such descriptor
 *   -ENOMEM      no room, too many entries, MAP_TRYFIXED over a mapping
 *   -EEXIST      MAP_NOREPLACE over a mapping
 * Waits: no. Source: DragonFly BSD mmap(2).
 */
export function sysMmap(p: Process, args: SyscallArgs): number {
  return mapInto(p, p.space, args, 0);
}

/** munmap(addr, len): bytes, widened to pages. @returns 0; or -EINVAL the range wraps, leaves user space or has a hole; -ENOMEM */
export function sysMunmap(p: Process, args: SyscallArgs): number {
  return p.space.munmap(args.unsigned(0), args.unsigned(1));
}

/** mprotect(addr, len, prot): bytes, widened to pages. @returns 0; or -EINVAL wraps or leaves user space; -ENOMEM has a hole */
export function sysMprotect(p: Process, args: SyscallArgs): number {
  return p.space.mprotect(args.unsigned(0), args.unsigned(1), args.int(2));
}

/** madvise(addr, len, behav): mcontrol without value and without MADV_SETMAP. @returns 0, or errors as mcontrol */
export function sysMadvise(p: Process, args: SyscallArgs): number {
  return p.space.madvise(args.unsigned(0), args.unsigned(1), args.int(2));
}

/**
 * mcontrol(addr, len, behav, value): gives advice, or changes or refreshes a virtual page table: vm/space.ts.
 * @param args addr, len: bytes, widened to pages; behav: MADV_*; value: a root VPTE of MADV_SETMAP
 * @returns 0; or -EINVAL unknown behav, a bad range, SETMAP over an entry without virtual page table; -ENOMEM
 * Source: DragonFly BSD mcontrol(2).
 */
export function sysMcontrol(p: Process, args: SyscallArgs): number {
  return control(p.space, args, 0);
}

/**
 * minherit(addr, len, inherit): what a fork does with whole pages around the range: vm/space.ts.
 * @param args inherit: VM_INHERIT_SHARE, _COPY or _NONE
 * @returns 0; or -EINVAL unknown `inherit`, a bad range; -ENOMEM a hole, too many entries. Source: DragonFly BSD minherit(2)
 */
export function sysMinherit(p: Process, args: SyscallArgs): number {
  return p.space.minherit(args.unsigned(0), args.unsigned(1), args.int(2));
}

/** mlock(addr, len): brings pages in and keeps them. @returns 0; or -EINVAL a bad range; -ENOMEM; -EAGAIN the limit. Waits: for I/O */
export function sysMlock(p: Process, args: SyscallArgs): number {
  return p.space.mlock(args.unsigned(0), args.unsigned(1));
}

/** munlock(addr, len). @returns 0; or -EINVAL a bad range; -ENOMEM a hole */
export function sysMunlock(p: Process, args: SyscallArgs): number {
  return p.space.munlock(args.unsigned(0), args.unsigned(1));
}

/** mlockall(flags): MCL_CURRENT, MCL_FUTURE. @returns 0; or -EINVAL; -ENOMEM; -EAGAIN as mlock. Waits: for I/O */
export function sysMlockall(p: Process, args: SyscallArgs): number {
  return p.space.mlockall(args.int(0));
}

/** munlockall(). @returns 0 */
export function sysMunlockall(p: Process): number {
  return p.space.munlockall();
}

/** msync(addr, len, flags): the checks; there is nowhere to write to. @returns 0; or -EINVAL a bad range or flags; -ENOMEM a hole */
export function sysMsync(p: Process, args: SyscallArgs): number {
  return p.space.msync(args.unsigned(0), args.unsigned(1), args.int(2));
}

/**
 * mincore(addr, len, vector): which pages are in memory, a byte each: behind a virtual page table, those its entries lead to.
 * @param args addr: of a page; len: bytes; vector: address of as many bytes as there are pages
 * @returns 0; or -EINVAL a bad range; -ENOMEM a hole; -EFAULT. The first part of the vector may have been written
 * Source: mincore(2).
 */
export function sysMincore(p: Process, args: SyscallArgs): number {
  const addr = args.unsigned(0);
  const len = args.unsigned(1);
  const vector = args.unsigned(2);
  for (let done = 0; ; done += MINCORE_BYTES) {
    const found = p.space.mincore(addr + done, Math.min(len - done, MINCORE_BYTES));
    if (typeof found === 'number') return found;
    if (!copyOut(p, vector + done / PAGE_SIZE, found)) return -EFAULT;
    if (len - done <= MINCORE_BYTES) return 0;
  }
}

/**
 * mcontrol_frames(fd, offset, len): drops every real PTE of these pages of a memory image, in all spaces and at all
 * addresses. What MADV_INVAL does for a vkernel that knows the frame, and not who sees it.
 * @param args fd: a memory image; offset, len: bytes, widened to pages. On 32-bit offset is a pair, and len comes after it
 * @returns pages that were in memory; or -EBADF; -EINVAL no image, or the range is not within the largest size of one
 * Waits: no. Cost: O(pages + real PTEs). Ours.
 */
export function sysMcontrolFrames(p: Process, args: SyscallArgs): number {
  const file = p.files.get(args.int(0));
  if (file === null) return -EBADF;
  const offset = args.signed(1);
  const len = args.unsigned(p.xlen === 32 && p.memory === null ? 3 : 2);
  if (file.kind !== 'memory' || offset < 0 || !(offset + len <= MAX_FILE_BYTES)) return -EINVAL;
  const end = Math.min(pagesOf(offset + len), file.object.sizePages);
  const start = Math.floor(offset / PAGE_SIZE);
  return len === 0 || start >= end ? 0 : p.kernel.vm.invalidateFrames(file.object, start, end);
}

/**
 * brk(end): moves the end of the heap, which begins behind the image.
 * @param args end: address; one below the beginning only asks
 * @returns the end of the heap after the call: the old one if there is no room. 0 in a TypeScript program, which has none
 * Source: Linux brk, which reports no errno.
 */
export function sysBrk(p: Process, args: SyscallArgs): number {
  const end = args.unsigned(0);
  if (end < p.breakStart || end > p.space.userEnd || p.breakStart === 0) return p.breakEnd;
  const oldTop = pageAlign(p.breakEnd);
  const newTop = pageAlign(end);
  if (newTop > oldTop) {
    const flags = MAP_PRIVATE | MAP_ANON | MAP_TRYFIXED;
    const grown = p.space.mmap({ addr: oldTop, len: newTop - oldTop, prot: PROT_READ | PROT_WRITE, flags, object: null, offset: 0 });
    if (grown < 0) return p.breakEnd;
  }
  if (newTop < oldTop && p.space.munmap(newTop, oldTop - newTop) < 0) return p.breakEnd;
  p.breakEnd = end;
  return end;
}

/** mmap into `space`, with the caller's descriptor. @param first index of the `addr` argument */
export function mapInto(p: Process, space: VmSpace, args: SyscallArgs, first: number): number {
  const flags = args.int(first + 3);
  const anonymous = (flags & (MAP_ANON | MAP_ANONYMOUS)) !== 0;
  const fd = args.int(first + 4);
  const file = p.files.get(fd);
  const object = file !== null && file.kind === 'memory' ? file.object : null;
  if (anonymous && fd !== -1) return -EINVAL;
  const fileErrno = object !== null || anonymous ? 0 : file === null ? EBADF : EINVAL;
  return space.mmap({
    addr: args.unsigned(first),
    len: args.unsigned(first + 1),
    prot: args.int(first + 2),
    flags,
    object,
    offset: args.signed(first + 5),
    fileErrno,
  });
}

/** mcontrol on `space`. @param first index of the `addr` argument. A root is 64 bits, not a number: as it is in the registers */
export function control(space: VmSpace, args: SyscallArgs, first: number): number {
  const addr = args.unsigned(first);
  const len = args.unsigned(first + 1);
  const behav = args.int(first + 2);
  if (behav === MADV_SETMAP) return space.setRoot(addr, len, args.lo[first + 3], args.hi[first + 3]);
  return space.mcontrol(addr, len, behav, 0);
}
