/**
 * A program whose page tables do not rest: random reads of a stable array, and among them system calls that change the
 * mapping of others. It drives what a hypervisor pays for: table writes, invalidations, faults, switches.
 *
 *   stable array    read at random, all the time
 *   churned array   `batch` pages at a time: remap (unmap, map again, touch), protect (take the right to write away, give it
 *                   back), fork (a child is made, writes, and ends), exec (everything is torn down and built again)
 *
 * `rate` operations come per thousand accesses; with `batch` pages each, a guest writes about rate * batch entries.
 */
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import { type Batch, END, FORK, REGION, REPERMIT, SWITCH, UNREGION } from '../stream.ts';
import { ALL_RIGHTS, numberOf, type Pattern, type PatternSetup, touch } from './pattern.ts';

const KINDS = ['remap', 'protect', 'fork', 'exec'] as const;

export function churn(setup: PatternSetup): Pattern {
  const { space, memory, random } = setup;
  const work = numberOf(setup, 'work');
  const rate = numberOf(setup, 'rate');
  const pages = Math.max(1, Math.floor(numberOf(setup, 'footprint') / 4096));
  const churned = Math.max(1, Math.floor(numberOf(setup, 'churned') / 4096));
  const batchPages = Math.min(numberOf(setup, 'batch'), churned);
  const mode = setup.params['kind'] as (typeof KINDS)[number] | 'all';
  const stable = memory.array(pages * 4096) / 4096;
  const moving = memory.array(churned * 4096) / 4096;
  const child = space + 1; // spaces of other programs of a mix are further apart
  let due = 0; // thousandths of an operation
  let turn = 0;

  function remap(batch: Batch, page: number): void {
    batch.control(UNREGION, space, page, batchPages * 4096);
    batch.control(REGION, space, page, batchPages * 4096, ALL_RIGHTS);
    writeAll(batch, space, page);
  }

  function protect(batch: Batch, page: number): void {
    batch.control(REPERMIT, space, page, batchPages * 4096, READ);
    batch.control(REPERMIT, space, page, batchPages * 4096, ALL_RIGHTS);
    writeAll(batch, space, page);
  }

  function fork(batch: Batch, page: number): void {
    batch.control(FORK, space, 0, child);
    batch.control(SWITCH, child, 0, 0);
    writeAll(batch, child, page);
    batch.control(END, child, 0, 0);
    batch.control(SWITCH, space, 0, 0);
    writeAll(batch, space, page);
  }

  function exec(batch: Batch, page: number): void {
    batch.control(END, space, 0, 0);
    memory.declare(batch, space, ALL_RIGHTS);
    batch.control(SWITCH, space, 0, 0);
    writeAll(batch, space, page);
  }

  function writeAll(batch: Batch, who: number, page: number): void {
    for (let i = 0; i < batchPages; i++) touch(batch, who, (page + i) * 4096, WRITE, 8, work);
  }

  return {
    records: 2 * batchPages + 8,
    step(batch: Batch): void {
      due += rate;
      if (due < 1000) {
        touch(batch, space, (stable + random.below(pages)) * 4096 + random.spare * 8, READ, 8, work);
        return;
      }
      due -= 1000;
      const page = moving + random.below(churned - batchPages + 1);
      const kind = mode === 'all' ? KINDS[turn++ % KINDS.length] : mode;
      if (kind === 'remap') remap(batch, page);
      else if (kind === 'protect') protect(batch, page);
      else if (kind === 'fork') fork(batch, page);
      else exec(batch, page);
    },
  };
}
