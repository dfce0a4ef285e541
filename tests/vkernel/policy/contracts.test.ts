/** Contracts: random lives of them against the rules, and the story of each kind of change. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ENOMEM } from '../../../hostkernel/base/errno.ts';
import { type Contract, Contracts, type ContractTerms } from '../../../vkernel/policy/contracts.ts';
import type { MemoryPolicy } from '../../../vkernel/policy/division.ts';
import { fixedPolicy } from '../../../vkernel/policy/fixed.ts';
import { WEIGHT_POLICY } from '../../../vkernel/policy/weight.ts';

const GRACE = 50;
const book = (policy: MemoryPolicy, floor = 0): Contracts => new Contracts({ policy, reductionTime: GRACE, longestTerm: 10_000, floor });
const terms = (task: number, wanted: number, term = 0): ContractTerms => ({ task, wanted, extra: true, term });

/** The contract, which the test expects to be made. */
function made(result: Contract | typeof ENOMEM): Contract {
  return result === ENOMEM ? expect.fail('refused') : result;
}

/** What a task is guaranteed now, will be, and when. */
function state(contracts: Contracts, task: number): readonly number[] {
  const { inForce, target, due } = contracts.get(task) ?? expect.fail('no contract');
  return [inForce, target, due];
}

type Step =
  | { readonly kind: 'negotiate'; readonly task: number; readonly wanted: number; readonly term: number }
  | { readonly kind: 'assign'; readonly task: number; readonly priority: number; readonly weight: number }
  | { readonly kind: 'forget'; readonly task: number }
  | { readonly kind: 'wait'; readonly time: number };

const task = fc.integer({ min: 1, max: 5 });
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('negotiate' as const), task, wanted: fc.nat(70), term: fc.nat(300) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('assign' as const), task, priority: fc.nat(2), weight: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('forget' as const), task }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), time: fc.nat(80) }) },
);

describe.each([
  ['fixed', fixedPolicy()],
  ['weight', WEIGHT_POLICY],
] as const)('under %s', (_name, policy) => {
  test('never more is guaranteed than there is, no guarantee falls without notice, and every expiry is kept', () => {
    const PAGES = 100;
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 40 }), fc.nat(10), (steps, floor) => {
        const contracts = book(policy, floor);
        let now = 0;
        // The model: what each task was told its guarantee would be, and until when its contract counts.
        const warned = new Map<number, { readonly at: number; readonly low: number }[]>();
        const ends = new Map<number, number>();
        for (const step of steps) {
          const before = new Map([...contracts.all()].map(({ task: of, inForce }) => [of, inForce]));
          if (step.kind === 'negotiate') {
            const result = contracts.negotiate(terms(step.task, step.wanted, step.term), 0, now, PAGES);
            if (result === ENOMEM) {
              expect(policy.isWhole).toBe(true);
              expect(new Map([...contracts.all()].map(({ task: of, inForce }) => [of, inForce]))).toEqual(before);
            } else {
              ends.set(step.task, now + Math.min(step.term === 0 ? 10_000 : step.term, 10_000));
              if (policy.isWhole) expect(result.target).toBe(step.wanted);
            }
          } else if (step.kind === 'assign') {
            contracts.assign(step.task, { user: 0, priority: step.priority, weight: step.weight }, now, PAGES);
          } else if (step.kind === 'forget') {
            contracts.forget(step.task);
            warned.delete(step.task);
            ends.delete(step.task);
          } else {
            now += step.time;
            contracts.advance(now, PAGES);
          }
          contracts.assertInvariants(PAGES);
          for (const { task: of, inForce, target } of contracts.all()) {
            const notices = warned.get(of) ?? [];
            const isExpired = now >= (ends.get(of) ?? Number.POSITIVE_INFINITY) && step.kind === 'wait';
            if (inForce < (before.get(of) ?? 0) && !isExpired) {
              const last = notices.findLastIndex(({ low }) => low > inForce); // since then it was announced
              expect((notices[last + 1]?.at ?? now) + GRACE).toBeLessThanOrEqual(now);
            }
            if (isExpired) expect(inForce).toBeLessThanOrEqual(floor);
            warned.set(of, [...notices, { at: now, low: target }]);
          }
          if (step.kind === 'wait') expect(contracts.next).toBeGreaterThan(now);
        }
      }),
      { numRuns: 60 },
    );
  });
});

test('U-09 a third contract of 1000 on 2993 frames is refused, and the two others do not notice', () => {
  const contracts = book(fixedPolicy());
  for (const each of [6, 7]) expect(made(contracts.negotiate(terms(each, 1000), 0, 0, 2993)).inForce).toBe(1000);
  expect(contracts.negotiate(terms(8, 1000), 0, 0, 2993)).toBe(ENOMEM);
  expect([...contracts.all()].map(({ task: of, inForce }) => [of, inForce])).toEqual([
    [6, 1000],
    [7, 1000],
  ]);
  expect(made(contracts.negotiate(terms(8, 993), 0, 0, 2993)).inForce).toBe(993);
});

test('J17 a reduction from 40 to 20 comes 50 ms after it was agreed, a raise at once', () => {
  const contracts = book(fixedPolicy());
  contracts.negotiate(terms(6, 40), 0, 0, 50);
  made(contracts.negotiate(terms(6, 20), 0, 100, 50));
  expect(state(contracts, 6)).toEqual([40, 20, 150]);
  contracts.advance(149, 50);
  expect(state(contracts, 6)[0]).toBe(40);
  contracts.advance(150, 50);
  expect(state(contracts, 6)).toEqual([20, 20, Number.POSITIVE_INFINITY]);
  made(contracts.negotiate(terms(6, 45), 0, 160, 50));
  expect(state(contracts, 6)[0]).toBe(45);
});

test('a newcomer under weight waits for those who have to come down, and then is raised by himself', () => {
  const contracts = book(WEIGHT_POLICY);
  contracts.negotiate(terms(6, 100), 0, 0, 100);
  contracts.negotiate(terms(7, 100), 0, 10, 100);
  expect([state(contracts, 6), state(contracts, 7)]).toEqual([
    [100, 50, 60],
    [0, 50, Number.POSITIVE_INFINITY],
  ]);
  contracts.advance(contracts.next, 100);
  expect([state(contracts, 6)[0], state(contracts, 7)[0]]).toEqual([50, 50]);
});

test('a reduction that becomes larger begins its time anew; one that becomes smaller keeps it; one that is void is gone', () => {
  const contracts = book(fixedPolicy());
  contracts.negotiate(terms(6, 40), 0, 0, 50);
  contracts.negotiate(terms(6, 30), 0, 10, 50);
  contracts.negotiate(terms(6, 20), 0, 20, 50);
  expect(state(contracts, 6)).toEqual([40, 20, 70]);
  contracts.negotiate(terms(6, 25), 0, 30, 50);
  expect(state(contracts, 6)).toEqual([40, 25, 70]);
  contracts.negotiate(terms(6, 40), 0, 40, 50);
  expect(state(contracts, 6)).toEqual([40, 40, Number.POSITIVE_INFINITY]);
});

test('an expired contract guarantees the floor, and what it held can be had by others', () => {
  const contracts = book(fixedPolicy(), 4);
  contracts.negotiate(terms(6, 40, 200), 0, 0, 50);
  expect(contracts.negotiate(terms(7, 30), 0, 100, 50)).toBe(ENOMEM);
  expect(contracts.next).toBe(200);
  contracts.advance(200, 50);
  expect(state(contracts, 6)[0]).toBe(4);
  expect(made(contracts.negotiate(terms(7, 46), 0, 201, 50)).inForce).toBe(46);
});

test('a contract renewed in time goes on', () => {
  const contracts = book(fixedPolicy());
  contracts.negotiate(terms(6, 40, 200), 0, 0, 50);
  contracts.negotiate(terms(6, 40, 200), 0, 150, 50);
  contracts.advance(200, 50);
  expect(state(contracts, 6)[0]).toBe(40);
  expect(contracts.next).toBe(350);
});
