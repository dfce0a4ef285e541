/**
 * Instructions that need several pages at the same time, in a task with little memory: they begin anew after each fault,
 * and end when nothing they need is missing. A driver stands for the processor, and sends the pager the faults of it.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ENOMEM } from '../../../hostkernel/base/errno.ts';
import { InstructionPages } from '../../../userland/libhurd-mm/instruction-pages.ts';
import { PageCache } from '../../../userland/libhurd-mm/page-cache.ts';
import type { L4Wait } from '../../../vkernel/l4/user.ts';
import { ModelFile } from './model.ts';
import { type Bench, PAGE, withStack } from './stack.ts';

const RW = 3;
const [SHARED, PRIVATE, FIXED, ANONYMOUS] = [1, 2, 0x10, 0x20];
const [READ_FAULT, WRITE_FAULT] = [4, 2]; // kinds, as fault messages have them
/** Faults of one instruction that ends, or is refused: 64 pages come back, each to be written once more, and some before. */
const MOST_FAULTS = 2 * 64 + 12;

const FILE = 0x10_0000;
const FILE_PAGES = 8;
const COPY = 0x20_0000; // of the same file
const HEAP = 0x30_0000;
const HEAP_PAGES = 16;
const PLACES = [
  { at: FILE, pages: FILE_PAGES },
  { at: COPY, pages: 4 },
  { at: HEAP, pages: HEAP_PAGES },
] as const;

interface Access {
  readonly place: number; // of PLACES
  readonly page: number;
  readonly write: boolean;
}

function address({ place, page }: Access): number {
  const { at, pages } = PLACES[place] as (typeof PLACES)[number];
  return at + (page % pages) * PAGE;
}

/** Maps a file, private pages of the same file, and a heap. */
function* mapAll({ task }: Bench, file: ModelFile): Generator<L4Wait, void> {
  const backing = file.backing(true);
  yield* task.mmap({ addr: FILE, len: FILE_PAGES * PAGE, prot: RW, flags: SHARED | FIXED, file: backing, offset: 0 });
  yield* task.mmap({ addr: COPY, len: 4 * PAGE, prot: RW, flags: PRIVATE | FIXED, file: backing, offset: 0 });
  yield* task.mmap({ addr: HEAP, len: HEAP_PAGES * PAGE, prot: RW, flags: PRIVATE | FIXED | ANONYMOUS, file: null, offset: 0 });
}

/**
 * Does the accesses of one instruction, from the first on after each fault. A write stores what is there.
 * @returns faults it took, or -ENOMEM
 */
function* execute({ l4, pager }: Bench, ip: number, accesses: readonly Access[]): Generator<L4Wait, number> {
  const word = new Uint8Array(4);
  for (let faults = 0; faults <= MOST_FAULTS; faults += 1) {
    const missing = accesses.find((access) => {
      const va = address(access);
      return l4.tryRead(va, word, 0, 4) < 4 || (access.write && l4.tryWrite(va, word, 0, 4) < 4);
    });
    if (missing === undefined) return faults;
    l4.message.begin(-32 + (missing.write ? WRITE_FAULT : READ_FAULT));
    l4.message.append(address(missing));
    l4.message.append(ip);
    expect(yield* l4.call(pager)).toBe(0);
    const errno = l4.message.label;
    if (errno !== 0) return -errno;
  }
  throw new Error(`not done after ${MOST_FAULTS} faults`);
}

/** Pages that cannot be given up. */
function stuck({ memory }: Bench, swap: boolean): number {
  const copies = memory.regions.find(COPY)?.store?.cache.dirty ?? 0;
  return copies + (swap ? 0 : memory.anonymous.cache.dirty);
}

const access: fc.Arbitrary<Access> = fc.record({ place: fc.nat(PLACES.length - 1), page: fc.nat(HEAP_PAGES - 1), write: fc.boolean() });
const instruction = fc.record({ ip: fc.integer({ min: 1, max: 3 }), accesses: fc.array(access, { minLength: 1, maxLength: 4 }) });

test('random instructions end or are refused, and are not refused with memory for all they may need', () => {
  const setup = fc.record({
    pages: fc.integer({ min: 1, max: 12 }),
    swap: fc.boolean(),
    faultAround: fc.constantFrom(1, 4),
    cluster: fc.constantFrom(1, 4),
  });
  let refusals = 0;
  fc.assert(
    fc.property(setup, fc.array(instruction, { minLength: 20, maxLength: 60 }), ({ swap, ...sizes }, instructions) => {
      withStack({ ...sizes, ...(swap ? { slots: 64 } : {}) }, function* (bench) {
        yield* mapAll(bench, new ModelFile(FILE_PAGES, true));
        for (const { ip, accesses } of instructions) {
          const faults = yield* execute(bench, ip, accesses);
          if (faults >= 0) continue;
          refusals += 1;
          expect(faults).toBe(-ENOMEM);
          expect(stuck(bench, swap)).toBeGreaterThan(sizes.pages - 5); // four, and what a copy is made of
        }
        bench.check();
      });
    }),
    { numRuns: 15, interruptAfterTimeLimit: 60_000 },
  );
  expect(refusals).toBeGreaterThan(0);
});

describe('two pages of a file at the same time', () => {
  const both = [0, 1].map((page) => ({ place: 0, page, write: false }));

  /** Fills the memory but for one page, and executes. */
  function* fillAndExecute(bench: Bench, pages: number): Generator<L4Wait, number> {
    yield* mapAll(bench, new ModelFile(FILE_PAGES, true));
    for (let page = 0; page < pages - 1; page += 1) expect(yield* bench.l4.store32(HEAP + page * PAGE, page + 1)).toBe(0);
    return yield* execute(bench, 1, both);
  }

  test('with swap space, other memory is put away for the second', () => {
    withStack({ pages: 8, slots: 16 }, function* (bench) {
      expect(yield* fillAndExecute(bench, 8)).toBe(2);
      expect(bench.memory.counters.swapOuts).toBeGreaterThan(0);
      for (let page = 0; page < 7; page += 1) expect(yield* bench.l4.load32(HEAP + page * PAGE)).toBe(page + 1);
    });
  });

  test('without, memory has run out; whoever asks for the reason hears it, and the next instruction has its chance', () => {
    withStack({ pages: 8 }, function* (bench) {
      const { l4, task } = bench;
      expect(yield* fillAndExecute(bench, 8)).toBe(-ENOMEM);
      const absent = both.map((one) => address(one)).filter((va) => l4.tryLoad32(va) < 0);
      expect(absent).toHaveLength(1);
      expect(yield* l4.load32(absent[0] as number)).toBe(-ENOMEM);
      expect(yield* execute(bench, 2, both.slice(0, 1))).toBeLessThan(2);
      yield* task.munmap(HEAP, PAGE);
      expect(yield* execute(bench, 1, both)).toBeLessThan(3);
    });
  });

  test('one page is enough for a loop that goes from one to the other', () => {
    withStack({ pages: 8 }, function* (bench) {
      yield* fillAndExecute(bench, 8);
      for (let i = 0; i < 300; i += 1) expect(yield* execute(bench, 100 + (i % 2), both.slice(i % 2, 1 + (i % 2)))).toBeLessThan(2);
    });
  });

  test('one page is enough for an instruction that goes through memory', () => {
    withStack({ pages: 8 }, function* (bench) {
      yield* fillAndExecute(bench, 8);
      for (let page = 0; page < 300; page += 1) expect(yield* execute(bench, 100, [{ place: 0, page, write: false }])).toBeLessThan(2);
    });
  });
});

test('the last four of an instruction are known, the newest longest, and none of another', () => {
  const [cache, other] = [new PageCache(), new PageCache()];
  const pages = new InstructionPages();
  pages.begin(8);
  for (const page of [1, 2, 3, 4, 2, 5]) pages.note(8, cache, page);
  pages.note(0, cache, 9);
  pages.assertInvariants();
  expect([1, 2, 3, 4, 5, 9].filter((page) => pages.has(cache, page, 4))).toEqual([2, 3, 4, 5]);
  expect([1, 2, 3, 4, 5, 9].filter((page) => pages.has(cache, page, 2))).toEqual([2, 5]);
  expect([pages.has(cache, 5, 0), pages.has(other, 5, 4)]).toEqual([false, false]);
  pages.begin(0);
  expect(pages.size).toBe(4);
  pages.begin(10);
  expect(pages.size).toBe(0);
});
