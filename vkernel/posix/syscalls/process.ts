/**
 * System calls on the process itself: identity, the machine's properties, execve and the end. Limits are in `limits.ts`,
 * new processes in `fork.ts`, waiting for them in `wait.ts`.
 *
 * Every process is of user 0 and has one thread.
 * Source: the manual pages of section 2; riscv_hwprobe as in Documentation/riscv/hwprobe.rst.
 */
import {
  E2BIG,
  EAGAIN,
  EFAULT,
  EINVAL,
  ENAMETOOLONG,
  ENOENT,
  ENOSYS,
  EPERM,
  ESRCH,
  ETIMEDOUT,
  EBADF,
} from '../../../hostkernel/base/errno.ts';
import { kassert } from '../../../hostkernel/base/assert.ts';
import type { L4Wait } from '../../l4/user.ts';
import { AT_EMPTY_PATH, AT_FDCWD, ERESTARTSYS, SIGKILL } from '../abi.ts';
import { ARGUMENTS_MAX, argumentsFit, findProgram, loadProgram, type Program, startHart } from '../exec.ts';
import { BULK, putInt64 } from '../guest-memory.ts';
import { putSysinfo, putUtsname, UTSNAME_BYTES } from '../layouts.ts';
import { HOSTNAME, NO_RESULT, type Place, type Process, RELEASE } from '../process.ts';
import type { Waiting } from './files.ts';

// --- identity -------------------------------------------------------------------------------------------------

/** getpid, gettid */
export function sysGetpid(p: Process): number {
  return p.pid;
}

/** getppid: of the first process, the machine. */
export function sysGetppid(p: Process): number {
  return p.parentPid();
}

/** getuid, geteuid, getgid, getegid, setfsuid, setfsgid: all 0 */
export function sysZero(): number {
  return 0;
}

/** setuid and its kin: user 0 may become anybody, and stays user 0. */
export function sysSetId(p: Process): number {
  return p.args.int(0) < -1 ? -EINVAL : 0;
}

/** getresuid, getresgid (real, effective, saved) */
export function* sysGetresid(p: Process): Waiting {
  for (let i = 0; i < 3; i++) {
    const error = yield* p.memory.fill(p.args.word(i), 4, 0);
    if (error < 0) return error;
  }
  return 0;
}

/** getgroups(size, list): none besides group 0 */
export function* sysGetgroups(p: Process): Waiting {
  const size = p.args.int(0);
  if (size < 0) return -EINVAL;
  if (size === 0) return 1;
  const error = yield* p.memory.fill(p.args.word(1), 4, 0);
  return error < 0 ? error : 1;
}

/** capget(header, data): all capabilities. Version 3 is two sets of three words. */
export function* sysCapget(p: Process): Waiting {
  const error = yield* p.memory.load(p.args.word(0), 8);
  if (error < 0) return error;
  if (p.memory.view.getUint32(0, true) !== 0x20080522) {
    p.memory.view.setUint32(0, 0x20080522, true);
    const stored = yield* p.memory.store(p.args.word(0), 4);
    return stored < 0 ? stored : -EINVAL;
  }
  return p.args.word(1) === 0 ? 0 : yield* p.memory.fill(p.args.word(1), 24, 0xff);
}

// --- the machine ----------------------------------------------------------------------------------------------

/** uname(buffer) */
export function* sysUname(p: Process): Waiting {
  const machine = p.wide ? 'riscv64' : 'riscv32';
  putUtsname(p.memory.view, { nodename: HOSTNAME, release: RELEASE, version: '#1 SMP', machine });
  return yield* p.memory.store(p.args.word(0), UTSNAME_BYTES);
}

/** sysinfo(buffer) */
export function* sysSysinfo(p: Process): Waiting {
  const size = putSysinfo(p.memory.view, p.wide, { uptime: p.uptime(), ...p.memoryBytes() });
  return yield* p.memory.store(p.args.word(0), size);
}

/** sched_getaffinity(pid, size, mask): hart 0. @returns bytes stored */
export function* sysSchedGetaffinity(p: Process): Waiting {
  const pid = p.args.int(0);
  if (pid !== 0 && pid !== p.pid) return -ESRCH;
  const size = p.args.uint(1);
  if (size < p.memory.wordBytes || size % p.memory.wordBytes !== 0) return -EINVAL;
  p.memory.putWord(0, 1);
  const error = yield* p.memory.store(p.args.word(2), p.memory.wordBytes);
  return error < 0 ? error : p.memory.wordBytes;
}

/** sched_setaffinity(pid, size, mask): hart 0 must be in it. */
export function* sysSchedSetaffinity(p: Process): Waiting {
  const error = yield* p.memory.load(p.args.word(2), Math.min(p.args.uint(1), 8));
  if (error < 0) return error;
  return p.args.uint(1) > 0 && (p.memory.view.getUint8(0) & 1) !== 0 ? 0 : -EINVAL;
}

/** getcpu(cpu, node) */
export function* sysGetcpu(p: Process): Waiting {
  for (let i = 0; i < 2; i++) {
    if (p.args.word(i) === 0) continue;
    const error = yield* p.memory.fill(p.args.word(i), 4, 0);
    if (error < 0) return error;
  }
  return 0;
}

/** getrandom(buffer, length, flags): the machine's fixed sequence. */
export function* sysGetrandom(p: Process): Waiting {
  if ((p.args.uint(2) & ~7) !== 0 || (p.args.uint(2) & 6) === 6) return -EINVAL;
  const len = Math.min(p.args.word(1), 0x2000000 - 1);
  const va = p.args.word(0);
  if (!p.memory.inRange(va, len)) return -EFAULT;
  for (let done = 0; done < len; ) {
    const piece = p.memory.bulk.subarray(0, Math.min(BULK, len - done));
    p.random.draw(piece);
    const error = yield* p.memory.write(va + done, piece, 0, piece.length);
    const stored = error === 0 ? piece.length : p.memory.tryWrite(va + done, piece, piece.length);
    done += stored;
    if (error < 0) return done > 0 ? done : error;
  }
  return len;
}

// riscv_hwprobe keys and values. Source: Linux 6.6 uapi/asm/hwprobe.h.
const HWPROBE: ReadonlyMap<number, number> = new Map([
  [0, 0], // MVENDORID, MARCHID, MIMPID: unknown
  [1, 0],
  [2, 0],
  [3, 1], // BASE_BEHAVIOR: IMA
  [4, 3], // IMA_EXT_0: FD, C
  [5, 3], // CPUPERF_0: misaligned accesses are fast
]);

/** riscv_hwprobe(pairs, count, cpusetsize, cpus, flags). pair: key s64, value u64; an unknown key becomes -1. */
export function* sysRiscvHwprobe(p: Process): Waiting {
  const count = p.args.word(1);
  if (p.args.uint(4) !== 0) return -EINVAL;
  if (!p.memory.inRange(p.args.word(0), count * 16)) return -EFAULT;
  for (let i = 0; i < count; i++) {
    const va = p.args.word(0) + 16 * i;
    const error = yield* p.memory.load(va, 16);
    if (error < 0) return error;
    const key = p.memory.int64At(0);
    const value = HWPROBE.get(key);
    if (value === undefined) putInt64(p.memory.view, 0, -1);
    putInt64(p.memory.view, 8, value ?? 0);
    const stored = yield* p.memory.store(va, 16);
    if (stored < 0) return stored;
  }
  return 0;
}
/** riscv_flush_icache(start, end, flags): stores to code are noticed by the hart itself. */
export function sysFlushIcache(p: Process): number {
  return (p.args.uint(2) & ~1) === 0 ? 0 : -EINVAL;
}

// --- threads --------------------------------------------------------------------------------------------------

/** set_tid_address(address). @returns the thread id */
export function sysSetTidAddress(p: Process): number {
  p.clearChildTid = p.args.word(0);
  return p.pid;
}

/** set_robust_list(head, length) */
export function sysSetRobustList(p: Process): number {
  return p.args.word(1) === 3 * p.memory.wordBytes ? 0 : -EINVAL;
}

const FUTEX_WAIT = 0;
const FUTEX_WAKE = 1;
const FUTEX_REQUEUE = 3;
const FUTEX_CMP_REQUEUE = 4;
const FUTEX_WAKE_OP = 5;
const FUTEX_WAIT_BITSET = 9;
const FUTEX_WAKE_BITSET = 10;

/**
 * futex(word, operation, value, timeout, ...). A process has one thread, and words shared between
 * processes are not watched: nobody waits, so a wake wakes 0, and a wait ends by its timeout or by a signal, or never.
 */
export function* sysFutex(p: Process): Waiting {
  const va = p.args.word(0);
  if (va % 4 !== 0) return -EINVAL;
  if (!p.memory.inRange(va, 4)) return -EFAULT;
  const operation = p.args.uint(1) & 0x7f;
  switch (operation) {
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET:
    case FUTEX_WAKE_OP:
    case FUTEX_REQUEUE:
      return 0;
    case FUTEX_CMP_REQUEUE: {
      const error = yield* p.memory.load(va, 4);
      if (error < 0) return error;
      return p.memory.view.getInt32(0, true) === p.args.int(5) ? 0 : -EAGAIN;
    }
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET: {
      let deadline = Number.POSITIVE_INFINITY;
      if (p.args.word(3) !== 0) {
        const missing = yield* p.memory.load(p.args.word(3), 16);
        if (missing < 0) return missing;
        const [seconds, nanoseconds] = [p.memory.int64At(0), p.memory.int64At(8)];
        if (seconds < 0 || nanoseconds < 0 || nanoseconds >= 1e9) return -EINVAL;
        const realtime = (p.args.uint(1) & 256) !== 0;
        const start = operation === FUTEX_WAIT ? p.micros() : realtime ? -p.epoch * 1e6 : 0;
        deadline = start + seconds * 1e6 + Math.ceil(nanoseconds / 1000);
      }
      const error = yield* p.memory.load(va, 4);
      if (error < 0) return error;
      if (p.memory.view.getInt32(0, true) !== p.args.int(2)) return -EAGAIN;
      return (yield* p.sleepUntil(deadline)) ? -ETIMEDOUT : -ERESTARTSYS;
    }
    default:
      return -ENOSYS;
  }
}

/** sched_yield() */
export function sysSchedYield(): number {
  return 0;
}

/** sched_getscheduler(pid): SCHED_OTHER. */
export function sysSchedGetscheduler(p: Process): number {
  const pid = p.args.int(0);
  return pid === 0 || pid === p.pid ? 0 : -ESRCH;
}

/** sched_getparam(pid, param): priority 0. */
export function* sysSchedGetparam(p: Process): Waiting {
  const pid = p.args.int(0);
  if (pid !== 0 && pid !== p.pid) return -ESRCH;
  return yield* p.memory.fill(p.args.word(1), 4, 0);
}

/** sched_get_priority_max(policy), sched_get_priority_min(policy): 1 to 99 for SCHED_FIFO and SCHED_RR, 0 for the others. */
export function sysSchedPriorityMax(p: Process): number {
  const policy = p.args.int(0);
  if (policy < 0 || policy > 6 || policy === 4) return -EINVAL;
  return policy === 1 || policy === 2 ? 99 : 0;
}
export function sysSchedPriorityMin(p: Process): number {
  return Math.min(1, sysSchedPriorityMax(p));
}

/** getpriority(which, who): as the system call returns it, 20 - nice. */
export function sysGetpriority(p: Process): number {
  const which = p.args.int(0);
  return which < 0 || which > 2 ? -EINVAL : 20;
}

/** setpriority(which, who, value): accepted, without effect. */
export function sysSetpriority(p: Process): number {
  const which = p.args.int(0);
  return which < 0 || which > 2 ? -EINVAL : 0;
}

const PR_SET_PDEATHSIG = 1;
const PR_GET_PDEATHSIG = 2;
const PR_GET_DUMPABLE = 3;
const PR_SET_DUMPABLE = 4;
const PR_SET_NAME = 15;
const PR_GET_NAME = 16;
const PR_CAPBSET_READ = 23;
const PR_SET_TIMERSLACK = 29;
const PR_GET_TIMERSLACK = 30;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_GET_NO_NEW_PRIVS = 39;

/** prctl(option, ...): the name is kept; what has no meaning for a single process is accepted. */
export function* sysPrctl(p: Process): Waiting {
  switch (p.args.int(0)) {
    case PR_SET_NAME: {
      const name = yield* p.memory.readString(p.args.word(1), 16);
      if (typeof name === 'string') p.comm = name.slice(0, 15);
      else if (name === -ENAMETOOLONG) {
        const error = yield* p.memory.load(p.args.word(1), 15);
        if (error < 0) return error;
        p.comm = String.fromCharCode(...p.memory.scratch.subarray(0, 15));
      } else return name;
      return 0;
    }
    case PR_GET_NAME:
      for (let i = 0; i < 16; i++) p.memory.scratch[i] = i < p.comm.length ? p.comm.charCodeAt(i) : 0;
      return yield* p.memory.store(p.args.word(1), 16);
    case PR_GET_PDEATHSIG:
      return yield* p.memory.fill(p.args.word(1), 4, 0);
    case PR_GET_DUMPABLE:
    case PR_CAPBSET_READ:
      return 1;
    case PR_GET_TIMERSLACK:
      return 50_000;
    case PR_SET_PDEATHSIG:
    case PR_SET_DUMPABLE:
    case PR_SET_TIMERSLACK:
    case PR_SET_NO_NEW_PRIVS:
    case PR_GET_NO_NEW_PRIVS:
      return 0;
    default:
      return -EINVAL;
  }
}

// --- execve and the end ---------------------------------------------------------------------------------------

/** A null-terminated array of string pointers; a null array is empty. @returns -E2BIG, -EFAULT */
function* strings(p: Process, va: number): Generator<L4Wait, readonly string[] | number, void> {
  const found: string[] = [];
  if (va === 0) return found;
  let bytes = 0;
  for (let at = va; ; at += p.memory.wordBytes) {
    const pointer = yield* p.memory.readWord(at);
    if (pointer < 0) return pointer;
    if (pointer === 0) return found;
    const text = yield* p.memory.readString(pointer, 131072);
    if (typeof text === 'number') return text === -ENAMETOOLONG ? -E2BIG : text;
    found.push(text);
    bytes += text.length + 1 + p.memory.wordBytes;
    if (bytes > ARGUMENTS_MAX) return -E2BIG;
  }
}

/**
 * Replaces the program. Everything is checked before the old image goes; if the new one cannot be mapped after that,
 * the process ends with SIGKILL, as on Linux. A process that runs in a borrowed place gets one of its own.
 */
function* execute(p: Process, path: string, argvAt: number, envAt: number): Waiting {
  const argv = yield* strings(p, argvAt);
  if (typeof argv === 'number') return argv;
  const env = yield* strings(p, envAt);
  if (typeof env === 'number') return env;
  const program = findProgram(p, path, argv.length === 0 ? [''] : argv);
  if ('errno' in program) return -program.errno;
  if (!argumentsFit(p, program, env)) return -E2BIG;
  if (p.lent !== null) return yield* executeElsewhere(p, program, env);
  yield* p.task.reset();
  forgetProgram(p);
  const loaded = yield* loadProgram(p, program, env);
  if (typeof loaded === 'number') {
    p.kill(SIGKILL, null);
    return NO_RESULT;
  }
  const registers = p.registers();
  registers.fill(0);
  p.floatRegisters()?.fill(0);
  registers[0] = loaded.entry;
  registers[1] = Math.floor(loaded.entry / 2 ** 32);
  registers[4] = loaded.sp;
  registers[5] = Math.floor(loaded.sp / 2 ** 32);
  return NO_RESULT;
}

/** What does not outlive a program. */
function forgetProgram(p: Process): void {
  if (p.files.users > 1) {
    const own = p.files.clone();
    p.files.leave();
    p.files = own;
  }
  p.files.exec();
  p.signals.exec();
  p.clearChildTid = 0;
  p.hasExeced = true;
}

/** execve of a child of vfork: in a new task; its parent goes on here. @returns the parent's result, or -errno for the child */
function* executeElsewhere(p: Process, program: Program, env: readonly string[]): Waiting {
  const { server } = p.system;
  if (server === null) return -ENOSYS;
  const { pid, l4 } = p;
  const lent = p.lent;
  const error = yield* server.spawn(l4, (place) => {
    p.giveBack();
    return p.system.program(p, place, begin);
  });
  kassert(error === 0 || p.lent === lent, 'posix: a place given back for nothing');
  return error < 0 ? error : pid;

  function* begin(self: Process, place: Place): Generator<L4Wait, boolean, void> {
    forgetProgram(self);
    const loaded = yield* loadProgram(self, program, env);
    const started = typeof loaded === 'number' ? loaded : yield* startHart(self, place, loaded.entry, loaded.sp);
    if (started !== 0) self.kill(SIGKILL, null);
    return started !== 0;
  }
}

/** execve(path, argv, env) */
export function* sysExecve(p: Process): Waiting {
  const path = yield* p.path(p.args.word(0));
  if (typeof path === 'number') return path;
  return path === '' ? -ENOENT : yield* execute(p, path, p.args.word(1), p.args.word(2));
}

/** execveat(dirfd, path, argv, env, flags) */
export function* sysExecveat(p: Process): Waiting {
  const flags = p.args.uint(4);
  if ((flags & ~(AT_EMPTY_PATH | 0x100)) !== 0) return -EINVAL;
  const path = yield* p.path(p.args.word(1));
  if (typeof path === 'number') return path;
  const fd = p.args.int(0);
  let full = path;
  if (path === '') {
    if ((flags & AT_EMPTY_PATH) === 0) return -ENOENT;
    if (p.files.get(fd) === null) return -EBADF;
    full = `/proc/self/fd/${fd}`;
  } else if (path.charCodeAt(0) !== 47 && fd !== AT_FDCWD) {
    const base = p.base(fd, path);
    if (typeof base === 'number') return base;
    full = `/proc/self/fd/${fd}/${path}`;
  }
  return yield* execute(p, full, p.args.word(2), p.args.word(3));
}

/** exit(code) and exit_group(code): one thread, so the same. */
export function sysExit(p: Process): number {
  p.end({ kind: 'exit', code: p.args.int(0) & 0xff });
  return NO_RESULT;
}

/** rseq: there is none. */
export function sysNoRseq(): number {
  return -ENOSYS;
}

/** What user 0 may not do on this machine: reboot, swapon, mount and their kin. */
export function sysNotPermitted(): number {
  return -EPERM;
}
