/**
 * New processes: clone(2), clone3(2) and what they are called as, fork, vfork and posix_spawn.
 *
 *   fork     SIGCHLD                          a task of its own; memory is a logical copy (libhurd-mm)
 *   vfork    CLONE_VM | CLONE_VFORK, a stack  the child runs in its parent's place: same thread, same memory; the parent
 *            or none                          has its registers back at the child's execve or end, and cannot be
 *                                             interrupted until then
 *
 * Threads (CLONE_VM without CLONE_VFORK) are not here: ENOSYS, with a report.
 * Source: clone(2), vfork(2), credentials(7); the order of riscv's arguments is that of CONFIG_CLONE_BACKWARDS.
 */
import { E2BIG, EAGAIN, EINVAL, ENOSYS, EPERM } from '../../../hostkernel/base/errno.ts';
import { type L4Wait, timeout } from '../../l4/user.ts';
import {
  CLONE_CHILD_CLEARTID,
  CLONE_CHILD_SETTID,
  CLONE_CLEAR_SIGHAND,
  CLONE_DETACHED,
  CLONE_FILES,
  CLONE_IO,
  CLONE_PARENT,
  CLONE_PARENT_SETTID,
  CLONE_SETTLS,
  CLONE_SIGHAND,
  CLONE_SYSVSEM,
  CLONE_THREAD,
  CLONE_UNTRACED,
  CLONE_VFORK,
  CLONE_VM,
  CSIGNAL,
  NSIG,
  RLIMIT_NPROC,
} from '../abi.ts';
import { startHart } from '../exec.ts';
import { NO_RESULT, type Place, Process } from '../process.ts';
import { PROCESSES_MAX } from '../system.ts';
import type { Waiting } from './files.ts';

/** What clone and clone3 ask for. */
interface Wanted {
  readonly flags: number; // CLONE_*, without CSIGNAL; beyond 32 bits those of clone3
  readonly exitSignal: number;
  readonly stack: number; // sp; 0: as the parent's
  readonly tls: number;
  readonly parentTid: number; // addresses
  readonly childTid: number;
}

const SUPPORTED =
  CLONE_VM |
  CLONE_VFORK |
  CLONE_FILES |
  CLONE_PARENT |
  CLONE_SYSVSEM |
  CLONE_SETTLS |
  CLONE_PARENT_SETTID |
  CLONE_CHILD_CLEARTID |
  CLONE_CHILD_SETTID |
  CLONE_DETACHED |
  CLONE_UNTRACED |
  CLONE_IO;
/** Microseconds until the trap of a hart that begins is given up: the kernel had no frame for its registers, and nobody else says so. */
const START_LIMIT = 10e6;
const NAMESPACES = 0x7e02_0000; // CLONE_NEW*

const SP = 2 * 2; // words of the register array
const TP = 2 * 4;
const A0 = 2 * 10;

/** clone(flags, stack, parent tid, tls, child tid). @returns the child's pid, 0 in the child; -EAGAIN, -ENOMEM, -EINVAL, -EPERM, -ENOSYS */
export function sysClone(p: Process): Waiting {
  const word = p.args.uint(0);
  return clone(p, {
    flags: (word & ~CSIGNAL) >>> 0,
    exitSignal: word & CSIGNAL,
    stack: p.args.word(1),
    parentTid: p.args.word(2),
    tls: p.args.word(3),
    childTid: p.args.word(4),
  });
}

const CLONE_ARGS_MIN = 64; // bytes of struct clone_args that must come
const CLONE_ARGS_MAX = 88;

/** clone3(arguments, size): the same; the stack comes as its lowest address and its size. */
export function* sysClone3(p: Process): Waiting {
  const [va, size] = [p.args.word(0), p.args.word(1)];
  if (size < CLONE_ARGS_MIN) return -EINVAL;
  if (size > CLONE_ARGS_MAX) return -E2BIG;
  const error = yield* p.memory.load(va, size);
  if (error < 0) return error;
  const field = (i: number): number => p.memory.int64At(8 * i);
  const [flags, childTid, parentTid, exitSignal, stack, stackSize, tls] = [0, 2, 3, 4, 5, 6, 7].map(field);
  if (flags < 0 || flags >= 2 ** 33 || (flags & CSIGNAL) !== 0 || exitSignal < 0 || exitSignal > NSIG) return -EINVAL;
  if ((stack === 0) !== (stackSize === 0) || stack < 0 || stackSize < 0) return -EINVAL;
  for (let at = 8; at < size / 8; at++) if (field(at) !== 0) return -EINVAL; // set_tid, cgroup
  return yield* clone(p, { flags, childTid, parentTid, exitSignal, stack: stack + stackSize, tls });
}

/** Whether all of `flags` is what this system can do. @returns 0 or -errno */
function check(p: Process, { flags, exitSignal, stack }: Wanted): number {
  const low = (flags % 2 ** 32) | 0;
  if ((low & NAMESPACES) !== 0) return -EPERM;
  if ((low & CLONE_THREAD) !== 0 && (low & CLONE_SIGHAND) === 0) return -EINVAL;
  if ((low & CLONE_SIGHAND) !== 0 && (low & CLONE_VM) === 0) return -EINVAL;
  if (exitSignal > NSIG || !p.memory.inRange(stack, 0)) return -EINVAL;
  const isShared = (low & CLONE_VM) !== 0 && (low & CLONE_VFORK) === 0;
  const isUnknown = (low & ~(SUPPORTED | 0)) !== 0 || flags - (low >>> 0) > CLONE_CLEAR_SIGHAND;
  if (!isShared && !isUnknown) return 0;
  p.unknown(`clone with flags 0x${flags.toString(16)}`);
  return -ENOSYS;
}

function* clone(p: Process, wanted: Wanted): Waiting {
  const refused = check(p, wanted);
  if (refused < 0) return refused;
  const { system } = p;
  const limit = p.limits.get(RLIMIT_NPROC)?.soft ?? PROCESSES_MAX;
  if (system.processes.size >= (limit < 0 ? PROCESSES_MAX : Math.min(limit, PROCESSES_MAX))) return -EAGAIN;
  if (system.live >= (system.options.processesMax ?? PROCESSES_MAX)) return -EAGAIN;
  const isBorrowed = (wanted.flags & CLONE_VM) !== 0;
  if (!isBorrowed && system.server === null) return -ENOSYS;
  const child = makeChild(p, wanted);
  if (isBorrowed) child.borrow(p);
  else {
    const error = yield* fork(p, child, wanted);
    if (error < 0) {
      system.withdraw(child);
      return error;
    }
  }
  if ((wanted.flags & CLONE_PARENT_SETTID) !== 0) {
    p.memory.view.setInt32(0, child.pid, true);
    yield* p.memory.store(wanted.parentTid, 4); // where it cannot be stored it is not, as on Linux
  }
  if (!isBorrowed) return child.pid;
  setForkRegisters(p.registers(), wanted);
  yield* storeTid(child, wanted);
  return NO_RESULT;
}

/** The new process, in the table, without a place. */
function makeChild(p: Process, wanted: Wanted): Process {
  const { system } = p;
  const child = new Process(system, p, p.wide ? 64 : 32);
  if ((wanted.flags & CLONE_PARENT) !== 0) {
    child.parent = p.parent ?? p;
    child.exitSignal = p.exitSignal;
  } else child.exitSignal = wanted.exitSignal;
  if ((wanted.flags & CLONE_FILES) !== 0) {
    child.files.leave();
    child.files = p.files;
    p.files.users++;
  }
  if (wanted.flags >= CLONE_CLEAR_SIGHAND) child.signals.clearHandlers();
  if ((wanted.flags & CLONE_VM) !== 0) child.signals.stack = { ...p.signals.stack };
  system.enter(child);
  return child;
}

/** A task for the child, with a copy of the parent's memory; its thread goes on behind the same call. @returns 0 or -errno */
function* fork(p: Process, child: Process, wanted: Wanted): Generator<L4Wait, number, void> {
  const registers = p.registers().slice();
  const floats = p.floatRegisters()?.slice() ?? null;
  setForkRegisters(registers, wanted);
  const { server } = p.system;
  if (server === null) return -ENOSYS;
  return yield* server.fork(p.l4, (place) => p.system.program(child, place, begin));

  /** The hart begins beyond its address space: that trap comes here, where it gets the registers of the parent. */
  function* begin(self: Process, place: Place): Generator<L4Wait, boolean, void> {
    const { l4 } = self;
    let error = yield* startHart(self, place, l4.userEnd, 0);
    if (error === 0) error = yield* l4.receive(self.hart, timeout(START_LIMIT));
    if (error !== 0) self.end({ kind: 'signal', signal: 9, text: 'SIGKILL: the thread cannot be started', fault: null });
    else {
      self.registers().set(registers);
      if (floats !== null) self.floatRegisters()?.set(floats);
      yield* storeTid(self, wanted);
    }
    return true;
  }
}

function setForkRegisters(registers: Int32Array, { flags, stack, tls }: Wanted): void {
  registers[A0] = 0;
  registers[A0 + 1] = 0;
  if (stack !== 0) put(registers, SP, stack);
  if ((flags & CLONE_SETTLS) !== 0) put(registers, TP, tls);
}

function put(registers: Int32Array, at: number, value: number): void {
  registers[at] = value;
  registers[at + 1] = Math.floor(value / 2 ** 32);
}

function* storeTid(child: Process, { flags, childTid }: Wanted): Generator<L4Wait, void, void> {
  if ((flags & CLONE_CHILD_CLEARTID) !== 0) child.clearChildTid = childTid;
  if ((flags & CLONE_CHILD_SETTID) === 0) return;
  child.memory.view.setInt32(0, child.pid, true);
  yield* child.memory.store(childTid, 4);
}
