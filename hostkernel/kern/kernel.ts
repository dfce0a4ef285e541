/**
 * HostKernel: processes, and who runs next.
 *
 *   run -> step: the next lwp gets a time slice -> HartLwp: the hart runs until a trap: trap.ts
 *            |                                  -> BodyLwp: the generator runs until it yields
 *            +-> a process with an exit status is taken apart
 *
 * Round robin, slices in retired instructions, no wall clock: the same programs run in the same order every time. A
 * TypeScript program is not interrupted; it gives way where a guest it runs has used up the slice.
 *
 * Invariants (assertInvariants):
 *   K1  every process that has not been taken apart has one lwp, in the queue or in its step
 *   K2  a process that has been taken apart has an exit status and no guest spaces
 *   K3  the frames of RAM are free, or used by live processes (vm V1..V4)
 */

import { kassert } from '../base/assert.ts';
import { type ElfImage, parseElf } from '../base/elf.ts';
import { ENOEXEC, ENOMEM } from '../base/errno.ts';
import type { Tracer } from '../base/trace.ts';
import type { Access } from '../base/units.ts';
import type { Hardware, PageTableFormat } from '../machine/index.ts';
import { FAULT_INVALID, FAULT_NO_MEMORY, Vm, type VmSpace } from '../vm/index.ts';
import { SIGBUS, SIGKILL, SIGSEGV } from './abi.ts';
import { BodyHost } from './body-host.ts';
import { type ExecRefusal, loadProgram } from './exec.ts';
import { describeExit, type ExitStatus } from './exit-status.ts';
import { FileTable } from './file.ts';
import type { HostBody } from './host.ts';
import { type BodyLwp, type HartLwp, type Lwp, Process } from './process.ts';
import { RegisterFile } from './registers.ts';
import { GuestRunner } from './run.ts';
import { NO_RESULT } from './syscall-result.ts';
import type { SyscallArgs } from './syscall-args.ts';
import { Traps } from './trap.ts';
import { ProcessEnded } from './user-memory.ts';

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
}

export class HostKernel {
  readonly machine: Hardware;
  readonly vm: Vm;
  readonly tracer: Tracer;
  readonly counters: KernelCounters = {
    syscalls: 0,
    unknownSyscalls: new Map(),
    userFaults: 0,
    guestFaults: 0,
    runs: 0,
    entries: 0,
    steps: 0,
  };
  /** Instructions the lwp in its step may still run. */
  sliceLeft = 0;
  /** Whether another lwp waits for the processor. */
  contended = false;
  readonly #options: HostKernelOptions;
  readonly #timeSlice: number;
  readonly #processes: Process[] = [];
  readonly #ready: Lwp[] = [];
  readonly #runner: GuestRunner;
  readonly #traps: Traps;
  #lwp: Lwp | null = null; // in its step

  constructor(options: HostKernelOptions) {
    const { timeSlice = DEFAULT_TIME_SLICE } = options;
    kassert(Number.isInteger(timeSlice) && timeSlice > 0, 'kernel: time slice');
    this.#timeSlice = timeSlice;
    this.#options = options;
    this.machine = options.machine;
    this.tracer = options.tracer;
    this.vm = options.vm ?? new Vm(options.machine, options.tracer);
    if (options.vkernelEnable !== undefined) this.vm.vkernelEnable = options.vkernelEnable;
    this.#runner = new GuestRunner(this);
    this.#traps = new Traps(this, this.#runner);
  }

  /** Every process there ever was, by pid - 1. */
  get processes(): readonly Process[] {
    return this.#processes;
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
    const started = this.#exec(space, image, file, argv, env);
    if ('reason' in started) space.destroy();
    return started;
  }

  /** A process that will run a TypeScript program. Whoever builds the machine sees to it that there is a frame for its page table. */
  spawnBody(name: string, body: HostBody, xlen: 32 | 64): Process {
    const space = this.createSpace(xlen);
    kassert(space !== null, 'kernel: no frame for the first page table');
    const process = this.#enroll(name, space, xlen);
    const host = new BodyHost(process);
    this.#ready.push({ kind: 'body', process, program: body(host), memory: host.memory });
    return process;
  }

  /** An empty space of the kind all processes and guests of this width have, or null: no frames. */
  createSpace(xlen: 32 | 64): VmSpace | null {
    const { mmu32, mmu64, vpte32, vpte64 } = this.#options;
    const space = this.vm.createSpace(xlen === 32 ? mmu32 : mmu64, xlen);
    if (space !== null) space.vpteFormat = xlen === 32 ? vpte32 : vpte64;
    return space;
  }

  // ------------------------------------------------------------------------------------------------- scheduling

  /** Runs until every process has ended. */
  run(): void {
    while (this.step()) {
      // one slice after the other
    }
  }

  /** Gives the next lwp its slice. @returns whether any lwp is left */
  step(): boolean {
    const lwp = this.#ready.shift();
    if (lwp === undefined) return false;
    this.counters.steps++;
    this.sliceLeft = this.#timeSlice;
    this.contended = this.#ready.length > 0;
    this.#lwp = lwp;
    if (lwp.process.exitStatus === null) {
      if (lwp.kind === 'hart') this.#stepHart(lwp);
      else this.#stepBody(lwp);
    }
    this.#lwp = null;
    if (lwp.process.exitStatus === null) this.#ready.push(lwp);
    else this.#takeApart(lwp);
    return this.#ready.length > 0;
  }

  /** The lwp in its step gives up the rest of its slice. */
  endSlice(): void {
    this.sliceLeft = 0;
  }

  // ------------------------------------------------------------------------------------------- for system calls

  /** Makes system call `nr` of `process` with the arguments in `args`. For BodyHost. */
  syscall(process: Process, nr: number): number {
    return this.#traps.syscall(process, nr);
  }

  /** The argument registers of the next system call. */
  get args(): SyscallArgs {
    return this.#traps.args;
  }

  /** vmspace_ctl(RUN) of the process in its step: in the call for a TypeScript program, else by becoming the guest. */
  runGuest(process: Process, id: number, tf: number, vf: number): number {
    const lwp = this.#lwp;
    kassert(lwp !== null && lwp.process === process, 'kernel: RUN of a process that does not run');
    if (lwp.kind === 'body') return this.#runner.runForBody(process, id, tf, vf);
    const refused = this.#runner.enterFromHart(lwp, id, tf, vf);
    return refused === 0 ? NO_RESULT : refused;
  }

  /** Ends `process` by its own wish. */
  exit(process: Process, code: number): void {
    this.end(process, { code: code & 0xff });
  }

  /** Ends `process` for a fault in `space`, its own or a guest's, that could not be resolved. */
  killForFault(process: Process, space: VmSpace, fault: RefusedFault): void {
    const { result, va, access, pc } = fault;
    const signal = result === FAULT_INVALID ? SIGSEGV : result === FAULT_NO_MEMORY ? SIGKILL : SIGBUS;
    const { reason, level } = space.lastRefusal;
    const refusal = level < 0 ? reason : `virtual page table: ${reason} at level ${level}`;
    this.end(process, { signal, faultVa: va, access, pc, refusal });
  }

  /** Ends `process` from outside, wherever it is: inside a RUN too. It is taken apart when its turn comes. */
  kill(process: Process): void {
    this.end(process, { signal: SIGKILL, faultVa: null, access: 0, pc: null, refusal: 'from outside' });
  }

  /** Gives `process` its exit status. What it holds is given back at the end of its step. */
  end(process: Process, status: ExitStatus): void {
    if (process.exitStatus !== null) return;
    process.exitStatus = status;
    if ('signal' in status) this.log(process, describeExit(status));
  }

  /** A message about `process`. */
  log(process: Process, text: string): void {
    this.#options.log?.(`process ${process.pid} (${process.name}): ${text}`);
  }

  assertInvariants(): void {
    const alive = new Set(this.#ready.map((lwp) => lwp.process));
    if (this.#lwp !== null) alive.add(this.#lwp.process);
    kassert(alive.size === this.#ready.length + (this.#lwp === null ? 0 : 1), 'kernel K1');
    for (const process of this.#processes) {
      kassert(alive.has(process) || (process.exitStatus !== null && process.group === null), 'kernel K2');
      process.group?.assertInvariants();
    }
    this.vm.assertInvariants();
  }

  #exec(space: VmSpace, image: ElfImage, file: Uint8Array, argv: readonly string[], env: readonly string[]): Process | ExecRefusal {
    const seed = this.#processes.length + 1;
    const start = loadProgram({ space, userEnd: space.userEnd, image, file, argv, env, seed });
    if ('reason' in start) return start;
    const process = this.#enroll(argv[0] ?? 'program', space, image.xlen);
    process.breakStart = start.breakStart;
    process.breakEnd = start.breakStart;
    const registers = new RegisterFile();
    registers.start(start.pc, start.sp);
    this.#ready.push({ kind: 'hart', process, registers, run: { guest: null, tf: 0, vf: 0, caller: new RegisterFile(), left: 0 } });
    return process;
  }

  #enroll(name: string, space: VmSpace, xlen: 32 | 64): Process {
    const pid = this.#processes.length + 1;
    const process = new Process({ kernel: this, pid, name, xlen, space, files: new FileTable(this.machine.console) });
    this.#processes.push(process);
    return process;
  }

  #stepHart(lwp: HartLwp): void {
    const { hart } = this.machine;
    const { process } = lwp;
    this.#runner.forgetExtended();
    lwp.registers.load(hart);
    const space = lwp.run.guest?.space ?? process.space;
    hart.activate(space.context, process.xlen);
    this.#traps.runSlice(lwp);
    lwp.registers.save(hart);
  }

  #stepBody(lwp: BodyLwp): void {
    try {
      const step = lwp.program.next();
      if (step.done === true) this.exit(lwp.process, step.value);
    } catch (error) {
      if (!(error instanceof ProcessEnded)) throw error;
      kassert(lwp.process.exitStatus !== null, 'kernel: a live body was unwound');
    }
  }

  /** Gives back what an ended process holds: spaces of guests, descriptors, its own space. */
  #takeApart(lwp: Lwp): void {
    const { process } = lwp;
    if (lwp.kind === 'body') lwp.memory.detach();
    process.group?.destroyAll();
    process.group = null;
    process.files.closeAll();
    process.space.destroy();
  }
}
