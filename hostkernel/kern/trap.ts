/**
 * Traps: what ends the hart's run, and what the kernel does about it.
 *
 *   cause          outside a RUN                                inside a RUN of a RISC-V vkernel
 *   ecall          system call, result to a0                    RUN ends
 *   page fault     VmSpace.fault; else SIGSEGV, SIGBUS          VmSpace.fault; else RUN ends
 *                  no frame: SIGKILL; page-in: sleep            no frame: SIGKILL; page-in: sleep
 *   breakpoint     SIGTRAP                                      RUN ends
 *   illegal        SIGILL                                       RUN ends
 *   misaligned     SIGBUS (LR, SC and AMOs only)                RUN ends
 *   budget         slice is over                                slice is over, or RUN ends
 *   signal due     handler, or default action                   RUN ends with trapno 0; then the handler
 *
 * Guests of TypeScript vkernels do not come here: run.ts.
 */

import { EINTR, ENOSYS } from '../base/errno.ts';
import { type Processor, TRAP_BREAKPOINT, TRAP_BUDGET, TRAP_ECALL, TRAP_ILLEGAL, TRAP_PREEMPTED } from '../machine/index.ts';
import { FAULT_OK, FAULT_WAIT } from '../vm/index.ts';
import { BUS_ADRALN, ILL_ILLOPC, SA_RESTART, SIGBUS, SIGILL, SIGTRAP, TRAP_BRKPT } from './abi.ts';
import { FAULT_NS, SYSCALL_NS } from './costs.ts';
import type { HostKernel } from './kernel.ts';
import { INTERRUPT_RESTARTS, type Lwp } from './lwp.ts';
import type { Process } from './process.ts';
import type { GuestSpace } from './space-group.ts';
import { GUEST_GOES_ON, GUEST_WAITS, type GuestRunner, isPageFault } from './run.ts';
import { enterHandler } from './signal-frame.ts';
import { SYSCALL_ARGS, SyscallArgs } from './syscall-args.ts';
import { ASLEEP, NO_RESULT } from './syscall-result.ts';
import { SYSCALL_END, SYSCALL_TABLE } from './syscall-table.ts';
import { writeRemainder } from './sys-time.ts';

const TWO32 = 2 ** 32;
const A0 = 20; // word index of x10 in Hart.x
const A7 = 34;

export class Traps {
  readonly args = new SyscallArgs();
  readonly #kernel: HostKernel;
  readonly #runner: GuestRunner;
  readonly #hart: Processor;

  constructor(kernel: HostKernel, runner: GuestRunner) {
    this.#kernel = kernel;
    this.#runner = runner;
    this.#hart = kernel.machine.hart;
  }

  /** Runs `lwp`, whose registers and space are in the hart, to the end of its slice or of its process. Hot. */
  runSlice(lwp: Lwp): void {
    const kernel = this.#kernel;
    const hart = this.#hart;
    const { clock } = kernel.machine;
    const { process, run } = lwp;
    if (lwp.call.nr !== -1) this.#resume(lwp);
    while (kernel.sliceLeft > 0 && process.exitStatus === null) {
      if (lwp.attention && !this.#takeSignal(lwp)) return;
      const { guest } = run;
      const limit = guest !== null && run.left < kernel.sliceLeft ? run.left : kernel.sliceLeft;
      const before = hart.retired;
      const cause = hart.run(limit);
      const done = hart.retired - before;
      kernel.sliceLeft -= done + 1; // a trap costs one, so that a slice ends
      run.left -= done;
      if (cause === TRAP_PREEMPTED) {
        kernel.endSlice();
        return;
      }
      if (cause !== TRAP_BUDGET) kernel.counters.entries++;
      if (guest === null) this.#userTrap(lwp, cause);
      else this.#guestTrap(lwp, guest, cause);
      if (kernel.eventAt !== Infinity && clock.now() >= kernel.eventAt) return;
    }
  }

  /**
   * Makes system call `nr` with the arguments in `args`. Hot.
   * @returns a value >= 0, -errno, RUN_PREEMPTED, NO_RESULT or ASLEEP
   */
  syscall(lwp: Lwp, nr: number): number {
    const kernel = this.#kernel;
    kernel.counters.syscalls++;
    kernel.machine.clock.charge(SYSCALL_NS);
    if (lwp.state === 'asleep') kernel.scheduler.rouse(lwp); // a TypeScript program that has not yielded
    if (lwp.call.nr !== -1 && !this.#mayRepeat(lwp, nr)) return -EINTR;
    const call = nr >= 0 && nr < SYSCALL_END ? SYSCALL_TABLE[nr] : null;
    if (call === null || call === undefined) return this.#unknown(lwp.process, nr);
    const result = call.handler(lwp.process, this.args, lwp);
    if (result === ASLEEP) lwp.call.nr = nr;
    else if (lwp.call.nr !== -1) forgetCall(lwp);
    return result;
  }

  #userTrap(lwp: Lwp, cause: number): void {
    if (cause === TRAP_ECALL) this.#ecall(lwp);
    else if (isPageFault(cause)) this.#pageFault(lwp);
    else if (cause === TRAP_ILLEGAL) {
      this.#raise(lwp, SIGILL, ILL_ILLOPC, `illegal instruction 0x${this.#hart.tval.toString(16)}`);
    } else if (cause === TRAP_BREAKPOINT) this.#raise(lwp, SIGTRAP, TRAP_BRKPT, 'breakpoint');
    else if (cause !== TRAP_BUDGET) {
      this.#raise(lwp, SIGBUS, BUS_ADRALN, `misaligned or impossible access, trap cause ${cause}`);
    }
  }

  #guestTrap(lwp: Lwp, guest: GuestSpace, cause: number): void {
    if (cause === TRAP_BUDGET && lwp.run.left > 0) return;
    if (isPageFault(cause)) {
      const outcome = this.#runner.resolves(lwp.process, guest.space);
      if (outcome === GUEST_WAITS) this.#kernel.sleepForPage(lwp);
      if (outcome === GUEST_GOES_ON || outcome === GUEST_WAITS) return;
    }
    if (lwp.process.exitStatus === null) this.#runner.leaveToHart(lwp, guest, cause);
  }

  #pageFault(lwp: Lwp): void {
    const hart = this.#hart;
    const kernel = this.#kernel;
    const { space } = lwp.process;
    const va = hart.tval;
    kernel.counters.userFaults++;
    kernel.machine.clock.charge(FAULT_NS);
    const result = space.fault(va, hart.access);
    if (result === FAULT_OK) return;
    if (result === FAULT_WAIT) kernel.sleepForPage(lwp);
    else kernel.refuseFault(lwp, space, { result, va, access: hart.access, pc: hart.pc });
  }

  /** A trap that is no page fault becomes a signal. The address it reports is pc, but for a misaligned access. */
  #raise(lwp: Lwp, signal: number, code: number, refusal: string): void {
    const { pc, pcLo, pcHi, tvalLo, tvalHi } = this.#hart;
    const ofAccess = signal === SIGBUS;
    const info = { signal, code, pid: 0, lo: ofAccess ? tvalLo : pcLo, hi: ofAccess ? tvalHi : pcHi };
    this.#kernel.signals.raise(lwp, info, { signal, faultVa: null, access: 0 as const, pc, refusal });
  }

  /**
   * Takes the next signal that is due, if there is one: out of the RUN first, then to its handler.
   * @returns whether the lwp goes on; false: its process has ended or stopped
   */
  #takeSignal(lwp: Lwp): boolean {
    const { signals } = this.#kernel;
    const { process, run } = lwp;
    const signal = signals.due(lwp);
    if (process.exitStatus !== null || process.stopped) return false;
    if (signal === 0) return true;
    if (run.guest !== null) this.#runner.leaveToHart(lwp, run.guest, TRAP_BUDGET);
    const info = signals.take(lwp, signal);
    if (info !== null) enterHandler(this.#kernel, this.#hart, lwp, info);
    return process.exitStatus === null;
  }

  /** The system call of a RISC-V program: a7 and a0..a6 in, a0 out, pc to the next instruction. */
  #ecall(lwp: Lwp): void {
    const hart = this.#hart;
    const { x } = hart;
    const nr = lwp.process.xlen === 64 && x[A7 + 1] !== 0 ? -1 : x[A7];
    this.#loadArguments(lwp, nr);
    hart.setPc(hart.pc + 4);
    this.#return(lwp, this.syscall(lwp, nr));
  }

  /** Makes the system call again that `lwp` waited in, or ends it because a signal is due. */
  #resume(lwp: Lwp): void {
    const { nr } = lwp.call;
    this.#loadArguments(lwp, nr);
    const hart = this.#hart;
    const kernel = this.#kernel;
    const { call, process } = lwp;
    if (!lwp.attention || call.woken || call.expired) {
      this.#return(lwp, this.syscall(lwp, nr));
      return;
    }
    const signal = kernel.signals.due(lwp);
    if (process.exitStatus !== null || process.stopped) return;
    if (signal === 0) {
      this.#return(lwp, this.syscall(lwp, nr));
      return;
    }
    const restarts = call.interrupt === INTERRUPT_RESTARTS && (process.actions.get(signal).flags & SA_RESTART) !== 0;
    const { done } = call;
    if (done === 0 && !restarts && call.remainderAt !== 0) writeRemainder(process, call, kernel.machine.clock.now());
    forgetCall(lwp);
    if (done > 0) this.#return(lwp, done);
    else if (restarts) hart.setPc(hart.pc - 4);
    else this.#return(lwp, -EINTR);
  }

  /** Puts the arguments of system call `nr` in the registers into `args`. */
  #loadArguments(lwp: Lwp, nr: number): void {
    const { x } = this.#hart;
    const { args } = this;
    const wide = lwp.process.xlen === 64;
    for (let i = 0; i < SYSCALL_ARGS; i++) {
      args.lo[i] = x[A0 + 2 * i];
      args.hi[i] = wide ? x[A0 + 2 * i + 1] : 0;
    }
    if (!wide) this.#widen(nr);
  }

  /** Puts the result of a system call into a0. */
  #return(lwp: Lwp, result: number): void {
    if (result === NO_RESULT || result === ASLEEP) return;
    const { x } = this.#hart;
    x[A0] = result;
    x[A0 + 1] = lwp.process.xlen === 64 ? Math.floor(result / TWO32) : 0;
  }

  /**
   * Whether system call `nr` of `lwp`, which has one that waits, is to be made: another one gives up waiting, the same one
   * is made again unless a signal is due. Only TypeScript programs can call while they wait.
   */
  #mayRepeat(lwp: Lwp, nr: number): boolean {
    const { call } = lwp;
    if (call.nr !== nr) {
      forgetCall(lwp);
      return true;
    }
    if (lwp.program === null || !lwp.attention || call.woken || call.expired) return true;
    if (this.#kernel.signals.due(lwp) === 0) return true;
    forgetCall(lwp);
    return false;
  }

  /** Puts 64-bit arguments of a 32-bit program together. */
  #widen(nr: number): void {
    const call = nr >= 0 && nr < SYSCALL_END ? SYSCALL_TABLE[nr] : null;
    if (call === null || call === undefined) return;
    const { args } = this;
    if (call.pair32 >= 0) args.hi[call.pair32] = args.lo[call.pair32 + 1];
    if (call.pages32 >= 0) args.setNumber(call.pages32, (args.lo[call.pages32] >>> 0) * 4096);
  }

  /** Counts a system call that does not exist, and reports the first of its number. Numbers out of range count as -1. */
  #unknown(process: Process, nr: number): number {
    const { unknownSyscalls } = this.#kernel.counters;
    const key = Number.isInteger(nr) && nr >= 0 && nr < SYSCALL_END ? nr : -1;
    const before = unknownSyscalls.get(key) ?? 0;
    unknownSyscalls.set(key, before + 1);
    if (before === 0) this.#kernel.log(process, `system call ${nr} does not exist`);
    return -ENOSYS;
  }
}

/** The system call of `lwp` that waited is over. */
function forgetCall(lwp: Lwp): void {
  const { call } = lwp;
  call.nr = -1;
  call.deadline = Infinity;
  call.woken = false;
  call.expired = false;
  call.done = 0;
  call.remainderAt = 0;
  lwp.awaited = null;
}
