/** Regular accesses: what prefetchers and large pages are made for. */
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import type { Batch } from '../stream.ts';
import { numberOf, type Pattern, type PatternSetup, touch } from './pattern.ts';

/**
 * Copy, scale, add and triad over three arrays of doubles, again and again.
 * Source: McCalpin, STREAM: sustainable memory bandwidth in high performance computers.
 */
export function stream(setup: PatternSetup): Pattern {
  const { space, memory } = setup;
  const words = Math.max(1, Math.floor(numberOf(setup, 'footprint') / 24));
  const work = numberOf(setup, 'work');
  const a = memory.array(words * 8);
  const b = memory.array(words * 8);
  const c = memory.array(words * 8);
  let kernel = 0;
  let i = 0;
  return {
    records: 3,
    step(batch: Batch): void {
      const at = i * 8;
      if (kernel === 0) {
        touch(batch, space, a + at, READ, 8, work); // c = a
        touch(batch, space, c + at, WRITE, 8, work);
      } else if (kernel === 1) {
        touch(batch, space, c + at, READ, 8, work); // b = s c
        touch(batch, space, b + at, WRITE, 8, work);
      } else if (kernel === 2) {
        touch(batch, space, a + at, READ, 8, work); // c = a + b
        touch(batch, space, b + at, READ, 8, work);
        touch(batch, space, c + at, WRITE, 8, work);
      } else {
        touch(batch, space, b + at, READ, 8, work); // a = b + s c
        touch(batch, space, c + at, READ, 8, work);
        touch(batch, space, a + at, WRITE, 8, work);
      }
      if (++i === words) {
        i = 0;
        kernel = (kernel + 1) & 3;
      }
    },
  };
}

/** Reads every `stride` bytes; after a round it begins one line further. */
export function stride(setup: PatternSetup): Pattern {
  const { space, memory } = setup;
  const footprint = numberOf(setup, 'footprint');
  const step = numberOf(setup, 'stride');
  const work = numberOf(setup, 'work');
  const table = memory.array(footprint);
  let first = 0;
  let at = 0;
  return {
    records: 1,
    step(batch: Batch): void {
      touch(batch, space, table + at, READ, 8, work);
      at += step;
      if (at + 8 > footprint) {
        first = first + 64 < step && first + 72 <= footprint ? first + 64 : 0;
        at = first;
      }
    },
  };
}
