/**
 * The state of one Linux process, and what its system calls share: paths, descriptors, time, signals, waiting.
 *
 * The thread loop is in `server.ts`, loading in `exec.ts`, the calls in `syscalls/`, what processes share in `system.ts`.
 */
import { EBADF, ENOENT, ENOTDIR } from '../../hostkernel/base/errno.ts';
import { kassert } from '../../hostkernel/base/assert.ts';
import type { Tracer } from '../../hostkernel/base/trace.ts';
import type { Mapping, TaskMemory } from '../../userland/libhurd-mm/interface.ts';
import { ANY, type L4, type L4Wait, NEVER, NIL, type ThreadId, timeout, type WordBits } from '../l4/user.ts';
import { AT_FDCWD, O_RDWR, PATH_MAX, SI_KERNEL, SIGALRM, SIGCHLD, SIGKILL, SIGPROF, SIGVTALRM } from './abi.ts';
import { CallArguments } from './arguments.ts';
import { FileTable } from './file-table.ts';
import { GuestMemory } from './guest-memory.ts';
import type { ProcessExit } from './interface.ts';

import type { Limit } from './syscalls/limits.ts';
import { bit, SignalState, signalName } from './signals.ts';
import type { System } from './system.ts';
import type { RandomSource } from './vfs/devices.ts';
import type { FileSystem } from './vfs/filesystem.ts';
import type { DirectoryInode, FileInode, Inode } from './vfs/inode.ts';
import { OpenFile } from './vfs/open-file.ts';
import type { ProcSource } from './vfs/procfs.ts';
import { byteString, type Timestamp } from './vfs/provider.ts';
import { WaitQueue, type Waiter } from './wait-queue.ts';

export const RELEASE = '6.1.0-vkernel';
export const HOSTNAME = 'vkernel';

/** Result of a call that has set the registers itself, or after which the thread does not go on. */
export const NO_RESULT = -1_000_000;

const NO_SIGNALS = { lo: 0, hi: 0 };

/** Raised by the timers, in their order. */
const TIMER_SIGNALS = [SIGALRM, SIGVTALRM, SIGPROF] as const;

/** How many different unknown calls are told apart: a program can make up any number of them. */
const UNKNOWN_KEPT = 64;

/** One of the three interval timers, in microseconds of virtual time; deadline Infinity: not armed. */
export interface IntervalTimer {
  deadline: number;
  interval: number;
}

/** Where a process runs: the system-call thread with its hart, and the memory of their task. */
export interface Place {
  readonly hart: ThreadId;
  readonly pager: ThreadId;
  /** The task's memory manager, for use by the thread that runs the system calls. */
  readonly memory: (l4: L4) => TaskMemory;
}

/** Who the system-call thread of a place answers for, and what its loop and the function in front have to know of each other. */
export interface Turn {
  process: Process;
  isOpen: boolean; // the loop waits for the next message
  isCalled: boolean; // the call has been made, with `result`; what else there is to do is the loop's
  result: number;
}

/** The registers of a thread that lends its place, until it has it back. */
interface Lent {
  readonly by: Process;
  readonly registers: Int32Array;
  readonly floats: Int32Array | null;
}

/** How a wait ended. */
export const WOKEN = 0;
export const TIMED_OUT = 1;
export const INTERRUPTED = 2;

const NO_QUEUES: readonly WaitQueue[] = [];

export class Process implements ProcSource, Waiter {
  readonly system: System;
  readonly pid: number;
  readonly wide: boolean;
  readonly isa: string;
  readonly release = RELEASE;
  readonly hostname = HOSTNAME;
  readonly tracer: Tracer;
  readonly random: RandomSource;

  // Of the place. A process that is being made has none yet; one made by vfork has that of its parent until execve.
  #l4: L4 | null = null;
  hart: ThreadId = NIL;
  memory!: GuestMemory;
  task!: TaskMemory;
  args!: CallArguments;
  turn: Turn | null = null;
  lent: Lent | null = null; // whose place it is
  isLending = false;

  files: FileTable;
  readonly signals: SignalState;
  /** ITIMER_REAL, VIRTUAL, PROF. All run on virtual time. */
  readonly timers: readonly IntervalTimer[] = [0, 1, 2].map(() => ({ deadline: Number.POSITIVE_INFINITY, interval: 0 }));
  nextDeadline = Number.POSITIVE_INFINITY; // the earliest of them
  /** Of the timed wait that a signal has interrupted, for when the call is made again; -1: none. */
  keptDeadline = -1;

  parent: Process | null;
  isAdopted = false; // its own parent has ended
  readonly children = new Set<Process>(); // in order of their making, zombies among them
  readonly childChanged = new WaitQueue();
  exitSignal = SIGCHLD; // sent to the parent at the end; 0: none
  processGroup: number;
  session: number;
  hasExeced = false;
  stopSignal = 0; // by which it has been stopped; 0: it runs
  /** A change that wait4 has not told yet. */
  report: 'stopped' | 'continued' | null = null;
  reportSignal = 0;
  isZombie = false;
  isWoken = false; // marked in the system, and not yet sent for
  isAsleep = false; // waits without a deadline
  cpuTime = 0; // microseconds charged
  childTime = 0; // of the children it has waited for, and theirs

  cwd: DirectoryInode;
  umask = 0o022;
  comm = '';
  trampoline = 0; // address of the signal trampoline in the guest
  stackLimit = 8 * 2 ** 20; // bytes, RLIMIT_STACK
  readonly limits: Map<number, Limit>; // by RLIMIT_*, those that have been set
  stackStart = 0; // sp of the program's first instruction
  clearChildTid = 0;
  ended: ProcessExit | null = null;

  #lastFault = { pc: -1, address: -1, count: 0 };
  #program: { inode: FileInode; path: string; argv: readonly string[]; env: readonly string[] } | null = null;

  /** The first process of a system, or a child that is what its parent is now. It is not in the table yet. */
  constructor(system: System, from: Process | null, wordBits: WordBits) {
    this.system = system;
    this.tracer = system.tracer;
    this.random = system.random;
    this.wide = wordBits === 64;
    this.isa = this.wide ? 'rv64imafdc' : 'rv32imafdc';
    this.pid = system.takePid();
    this.parent = from;
    this.files = from?.files.clone() ?? new FileTable();
    this.signals = from?.signals.clone() ?? new SignalState();
    this.processGroup = from?.processGroup ?? this.pid;
    this.session = from?.session ?? this.pid;
    this.limits = new Map(from?.limits ?? []);
    if (from !== null) {
      this.cwd = from.cwd;
      this.umask = from.umask;
      this.comm = from.comm;
      this.trampoline = from.trampoline;
      this.stackLimit = from.stackLimit;
      this.stackStart = from.stackStart;
      if (from.#program !== null) this.#takeProgram(from.#program);
      return;
    }
    const { fs, streams, terminals, options } = system;
    const start = fs.lookup(fs.root, byteString(options.workingDirectory ?? '/'), true);
    this.cwd = typeof start !== 'number' && start.kind === 'directory' ? start : fs.root;
    streams.forEach((node, fd) => {
      const path = terminals[fd as 0 | 1 | 2] ? '/dev/tty' : `pipe:[${node.ino}]`;
      this.files.install(new OpenFile(fs.tree, node, path, O_RDWR), 0, false);
    });
    if (terminals.includes(true)) {
      system.terminal.session = this.pid;
      system.terminal.foreground = this.pid;
    }
  }

  // --- the place ----------------------------------------------------------------------------------------------

  /** Takes a place of its own. */
  settle(l4: L4, place: Place, turn: Turn): void {
    this.#l4 = l4;
    this.hart = place.hart;
    this.task = place.memory(l4);
    this.memory = new GuestMemory(l4);
    this.args = new CallArguments(l4.wordBits);
    this.turn = turn;
    this.lent = null;
  }

  /** Takes the place of `lender`, who waits until it has it back. */
  borrow(lender: Process): void {
    const floats = lender.floatRegisters();
    this.lent = { by: lender, registers: lender.registers().slice(), floats: floats === null ? null : floats.slice() };
    this.#l4 = lender.l4;
    this.hart = lender.hart;
    this.task = lender.task;
    this.memory = lender.memory;
    this.args = lender.args;
    this.turn = lender.turn;
    lender.isLending = true;
    this.system.awake--;
    if (lender.turn !== null) lender.turn.process = this;
  }

  /** Gives the place back: its owner goes on where it was. @returns the owner */
  giveBack(): Process {
    const { lent, turn } = this;
    kassert(lent !== null && turn !== null, 'posix: a place of its own');
    const { by, registers, floats } = lent;
    by.registers().set(registers);
    if (floats !== null) by.floatRegisters()?.set(floats);
    by.isLending = false;
    this.system.awake++;
    turn.process = by;
    this.lent = null;
    this.turn = null;
    this.#l4 = null;
    return by;
  }

  /** The thread that runs the system calls. */
  get l4(): L4 {
    const l4 = this.#l4;
    kassert(l4 !== null, 'posix: a process without a thread');
    return l4;
  }

  get threadOrNull(): L4 | null {
    return this.#l4;
  }

  /** The file system, as this process sees it: /proc/self is its own until another one looks. */
  get fs(): FileSystem {
    this.system.current = this;
    return this.system.fs;
  }

  // --- time ---------------------------------------------------------------------------------------------------

  /** Virtual time since the start, microseconds. */
  micros(): number {
    return this.system.micros();
  }

  /** The date. */
  now(): Timestamp {
    return this.system.now();
  }

  get epoch(): number {
    return this.system.epoch;
  }

  /** Charges the time since anybody was charged: an approximation, since another process may have had the processor in between. */
  charge(): void {
    const now = this.micros();
    this.cpuTime += now - this.system.chargedUntil;
    this.system.chargedUntil = now;
  }

  rearm(): void {
    this.nextDeadline = Math.min(...this.timers.map((timer) => timer.deadline));
  }

  /** Raises the signals of interval timers that have run out. */
  expireTimers(): void {
    const now = this.micros();
    if (now < this.nextDeadline) return;
    this.timers.forEach((timer, index) => {
      if (timer.deadline > now) return;
      const { interval } = timer;
      timer.deadline =
        interval === 0 ? Number.POSITIVE_INFINITY : timer.deadline + interval * (1 + Math.floor((now - timer.deadline) / interval));
      this.signals.raise({ signal: TIMER_SIGNALS[index], code: SI_KERNEL, address: null, pid: 0, value: null });
    });
    this.rearm();
  }

  /**
   * Sleeps until `deadline` (microseconds of virtual time; 2^53 and beyond is never) or until a signal comes that is to
   * be delivered or is in `wanted`.
   * @returns whether the deadline was reached
   */
  *sleepUntil(deadline: number, wanted = NO_SIGNALS): Generator<L4Wait, boolean, void> {
    for (;;) {
      const end = yield* this.wait(NO_QUEUES, deadline, wanted);
      if (end !== WOKEN) return end === TIMED_OUT;
    }
  }

  /**
   * Waits until a queue is woken, until `deadline` (microseconds of virtual time; 2^53 and beyond is never), or until a
   * signal comes that is to be delivered or is in `wanted`. Timers whose signal does neither are not waited for. The
   * caller has just looked, and looks again after WOKEN, which may come for nothing.
   * If nothing can ever happen again, the first process ends.
   * @returns WOKEN, TIMED_OUT, or INTERRUPTED: a signal, or the end of the process
   */
  *wait(queues: readonly WaitQueue[], deadline: number, wanted = NO_SIGNALS): Generator<L4Wait, number, void> {
    const { signals } = this;
    this.expireTimers();
    if (this.ended !== null || signals.deliverable || signals.isPending(wanted)) return INTERRUPTED;
    if (this.micros() >= deadline) return TIMED_OUT;
    let next = deadline < Number.MAX_SAFE_INTEGER ? deadline : Number.POSITIVE_INFINITY;
    this.timers.forEach((timer, index) => {
      const signal = TIMER_SIGNALS[index];
      const wakes = signals.isBlocked(signal) ? bit(wanted.lo, wanted.hi, signal) : !signals.isIgnored(signal);
      if (wakes) next = Math.min(next, timer.deadline);
    });
    for (const queue of queues) queue.add(this);
    yield* this.rest(next);
    for (const queue of queues) queue.remove(this);
    return WOKEN;
  }

  /** Lets the thread wait for a message of whoever wakes it, or for `deadline`. It may come back for nothing. */
  *rest(deadline: number): Generator<L4Wait, void, void> {
    const { system, l4 } = this;
    this.charge();
    if (system.flush(l4)) return;
    if (deadline === Number.POSITIVE_INFINITY) {
      this.setAsleep(true);
      if (system.awake === 0) {
        const { first } = system;
        for (const p of [first, first.turn?.process ?? first]) {
          p.kill(SIGKILL, 'every process waits for an event that cannot come');
          system.wake(p);
        }
        if (system.flush(l4)) return;
      }
    }
    yield* l4.receive(ANY, deadline === Number.POSITIVE_INFINITY ? NEVER : timeout(Math.max(1, deadline - this.micros())));
    this.setAsleep(false);
    system.chargedUntil = this.micros(); // what has passed is nobody's
  }

  /** Whether it waits without a deadline, so that only others can wake it. */
  setAsleep(is: boolean): void {
    if (this.isAsleep === is) return;
    this.isAsleep = is;
    this.system.awake += is ? -1 : 1;
  }

  wake(): void {
    this.system.wake(this);
  }

  // --- the end ------------------------------------------------------------------------------------------------

  /** Ends the process. The first end counts. */
  end(exit: ProcessExit): void {
    this.ended ??= exit;
  }

  /** Counts faults that turned out to be none. @returns whether this one has come `limit` times in a row */
  repeats(pc: number, address: number, limit: number): boolean {
    const last = this.#lastFault;
    const count = last.pc === pc && last.address === address ? last.count + 1 : 1;
    this.#lastFault = { pc, address, count };
    return count >= limit;
  }

  /** Ends the process by a signal; a diagnosis goes along, where there is one. */
  kill(signal: number, cause: { address: number; pc: number; cause: number; text: string } | string | null): void {
    const why = cause === null || typeof cause === 'string' ? cause : cause.text;
    const text = why === null ? signalName(signal) : `${signalName(signal)}: ${why}`;
    const fault = cause === null || typeof cause === 'string' ? null : { address: cause.address, pc: cause.pc, cause: cause.cause };
    this.end({ kind: 'signal', signal, text, fault });
  }

  // --- registers of the stopped thread ------------------------------------------------------------------------

  registers(): Int32Array {
    const registers = this.l4.registers(this.hart);
    kassert(registers !== null, 'posix: the thread is not stopped');
    return registers;
  }

  floatRegisters(): Int32Array | null {
    return this.l4.floatRegisters(this.hart);
  }

  // --- paths --------------------------------------------------------------------------------------------------

  /** The path a system call points to, as a byte string. @returns it, -EFAULT or -ENAMETOOLONG */
  path(va: number): Generator<L4Wait, string | number, void> {
    return this.memory.readString(va, PATH_MAX);
  }

  /** Where a path relative to `dirfd` begins. @returns a directory, -EBADF or -ENOTDIR */
  base(dirfd: number, path: string): DirectoryInode | number {
    if (path.charCodeAt(0) === 47) return this.fs.root;
    if (dirfd === AT_FDCWD) return this.cwd;
    const file = this.files.get(dirfd);
    if (file === null) return -EBADF;
    return file.node.kind === 'directory' ? file.node : -ENOTDIR;
  }

  /** The inode at `path` relative to `dirfd`. @returns -errno of the look-up, -EBADF, -ENOTDIR */
  lookup(dirfd: number, path: string, follow: boolean): Inode | number {
    const base = this.base(dirfd, path);
    return typeof base === 'number' && path !== '' ? base : typeof base === 'number' ? -ENOENT : this.fs.lookup(base, path, follow);
  }

  // --- the program, and what /proc shows of it ----------------------------------------------------------------

  /** The program has been replaced. */
  setProgram(program: { inode: FileInode; path: string; argv: readonly string[]; env: readonly string[] }): void {
    const old = this.#program;
    this.#takeProgram(program);
    if (old !== null) this.#dropProgram(old.inode);
    this.comm = program.path.slice(program.path.lastIndexOf('/') + 1).slice(0, 15);
  }

  #takeProgram(program: { inode: FileInode; path: string; argv: readonly string[]; env: readonly string[] }): void {
    program.inode.opens++;
    this.#program = program;
  }

  #dropProgram(inode: FileInode): void {
    inode.opens--;
    this.system.fs.tree.reap(inode);
  }

  /** The process lets go of everything but its pid: its files, and the file of its program. */
  leave(): void {
    this.files.leave();
    if (this.#program !== null) this.#dropProgram(this.#program.inode);
    this.#program = null;
  }

  executable(): string {
    return this.#program?.path ?? '';
  }
  executableInode(): Inode | null {
    return this.#program?.inode ?? null;
  }
  commandLine(): readonly string[] {
    return this.#program?.argv ?? [];
  }
  environment(): readonly string[] {
    return this.#program?.env ?? [];
  }
  name(): string {
    return this.comm;
  }
  workingDirectory(): DirectoryInode {
    return this.cwd;
  }
  descriptors(): readonly number[] {
    return this.files.open();
  }
  descriptor(fd: number): OpenFile | null {
    return this.files.get(fd);
  }
  mappings(): Iterable<Mapping> {
    return this.#l4 === null ? [] : this.task.mappings();
  }
  parentPid(): number {
    return this.parent?.pid ?? 1;
  }
  state(): string {
    if (this.isZombie) return 'Z';
    return this.stopSignal !== 0 ? 'T' : this.system.current === this ? 'R' : 'S';
  }
  seconds(): number {
    return this.cpuTime / 1e6;
  }
  uptime(): number {
    return this.micros() / 1e6;
  }
  memoryBytes(): { readonly total: number; readonly free: number } {
    return this.system.options.memoryBytes?.() ?? { total: 256 * 2 ** 20, free: 128 * 2 ** 20 };
  }

  /** Counts a call nobody answers, and reports it the first time. */
  unknown(name: string): void {
    const { unknownCalls, options } = this.system;
    const kept = unknownCalls.has(name) || unknownCalls.size < UNKNOWN_KEPT ? name : 'others';
    const count = unknownCalls.get(kept) ?? 0;
    unknownCalls.set(kept, count + 1);
    if (count === 0 && kept === name) options.report(`system call ${name} is not known here: ENOSYS`);
  }
}
