/** The boot dialogue: who asks wortel for what, in which order; what is refused; how a boot fails. */
import { describe, expect, test } from 'vitest';
import { Tracer } from '../../../hostkernel/base/trace.ts';
import { EACCES, EINVAL, EOPNOTSUPP } from '../../../hostkernel/base/errno.ts';
import { invoke } from '../../../vkernel/cap/rpc.ts';
import { startup } from '../../../vkernel/cap/startup.ts';
import { fpage, type L4, type L4Body, type L4Wait, LABEL_PAGE_FAULT, taskOf, type ThreadId, threadId } from '../../../vkernel/l4/user.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import { PHYSMEM } from '../../../vkernel/physmem/interface.ts';
import { TASK } from '../../../vkernel/task/interface.ts';
import { WORTEL, withCapability } from '../../../vkernel/wortel/interface.ts';
import { taskServer } from '../../../vkernel/task/server.ts';
import { bootPolicy } from '../policy/tenants.ts';
import {
  PHYSMEM_TASK,
  POLICY_TASK,
  ROOT_TASK,
  runSystem,
  type SystemOptions,
  type SystemRun,
  TASK_TASK,
  withRoot,
  WORTEL_THREAD,
} from './system.ts';

const AREAS = 2; // pages of physmem's KIP and UTCB areas
const STARTUP = 2 * 8; // pages of the startup areas of the task server and the root task
const NAMES = new Map(Object.entries(WORTEL).map(([name, { label }]) => [label, name]));

/** The calls `task` made to wortel, by name, in order. */
function callsOf(run: SystemRun, task: number, xlen: 32 | 64): string[] {
  const calls = run.events.filter(({ from, to }) => to === WORTEL_THREAD(xlen) && taskOf(from, xlen) === task);
  return calls.filter(({ label }) => label > 0).map(({ label }) => NAMES.get(label - (label & 0xff)) ?? `label ${label}`);
}

describe.each([32, 64] as const)('a boot on %i bits', (xlen) => {
  test('is a dialogue in a fixed order', () => {
    const run = runSystem({ xlen });
    expect(run.result).toEqual({ reason: 'shutdown', report: ['shutdown'] });
    const pairs = (request: string, reply: string, count: number): string[] => Array.from({ length: count }, () => [request, reply]).flat();
    const physmem = callsOf(run, PHYSMEM_TASK, xlen);
    const memory = physmem.lastIndexOf('getMemory') + 1;
    expect(physmem.slice(0, memory).every((name) => name === 'getMemory')).toBe(true);
    expect(physmem.slice(memory)).toEqual([...pairs('getCapabilityRequest', 'getCapabilityReply', 5), 'bootstrapFinal']);
    expect(callsOf(run, TASK_TASK, xlen)).toEqual([
      'getFirstFreeThreadNumber',
      ...pairs('getTaskCapabilityRequest', 'getTaskCapabilityReply', 5),
      'bootstrapFinal',
    ]);
    expect(callsOf(run, ROOT_TASK, xlen)).toEqual(['shutdown']);
    expect(run.log.map((line) => line.replace(/thread .*|\d+ frames/, '...'))).toEqual([
      'wortel: starts physmem: task 2, ...',
      'wortel: gave physmem ...',
      'wortel: has physmem guarantee task 3 ...',
      'wortel: has physmem guarantee task 5 ...',
      'wortel: has physmem keep the startup page of task 3, ...',
      'wortel: has physmem keep the startup page of task 5, ...',
      'wortel: has physmem give task 5 the master control',
      'wortel: starts task: task 3, ...',
      'task: knows 4 tasks',
      'wortel: starts the root task: task 5, ...',
      'wortel: shutdown',
    ]);
  });

  test('with a policy server is the same dialogue with one task more, which takes charge before the root task starts', () => {
    const run = runSystem({ xlen, policy: bootPolicy() });
    expect(run.result).toEqual({ reason: 'shutdown', report: ['shutdown'] });
    const requests = (task: number, name: string): number => callsOf(run, task, xlen).filter((call) => call === name).length;
    expect([requests(PHYSMEM_TASK, 'getCapabilityReply'), requests(TASK_TASK, 'getTaskCapabilityReply')]).toEqual([7, 6]);
    expect(callsOf(run, POLICY_TASK, xlen)).toEqual(['bootstrapFinal']);
    expect(run.log.slice(-5).map((line) => line.replace(/thread .*|\d+ frames/, '...'))).toEqual([
      'wortel: starts task: task 3, ...',
      'task: knows 5 tasks',
      'wortel: starts policy: task 4, ...',
      'wortel: starts the root task: task 5, ...',
      'wortel: shutdown',
    ]);
    const finals = run.events.filter(({ to, label }) => to === WORTEL_THREAD(xlen) && label >> 8 === WORTEL.bootstrapFinal.label >> 8);
    expect(finals.map(({ from }) => taskOf(from, xlen))).toEqual([PHYSMEM_TASK, TASK_TASK, POLICY_TASK]);
    const physmem = run.physmem as NonNullable<typeof run.physmem>;
    const given = Number(/gave physmem (\d+) frames/.exec(run.log.join('\n'))?.[1]);
    expect([physmem.receivedPages, physmem.fixedPages]).toEqual([given + STARTUP + STARTUP / 2, 1]); // fixed: the policy buffer
    expect(physmem.accounts.pages).toBe(physmem.receivedPages - 1);
    assertInvariants(physmem);
  });

  test.each([1, 3, 8])('gives every frame of %i MiB to somebody', (mebibytes) => {
    const reservedFrames = 96;
    const run = runSystem({ xlen, memoryBytes: mebibytes * 2 ** 20, reservedFrames });
    const frames = mebibytes * 256;
    const given = Number(/gave physmem (\d+) frames/.exec(run.log.join('\n'))?.[1]);
    expect(run.kernel.usage.freeFrames).toBe(0);
    expect(reservedFrames + AREAS + STARTUP + given).toBe(frames);
    expect(run.physmem?.receivedPages).toBe(given + STARTUP);
    assertInvariants(run.physmem as NonNullable<typeof run.physmem>);
  });

  test('gives pieces of memory that never grow', () => {
    const sizes: number[] = [];
    runSystem({
      xlen,
      *physmem(l4) {
        const calls = withCapability(WORTEL, 1);
        for (let last = 1; last > 0; ) {
          yield* invoke(l4, WORTEL_THREAD(xlen), calls.getMemory);
          last = l4.message.itemFpage(1) >>> 4;
          sizes.push(last & 63);
        }
        yield* invoke(l4, WORTEL_THREAD(xlen), calls.shutdown, 1);
      },
    });
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
    expect([sizes.at(-1), sizes.length > 4]).toEqual([0, true]);
  });

  test('gives every boot task a control, and all limits together are all frames', () => {
    const limits: number[] = [];
    const run = withRoot({ xlen }, function* ({ l4, data }) {
      for (const control of [data.memoryControl, data.masterControl]) {
        expect(yield* invoke(l4, data.physmem, PHYSMEM.controlInfo, control)).toBe(0);
        limits.push(l4.message.word(1));
      }
    });
    const [own, master] = limits as [number, number];
    const core = run.physmem as NonNullable<typeof run.physmem>;
    expect(own).toBe(16 + STARTUP / 2);
    expect(master + 2 * own).toBe(core.receivedPages - core.fixedPages);
  });

  test('gives servers their startup pages, and the servers replace the starter’s mapping by physmem’s', () => {
    withRoot({ xlen }, function* ({ l4, data }) {
      expect([data.version, data.flags, taskOf(data.physmem, xlen), taskOf(data.taskServer, xlen)]).toEqual([0, 2, 2, 3]);
      expect([data.wortel, data.wortelCapability]).toEqual([WORTEL_THREAD(xlen), 3]);
      for (const handle of [data.taskControl, data.startupContainer, data.memoryControl, data.masterControl, data.taskMaster]) {
        expect(handle).toBeGreaterThan(0);
      }
      expect(l4.tryLoad32(0x8000)).toBe(0);
      expect(yield* invoke(l4, data.physmem, PHYSMEM.deallocate, data.startupContainer, 0, 4096)).toBe(0);
      expect(l4.tryLoad32(0x8000)).toBe(-1);
    });
  });
});

describe('refused', () => {
  /** Makes calls as the root task. @returns labels of the replies */
  function asRoot(calls: readonly (readonly [label: number, ...words: number[]])[]): { labels: number[]; run: SystemRun } {
    const labels: number[] = [];
    const run = withRoot({}, function* ({ l4, data }) {
      for (const [label, ...words] of calls) {
        l4.message.begin(label);
        for (const word of words) l4.message.append(word);
        yield* l4.call(data.wortel);
        labels.push(l4.message.label);
        expect(l4.message.typed).toBe(0);
      }
    });
    return { labels, run };
  }

  test('are calls of the boot by anybody but the module they are meant for', () => {
    const mine = withCapability(WORTEL, 3);
    const bootOnly = [
      mine.getMemory,
      mine.getCapabilityRequest,
      mine.getThreads,
      mine.getFirstFreeThreadNumber,
      mine.getTaskCapabilityRequest,
    ];
    const { labels } = asRoot([...bootOnly.map(({ label }) => [label] as const), [mine.getCapabilityReply.label, 1]]);
    expect(labels).toEqual(Array.from({ length: 6 }, () => EACCES));
  });

  test('are the kernel’s control calls by anybody but the task server', () => {
    const mine = withCapability(WORTEL, 3);
    const { labels } = asRoot([
      [mine.threadControl.label, threadId(48, 1, 64), 0, 0, 0, 0],
      [mine.spaceControl.label, 0, 0, 0, 0, 0],
    ]);
    expect(labels).toEqual([EACCES, EACCES]);
  });

  test('are calls with the capability id of another, with none, or with one beyond the table', () => {
    const { labels } = asRoot([0, 1, 2, 4, 255].map((id) => [WORTEL.getMemory.label + id] as const));
    expect(labels).toEqual(Array.from({ length: 5 }, () => EACCES));
  });

  test('are unknown calls, and a second end of the boot', () => {
    const { labels } = asRoot([[(5 << 8) + 3], [(200 << 8) + 3], [withCapability(WORTEL, 3).bootstrapFinal.label]]);
    expect(labels).toEqual([EOPNOTSUPP, EOPNOTSUPP, EINVAL]);
  });

  test('are forged fault messages of a task that is not part of the boot: no answer, no failure', () => {
    const run = withRoot({}, function* ({ l4, data }) {
      const { message } = l4;
      yield* invoke(l4, data.taskServer, TASK.taskCreate, data.taskControl, fpage(0x7000_0000, 12, 0), fpage(0x7001_0000, 12, 0));
      const [task, thread] = [message.word(1), message.word(3) as ThreadId];
      yield* invoke(l4, data.taskServer, TASK.threadSet, task, thread, l4.id, l4.id, 0x7001_0000);
      let errors = 0;
      l4.startBody(thread, function* (stranger) {
        for (const label of [LABEL_PAGE_FAULT + 4, -80, -1000]) {
          stranger.message.begin(label);
          stranger.message.append(0x8000);
          stranger.message.append(0);
          if ((yield* stranger.ipc(data.wortel, data.wortel, 0x3e8, 0x3e8)) !== 0) errors += 1;
        }
      });
      yield* l4.sleep(100_000);
      expect(errors).toBe(3);
    });
    expect(run.result.report).toEqual(['shutdown']);
  });
});

describe('a boot that fails says so in one line', () => {
  function* forever(l4: L4): Generator<L4Wait, void> {
    yield* l4.receive(l4.id);
  }
  function* fall(l4: L4): Generator<L4Wait, void> {
    yield* l4.load32(0x1234_5000);
  }
  const calls = withCapability(WORTEL, 1);
  const cases: readonly (readonly [string, SystemOptions, RegExp])[] = [
    ['physmem ends at once', { physmem: function* () {} }, /^boot failure: time-out: physmem asks for its memory$/],
    ['physmem hangs', { physmem: forever }, /^boot failure: time-out: physmem asks for its memory$/],
    ['physmem faults', { physmem: fall }, /^boot failure: thread 51:2 faults at 0x12345000, pc 0x0$/],
    [
      'physmem stops half way',
      {
        *physmem(l4) {
          do yield* invoke(l4, WORTEL_THREAD(64), calls.getMemory);
          while (l4.message.itemFpage(1) !== 0);
        },
      },
      /^boot failure: time-out: physmem makes the capabilities of the others$/,
    ],
    [
      'physmem answers without a handle',
      {
        *physmem(l4) {
          l4.message.begin(calls.getCapabilityReply.label);
          yield* l4.call(WORTEL_THREAD(64));
        },
      },
      /^boot failure: physmem answers a capability request with 0 words$/,
    ],
    [
      'physmem gives up',
      {
        *physmem(l4) {
          yield* invoke(l4, WORTEL_THREAD(64), calls.shutdown, 1);
        },
      },
      /^boot failure: task 2 gives up: physmem asks for its memory$/,
    ],
    ['the task server ends at once', { task: function* () {} }, /^boot failure: time-out: the task server asks for its tasks$/],
    ['the task server hangs', { task: forever }, /^boot failure: time-out: the task server asks for its tasks$/],
    ['the task server faults', { task: fall }, /^boot failure: thread 55:3 faults at 0x12345000, pc 0x0$/],
    ['the policy server ends at once', { policy: function* () {} }, /^boot failure: time-out: the policy server takes charge$/],
    ['the policy server hangs', { policy: forever }, /^boot failure: time-out: the policy server takes charge$/],
    ['the policy server faults', { policy: fall }, /^boot failure: thread 57:4 faults at 0x12345000, pc 0x0$/],
    [
      'the policy capability is gone before the policy server asks for it',
      {
        *task(l4) {
          const data = yield* startup(l4);
          if (typeof data !== 'string') yield* invoke(l4, data.physmem, PHYSMEM.getControl);
          yield* taskServer(new Tracer(), () => undefined)(l4);
        },
        policy: bootPolicy(),
      },
      /^boot failure: task 4 gives up: the policy server takes charge$/,
    ],
    ['the root task faults', { root: fall }, /^boot failure: thread 58:5 faults at 0x12345000, pc 0x0$/],
    [
      'there is no memory for the startup pages',
      { memoryBytes: 112 * 4096, reservedFrames: 96 },
      /^boot failure: too little memory for the startup pages$/,
    ],
  ];

  test.each(cases)('%s', (_why, options, line) => {
    const { result, micros } = runSystem(options);
    expect(result.reason).toBe('shutdown');
    expect(result.report).toHaveLength(1);
    expect(result.report[0]).toMatch(line);
    expect(micros).toBeLessThan(5_100_000);
  });

  test('a root task that ends without a shutdown leaves nobody who can run', () => {
    const root: L4Body = function* (l4) {
      yield* startup(l4);
    };
    const { result } = runSystem({ root });
    expect(result.reason).toBe('deadlock');
    expect(result.report.join('; ')).toContain('58:5 is stopped');
  });
});
