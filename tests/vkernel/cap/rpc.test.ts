import { expect, test } from 'vitest';
import { ECAP_DIED, EINVAL, ENOMEM, EOPNOTSUPP } from '../../../hostkernel/base/errno.ts';
import { Tracer } from '../../../hostkernel/base/trace.ts';
import { HANDLES_64, ObjectTable } from '../../../vkernel/cap/objects.ts';
import { defineInterface, invoke, NO_REPLY, serve } from '../../../vkernel/cap/rpc.ts';
import { ACCEPT_ALL, ACCEPT_UNTYPED, fpage, L4_WAIT, type ThreadId, threadId } from '../../../vkernel/l4/user.ts';
import { FakeKernel } from './fake-l4.ts';

const COUNTER = defineInterface('counter', {
  add: { label: 200, on: 'counter', request: ['counter', 'amount'], reply: ['total'] },
  addTwice: { label: 201, on: 'counter', request: ['counter', 'amount'], optional: ['more'], reply: ['total', 'calls'] },
  show: { label: 202, on: 'counter', request: ['counter'], reply: [], maps: true },
  slow: { label: 203, on: 'counter', request: ['counter'], reply: ['total'] },
  shun: { label: 204, on: 'counter', request: ['counter'], reply: [] },
  wind: { label: 205, on: 'clock', request: ['clock'], reply: [] },
});

interface Counter {
  total: number;
}

const CLIENT = threadId(60, 5, 64);
const STRANGER = threadId(61, 6, 64);

function setup() {
  const kernel = new FakeKernel();
  const objects = new ObjectTable<Counter>(HANDLES_64, () => {});
  const counter = { total: 0 };
  const handle = objects.grant(5, 'counter', counter);
  const tracer = new Tracer();
  const server = serve(kernel.l4, {
    methods: COUNTER,
    objects,
    nobody: { total: Number.NaN },
    tracer,
    handlers: {
      add(call, _counter, amount) {
        call.object.total += amount;
        call.result(0, call.object.total);
        return call.object.total > 100 ? ENOMEM : 0;
      },
      addTwice(call, _counter, amount, more) {
        call.object.total += amount + more;
        call.result(0, call.object.total);
        call.result(1, call.task);
        return 0;
      },
      show(call) {
        for (let i = 0; call.itemRoom > 0; i += 1) call.mapItem(i * 4096, fpage(0x10000 + i * 4096, 12, 4));
        return 0;
      },
      *slow(call) {
        call.result(0, 41);
        yield L4_WAIT;
        kernel.message.begin(999); // what a call of another server leaves behind
        call.result(0, 42);
        return 0;
      },
      shun: () => NO_REPLY,
      wind: () => 0,
    },
  });
  const ask = (from: ThreadId, label: number, words: readonly number[], typed = 0) => kernel.ask(server, from, label, words, typed);
  return { kernel, objects, counter, handle, tracer, server, ask };
}

test('a request reaches its handler by label, and the results come back as words', () => {
  const { ask, handle } = setup();
  expect(ask(CLIENT, 200, [handle, 7])).toEqual({ label: 0, words: [7], items: [] });
  expect(ask(CLIENT, 201, [handle, 1, 2])).toEqual({ label: 0, words: [10, 5], items: [] });
});

test('an optional word that does not come reads as 0, whatever the register held before', () => {
  const { ask, handle } = setup();
  ask(CLIENT, 201, [handle, 1, 50]);
  expect(ask(CLIENT, 201, [handle, 1])?.words).toEqual([52, 5]);
});

test('a partial success carries its words beside the errno', () => {
  const { ask, handle } = setup();
  expect(ask(CLIENT, 200, [handle, 101])).toEqual({ label: ENOMEM, words: [101], items: [] });
});

test('wrong word counts and typed items are EINVAL and change nothing', () => {
  const { ask, handle, counter } = setup();
  expect(ask(CLIENT, 200, [handle])?.label).toBe(EINVAL);
  expect(ask(CLIENT, 200, [handle, 1, 2])).toEqual({ label: EINVAL, words: [0], items: [] });
  expect(ask(CLIENT, 201, [handle, 1, 2, 3])?.label).toBe(EINVAL);
  expect(ask(CLIENT, 200, [handle, 1], 2)?.label).toBe(EINVAL);
  expect(counter.total).toBe(0);
});

test('an unknown label is EOPNOTSUPP for who holds the object, a wrong class EINVAL', () => {
  const { ask, handle } = setup();
  expect(ask(CLIENT, 250, [handle, 1])?.label).toBe(EOPNOTSUPP);
  expect(ask(CLIENT, 205, [handle])?.label).toBe(EINVAL);
});

test('A11 a handle that is not the task’s own gets no answer, whatever the label', () => {
  const { ask, handle, counter } = setup();
  expect(ask(CLIENT, 200, [])).toBe(null);
  for (const label of [200, 250]) {
    expect(ask(STRANGER, label, [handle, 1])).toBe(null);
    expect(ask(CLIENT, label, [0, 1])).toBe(null);
    expect(ask(CLIENT, label, [handle + 1, 1])).toBe(null);
  }
  expect([counter.total, ask(CLIENT, 200, [handle, 1])?.label]).toEqual([0, 0]);
});

test('A11 a revoked handle is told so', () => {
  const { ask, handle, objects, counter } = setup();
  objects.revoke(counter);
  expect(ask(CLIENT, 200, [handle, 1])).toEqual({ label: ECAP_DIED, words: [], items: [] });
});

test('map items follow the words, and a full reply has 31', () => {
  const { ask, handle } = setup();
  const reply = ask(CLIENT, 202, [handle]);
  expect(reply?.items.length).toBe(31);
  expect(reply?.items[30]).toEqual({ base: 30 * 4096, fpage: fpage(0x10000 + 30 * 4096, 12, 4) });
});

test('a handler may wait, and its results survive what other messages leave in the registers', () => {
  const { kernel, server, ask, handle } = setup();
  expect(ask(CLIENT, 203, [handle])).toBe(null);
  server.next();
  expect(kernel.message.word(1)).toBe(42);
  expect([kernel.message.label, kernel.message.untyped]).toEqual([0, 1]);
});

test('a handler may refuse to answer', () => {
  const { ask, handle } = setup();
  expect(ask(CLIENT, 204, [handle])).toBe(null);
});

test('the trace names the method, its words and the outcome', () => {
  const { ask, handle, tracer } = setup();
  const events: unknown[] = [];
  tracer.rpc = (event) => events.push(event);
  ask(CLIENT, 200, [handle, 102]);
  expect(events).toEqual([
    { server: 'counter', method: 'add', client: CLIENT, args: [handle, 102], errno: ENOMEM, results: [102], items: 0, mapped: 0 },
  ]);
});

test('a call sends the method’s words, missing optional ones as 0, and opens the window only for methods that map', () => {
  const kernel = new FakeKernel();
  const seen: unknown[] = [];
  kernel.onCall = (to, message) => {
    seen.push([to, message.label, message.untyped, [1, 2, 3].map((i) => message.word(i)), kernel.l4.acceptor]);
    message.begin(ENOMEM);
    message.append(77);
  };
  expect(invoke(kernel.l4, STRANGER, COUNTER.addTwice, 9, 8).next()).toEqual({ done: true, value: ENOMEM });
  expect(kernel.message.word(1)).toBe(77);
  invoke(kernel.l4, STRANGER, COUNTER.show, 9).next();
  expect(seen).toEqual([
    [STRANGER, 201, 3, [9, 8, 0], ACCEPT_UNTYPED],
    [STRANGER, 202, 1, [9, 8, 0], ACCEPT_ALL], // registers beyond the first are not sent,
  ]);
});

test('two methods with one label are a mistake of ours', () => {
  const method = { label: 1, request: [], reply: [] };
  expect(() => defineInterface('twice', { a: method, b: method })).toThrow('reuses label');
});
