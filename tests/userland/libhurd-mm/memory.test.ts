/** What a program sees of its memory, call by call, on the real kernel and physmem. */
import { expect, test } from 'vitest';
import { PAGE, withStack } from './stack.ts';

const [R, RW] = [1, 3];
const ANON = 0x22;
const FIXED = 0x10;

test('memory comes with the first touch, a page a fault, and reads as zero', () => {
  const left = withStack({}, function* ({ l4, memory, task, charged, check }) {
    const at = yield* task.mmap({ addr: 0, len: 16 * PAGE, prot: RW, flags: ANON, file: null, offset: 0 });
    expect(charged()).toBe(0);
    for (const page of [0, 5, 15]) expect(yield* l4.load32(at + page * PAGE)).toBe(0);
    expect([memory.counters.faults, charged()]).toEqual([3, 3]);
    check();
  });
  expect(left).toEqual({ held: 0, lost: 0 });
});
