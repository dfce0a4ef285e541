/** Worker threads and the folder of results. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Job, jobKey, readJob } from '../../../../bench/lab/job.ts';
import { type KeyedJob, poolOf } from '../../../../bench/lab/node/pool.ts';
import { ResultStore } from '../../../../bench/lab/node/result-store.ts';

let folder: string;
let worker: URL;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vkernel-pool-'));
  const outfile = join(folder, 'echo-worker.mjs');
  buildSync({ entryPoints: ['tests/bench/lab/node/echo-worker.ts'], outfile, format: 'esm' });
  worker = pathToFileURL(outfile);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function* jobsOfSeeds(seeds: readonly number[]): AsyncGenerator<KeyedJob> {
  for (const seed of seeds) {
    const job = readJob({ method: 'native', guest: 'sv39', workload: 'gups', seed }) as Job;
    yield { key: await jobKey(job), job };
  }
}

/** What became of the jobs. @param stop is aborted at the first result, if given */
async function outcomesOf(seeds: readonly number[], workers: number, stop?: AbortController): Promise<readonly string[]> {
  const said: string[] = [];
  const outcomes = {
    done(_key: string, text: string): void {
      said.push(text);
      stop?.abort();
    },
    failed: (_key: string, reason: string) => void said.push(reason),
  };
  await poolOf({ workers, file: worker })(jobsOfSeeds(seeds), outcomes, (stop ?? new AbortController()).signal);
  return said.sort();
}

describe('the pool', () => {
  test('a job that fails is told of in one line, and the others go on', async () => {
    const expected = ['not enough memory', 'poisoned', 'seed 1', 'seed 2', 'seed 6', 'seed 7'];
    expect(await outcomesOf([1, 2, 3, 4, 6, 7], 2)).toEqual(expected);
  });

  test('stops when it is told to, whatever its workers do', async () => {
    expect(await outcomesOf([5, 1, 5, 1], 2, new AbortController())).toEqual(['seed 1']);
  });

  test('what the receiver of results throws ends the sweep', async () => {
    const outcomes = {
      done: () => {
        throw new Error('ENOSPC');
      },
      failed: () => {},
    };
    const run = poolOf({ workers: 2, file: worker });
    await expect(run(jobsOfSeeds([1, 2]), outcomes, new AbortController().signal)).rejects.toThrow('ENOSPC');
  });
});

describe('the store', () => {
  const key = 'ab'.repeat(32);

  test('holds whole files under the keys of their jobs, and nothing else counts', () => {
    const path = join(folder, 'store');
    const store = new ResultStore(path);
    store.write(key, 'text');
    writeFileSync(join(path, `.${'cd'.repeat(32)}.host.1`), 'half of a resu');
    writeFileSync(join(path, 'notes.json'), '{}');
    const again = new ResultStore(path);
    expect(again.has(key)).toBe(true);
    expect(again.has('cd'.repeat(32))).toBe(false);
    expect(readFileSync(again.pathOf(key), 'utf8')).toBe('text');
  });

  test('a write that fails leaves nothing behind', () => {
    const path = join(folder, 'failing');
    const store = new ResultStore(path);
    mkdirSync(store.pathOf(key)); // a folder where the file should go
    expect(() => store.write(key, 'text')).toThrow(/EISDIR|ENOTEMPTY|EPERM/);
    expect(readdirSync(path)).toEqual([`${key}.json`]);
  });
});
