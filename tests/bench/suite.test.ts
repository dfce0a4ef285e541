/** What suites hand over, and what a comparison of two such records says. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Files, Suite } from '../../bench/suite.ts';
import { vkernel } from '../vkernel/cli/in-process.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vkernel-suite-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const BENCH = new URL('../../bench/', import.meta.url);
const suites = (readdirSync(BENCH, { recursive: true }) as string[]).filter((name) => name.endsWith('.bench.ts'));

test('there are suites', () => expect(suites.length).toBeGreaterThan(10));

test.each(suites)('%s exports run, which gives its files', (name) => {
  const text = readFileSync(new URL(name, BENCH), 'utf8'); // not imported: that takes long, and what it says is type-checked
  expect(text).toMatch(/^export (async )?function run\(\): (Files|Promise<Files>) \{$/m);
  const named = basename(name, '.bench.ts');
  if (named !== 'lab') expect(text).toContain(`new Suite('${named}')`); // so no two write one file
});

/** A suite of two cases: one counts squares, as many as it is told, and takes time; the other only takes time. */
function tiny(squares: number): Files {
  const suite = new Suite('tiny');
  const start = performance.now();
  let sum = 0;
  for (let i = 0; i < squares; i++) sum += i * i;
  suite.counts('squares', { squares, sum });
  suite.times('squares', [performance.now() - start + 0.001]);
  suite.timesOf({ results: [{ name: 'of benny', details: { sampleResults: [0.002, 0.003, 0.004] } }] }, 'case ');
  return suite.files();
}

function written(name: string, files: Files): string {
  const path = join(folder, name);
  writeFileSync(path, files.get('tiny.json') as string);
  return path;
}

test('two runs of a suite are equal in every counter, however long they took', async () => {
  const { status, stdout } = await vkernel('lab', 'diff', written('a.json', tiny(100)), written('b.json', tiny(100)));
  expect(stdout).toContain('2 of 2 runs are equal in every counter');
  expect(stdout).toMatch(/case of benny +1\.000 +0\.\d+ \.\. \d\.\d+ +no difference to be seen/);
  expect(status).toBe(0);
});

test('a counter that has changed is named, and the status says so', async () => {
  const { status, stdout } = await vkernel('lab', 'diff', written('a.json', tiny(100)), written('c.json', tiny(101)));
  expect(stdout).toMatch(/squares\n +counters\n +squares +100 +-> +101 +\+1\.00 %\n +sum +328,350 +-> +338,350/);
  expect(stdout).toContain('1 of 2 runs are equal in every counter');
  expect(status).toBe(1);
});

test('a record holds counters before times, in the order in which cases were named', () => {
  const suite = new Suite('order');
  suite.times('second thought', [1500, 500]);
  suite.counts('first', { faults: 3 });
  suite.counts('second thought', { walks: 4 });
  suite.counts('second thought', { references: 5 });
  expect(JSON.parse(suite.files().get('order.json') as string)).toEqual({
    name: 'order',
    results: [
      { name: 'second thought', counters: { walks: 4, references: 5 }, details: { sampleResults: [1.5, 0.5] } },
      { name: 'first', counters: { faults: 3 } },
    ],
  });
});

test('a suite that counts nothing, the same twice, or no number, is refused', () => {
  const suite = new Suite('refused');
  suite.times('a', [1]);
  expect(() => suite.files()).toThrow('suite refused: nothing was counted');
  suite.counts('a', { walks: 1 });
  expect(() => suite.counts('a', { walks: 1 })).toThrow('suite refused: a: walks');
  expect(() => suite.counts('b', { walks: NaN })).toThrow('suite refused: b: walks');
});
