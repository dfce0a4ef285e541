/** One small machine with a VM and a space, and the accesses a program would make: what every VM test starts from. */

import { Tracer } from '../../../hostkernel/base/trace.ts';
import { type Access, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { type BlockDevice, compileLayout, layoutByName, Machine, type PageTableFormat } from '../../../hostkernel/machine/index.ts';
import {
  FAULT_OK,
  MADV_INVAL,
  MADV_SETMAP,
  MAP_ANON,
  MAP_SHARED,
  MAP_VPAGETABLE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  Vm,
  type VmObject,
  type VmSpace,
} from '../../../hostkernel/vm/index.ts';

export const RW = PROT_READ | PROT_WRITE;
export const RWX = PROT_READ | PROT_WRITE | PROT_EXEC;
export const MIB = 2 ** 20;

export function formatOf(name: string): PageTableFormat {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return compileLayout(layout);
}

export interface RigOptions {
  readonly frames?: number; // of the machine; 256 by default
  readonly mmu?: string; //    layout of the real page tables; sv39 by default
  readonly vpte?: string; //   layout of virtual page tables
  readonly xlen?: 32 | 64;
  readonly disk?: BlockDevice | null; // to swap to; none by default
}

/** A byte read, or the FAULT_* that refused it as a negative number. */
export type Seen = number;

export class Rig {
  readonly machine: Machine;
  readonly tracer = new Tracer();
  readonly vm: Vm;
  readonly space: VmSpace;
  readonly #mmu: PageTableFormat;
  readonly #xlen: 32 | 64;
  readonly #vpte: string | undefined;

  constructor(options: RigOptions = {}) {
    const machine = Machine.create({ ramBytes: (options.frames ?? 256) * PAGE_SIZE, ...(options.disk ? { disk: options.disk } : {}) });
    if (machine === null) throw new Error('no memory');
    this.machine = machine;
    this.vm = new Vm(machine, this.tracer);
    this.#mmu = formatOf(options.mmu ?? 'sv39');
    this.#xlen = options.xlen ?? 64;
    this.#vpte = options.vpte;
    this.space = this.newSpace();
  }

  newSpace(): VmSpace {
    const space = this.vm.createSpace(this.#mmu, this.#xlen);
    if (space === null) throw new Error('no frame');
    if (this.#vpte !== undefined) space.vpteFormat = formatOf(this.#vpte);
    return space;
  }

  /** Maps `len` bytes read-write(-exec), shared, through a virtual page table; anonymous memory unless an object is given. */
  mapVpagetable(len: number, object: VmObject | null = null, more: { addr?: number; offset?: number; flags?: number } = {}): number {
    return this.space.mmap({
      addr: more.addr ?? 0,
      len,
      prot: RWX,
      flags: MAP_SHARED | MAP_VPAGETABLE | (object === null ? MAP_ANON : 0) | (more.flags ?? 0),
      object,
      offset: more.offset ?? 0,
    });
  }

  /** Offset for an access, faulting as the hardware would; -FAULT_* where it is refused. */
  touch(va: number, access: Access, space: VmSpace = this.space): number {
    const offset = space.context.lookup(va, access);
    if (offset >= 0) return offset;
    const result = space.faultNow(va, access);
    if (result !== FAULT_OK) return -result;
    const found = space.context.lookup(va, access);
    if (found < 0) throw new Error(`a resolved fault does not help: ${va} ${access}`);
    return found;
  }

  load8(va: number, space: VmSpace = this.space): Seen {
    const offset = this.touch(va, READ, space);
    return offset < 0 ? offset : this.machine.ram.u8[offset];
  }

  load32(va: number, space: VmSpace = this.space): Seen {
    const offset = this.touch(va, READ, space);
    return offset < 0 ? offset : this.machine.ram.u32[offset / 4];
  }

  /** Returns 0, or the -FAULT_* that refused. */
  store32(va: number, value: number, space: VmSpace = this.space): number {
    const offset = this.touch(va, WRITE, space);
    if (offset < 0) return offset;
    this.machine.ram.u32[offset / 4] = value;
    return 0;
  }

  setMap(addr: number, len: number, root: number): number {
    return this.space.mcontrol(addr, len, MADV_SETMAP, root);
  }

  inval(addr: number, len: number): number {
    return this.space.mcontrol(addr, len, MADV_INVAL, 0);
  }
}
