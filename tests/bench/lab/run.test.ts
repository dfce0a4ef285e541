/** Jobs that are run: the same bytes for the same job, alone or together with others, whatever was counted before. */
import { describe, expect, test } from 'vitest';
import { type Job, METHOD_NAMES, readJob } from '../../../bench/lab/job.ts';
import { readResults, resultText } from '../../../bench/lab/result.ts';
import { runJob, Runs, runTogether } from '../../../bench/lab/run.ts';
import { Batch, INVALIDATE, REGION } from '../../../bench/lab/stream.ts';
import { READ } from '../../../hostkernel/base/units.ts';

const SMALL = {
  guest: 'sv39',
  hosts: ['sv48'],
  workload: { name: 'uniform', params: { footprint: 2 ** 21, writes: 0.3 } },
  accesses: 6000,
};

function jobOf(over: object): Job {
  const read = readJob({ ...SMALL, ...over });
  if (!('schema' in read)) throw new Error(read.map(({ path, text }) => `${path}: ${text}`).join('\n'));
  return read;
}

describe.each(METHOD_NAMES)('%s', (method) => {
  test('the same job gives the same bytes, which are a result', async () => {
    const text = resultText(await runJob(jobOf({ method })));
    expect(resultText(await runJob(jobOf({ method })))).toBe(text);
    expect(readResults(JSON.parse(text))).toHaveProperty('results.length', 1);
  });

  test('counts add up', async () => {
    const { counts, cycles } = await runJob(jobOf({ method }));
    const { walks } = counts;
    const served = walks.byStage.flatMap(({ servedBy }) => Object.values(servedBy));
    expect(counts.accesses).toBe(6000);
    expect(counts.reads + counts.writes).toBe(6000);
    expect(served.reduce((sum, count) => sum + count, 0)).toBe(walks.references);
    expect(walks.perWalk.reduce((sum, count) => sum + count, 0)).toBe(walks.count);
    expect(walks.perWalk.reduce((sum, count, references) => sum + count * references, 0)).toBe(walks.references);
    expect(cycles.work + cycles.tlb + cycles.walk + cycles.data + cycles.traps).toBe(cycles.total);
  });
});

describe('who waits for a run', () => {
  test('is told how far memory is filled, method by method', async () => {
    const guest = { layout: 'sv39', populate: true };
    const workload = { name: 'uniform', params: { footprint: 2 ** 29 } };
    const jobs = (['native', 'nested'] as const).map((method) => jobOf({ method, guest, workload, accesses: 1 }));
    const told: unknown[] = [];
    await runTogether(jobs, { onFilling: ({ method }, done, pages) => void told.push([method, done, pages]) });
    expect(told).toEqual(['native', 'nested'].flatMap((method) => [1, 2].map((part) => [method, part * 65_536, 131_072])));
  });

  test('gets a turn after every batch of a workload', async () => {
    let [batches, turns] = [0, 0];
    const pause = (): Promise<void> | null => (batches % 2 === 0 ? null : Promise.resolve().then(() => void turns++));
    await runJob(jobOf({ method: 'native', accesses: 40_000 }), { onProgress: () => void batches++, pause });
    expect([batches > 8, turns]).toEqual([true, Math.ceil((batches - 1) / 2)]);
  });
});

test('methods that are fed from one stream count as they do alone', async () => {
  const jobs = METHOD_NAMES.map((method) => jobOf({ method }));
  const together = await runTogether(jobs);
  for (const [i, job] of jobs.entries()) expect(resultText(together[i])).toBe(resultText(await runJob(job)));
});

describe('a warm-up', () => {
  test('is all that a longer run has counted more', async () => {
    const [whole, first, rest] = await Promise.all(
      [{ accesses: 6000 }, { accesses: 4500 }, { accesses: 1500, warmUp: 4500 }].map(async (over) =>
        runJob(jobOf({ method: 'nested', ...over })),
      ),
    );
    const part = (key: 'accesses' | 'reads' | 'writes' | 'instructions'): number => first.counts[key] + rest.counts[key];
    for (const key of ['accesses', 'reads', 'writes', 'instructions'] as const) expect(part(key)).toBe(whole.counts[key]);
    expect(first.counts.walks.references + rest.counts.walks.references).toBe(whole.counts.walks.references);
    expect(first.cycles.total + rest.cycles.total).toBe(whole.cycles.total);
    for (const [name, counts] of Object.entries(whole.counts.structures))
      for (const [key, count] of Object.entries(counts)) {
        const [before, after] = [first.counts.structures[name][key], rest.counts.structures[name][key]];
        expect(before + after).toBe(count);
      }
  });

  test('leaves no faults to count where everything was touched', async () => {
    const { counts } = await runJob(jobOf({ method: 'nested', warmUp: 50_000, accesses: 1000 }));
    expect([counts.events['guestFaults'], counts.events['hostFaults']]).toEqual([0, 0]);
  });
});

describe('a trace', () => {
  const job = (): Job => jobOf({ method: 'native', workload: null, trace: { file: 'x' }, accesses: null });

  test('ends where it is enough, in the middle of a batch', () => {
    const runs = new Runs([jobOf({ method: 'native', workload: null, trace: { file: 'x' }, accesses: 2, warmUp: 1 })]);
    const batch = new Batch();
    for (let i = 0; i < 5; i++) batch.access(0, 100 + i, 0, READ, 8, 1);
    expect(runs.take(batch)).toBe(false);
    expect(runs.results(null)[0].counts).toMatchObject({ accesses: 2, instructions: 2 });
  });

  test('a record that makes no sense leaves a partial result, with what was before it', () => {
    const runs = new Runs([job()]);
    const batch = new Batch();
    batch.access(0, 100, 0, READ, 8, 1);
    batch.control(INVALIDATE + 100, 0, 0, 0);
    batch.access(0, 100, 0, READ, 8, 1);
    expect(runs.take(batch)).toBe(false);
    const [{ partial, counts }] = runs.results(null);
    expect(partial?.reason).toContain('record 1');
    expect(counts.accesses).toBe(1);
  });

  test('that cannot be read to its end leaves a partial result', async () => {
    const readTrace = (_: unknown, take: (batch: Batch) => boolean): Promise<string> => {
      const batch = new Batch();
      batch.control(REGION, 0, 100, 4096, READ);
      batch.access(0, 100, 8, READ, 8, 3);
      take(batch);
      return Promise.resolve('byte 77: it breaks off');
    };
    const result = await runJob(job(), { readTrace });
    expect(result.partial).toEqual({ reason: 'byte 77: it breaks off' });
    expect(result.counts.accesses).toBe(1);
  });
});
