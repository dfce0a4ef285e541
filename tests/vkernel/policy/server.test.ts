/** The policy server on the real kernel, beside the real physmem and task server; and physmem beside a false one. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ECAP_DIED, EINVAL, ENOMEM, EPERM, ESRCH } from '../../../hostkernel/base/errno.ts';
import { invoke } from '../../../vkernel/cap/rpc.ts';
import type { L4, L4Wait, ThreadId } from '../../../vkernel/l4/user.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import type { Physmem } from '../../../vkernel/physmem/core/physmem.ts';
import {
  EPOCH_SHIFT,
  EXTRA,
  HEADER_COMMITS,
  HEADER_PAGES,
  HEADER_SERVER,
  PHYSMEM,
  POLICY_EXTRA,
  ROW_ALLOCATED,
  ROW_GUARANTEED,
  ROW_POLICY,
  ROW_SERVER,
  SERVER_DROPPED,
  SERVER_LIVE,
} from '../../../vkernel/physmem/interface.ts';
import type { PolicyView } from '../../../vkernel/policy/buffer.ts';
import type { MemoryPolicy } from '../../../vkernel/policy/division.ts';
import { fixedPolicy } from '../../../vkernel/policy/fixed.ts';
import { MEMORY_POLICY, MEMORY_POLICY_NOTICE, SWAP_AS_BEFORE } from '../../../vkernel/policy/interface.ts';
import { policySuccessor } from '../../../vkernel/policy/server.ts';
import { WEIGHT_POLICY } from '../../../vkernel/policy/weight.ts';
import { Random } from '../../fuzz/random.ts';
import { TASK } from '../../../vkernel/task/interface.ts';
import { ROOT_TASK, TASK_TASK, withRoot } from '../wortel/system.ts';
import { ask, bootPolicy, Holdings, holdPolicy, join, makeTenant, OPTIONS, returner, type Seat, start, type Tenant } from './tenants.ts';

/** Runs `program` as the root task beside the policy server `policy` (none: null). @returns physmem as it was left */
function play(
  policy: ReturnType<typeof bootPolicy> | null,
  program: (seat: Seat, physmem: Physmem) => Generator<L4Wait, void>,
  { xlen = 64 as 32 | 64, memoryBytes = 2 * 2 ** 20 } = {},
): Physmem {
  let core: Physmem | null = null;
  const seen = (physmem: Physmem): void => {
    core = physmem;
  };
  withRoot({ xlen, memoryBytes, seen, ...(policy === null ? {} : { policy }) }, (seat) => program(seat, core as unknown as Physmem));
  assertInvariants(core as unknown as Physmem);
  return core as unknown as Physmem;
}

/** What a control's principal is guaranteed, holds in pages, and holds beyond its guarantee. */
function* account(
  l4: L4,
  physmem: ThreadId,
  control: number,
): Generator<L4Wait, readonly [guaranteed: number, used: number, extra: number]> {
  const [, used, guaranteed, , extra] = yield* ask(l4, physmem, PHYSMEM.controlInfo, control);
  return [guaranteed, used, extra];
}

/** Negotiates as a thread of the tenant. @returns guaranteed, extra, expires, promised, due; or the errno */
function* negotiate(
  l4: L4,
  policy: ThreadId,
  wanted: number,
  { extra = 1, term = 0, thread = 0 } = {},
): Generator<L4Wait, readonly number[]> {
  const label = yield* invoke(l4, policy, MEMORY_POLICY.negotiate, wanted, extra, term, thread);
  return label === 0 ? [1, 2, 3, 4, 5].map((i) => l4.message.word(i)) : [-label];
}

describe.each([32, 64] as const)('on %i bits', (xlen) => {
  test('J1 J15 the policy capability is given once, at boot; a stranger gets neither it nor the buffer', () => {
    const log: string[] = [];
    const policy = bootPolicy({ log: (who, text) => void log.push(`${who}: ${text}`) });
    const physmem = play(
      policy,
      function* ({ l4, data }) {
        for (let i = 0; i < 2; i += 1) expect(yield* invoke(l4, data.physmem, PHYSMEM.getControl)).toBe(EPERM);
        for (const handle of [0, 1, data.memoryControl, data.masterControl, data.memoryControl + 1]) {
          expect(yield* invoke(l4, data.physmem, PHYSMEM.getPolicyBuffer, handle, 0x4000_0000)).toBe(EPERM);
          expect(l4.message.typed).toBe(0);
        }
      },
      { xlen },
    );
    expect(log).toEqual([`policy: fixed: divides ${physmem.accounts.pages} frames among 3 tasks`]);
    expect(physmem.accounts.isInForce()).toBe(true);
  });

  test('J3 a policy server finds what tasks hold, no guarantees, and nobody is asked for pages before its first commit', () => {
    play(
      null,
      function* (seat, physmem) {
        const { l4, data } = seat;
        const tenants: Tenant[] = [];
        for (const pages of [60, 40]) {
          const tenant = yield* makeTenant(seat, pages);
          tenants.push(tenant);
          yield* join(
            seat,
            start(seat, tenant.threads[0] as ThreadId, function* (own) {
              const holdings = yield* Holdings.of(own, data.physmem, tenant.control);
              expect(yield* holdings.fill(pages - 2)).toBe(0); // two for the descriptors of so many single pages
            }),
          );
        }
        const { view } = yield* holdPolicy(seat);
        expect(yield* view.load(0, HEADER_PAGES)).toBe(physmem.accounts.pages);
        for (const [i, { id }] of tenants.entries()) {
          const held = physmem.accounts.principalOf(id)?.allocated;
          expect(held).toBeGreaterThanOrEqual([58, 38][i] as number);
          expect([yield* view.load(id, ROW_ALLOCATED), yield* view.load(id, ROW_GUARANTEED)]).toEqual([held, 0]);
          expect([yield* view.load(id, ROW_POLICY), yield* view.load(id, ROW_SERVER)]).toEqual([POLICY_EXTRA, SERVER_LIVE]);
        }
        expect(yield* view.load(70, ROW_SERVER)).toBe(0);
        const more = yield* makeTenant(seat, 4); // a decision about memory
        yield* l4.sleep(20_000);
        expect(yield* view.load(more.id, ROW_GUARANTEED)).toBe(4);
        expect([physmem.accounts.isInForce(), physmem.returns.counters.requests]).toEqual([false, 0]);
      },
      { xlen },
    );
  });

  test('J12 U-10 the buffer grows under the policy server: it faults, asks again, and finds every number, the last one too', () => {
    play(
      null,
      function* (seat, physmem) {
        const { l4, data } = seat;
        const { view } = yield* holdPolicy(seat);
        const rows = yield* view.rows();
        yield* view.store(TASK_TASK, ROW_GUARANTEED, 30);
        yield* view.store(ROOT_TASK, ROW_GUARANTEED, 40);
        yield* view.store(0, HEADER_COMMITS, 1);
        const fixed = physmem.fixedPages;
        yield* view.store(ROOT_TASK, ROW_GUARANTEED, 41); // just before it is taken away
        yield* ask(l4, data.physmem, PHYSMEM.controlSplit, data.masterControl, 4, rows + 1); // ids of 64 n are no task's
        expect(l4.tryLoad32(0x4000_0000)).toBe(-1);
        expect([yield* view.load(TASK_TASK, ROW_GUARANTEED), yield* view.load(ROOT_TASK, ROW_GUARANTEED)]).toEqual([30, 41]);
        expect([yield* view.rows(), (yield* view.load(0, HEADER_SERVER)) >>> EPOCH_SHIFT]).toEqual([2 * rows, 1]);
        expect([yield* view.load(rows + 1, ROW_GUARANTEED), yield* view.load(rows + 1, ROW_SERVER)]).toEqual([4, SERVER_LIVE]);
        expect(physmem.fixedPages).toBe(2 * fixed);
        yield* view.store(rows + 1, ROW_GUARANTEED, 5);
        yield* view.store(0, HEADER_COMMITS, 2);
        yield* ask(l4, data.physmem, PHYSMEM.controlSplit, data.masterControl, 4, 40 * rows + 1);
        expect([yield* view.rows(), yield* view.load(rows + 1, ROW_GUARANTEED), yield* view.load(ROOT_TASK, ROW_GUARANTEED)]).toEqual([
          64 * rows,
          5,
          41,
        ]);
        expect(view.lost).toBe(false);
      },
      { xlen },
    );
  });
});

test('J13 a policy server that scribbles over what is allocated changes no decision, and physmem writes it again', () => {
  play(null, function* (seat, physmem) {
    const { data } = seat;
    const { view } = yield* holdPolicy(seat);
    const tenant = yield* makeTenant(seat, 10);
    yield* view.store(0, HEADER_COMMITS, 1);
    for (const lie of [0, 1, 2 ** 32 - 1]) {
      yield* view.store(tenant.id, ROW_ALLOCATED, lie);
      yield* view.store(tenant.id, ROW_SERVER, lie);
      yield* view.store(0, HEADER_PAGES, lie);
    }
    yield* join(
      seat,
      start(seat, tenant.threads[0] as ThreadId, function* (l4) {
        const holdings = yield* Holdings.of(l4, data.physmem, tenant.control);
        expect(yield* holdings.fill(20)).toBe(ENOMEM);
        expect(holdings.pages).toBe(10 - (physmem.accounts.principalOf(tenant.id)?.overhead ?? 0));
      }),
    );
    expect(yield* view.load(tenant.id, ROW_ALLOCATED)).toBe(physmem.accounts.principalOf(tenant.id)?.allocated);
  });
});

test('J14 the policy capability is handed on while the system runs; successors begin with the numbers they find', () => {
  play(bootPolicy(), function* (seat) {
    const { l4, data } = seat;
    const tenant = yield* makeTenant(seat, 10, 2);
    yield* join(
      seat,
      start(seat, tenant.threads[0] as ThreadId, function* (own) {
        expect((yield* negotiate(own, data.policyServer, 50))[0]).toBe(50);
        expect(yield* invoke(own, data.policyServer, MEMORY_POLICY.handOver, tenant.id)).toBe(EPERM);
      }),
    );
    const heirs: Tenant[] = [];
    let holder = data.policyServer;
    for (let i = 0; i < 2; i += 1) {
      const heir = yield* makeTenant(seat, 4, 2);
      const [server, pager] = heir.threads as [ThreadId, ThreadId];
      const [policy] = yield* ask(l4, holder, MEMORY_POLICY.handOver, heir.id);
      expect(l4.startBody(server, policySuccessor(OPTIONS, { physmem: data.physmem, pager, policy }))).toBe(1);
      expect(yield* invoke(l4, holder, MEMORY_POLICY.handOver, heir.id)).toBe(ECAP_DIED);
      holder = server;
      heirs.push(heir);
    }
    const [killed] = heirs as [Tenant, Tenant]; // had it, and gave it away
    yield* ask(l4, data.taskServer, TASK.taskDestroy, killed.task);
    yield* ask(l4, data.physmem, PHYSMEM.taskDied, data.masterControl, killed.id);
    yield* join(
      seat,
      start(seat, tenant.threads[1] as ThreadId, function* (own) {
        expect(yield* account(own, data.physmem, tenant.control)).toEqual([50, 0, 0]);
        expect(yield* invoke(own, holder, MEMORY_POLICY.contract)).toBe(ESRCH); // numbers are inherited, contracts are not
        expect((yield* negotiate(own, holder, 60))[0]).toBe(60);
        expect((yield* account(own, data.physmem, tenant.control))[0]).toBe(60);
      }),
    );
  });
});

test('J17 a reduction is announced, and comes when there was time to write out; an expired contract guarantees nothing', () => {
  play(bootPolicy(), function* (seat) {
    const { data } = seat;
    const tenant = yield* makeTenant(seat, 4, 2);
    const notices: number[][] = [];
    start(seat, tenant.threads[1] as ThreadId, function* (l4) {
      for (;;) {
        yield* l4.receive(data.policyServer);
        if (l4.message.label === MEMORY_POLICY_NOTICE.changed.label) notices.push([l4.clock(), l4.message.word(1), l4.message.word(2)]);
      }
    });
    yield* join(
      seat,
      start(seat, tenant.threads[0] as ThreadId, function* (l4) {
        const thread = tenant.threads[1] as number;
        expect((yield* negotiate(l4, data.policyServer, 42, { term: 200_000, thread }))[0]).toBe(42);
        const begin = l4.clock();
        const holdings = yield* Holdings.of(l4, data.physmem, tenant.control);
        expect(yield* holdings.fill(40)).toBe(0);
        const [guaranteed, , , promised, due] = yield* negotiate(l4, data.policyServer, 20, { term: 200_000, thread });
        expect([guaranteed, promised, due]).toEqual([42, 20, 50_000]);
        yield* l4.sleep(40_000);
        expect((yield* account(l4, data.physmem, tenant.control))[0]).toBe(42);
        yield* holdings.give(20);
        yield* l4.sleep(15_000);
        expect(yield* account(l4, data.physmem, tenant.control)).toEqual([20, 20, 0]);
        yield* l4.sleep(160_000);
        expect(yield* account(l4, data.physmem, tenant.control)).toEqual([0, 20, 20]); // not renewed
        expect(notices.map(([, ...what]) => what)).toEqual([
          [20, 20],
          [0, 0],
        ]);
        expect((notices[0]?.[0] as number) - begin).toBeGreaterThanOrEqual(50_000);
      }),
    );
  });
});

test('U-09 a contract that would guarantee more than there is, is refused; nobody may negotiate without a control of his own', () => {
  play(bootPolicy({ reserve: 0 }), function* (seat, physmem) {
    const { data } = seat;
    const [first, second] = [yield* makeTenant(seat, 0), yield* makeTenant(seat, 0)];
    const third = yield* makeTenant(seat, 0, 2);
    const { accounts } = physmem;
    const free = accounts.pages - accounts.guaranteed;
    const part = Math.floor(free / 3) + 1;
    const overhead = accounts.root.allocated; // the root task has made controls
    for (const { threads } of [first, second]) {
      yield* join(
        seat,
        start(seat, threads[0] as ThreadId, function* (l4) {
          expect((yield* negotiate(l4, data.policyServer, part))[0]).toBe(part);
        }),
      );
    }
    yield* join(
      seat,
      start(seat, third.threads[0] as ThreadId, function* (l4) {
        expect(yield* negotiate(l4, data.policyServer, part)).toEqual([-ENOMEM]);
        expect((yield* negotiate(l4, data.policyServer, free - 2 * part - overhead))[0]).toBe(free - 2 * part - overhead);
        expect(yield* negotiate(l4, data.policyServer, 1, { thread: first.threads[0] as number })).toEqual([-EINVAL]);
      }),
    );
    expect(accounts.guaranteed).toBe(accounts.pages - overhead);
    yield* ask(seat.l4, data.physmem, PHYSMEM.controlDestroy, first.child); // what it was guaranteed can be had again
    yield* join(
      seat,
      start(seat, third.threads[1] as ThreadId, function* (l4) {
        expect((yield* negotiate(l4, data.policyServer, part))[0]).toBe(part);
      }),
    );
    yield* ask(seat.l4, data.physmem, PHYSMEM.controlDestroy, data.memoryControl);
    expect(yield* negotiate(seat.l4, data.policyServer, 1)).toEqual([-ESRCH]);
  });
});

test('a contract says whether extra pages are allowed; a quota binds all tasks of a user; the root task says whose a task is', () => {
  play(bootPolicy({ quotas: new Map([[7, 30]]) }), function* (seat, physmem) {
    const { l4, data } = seat;
    const [modest, second] = [yield* makeTenant(seat, 2, 2), yield* makeTenant(seat, 2)];
    for (const { id } of [modest, second]) yield* ask(l4, data.policyServer, MEMORY_POLICY.assign, id, 7, 0, 1, 32);
    for (const [task, weight, errno] of [
      [64, 1, EINVAL],
      [modest.id, 0, EINVAL],
      [900, 1, ESRCH],
    ] as const) {
      expect(yield* invoke(l4, data.policyServer, MEMORY_POLICY.assign, task, 0, 0, weight, 1)).toBe(errno);
    }
    yield* join(
      seat,
      start(seat, modest.threads[0] as ThreadId, function* (own) {
        expect(yield* invoke(own, data.policyServer, MEMORY_POLICY.assign, modest.id, 8, 0, 1, SWAP_AS_BEFORE)).toBe(EPERM);
        expect((yield* negotiate(own, data.policyServer, 20, { extra: 0 })).slice(0, 2)).toEqual([20, 0]);
        const holdings = yield* Holdings.of(own, data.physmem, modest.control);
        expect(yield* holdings.fill(30, EXTRA)).toBe(ENOMEM);
        expect(holdings.pages).toBe(19);
        expect((yield* negotiate(own, data.policyServer, 20, { extra: 1 })).slice(0, 2)).toEqual([20, 1]);
        expect(yield* holdings.fill(11, EXTRA)).toBe(0);
      }),
      start(seat, second.threads[0] as ThreadId, function* (own) {
        yield* own.sleep(1000);
        expect(yield* negotiate(own, data.policyServer, 11)).toEqual([-ENOMEM]);
        expect((yield* negotiate(own, data.policyServer, 10))[0]).toBe(10);
      }),
    );
    expect(physmem.accounts.principalOf(modest.id)?.swapQuota).toBe(32);
  });
});

test('what physmem cannot put in force, because the root task has these pages, is taken back and said so', () => {
  play(bootPolicy({ reserve: 0 }), function* (seat, physmem) {
    const { l4, data } = seat;
    const tenant = yield* makeTenant(seat, 0);
    const own = yield* Holdings.of(l4, data.physmem, data.masterControl);
    expect(yield* own.fill(50)).toBe(0);
    yield* join(
      seat,
      start(seat, tenant.threads[0] as ThreadId, function* (thread) {
        const all = physmem.accounts.pages - physmem.accounts.guaranteed;
        const [guaranteed, , , promised] = yield* negotiate(thread, data.policyServer, all);
        expect([guaranteed, promised]).toEqual([0, all]);
      }),
    );
    yield* own.give(50);
  });
});

test('O6 two hungry tasks: under fixed who comes first keeps all, under weight they share; what is guaranteed is had, always', () => {
  const SMALL = 1.5 * 2 ** 20; // bytes
  const RESERVE = 8; // pages for the root task
  const FIRST = 2; // pages guaranteed without a contract: a container is made of them
  interface Outcome {
    readonly guaranteed: number[];
    readonly asked: number; // pages the first was asked for
    readonly all: number; // pages for contracts
  }
  const outcome = (policy: MemoryPolicy): Outcome => {
    const guaranteed: number[] = [];
    const asked = { pages: 0, times: 0 };
    let all = 0;
    play(
      bootPolicy({ policy, reserve: RESERVE }),
      function* (seat, physmem) {
        const { l4, data } = seat;
        const tenants = [yield* makeTenant(seat, FIRST, 2), yield* makeTenant(seat, FIRST, 2)];
        all = physmem.accounts.pages - physmem.accounts.guaranteed + 2 * FIRST - RESERVE;
        for (const [i, { id }] of tenants.entries()) {
          yield* ask(l4, data.policyServer, MEMORY_POLICY.assign, id, 0, 0, i === 0 ? 1 : 3, SWAP_AS_BEFORE);
        }
        const hungry = new Set(tenants);
        const jobs = tenants.map((tenant, i) =>
          start(seat, tenant.threads[0] as ThreadId, function* (own) {
            const holdings = yield* Holdings.of(own, data.physmem, tenant.control);
            start(seat, tenant.threads[1] as ThreadId, (upcalls) => returner(upcalls, data.physmem, holdings, asked));
            yield* ask(own, data.physmem, PHYSMEM.controlSetUpcallThread, tenant.control, tenant.threads[1] as number);
            yield* own.sleep(1 + 20_000 * i);
            const made = yield* negotiate(own, data.policyServer, all - FIRST);
            if (i === 1 && policy.isWhole) expect(made).toEqual([-ENOMEM]);
            while ((yield* holdings.take(EXTRA)) === 0); // whatever is to be had
            yield* own.sleep(100_000); // reductions have come
            const [share] = yield* account(own, data.physmem, tenant.control);
            guaranteed[i] = share;
            const overhead = Math.ceil(share / 32) + 1; // single pages: two descriptors each, 64 to a page
            expect(yield* holdings.fill(Math.max(0, share - overhead - holdings.pages))).toBe(0);
            hungry.delete(tenant);
            while (hungry.size > 0) yield* own.sleep(1000);
            expect(physmem.accounts.principalOf(tenant.id)?.dropped).toBe(false);
          }),
        );
        yield* join(seat, ...jobs);
      },
      { memoryBytes: SMALL },
    );
    return { guaranteed, asked: asked.pages, all };
  };
  const fixed = outcome(fixedPolicy());
  expect([fixed.guaranteed, fixed.asked]).toEqual([[fixed.all - FIRST, FIRST], 0]);
  const weight = outcome(WEIGHT_POLICY);
  const [light, heavy] = weight.guaranteed as [number, number];
  expect(light + heavy).toBe(weight.all);
  expect(Math.abs(heavy - 3 * light)).toBeLessThanOrEqual(3);
  expect(weight.asked).toBeGreaterThan(heavy / 2);
});

test.each([
  ['fixed', 'all memory', fixedPolicy()],
  ['weight', 'what it owes', WEIGHT_POLICY],
] as const)(
  'J6 under %s who holds extra pages and receives no request for them loses %s, and nobody else notices',
  (_name, _loss, policy) => {
    play(
      bootPolicy({ policy, reserve: 0 }),
      function* (seat, physmem) {
        const { data } = seat;
        const [deaf, owed] = [yield* makeTenant(seat, 2), yield* makeTenant(seat, 2)];
        const bystander = yield* makeTenant(seat, 20, 2);
        yield* join(
          seat,
          start(seat, bystander.threads[0] as ThreadId, function* (l4) {
            expect(yield* (yield* Holdings.of(l4, data.physmem, bystander.control)).fill(16)).toBe(0);
          }),
        );
        const { accounts } = physmem;
        let held = 0;
        yield* join(
          seat,
          start(seat, deaf.threads[0] as ThreadId, function* (l4) {
            const holdings = yield* Holdings.of(l4, data.physmem, deaf.control);
            expect(yield* holdings.fill(2 * accounts.pages, EXTRA)).toBe(ENOMEM);
            held = holdings.pages;
            expect(accounts.principalOf(deaf.id)?.used).toBe(held);
          }),
        );
        yield* join(
          seat,
          start(seat, owed.threads[0] as ThreadId, function* (l4) {
            expect((yield* negotiate(l4, data.policyServer, 100))[0]).toBe(100);
            expect(yield* (yield* Holdings.of(l4, data.physmem, owed.control)).fill(90)).toBe(0);
          }),
        );
        const victim = accounts.principalOf(deaf.id);
        expect(victim?.dropped).toBe(true);
        const { dropped } = physmem.returns.counters;
        if (policy.isMild) {
          expect(victim?.used).toBe(held - dropped);
          expect(dropped).toBeGreaterThan(0);
          expect(dropped).toBeLessThanOrEqual(accounts.principalOf(owed.id)?.allocated ?? 0);
        } else expect([victim?.used, dropped]).toEqual([0, held]);
        expect(accounts.principalOf(bystander.id)?.used).toBe(16);
      },
      { memoryBytes: 1.5 * 2 ** 20 },
    );
  },
);

test('X-01 random messages break no policy server: every call gets an answer, and guarantees stay within what there is', () => {
  for (const policy of [fixedPolicy(), WEIGHT_POLICY]) {
    play(bootPolicy({ policy }), function* (seat, physmem) {
      const { l4, data } = seat;
      const random = new Random(1, 0);
      const edges = [0, 1, 2, 64, 1000, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 2 ** 63];
      const labels = [...Object.values(MEMORY_POLICY).map(({ label }) => label), 570, MEMORY_POLICY_NOTICE.changed.label, 0];
      const tenants = [yield* makeTenant(seat, 4), yield* makeTenant(seat, 0)];
      const jobs = tenants.map(({ threads }) =>
        start(seat, threads[0] as ThreadId, function* (own) {
          for (let i = 0; i < 150; i += 1) {
            own.message.begin(labels[random.below(labels.length)] as number);
            for (let words = random.below(7); words > 0; words -= 1) own.message.append(edges[random.below(edges.length)] as number);
            expect(yield* own.call(data.policyServer)).toBe(0);
            if (i % 25 === 0) yield* own.sleep(20_000);
          }
        }),
      );
      yield* join(seat, ...jobs);
      expect(physmem.accounts.guaranteed).toBeLessThanOrEqual(physmem.accounts.pages);
      const [, , , promised] = yield* negotiate(l4, data.policyServer, 20); // less than the root task has
      expect(promised).toBeLessThanOrEqual(20);
      yield* l4.sleep(60_000);
      expect((yield* account(l4, data.physmem, data.memoryControl))[0]).toBe(promised);
    });
  }
});

describe('garbage in the policy buffer', () => {
  const anyWord = fc.oneof(fc.nat(2000), fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1));
  const anyWrite = fc.record({ row: fc.oneof(fc.nat(10), fc.nat(255)), word: fc.nat(3), value: anyWord });

  function* scribble(view: PolicyView, writes: readonly { row: number; word: number; value: number }[]): Generator<L4Wait, void> {
    for (const { row, word, value } of writes) yield* view.store(row, word, value);
  }

  test('never breaks physmem: its accounts hold after every batch, and tasks get answers', () => {
    fc.assert(
      fc.property(fc.array(fc.array(anyWrite, { minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 6 }), (batches) => {
        play(null, function* (seat, physmem) {
          const { l4, data } = seat;
          const { view } = yield* holdPolicy(seat);
          const tenant = yield* makeTenant(seat, 20);
          const life = { over: false };
          const job = start(seat, tenant.threads[0] as ThreadId, function* (own) {
            const holdings = yield* Holdings.of(own, data.physmem, tenant.control);
            for (; !life.over; yield* own.sleep(50)) {
              const errno = yield* holdings.take(holdings.pages % 2 === 0 ? EXTRA : 0);
              if (errno !== 0) yield* invoke(own, data.physmem, PHYSMEM.controlInfo, tenant.control);
              if (holdings.pages > 30) yield* holdings.give(20);
            }
          });
          for (const batch of batches) {
            yield* scribble(view, batch);
            yield* l4.sleep(2000);
            assertInvariants(physmem);
            expect(physmem.accounts.guaranteed).toBeLessThanOrEqual(physmem.accounts.pages);
          }
          life.over = true;
          for (let i = 0; i < 100 && !job.isDone; i += 1) yield* l4.sleep(1000);
          expect(job.isDone).toBe(true);
        });
      }),
      { numRuns: 6 },
    );
  });

  test('that says a task holds nothing guaranteed costs it what is extra then, and no more than that may be asked', () => {
    play(null, function* (seat, physmem) {
      const { data } = seat;
      const { view } = yield* holdPolicy(seat);
      const tenant = yield* makeTenant(seat, 20);
      const said = { goOn: false };
      const job = start(seat, tenant.threads[0] as ThreadId, function* (l4) {
        const holdings = yield* Holdings.of(l4, data.physmem, tenant.control);
        expect(yield* holdings.fill(10)).toBe(0);
        while (!said.goOn) yield* l4.sleep(100);
        expect(yield* holdings.take()).toBe(ENOMEM);
        expect(yield* account(l4, data.physmem, tenant.control)).toEqual([0, 10, 10]);
      });
      yield* seat.l4.sleep(5000);
      yield* view.store(tenant.id, ROW_GUARANTEED, 0);
      yield* view.store(tenant.id, ROW_SERVER, SERVER_DROPPED); // not its word
      yield* view.store(0, HEADER_COMMITS, 1);
      said.goOn = true;
      yield* join(seat, job);
      expect(physmem.returns.counters.requests).toBe(0); // nobody is short of memory
    });
  });
});
