/** Section J: guarantees, extra pages, and asking them back; the policy server is a buffer of words here. */

import { describe, expect, test } from 'vitest';
import { ENOMEM } from '../../../../hostkernel/base/errno.ts';
import { WAIT } from '../../../../vkernel/physmem/core/physmem.ts';
import { GRACE } from '../../../../vkernel/physmem/core/principals.ts';
import { ABSENT, BUSY, SENT } from '../../../../vkernel/physmem/core/returns.ts';
import { ALL_OR_NONE, COPY_IN_PLACE, COPY_MOVE, EXTRA, SQUASH } from '../../../../vkernel/physmem/interface.ts';
import {
  CAPACITY_MASK,
  EPOCH_SHIFT,
  HEADER_COMMITS,
  HEADER_MILD,
  HEADER_POLICY,
  HEADER_SERVER,
  POLICY_EXTRA,
  ROW_ALLOCATED,
  rowOf,
  SERVER_DROPPED,
  SERVER_LIVE,
  SERVER_RETURNING,
} from '../../../../vkernel/physmem/policy-layout.ts';
import { Random } from '../../../fuzz/random.ts';
import { ArrayWords, PolicyRig } from '../policy-rig.ts';
import { finish } from './setup.ts';

const DEADLINE = 10_000;
const FIRST = 6;
const SECOND = 7;

/** N = 100; the first task has taken 60 pages, the second 40, first come first served. */
function full() {
  const rig = new PolicyRig(100);
  const first = rig.principal(FIRST);
  const second = rig.principal(SECOND);
  expect([rig.machine.allocate(first, 0, 60, EXTRA), rig.machine.allocate(second, 0, 40, EXTRA)]).toEqual([0, 0]);
  return { rig, machine: rig.machine, first, second };
}

/** The same, used; then each is guaranteed 50 pages. */
function halves(options: { mild?: boolean } = {}) {
  const made = full();
  const { rig, first, second } = made;
  expect([rig.fill(first, 60), rig.fill(second, 40)]).toEqual([[], []]);
  rig.introduce();
  if (options.mild === true) rig.words.store(HEADER_POLICY, HEADER_MILD);
  rig.guarantee(FIRST, 50);
  rig.guarantee(SECOND, 50);
  rig.commit();
  expect(rig.accounts.isInForce()).toBe(true);
  return made;
}

/** And the second allocates what it is guaranteed: ten pages too many are held. */
function short(options: { mild?: boolean } = {}) {
  const made = halves(options);
  expect(made.machine.allocate(made.second, 40, 10, ALL_OR_NONE)).toBe(0);
  expect(made.rig.asked).toEqual([{ task: FIRST, count: 10, at: 0 }]);
  return made;
}

describe('before guarantees are in force', () => {
  test('J2 first come, first served: 60 and 40 of 100, then nobody gets any', () => {
    const { machine, first, second } = full();
    expect([machine.allocate(first, 60, 1, EXTRA), machine.allocate(second, 40, 1, EXTRA)]).toEqual([ENOMEM, ENOMEM]);
    machine.deallocate(first, 0, 1);
    expect([machine.allocate(second, 40, 2, EXTRA), machine.physmem.amount]).toEqual([ENOMEM, 4096]);
    finish(machine);
  });

  test('J3 at the introduction the rows show what is, and nobody is asked before the first commit', () => {
    const { rig, machine, first, second } = full();
    rig.introduce();
    expect([rig.row(FIRST), rig.row(SECOND)]).toEqual([
      [60, 0, POLICY_EXTRA, SERVER_LIVE],
      [40, 0, POLICY_EXTRA, SERVER_LIVE],
    ]);
    expect(rig.words.load(0)).toBe(100);
    rig.pass(GRACE - 1);
    expect([rig.fill(first, 60), rig.fill(second, 40), rig.asked]).toEqual([[], [], []]);
    expect(machine.allocate(first, 60, 1)).toBe(ENOMEM);
    rig.check();
    finish(machine);
  });

  test('a policy server that never commits is taken at its word after a second: nobody is guaranteed anything', () => {
    const { rig, machine, first } = full();
    rig.introduce();
    expect(rig.accounts.isInForce()).toBe(false);
    rig.pass(GRACE);
    expect([rig.accounts.isInForce(), machine.allocate(first, 60, 1)]).toEqual([true, ENOMEM]);
    expect(first.control.principal.extra).toBe(60);
    rig.check();
    finish(machine);
  });
});

describe('asking pages back', () => {
  test('J4 who allocates within the guarantee is let in, and the difference is asked of who holds too much', () => {
    const { rig, machine, first, second } = short();
    expect([first.control.principal.extra, rig.row(SECOND)[0], rig.accounts.used]).toEqual([10, 50, 110]);
    expect(rig.row(FIRST)[3]).toBe(SERVER_LIVE | SERVER_RETURNING);
    expect(machine.allocate(second, 50, 1)).toBe(ENOMEM); // beyond its own guarantee
    expect(rig.asked.length).toBe(1);
    rig.check();
    finish(machine);
  });

  test('J5 pages returned in time serve who waits for them; it never saw an error', () => {
    const { rig, machine, first, second } = short();
    expect(machine.write(second, 40, 1)).toBe(WAIT);
    rig.pass(DEADLINE - 1);
    expect(machine.write(second, 40, 1)).toBe(WAIT);
    machine.deallocate(first, 50, 10);
    expect(rig.row(FIRST)[3]).toBe(SERVER_LIVE);
    expect(rig.fill(second, 50)).toEqual([]);
    rig.pass(DEADLINE);
    expect([rig.punished, machine.values(first, 0, 2)]).toEqual([[], [1000, 1001]]);
    rig.check();
    finish(machine);
  });

  test('J6 who is not receiving loses everything at once, and only it', () => {
    const { rig, machine, first, second } = halves();
    rig.answers.set(FIRST, ABSENT);
    expect(machine.allocate(second, 40, 10)).toBe(0);
    expect([first.pages, first.alive, rig.row(FIRST)]).toEqual([0, true, [0, 50, POLICY_EXTRA, SERVER_LIVE | SERVER_DROPPED]]);
    expect(rig.punished).toEqual([{ task: FIRST, pages: 60 }]);
    expect([rig.fill(second, 50), machine.read(second, 39)]).toEqual([[], 1039]);
    rig.check();
    finish(machine);
  });

  test('J7 nine pages of ten by the deadline are too few; twelve are fine', () => {
    const nine = short();
    nine.machine.deallocate(nine.first, 0, 9);
    nine.rig.pass(DEADLINE - 1);
    expect(nine.first.pages).toBe(51);
    nine.rig.pass(1);
    expect([nine.first.pages, nine.rig.punished]).toEqual([0, [{ task: FIRST, pages: 51 }]]);
    nine.rig.check();
    finish(nine.machine);
    const twelve = short();
    twelve.machine.deallocate(twelve.first, 0, 12);
    twelve.rig.pass(DEADLINE);
    expect([twelve.first.pages, twelve.rig.punished]).toEqual([48, []]);
    twelve.rig.check();
    finish(twelve.machine);
  });

  test('pages that are given up and replaced at once have not been returned', () => {
    const { rig, machine, first } = short();
    const other = machine.create(first.control);
    for (const attempt of [
      () => machine.allocate(first, 0, 20, SQUASH | EXTRA),
      () => machine.copy(first, 0, first, 30, 20, SQUASH | EXTRA),
      () => machine.copy(first, 0, first, 30, 20, COPY_IN_PLACE),
      () => machine.copy(first, 0, other, 0, 20, COPY_MOVE),
    ]) {
      expect(attempt()).toBe(0);
      expect([first.control.principal.used, rig.row(FIRST)[3]]).toEqual([60, SERVER_LIVE | SERVER_RETURNING]);
    }
    rig.pass(DEADLINE);
    expect(rig.punished).toEqual([{ task: FIRST, pages: 60 }]);
    rig.check();
    finish(machine);
  });

  test('J8 while it is asked, a principal gets no extra pages; what is guaranteed is given as ever', () => {
    const { rig, machine, first, second } = short();
    rig.guarantee(FIRST, 30);
    machine.deallocate(second, 40, 10);
    expect(machine.allocate(first, 60, 1, EXTRA)).toBe(ENOMEM);
    expect(machine.allocate(second, 40, 10)).toBe(0);
    expect(rig.asked.length).toBe(1); // one request at a time, though 30 pages are extra now
    machine.deallocate(first, 0, 10);
    machine.deallocate(second, 40, 10);
    expect([machine.allocate(first, 0, 10, EXTRA), rig.row(FIRST)[3]]).toEqual([0, SERVER_LIVE]);
    rig.check();
    finish(machine);
  });

  test('J9 a request is void when the guarantee is raised to what is held', () => {
    const { rig, machine, first } = short();
    rig.guarantee(SECOND, 40);
    rig.guarantee(FIRST, 60);
    rig.pass(DEADLINE);
    expect([first.pages, rig.row(FIRST)[3], rig.punished]).toEqual([60, SERVER_LIVE, []]);
    rig.check();
    finish(machine);
  });

  test('a busy thread is tried again for one deadline, an absent one as often as the parameter says', () => {
    const rig = new PolicyRig(20, { times: { retries: 2, retryAfter: 500 } });
    const greedy = rig.principal(FIRST);
    const owed = rig.principal(SECOND);
    rig.machine.allocate(greedy, 0, 20, EXTRA);
    rig.introduce();
    rig.guarantee(SECOND, 5);
    rig.commit();
    rig.answers.set(FIRST, ABSENT);
    rig.machine.allocate(owed, 0, 5);
    rig.pass(500);
    rig.answers.set(FIRST, BUSY);
    rig.pass(500);
    rig.pass(500);
    rig.answers.set(FIRST, SENT);
    rig.pass(500);
    expect(rig.asked.map(({ at }) => at)).toEqual([0, 500, 1000, 1500, 2000]);
    rig.pass(DEADLINE - 1);
    expect(greedy.pages).toBe(20);
    rig.pass(1);
    expect(greedy.pages).toBe(0);
    rig.check();
    finish(rig.machine);
  });

  test('the mild way: what came last goes, as much as is owed, and the next commit forgives', () => {
    const { rig, machine, first, second } = short({ mild: true });
    machine.deallocate(first, 0, 3);
    rig.pass(DEADLINE);
    expect([first.pages, rig.punished]).toEqual([50, [{ task: FIRST, pages: 7 }]]);
    expect([machine.read(first, 3), machine.read(first, 52), first.entries.at(53)]).toEqual([1003, 1052, 0]);
    expect(rig.fill(second, 50)).toEqual([]);
    machine.deallocate(second, 0, 20);
    expect(machine.allocate(first, 60, 1, EXTRA)).toBe(ENOMEM);
    rig.commit();
    expect(machine.allocate(first, 60, 1, EXTRA)).toBe(0);
    rig.check();
    finish(machine);
  });

  test('J19 a task that fills memory without a guarantee gives way: at once if silent, at the deadline if deaf', () => {
    for (const answer of [ABSENT, SENT, BUSY]) {
      const rig = new PolicyRig(100);
      const greedy = rig.principal(FIRST);
      const owed = rig.principal(SECOND);
      rig.introduce();
      rig.guarantee(FIRST, 0);
      rig.guarantee(SECOND, 60);
      rig.commit();
      expect([rig.machine.allocate(greedy, 0, 100, EXTRA), rig.fill(greedy, 100)]).toEqual([0, []]);
      rig.answers.set(FIRST, answer);
      for (let page = 0; page < 60; page += 4) {
        expect(rig.machine.allocate(owed, page, 4, ALL_OR_NONE)).toBe(0);
        for (let i = page; i < page + 4; i += 1) {
          let result = rig.machine.write(owed, i, i);
          for (; result === WAIT; result = rig.machine.write(owed, i, i)) rig.pass(1000);
          expect(result).toBe(0);
        }
      }
      expect(rig.machine.time).toBeLessThanOrEqual(DEADLINE + 1000);
      rig.check();
      finish(rig.machine);
    }
  });
});

describe('the policy buffer', () => {
  test('J10 a guarantee that makes the sum N + 1 is not put in force, and the header says so until it is cured', () => {
    const { rig, machine, first, second } = halves();
    rig.guarantee(SECOND, 51);
    machine.allocate(second, 40, 1);
    expect([second.control.principal.guaranteed, rig.overcommit]).toEqual([50, true]);
    rig.guarantee(FIRST, 49);
    machine.allocate(second, 41, 1);
    expect([first, second].map(({ control }) => control.principal.guaranteed)).toEqual([49, 51]);
    expect(rig.overcommit).toBe(false);
    rig.check();
    finish(machine);
  });

  test('J11 what is lowered before it is raised never overcommits, whenever physmem looks', () => {
    const { rig, machine, first, second } = halves();
    const look = () => {
      for (const container of [first, second]) machine.allocate(container, 99, 1);
      machine.deallocate(first, 99, 1);
      machine.deallocate(second, 99, 1);
      expect([rig.overcommit, rig.accounts.guaranteed <= 100]).toEqual([false, true]);
      rig.check();
    };
    for (const [down, up, pages] of [
      [FIRST, SECOND, 30],
      [SECOND, FIRST, 60],
    ] as const) {
      for (const [task, change] of [
        [down, -pages],
        [up, pages],
      ] as const) {
        rig.guarantee(task, (rig.accounts.principalOf(task)?.guaranteed ?? 0) + change);
        look();
      }
      rig.commit();
      look();
    }
    finish(machine);
  });

  test('J12 a task id beyond the capacity: the buffer grows, and every word written until the unmap is in the new one', () => {
    const rig = new PolicyRig(100);
    const old = rig.words;
    rig.principal(FIRST, 10);
    rig.principal(SECOND, 10);
    rig.introduce((capacityLog2) => {
      rig.guarantee(SECOND, 33); // just before it is unmapped
      return new ArrayWords(capacityLog2);
    });
    rig.guarantee(FIRST, 22);
    rig.guarantee(SECOND, 11);
    rig.commit();
    const late = rig.principal(300, 5);
    expect(rig.words).not.toBe(old);
    expect([rig.row(FIRST)[1], rig.row(SECOND)[1], rig.row(300)[1], rig.words.load(HEADER_COMMITS)]).toEqual([22, 33, 5, 1]);
    const header = rig.words.load(HEADER_SERVER);
    expect([header & CAPACITY_MASK, header >>> EPOCH_SHIFT]).toEqual([9, 1]);
    expect([rig.machine.allocate(late, 0, 5), rig.row(300)[0], old.load(rowOf(SECOND) + 1)]).toEqual([0, 5, 33]);
    rig.check();
    finish(rig.machine);
  });

  test('a task id that the buffer cannot be made to hold is no principal, and nothing has changed', () => {
    const rig = new PolicyRig(100);
    rig.introduce();
    rig.commit();
    const { physmem } = rig.machine;
    expect([300, 2 ** 20, 2 ** 31].map((task) => physmem.splitControl(physmem.root, 1, task))).toEqual([null, null, null]);
    expect(physmem.root.limit).toBe(100);
    finish(rig.machine);
  });

  test('J13 a policy server that scribbles over what physmem writes changes no decision; it is written again', () => {
    const { rig, machine, first, second } = halves();
    for (const value of [0, 2 ** 32 - 1]) {
      rig.words.store(rowOf(FIRST) + ROW_ALLOCATED, value);
      rig.words.store(rowOf(FIRST) + 3, value);
      rig.words.store(0, value);
      expect(machine.allocate(first, 60, 1)).toBe(ENOMEM);
      expect([first.control.principal.allocated, rig.row(FIRST)[0]]).toEqual([60, 60]);
    }
    expect([machine.allocate(second, 40, 10), rig.asked]).toEqual([0, [{ task: FIRST, count: 10, at: 0 }]]);
    expect([rig.row(FIRST)[3], rig.words.load(0)]).toEqual([SERVER_LIVE | SERVER_RETURNING, 100]);
    rig.check();
    finish(machine);
  });

  test('J16 a counter that wraps while physmem looks is never misread: no field is wider than one access', () => {
    const { rig, machine, first, second } = short({ mild: true });
    machine.deallocate(second, 0, 30);
    const load = rig.words.load.bind(rig.words);
    const last = 2 ** 32 - 1;
    rig.words.store(HEADER_COMMITS, last);
    rig.pass(DEADLINE); // punished: not eligible while the counter says so
    expect([first.pages, machine.allocate(first, 60, 1, EXTRA)]).toEqual([50, ENOMEM]);
    let reads = 0;
    rig.words.load = (index) => {
      const value = load(index);
      if (index !== HEADER_COMMITS) return value;
      reads += 1;
      rig.words.store(HEADER_COMMITS, (value + 1) % 2 ** 32); // a commit between any two looks
      return value;
    };
    expect(machine.allocate(first, 60, 1, EXTRA)).toBe(ENOMEM); // it still looked before the commit
    expect([load(HEADER_COMMITS), machine.allocate(first, 60, 1, EXTRA)]).toEqual([0, 0]);
    expect(reads).toBe(2); // once a decision
    rig.check();
    finish(machine);
  });

  test('a new principal begins with the pages it was split off with, and its row ends with it', () => {
    const { rig, machine, first } = halves();
    machine.physmem.destroyControl(first.control);
    expect(rig.row(FIRST).filter((_, word) => word !== 1 && word !== 2)).toEqual([0, 0]);
    const third = rig.principal(8, 30);
    expect([rig.row(8), third.control.limit]).toEqual([[0, 30, 0, SERVER_LIVE], 30]);
    expect(machine.allocate(third, 0, 31)).toBe(ENOMEM);
    expect([third.pages, rig.row(8)[0]]).toEqual([30, 30]);
    rig.check();
    finish(machine);
  });
});

describe('no failure within the guarantee', () => {
  test('J18 with N the total charge, ten thousand writes that break copies never fail', () => {
    for (const copyPages of [1, 8, 1024]) {
      const random = new Random(18, copyPages);
      const rig = new PolicyRig(96, { copyPages });
      const { machine } = rig;
      const containers = [FIRST, SECOND, 8].flatMap((task) => {
        const container = rig.principal(task, 32);
        return [container, machine.create(container.control)];
      });
      rig.introduce();
      for (const task of [FIRST, SECOND, 8]) rig.guarantee(task, 32, false);
      rig.commit();
      for (const container of containers) expect(machine.allocate(container, 0, 16, ALL_OR_NONE)).toBe(0);
      expect([rig.accounts.isInForce(), rig.accounts.used, rig.accounts.pages]).toEqual([true, 96, 96]);
      const values = new Map(containers.map((container) => [container, Array.from({ length: 16 }, () => 0)]));
      for (let i = 0; i < 3334; i += 1) {
        const container = random.pick(containers);
        const page = random.below(16);
        if (i % 8 === 0) {
          const source = random.pick(containers);
          if (source === container) continue;
          const count = random.between(1, 16 - page);
          expect(machine.copy(source, 0, container, page, count, SQUASH | ALL_OR_NONE)).toBe(0);
          values.get(container)?.splice(page, count, ...(values.get(source) ?? []).slice(0, count));
        }
        expect(machine.write(container, page, i)).toBe(0);
        values.get(container)?.splice(page, 1, i);
      }
      for (const [container, expected] of values) {
        expect(expected.map((_, page) => machine.read(container, page))).toEqual(expected);
      }
      expect([rig.asked, rig.accounts.used]).toEqual([[], 96]);
      rig.check();
      finish(machine);
    }
  });
});

describe('controls under guarantees', () => {
  test('I-3 the eleventh page of ten is ENOMEM, but not as an extra page of one who may hold them', () => {
    const rig = new PolicyRig(100);
    const { machine } = rig;
    const a = rig.principal(FIRST, 100);
    const child = machine.physmem.splitControl(a.control, 10);
    if (child === null) throw new Error('split');
    const b = machine.create(child);
    rig.introduce();
    rig.guarantee(FIRST, 100, false);
    rig.commit();
    expect([machine.allocate(b, 0, 10), machine.allocate(b, 10, 1), machine.allocate(b, 10, 1, EXTRA)]).toEqual([0, ENOMEM, ENOMEM]);
    rig.guarantee(FIRST, 100, true);
    expect([machine.allocate(b, 10, 1), machine.allocate(b, 10, 1, EXTRA)]).toEqual([ENOMEM, 0]);
    expect([child.limit, child.used, a.control.limit]).toEqual([10, 11, 90]);
    rig.check();
    finish(machine);
  });

  test('raising and lowering G changes the limit of the top control; below zero it only says that pages are extra', () => {
    const rig = new PolicyRig(100);
    const { machine } = rig;
    const a = rig.principal(FIRST, 60);
    const child = machine.physmem.splitControl(a.control, 40);
    rig.introduce();
    rig.guarantee(FIRST, 30);
    rig.commit();
    machine.allocate(a, 0, 1);
    expect([a.control.limit, child?.limit, machine.physmem.root.limit, a.pages]).toEqual([-10, 40, 70, 0]);
    rig.guarantee(FIRST, 100);
    machine.allocate(a, 0, 1);
    expect([a.control.limit, child?.limit, machine.physmem.root.limit, a.pages]).toEqual([60, 40, 0, 1]);
    rig.check();
    finish(machine);
  });

  test('what a principal owns is in its row, whatever control it is charged to; a partial admission fills G exactly', () => {
    const rig = new PolicyRig(100);
    const { machine } = rig;
    const a = rig.principal(FIRST, 20);
    const child = machine.physmem.splitControl(a.control, 15);
    if (child === null) throw new Error('split');
    const b = machine.create(child);
    rig.introduce();
    rig.guarantee(FIRST, 20, false);
    rig.commit();
    expect([machine.allocate(b, 0, 30), machine.physmem.amount / 4096]).toEqual([ENOMEM, 15]);
    expect([machine.allocate(a, 0, 30), machine.physmem.amount / 4096, rig.row(FIRST)[0]]).toEqual([ENOMEM, 5, 20]);
    rig.check();
    finish(machine);
  });
});
