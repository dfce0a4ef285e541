/** The servers of a boot on the real kernel, for tests; any of them can be replaced by a program of the test's. */
import { panic } from '../../../hostkernel/base/assert.ts';
import { Tracer } from '../../../hostkernel/base/trace.ts';
import type { PolledDisk } from '../../../hostkernel/machine/index.ts';
import { startup, type StartupData } from '../../../vkernel/cap/startup.ts';
import type { L4Kernel, RunResult } from '../../../vkernel/l4/index.ts';
import { type L4, type L4Body, type L4Wait, threadId, USER_BASE } from '../../../vkernel/l4/user.ts';
import type { Physmem } from '../../../vkernel/physmem/core/physmem.ts';
import type { SwapStore } from '../../../vkernel/physmem/core/swap-store.ts';
import { memoryStore } from '../../../vkernel/physmem/memory-store.ts';
import { PhysmemServer } from '../../../vkernel/physmem/server.ts';
import { invoke } from '../../../vkernel/cap/rpc.ts';
import type { Platform } from '../../../vkernel/platform/index.ts';
import { taskServer } from '../../../vkernel/task/server.ts';
import { WORTEL, withCapability } from '../../../vkernel/wortel/interface.ts';
import { wortel } from '../../../vkernel/wortel/server.ts';
import { boot } from '../l4/boot.ts';

const DISK = '/dev/swap0';
export const PHYSMEM_TASK = 2;
export const TASK_TASK = 3;
export const POLICY_TASK = 4;
export const ROOT_TASK = 5;

export interface SystemOptions {
  readonly xlen?: 32 | 64;
  readonly memoryBytes?: number;
  readonly reservedFrames?: number;
  readonly physmem?: L4Body;
  readonly task?: L4Body;
  /** Booted between the task server and the root task; without it there is no policy server. */
  readonly policy?: L4Body;
  /** What physmem swaps to: pages of its own memory, or a disk of the host. */
  readonly swap?: number | PolledDisk;
  /** Gets the real physmem before it runs. */
  readonly seen?: (physmem: Physmem) => void;
  /** The whole program of the root task; without it `program` of `withRoot` runs there. */
  readonly root?: L4Body;
}

export interface SystemRun {
  readonly result: RunResult;
  readonly kernel: L4Kernel;
  readonly log: readonly string[]; // `who: text`
  readonly events: readonly { readonly from: number; readonly to: number; readonly label: number; readonly typed: number }[];
  readonly physmem: Physmem | null; // null where it was replaced
  readonly micros: number; // virtual time at the end
}

/** What a root program gets. */
export interface RootView {
  readonly l4: L4;
  readonly data: StartupData;
  readonly kernel: L4Kernel;
  readonly physmem: Physmem;
}

export const WORTEL_THREAD = (xlen: 32 | 64) => threadId(USER_BASE + 2, 1, xlen);

/** Boots until shutdown or deadlock. */
export function runSystem(options: SystemOptions): SystemRun {
  const { xlen = 64 } = options;
  const tracer = new Tracer();
  const log: string[] = [];
  const events: SystemRun['events'][number][] = [];
  tracer.ipc = ({ from, to, label, typed }) => void events.push({ from, to, label, typed });
  const say = (who: string, text: string): void => void log.push(`${who}: ${text}`);
  let core: Physmem | null = null;
  let platform: Platform | null = null;
  const { swap } = options;
  const store = (l4: L4): SwapStore => {
    if (typeof swap === 'number') return memoryStore(l4, swap);
    const disk = platform?.openDisk(DISK);
    return typeof disk === 'object' ? disk : panic('no disk');
  };
  const physmem: L4Body = function* (l4) {
    const server = new PhysmemServer(l4, {
      wortel: WORTEL_THREAD(xlen),
      capability: 1,
      tracer,
      ...(swap === undefined ? {} : { swap: store }),
    });
    core = server.physmem;
    options.seen?.(server.physmem);
    return yield* server.run();
  };
  const shutDown: L4Body = function* (l4) {
    const data = yield* startup(l4);
    if (typeof data === 'string') return;
    yield* invoke(l4, data.wortel, withCapability(WORTEL, data.wortelCapability).shutdown, 0);
  };
  const modules = {
    physmem: options.physmem ?? physmem,
    task: { body: options.task ?? taskServer(tracer, say), pages: 16 },
    ...(options.policy === undefined ? {} : { policy: { body: options.policy, pages: 16 } }),
    root: { body: options.root ?? shutDown, pages: 16 },
  };
  const {
    result,
    kernel,
    log: kernelLog,
  } = boot((l4) => wortel(threadId(USER_BASE, 1, xlen), modules, say)(l4), {
    xlen,
    memoryBytes: options.memoryBytes ?? 4 * 2 ** 20,
    reservedFrames: options.reservedFrames ?? 128,
    tracer,
    ...(typeof swap === 'object' ? { disks: new Map([[DISK, swap]]) } : {}),
    seen: (made) => {
      platform = made;
    },
  });
  return { result, kernel, log: [...log, ...kernelLog], events, physmem: core, micros: kernel.now / 1000 };
}

/** Boots, runs `program` as the root task, shuts down. What it throws is thrown. */
export function withRoot(
  options: Omit<SystemOptions, 'root'>,
  program: (view: { readonly l4: L4; readonly data: StartupData }) => Generator<L4Wait, void>,
): SystemRun {
  const failures: unknown[] = [];
  const run = runSystem({
    ...options,
    root: function* (l4) {
      const data = yield* startup(l4);
      if (typeof data === 'string') throw new Error(data);
      try {
        yield* program({ l4, data });
      } catch (error) {
        failures.push(error);
      }
      yield* invoke(l4, data.wortel, withCapability(WORTEL, data.wortelCapability).shutdown, 0);
    },
  });
  if (failures.length > 0) throw failures[0];
  return run;
}
