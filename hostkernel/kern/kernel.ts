/**
 * HostKernel: processes, and what a step of one of their lwps is.
 *
 *   run -> step: the next lwp gets a time slice -> RISC-V: the hart runs until a trap: trap.ts
 *            |                                  -> TypeScript: the generator runs until it yields
 *            +-> processes with an exit status are taken apart: life.ts
 *            +-> nobody is ready: the clock is advanced to the next timer or completion of I/O
 *
 * Round robin, slices in retired instructions, no wall clock: the same programs run in the same order every time. Step k
 * runs on hart k mod n. A slice ends early where a timer is due or I/O completes. A TypeScript program is not interrupted;
 * it gives way where a guest it runs has used up the slice.
 * All state is in this object and what it leads to: a kernel may run inside a process of another, a step at a time.
 *
 * Invariants (assertInvariants, with those of the scheduler):
 *   K1  every process that has not been taken apart has an lwp, and no other has one
 *   K2  a process that has been taken apart has an exit status and no guest spaces
 *   K3  the frames of RAM are free, or used by live processes (vm V1..V4)
 *   K4  a guest space is counted as run in as often as lwps are inside a RUN of it
 */

import { kassert } from '../base/assert.ts';
import { parseElf } from '../base/elf.ts';
import { ENOEXEC, ENOMEM } from '../base/errno.ts';
import type { Tracer } from '../base/trace.ts';
import type { Access } from '../base/units.ts';
import type { Hardware, PageTableFormat, PolledDisk } from '../machine/index.ts';
import { FAULT_INVALID, FAULT_NO_MEMORY, type SpaceCounters, Vm, type VmSpace } from '../vm/index.ts';
import { BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR, SI_USER, SIGBUS, SIGKILL, SIGSEGV } from './abi.ts';
import { BodyHost } from './body-host.ts';
import { type ExecRefusal, loadProgram } from './exec.ts';
import type { ExitStatus, Killed } from './exit-status.ts';
import { FileTable } from './file.ts';
import { FileTree } from './file-tree.ts';
import { Futexes } from './futex.ts';
import type { HostBody } from './host.ts';
import { Life } from './life.ts';
import type { Channel, Lwp } from './lwp.ts';
import type { Process } from './process.ts';
import { GuestRunner } from './run.ts';
import { Scheduler } from './scheduler.ts';
import { Signals } from './signals.ts';
import type { GuestSpace } from './space-group.ts';
import { ASLEEP, NO_RESULT } from './syscall-result.ts';
import type { SyscallArgs } from './syscall-args.ts';
import { Traps } from './trap.ts';
import { ProcessEnded, ProcessMemory } from './user-memory.ts';

export interface HostKernelOptions {
  readonly machine: Hardware;
  readonly tracer: Tracer;
  /** Hardware page tables of 64-bit and 32-bit processes and their guests. */
  readonly mmu64: PageTableFormat;
  readonly mmu32: PageTableFormat;
  /** Virtual page tables of the same. */
  readonly vpte64: PageTableFormat;
  readonly vpte32: PageTableFormat;
  /** The VM of `machine`, if somebody else needs to see it too. */
  readonly vm?: Vm;
  /** vm.vkernel_enable: MAP_VPAGETABLE and vmspace_create are served. Default true. */
  readonly vkernelEnable?: boolean;
  /** Instructions a process may run before the next is due: a whole number, at least 1. */
  readonly timeSlice?: number;
  /** What openat and execve find: contents by absolute path. Read only. */
  readonly files?: ReadonlyMap<string, Uint8Array>;
  /** Disks that openat finds by absolute path, before files. */
  readonly disks?: ReadonlyMap<string, PolledDisk>;
  /** Receives the kernel's messages, one line each. */
  readonly log?: (line: string) => void;
}

/** A fault that ends a process. */
export interface RefusedFault {
  readonly result: number; // FAULT_*, not FAULT_OK
  readonly va: number;
  readonly access: Access;
  readonly pc: number | null; // null for an access of a TypeScript program
}

/** How a system call waits. */
export interface CallWait {
  readonly channel: Channel | null; // null: only for time or a signal
  readonly deadline: number; // clock time, ns
  readonly interrupt: number; // INTERRUPT_*
  readonly why: string; // for a person
}

const DEFAULT_TIME_SLICE = 1_000_000;

/** Counts since the kernel was made. */
export interface KernelCounters {
  syscalls: number;
  /** How often a system call nobody serves was made, by number; -1: a number out of range. */
  readonly unknownSyscalls: Map<number, number>;
  /** Page faults of processes outside a RUN, and of guests inside one; resolved or not. */
  userFaults: number;
  guestFaults: number;
  /** vmspace_ctl(RUN)s that ran. */
  runs: number;
  /** Ways into the kernel: every trap of a program or guest, every call and every page fault of a TypeScript program. */
  entries: number;
  /** Steps of the scheduler. */
  steps: number;
  /** Virtual time, ns, in which nobody was ready. */
  idle: number;
  /** Handlers started. */
  signals: number;
}

export class HostKernel {
  readonly machine: Hardware;
  readonly vm: Vm;
  readonly tracer: Tracer;
  readonly scheduler = new Scheduler();
  readonly signals: Signals;
  readonly life: Life;
  readonly futexes: Futexes;
  readonly tree: FileTree;
  readonly disks: ReadonlyMap<string, PolledDisk>;
  readonly counters: KernelCounters = {
    syscalls: 0,
    unknownSyscalls: new Map(),
    userFaults: 0,
    guestFaults: 0,
    runs: 0,
    entries: 0,
    steps: 0,
    idle: 0,
    signals: 0,
  };
  /** Instructions the lwp in its step may still run. */
  sliceLeft = 0;
  /** Whether the slice ends for a reason: another lwp is ready, or something is due. */
  bounded = false;
  /** Clock time, ns, at which the step must end: something is due. */
  eventAt = Infinity;
  readonly #options: HostKernelOptions;
  readonly #timeSlice: number;
  readonly #runner: GuestRunner;
  readonly #traps: Traps;

  constructor(options: HostKernelOptions) {
    const { timeSlice = DEFAULT_TIME_SLICE } = options;
    kassert(Number.isInteger(timeSlice) && timeSlice > 0, 'kernel: time slice');
    this.#timeSlice = timeSlice;
    this.#options = options;
    this.machine = options.machine;
    this.tracer = options.tracer;
    this.vm = options.vm ?? new Vm(options.machine, options.tracer);
    if (options.vkernelEnable !== undefined) this.vm.vkernelEnable = options.vkernelEnable;
    this.vm.wakeup = (channel) => this.scheduler.wakeup(channel);
    this.tree = new FileTree(options.files ?? new Map());
    this.disks = options.disks ?? new Map();
    this.signals = new Signals(this);
    this.life = new Life(this);
    this.futexes = new Futexes(this);
    this.#runner = new GuestRunner(this);
    this.#traps = new Traps(this, this.#runner);
  }

  /** Every process that is alive or a zombie. */
  get processes(): Iterable<Process> {
    return this.life.processes.values();
  }

  // ------------------------------------------------------------------------------------------------- processes

  /**
   * A process that will run a RISC-V program.
   * @param file the ELF file; @param argv at least the name; @param env `NAME=value`
   * @returns the process, or why there is none: then nothing has changed
   */
  spawnElf(file: Uint8Array, argv: readonly string[], env: readonly string[]): Process | ExecRefusal {
    const image = parseElf(file);
    if (typeof image === 'string') return { errno: ENOEXEC, reason: image };
    const space = this.createSpace(image.xlen);
    if (space === null) return { errno: ENOMEM, reason: 'no frame for a page table' };
    const start = loadProgram({ space, userEnd: space.userEnd, image, file, argv, env, seed: this.nextSeed() });
    if ('reason' in start) {
      space.destroy();
      return start;
    }
    const files = FileTable.standard(this.machine.console);
    const process = this.life.enroll({ name: argv[0] ?? 'program', space, xlen: image.xlen, files, parent: null });
    process.breakStart = start.breakStart;
    process.breakEnd = start.breakStart;
    const lwp = this.life.addLwp(process, null);
    lwp.registers.start(start.pc, start.sp);
    this.scheduler.enqueue(lwp);
    return process;
  }

  /** A process that will run a TypeScript program. Whoever builds the machine sees to it that there is a frame for its page table. */
  spawnBody(name: string, body: HostBody, xlen: 32 | 64): Process {
    const space = this.createSpace(xlen);
    kassert(space !== null, 'kernel: no frame for the first page table');
    const process = this.life.enroll({ name, space, xlen, files: FileTable.standard(this.machine.console), parent: null });
    process.memory = new ProcessMemory(process, this.machine.ram);
    this.addBody(process, body);
    return process;
  }

  /** Another lwp of a process that runs TypeScript programs. */
  addBody(process: Process, body: HostBody): Lwp {
    const { memory } = process;
    kassert(memory !== null, 'kernel: a TypeScript lwp in a RISC-V process');
    const host = new BodyHost(process, memory);
    const lwp = this.life.addLwp(process, body(host));
    host.belongTo(lwp);
    this.scheduler.enqueue(lwp);
    return lwp;
  }

  /** An empty space of the kind all processes of this width have, or null: no frames. */
  createSpace(xlen: 32 | 64): VmSpace | null {
    return this.#createSpace(xlen, this.vm.processSpaces);
  }

  /** The same for a guest of a process: it is only counted elsewhere. */
  createGuestSpace(xlen: 32 | 64): VmSpace | null {
    return this.#createSpace(xlen, this.vm.guestSpaces);
  }

  #createSpace(xlen: 32 | 64, counters: SpaceCounters): VmSpace | null {
    const { mmu32, mmu64, vpte32, vpte64 } = this.#options;
    const space = this.vm.createSpace(xlen === 32 ? mmu32 : mmu64, xlen, counters);
    if (space !== null) space.vpteFormat = xlen === 32 ? vpte32 : vpte64;
    return space;
  }

  /** What AT_RANDOM of the next program is made from: 1, 2, ... */
  nextSeed(): number {
    return ++this.#programs;
  }

  #programs = 0;

  // ------------------------------------------------------------------------------------------------- scheduling

  /** Runs until every process has ended. Those that can never run again are ended, and the log says what each waited for. */
  run(): void {
    do {
      while (this.step()) {
        // one slice after the other
      }
    } while (this.endDeadlock());
  }

  /**
   * Gives the next lwp its slice, or lets time pass until there is one.
   * @returns false: nobody can ever run again, because all have ended, or each waits for another
   */
  step(): boolean {
    this.#poll();
    const lwp = this.#nextReady();
    if (lwp === null) return this.#idle();
    const { process } = lwp;
    const { machine, counters, scheduler } = this;
    const { clock, hart } = machine;
    const { timers } = process;
    if (machine.harts > 1) machine.select(counters.steps % machine.harts);
    counters.steps++;
    const start = clock.now();
    const before = hart.retired;
    scheduler.current = lwp;
    this.sliceLeft = this.#timeSlice;
    this.bounded = scheduler.ready > 0;
    this.boundSlice();
    if (lwp.program === null) this.#stepHart(lwp);
    else this.#stepBody(lwp, lwp.program);
    scheduler.current = null;
    if (lwp.state === 'running') scheduler.enqueue(lwp);
    const user = hart.retired - before;
    timers.charge(user, clock.now() - start - user);
    this.life.reap();
    return this.life.processes.size > 0;
  }

  /** Whether processes are left that nobody will ever wake; they are ended, each with a report of what it waits for. */
  endDeadlock(): boolean {
    this.life.reap();
    let found = false;
    for (const process of this.processes) {
      if (process.exitStatus !== null) continue;
      found = true;
      const waits = process.lwps.map((lwp) => `lwp ${lwp.tid} ${lwp.state === 'stopped' ? 'is stopped' : `waits for ${lwp.why}`}`);
      const refusal = `deadlock: ${process.lwps.length === 0 ? 'no lwp' : waits.join(', ')}`;
      this.end(process, { signal: SIGKILL, faultVa: null, access: 0, pc: null, refusal });
    }
    this.life.reap();
    return found;
  }

  /** Ends the slice of the lwp in its step where the next thing is due. Called again when a system call has set a timer. */
  boundSlice(): void {
    const { current, timers } = this.scheduler;
    const left = current === null ? Infinity : current.process.timers.left;
    const event = Math.min(timers.next, this.vm.nextEvent());
    this.eventAt = Infinity;
    if (left === Infinity && event === Infinity) return;
    const now = this.machine.clock.now();
    this.eventAt = Math.min(event, now + left);
    this.bounded = true;
    this.sliceLeft = Math.min(this.sliceLeft, Math.max(1, this.eventAt - now));
  }

  /** The lwp in its step gives up the rest of its slice. */
  endSlice(): void {
    this.sliceLeft = 0;
    this.bounded = true;
  }

  // ------------------------------------------------------------------------------------------- for system calls

  /** Makes system call `nr` of `process` with the arguments in `args`, as its lwp in its step or else its first. */
  syscall(process: Process, nr: number): number {
    const { current } = this.scheduler;
    return this.#traps.syscall(current?.process === process ? current : (process.lwps[0] as Lwp), nr);
  }

  /** The same for an lwp. For BodyHost. */
  syscallOf(lwp: Lwp, nr: number): number {
    return this.#traps.syscall(lwp, nr);
  }

  /** The argument registers of the next system call. */
  get args(): SyscallArgs {
    return this.#traps.args;
  }

  /** Makes `lwp`, in a system call, wait. @returns what the call returns: it will be made again */
  sleepInCall(lwp: Lwp, wait: CallWait): number {
    const { call } = lwp;
    call.woken = false; // a call that sleeps again was woken for nothing: a signal may end it as before
    call.expired = false;
    call.interrupt = wait.interrupt;
    call.deadline = wait.deadline;
    this.scheduler.sleep(lwp, wait.channel, wait.deadline, wait.why);
    this.endSlice();
    return ASLEEP;
  }

  /** After FAULT_WAIT: `lwp` sleeps until its access is worth another attempt. */
  sleepForPage(lwp: Lwp): void {
    this.scheduler.sleep(lwp, this.vm.waitChannel, Infinity, this.vm.waitChannel < 0 ? 'free memory' : 'a page');
    this.endSlice();
  }

  /** vmspace_ctl(RUN) of the lwp in its step: in the call for a TypeScript program, else by becoming the guest. */
  runGuest(lwp: Lwp, id: number, tf: number, vf: number): number {
    kassert(lwp === this.scheduler.current, 'kernel: RUN of an lwp that does not run');
    if (lwp.program !== null) return this.#runner.runForBody(lwp, id, tf, vf);
    const refused = this.#runner.enterFromHart(lwp, id, tf, vf);
    return refused === 0 ? NO_RESULT : refused;
  }

  /** The hart's floating-point registers belong to nobody's frame any more. */
  forgetExtended(): void {
    this.#runner.forgetExtended();
  }

  /** Ends `process` by its own wish. */
  exit(process: Process, code: number): void {
    this.end(process, { code: code & 0xff });
  }

  /** `lwp` has made an access in `space`, its own, that could not be resolved: a signal, or the end. */
  refuseFault(lwp: Lwp, space: VmSpace, fault: RefusedFault): void {
    const { result } = fault;
    if (result === FAULT_NO_MEMORY) {
      this.killForFault(lwp.process, space, fault);
      return;
    }
    const signal = result === FAULT_INVALID ? SIGSEGV : SIGBUS;
    const code = signal === SIGBUS ? BUS_ADRERR : space.lastRefusal.reason === 'no-entry' ? SEGV_MAPERR : SEGV_ACCERR;
    const { tvalLo, tvalHi } = this.machine.hart; // only a RISC-V program can have a handler
    this.signals.raise(lwp, { signal, code, pid: 0, lo: tvalLo, hi: tvalHi }, statusOf(space, fault, signal));
  }

  /** Ends `process` for a fault in `space`, its own or a guest's, that could not be resolved. */
  killForFault(process: Process, space: VmSpace, fault: RefusedFault): void {
    const { result } = fault;
    this.end(process, statusOf(space, fault, result === FAULT_INVALID ? SIGSEGV : result === FAULT_NO_MEMORY ? SIGKILL : SIGBUS));
  }

  /** Ends `process` from outside, wherever it is: inside a RUN too. It is taken apart before the next step. */
  kill(process: Process): void {
    this.end(process, { signal: SIGKILL, faultVa: null, access: 0, pc: null, refusal: 'from outside' });
  }

  /** Sends `process` a signal from outside. */
  sendSignal(process: Process, signal: number): void {
    this.signals.send(process, { signal, code: SI_USER, pid: 0, lo: 0, hi: 0 });
  }

  /** Gives `process` its exit status. What it holds is given back at the end of the step. */
  end(process: Process, status: ExitStatus): void {
    this.life.end(process, status);
    if (this.scheduler.current?.process === process) this.endSlice();
  }

  /** A message about `process`. */
  log(process: Process, text: string): void {
    this.#options.log?.(`process ${process.pid} (${process.name}): ${text}`);
  }

  assertInvariants(): void {
    const lwps: Lwp[] = [];
    const runners = new Map<GuestSpace, number>();
    for (const process of this.processes) {
      kassert(process.lwps.length > 0 === !process.isTakenApart, 'kernel K1');
      kassert(!process.isTakenApart || (process.exitStatus !== null && process.group === null), 'kernel K2');
      for (const lwp of process.lwps) {
        lwps.push(lwp);
        const { guest } = lwp.run;
        if (guest !== null) runners.set(guest, (runners.get(guest) ?? 0) + 1);
      }
    }
    for (const process of this.processes) {
      process.group?.assertInvariants();
      for (const guest of process.group?.spaces ?? []) kassert(guest.runners === (runners.get(guest) ?? 0), 'kernel K4');
    }
    this.scheduler.assertInvariants(lwps);
    this.vm.assertInvariants();
  }

  // ---------------------------------------------------------------------------------------------------- private

  /** Lets happen what is due. */
  #poll(): void {
    this.vm.poll();
    const { timers } = this.scheduler;
    if (timers.next !== Infinity) timers.fire(this.machine.clock.now());
    this.life.reap();
  }

  /** The next lwp that may run, or null. Those of stopped processes are put aside. */
  #nextReady(): Lwp | null {
    for (;;) {
      const lwp = this.scheduler.dequeue();
      if (lwp === null || !lwp.process.stopped) return lwp;
      lwp.state = 'stopped';
    }
  }

  /** Nobody is ready: lets time pass until something happens. @returns false: nothing ever will */
  #idle(): boolean {
    const { clock } = this.machine;
    const event = Math.min(this.scheduler.timers.next, this.vm.nextEvent());
    if (event === Infinity) return false;
    const wait = Math.max(0, Math.ceil(event - clock.now()));
    clock.charge(wait);
    this.counters.idle += wait;
    return true;
  }

  #stepHart(lwp: Lwp): void {
    const { hart } = this.machine;
    const { process } = lwp;
    this.#runner.forgetExtended();
    lwp.registers.load(hart);
    const space = lwp.run.guest?.space ?? process.space;
    hart.activate(space.context, process.xlen);
    this.#traps.runSlice(lwp);
    lwp.registers.save(hart);
  }

  #stepBody(lwp: Lwp, program: NonNullable<Lwp['program']>): void {
    if (lwp.attention && lwp.call.nr === -1) this.signals.due(lwp); // default actions; what it catches it asks for itself
    if (lwp.process.exitStatus !== null || lwp.process.stopped) return;
    try {
      const step = program.next();
      if (step.done === true) this.life.exitLwp(lwp, step.value);
    } catch (error) {
      if (!(error instanceof ProcessEnded)) throw error;
      kassert(lwp.process.exitStatus !== null || lwp.state === 'ended', 'kernel: a live body was unwound');
    }
  }
}

/** The exit status of who made `fault` in `space` and had no handler. */
function statusOf(space: VmSpace, fault: RefusedFault, signal: number): Killed {
  const { va, access, pc } = fault;
  const { reason, level } = space.lastRefusal;
  const refusal = level < 0 ? reason : `virtual page table: ${reason} at level ${level}`;
  return { signal, faultVa: va, access, pc, refusal };
}
