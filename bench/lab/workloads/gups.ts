/** Uniformly random accesses. Giga-updates per second, the worst case of every TLB, and what can be made of it. */
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import type { Batch } from '../stream.ts';
import { numberOf, type Pattern, type PatternSetup, READ_WRITE, touch } from './pattern.ts';

/** Updates random words of a table. Source: the HPC Challenge's RandomAccess, without its parallel part. */
export function gups(setup: PatternSetup): Pattern {
  const { space, random, memory } = setup;
  const footprint = numberOf(setup, 'footprint');
  const pages = Math.floor(footprint / 4096);
  const work = numberOf(setup, 'work');
  const table = memory.array(footprint) / 4096;
  return {
    records: 1,
    step(batch: Batch): void {
      const page = table + random.below(pages);
      batch.access(space, page, random.spare * 8, READ_WRITE, 8, work);
    },
  };
}

/** Reads, or writes, the first word of random pages: no two lines of one page, so what is counted is translation alone. */
export function uniform(setup: PatternSetup): Pattern {
  const { space, random, memory } = setup;
  const footprint = numberOf(setup, 'footprint');
  const pages = Math.floor(footprint / 4096);
  const work = numberOf(setup, 'work');
  const writes = numberOf(setup, 'writes');
  const table = memory.array(footprint) / 4096;
  return {
    records: 1,
    step(batch: Batch): void {
      const page = table + random.below(pages);
      batch.access(space, page, 0, writes > 0 && random.unit() < writes ? WRITE : READ, 8, work);
    },
  };
}

/** Random accesses in a window that moves on every `phase` accesses: a program that goes from one part of its data to the next. */
export function phases(setup: PatternSetup): Pattern {
  const { space, random, memory } = setup;
  const footprint = numberOf(setup, 'footprint');
  const window = Math.min(numberOf(setup, 'window'), footprint);
  const phase = numberOf(setup, 'phase');
  const work = numberOf(setup, 'work');
  const table = memory.array(footprint);
  const words = Math.floor(window / 8);
  const windows = Math.floor(footprint / window);
  let start = table;
  let left = phase;
  let at = 0;
  return {
    records: 1,
    step(batch: Batch): void {
      if (left === 0) {
        at = at + 1 === windows ? 0 : at + 1;
        start = table + at * window;
        left = phase;
      }
      left--;
      touch(batch, space, start + random.below(words) * 8, READ_WRITE, 8, work);
    },
  };
}
