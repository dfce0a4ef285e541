/** Asking pages back by message: upcalls, requests that wait meanwhile, deadlines, and tasks that die. */

import { expect, test } from 'vitest';
import { EINVAL } from '../../../hostkernel/base/errno.ts';
import { fpage, type ThreadId, threadId } from '../../../vkernel/l4/user.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import { PolicyBuffer } from '../../../vkernel/physmem/core/policy-buffer.ts';
import {
  EXTRA,
  HEADER_COMMITS,
  MAP_READ,
  MAP_WRITE,
  MIN_CAPACITY_LOG2,
  PHYSMEM,
  PHYSMEM_UPCALL,
  policyWord,
  ROW_GUARANTEED,
  ROW_POLICY,
  ROW_SERVER,
  rowOf,
  SERVER_DROPPED,
} from '../../../vkernel/physmem/interface.ts';
import { ArrayWords } from './policy-rig.ts';
import { boot, P, ROOT_FS } from './server-rig.ts';

const RW = MAP_READ | MAP_WRITE;
const DEADLINE = 10_000;
const TASKS = [6, 7, 8] as const;
type Task = (typeof TASKS)[number];
const threadOf = (task: Task): ThreadId => threadId(100 + task, task, 64);
const upcallOf = (task: Task): ThreadId => threadId(200 + task, task, 64);

/** 32 pages; tasks 6, 7 and 8 with a control, a container and an upcall thread each, and a policy that allows extra pages. */
function setup(guarantees: Readonly<Record<Task, number>>) {
  const requests = [...TASKS.map((task) => ({ task, pages: 'control' as const, frames: 0 })), { task: 5 }];
  const booted = boot({ memory: [fpage(0x100000, 17, 7)], requests });
  const { ask, handles, kernel, physmem, server } = booted;
  const words = new ArrayWords();
  physmem.physmem.accounts.introduce(new PolicyBuffer(words, MIN_CAPACITY_LOG2), () => null);
  const containers = new Map<Task, number>();
  TASKS.forEach((task, i) => {
    words.store(rowOf(task) + ROW_GUARANTEED, guarantees[task]);
    words.store(rowOf(task) + ROW_POLICY, policyWord(true, 0));
    expect(ask(threadOf(task), PHYSMEM.controlSetUpcallThread, handles[i], upcallOf(task)).label).toBe(0);
    containers.set(task, ask(threadOf(task), PHYSMEM.create, handles[i]).words[0]);
  });
  words.store(HEADER_COMMITS, 1);
  const container = (task: Task) => containers.get(task) ?? 0;
  return {
    ...booted,
    root: handles[3],
    words,
    allocate: (task: Task, page: number, pages: number, flags = 0) =>
      ask(threadOf(task), PHYSMEM.allocate, container(task), flags, page * P, pages * P),
    deallocate: (thread: ThreadId, task: Task, page: number, pages: number) =>
      ask(thread, PHYSMEM.deallocate, container(task), page * P, pages * P),
    /** @returns null where it has to wait */
    map: (thread: ThreadId, task: Task, page: number, pages = 1) =>
      kernel.ask(server, thread, PHYSMEM.map.label, [container(task), RW, page * P, page * P, pages * P]),
    told: (thread: ThreadId) => kernel.replies.filter(({ to }) => to === thread).map(({ reply }) => [reply.label, ...reply.words]),
    passes: (us: number) => kernel.timeOut(server, us),
    pages: (task: Task) => physmem.physmem.accounts.principalOf(task)?.used,
  };
}

const request = (count: number) => [PHYSMEM_UPCALL.returnPages.label, count, DEADLINE];

test('J5 by message: the upcall comes at once, the fault waits, and is answered when the pages are returned', () => {
  const { allocate, deallocate, map, told, kernel, physmem } = setup({ 6: 20, 7: 10, 8: 0 });
  expect([allocate(6, 0, 32, EXTRA).words, map(threadOf(6), 6, 0, 32)?.label]).toEqual([[32 * P], 0]);
  expect(allocate(7, 0, 10)).toEqual({ label: 0, words: [10 * P], items: [] }); // not mixed up with the upcall
  expect(told(upcallOf(6))).toEqual([request(10)]);
  expect([map(threadOf(7), 7, 3), kernel.limit]).toEqual([null, DEADLINE]);
  expect(deallocate(upcallOf(6), 6, 20, 10).label).toBe(0);
  expect(told(threadOf(7)).slice(-1)).toEqual([[0]]);
  expect(kernel.replies.at(-1)?.reply.items.length).toBe(1);
  map(threadOf(7), 7, 0, 10);
  expect(kernel.limit).toBe(Number.POSITIVE_INFINITY); // nothing is outstanding
  expect(kernel.printed).toEqual([]);
  assertInvariants(physmem.physmem);
});

test('J7 by message: too little by the deadline; the wait ends by itself, everything goes, and the fault is answered', () => {
  const { allocate, deallocate, map, told, kernel, pages, passes, words, ask, root, physmem } = setup({ 6: 20, 7: 10, 8: 0 });
  const watcher = threadId(250, 5, 64);
  ask(ROOT_FS, PHYSMEM.controlSetUpcallThread, root, watcher);
  allocate(6, 0, 32, EXTRA);
  map(threadOf(6), 6, 0, 32);
  allocate(7, 0, 10);
  expect(map(threadOf(7), 7, 0)).toBe(null);
  passes(4000);
  deallocate(upcallOf(6), 6, 0, 2);
  const answered = told(threadOf(7)).length; // two pages are free: one serves the fault
  expect([answered, kernel.limit]).toEqual([4, DEADLINE - 4000]);
  passes(DEADLINE - 4000);
  expect([pages(6), told(watcher)]).toEqual([0, [[PHYSMEM_UPCALL.dropped.label, 6, 30]]]);
  expect(kernel.printed).toEqual(['physmem: task 6 did not return pages: 30 dropped\n']);
  expect(words.load(rowOf(6) + ROW_SERVER) & SERVER_DROPPED).toBe(SERVER_DROPPED);
  expect(map(threadOf(7), 7, 0, 10)?.label).toBe(0);
  assertInvariants(physmem.physmem);
});

test('J6 by message: who is not receiving is tried twice more, and that is all', () => {
  const { allocate, map, kernel, pages, passes } = setup({ 6: 0, 7: 10, 8: 0 });
  allocate(6, 0, 32, EXTRA);
  map(threadOf(6), 6, 0, 32);
  kernel.absent.add(upcallOf(6));
  expect(allocate(7, 0, 10).label).toBe(0);
  expect(map(threadOf(7), 7, 0)).toBe(null);
  passes(1000);
  expect([pages(6), kernel.limit]).toEqual([32, 1000]);
  passes(1000);
  expect([pages(6), kernel.limit, kernel.replies.at(-1)?.to]).toEqual([0, Number.POSITIVE_INFINITY, threadOf(7)]);
});

test('a thread whose own request waits is not asked, since it would take that for the answer', () => {
  const { allocate, map, told, pages, passes } = setup({ 6: 0, 7: 20, 8: 0 });
  allocate(6, 0, 9, EXTRA);
  allocate(6, 9, 1, EXTRA); // a frame of its own, without memory
  allocate(8, 0, 22, EXTRA);
  map(threadOf(6), 6, 0, 9);
  map(threadOf(8), 8, 0, 22);
  allocate(7, 0, 3);
  expect(told(upcallOf(8))).toEqual([request(3)]);
  map(threadOf(7), 7, 0, 1); // the last page
  expect(map(upcallOf(6), 6, 9)).toBe(null); // waits for what 8 returns
  passes(2000);
  allocate(7, 3, 5);
  passes(1000);
  expect(told(upcallOf(6))).toEqual([]);
  passes(DEADLINE - 3000); // 8 has returned nothing
  expect([pages(8), told(upcallOf(6))]).toEqual([0, [[0]]]); // its own answer
  passes(1000);
  expect([told(upcallOf(6))[1], pages(6)]).toEqual([request(5), 10]);
});

test('I-7 two tasks hold one control: what they use adds up, and one goes on when the other has died', () => {
  const { ask, root, physmem } = setup({ 6: 0, 7: 0, 8: 0 });
  const [here, there] = ask(ROOT_FS, PHYSMEM.controlSplit, root, 10, 9).words;
  const ninth = threadId(109, 9, 64);
  const mine = ask(ROOT_FS, PHYSMEM.create, here).words[0];
  const its = ask(ninth, PHYSMEM.create, there).words[0];
  ask(ROOT_FS, PHYSMEM.allocate, mine, 0, 0, 3 * P);
  ask(ninth, PHYSMEM.allocate, its, 0, 0, 4 * P);
  expect(ask(ROOT_FS, PHYSMEM.controlInfo, here).words.slice(0, 5)).toEqual([10, 7, 10, 7, 0]);
  expect(ask(ROOT_FS, PHYSMEM.taskDied, root, 9).label).toBe(0);
  expect(ask(ROOT_FS, PHYSMEM.controlInfo, here).words.slice(0, 5)).toEqual([10, 3, 10, 3, 0]);
  assertInvariants(physmem.physmem);
});

test('when a starter dies its children keep their pages; the last of them gives everything back', () => {
  const { ask, root, physmem } = setup({ 6: 0, 7: 0, 8: 0 });
  const [, starter] = ask(ROOT_FS, PHYSMEM.controlSplit, root, 20, 9).words;
  const ninth = threadId(109, 9, 64);
  const tenth = threadId(110, 10, 64);
  const [, granted] = ask(ninth, PHYSMEM.controlSplit, starter, 8, 10).words;
  const container = ask(tenth, PHYSMEM.create, granted).words[0];
  ask(tenth, PHYSMEM.allocate, container, 0, 0, 5 * P);
  const { accounts } = physmem.physmem;
  expect(ask(ROOT_FS, PHYSMEM.controlInfo, root).words[0]).toBe(12);
  // the root task holds the control it split off too: it lets go of it
  const held = physmem.objects.lookup(ask(ROOT_FS, PHYSMEM.controlSplit, root, 0).words[0] - 1, 5);
  if (held === null) throw new Error('handle');
  physmem.objects.release(held, held.references);
  ask(ROOT_FS, PHYSMEM.taskDied, root, 9);
  expect([accounts.principalOf(9)?.used, ask(tenth, PHYSMEM.allocate, container, 0, 5 * P, P).label]).toEqual([5, 0]);
  ask(ROOT_FS, PHYSMEM.taskDied, root, 10);
  expect([accounts.principalOf(9), ask(ROOT_FS, PHYSMEM.controlInfo, root).words[0], accounts.used]).toEqual([null, 32, 0]);
  assertInvariants(physmem.physmem);
});

test('the upcall thread is one of the caller’s own task', () => {
  const { ask, handles, physmem } = setup({ 6: 0, 7: 0, 8: 0 });
  expect(ask(threadOf(6), PHYSMEM.controlSetUpcallThread, handles[0], upcallOf(7)).label).toBe(EINVAL);
  expect(ask(threadOf(6), PHYSMEM.controlSetUpcallThread, handles[0], 0).label).toBe(0);
  expect(physmem.physmem.accounts.principalOf(6)?.control.upcallThread).toBe(0);
});
