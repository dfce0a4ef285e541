/**
 * A task with a memory manager on the real kernel, wortel, physmem and task server, for tests.
 *
 *   root (the test's) --makes--> task: pager thread (pager.ts) + driver thread (the test's program, no hart)
 *
 * The driver makes the calls of a program and touches its memory as a server's thread does. Through `Bench` the test
 * reaches what lies below: physmem's core, its thread (to take mappings away), and the kernel's invariants.
 */
import { Tracer } from '../../../hostkernel/base/trace.ts';
import { MemoryManager, type MemoryOptions, pager, type TaskMemory, taskMemory, WINDOW_PAGES } from '../../../userland/libhurd-mm/index.ts';
import { invoke } from '../../../vkernel/cap/rpc.ts';
import { startup } from '../../../vkernel/cap/startup.ts';
import type { L4Kernel } from '../../../vkernel/l4/index.ts';
import {
  fpage,
  FPAGE_COMPLETE,
  type L4,
  type L4Body,
  type L4Wait,
  RIGHTS_ALL,
  type ThreadId,
  threadId,
  USER_BASE,
} from '../../../vkernel/l4/user.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import { PHYSMEM } from '../../../vkernel/physmem/interface.ts';
import { memoryStore } from '../../../vkernel/physmem/memory-store.ts';
import { PhysmemServer } from '../../../vkernel/physmem/server.ts';
import { TASK } from '../../../vkernel/task/interface.ts';
import { taskServer } from '../../../vkernel/task/server.ts';
import { WORTEL, withCapability } from '../../../vkernel/wortel/interface.ts';
import { wortel } from '../../../vkernel/wortel/server.ts';
import { boot } from '../../vkernel/l4/boot.ts';

export const PAGE = 4096;
/** Where mappings go that name no address; high, so that tests have low addresses to themselves. */
export const MAP_BASE = 0x100_0000;
const USER_END = 0x6000_0000;
const KIP = 0x7000_0000;
const UTCB = 0x7001_0000;

export interface Bench {
  readonly l4: L4; // of the driver
  readonly memory: MemoryManager;
  readonly task: TaskMemory;
  /** Another thread of the task: runs when the driver waits. */
  readonly spawn: (body: L4Body) => void;
  /** physmem takes all mappings it has given to anybody away; `rights` fewer than all take only these. */
  readonly revoke: (rights?: number) => void;
  /** Pages the task has put away, as physmem counts them. */
  readonly swapped: () => number;
  /** Pages charged to the task's control, as physmem counts them. */
  readonly charged: () => number;
  /** Checks manager, physmem and kernel. */
  readonly check: () => void;
  readonly pager: ThreadId;
}

export interface StackSetup {
  readonly xlen?: 32 | 64;
  readonly pages?: number; // guaranteed to the task; default 256
  readonly faultAround?: number; // default 1
  readonly cluster?: number; // default 1
  readonly threads?: number; // further threads; default 0
  readonly slots?: number; // of swap space, in pages; default none
}

/** What is left when the program has ended and the task has been destroyed. */
export interface Left {
  readonly held: number; // pages charged to the task at the end of the program, after reset()
  readonly lost: number; // pages physmem had free before the task was made, and has not after
}

/** Boots, runs `program` as the driver, resets the task's memory, destroys the task, shuts down. */
export function withStack(setup: StackSetup, program: (bench: Bench) => Generator<L4Wait, void>): Left {
  const { xlen = 64, pages = 256, faultAround = 1, cluster = 1, threads = 0, slots } = setup;
  const tracer = new Tracer();
  const failures: unknown[] = [];
  let kernel: L4Kernel | null = null;
  let below: { readonly server: PhysmemServer; readonly l4: L4 } | null = null;
  let left: Left | null = null;

  const physmem: L4Body = function* (l4) {
    const options = { wortel: threadId(USER_BASE + 2, 1, xlen), capability: 1, tracer };
    const swap = slots === undefined ? {} : { swap: (thread: L4) => memoryStore(thread, slots) };
    const server = new PhysmemServer(l4, { ...options, ...swap, descriptorsPerPage: Number.POSITIVE_INFINITY }); // the pages of a setup are all for data
    below = { server, l4 };
    const loop = yield* server.run();
    if (loop === undefined) throw new Error('physmem did not come up');
    return loop;
  };

  const root: L4Body = function* (l4) {
    const data = yield* startup(l4);
    if (typeof data === 'string') throw new Error(data);
    const { message } = l4;
    const { server, l4: physmemThread } = below as NonNullable<typeof below>;
    const { physmem: core } = server;
    const free = core.zones.freePages + core.fixedPages;
    const must = (label: number): void => {
      if (label !== 0) throw new Error(`call refused: ${label}`);
    };
    must(yield* invoke(l4, data.taskServer, TASK.taskCreate, data.taskControl, fpage(KIP, 12, 0), fpage(UTCB, 12, 0)));
    const [task, id, pagerThread] = [message.word(1), message.word(2), message.word(3) as ThreadId];
    must(yield* invoke(l4, data.taskServer, TASK.threadSet, task, pagerThread, l4.id, pagerThread, UTCB));
    const made: ThreadId[] = [];
    for (let slot = 1; slot <= 1 + threads; slot += 1) {
      must(yield* invoke(l4, data.taskServer, TASK.threadAlloc, task, UTCB + slot * 512));
      const thread = message.word(1) as ThreadId;
      must(yield* invoke(l4, data.taskServer, TASK.threadSet, task, thread, l4.id, pagerThread, -1));
      made.push(thread);
    }
    must(yield* invoke(l4, data.physmem, PHYSMEM.controlSplit, data.masterControl, pages, id));
    const [control, granted] = [message.word(1), message.word(2)];
    const scratch = KIP + 16 * WINDOW_PAGES * PAGE;
    const options: MemoryOptions = { physmem: data.physmem, control: granted, userEnd: USER_END, faultAround, cluster, scratch };
    const memory = new MemoryManager(options);
    l4.startBody(pagerThread, function* (thread) {
      must(yield* memory.start(thread));
      thread.message.begin(0);
      yield* thread.send(l4.id);
      yield* pager(thread, memory);
    });
    yield* l4.receive(pagerThread);
    const charged = (): number => {
      const child = [...server.physmem.root.children].at(-1);
      return child?.used ?? 0;
    };
    l4.startBody(made[0] as ThreadId, function* (thread) {
      const bench: Bench = {
        l4: thread,
        memory,
        task: taskMemory(memory, thread, MAP_BASE),
        spawn: (body) => void l4.startBody(made.pop() as ThreadId, body),
        revoke: (rights = RIGHTS_ALL) => void physmemThread.unmap(FPAGE_COMPLETE + rights, false),
        charged,
        pager: pagerThread,
        swapped: () => [...server.physmem.root.children].at(-1)?.principal.swap?.pages ?? 0,
        check: () => {
          memory.assertInvariants();
          assertInvariants(server.physmem);
          kernel?.assertInvariants();
          if (charged() !== memory.pages) throw new Error(`physmem charges ${charged()} pages, the manager knows ${memory.pages}`);
        },
      };
      try {
        yield* program(bench);
        yield* bench.task.reset();
        bench.check();
      } catch (error) {
        failures.push(error);
      }
      thread.message.begin(0);
      yield* thread.send(l4.id);
    });
    yield* l4.receive(made[0] as ThreadId);
    const held = charged();
    must(yield* invoke(l4, data.taskServer, TASK.taskDestroy, task));
    must(yield* invoke(l4, data.physmem, PHYSMEM.controlDestroy, control));
    must(yield* invoke(l4, data.physmem, PHYSMEM.taskDied, data.masterControl, id));
    left = { held, lost: free - core.zones.freePages - core.fixedPages };
    yield* invoke(l4, data.wortel, withCapability(WORTEL, data.wortelCapability).shutdown, 0);
  };

  const modules = { physmem, task: { body: taskServer(tracer, () => undefined), pages: 16 }, root: { body: root, pages: 16 } };
  const { result } = boot((l4) => wortel(threadId(USER_BASE, 1, xlen), modules, () => undefined)(l4), {
    xlen,
    memoryBytes: 8 * 2 ** 20,
    before: (made) => {
      kernel = made;
    },
  });
  if (failures.length > 0) throw failures[0];
  if (left === null) throw new Error(`no end: ${result.report.join('; ')}`);
  return left;
}
