/**
 * Process: an address space, descriptors, signal actions, a vkernel group, and the lwps that run in it.
 *
 *   parent --children--> process --lwps--> Lwp ...
 *
 * A process ends by getting an exit status, wherever its lwps are; the kernel takes it apart between two steps, never in
 * the middle of one (life.ts). What is left is a zombie until its parent has asked for the status.
 */

import type { VmSpace } from '../vm/index.ts';
import type { ExitStatus } from './exit-status.ts';
import type { FileTable } from './file.ts';
import type { HostKernel } from './kernel.ts';
import type { Lwp } from './lwp.ts';
import { PendingSignals, SignalActions } from './signal.ts';
import type { SpaceGroup } from './space-group.ts';
import type { IntervalTimers } from './interval-timer.ts';
import type { ProcessMemory } from './user-memory.ts';

export interface ProcessParts {
  readonly kernel: HostKernel;
  readonly pid: number;
  readonly name: string;
  readonly xlen: 32 | 64;
  readonly space: VmSpace;
  readonly files: FileTable;
  /** null: started from outside; the kernel itself takes note of its end. */
  readonly parent: Process | null;
  readonly timers: IntervalTimers;
}

export class Process {
  readonly kernel: HostKernel;
  readonly pid: number; // > 0
  readonly files: FileTable;
  readonly timers: IntervalTimers;
  // What exec replaces.
  name: string;
  xlen: 32 | 64;
  space: VmSpace;

  parent: Process | null;
  readonly children = new Set<Process>();
  /** Process group and session: the pid of whoever leads it. */
  pgid: number;
  sid: number;
  /** Those that have not ended, in the order they were made. */
  readonly lwps: Lwp[] = [];
  /** What the first lwp passed to exit, if others went on: the code of the process when they end too. */
  firstCode: number | null = null;
  /** Memory as TypeScript programs of this process see it; null: there is none. */
  memory: ProcessMemory | null = null;
  /** The spaces it runs guests in, shared with those it forked; null until it creates the first. */
  group: SpaceGroup | null = null;
  /** Heap of brk, bytes: [breakStart, breakEnd), mapped up to the end of its last page. Both 0 in a TypeScript program. */
  breakStart = 0;
  breakEnd = 0;

  readonly actions = new SignalActions();
  /** Signals for whichever lwp takes them first. */
  readonly pending = new PendingSignals();
  /** Where a handler returns to; 0: no handler has been installed yet. */
  trampoline = 0;
  /** What the parent gets when this process ends; 0: nothing. */
  exitSignal: number;
  /** By SIGSTOP and its like: none of its lwps runs. */
  stopped = false;
  /** A change its parent has not asked for yet; the signal is the one that stopped it. */
  news: 'stopped' | 'continued' | null = null;
  stopSignal = 0;

  /** Set once, when the process ends. */
  exitStatus: ExitStatus | null = null;
  /** It holds nothing any more. Not before it has an exit status. */
  isTakenApart = false;

  constructor(parts: ProcessParts) {
    const { parent } = parts;
    this.kernel = parts.kernel;
    this.pid = parts.pid;
    this.name = parts.name;
    this.xlen = parts.xlen;
    this.space = parts.space;
    this.files = parts.files;
    this.timers = parts.timers;
    this.parent = parent;
    this.pgid = parent?.pgid ?? parts.pid;
    this.sid = parent?.sid ?? parts.pid;
    this.exitSignal = 0;
  }
}
