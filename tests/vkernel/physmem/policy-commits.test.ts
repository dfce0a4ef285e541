/** The commit counter of the policy buffer: 64 bits, in words of 32, with a writer that may stop between any two of them. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { L4_WAIT, type L4, type L4Wait } from '../../../vkernel/l4/user.ts';
import { PolicyBuffer } from '../../../vkernel/physmem/core/policy-buffer.ts';
import { MIN_CAPACITY_LOG2 } from '../../../vkernel/physmem/policy-layout.ts';
import { BUFFER_BASE, PolicyView } from '../../../vkernel/policy/buffer.ts';
import { ArrayWords } from './policy-rig.ts';

/** The policy server's side over the same words: every access waits first, so that anything may come between two. */
function viewOf(words: ArrayWords): PolicyView {
  const own: Partial<L4> = {
    *load32(va) {
      yield L4_WAIT;
      return words.load((va - BUFFER_BASE) / 4);
    },
    *store32(va, value) {
      yield L4_WAIT;
      words.store((va - BUFFER_BASE) / 4, value);
      return 0;
    },
  };
  return new PolicyView(own as L4);
}

/** Runs a program to its end. */
function finish<T>(program: Generator<L4Wait, T>): T {
  for (;;) {
    const { done, value } = program.next();
    if (done === true) return value;
  }
}

test('J16 commits counted across 2^32 by a 32-bit policy server are never misread, wherever it is when physmem reads', () => {
  const near = fc.integer({ min: -3, max: 3 }).map((distance) => 2 ** 32 + distance);
  fc.assert(
    fc.property(
      fc.oneof(
        fc.nat(5),
        near,
        near.map((n) => n + 2 ** 32),
      ),
      fc.integer({ min: 1, max: 6 }),
      (start, count) => {
        const words = new ArrayWords();
        const view = viewOf(words);
        const buffer = new PolicyBuffer(words, MIN_CAPACITY_LOG2);
        finish(view.commit(start));
        expect(buffer.commits()).toBe(start);
        let seen = start;
        for (let commits = start + 1; commits <= start + count; commits += 1) {
          const writer = view.commit(commits);
          for (let step = writer.next(); step.done !== true; step = writer.next()) {
            const read = buffer.commits();
            expect([commits - 1, commits]).toContain(read);
            expect(read).toBeGreaterThanOrEqual(seen);
            seen = read;
          }
          expect(buffer.commits()).toBe(commits);
          seen = commits;
          expect(finish(viewOf(words).commits())).toBe(commits); // what a successor begins with
        }
      },
    ),
  );
});

test('a policy server that dies in the middle of a commit leaves a count its successor only goes on from', () => {
  for (let steps = 1; steps <= 3; steps += 1) {
    const words = new ArrayWords();
    finish(viewOf(words).commit(2 ** 32 - 1));
    const buffer = new PolicyBuffer(words, MIN_CAPACITY_LOG2);
    const before = buffer.commits();
    const dying = viewOf(words).commit(2 ** 32);
    for (let i = 0; i <= steps; i += 1) dying.next();
    expect(buffer.commits()).toBeGreaterThanOrEqual(before);
    const heir = viewOf(words);
    const next = finish(heir.commits()) + 1;
    finish(heir.commit(next));
    expect(buffer.commits()).toBe(next);
    expect(next).toBeGreaterThan(2 ** 32 - 1);
  }
});
