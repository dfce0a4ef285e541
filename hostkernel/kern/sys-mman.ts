/**
 * System calls on the caller's address space: mmap, munmap, mprotect, madvise, mcontrol, brk.
 *
 * The checks of ranges, flags and protections are the VM's (vm/space.ts); what is checked here are descriptors and the
 * width of arguments. The vmspace_* calls use the same two helpers on another space.
 */

import { EBADF, EINVAL } from '../base/errno.ts';
import { pageAlign } from '../base/units.ts';
import type { PageTableFormat } from '../machine/index.ts';
import { MAP_ANON, MAP_ANONYMOUS, MAP_PRIVATE, MAP_TRYFIXED, PROT_READ, PROT_WRITE, type VmSpace } from '../vm/index.ts';
import type { Process } from './process.ts';
import type { SyscallArgs } from './syscall-args.ts';

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
  return p.space.mcontrol(args.unsigned(0), args.unsigned(1), args.int(2), rootOf(p.space.vpteFormat, args, 3));
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

/**
 * Argument `i` as the root of virtual page tables of `format`: an integer below 2^53. Bits from 53 on are cut off where
 * the format ignores them; where they mean something the value is one that maps nothing.
 */
export function rootOf(format: PageTableFormat, args: SyscallArgs, i: number): number {
  const value = args.unsigned(i);
  if (value < 2 ** 53) return value;
  const { levels } = format;
  const lo = args.lo[i];
  const hi = args.hi[i];
  const low = hi & 0x1f_ffff;
  const same =
    format.kind(levels, lo, hi) === format.kind(levels, lo, low) && format.frame(levels, lo, hi) === format.frame(levels, lo, low);
  return same ? low * 2 ** 32 + (lo >>> 0) : 0;
}
