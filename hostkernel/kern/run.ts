/**
 * GuestRunner: vmspace_ctl(RUN), how a vkernel runs a guest.
 *
 *                       enter                          execute                        leave
 *   struct trapframe  ----------> hart: x1..x31, pc  -----------> trap or budget  ------------> struct trapframe
 *   struct vextframe  -(unless clean and still loaded)-> f, fcsr            -(if changed)-> struct vextframe
 *
 * A guest page fault that the guest's map and virtual page table resolve does not leave: `execute` goes on. One for
 * which only the machine lacks a frame is not reported either, since a vkernel would find its tables in order and try
 * again for ever: the vkernel is killed, as for a fault of its own.
 * For a TypeScript program all three happen within the call. A RISC-V caller is a thread that enters, is then scheduled
 * as the guest (kernel.ts) and leaves at its trap; its own registers wait in GuestRun.caller.
 * Source: DragonFly BSD vmspace_ctl, vkernel_trap. The frames and the budget are ours.
 */

import { EFAULT, EINVAL, ENOENT } from '../base/errno.ts';
import { PAGE_MASK, PAGE_SIZE, READ, WRITE } from '../base/units.ts';
import {
  type Processor,
  TRAP_BREAKPOINT,
  TRAP_BUDGET,
  TRAP_ECALL,
  TRAP_FETCH_PAGE,
  TRAP_LOAD_PAGE,
  TRAP_PREEMPTED,
  TRAP_STORE_PAGE,
} from '../machine/index.ts';
import { FAULT_NO_MEMORY, FAULT_OK, FAULT_WAIT, type VmSpace } from '../vm/index.ts';
import {
  RUN_PREEMPTED,
  SYS_vmspace_ctl,
  TF_ACCESS,
  TF_BUDGET,
  TF_SIZE,
  TF_TRAPNO,
  TF_TVAL,
  VF_CLEAN,
  VF_DIRTY,
  VF_FCSR,
  VF_FLAGS,
  VF_SIZE,
  VMSPACE_CTL_RUN,
} from './abi.ts';
import { FAULT_NS, RUN_NS } from './costs.ts';
import { DelegatedRun, MAX_DELEGATED } from './delegation.ts';
import type { HostKernel } from './kernel.ts';
import type { Lwp } from './lwp.ts';
import type { Process } from './process.ts';
import type { GuestSpace } from './space-group.ts';
import { NO_RESULT } from './syscall-result.ts';

const TWO32 = 2 ** 32;
const A0 = 20; // word index of x10 in Processor.x
const A7 = 34;
const MAX_BUDGET = 2 ** 30; // instructions in one go of the hart

/** `resolves`: what becomes of a page fault of a guest. */
export const GUEST_GOES_ON = 0;
export const GUEST_LEAVES = 1; // its map or its virtual page table refuses, or its vkernel has been killed
export const GUEST_WAITS = 2; // for I/O or memory: Vm.waitChannel

export class GuestRunner {
  readonly #kernel: HostKernel;
  readonly #hart: Processor;
  readonly #words: Int32Array; // the machine's memory
  #fpProcess: Process | null = null; // whose vextframe at #fpVf the floating-point registers of hart #fpHart equal
  #fpVf = 0;
  #fpHart = 0;
  #left = 0; // instructions of the budget of the RUN in progress
  readonly #runs = Array.from({ length: MAX_DELEGATED }, () => new DelegatedRun()); // the stack of RUNs within it
  #delegated = 0; // of them on the stack

  constructor(kernel: HostKernel) {
    this.#kernel = kernel;
    this.#hart = kernel.machine.hart;
    this.#words = kernel.machine.ram.i32;
  }

  /** The floating-point registers of the hart, or the frame they came from, have been overwritten by somebody else. */
  forgetExtended(): void {
    this.#fpProcess = null;
  }

  /** vmspace_ctl(RUN) of a TypeScript program: see sys-vmspace.ts for the contract. Hot: allocates nothing. */
  runForBody(lwp: Lwp, id: number, tf: number, vf: number): number {
    const { process } = lwp;
    const { group } = process;
    if (group === null) return -EINVAL;
    const guest = group.find(id, lwp);
    if (guest === null) return -ENOENT;
    const kernel = this.#kernel;
    if (lwp.state !== 'running') kernel.scheduler.rouse(lwp); // it has not yielded, or gives up a call that waited
    if (lwp.attention && kernel.signals.due(lwp) !== 0) return this.#interrupted(process, tf);
    if (process.exitStatus !== null) return NO_RESULT;
    if (kernel.scheduler.ready > 0) kernel.bounded = true; // this program may have made another ready
    if (kernel.sliceLeft <= 0 && kernel.bounded) return RUN_PREEMPTED;
    const refused = this.#enter(process, tf, vf);
    if (refused !== 0) return refused;

    guest.runners++;
    this.#hart.activate(guest.space.context, process.xlen);
    const cause = this.#execute(lwp, guest);
    guest.runners--;
    kernel.counters.runs++;
    kernel.machine.clock.charge(RUN_NS);
    if (process.exitStatus !== null) return NO_RESULT;
    const preempted = cause === TRAP_BUDGET && this.#left > 0;
    const result = this.#leave(process, tf, vf, cause);
    return result === 0 && preempted ? RUN_PREEMPTED : result;
  }

  /**
   * vmspace_ctl(RUN) of a RISC-V program: from here on the thread is the guest.
   * @returns 0, or -errno and the caller's registers are as they were
   */
  enterFromHart(lwp: Lwp, id: number, tf: number, vf: number): number {
    const { process } = lwp;
    if (process.group === null) return -EINVAL;
    const guest = process.group.find(id, lwp);
    if (guest === null) return -ENOENT;
    const { run } = lwp;
    run.caller.save(this.#hart);
    this.forgetExtended();
    const refused = this.#enter(process, tf, vf);
    if (refused !== 0) {
      run.caller.load(this.#hart);
      return refused;
    }
    guest.runners++;
    this.#hart.activate(guest.space.context, process.xlen);
    run.guest = guest;
    run.tf = tf;
    run.vf = vf;
    run.left = this.#left;
    this.#kernel.counters.runs++;
    this.#kernel.machine.clock.charge(RUN_NS);
    return 0;
  }

  /** Ends the RUN of a RISC-V program with trap `cause`: its own registers return, the result is in a0. */
  leaveToHart(lwp: Lwp, guest: GuestSpace, cause: number): void {
    const { run } = lwp;
    this.#left = run.left;
    const result = this.#leave(lwp.process, run.tf, run.vf, cause);
    guest.runners--;
    run.guest = null;
    this.forgetExtended();
    run.caller.load(this.#hart);
    this.#hart.activate(lwp.process.space.context, lwp.process.xlen);
    this.#hart.x[20] = result;
    this.#hart.x[21] = lwp.process.xlen === 32 ? 0 : result >> 31;
  }

  /**
   * Loads the frames into the hart. Each is located just before its use: the fault of one may move the other.
   * @returns 0; -EINVAL a frame is misaligned or crosses a page; -EFAULT it cannot be read
   */
  #enter(process: Process, tf: number, vf: number): number {
    if (!isPlaced(tf, TF_SIZE) || !isPlaced(vf, VF_SIZE)) return -EINVAL;
    const tfAt = process.space.translate(tf, READ);
    if (tfAt < 0) return -EFAULT;
    this.#loadTrapframe(tfAt >>> 2);
    const fromTf = vf - tf;
    const inPage = fromTf + (tf & PAGE_MASK);
    const vfAt = inPage >= 0 && inPage < PAGE_SIZE ? tfAt + fromTf : process.space.translate(vf, READ); // same page: found already
    if (vfAt < 0) return -EFAULT;
    const flags = this.#words[(vfAt + VF_FLAGS) >>> 2];
    if ((flags & VF_CLEAN) === 0 || this.#fpProcess !== process || this.#fpVf !== vf || this.#fpHart !== this.#hart.id) {
      this.#loadExtended(vfAt >>> 2);
      this.#fpProcess = process;
      this.#fpVf = vf;
      this.#fpHart = this.#hart.id;
    }
    this.#hart.fpDirty = false;
    return 0;
  }

  /**
   * Runs the guest until something happens that is not ours to resolve.
   * @returns the cause; TRAP_BUDGET also at the end of the slice, and where the lwp has been put to sleep for a page
   */
  #execute(lwp: Lwp, first: GuestSpace): number {
    const hart = this.#hart;
    const kernel = this.#kernel;
    let guest = first;
    for (;;) {
      let budget = this.#left < MAX_BUDGET ? this.#left : MAX_BUDGET;
      if (kernel.bounded && kernel.sliceLeft < budget) budget = kernel.sliceLeft;
      if (budget <= 0) {
        if (this.#delegated === 0) return TRAP_BUDGET;
        guest = this.#returnTo(TRAP_BUDGET);
        continue;
      }
      const before = hart.retired;
      const cause = hart.run(budget);
      const done = hart.retired - before;
      this.#left -= done;
      kernel.sliceLeft -= done + 1; // a trap costs one, so that a slice ends
      if (cause === TRAP_BUDGET) continue;
      if (cause === TRAP_PREEMPTED) {
        kernel.endSlice();
        continue;
      }
      kernel.counters.entries++;
      if (isPageFault(cause)) {
        const outcome = this.resolves(lwp.process, guest.space);
        if (outcome === GUEST_WAITS) kernel.sleepForPage(lwp);
        if (outcome !== GUEST_LEAVES) continue;
        if (this.#delegated === 0) return cause;
        guest = this.#runs[this.#delegated - 1].owner as GuestSpace;
        const isBefore = this.#undo();
        if (lwp.process.exitStatus !== null) {
          while (this.#delegated > 0) this.#undo();
          return cause;
        }
        if (!isBefore) continue;
        if (this.#delegated === 0) return TRAP_ECALL;
        guest = this.#returnTo(TRAP_ECALL);
      } else if (cause === TRAP_ECALL && guest.delegates !== null && this.#enterDelegated(guest)) {
        guest = this.#runs[this.#delegated - 1].guest as GuestSpace;
      } else {
        if (this.#delegated === 0) return cause;
        guest = this.#returnTo(cause);
      }
    }
  }

  /** The ecall in the hart, of `owner`: a RUN of a space delegated to it? Then the hart is that guest. */
  #enterDelegated(owner: GuestSpace): boolean {
    const hart = this.#hart;
    if (argument(hart, A7) !== SYS_vmspace_ctl || argument(hart, A0 + 2) !== VMSPACE_CTL_RUN || this.#delegated === MAX_DELEGATED)
      return false;
    const guest = owner.delegates?.get(argument(hart, A0));
    const tf = argument(hart, A0 + 4);
    const vf = argument(hart, A0 + 6);
    if (guest === undefined || !isPlaced(tf, TF_SIZE) || !isPlaced(vf, VF_SIZE)) return false;
    if (owner.space.translate(vf, WRITE) < 0 || owner.space.translate(tf, WRITE) < 0) return false;
    const run = this.#runs[this.#delegated++];
    run.owner = owner;
    run.guest = guest;
    run.tf = tf;
    run.vf = vf;
    run.caller.save(hart);
    run.leftBefore = this.#left;
    run.retiredBefore = hart.retired;
    this.#loadTrapframe(owner.space.translate(tf, READ) >>> 2);
    run.limit = this.#left;
    this.#left = Math.min(this.#left, run.leftBefore);
    this.#loadExtended(owner.space.translate(vf, READ) >>> 2);
    hart.fpDirty = false;
    guest.runners++;
    hart.activate(guest.space.context, hart.xlen);
    this.#kernel.counters.runs++;
    this.#kernel.machine.clock.charge(RUN_NS);
    return true;
  }

  /** Ends the innermost delegated RUN with `cause`: its vkernel goes on behind the ecall. @returns the vkernel's space */
  #returnTo(cause: number): GuestSpace {
    const run = this.#runs[this.#delegated - 1];
    const hart = this.#hart;
    const result = this.#saveDelegated(run, cause);
    run.caller.load(hart);
    hart.setPc(hart.pc + 4);
    hart.x[A0] = result;
    hart.x[A0 + 1] = hart.xlen === 32 ? 0 : result >> 31;
    return this.#pop(run);
  }

  /**
   * Takes the innermost delegated RUN back: its guest's registers are in the frames, its vkernel is at the ecall again.
   * @returns false: the frames are gone, and the guest's registers with them. The vkernel is behind its ecall, and told so
   */
  #undo(): boolean {
    const run = this.#runs[this.#delegated - 1];
    const result = this.#saveDelegated(run, TRAP_BUDGET);
    run.caller.load(this.#hart);
    if (result < 0) {
      this.#hart.setPc(this.#hart.pc + 4);
      this.#hart.x[A0] = result;
      this.#hart.x[A0 + 1] = this.#hart.xlen === 32 ? 0 : -1;
    }
    this.#pop(run);
    return result === 0;
  }

  /** Writes the guest in the hart to the frames of `run`. @returns 0, or -EFAULT */
  #saveDelegated(run: DelegatedRun, cause: number): number {
    const hart = this.#hart;
    const { space } = run.owner as GuestSpace;
    const done = hart.retired - run.retiredBefore;
    this.#left = run.limit - done;
    const tfAt = space.translate(run.tf, WRITE);
    if (tfAt >= 0) this.#storeTrapframe(tfAt >>> 2, cause, hart.xlen);
    this.#left = run.leftBefore - done;
    if (tfAt < 0) return -EFAULT;
    if (!hart.fpDirty) return 0;
    const vfAt = space.translate(run.vf, WRITE);
    if (vfAt < 0) return -EFAULT;
    this.#storeExtended(vfAt >>> 2);
    this.#words[(vfAt + VF_FLAGS) >>> 2] |= VF_DIRTY;
    return 0;
  }

  #pop(run: DelegatedRun): GuestSpace {
    const owner = run.owner as GuestSpace;
    (run.guest as GuestSpace).runners--;
    this.#hart.activate(owner.space.context, this.#hart.xlen);
    this.#delegated--;
    return owner;
  }

  /**
   * Resolves the page fault in the hart, of a guest of `process` in `space`. Hot.
   * @returns GUEST_*
   */
  resolves(process: Process, space: VmSpace): number {
    const kernel = this.#kernel;
    const hart = this.#hart;
    kernel.counters.guestFaults++;
    kernel.machine.clock.charge(FAULT_NS);
    const result = space.fault(hart.tval, hart.access);
    if (result === FAULT_OK) return GUEST_GOES_ON;
    if (result === FAULT_WAIT) return GUEST_WAITS;
    if (result === FAULT_NO_MEMORY) kernel.killForFault(process, space, { result, va: hart.tval, access: hart.access, pc: hart.pc });
    return GUEST_LEAVES;
  }

  /** A signal is due before the guest has run: nothing but trapno changes. @returns 0, or -errno of a bad frame */
  #interrupted(process: Process, tf: number): number {
    if (!isPlaced(tf, TF_SIZE)) return -EINVAL;
    const tfAt = process.space.translate(tf, WRITE);
    if (tfAt < 0) return -EFAULT;
    this.#words[(tfAt + TF_TRAPNO) >>> 2] = 0;
    return 0;
  }

  /** Writes the hart back to the frames, the extended one if it changed. @returns 0, or -EFAULT */
  #leave(process: Process, tf: number, vf: number, cause: number): number {
    const tfAt = process.space.translate(tf, WRITE);
    if (tfAt < 0) return this.#lost();
    this.#storeTrapframe(tfAt >>> 2, cause, process.xlen);
    if (!this.#hart.fpDirty) return 0;
    const vfAt = process.space.translate(vf, WRITE);
    if (vfAt < 0) return this.#lost();
    this.#storeExtended(vfAt >>> 2);
    this.#words[(vfAt + VF_FLAGS) >>> 2] |= VF_DIRTY;
    return 0;
  }

  /** A frame could not be written: the hart's state belongs to no frame. */
  #lost(): number {
    this.forgetExtended();
    return -EFAULT;
  }

  /** @param at word index of a struct trapframe */
  #loadTrapframe(at: number): void {
    const words = this.#words;
    const hart = this.#hart;
    hart.loadX(at);
    hart.pcLo = words[at] & ~1;
    hart.pcHi = words[at + 1];
    const budget = at + (TF_BUDGET >>> 2);
    const limit = (words[budget + 1] >>> 0) * TWO32 + (words[budget] >>> 0);
    this.#left = limit === 0 ? Infinity : limit;
  }

  #storeTrapframe(at: number, cause: number, xlen: 32 | 64): void {
    const words = this.#words;
    const hart = this.#hart;
    hart.storeX(at);
    let pcLo = hart.pcLo;
    let pcHi = hart.pcHi;
    if (cause === TRAP_ECALL) {
      pcLo = (pcLo + 4) | 0;
      if (pcLo >= 0 && pcLo < 4) pcHi = (pcHi + 1) | 0; // carried
    }
    words[at] = pcLo;
    words[at + 1] = pcHi;
    if (xlen === 32) for (let i = 1; i < 64; i += 2) words[at + i] = 0;

    const hasValue = cause !== TRAP_ECALL && cause !== TRAP_BREAKPOINT && cause !== TRAP_BUDGET;
    words[at + (TF_TRAPNO >>> 2)] = cause === TRAP_BUDGET ? 0 : cause;
    words[at + (TF_ACCESS >>> 2)] = isPageFault(cause) ? hart.access : 0;
    words[at + (TF_TVAL >>> 2)] = hasValue ? hart.tvalLo : 0;
    words[at + (TF_TVAL >>> 2) + 1] = hasValue ? hart.tvalHi : 0;
    if (this.#left === Infinity) return;
    const budget = at + (TF_BUDGET >>> 2);
    words[budget] = this.#left;
    words[budget + 1] = this.#left < TWO32 ? 0 : this.#left / TWO32;
  }

  /** @param at word index of a struct vextframe */
  #loadExtended(at: number): void {
    const words = this.#words;
    this.#hart.loadF(at);
    this.#hart.fcsr = words[at + (VF_FCSR >>> 2)] & 0xff;
  }

  #storeExtended(at: number): void {
    const words = this.#words;
    this.#hart.storeF(at);
    words[at + (VF_FCSR >>> 2)] = this.#hart.fcsr;
  }
}

/** The register at word `at` of Processor.x, unsigned. From 2^53 on the nearest double: no check lets that pass. */
function argument(hart: Processor, at: number): number {
  return (hart.xlen === 64 ? (hart.x[at + 1] >>> 0) * TWO32 : 0) + (hart.x[at] >>> 0);
}

/** Whether `cause` is a page fault: address and access are in the hart. */
export function isPageFault(cause: number): boolean {
  return cause === TRAP_LOAD_PAGE || cause === TRAP_STORE_PAGE || cause === TRAP_FETCH_PAGE;
}

/** Whether a frame of `size` bytes at `va` is 8-byte aligned and stays within a page. */
function isPlaced(va: number, size: number): boolean {
  return (va & 7) === 0 && (va & PAGE_MASK) <= PAGE_SIZE - size;
}
