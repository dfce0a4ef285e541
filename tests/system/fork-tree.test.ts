/**
 * Trees of processes against a model of address spaces: each process has private pages that a fork copies, pages that all
 * share, and pages of a file that it maps privately. What a process reads is what the model says, whoever was made from
 * whom and whoever has written since; and when all have ended no frame is missing.
 *
 *   operations --model--> expected reads
 *       |                     =
 *       +---> `fork tree OPS` on the whole stack: up to eight processes, told one after the other what to do
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { run } from './stack-run.ts';

const SLOTS = 8;
const [PRIVATE, SHARED, FILES] = [8, 4, 4];
const PAGES = PRIVATE + SHARED + FILES;

interface Step {
  readonly who: number; // of the live processes, modulo their number
  readonly op: 'w' | 'r' | 'f' | 'x' | 'z' | 'v';
  readonly page: number;
  readonly value: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  who: fc.nat(SLOTS - 1),
  op: fc.constantFrom('w', 'w', 'w', 'r', 'r', 'r', 'r', 'f', 'f', 'x', 'z', 'v'),
  page: fc.nat(PAGES - 1),
  value: fc.integer({ min: 1, max: 60 }),
});

/** Plays the steps on the model. @returns the operations as the program takes them, and what it will print */
function play(steps: readonly Step[]): { readonly ops: string; readonly reads: string } {
  const initial = Array.from({ length: PAGES }, (_, i) => (i < PRIVATE + SHARED ? 0 : 100 + i - PRIVATE - SHARED));
  const shared = initial.slice(PRIVATE, PRIVATE + SHARED);
  const spaces = new Map<number, number[]>([[0, [...initial]]]); // by slot
  const isShared = (page: number): boolean => page >= PRIVATE && page < PRIVATE + SHARED;
  let ops = '';
  let reads = '';
  const say = (slot: number, op: string, page: number, value: number): void => {
    ops += `${slot}${op}${String.fromCharCode(48 + page)}${String.fromCharCode(48 + value)}`;
  };
  for (const { who, op, page, value } of steps) {
    const slots = [...spaces.keys()];
    const slot = slots[who % slots.length];
    const space = spaces.get(slot) as number[];
    switch (op) {
      case 'w':
      case 'v': // a child of vfork writes into its parent's memory
        if (isShared(page)) shared[page - PRIVATE] = value;
        else space[page] = value;
        break;
      case 'r':
        reads += `${isShared(page) ? shared[page - PRIVATE] : space[page]} `;
        break;
      case 'z': // private memory is as it was mapped; shared memory stays
        if (!isShared(page)) space[page] = initial[page];
        break;
      case 'x':
        if (slots.length === 1) continue;
        spaces.delete(slot);
        break;
      case 'f': {
        const free = Array.from({ length: SLOTS }, (_, i) => i).find((i) => !spaces.has(i));
        if (free === undefined) continue;
        spaces.set(free, [...space]);
        say(slot, op, 0, free);
        continue;
      }
    }
    say(slot, op, page, value);
  }
  for (const [slot, space] of spaces) {
    for (let page = 0; page < PAGES; page++) {
      say(slot, 'r', page, 0);
      reads += `${isShared(page) ? shared[page - PRIVATE] : space[page]} `;
    }
  }
  for (const slot of spaces.keys()) say(slot, 'x', 0, 0);
  return { ops, reads: `${reads}end\n` };
}

function check(steps: readonly Step[], options: { readonly xlen: 32 | 64; readonly cluster: number }): void {
  const { ops, reads } = play(steps);
  const { output, failure, stats, ends } = run({
    xlen: options.xlen,
    programs: [['fork', 'tree', ops]],
    stack: { verify: true, cluster: options.cluster },
  });
  expect([output, ends, failure]).toEqual([reads, ['exit 0'], null]);
  expect([stats.hostFramesLost, stats.framesHeld - stats.framesReturned]).toEqual([0, 0]);
}

test('what a process reads is what it or those before it wrote, in any tree', () => {
  const setup = fc.record({ xlen: fc.constantFrom(32 as const, 64 as const), cluster: fc.constantFrom(1, 4, 16) });
  fc.assert(
    fc.property(fc.array(step, { minLength: 60, maxLength: 150 }), setup, (steps, options) => check(steps, options)),
    { numRuns: 5 },
  );
});

test('a page that three generations share is copied for each that writes', () => {
  const w = (who: number, page: number, value: number): Step => ({ who, op: 'w', page, value });
  const f = (who: number): Step => ({ who, op: 'f', page: 0, value: 1 });
  const x = (who: number): Step => ({ who, op: 'x', page: 0, value: 1 });
  check([w(0, 0, 1), f(0), f(1), w(1, 0, 2), w(2, 0, 3), w(0, 8, 4), w(1, 12, 5), x(1), f(0), w(0, 0, 6), w(2, 8, 7)], {
    xlen: 64,
    cluster: 1,
  });
});
