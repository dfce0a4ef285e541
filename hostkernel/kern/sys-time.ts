/** System calls on time: clocks, sleeping, interval timers. Virtual time only: a retired instruction is a nanosecond. */

import { EFAULT, EINVAL } from '../base/errno.ts';
import { ITIMER_PROF } from './abi.ts';
import { copyIn, copyOut } from './copy.ts';
import { INTERRUPT_ENDS, type Lwp, type WaitingCall } from './lwp.ts';
import type { Process } from './process.ts';
import type { SyscallArgs } from './syscall-args.ts';

const CLOCKS = 8; // CLOCK_REALTIME 0 .. CLOCK_BOOTTIME 7
const TIMER_ABSTIME = 1;
const NS = 1e9;
const LONGEST = 2 ** 52; // ns; 52 days, beyond which a sleep is for ever

/**
 * clock_gettime(clock, ts): virtual time since power-on, the same on every clock.
 * @param args clock: 0..7; ts: address of two u64, seconds and nanoseconds, in 32-bit processes too
 * @returns 0; or -EINVAL no such clock; -EFAULT ts is not writable
 * Source: POSIX clock_gettime. CLOCK_REALTIME here begins in 1970: a wall clock would make runs differ.
 */
export function sysClockGettime(p: Process, args: SyscallArgs): number {
  const clock = args.int(0);
  if (clock < 0 || clock >= CLOCKS) return -EINVAL;
  return writeTimespec(p, args.unsigned(1), p.kernel.machine.clock.now()) ? 0 : -EFAULT;
}

/**
 * nanosleep(time, left): sleeps at least that long.
 * @param args time: address of two u64; left: where the rest goes if a handler ends the sleep, or 0
 * @returns 0; or -EFAULT; -EINVAL no proper time; -EINTR a handler has run: SA_RESTART does not matter
 * Waits: yes. Source: POSIX nanosleep.
 */
export function sysNanosleep(p: Process, args: SyscallArgs, lwp: Lwp): number {
  return sleepFor(p, lwp, { time: args.unsigned(0), left: args.unsigned(1), absolute: false });
}

/**
 * clock_nanosleep(clock, flags, time, left): nanosleep, or with TIMER_ABSTIME until a time.
 * @returns as nanosleep, -EINVAL also for no such clock. Source: POSIX clock_nanosleep.
 */
export function sysClockNanosleep(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const clock = args.int(0);
  if (clock < 0 || clock >= CLOCKS) return -EINVAL;
  const absolute = (args.int(1) & TIMER_ABSTIME) !== 0;
  return sleepFor(p, lwp, { time: args.unsigned(2), left: absolute ? 0 : args.unsigned(3), absolute });
}

/**
 * ppoll(fds, n, timeout, mask, size): only without descriptors, which is how pause() and sleeps are written.
 * @param args n: 0; timeout: address of two u64, or 0 for ever; mask: 0
 * @returns 0 the time is over; -EINTR a handler has run; -EINVAL descriptors, or a mask; -EFAULT
 */
export function sysPpoll(p: Process, args: SyscallArgs, lwp: Lwp): number {
  if (args.unsigned(1) !== 0 || args.unsigned(3) !== 0) return -EINVAL;
  if (args.unsigned(2) !== 0) return sleepFor(p, lwp, { time: args.unsigned(2), left: 0, absolute: false });
  return p.kernel.sleepInCall(lwp, { channel: null, deadline: Infinity, interrupt: INTERRUPT_ENDS, why: 'a signal' });
}

/**
 * setitimer(which, new, old): SIGALRM, SIGVTALRM or SIGPROF after a time, and then at intervals.
 * @param args which: ITIMER_*; new, old: addresses of { interval, value } as { seconds, microseconds } of words, or 0
 * @returns 0; or -EINVAL no such timer, no proper time; -EFAULT
 * Source: POSIX setitimer. A time that passes while the process could not run counts once.
 */
export function sysSetitimer(p: Process, args: SyscallArgs): number {
  const which = args.int(0);
  if (which < 0 || which > ITIMER_PROF) return -EINVAL;
  const word = p.xlen / 8;
  const before = p.timers.get(which);
  if (args.unsigned(1) !== 0) {
    const bytes = copyIn(p, args.unsigned(1), 4 * word);
    if (bytes === null) return -EFAULT;
    const view = new DataView(bytes.buffer);
    const interval = readTimeval(view, 0, word);
    const value = readTimeval(view, 2 * word, word);
    if (interval < 0 || value < 0) return -EINVAL;
    p.timers.set(which, value, interval);
    p.kernel.boundSlice();
  }
  return args.unsigned(2) === 0 || writeTimer(p, args.unsigned(2), before.left, before.interval) ? 0 : -EFAULT;
}

/** getitimer(which, value): what is left, and the interval. @returns 0; or -EINVAL; -EFAULT */
export function sysGetitimer(p: Process, args: SyscallArgs): number {
  const which = args.int(0);
  if (which < 0 || which > ITIMER_PROF) return -EINVAL;
  const { left, interval } = p.timers.get(which);
  return writeTimer(p, args.unsigned(1), left, interval) ? 0 : -EFAULT;
}

/** The ns in the two u64 at `at`; or -EFAULT, -EINVAL. A very long time is Infinity. */
export function readTimespec(p: Process, at: number): number {
  const bytes = copyIn(p, at, 16);
  if (bytes === null) return -EFAULT;
  const view = new DataView(bytes.buffer);
  const seconds = view.getInt32(4, true) * 2 ** 32 + view.getUint32(0, true);
  const ns = view.getInt32(12, true) * 2 ** 32 + view.getUint32(8, true);
  if (seconds < 0 || ns < 0 || ns >= NS) return -EINVAL;
  return seconds * NS + ns > LONGEST ? Infinity : seconds * NS + ns;
}

/** Tells who slept in `call` what was left. The memory may be gone: that is the program's loss. */
export function writeRemainder(p: Process, call: WaitingCall, now: number): void {
  writeTimespec(p, call.remainderAt, Math.max(0, call.deadline === Infinity ? LONGEST : call.deadline - now));
}

function sleepFor(p: Process, lwp: Lwp, request: { readonly time: number; readonly left: number; readonly absolute: boolean }): number {
  const { call } = lwp;
  if (call.expired) return 0;
  let { deadline } = call;
  if (call.nr === -1) {
    const time = readTimespec(p, request.time);
    if (time < 0) return time;
    const now = p.kernel.machine.clock.now();
    deadline = request.absolute ? time : now + time;
    if (deadline <= now) return 0;
    call.remainderAt = request.left;
  }
  return p.kernel.sleepInCall(lwp, { channel: null, deadline, interrupt: INTERRUPT_ENDS, why: 'a time' });
}

function writeTimespec(p: Process, at: number, time: number): boolean {
  const seconds = Math.floor(time / NS);
  const words = Uint32Array.of(seconds, seconds / 2 ** 32, time - seconds * NS, 0);
  return copyOut(p, at, new Uint8Array(words.buffer));
}

/** The ns in the seconds and microseconds at `at`, or -1. */
function readTimeval(view: DataView, at: number, word: number): number {
  const read = (offset: number): number =>
    word === 4 ? view.getInt32(offset, true) : view.getInt32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true);
  const seconds = read(at);
  const microseconds = read(at + word);
  if (seconds < 0 || microseconds < 0 || microseconds >= 1e6) return -1;
  return Math.min(LONGEST, seconds * NS + microseconds * 1000);
}

function writeTimer(p: Process, at: number, left: number, interval: number): boolean {
  const word = p.xlen / 8;
  const bytes = new Uint8Array(4 * word);
  const view = new DataView(bytes.buffer);
  const write = (offset: number, time: number): void => {
    const seconds = Math.floor(time / NS);
    view.setUint32(offset, seconds % 2 ** 32, true);
    if (word === 8) view.setUint32(offset + 4, Math.floor(seconds / 2 ** 32), true);
    view.setUint32(offset + word, Math.floor((time - seconds * NS) / 1000), true);
  };
  write(0, interval);
  write(2 * word, left);
  return copyOut(p, at, bytes);
}
