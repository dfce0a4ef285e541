/**
 * The state of one Linux process, and what its system calls share: paths, descriptors, time, signals.
 *
 * The thread loop is in `server.ts`, loading in `exec.ts`, the calls in `syscalls/`.
 */
import { EBADF, ENOENT, ENOTDIR } from '../../hostkernel/base/errno.ts';
import type { Tracer } from '../../hostkernel/base/trace.ts';
import type { Mapping, TaskMemory } from '../../userland/libhurd-mm/interface.ts';
import type { L4, L4Wait, ThreadId } from '../l4/user.ts';
import { kassert } from '../../hostkernel/base/assert.ts';
import { AT_FDCWD, O_RDWR, PATH_MAX, SI_KERNEL, SIGALRM, SIGKILL, SIGPROF, SIGVTALRM } from './abi.ts';
import { CallArguments } from './arguments.ts';
import { FileTable } from './file-table.ts';
import { GuestMemory } from './guest-memory.ts';
import type { ProcessExit, ProcessOptions } from './interface.ts';
import type { Limit } from './syscalls/limits.ts';
import { bit, SignalState, signalName } from './signals.ts';
import { makeStreams, mountDevices, RandomSource } from './vfs/devices.ts';
import { FileSystem } from './vfs/filesystem.ts';
import type { DirectoryInode, FileInode, Inode } from './vfs/inode.ts';
import { OpenFile } from './vfs/open-file.ts';
import { mountProc, type ProcSource } from './vfs/procfs.ts';
import { byteString, type Timestamp } from './vfs/provider.ts';

export const RELEASE = '6.1.0-vkernel';
export const HOSTNAME = 'vkernel';
const DEFAULT_EPOCH = 1767225600; // 2026-01-01 00:00:00 UTC

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

export class Process implements ProcSource {
  readonly l4: L4;
  readonly hart: ThreadId;
  readonly memory: GuestMemory;
  readonly task: TaskMemory;
  readonly args: CallArguments;
  readonly fs: FileSystem;
  readonly files = new FileTable();
  readonly signals = new SignalState();
  readonly random: RandomSource;
  readonly tracer: Tracer;
  readonly pid: number;
  readonly wide: boolean;
  readonly isa: string;
  readonly release = RELEASE;
  readonly hostname = HOSTNAME;
  readonly unknownCalls = new Map<string, number>(); // name or number -> how often
  /** ITIMER_REAL, VIRTUAL, PROF. All run on virtual time. */
  readonly timers: readonly IntervalTimer[] = [0, 1, 2].map(() => ({ deadline: Number.POSITIVE_INFINITY, interval: 0 }));
  nextDeadline = Number.POSITIVE_INFINITY; // the earliest of them

  cwd: DirectoryInode;
  umask = 0o022;
  comm = '';
  processGroup: number;
  session: number;
  trampoline = 0; // address of the signal trampoline in the guest
  stackLimit = 8 * 2 ** 20; // bytes, RLIMIT_STACK
  readonly limits = new Map<number, Limit>(); // by RLIMIT_*, those that have been set
  stackStart = 0; // sp of the program's first instruction
  clearChildTid = 0;
  ended: ProcessExit | null = null;

  #lastFault = { pc: -1, address: -1, count: 0 };
  #program: { inode: FileInode; path: string; argv: readonly string[]; env: readonly string[] } | null = null;
  readonly #options: ProcessOptions;

  constructor(l4: L4, options: ProcessOptions) {
    this.#options = options;
    this.l4 = l4;
    this.hart = options.hart;
    this.task = options.memory(l4);
    this.tracer = options.tracer;
    this.memory = new GuestMemory(l4);
    this.args = new CallArguments(l4.wordBits);
    this.wide = l4.wordBits === 64;
    this.isa = this.wide ? 'rv64imafdc' : 'rv32imafdc';
    this.pid = options.pid ?? 2;
    this.processGroup = this.pid;
    this.session = this.pid;
    this.random = new RandomSource(options.seed ?? 0);
    this.fs = new FileSystem({ provider: options.provider, now: () => this.now() });
    const console = options.streams(l4);
    const streams = makeStreams(this.fs, console);
    const terminal = streams.find((_, fd) => console.terminals[fd]) ?? null;
    mountDevices(this.fs, this.random, terminal);
    mountProc(this.fs, this);
    for (const { path, mode, bytes } of options.files ?? []) this.fs.addFile(byteString(path), mode, bytes);
    const start = this.fs.lookup(this.fs.root, byteString(options.workingDirectory ?? '/'), true);
    this.cwd = typeof start !== 'number' && start.kind === 'directory' ? start : this.fs.root;
    streams.forEach((node, fd) => {
      const path = console.terminals[fd as 0 | 1 | 2] ? '/dev/tty' : `pipe:[${node.ino}]`;
      this.files.install(new OpenFile(this.fs.tree, node, path, O_RDWR), 0, false);
    });
  }

  // --- time ---------------------------------------------------------------------------------------------------

  /** Virtual time since the start, microseconds. */
  micros(): number {
    return this.l4.clock();
  }

  /** The date. */
  now(): Timestamp {
    const micros = this.micros();
    const seconds = Math.floor(micros / 1e6);
    return { seconds: (this.#options.epoch ?? DEFAULT_EPOCH) + seconds, nanoseconds: Math.floor(micros - seconds * 1e6) * 1000 };
  }

  get epoch(): number {
    return this.#options.epoch ?? DEFAULT_EPOCH;
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
   * be delivered or is in `wanted`. Timers whose signal does neither are not waited for. If nothing can end the wait, the
   * process ends instead.
   * @returns whether the deadline was reached
   */
  *sleepUntil(deadline: number, what: string, wanted = NO_SIGNALS): Generator<L4Wait, boolean, void> {
    const { signals } = this;
    for (;;) {
      this.expireTimers();
      if (signals.deliverable || signals.isPending(wanted)) return false;
      const now = this.micros();
      if (now >= deadline) return true;
      let next = deadline < Number.MAX_SAFE_INTEGER ? deadline : Number.POSITIVE_INFINITY;
      this.timers.forEach((timer, index) => {
        const signal = TIMER_SIGNALS[index];
        const wakes = signals.isBlocked(signal) ? bit(wanted.lo, wanted.hi, signal) : !signals.isIgnored(signal);
        if (wakes) next = Math.min(next, timer.deadline);
      });
      if (next === Number.POSITIVE_INFINITY) {
        this.end({ kind: 'signal', signal: SIGKILL, text: `SIGKILL: ${what} waits for an event that cannot come`, fault: null });
        return false;
      }
      yield* this.l4.sleep(Math.max(1, next - now));
    }
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

  /** Ends the process by a signal; with a fault, its diagnosis goes along. */
  kill(signal: number, fault: { address: number; pc: number; cause: number; text: string } | null): void {
    const text = fault === null ? signalName(signal) : `${signalName(signal)}: ${fault.text}`;
    this.end({ kind: 'signal', signal, text, fault: fault === null ? null : { address: fault.address, pc: fault.pc, cause: fault.cause } });
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
    program.inode.opens++;
    if (this.#program !== null) {
      this.#program.inode.opens--;
      this.fs.tree.reap(this.#program.inode);
    }
    this.#program = program;
    this.comm = program.path.slice(program.path.lastIndexOf('/') + 1).slice(0, 15);
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
    return this.task.mappings();
  }
  uptime(): number {
    return this.micros() / 1e6;
  }
  memoryBytes(): { readonly total: number; readonly free: number } {
    return this.#options.memoryBytes?.() ?? { total: 256 * 2 ** 20, free: 128 * 2 ** 20 };
  }

  /** Counts a call nobody answers, and reports it the first time. */
  unknown(name: string): void {
    const kept = this.unknownCalls.has(name) || this.unknownCalls.size < UNKNOWN_KEPT ? name : 'others';
    const count = this.unknownCalls.get(kept) ?? 0;
    this.unknownCalls.set(kept, count + 1);
    if (count === 0 && kept === name) this.#options.report(`system call ${name} is not known here: ENOSYS`);
  }
}
