/**
 * What the processes of one machine share: the file system, the table of processes, process groups, the terminal.
 *
 *   first process --fork--> children --fork--> ...        all of user 0; orphans go to the first process
 *     |                        |
 *   task with three threads  task with three threads      made and destroyed by the process server (root.ts)
 *
 * Plain objects and rules; each process' system-call thread calls in here, one at a time, and nothing here waits. Who
 * has to be woken is marked, and gets its message from `flush`, which every thread calls before it waits.
 *
 * Invariants (assertInvariants):
 *   P1  a process is in the table under its pid from its making until it is reaped; the first one stays
 *   P2  every process but the first has a parent in the table, which has it among its children
 *   P3  `awake` counts the live processes that run or have a deadline: at 0 nothing can ever happen again
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import type { Tracer } from '../../hostkernel/base/trace.ts';
import type { L4 } from '../l4/user.ts';
import {
  CLD_CONTINUED,
  CLD_EXITED,
  CLD_KILLED,
  CLD_STOPPED,
  SA_NOCLDSTOP,
  SA_NOCLDWAIT,
  SI_KERNEL,
  SIGCHLD,
  SIGCONT,
  SIGHUP,
  SIGKILL,
  SIGSTOP,
} from './abi.ts';
import type { PlaceProgram, ProcessOptions, ProcessServer } from './interface.ts';
import type { SignalInfo } from './layouts.ts';
import type { Process } from './process.ts';
import { isStopSignal, STOP_SIGNALS } from './signals.ts';
import { makeStreams, mountDevices, RandomSource, type Streams } from './vfs/devices.ts';
import { FileSystem } from './vfs/filesystem.ts';
import type { Inode } from './vfs/inode.ts';
import { mountProc, type ProcTable } from './vfs/procfs.ts';
import { byteString, type Timestamp } from './vfs/provider.ts';

/** Label of the message that wakes a system-call thread. Without words: it looks for itself. */
export const LABEL_WAKE = 0x72;

export const PID_MAX = 32768;
/** Processes there may be, zombies among them: RLIMIT_NPROC. How many may live at a time is the machine's to say. */
export const PROCESSES_MAX = 4096;

const FIRST_PID = 2;
const DEFAULT_EPOCH = 1767225600; // 2026-01-01 00:00:00 UTC

/** Whether a process ties its group to another one of its session, that of its parent: while one does, the group is no orphan. */
function isTie({ parent, processGroup, session, isAdopted }: Process): boolean {
  return parent !== null && !isAdopted && parent.processGroup !== processGroup && parent.session === session;
}

export class System implements ProcTable {
  readonly fs: FileSystem;
  readonly random: RandomSource;
  readonly tracer: Tracer;
  readonly streams: readonly [Inode, Inode, Inode]; // of descriptors 0, 1, 2
  readonly terminals: Streams['terminals'];
  readonly options: ProcessOptions;
  readonly program: PlaceProgram;
  /** Makes and destroys tasks; null: there is only the one. */
  readonly server: ProcessServer | null;
  readonly processes = new Map<number, Process>(); // by pid, in order of their making
  readonly unknownCalls = new Map<string, number>(); // name or number -> how often
  /** The process that looks at the file system right now: whose /proc/self it is. */
  current: Process | null = null;
  /** The terminal: the session that controls it, and the group in its foreground; 0: none. */
  readonly terminal = { session: 0, foreground: 0 };
  awake = 0;
  live = 0; // processes that have not ended
  forks = 0; // ever made
  /** Virtual time (microseconds) up to which processor time has been charged to somebody. */
  chargedUntil = 0;
  readonly #clock: () => number;
  readonly #woken: Process[] = [];
  #first: Process | null = null;
  #lastPid: number;

  constructor(l4: L4, options: ProcessOptions, program: PlaceProgram) {
    this.options = options;
    this.program = program;
    this.server = options.server ?? null;
    this.tracer = options.tracer;
    this.#clock = () => l4.clock();
    this.#lastPid = (options.pid ?? FIRST_PID) - 1;
    this.random = new RandomSource(options.seed ?? 0);
    this.fs = new FileSystem({ provider: options.provider, now: () => this.now() });
    const console = options.streams(l4);
    this.terminals = console.terminals;
    this.streams = makeStreams(this.fs, console);
    const terminal = this.streams.find((_, fd) => console.terminals[fd]) ?? null;
    mountDevices(this.fs, this.random, terminal);
    mountProc(this.fs, this);
    this.fs.mkdir(this.fs.root, '/tmp', 0o1777); // scripts expect one; where there is anything of that name it stays
    for (const { path, mode, bytes } of options.files ?? []) this.fs.addFile(byteString(path), mode, bytes);
  }

  // --- time ---------------------------------------------------------------------------------------------------

  /** Virtual time since the start, microseconds. */
  micros(): number {
    return this.#clock();
  }

  get epoch(): number {
    return this.options.epoch ?? DEFAULT_EPOCH;
  }

  /** The date. */
  now(): Timestamp {
    const micros = this.micros();
    const seconds = Math.floor(micros / 1e6);
    return { seconds: this.epoch + seconds, nanoseconds: Math.floor(micros - seconds * 1e6) * 1000 };
  }

  // --- the table ----------------------------------------------------------------------------------------------

  /** The process that everything began with. It ends, and all others with it. */
  get first(): Process {
    kassert(this.#first !== null, 'system: no process');
    return this.#first;
  }

  find(pid: number): Process | null {
    return this.processes.get(pid) ?? null;
  }

  pids(): readonly number[] {
    return [...this.processes.keys()];
  }

  /** A pid that names no process, group or session, as long as possible after it last did. */
  takePid(): number {
    for (;;) {
      this.#lastPid = this.#lastPid >= PID_MAX ? FIRST_PID : this.#lastPid + 1;
      if (!this.#isPidInUse(this.#lastPid)) return this.#lastPid;
    }
  }

  #isPidInUse(pid: number): boolean {
    if (this.processes.has(pid)) return true;
    for (const p of this.processes.values()) if (p.processGroup === pid || p.session === pid) return true;
    return false;
  }

  enter(p: Process): void {
    this.#first ??= p;
    this.processes.set(p.pid, p);
    p.parent?.children.add(p);
    this.awake++;
    this.live++;
    this.forks++;
  }

  /** Takes a process out of the table: reaped, or never come to life. */
  forget(p: Process): void {
    this.processes.delete(p.pid);
    p.parent?.children.delete(p);
  }

  /** The same before it has had a place. */
  withdraw(p: Process): void {
    p.leave();
    this.awake--;
    this.live--;
    this.forget(p);
  }

  /** The processes of a group that have not ended. */
  group(id: number): Process[] {
    return [...this.processes.values()].filter((p) => p.processGroup === id && !p.isZombie);
  }

  /**
   * Whether no member of the group has a parent in another group of the same session: nobody could continue it. Who has
   * adopted a process does not count, though it may be of that session: it knows nothing of the job.
   */
  isOrphaned(group: number): boolean {
    return !this.group(group).some(isTie);
  }

  // --- waking -------------------------------------------------------------------------------------------------

  /** Marks a process: it gets its message at the next flush. */
  wake(p: Process): void {
    if (p.isWoken || p.isZombie) return;
    p.isWoken = true;
    this.#woken.push(p);
  }

  /** Wakes who has been marked. @returns whether the caller's own process was among them. Hot where there is nobody. */
  flush(l4: L4): boolean {
    let own = false;
    for (let p = this.#woken.pop(); p !== undefined; p = this.#woken.pop()) {
      p.isWoken = false;
      p.setAsleep(false);
      const thread = p.threadOrNull;
      if (thread === null) continue; // not there yet: it will look
      if (thread.id === l4.id) own = true;
      else {
        l4.message.begin(LABEL_WAKE);
        l4.reply(thread.id);
      }
    }
    return own;
  }

  /** Whether a flush has something to do. */
  get hasWoken(): boolean {
    return this.#woken.length > 0;
  }

  // --- signals ------------------------------------------------------------------------------------------------

  /** Sends a signal to a process. @returns 0, or -1: too many are pending there, and this one is lost */
  signal(p: Process, info: SignalInfo): number {
    if (p.isZombie) return 0;
    const { signals } = p;
    if (info.signal === SIGCONT) {
      for (const stop of STOP_SIGNALS) signals.discard(stop);
      this.#resume(p);
    } else if (isStopSignal(info.signal)) signals.discard(SIGCONT);
    else if (info.signal === SIGKILL) this.#resume(p, false);
    const taken = signals.raise(info);
    this.wake(p);
    return taken ? 0 : -1;
  }

  #resume(p: Process, tells = true): void {
    if (p.stopSignal === 0) return;
    p.stopSignal = 0;
    if (!tells) return;
    p.report = 'continued';
    this.#tellParent(p, CLD_CONTINUED, SIGCONT);
  }

  /** Whether a stop signal with the default action stops `p`: the group's parents could continue it. */
  mayStop(p: Process, signal: number): boolean {
    if (signal !== SIGSTOP) return !this.isOrphaned(p.processGroup);
    return [...this.processes.values()].some((other) => other !== p && !other.isZombie); // the last one stays: who would continue it?
  }

  stop(p: Process, signal: number): void {
    p.stopSignal = signal;
    p.report = 'stopped';
    this.#tellParent(p, CLD_STOPPED, signal);
  }

  #tellParent(p: Process, code: number, status: number): void {
    const { parent } = p;
    if (parent === null) return;
    const { flags } = parent.signals.action(SIGCHLD);
    const isJobControl = code === CLD_STOPPED || code === CLD_CONTINUED;
    const signal = isJobControl ? SIGCHLD : p.exitSignal;
    if (signal !== 0 && !(isJobControl && (flags & SA_NOCLDSTOP) !== 0)) {
      this.signal(parent, { signal, code, address: null, pid: p.pid, value: { lo: status, hi: 0 } });
    }
    parent.childChanged.wake();
  }

  // --- the end ------------------------------------------------------------------------------------------------

  /** A process has ended, and its memory has gone: its parent hears of it, and its children get another parent. */
  bury(p: Process): void {
    const { ended } = p;
    kassert(ended !== null && !p.isZombie, 'system: buried alive');
    p.setAsleep(false);
    this.awake--;
    this.live--;
    p.isZombie = true;
    p.stopSignal = 0;
    const groups = new Set(isTie(p) ? [p.processGroup] : []);
    for (const child of p.children) {
      if (isTie(child)) groups.add(child.processGroup);
      this.#adopt(child);
    }
    p.children.clear();
    if (this.terminal.session === p.pid) this.hangUp();
    for (const group of groups) this.#orphan(group);
    if (p === this.#first) return;
    const [code, status] =
      ended.kind === 'exit' ? [CLD_EXITED, ended.code] : [CLD_KILLED, ended.kind === 'signal' ? ended.signal : SIGKILL];
    const { parent } = p;
    kassert(parent !== null, 'system P2');
    const isReaped = p.exitSignal === SIGCHLD && this.#reapsItself(parent);
    if (isReaped) this.forget(p);
    this.#tellParent(p, code, status);
  }

  /** Whether a parent does not want zombies: SIGCHLD is ignored, or SA_NOCLDWAIT set. */
  #reapsItself(parent: Process): boolean {
    const { flags } = parent.signals.action(SIGCHLD);
    return (flags & SA_NOCLDWAIT) !== 0 || parent.signals.isSetToIgnore(SIGCHLD);
  }

  #adopt(child: Process): void {
    const heir = this.first;
    child.parent = heir;
    child.isAdopted = true;
    heir.children.add(child);
    if (!child.isZombie) return;
    if (this.#reapsItself(heir)) this.forget(child);
    else
      this.#tellParent(
        child,
        child.ended?.kind === 'exit' ? CLD_EXITED : CLD_KILLED,
        child.ended?.kind === 'exit' ? child.ended.code : SIGKILL,
      );
  }

  /** A group has lost a tie: if it is an orphan now, with a member that is stopped, all of it hangs up and goes on. */
  #orphan(id: number): void {
    const members = this.group(id);
    if (!members.some(({ stopSignal }) => stopSignal !== 0) || !this.isOrphaned(id)) return;
    for (const signal of [SIGHUP, SIGCONT]) {
      for (const p of members) this.signal(p, { signal, code: SI_KERNEL, address: null, pid: 0, value: null });
    }
  }

  /** The leader of the terminal's session has gone: its foreground group hangs up, and the terminal is nobody's. */
  hangUp(): void {
    for (const p of this.group(this.terminal.foreground)) {
      this.signal(p, { signal: SIGHUP, code: SI_KERNEL, address: null, pid: 0, value: null });
      this.signal(p, { signal: SIGCONT, code: SI_KERNEL, address: null, pid: 0, value: null });
    }
    this.terminal.session = 0;
    this.terminal.foreground = 0;
  }

  assertInvariants(): void {
    let awake = 0;
    let live = 0;
    for (const [pid, p] of this.processes) {
      kassert(p.pid === pid, 'system P1');
      if (p !== this.#first)
        kassert(p.parent !== null && this.processes.get(p.parent.pid) === p.parent && p.parent.children.has(p), 'system P2');
      if (!p.isZombie) live++;
      if (!p.isZombie && !p.isAsleep && !p.isLending) awake++;
    }
    kassert(awake === this.awake && live === this.live, 'system P3');
  }
}
