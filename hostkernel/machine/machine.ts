/** Machine: the hardware put together. It knows nothing of kernels; a kernel gets it as one record, of type Hardware. */

import type { HostFrame } from '../base/units.ts';
import type { BlockDevice } from './block-device.ts';
import { Clock } from './clock.ts';
import { Console, type ConsoleIo } from './console.ts';
import type { Hardware } from './hardware.ts';
import { Mmu, MmuContext } from './mmu.ts';
import type { PageTableFormat } from './paging/format.ts';
import { Ram } from './ram.ts';
import { CodeCache } from './riscv/code-cache.ts';
import { Hart } from './riscv/hart.ts';

export interface MachineOptions {
  /** Bytes of RAM, rounded up to 64 KiB. */
  readonly ramBytes: number;
  /** Who is at the console; nobody by default. */
  readonly console?: ConsoleIo;
  /** Processors, 1 to 4; 1 by default. One of them runs at a time, the one selected last. */
  readonly harts?: number;
  /** A disk; none by default. */
  readonly disk?: BlockDevice;
}

export class Machine implements Hardware {
  readonly ram: Ram;
  readonly mmu: Mmu;
  readonly hart: Hart;
  readonly clock: Clock;
  readonly console: Console;
  readonly harts: number;
  readonly userLimit = Infinity;
  readonly disk: BlockDevice | null;

  private constructor(ram: Ram, console: Console, harts: number, disk: BlockDevice | null) {
    const code = new CodeCache(ram.frames);
    this.ram = ram;
    this.mmu = new Mmu(ram, code, harts);
    this.hart = new Hart(this.mmu, code);
    this.clock = new Clock(this.hart);
    this.hart.clock = this.clock;
    this.console = console;
    this.harts = harts;
    this.disk = disk;
  }

  /** A machine that has just been switched on; null when there is no memory of that size to be had. */
  static create(options: MachineOptions): Machine | null {
    const ram = Ram.create(options.ramBytes);
    return ram === null ? null : new Machine(ram, new Console(options.console), options.harts ?? 1, options.disk ?? null);
  }

  select(k: number): void {
    if (k === this.hart.id) return;
    this.mmu.select(k);
    this.hart.select(k);
  }

  createContext(format: PageTableFormat, root: HostFrame): MmuContext {
    return new MmuContext(this.mmu, format, root);
  }

  delegate(): void {
    // nobody is below
  }

  /** A real trap costs what the clock is charged for it, and no more. */
  trapFromBody(): void {
    // nothing is executed
  }
}
