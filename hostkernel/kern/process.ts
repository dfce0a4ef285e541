/**
 * Process: an address space, descriptors, a vkernel group, and the one thread of control (lwp) that runs in it.
 *
 *   HartLwp   a RISC-V program: registers, in the hart or saved here; perhaps inside a vmspace_ctl(RUN)
 *   BodyLwp   a TypeScript program: a generator that the scheduler steps
 *
 * A process ends by getting an exit status; the kernel takes it apart at the end of its step, never in the middle.
 */

import type { VmSpace } from '../vm/index.ts';
import type { SpaceGroup, GuestSpace } from './space-group.ts';
import type { ExitStatus } from './exit-status.ts';
import type { FileTable } from './file.ts';
import type { HostWait } from './host.ts';
import type { HostKernel } from './kernel.ts';
import type { RegisterFile } from './registers.ts';
import type { ProcessMemory } from './user-memory.ts';

export interface ProcessParts {
  readonly kernel: HostKernel;
  readonly pid: number;
  readonly name: string;
  readonly xlen: 32 | 64;
  readonly space: VmSpace;
  readonly files: FileTable;
}

export class Process {
  readonly kernel: HostKernel;
  readonly pid: number; // > 0
  readonly name: string;
  readonly xlen: 32 | 64;
  readonly space: VmSpace;
  readonly files: FileTable;
  /** The spaces it runs guests in; null until it creates the first. */
  group: SpaceGroup | null = null;
  /** Heap of brk, bytes: [breakStart, breakEnd), mapped up to the end of its last page. Both 0 in a TypeScript program. */
  breakStart = 0;
  breakEnd = 0;
  /** Set once, when the process ends. */
  exitStatus: ExitStatus | null = null;

  constructor(parts: ProcessParts) {
    this.kernel = parts.kernel;
    this.pid = parts.pid;
    this.name = parts.name;
    this.xlen = parts.xlen;
    this.space = parts.space;
    this.files = parts.files;
  }
}

export type Lwp = HartLwp | BodyLwp;

export interface HartLwp {
  readonly kind: 'hart';
  readonly process: Process;
  readonly registers: RegisterFile;
  readonly run: GuestRun;
}

/** The vmspace_ctl(RUN) that a RISC-V program is inside of. All but `guest` means nothing while there is none. */
export interface GuestRun {
  guest: GuestSpace | null; // null: its own program runs
  tf: number; // where the caller wants the frames back, addresses in its space
  vf: number;
  readonly caller: RegisterFile; // what comes back when the RUN ends
  left: number; // instructions the RUN may still execute; Infinity without a budget
}

export interface BodyLwp {
  readonly kind: 'body';
  readonly process: Process;
  readonly program: Generator<HostWait, number, void>;
  readonly memory: ProcessMemory;
}
