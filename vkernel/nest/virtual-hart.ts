/**
 * VirtualHart: the processor of a kernel that is a process. It runs its guests by vmspace_ctl(RUN) of the host.
 *
 *   run:    registers --> struct trapframe, vextframe in our memory --> RUN --> registers, cause
 *   ecall:  a TypeScript program of this kernel makes a system call: the stub's `ecall` is executed in its space
 *
 * The kernel's own work is TypeScript, as is that of its TypeScript programs; what crosses between guest and kernel is
 * not. So the number of entries into the kernels below is the number that the same kernel in machine code would need:
 * a system call of a process at depth d is one trap out and one RUN in at depth d - 1, and each of those two is a trap
 * or a system call there: 2^d entries into the outermost kernel.
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { type Access, READ, WRITE } from '../../hostkernel/base/units.ts';
import {
  type Host,
  RUN_PREEMPTED,
  TF_ACCESS,
  TF_BUDGET,
  TF_FLAGS,
  TF_PC,
  TF_TRAPNO,
  TF_TVAL,
  VF_CLEAN,
  VF_DIRTY,
  VF_F,
  VF_FCSR,
  VF_FLAGS,
} from '../../hostkernel/kern/index.ts';
import { type Processor, TRAP_BUDGET, TRAP_ECALL, TRAP_PREEMPTED, type TranslationContext } from '../../hostkernel/machine/index.ts';
import type { Invalidations } from './invalidations.ts';
import type { VirtualContext } from './virtual-context.ts';

const TWO32 = 2 ** 32;

/** Where the frames are: addresses in the process's memory, all in one page. */
export interface FramePlaces {
  readonly tf: number;
  readonly vf: number;
  readonly stubTf: number;
  /** Address of the stub's ecall in every guest space. */
  readonly stub: number;
}

export class VirtualHart implements Processor {
  readonly id = 0;
  readonly x = new Int32Array(64);
  readonly f = new Int32Array(64);
  fcsr = 0;
  fpDirty = false;
  pcLo = 0;
  pcHi = 0;
  retired = 0;
  tvalLo = 0;
  tvalHi = 0;
  access: Access = READ;
  readonly xlen: 32 | 64;
  /** The host wants the processor back: nothing runs here until `resume`. */
  preempted = false;
  readonly #host: Host;
  readonly #memory: Host['memory'];
  readonly #words: Int32Array;
  readonly #places: FramePlaces;
  readonly #invalidations: Invalidations;
  readonly #framed = new Int32Array(65); // f and fcsr as the vextframe has them
  #context: VirtualContext | null = null;

  constructor(host: Host, places: FramePlaces, invalidations: Invalidations) {
    this.#host = host;
    this.#memory = host.memory;
    this.#words = host.memory.words;
    this.#places = places;
    this.#invalidations = invalidations;
    this.xlen = host.xlen;
  }

  get pc(): number {
    return (this.pcHi >>> 0) * TWO32 + (this.pcLo >>> 0);
  }

  setPc(pc: number): void {
    this.pcLo = pc & ~1;
    this.pcHi = ((pc - (pc >>> 0)) / TWO32) | 0;
  }

  get tval(): number {
    return (this.tvalHi >>> 0) * TWO32 + (this.tvalLo >>> 0);
  }

  activate(context: TranslationContext, xlen: 32 | 64): void {
    kassert(xlen === this.xlen, 'nest: the host runs guests of its own width only');
    this.#context = context as VirtualContext; // the only contexts this machine makes
  }

  run(budget: number): number {
    const context = this.#context;
    kassert(context !== null, 'hart: no address space');
    if (budget <= 0) return TRAP_BUDGET;
    if (this.preempted) return TRAP_PREEMPTED;
    if (this.#invalidations.count > 0) this.#invalidations.flush();
    context.hosted = true;
    const { tf, vf } = this.#places;
    this.#fill(this.#memory.translate(tf, WRITE) >>> 2, budget);
    this.#fillExtended(this.#memory.translate(vf, WRITE) >>> 2);
    const result = this.#host.run(context.id, tf, vf);
    kassert(result === 0 || result === RUN_PREEMPTED, 'nest: a RUN was refused');
    this.#takeExtended(this.#memory.translate(vf, READ) >>> 2);
    return this.#take(this.#memory.translate(tf, READ) >>> 2, budget, result);
  }

  /** Executes an ecall in `context`, and takes its trap. If the host wants the processor back, that happens first. */
  ecall(context: VirtualContext): void {
    if (this.preempted) return;
    if (this.#invalidations.count > 0) this.#invalidations.flush();
    context.hosted = true;
    const { stubTf, stub, vf } = this.#places;
    const words = this.#words;
    const at = this.#memory.translate(stubTf, WRITE) >>> 2;
    words[at + (TF_PC >>> 2)] = stub;
    words[at + (TF_PC >>> 2) + 1] = stub / TWO32;
    words[at + (TF_FLAGS >>> 2)] = 0;
    words[(this.#memory.translate(vf, WRITE) + VF_FLAGS) >>> 2] = VF_CLEAN;
    const result = this.#host.run(context.id, stubTf, vf);
    if (result === RUN_PREEMPTED) {
      this.preempted = true;
      return;
    }
    kassert(result === 0, 'nest: a RUN was refused');
    const trapno = words[(this.#memory.translate(stubTf, READ) + TF_TRAPNO) >>> 2];
    kassert(trapno === TRAP_ECALL || trapno === 0, 'nest: the stub did not trap');
  }

  loadX(at: number): void {
    const words = this.#words;
    for (let i = 2; i < 64; i++) this.x[i] = words[at + i];
  }

  storeX(at: number): void {
    const words = this.#words;
    for (let i = 2; i < 64; i++) words[at + i] = this.x[i];
  }

  loadF(at: number): void {
    const words = this.#words;
    for (let i = 0; i < 64; i++) this.f[i] = words[at + i];
  }

  storeF(at: number): void {
    const words = this.#words;
    for (let i = 0; i < 64; i++) words[at + i] = this.f[i];
  }

  /** Nothing to do: whoever got the offset of a frame for writing has made the host forget its code. */
  invalidateCode(): void {
    // see above
  }

  /** @param at word index of the trapframe */
  #fill(at: number, budget: number): void {
    this.storeX(at);
    const words = this.#words;
    words[at + (TF_PC >>> 2)] = this.pcLo;
    words[at + (TF_PC >>> 2) + 1] = this.pcHi;
    words[at + (TF_FLAGS >>> 2)] = 0;
    words[at + (TF_BUDGET >>> 2)] = budget;
    words[at + (TF_BUDGET >>> 2) + 1] = budget / TWO32;
  }

  /** Takes the registers back. @returns the cause */
  #take(at: number, budget: number, result: number): number {
    this.loadX(at);
    const words = this.#words;
    this.pcLo = words[at + (TF_PC >>> 2)];
    this.pcHi = words[at + (TF_PC >>> 2) + 1];
    const left = (words[at + (TF_BUDGET >>> 2) + 1] >>> 0) * TWO32 + (words[at + (TF_BUDGET >>> 2)] >>> 0);
    this.retired += budget - left;
    if (result === RUN_PREEMPTED) {
      this.preempted = true;
      return TRAP_PREEMPTED;
    }
    const cause = words[at + (TF_TRAPNO >>> 2)];
    if (cause === 0) return left === 0 ? TRAP_BUDGET : TRAP_PREEMPTED; // a signal for this process: its next yield
    this.tvalLo = words[at + (TF_TVAL >>> 2)];
    this.tvalHi = words[at + (TF_TVAL >>> 2) + 1];
    this.access = words[at + (TF_ACCESS >>> 2)];
    if (cause === TRAP_ECALL) this.setPc(this.pc - 4); // RUN reports the next instruction
    return cause;
  }

  /** Writes the extended frame if the kernel has changed what it holds. */
  #fillExtended(at: number): void {
    const words = this.#words;
    const framed = this.#framed;
    let same = framed[64] === this.fcsr;
    for (let i = 0; same && i < 64; i++) same = framed[i] === this.f[i];
    words[at + (VF_FLAGS >>> 2)] = same ? VF_CLEAN : 0;
    if (same) return;
    this.storeF(at + (VF_F >>> 2));
    words[at + (VF_FCSR >>> 2)] = this.fcsr;
    framed.set(this.f);
    framed[64] = this.fcsr;
  }

  #takeExtended(at: number): void {
    const words = this.#words;
    if ((words[at + (VF_FLAGS >>> 2)] & VF_DIRTY) === 0) return;
    this.loadF(at + (VF_F >>> 2));
    this.fcsr = words[at + (VF_FCSR >>> 2)];
    this.#framed.set(this.f);
    this.#framed[64] = this.fcsr;
    this.fpDirty = true;
  }
}
