/**
 * System calls on the address spaces of guests: vmspace_create .. vmspace_pwrite.
 *
 * `id` is a key the vkernel chooses, most often the address of its own record: 1 .. 2^53-1. Common errors of all calls but
 * vmspace_create: -EINVAL the process never created a space; -ENOENT no space has this id.
 * Source: DragonFly BSD vm_vmspace.c. vmspace_pread and vmspace_pwrite never worked there; here they do what they were
 * meant to.
 */

import { EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP } from '../base/errno.ts';
import { MADV_INVAL, type VmSpace } from '../vm/index.ts';
import { VMSPACE_CTL_RUN } from './abi.ts';
import { COPY_BYTES, MAX_TRANSFER } from './copy.ts';
import type { Lwp } from './lwp.ts';
import type { Process } from './process.ts';
import { type GuestSpace, SpaceGroup } from './space-group.ts';
import { control, mapInto } from './sys-mman.ts';
import type { SyscallArgs } from './syscall-args.ts';

const MAX_RANGES = 4096;
const RANGE_WORDS = 6; // of one record

/**
 * vmspace_create(id, type, data): a new space over the whole user range, empty, sharing nothing.
 * @param args id: the key; type, data: 0
 * @returns 0; or
 *   -EOPNOTSUPP  vm.vkernel_enable is off
 *   -EINVAL      id is 0 or 2^53 and more; type or data is not 0 (all unchecked in DragonFly)
 *   -EEXIST      the id is in use
 *   -ENOMEM      no frame for its page table
 */
export function sysVmspaceCreate(p: Process, args: SyscallArgs): number {
  const id = args.unsigned(0);
  if (!p.kernel.vm.vkernelEnable) return -EOPNOTSUPP;
  if (id === 0 || id >= 2 ** 53 || args.unsigned(1) !== 0 || args.unsigned(2) !== 0) return -EINVAL;
  if (p.group !== null && p.group.find(id) !== null) return -EEXIST;
  const space = p.kernel.createGuestSpace(p.xlen);
  if (space === null) return -ENOMEM;
  p.group ??= new SpaceGroup();
  p.group.add(id, space);
  p.kernel.machine.delegate(space.context, p.space.context, id);
  return 0;
}

/**
 * vmspace_delegate(id, owner, key): whoever runs in the caller's space `owner` runs `id` itself, as its own space `key`,
 * without the caller in between: delegation.ts. It ends with either space, or when either key is delegated anew.
 * @returns 0; or -EINVAL key is 0 or 2^53 and more, or the two spaces are one
 * Ours.
 */
export function sysVmspaceDelegate(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const guest = findGuest(p, args, lwp);
  if (typeof guest === 'number') return guest;
  const owner = p.group?.find(args.unsigned(1)) ?? null;
  if (owner === null) return -ENOENT;
  const key = args.unsigned(2);
  if (key === 0 || key >= 2 ** 53 || owner === guest) return -EINVAL;
  p.group?.delegate(guest, owner, key);
  p.kernel.machine.delegate(guest.space.context, owner.space.context, key);
  return 0;
}

/** vmspace_destroy(id): real PTEs, mappings, and the space. @returns 0; or -EBUSY an lwp of any process is in a RUN of it */
export function sysVmspaceDestroy(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const guest = findGuest(p, args, lwp);
  if (typeof guest === 'number') return guest;
  if (guest.runners > 0) return -EBUSY;
  p.group?.destroy(guest);
  return 0;
}

/**
 * vmspace_ctl(id, VMSPACE_CTL_RUN, tf, vf): runs the calling thread as the guest, from the registers in the frames, until
 * something happens that the guest's map and virtual page table do not resolve.
 *
 * Then `tf` holds the registers and the trap: a RISC-V cause in trapno, for a page fault also address and access; 0 when
 * the budget is spent, or a signal is due to the thread: its handler runs first, then this call returns 0. After an ecall pc is past the instruction. `vf` is written if floating-point state has changed.
 * @param args id; cmd; tf, vf: addresses of the frames (abi.ts)
 * @returns 0; or
 *   -EOPNOTSUPP    cmd is not RUN
 *   -EINVAL        a frame is not 8-byte aligned or crosses a page
 *   -EFAULT        a frame cannot be read, and nothing ran; or not be written, and the guest's registers are lost. The
 *                  caller's registers are as before in both cases
 *   RUN_PREEMPTED  to TypeScript programs: another process is due; `yield`, then call again
 * A fault of the guest for which the machine has no frame does not come back: the caller is killed, as for one of its own.
 * Source: DragonFly BSD vmspace_ctl. Alignment, budget and FP frame are ours.
 */
export function sysVmspaceCtl(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const guest = findGuest(p, args, lwp);
  if (typeof guest === 'number') return guest;
  if (args.unsigned(1) !== VMSPACE_CTL_RUN) return -EOPNOTSUPP;
  return p.kernel.runGuest(lwp, guest.id, args.unsigned(2), args.unsigned(3));
}

/** vmspace_mmap(id, addr, len, prot, flags, fd, offset): mmap in the guest's space. The descriptor is the caller's. @returns as mmap */
export function sysVmspaceMmap(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const guest = findGuest(p, args, lwp);
  return typeof guest === 'number' ? guest : mapInto(p, guest.space, args, 1);
}

/** vmspace_munmap(id, addr, len): munmap in the guest's space. @returns as munmap */
export function sysVmspaceMunmap(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const guest = findGuest(p, args, lwp);
  return typeof guest === 'number' ? guest : guest.space.munmap(args.unsigned(1), args.unsigned(2));
}

/** vmspace_mcontrol(id, addr, len, behav, value): mcontrol in the guest's space. @returns as mcontrol */
export function sysVmspaceMcontrol(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const guest = findGuest(p, args, lwp);
  if (typeof guest === 'number') return guest;
  return control(guest.space, args, 1);
}

/**
 * vmspace_mcontrolv(vector, n): MADV_INVAL of many ranges, in many spaces.
 * @param args vector: address of n records { id u64, addr u64, len u64 }, id 0: the caller's own space; n: 0..4096
 * @returns 0; or, and nothing has been dropped,
 *   -EINVAL  n; a range wraps or leaves user space; an id, and the process never created a space
 *   -ENOENT  no space has the id
 *   -EFAULT  the vector is not readable
 * Waits: no. Cost: O(ranges + real PTEs). Ours: a shoot-down of k pages is one call.
 */
export function sysVmspaceMcontrolv(p: Process, args: SyscallArgs): number {
  const count = args.unsigned(1);
  if (count > MAX_RANGES) return -EINVAL;
  const words = new Int32Array(count * RANGE_WORDS);
  if (p.space.copyIn(args.unsigned(0), new Uint8Array(words.buffer)) < words.length * 4) return -EFAULT;
  for (let at = 0; at < words.length; at += RANGE_WORDS) {
    const id = u64(words, at);
    if (id !== 0 && p.group === null) return -EINVAL;
    const space = spaceOf(p, id);
    if (space === null) return -ENOENT;
    if (u64(words, at + 2) + u64(words, at + 4) > space.userEnd) return -EINVAL;
  }
  for (let at = 0; at < words.length; at += RANGE_WORDS) {
    spaceOf(p, u64(words, at))?.mcontrol(u64(words, at + 2), u64(words, at + 4), MADV_INVAL, 0);
  }
  return 0;
}

/** The space of the vkernel with key `id`, the caller's own for 0, or null. */
function spaceOf(p: Process, id: number): VmSpace | null {
  return id === 0 ? p.space : (p.group?.find(id)?.space ?? null);
}

/** The unsigned 64-bit number at index `at`; the nearest double from 2^53 on. */
function u64(words: Int32Array, at: number): number {
  return (words[at + 1] >>> 0) * 2 ** 32 + (words[at] >>> 0);
}

/**
 * vmspace_pread(id, buf, n, flags, off): copies n bytes at address `off` of the guest to `buf`, as the guest would read them.
 * @param args id; buf: address; n: bytes; flags: 0; off: address in the guest
 * @returns bytes copied, up to the first page the guest could not read: possibly 0; or
 *   -EINVAL  flags is not 0
 *   -EFAULT  buf is not writable
 */
export function sysVmspacePread(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const guest = findGuest(p, args, lwp);
  if (typeof guest === 'number') return guest;
  if (args.unsigned(3) !== 0) return -EINVAL;
  const from = args.unsigned(4);
  const to = args.unsigned(1);
  return copyPieces(args.unsigned(2), (done, piece) => {
    const n = guest.space.copyIn(from + done, piece);
    return p.space.copyOut(to + done, piece.subarray(0, n)) === n ? n : -EFAULT;
  });
}

/**
 * vmspace_pwrite(id, buf, n, flags, off): copies n bytes at `buf` to address `off` of the guest, as the guest would write them.
 * @param args id; buf: address; n: bytes; flags: 0; off: address in the guest
 * @returns bytes copied, up to the first page the guest could not write: possibly 0; or
 *   -EINVAL  flags is not 0
 *   -EFAULT  buf is not readable
 */
export function sysVmspacePwrite(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const guest = findGuest(p, args, lwp);
  if (typeof guest === 'number') return guest;
  if (args.unsigned(3) !== 0) return -EINVAL;
  const from = args.unsigned(1);
  const to = args.unsigned(4);
  return copyPieces(args.unsigned(2), (done, piece) => {
    const n = p.space.copyIn(from + done, piece);
    return n === 0 ? -EFAULT : guest.space.copyOut(to + done, piece.subarray(0, n));
  });
}

/** The space that argument 0 names, or -errno. */
function findGuest(p: Process, args: SyscallArgs, lwp: Lwp): GuestSpace | number {
  if (p.group === null) return -EINVAL;
  return p.group.find(args.unsigned(0), lwp) ?? -ENOENT;
}

/** Moves `wanted` bytes piece by piece until one comes back short. An error after the first piece is a short count. */
function copyPieces(wanted: number, move: (done: number, piece: Uint8Array) => number): number {
  const length = Math.min(wanted, MAX_TRANSFER);
  const buffer = new Uint8Array(Math.min(length, COPY_BYTES));
  let done = 0;
  while (done < length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, length - done));
    const n = move(done, piece);
    if (n < 0) return done > 0 ? done : n;
    done += n;
    if (n < piece.length) break;
  }
  return done;
}
