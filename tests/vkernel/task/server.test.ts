/** The task server: ids, thread numbers, refusals, and what is left when a task has gone. */
import { describe, expect, test } from 'vitest';
import { EAGAIN, EINVAL, EOPNOTSUPP, EPERM, ESRCH } from '../../../hostkernel/base/errno.ts';
import { Tracer } from '../../../hostkernel/base/trace.ts';
import { invoke } from '../../../vkernel/cap/rpc.ts';
import { encodeStartup, STARTUP_DATA, type StartupData } from '../../../vkernel/cap/startup.ts';
import {
  ERROR_UTCB_AREA,
  fpage,
  IPC_TIMEOUT,
  ipcErrorCode,
  type L4,
  type L4Wait,
  NIL,
  NEVER,
  taskOf,
  type ThreadId,
  threadId,
  threadNumber,
  timeout,
  versionBits,
} from '../../../vkernel/l4/user.ts';
import { PHYSMEM } from '../../../vkernel/physmem/interface.ts';
import { TASK } from '../../../vkernel/task/interface.ts';
import { taskServer } from '../../../vkernel/task/server.ts';
import { WORTEL, withCapability } from '../../../vkernel/wortel/interface.ts';
import { FakeKernel } from '../cap/fake-l4.ts';
import { withRoot } from '../wortel/system.ts';

const KIP = fpage(0x7000_0000, 12, 0);
const UTCB = 0x7001_0000;
const UTCB_AREA = fpage(UTCB, 12, 0);
const FIRST_FREE = 59; // thread number

interface Made {
  readonly handle: number;
  readonly id: number;
  readonly thread: ThreadId;
}

function* create(l4: L4, data: StartupData): Generator<L4Wait, Made> {
  expect(yield* invoke(l4, data.taskServer, TASK.taskCreate, data.taskControl, KIP, UTCB_AREA)).toBe(0);
  return { handle: l4.message.word(1), id: l4.message.word(2), thread: l4.message.word(3) as ThreadId };
}

describe.each([32, 64] as const)('on %i bits', (xlen) => {
  test('task ids go up, skip what no task can have, and come back last; thread numbers are used again at once', () => {
    const ids: number[] = [];
    const numbers = new Set<number>();
    withRoot({ xlen }, function* ({ l4, data }) {
      for (let i = 0; i < 59; i += 1) {
        const made = yield* create(l4, data);
        ids.push(made.id);
        expect(taskOf(made.thread, xlen)).toBe(made.id);
        numbers.add(threadNumber(made.thread, xlen));
        expect(yield* invoke(l4, data.taskServer, TASK.taskDestroy, made.handle)).toBe(0);
      }
    });
    expect(ids).toEqual([...Array.from({ length: 58 }, (_, i) => 6 + i), 65]);
    expect([...numbers]).toEqual([FIRST_FREE]);
  });

  test('threads are of their task, active, and lose no number to a refusal', () => {
    withRoot({ xlen }, function* ({ l4, data }) {
      const { message } = l4;
      const { handle, id, thread } = yield* create(l4, data);
      expect(yield* invoke(l4, data.taskServer, TASK.threadSet, handle, thread, l4.id, l4.id, UTCB)).toBe(0);
      for (const bad of [0x1000, UTCB + 4096, UTCB + 1, UTCB]) {
        expect(yield* invoke(l4, data.taskServer, TASK.threadAlloc, handle, bad)).toBe(EINVAL);
        expect(message.word(1)).toBe(ERROR_UTCB_AREA);
      }
      expect(yield* invoke(l4, data.taskServer, TASK.threadAlloc, handle, UTCB + 512)).toBe(0);
      const second = message.word(1);
      expect([taskOf(second, xlen), threadNumber(second, xlen)]).toEqual([id, FIRST_FREE + 1]);
      expect(yield* invoke(l4, data.taskServer, TASK.threadDealloc, handle, second)).toBe(0);
      expect(yield* invoke(l4, data.taskServer, TASK.threadDealloc, handle, second)).toBe(ESRCH);
      expect(yield* invoke(l4, data.taskServer, TASK.threadDealloc, handle, thread)).toBe(EPERM);
      expect(yield* invoke(l4, data.taskServer, TASK.threadAlloc, handle, UTCB + 512)).toBe(0);
      expect(message.word(1)).toBe(second);
    });
  });

  test('refuses threads of others, areas that overlap, tasks of the boot, and calls on the master', () => {
    withRoot({ xlen }, function* ({ l4, data }) {
      const made = yield* create(l4, data);
      for (const thread of [l4.id, data.taskServer, 0, threadId(FIRST_FREE + 5, made.id, xlen)]) {
        expect(yield* invoke(l4, data.taskServer, TASK.threadSet, made.handle, thread, l4.id, l4.id, UTCB)).toBe(ESRCH);
        expect(yield* invoke(l4, data.taskServer, TASK.threadDealloc, made.handle, thread)).toBe(ESRCH);
      }
      for (const [kip, utcb] of [
        [0, 0],
        [KIP, KIP],
        [fpage(0x7000_0000, 10, 0), UTCB_AREA],
      ] as const) {
        expect(yield* invoke(l4, data.taskServer, TASK.taskCreate, data.taskControl, kip, utcb)).toBe(EINVAL);
      }
      const next = yield* create(l4, data);
      expect(threadNumber(next.thread, xlen)).toBe(FIRST_FREE + 1); // the refusals have kept none
      expect(yield* invoke(l4, data.taskServer, TASK.taskDestroy, data.taskControl)).toBe(EPERM);
      expect(yield* invoke(l4, data.taskServer, TASK.taskDestroy, data.taskMaster)).toBe(EPERM);
      expect(yield* invoke(l4, data.taskServer, TASK.threadAlloc, data.taskMaster, UTCB)).toBe(EINVAL);
    });
  });

  test('a handle that is not the caller’s gets no answer; an unknown label and wrong words do', () => {
    withRoot({ xlen }, function* ({ l4, data }) {
      const { message } = l4;
      function* ask(label: number, ...words: number[]): Generator<L4Wait, string> {
        message.begin(label);
        for (const word of words) message.append(word);
        const error = yield* l4.ipc(data.taskServer, data.taskServer, NEVER, timeout(1000));
        return ipcErrorCode(error) === IPC_TIMEOUT ? 'silence' : `${message.label}`;
      }
      const made = yield* create(l4, data);
      for (const forged of [0, 1, data.taskControl + 100, made.handle + 1, 2 ** 31, data.taskControl + 2 ** 20]) {
        expect(yield* ask(TASK.taskDestroy.label, forged)).toBe('silence');
      }
      expect(yield* ask(TASK.taskDestroy.label)).toBe('silence');
      expect(yield* ask(999, made.handle)).toBe(`${EOPNOTSUPP}`);
      expect(yield* ask(TASK.threadAlloc.label, made.handle)).toBe(`${EINVAL}`);
      expect(yield* ask(TASK.taskDestroy.label, made.handle, 1)).toBe(`${EINVAL}`);
      expect(yield* ask(TASK.taskDestroy.label, made.handle)).toBe('0');
      expect(yield* ask(TASK.taskDestroy.label, made.handle)).toBe('silence'); // it was consumed
    });
  });

  test('a task that is destroyed leaves no thread, no mapping and no frame behind', () => {
    const run = withRoot({ xlen }, function* ({ l4, data }) {
      const { message } = l4;
      const free: number[] = [];
      for (let round = 0; round < 4; round += 1) {
        yield* invoke(l4, data.physmem, PHYSMEM.info, data.masterControl);
        free.push(message.word(3));
        const { handle, id, thread } = yield* create(l4, data);
        yield* invoke(l4, data.taskServer, TASK.threadSet, handle, thread, l4.id, l4.id, UTCB);
        yield* invoke(l4, data.physmem, PHYSMEM.controlSplit, data.masterControl, 21, id); // one for descriptors
        const [control, granted] = [message.word(1), message.word(2)];
        l4.startBody(thread, function* (own) {
          yield* invoke(own, data.physmem, PHYSMEM.create, granted);
          const container = own.message.word(1);
          yield* invoke(own, data.physmem, PHYSMEM.allocate, container, 0, 0, 20 * 4096);
          yield* invoke(own, data.physmem, PHYSMEM.map, container, 7, 0x10_0000, 0, 20 * 4096);
          own.message.begin(own.tryFill(0x10_0000, 20 * 4096, 1) === 20 * 4096 ? 1 : 2);
          yield* own.send(l4.id);
          yield* own.receive(own.id);
        });
        yield* l4.receive(thread);
        expect(message.label).toBe(1);
        expect(yield* invoke(l4, data.taskServer, TASK.taskDestroy, handle)).toBe(0);
        expect(yield* invoke(l4, data.physmem, PHYSMEM.controlDestroy, control)).toBe(0);
        expect(yield* invoke(l4, data.physmem, PHYSMEM.taskDied, data.masterControl, id)).toBe(0);
        message.begin(1);
        expect(yield* l4.ipc(thread, thread, timeout(100), timeout(100))).not.toBe(0);
      }
      expect(new Set(free).size).toBe(1);
    });
    expect(run.result.report).toEqual(['shutdown']);
  });
});

/** The server over a false kernel whose wortel grants everything: for more tasks than a machine has memory. */
function manyTasks(): { readonly ask: (method: { readonly label: number }, ...words: number[]) => readonly number[] } {
  const kernel = new FakeKernel(32);
  const wortelThread = threadId(50, 1, 32);
  const root = threadId(58, 5, 32);
  const data: StartupData = {
    version: 0,
    flags: 0,
    wortel: wortelThread,
    wortelCapability: 2,
    taskServer: threadId(55, 3, 32),
    taskControl: 0,
    physmem: threadId(51, 2, 32),
    startupContainer: 0,
    memoryControl: 0,
    masterControl: 0,
    taskMaster: 0,
    pager: NIL,
    policyServer: NIL,
  };
  const calls = withCapability(WORTEL, 2);
  const requests = [1, 2, 3, 5].map((task) => [task, 1, threadId(48 + task, task, 32)]);
  const handles: number[] = [];
  kernel.onCall = (_to, message) => {
    const { label } = message;
    if (label === calls.getTaskCapabilityReply.label) handles.push(message.word(1));
    message.begin(0);
    if (label === calls.getFirstFreeThreadNumber.label) message.append(FIRST_FREE);
    else if (label === calls.getTaskCapabilityRequest.label) for (const word of requests.shift() ?? [5, 0]) message.append(word);
    else for (let i = 0; i < 4; i += 1) message.append(0);
  };
  const l4: L4 = Object.create(kernel.l4, {
    read: {
      value: function* (va: number, into: Uint8Array): Generator<L4Wait, number> {
        expect(va).toBe(STARTUP_DATA);
        into.set(encodeStartup(data, 32));
        return 0;
      },
    },
  }) as L4;
  const server = taskServer(new Tracer(), () => undefined)(l4);
  server.next();
  const own = handles[3] as number; // of task 5
  return {
    ask(method, ...words) {
      const reply = kernel.ask(server, root, method.label, words.length === 0 ? [own, 0, 0] : words);
      return [reply?.label ?? -1, ...(reply?.words ?? [])];
    },
  };
}

test('all task ids of a 32-bit machine can be in use at once; then the one that is given back is the next', () => {
  const { ask } = manyTasks();
  const most = 2 ** versionBits(32) - 2 ** (versionBits(32) - 6) - 5; // all valid ones but the boot's
  const handles = new Map<number, number>(); // by id
  for (let i = 0; i < most; i += 1) {
    const [label, handle, id] = ask(TASK.taskCreate) as [number, number, number];
    expect([i, label]).toEqual([i, 0]);
    handles.set(id, handle);
  }
  expect([handles.size, most]).toEqual([16_123, 16_123]);
  expect(ask(TASK.taskCreate)[0]).toBe(EAGAIN);
  for (const id of [777, 6, 16_383]) {
    expect(ask(TASK.taskDestroy, handles.get(id) as number)).toEqual([0]);
    expect(ask(TASK.taskCreate)[2]).toBe(id);
  }
});
