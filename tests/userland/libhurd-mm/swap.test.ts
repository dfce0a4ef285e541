/** A task with less memory than it uses: what does not fit is put away at physmem, and comes back as it was. */
import { expect, test } from 'vitest';
import { ENOMEM } from '../../../hostkernel/base/errno.ts';
import { Random } from '../../fuzz/random.ts';
import type { MapRequest } from '../../../userland/libhurd-mm/index.ts';
import { PAGE, withStack } from './stack.ts';

const AT = 0x10_0000;
const [R, RW] = [1, 3];

/** Anonymous memory of `pages` pages at `addr`, in place of what is there. */
function request(addr: number, pages: number): MapRequest {
  return { addr, len: pages * PAGE, prot: RW, flags: 0x2 | 0x10 | 0x20, file: null, offset: 0 }; // private, fixed, anonymous
}

test('three times as much as is guaranteed: every value right, and never more charged than the guarantee', () => {
  const left = withStack({ pages: 24, slots: 128, cluster: 4, faultAround: 4 }, function* ({ l4, task, memory, charged, swapped, check }) {
    yield* task.mmap(request(AT, 72));
    for (let page = 0; page < 72; page += 1) {
      expect(yield* l4.store32(AT + page * PAGE, page + 1)).toBe(0);
      expect(charged()).toBeLessThanOrEqual(24);
    }
    check();
    for (let page = 0; page < 72; page += 1) expect(yield* l4.load32(AT + page * PAGE)).toBe(page + 1);
    expect(memory.counters.swapOuts).toBeGreaterThan(48);
    expect(memory.counters.swapIns).toBeGreaterThan(24);
    expect(swapped()).toBe(memory.counters.swapOuts - memory.counters.swapIns);
    check();
    yield* task.munmap(AT, 72 * PAGE);
    expect(swapped()).toBe(0);
  });
  expect(left).toEqual({ held: 0, lost: 0 });
});

test('without swap space, or with too little, the access fails, and what is released serves the next', () => {
  for (const [slots, most] of [
    [undefined, 24],
    [10, 34],
  ] as const) {
    withStack({ pages: 24, ...(slots === undefined ? {} : { slots }) }, function* ({ l4, task, check }) {
      yield* task.mmap(request(AT, 72));
      let pages = 0;
      while ((yield* l4.store32(AT + pages * PAGE, pages + 1)) === 0) pages += 1;
      expect(pages).toBe(most);
      expect(yield* l4.store32(AT + pages * PAGE, 1)).toBe(ENOMEM);
      check();
      yield* task.munmap(AT, 8 * PAGE);
      for (let page = 8; page < pages; page += 1) expect(yield* l4.load32(AT + page * PAGE)).toBe(page + 1);
      expect(yield* l4.store32(AT + pages * PAGE, 1)).toBe(0);
      check();
    });
  }
});

test('random accesses, releases and protections agree with an array', () => {
  for (const seed of [1, 2, 3]) {
    withStack({ pages: 20, slots: 256, cluster: 4, faultAround: 4 }, function* ({ l4, task, check }) {
      const random = new Random(seed, 0);
      const SIZE = 48;
      const values = new Int32Array(SIZE); // 0: never written, or released since
      yield* task.mmap(request(AT, SIZE));
      for (let step = 1; step <= 400; step += 1) {
        const page = random.below(SIZE);
        const count = Math.min(SIZE - page, random.between(1, 6));
        const at = AT + page * PAGE;
        switch (random.below(10)) {
          case 0:
            expect(yield* task.mmap(request(at, count))).toBe(at);
            values.fill(0, page, page + count);
            break;
          case 1:
            yield* task.mprotect(at, count * PAGE, R);
            yield* task.mprotect(at, count * PAGE, RW);
            break;
          case 2:
          case 3:
          case 4:
            expect(yield* l4.load32(at)).toBe(values[page]);
            break;
          default:
            expect(yield* l4.store32(at, step)).toBe(0);
            values[page] = step;
        }
        if (step % 50 === 0) check();
      }
      for (let page = 0; page < SIZE; page += 1) expect(yield* l4.load32(AT + page * PAGE)).toBe(values[page]);
    });
  }
});
