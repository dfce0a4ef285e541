/** Timers against a list that is sorted anew for every question. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IntervalTimers } from '../../../hostkernel/kern/interval-timer.ts';
import { type Timer, TimerQueue } from '../../../hostkernel/kern/timer.ts';

test('a queue fires what a sorted list would, in the same order', () => {
  const operation = fc.oneof(
    fc.record({ kind: fc.constant('set' as const), which: fc.nat(9), at: fc.nat(50) }),
    fc.record({ kind: fc.constant('clear' as const), which: fc.nat(9), at: fc.constant(0) }),
    fc.record({ kind: fc.constant('fire' as const), which: fc.constant(0), at: fc.nat(50) }),
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const queue = new TimerQueue();
      const fired: number[] = [];
      const timers: Timer[] = Array.from({ length: 10 }, (_, i) => ({ at: Infinity, index: -1, order: 0, fire: () => fired.push(i) }));
      let model: { readonly which: number; readonly at: number }[] = [];
      const expected: number[] = [];
      for (const { kind, which, at } of operations) {
        if (kind === 'fire') {
          queue.fire(at);
          const due = model.filter((entry) => entry.at <= at).sort((a, b) => a.at - b.at);
          expected.push(...due.map((entry) => entry.which));
          model = model.filter((entry) => entry.at > at);
        } else {
          model = model.filter((entry) => entry.which !== which);
          if (kind === 'set') model.push({ which, at });
          queue.set(timers[which] as Timer, kind === 'set' ? at : Infinity);
        }
        queue.assertInvariants();
        expect(fired).toEqual(expected);
        expect(queue.next).toBe(Math.min(Infinity, ...model.map((entry) => entry.at)));
      }
    }),
  );
});

test('an interval that has passed several times counts once, and keeps its beat', () => {
  let now = 0;
  const expired: number[] = [];
  const queue = new TimerQueue();
  const timers = new IntervalTimers(
    queue,
    () => now,
    (which) => expired.push(which),
  );
  timers.set(0, 100, 30);
  now = 175;
  queue.fire(now);
  expect(expired).toEqual([0]);
  expect(timers.get(0)).toEqual({ left: 15, interval: 30 }); // 100, 130, 160, 190
  timers.set(1, 50, 0);
  timers.charge(40, 1000); // the kernel's time is not the program's
  expect([expired, timers.get(1).left, timers.left]).toEqual([[0], 10, 10]);
  timers.charge(10, 0);
  expect([expired, timers.get(1).left]).toEqual([[0, 1], 0]);
  timers.set(2, 60, 60);
  timers.charge(30, 29);
  expect(timers.get(2).left).toBe(1);
  timers.charge(0, 1);
  expect(expired).toEqual([0, 1, 2]);
  timers.clear();
  expect([queue.next, timers.left]).toEqual([Infinity, Infinity]);
});
