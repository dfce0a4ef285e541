/**
 * Futexes: sleeping on a word of memory until somebody says it has changed.
 *
 * A futex is named by its page of an object where memory can be seen by several processes, and by space and address
 * otherwise. Both forms of the call find the same futex: FUTEX_PRIVATE_FLAG promises something, and asks for nothing.
 */

import { EAGAIN, EFAULT, EINVAL, ENOSYS, ETIMEDOUT } from '../base/errno.ts';
import { PAGE_MASK, PAGE_SIZE, READ } from '../base/units.ts';
import { VM_INHERIT_SHARE } from '../vm/index.ts';
import {
  FUTEX_CLOCK_REALTIME,
  FUTEX_CMP_REQUEUE,
  FUTEX_PRIVATE_FLAG,
  FUTEX_REQUEUE,
  FUTEX_WAIT,
  FUTEX_WAIT_BITSET,
  FUTEX_WAKE,
  FUTEX_WAKE_BITSET,
} from './abi.ts';
import type { HostKernel } from './kernel.ts';
import { copyOut } from './copy.ts';
import { INTERRUPT_ENDS, INTERRUPT_RESTARTS, type Lwp } from './lwp.ts';
import type { Process } from './process.ts';
import type { SyscallArgs } from './syscall-args.ts';
import { readTimespec } from './sys-time.ts';

const ANY = -1; // FUTEX_BITSET_MATCH_ANY

export class Futexes {
  readonly #kernel: HostKernel;

  constructor(kernel: HostKernel) {
    this.#kernel = kernel;
  }

  /** The channel of the word at `va`, or null: it is no readable memory. */
  channel(p: Process, va: number): string | null {
    const { space } = p;
    if (space.translate(va, READ) < 0) return null;
    const page = Math.floor(va / PAGE_SIZE);
    const entry = space.map.lookup(page);
    if (entry === null || entry.object === null || entry.inherit !== VM_INHERIT_SHARE || entry.format !== null)
      return `futex ${space.id}:${va.toString(16)}`;
    return `futex of object ${entry.object.id}: ${((page - entry.start + entry.offset) * PAGE_SIZE + (va & PAGE_MASK)).toString(16)}`;
  }

  /** The word at `va`, signed. It is readable. */
  word(p: Process, va: number): number {
    const at = p.space.translate(va, READ);
    return this.#kernel.machine.ram.i32[at >>> 2] as number;
  }

  /** `lwp` ends: clears its number where it asked for it, and wakes who waits there (pthread_join). */
  clearTid(lwp: Lwp): void {
    const { clearTid: at, process } = lwp;
    if (at === 0 || (at & 3) !== 0) return;
    if (!copyOut(process, at, new Uint8Array(4))) return;
    const channel = this.channel(process, at);
    if (channel !== null) this.#kernel.scheduler.wakeup(channel, 1);
  }
}

/**
 * futex(addr, op, value, timeout, addr2, value3): waits on the word at `addr`, or wakes who does.
 *
 *   FUTEX_WAIT, _WAIT_BITSET   sleeps if the word is `value`; timeout: address of two u64, relative, with _BITSET absolute; 0: none
 *   FUTEX_WAKE, _WAKE_BITSET   wakes up to `value` sleepers
 *   FUTEX_REQUEUE, _CMP_REQUEUE   wakes up to `value`, and moves up to `timeout` others to addr2; _CMP if the word is value3
 * @returns 0, or the number woken (_CMP_REQUEUE: and moved); or
 *   -EAGAIN     the word is not what the caller thought
 *   -EINVAL     addr is not a multiple of 4; a bitset of 0; no proper time
 *   -EFAULT     a word or the time is not readable
 *   -ETIMEDOUT, -EINTR   as they say; a wait without a time is made again after a handler with SA_RESTART
 *   -ENOSYS     another operation, or a bitset other than all ones
 * Waits: FUTEX_WAIT. Source: Linux futex(2).
 */
export function sysFutex(p: Process, args: SyscallArgs, lwp: Lwp): number {
  const va = args.unsigned(0);
  const operation = args.int(1) & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
  const value = args.int(2);
  const isBitset = operation === FUTEX_WAIT_BITSET || operation === FUTEX_WAKE_BITSET;
  if (isBitset && args.int(5) !== ANY) return args.int(5) === 0 ? -EINVAL : -ENOSYS;
  if ((va & 3) !== 0) return -EINVAL;
  switch (operation) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
      return wait(p, lwp, { va, value, timeout: args.unsigned(3), absolute: operation === FUTEX_WAIT_BITSET });
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET: {
      const channel = p.kernel.futexes.channel(p, va);
      return channel === null ? -EFAULT : p.kernel.scheduler.wakeup(channel, Math.max(0, value));
    }
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
      return requeue(p, args, va, operation === FUTEX_CMP_REQUEUE);
    default:
      return -ENOSYS;
  }
}

interface FutexWait {
  readonly va: number;
  readonly value: number;
  readonly timeout: number;
  readonly absolute: boolean;
}

function wait(p: Process, lwp: Lwp, request: FutexWait): number {
  const { call } = lwp;
  const { kernel } = p;
  if (call.nr !== -1 && call.woken) return 0;
  if (call.nr !== -1 && call.expired) return -ETIMEDOUT;
  let { deadline } = call;
  if (call.nr === -1 && request.timeout !== 0) {
    const time = readTimespec(p, request.timeout);
    if (time < 0) return time;
    deadline = request.absolute ? time : kernel.machine.clock.now() + time;
  }
  const channel = kernel.futexes.channel(p, request.va);
  if (channel === null) return -EFAULT;
  if (kernel.futexes.word(p, request.va) !== request.value) return -EAGAIN;
  if (deadline <= kernel.machine.clock.now()) return -ETIMEDOUT;
  const interrupt = deadline === Infinity ? INTERRUPT_RESTARTS : INTERRUPT_ENDS;
  return kernel.sleepInCall(lwp, { channel, deadline, interrupt, why: channel });
}

function requeue(p: Process, args: SyscallArgs, va: number, compares: boolean): number {
  const { futexes, scheduler } = p.kernel;
  const target = args.unsigned(4);
  if ((target & 3) !== 0 || args.int(2) < 0 || args.int(3) < 0) return -EINVAL;
  const from = futexes.channel(p, va);
  const to = futexes.channel(p, target);
  if (from === null || to === null) return -EFAULT;
  if (compares && futexes.word(p, va) !== args.int(5)) return -EAGAIN;
  const woken = scheduler.wakeup(from, args.int(2));
  const moved = scheduler.move(from, to, args.int(3));
  return compares ? woken + moved : woken;
}
