/** The records of a program that runs on the booted stack: against a replay that knows nothing of page tables. */
import { describe, expect, test } from 'vitest';
import { EXEC, PAGE_SHIFT, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { ATTR_USER, type Machine } from '../../../hostkernel/machine/index.ts';
import { LiveRecorder } from '../../../bench/lab/live.ts';
import { type Batch, END, FAULT, INVALIDATE, MAP, REGION, SWITCH, UNMAP } from '../../../bench/lab/stream.ts';
import { run, type RunOptions, type RunResult } from '../../system/stack-run.ts';

/** What the records say of a guest, followed with one map a space. What contradicts them is in `wrong`. */
class Replay {
  readonly wrong: string[] = [];
  readonly kinds = new Map<number, number>();
  readonly spaces = new Map<number, Map<number, number>>(); // attributes by page
  work = 0;
  switches = 0;
  invalidatedPages = 0;
  #current = -1;

  consume(batch: Batch): void {
    for (let i = 0; i < batch.count; i++) {
      const kind = batch.kind[i];
      this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1);
      this.work += batch.work[i];
      if (kind < REGION) this.#access(batch, i);
      else this.#control(batch, i);
    }
  }

  count(kind: number): number {
    return this.kinds.get(kind) ?? 0;
  }

  #access(batch: Batch, i: number): void {
    const [kind, space, page] = [batch.kind[i], batch.space[i], batch.page[i]];
    if (space !== this.#current) this.wrong.push(`an access of space ${space} while ${this.#current} runs`);
    if (batch.offset[i] + batch.bytes[i] > PAGE_SIZE) this.wrong.push('an access on two pages');
    // A write is granted by WRITE alone; what an atomic operation reads it may read, too.
    if (!this.#permits(space, page, (kind & WRITE) !== 0 ? WRITE : kind))
      this.wrong.push(`access ${kind} to page ${page} of space ${space}`);
  }

  #permits(space: number, page: number, access: number): boolean {
    const attributes = this.spaces.get(space)?.get(page) ?? 0;
    return (attributes & (access | ATTR_USER)) === (access | ATTR_USER);
  }

  #control(batch: Batch, i: number): void {
    const [space, page, value, flags] = [batch.space[i], batch.page[i], batch.value[i], batch.flags[i]];
    const pages = this.spaces.get(space) ?? new Map<number, number>();
    switch (batch.kind[i]) {
      case MAP:
        this.spaces.set(space, pages.set(page, flags));
        if (batch.bytes[i] !== PAGE_SHIFT) this.wrong.push('a page of another size');
        return;
      case UNMAP:
        for (let at = page; at < page + value / PAGE_SIZE; at++) pages.delete(at);
        return;
      case INVALIDATE:
        this.invalidatedPages += value / PAGE_SIZE;
        return;
      case SWITCH:
        this.spaces.set(space, pages);
        this.#current = space;
        this.switches++;
        return;
      case FAULT:
        if (this.#permits(space, page, flags)) this.wrong.push(`a fault of page ${page} of space ${space}, which grants ${flags}`);
        return;
      case END:
        this.spaces.delete(space);
        return;
      default:
        this.wrong.push(`a record of kind ${batch.kind[i]}`);
    }
  }
}

interface Seen extends RunResult {
  readonly replay: Replay;
  readonly recorder: LiveRecorder;
}

/** Runs programs while somebody looks on. */
function watched(options: RunOptions): Seen {
  const replay = new Replay();
  let recorder: LiveRecorder | null = null;
  const watch = (machine: Machine) => {
    recorder = new LiveRecorder(machine.hart, (batch) => replay.consume(batch));
    machine.mmu.watch(recorder);
    return { watcher: recorder };
  };
  const result = run({ ...options, watch });
  const made = recorder as LiveRecorder | null;
  if (made === null) throw new Error('no machine');
  made.finish();
  made.assertInvariants();
  return { ...result, replay, recorder: made };
}

/** Programs of a few hundred thousand instructions: one process, many pages, a misaligned heap, forks and exec. */
const PROGRAMS: readonly { readonly program: readonly [name: string, ...args: string[]] }[] = [
  { program: ['hello'] },
  { program: ['matrix'] },
  { program: ['sorter', '300'] },
  { program: ['fork', 'pages', '8'] },
];

describe.each([32, 64] as const)('on rv%i', (xlen) => {
  test.each(PROGRAMS)('$program: every access is permitted by what was written before, every fault refused', ({ program }) => {
    const { replay, guestSpaces, recorder, stats } = watched({ xlen, programs: [program] });
    expect(replay.wrong).toEqual([]);
    expect(replay.work).toBe(stats.instructions);
    expect(replay.count(FAULT)).toBe(guestSpaces.refused);
    expect(replay.count(INVALIDATE)).toBe(guestSpaces.invalidations);
    expect(replay.invalidatedPages).toBe(guestSpaces.invalidatedPages);
    expect(replay.count(END)).toBe(recorder.counts.ended);
    expect(replay.count(EXEC)).toBeGreaterThan(0);
    expect(replay.count(READ)).toBeGreaterThan(0);
  });

  test('nobody notices that somebody looks on', () => {
    const options: RunOptions = { xlen, programs: [['matrix'], ['fork', 'pages', '8']] };
    const { output, ends, stats, guestSpaces } = run(options);
    const seen = watched(options);
    // A translation has one place in the TLB less: the hardware may walk more often, and nothing else differs.
    const { tlbMisses, tlbWalkReferences, ...others } = seen.stats;
    expect({ output: seen.output, ends: seen.ends, guestSpaces: seen.guestSpaces }).toEqual({ output, ends, guestSpaces });
    expect(stats).toMatchObject(others);
    expect(tlbMisses).toBeGreaterThanOrEqual(stats.tlbMisses);
    expect(tlbWalkReferences).toBeGreaterThanOrEqual(stats.tlbWalkReferences);
  });
});

test('forks run in spaces of their own, which end', () => {
  const { replay, recorder } = watched({ xlen: 64, programs: [['fork', 'pages', '8']] });
  expect(recorder.counts.spaces).toBeGreaterThan(1);
  expect(replay.switches).toBeGreaterThan(recorder.counts.spaces);
  expect(replay.count(END)).toBeGreaterThan(0);
});
