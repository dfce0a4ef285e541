/** Requests that wait inside a server: one a thread, tried again in order, ended by cancel and by death. */
import { expect, test } from 'vitest';
import { Tracer } from '../../../hostkernel/base/trace.ts';
import { HANDLES_64, ObjectTable } from '../../../vkernel/cap/objects.ts';
import { ParkedRequests } from '../../../vkernel/cap/parked.ts';
import { defineInterface, PARKED, serve } from '../../../vkernel/cap/rpc.ts';
import { NIL, taskOf, type ThreadId, threadId } from '../../../vkernel/l4/user.ts';
import { FakeKernel } from './fake-l4.ts';

const STORE = defineInterface('store', {
  put: { label: 200, on: 'store', request: ['store', 'count'], reply: ['left'] },
  take: { label: 201, on: 'store', request: ['store', 'count'], list: ['tag'], reply: ['left', 'tags'] },
});
const FIRST = threadId(60, 5, 64);
const SECOND = threadId(61, 5, 64);
const OTHER = threadId(62, 6, 64);

/** A store one may take from when there is enough in it; a request that waits longer than 100 µs is given what it asks. */
function setup() {
  const kernel = new FakeKernel();
  const objects = new ObjectTable<{ left: number }>(HANDLES_64, () => {});
  const store = { left: 0 };
  const handles = new Map([5, 6].map((task) => [task, objects.grant(task, 'store', store)]));
  const parked = new ParkedRequests(64);
  const tries: ThreadId[] = [];
  let changed = false;
  const state = { deadline: Number.POSITIVE_INFINITY };
  const server = serve(kernel.l4, {
    methods: STORE,
    objects,
    nobody: { left: 0 },
    tracer: new Tracer(),
    waiting: {
      parked,
      client: NIL,
      due() {
        if (kernel.now < state.deadline) return state.deadline - kernel.now;
        state.deadline = Number.POSITIVE_INFINITY;
        store.left += 100;
        changed = true;
        return Number.POSITIVE_INFINITY;
      },
      isTimed: () => state.deadline !== Number.POSITIVE_INFINITY,
      worthTrying() {
        const was = changed;
        changed = false;
        return was;
      },
    },
    handlers: {
      put(call, _store, count) {
        store.left += count;
        changed = true;
        call.result(0, store.left);
        return 0;
      },
      take(call, _store, count) {
        tries.push(call.from);
        if (count > store.left) return PARKED;
        store.left -= count;
        call.result(0, store.left);
        call.result(1, call.listLength);
        return 0;
      },
    },
  });
  const put = (from: ThreadId, count: number) => kernel.ask(server, from, 200, [handles.get(taskOf(from, 64)) ?? 0, count]);
  const take = (from: ThreadId, count: number) => kernel.ask(server, from, 201, [handles.get(taskOf(from, 64)) ?? 0, count, 7, 8]);
  return { kernel, server, objects, store, parked, tries, state, put, take };
}

test('A12 what a thread sends while its request is outstanding is dropped; the first completes', () => {
  const { kernel, parked, store, put, take, tries } = setup();
  expect(take(FIRST, 5)).toBe(null);
  expect(put(FIRST, 9)).toBe(null);
  expect(take(FIRST, 1)).toBe(null);
  expect([store.left, parked.size, tries]).toEqual([0, 1, [FIRST]]);
  expect(put(OTHER, 6)?.words).toEqual([6]);
  expect(kernel.replies.at(-1)).toEqual({ to: FIRST, reply: { label: 0, words: [1, 2], items: [] } });
  expect(parked.size).toBe(0);
  expect(put(FIRST, 1)?.words).toEqual([2]);
});

test('parked requests are tried in the order they came, and only when something has happened', () => {
  const { kernel, take, put, tries } = setup();
  take(FIRST, 5);
  take(SECOND, 3);
  take(OTHER, 2);
  expect(tries).toEqual([FIRST, SECOND, OTHER]);
  put(threadId(63, 5, 64), 4);
  expect(kernel.replies.map(({ to }) => to).slice(1)).toEqual([SECOND]);
  put(threadId(63, 5, 64), 6);
  expect(kernel.replies.map(({ to }) => to).slice(3)).toEqual([FIRST, OTHER]);
});

test('the wait has a limit while something will be due, and none afterwards', () => {
  const { kernel, server, state, take, put } = setup();
  state.deadline = 100;
  expect(take(FIRST, 5)).toBe(null);
  expect(kernel.limit).toBe(100);
  kernel.timeOut(server, 40);
  expect([kernel.limit, kernel.replies]).toEqual([60, []]);
  kernel.timeOut(server, 60);
  expect(kernel.replies.map(({ to, reply }) => [to, reply.words])).toEqual([[FIRST, [95, 2]]]);
  put(FIRST, 1);
  expect(kernel.limit).toBe(Number.POSITIVE_INFINITY);
});

test('a parked request is checked again: its capability may have died meanwhile', () => {
  const { kernel, objects, parked, store, take, put } = setup();
  take(FIRST, 5);
  const entry = objects.lookup(2 ** 32 + 1, 5);
  if (entry !== null) objects.release(entry, 1);
  put(OTHER, 20); // the handle is gone: no answer any more, and nothing is taken
  expect([kernel.replies.map(({ to }) => to), store.left, parked.size]).toEqual([[OTHER], 20, 0]);
});

test('cancel and death take requests out', () => {
  const { kernel, parked, take, put } = setup();
  take(FIRST, 5);
  take(SECOND, 5);
  take(OTHER, 5);
  expect([parked.remove(SECOND), parked.remove(SECOND), parked.size]).toEqual([true, false, 2]);
  parked.removeTask(5);
  expect(parked.clients()).toEqual([OTHER]);
  put(threadId(64, 6, 64), 100);
  expect(kernel.replies.map(({ to }) => to)).toEqual([threadId(64, 6, 64), OTHER]);
});
