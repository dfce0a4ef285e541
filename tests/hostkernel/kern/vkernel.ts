/** The smallest vkernel: a memory image with page tables at its start, and guests that see frames of it. For tests. */

import { READ, WRITE, EXEC } from '../../../hostkernel/base/units.ts';
import {
  type Host,
  MADV_SETMAP,
  MAP_ANON,
  MAP_FIXED,
  MAP_SHARED,
  MAP_VPAGETABLE,
  SYS_ftruncate,
  SYS_memfd_create,
  SYS_mmap,
  SYS_vmspace_create,
  SYS_vmspace_mcontrol,
  SYS_vmspace_mmap,
  TF_BUDGET,
  TF_PC,
  TF_TRAPNO,
  TF_X,
} from '../../../hostkernel/kern/index.ts';
import { compileLayout, type PageTableFormat, VPTE_32_NX, VPTE_64_NX } from '../../../hostkernel/machine/index.ts';
import { runGuest } from './boot.ts';

const RW = READ | WRITE;
export const IMAGE_PAGES = 256;

export class TestVkernel {
  readonly host: Host;
  readonly fd: number;
  /** Linear view of the image. */
  readonly window: number;
  /** Frames of trap and extended registers. */
  readonly tf: number;
  readonly vf: number;
  readonly #format: PageTableFormat;
  #nextFrame = 0;

  constructor(host: Host) {
    this.host = host;
    this.#format = compileLayout(host.xlen === 32 ? VPTE_32_NX : VPTE_64_NX);
    this.fd = this.call(SYS_memfd_create, 0, 0);
    this.call(SYS_ftruncate, this.fd, IMAGE_PAGES * 4096);
    this.window = this.call(SYS_mmap, 0, IMAGE_PAGES * 4096, RW, MAP_SHARED, this.fd, 0);
    this.tf = this.call(SYS_mmap, 0, 4096, RW, MAP_SHARED | MAP_ANON, -1, 0);
    this.vf = this.tf + 2048;
  }

  /** A system call that must succeed. */
  call(nr: number, ...args: readonly number[]): number {
    const [a0, a1, a2, a3, a4, a5, a6] = args;
    const result = this.host.syscall(nr, a0, a1, a2, a3, a4, a5, a6);
    if (result < 0) throw new Error(`system call ${nr}: ${result}`);
    return result;
  }

  /** A frame of the image that nobody has used. */
  newFrame(): number {
    return this.#nextFrame++;
  }

  /** Address of a frame in the linear view. */
  at(frame: number): number {
    return this.window + frame * 4096;
  }

  /** A space with key `id`, translated by tables whose root table is returned. */
  newSpace(id: number): number {
    const root = this.newFrame();
    this.call(SYS_vmspace_create, id, 0, 0);
    const flags = MAP_SHARED | MAP_FIXED | MAP_VPAGETABLE;
    this.call(SYS_vmspace_mmap, id, 0, this.host.userEnd, RW | EXEC, flags, this.fd, 0);
    this.call(SYS_vmspace_mcontrol, id, 0, this.host.userEnd, MADV_SETMAP, root * 4096 + 3);
    return root;
  }

  /** Address, in the linear view, of the leaf entry of `va` below the root table `root`; tables are made on the way. */
  entry(root: number, va: number): number {
    const format = this.#format;
    const page = Math.floor(va / 4096);
    let table = root;
    for (let level = format.levels - 1; level > 0; level--) {
      const at = this.at(table) + format.index(level, page) * format.entryBytes;
      const lo = this.host.memory.load32(at);
      if (lo === 0) {
        table = this.newFrame();
        this.host.memory.store32(at, table * 4096 + 3);
      } else table = lo >>> 12;
    }
    return this.at(table) + format.index(0, page) * format.entryBytes;
  }

  /** Enters `frame` at `va`: V, RW or not, NX or not. */
  enter(root: number, va: number, frame: number, rights = RW | EXEC): void {
    const value = frame * 4096 + 1 + ((rights & WRITE) === 0 ? 0 : 2) + ((rights & EXEC) === 0 ? 0x800 : 0);
    this.host.memory.store32(this.entry(root, va), value);
  }

  /** Puts a program into a new frame at `va`. */
  load(root: number, va: number, words: readonly number[]): void {
    const frame = this.newFrame();
    for (const [i, word] of words.entries()) this.host.memory.store32(this.at(frame) + 4 * i, word);
    this.enter(root, va, frame);
  }

  /** Sets pc, and everything else to 0. */
  reset(pc: number, budget = 0): void {
    this.host.memory.fill(this.tf, 4096, 0);
    this.host.memory.store64(this.tf + TF_PC, pc);
    this.host.memory.store64(this.tf + TF_BUDGET, budget);
  }

  x(i: number): number {
    return this.host.memory.load32(this.tf + TF_X + 8 * i);
  }

  setX(i: number, value: number): void {
    this.host.memory.store64(this.tf + TF_X + 8 * i, value);
  }

  get pc(): number {
    return this.host.memory.load64(this.tf + TF_PC);
  }

  /** RUN without another process around. @returns the trap */
  run(id: number): number {
    const result = this.host.run(id, this.tf, this.vf);
    if (result !== 0) throw new Error(`RUN: ${result}`);
    return this.host.memory.load32(this.tf + TF_TRAPNO);
  }

  /** RUN, giving way where another process is due. @returns the trap */
  *runPolitely(id: number): Generator<undefined, number, void> {
    const result = yield* runGuest(this.host, id, this.tf, this.vf);
    if (result !== 0) throw new Error(`RUN: ${result}`);
    return this.host.memory.load32(this.tf + TF_TRAPNO);
  }
}
