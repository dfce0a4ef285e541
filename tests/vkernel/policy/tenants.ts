/** Tasks with memory controls of their own, and a policy server that the test plays itself: builders for L4-level tests. */
import { expect } from 'vitest';
import { Tracer } from '../../../hostkernel/base/trace.ts';
import { type Arguments, invoke, type Method, type MethodDefinition } from '../../../vkernel/cap/rpc.ts';
import { type StartupData, utcbSlot } from '../../../vkernel/cap/startup.ts';
import { fpage, type L4, type L4Body, type L4Wait, RIGHTS_ALL, type ThreadId, UTCB_SHIFT, XR_PAGER } from '../../../vkernel/l4/user.ts';
import { PHYSMEM, PHYSMEM_UPCALL } from '../../../vkernel/physmem/interface.ts';
import { policyPager, PolicyView } from '../../../vkernel/policy/buffer.ts';
import { fixedPolicy } from '../../../vkernel/policy/fixed.ts';
import { type PolicyOptions, policyServer } from '../../../vkernel/policy/server.ts';
import { TASK } from '../../../vkernel/task/interface.ts';
import { ROOT_TASK } from '../wortel/system.ts';

export const P = 4096;
const KIP = 0x7000_0000;
const UTCB = 0x7001_0000;

/** What the root task works with. */
export interface Seat {
  readonly l4: L4;
  readonly data: StartupData;
}

export interface Tenant {
  readonly task: number; //   handle at the task server
  readonly id: number;
  readonly threads: readonly ThreadId[]; // active, without program
  readonly control: number; // the tenant's own handle of its memory control
  readonly child: number; //   the root task's
}

export const OPTIONS: PolicyOptions = { policy: fixedPolicy(), rootTask: ROOT_TASK, tracer: new Tracer(), log: () => undefined };

/** The policy server of a boot with 16 pages for each of its tasks, as tests/vkernel/wortel/system.ts guarantees them. */
export function bootPolicy(options: Partial<PolicyOptions> = {}): L4Body {
  return policyServer(
    { ...OPTIONS, ...options },
    [3, 4, 5].map((task) => ({ task, pages: 16 })),
  );
}

/** Calls a method that must succeed. @returns the first result words */
export function* ask<D extends MethodDefinition>(
  l4: L4,
  server: ThreadId,
  method: Method<D>,
  ...args: Arguments<D>
): Generator<L4Wait, readonly [number, number, number, number, number]> {
  const { message } = l4;
  expect([method.name, yield* invoke(l4, server, method, ...args)]).toEqual([method.name, 0]);
  return [message.word(1), message.word(2), message.word(3), message.word(4), message.word(5)];
}

/** A new task with `threads` threads, whose control guarantees `pages`. */
export function* makeTenant({ l4, data }: Seat, pages: number, threads = 1): Generator<L4Wait, Tenant> {
  const { taskServer, taskControl, physmem, masterControl } = data;
  const [task, id, first] = yield* ask(l4, taskServer, TASK.taskCreate, taskControl, fpage(KIP, 12, 0), fpage(UTCB, 12, 0));
  yield* ask(l4, taskServer, TASK.threadSet, task, first, l4.id, first, UTCB);
  const ids = [first as ThreadId];
  while (ids.length < threads) {
    const [thread] = yield* ask(l4, taskServer, TASK.threadAlloc, task, UTCB + (ids.length << UTCB_SHIFT));
    yield* ask(l4, taskServer, TASK.threadSet, task, thread, l4.id, first, -1);
    ids.push(thread as ThreadId);
  }
  const [child, control] = yield* ask(l4, physmem, PHYSMEM.controlSplit, masterControl, pages, id);
  return { task, id, threads: ids, control, child };
}

/** Starts a program in a thread of a tenant. What it throws is thrown by `join`. */
export function start({ l4 }: Seat, thread: ThreadId, program: (l4: L4) => Generator<L4Wait, void>): Job {
  const job: Job = { failure: null, isDone: false };
  const started = l4.startBody(thread, function* (own) {
    try {
      yield* program(own);
    } catch (error) {
      job.failure = { error };
    }
    job.isDone = true;
  });
  expect(started).toBe(1);
  return job;
}

export interface Job {
  failure: { readonly error: unknown } | null;
  isDone: boolean;
}

/** Waits until a program has ended; at most a second of virtual time. */
export function* join({ l4 }: Seat, ...jobs: readonly Job[]): Generator<L4Wait, void> {
  for (let i = 0; i < 1000 && jobs.some((job) => !job.isDone); i += 1) yield* l4.sleep(1000);
  for (const { failure } of jobs) if (failure !== null) throw failure.error;
  expect(jobs.map(({ isDone }) => isDone)).toEqual(jobs.map(() => true));
}

/** Pages of a tenant in a container of its own, page by page: what it gives back first came last. */
export class Holdings {
  readonly #l4: L4;
  readonly #physmem: ThreadId;
  readonly #container: number;
  pages = 0;

  private constructor(l4: L4, physmem: ThreadId, container: number) {
    this.#l4 = l4;
    this.#physmem = physmem;
    this.#container = container;
  }

  static *of(l4: L4, physmem: ThreadId, control: number): Generator<L4Wait, Holdings> {
    const [container] = yield* ask(l4, physmem, PHYSMEM.create, control);
    return new Holdings(l4, physmem, container);
  }

  /** Takes one more page and touches its memory. @returns 0 or physmem's errno */
  *take(flags = 0): Generator<L4Wait, number> {
    const at = this.pages * P;
    const refused = yield* invoke(this.#l4, this.#physmem, PHYSMEM.allocate, this.#container, flags, at, P);
    if (refused !== 0) return refused;
    this.pages += 1;
    return yield* invoke(this.#l4, this.#physmem, PHYSMEM.map, this.#container, RIGHTS_ALL, 0x2000_0000 + at, at, P);
  }

  /** Takes up to `wanted` pages. @returns the errno that stopped it, or 0 */
  *fill(wanted: number, flags = 0): Generator<L4Wait, number> {
    for (let i = 0; i < wanted; i += 1) {
      const errno = yield* this.take(flags);
      if (errno !== 0) return errno;
    }
    return 0;
  }

  /** Gives up to `count` pages back. `l4`: the thread that does it, if it is not the one that takes. */
  *give(count: number, l4: L4 = this.#l4): Generator<L4Wait, void> {
    const pages = Math.min(count, this.pages);
    this.pages -= pages;
    if (pages > 0) yield* ask(l4, this.#physmem, PHYSMEM.deallocate, this.#container, this.pages * P, pages * P);
  }
}

/** A thread that returns pages whenever physmem asks for them. `asked` counts the pages. */
export function* returner(
  l4: L4,
  physmem: ThreadId,
  holdings: Holdings,
  asked: { pages: number; times: number },
): Generator<L4Wait, never> {
  for (;;) {
    const error = yield* l4.receive(physmem);
    if (error !== 0 || l4.message.label !== PHYSMEM_UPCALL.returnPages.label) continue;
    const count = l4.message.word(1);
    asked.pages += count;
    asked.times += 1;
    yield* holdings.give(count, l4);
  }
}

/** The root task as policy server: with the capability, and a pager thread for the buffer. */
export function* holdPolicy({ l4, data }: Seat): Generator<L4Wait, { view: PolicyView; handle: number }> {
  const [pager] = yield* ask(l4, data.taskServer, TASK.threadAlloc, data.taskControl, utcbSlot(1));
  const [handle] = yield* ask(l4, data.physmem, PHYSMEM.getControl);
  const { physmem, startupContainer } = data;
  expect(l4.startBody(pager as ThreadId, (own) => policyPager(own, { physmem, startupContainer, policy: handle }))).toBe(1);
  expect(l4.exchangeRegisters(l4.id, XR_PAGER, 0, 0, 0, 0, pager as ThreadId)).not.toBe(null);
  return { view: new PolicyView(l4), handle };
}
