/**
 * Same inputs, same bytes: in this Node, in another release of it, with one worker thread and with four, and in a
 * browser. What needs the other Node or the browser does not run without them (npm run tools), and says so.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { jobKey } from '../../../bench/lab/job.ts';
import { type KeyedJob, poolOf } from '../../../bench/lab/node/pool.ts';
import { runInBrowser } from '../../tools/browser.ts';
import { CHROMIUM, isHere, OTHER_NODE } from '../../tools/find.ts';
import { jobs, lineOf, run } from './same-bytes-program.ts';

let folder: string;
let program: string; // in one file, without anything of Node
let here: string; // what it says in this Node

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'vkernel-bytes-'));
  program = join(folder, 'program.mjs');
  buildSync({ entryPoints: ['tests/bench/lab/same-bytes-program.ts'], outfile: program, bundle: true, format: 'esm', platform: 'browser' });
  here = await run();
});
afterAll(() => rmSync(folder, { recursive: true }));

async function* keyed(): AsyncGenerator<KeyedJob> {
  for (const job of jobs()) yield { key: await jobKey(job), job };
}

test.each([1, 4])('with %i worker threads', async (workers) => {
  const file = join(folder, `worker-${workers}.mjs`);
  buildSync({
    entryPoints: ['vkernel/cli/lab-worker.ts'],
    outfile: file,
    bundle: true,
    format: 'esm',
    platform: 'node',
    // Packages that were written for require() find it.
    banner: { js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);" },
  });
  const lines: string[] = [];
  const outcomes = {
    done: (key: string, text: string): void => void lines.push(lineOf(key, text)),
    failed: (key: string, reason: string): void => void lines.push(lineOf(key, reason)),
  };
  await poolOf({ workers, file: pathToFileURL(file) })(keyed(), outcomes, new AbortController().signal);
  expect(lines.sort()).toEqual(here.split('\n').slice(-lines.length).sort());
  expect(lines.length).toBe(jobs().length);
});

test.runIf(isHere(OTHER_NODE, 'that the laboratory counts the same in another release of Node'))('in another release of Node', () => {
  const script = 'const { run } = await import(process.argv[1]); process.stdout.write(await run());';
  const { stdout, stderr } = spawnSync(OTHER_NODE.path as string, ['--input-type=module', '-e', script, pathToFileURL(program).href], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  expect(stderr).toBe('');
  expect(stdout).toBe(here);
});

test.runIf(isHere(CHROMIUM, 'that the laboratory counts the same in a browser'))('in a browser', async () => {
  expect(await runInBrowser(CHROMIUM.path as string, readFileSync(program, 'utf8'))).toBe(here);
});
