/** System calls about the process itself: exit, identity, time, signals, yielding. */

import { EFAULT, EINVAL } from '../base/errno.ts';
import { SIGKILL } from './abi.ts';
import { copyIn, copyOut } from './copy.ts';
import type { Process } from './process.ts';
import { NO_RESULT } from './syscall-result.ts';
import type { SyscallArgs } from './syscall-args.ts';

const SIGSTOP = 19;
const SIGNALS = 64;
const SIGSET_BYTES = 8;
const CLOCKS = 8; // CLOCK_REALTIME 0 .. CLOCK_BOOTTIME 7
const UTSNAME_FIELD = 65; // bytes of each of the six fields

/** exit(code), exit_group(code): ends the process, which has one thread. Does not return. */
export function sysExit(p: Process, args: SyscallArgs): number {
  p.kernel.exit(p, args.int(0));
  return NO_RESULT;
}

/** getpid(), gettid(), set_tid_address(address): the process's number, > 0. The address is not kept: nobody waits for it. */
export function sysGetpid(p: Process): number {
  return p.pid;
}

/** set_robust_list(head, size): accepted; the list matters to other threads only. @returns 0, or -EINVAL wrong size */
export function sysSetRobustList(p: Process, args: SyscallArgs): number {
  return args.unsigned(1) === (p.xlen / 8) * 3 ? 0 : -EINVAL;
}

/** sched_yield(): the next process is due. A TypeScript program gives up the processor by `yield`. @returns 0 */
export function sysSchedYield(p: Process): number {
  p.kernel.endSlice();
  return 0;
}

/**
 * clock_gettime(clock, ts): virtual time since power-on, the same on every clock.
 * @param args clock: 0..7; ts: address of two u64, seconds and nanoseconds, in 32-bit processes too
 * @returns 0; or -EINVAL no such clock; -EFAULT ts is not writable
 * Source: POSIX clock_gettime. CLOCK_REALTIME here begins in 1970: a wall clock would make runs differ.
 */
export function sysClockGettime(p: Process, args: SyscallArgs): number {
  const clock = args.int(0);
  if (clock < 0 || clock >= CLOCKS) return -EINVAL;
  const now = p.kernel.machine.clock.now();
  const seconds = Math.floor(now / 1e9);
  const words = Uint32Array.of(seconds, seconds / 2 ** 32, now - seconds * 1e9, 0);
  return copyOut(p, args.unsigned(1), new Uint8Array(words.buffer)) ? 0 : -EFAULT;
}

/**
 * rt_sigaction(signal, action, old, size): accepted without effect. Only default actions exist, and the kernel sends
 * no signal that a handler could take; `old` always receives SIG_DFL.
 * @param args signal: 1..64; action: address or 0; old: address or 0; size: bytes of a signal set
 * @returns 0; or -EINVAL no such signal, a new action for SIGKILL or SIGSTOP, wrong size; -EFAULT
 */
export function sysRtSigaction(p: Process, args: SyscallArgs): number {
  const signal = args.int(0);
  const action = args.unsigned(1);
  const old = args.unsigned(2);
  if (args.unsigned(3) !== SIGSET_BYTES || signal < 1 || signal > SIGNALS) return -EINVAL;
  if (action !== 0 && (signal === SIGKILL || signal === SIGSTOP)) return -EINVAL;
  const bytes = (p.xlen / 8) * 2 + SIGSET_BYTES; // handler, flags, mask
  if (action !== 0 && copyIn(p, action, bytes) === null) return -EFAULT;
  return old === 0 || copyOut(p, old, new Uint8Array(bytes)) ? 0 : -EFAULT;
}

/**
 * rt_sigprocmask(how, set, old, size): accepted without effect, for the reason given at rt_sigaction; `old` always
 * receives the empty set.
 * @param args how: 0..2, looked at if there is a set; set, old: address or 0; size: bytes of a signal set
 * @returns 0; or -EINVAL unknown `how`, wrong size; -EFAULT
 */
export function sysRtSigprocmask(p: Process, args: SyscallArgs): number {
  const how = args.int(0);
  const set = args.unsigned(1);
  const old = args.unsigned(2);
  if (args.unsigned(3) !== SIGSET_BYTES || (set !== 0 && (how < 0 || how > 2))) return -EINVAL;
  if (set !== 0 && copyIn(p, set, SIGSET_BYTES) === null) return -EFAULT;
  return old === 0 || copyOut(p, old, new Uint8Array(SIGSET_BYTES)) ? 0 : -EFAULT;
}

/**
 * uname(name): six fields of 65 bytes. Linux by name, since its programs look for a Linux they know.
 * @returns 0, or -EFAULT
 */
export function sysUname(p: Process, args: SyscallArgs): number {
  const fields = ['Linux', 'hostkernel', '6.6.0', 'vkernel', `riscv${p.xlen}`, '(none)'];
  const bytes = new Uint8Array(fields.length * UTSNAME_FIELD);
  for (const [i, field] of fields.entries()) bytes.set(new TextEncoder().encode(field), i * UTSNAME_FIELD);
  return copyOut(p, args.unsigned(0), bytes) ? 0 : -EFAULT;
}
