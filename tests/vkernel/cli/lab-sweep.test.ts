/** `vkernel lab sweep` as a process: killed and continued, in parts, on any number of threads. And `lab run`, interrupted. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readResults } from '../../../bench/lab/result.ts';
import { CommandFolder } from './command.ts';

let folder: CommandFolder;
beforeAll(async () => {
  folder = await CommandFolder.create([]);
});
afterAll(() => folder.remove());

const SWEEP =
  'lab sweep --workload uniform --footprint 4M --accesses 4000 --methods native,nested --vary seed=1..3+1 --vary host-pages=4K,2M';
const JOBS = 9; // 3 native ones, for which the host does not matter, and 6 nested ones
const LONG = SWEEP.replace('--accesses 4000', '--accesses 60000');

function read(name: string): string {
  return readFileSync(join(folder.path, name), 'utf8');
}

function resultFiles(name: string): readonly string[] {
  return readdirSync(join(folder.path, name)).filter((file) => !file.startsWith('.'));
}

test('one thread or two, in one part or in two joined: the same bytes', async () => {
  const whole = await folder.run(`vkernel ${SWEEP} --workers 1 --results whole --out whole.json 2>/dev/null`);
  expect(whole).toEqual({ status: 0, output: `${JOBS} of ${JOBS} results are in whole\n` });
  for (const part of [1, 2]) expect((await folder.run(`vkernel ${SWEEP} --workers 2 --shard ${part}/2 --results p${part}`)).status).toBe(0);
  expect((await folder.run('vkernel lab merge p1 p2 --out joined.json')).status).toBe(0);
  expect(read('joined.json')).toBe(read('whole.json'));
  expect(readResults(JSON.parse(read('whole.json')))).toHaveProperty('results.length', JOBS);
});

/** Starts the sweep, and ends it with `signal` as soon as there are results. @returns what it said and its status */
function interrupted(results: string, signal: NodeJS.Signals): Promise<{ readonly status: number | null; readonly output: string }> {
  return new Promise((settle) => {
    const child = spawn(join(folder.path, 'bin', 'vkernel'), [...LONG.split(' '), '--workers', '2', '--results', results], {
      cwd: folder.path,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
    const watch = setInterval(() => {
      if (!existsSync(join(folder.path, results)) || resultFiles(results).length < 2) return;
      clearInterval(watch);
      child.kill(signal);
    }, 10);
    child.on('close', (status) => {
      clearInterval(watch);
      settle({ status, output });
    });
  });
}

test('an interrupted sweep leaves what is done, says so, and goes on from there', async () => {
  const { status, output } = await interrupted('stopped', 'SIGINT');
  const done = resultFiles('stopped').length;
  expect(output).toMatch(new RegExp(`interrupted: ${done} of ${JOBS} results are in stopped; the same command goes on from there`));
  expect([status, done >= 2 && done < JOBS]).toEqual([130, true]);
});

test('a killed sweep leaves whole results only, and is continued to the same bytes', async () => {
  await interrupted('killed', 'SIGKILL');
  const before = resultFiles('killed').length;
  expect(before >= 2 && before < JOBS).toBe(true);
  const again = await folder.run(`vkernel ${LONG} --results killed --out continued.json 2>/dev/null`);
  expect(again).toEqual({ status: 0, output: `${JOBS} of ${JOBS} results are in killed, ${before} of them from before\n` });
  expect(resultFiles('killed')).toHaveLength(JOBS);
  expect(readResults(JSON.parse(read('continued.json')))).toHaveProperty('results.length', JOBS);
});

test('a job that fails is named, the others are done, and the status says so', async () => {
  const line = 'lab sweep --workload uniform --accesses 100 --methods nested --guest sv32 --vary footprint=4M,16G --results failing';
  const { status, output } = await folder.run(`vkernel ${line}`);
  expect(output).toMatch(/vkernel: job [0-9a-f]{64}: footprint: the address space has .*\n/);
  expect(output).toContain('1 of 2 results are in failing; 1 job failed');
  expect([status, resultFiles('failing').length]).toEqual([1, 1]);
});

test('an interrupted run says that nothing was written', async () => {
  const args = ['lab', 'run', '--trace', '-', '--trace-format', 'lackey', '--out', 'run.json'];
  const child = spawn(join(folder.path, 'bin', 'vkernel'), args, { cwd: folder.path, stdio: ['pipe', 'ignore', 'pipe'] });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
  const ended = new Promise<NodeJS.Signals | null>((settle) => child.on('close', (_status, signal) => settle(signal)));
  // More than a pipe holds: when it has been written, the command is reading.
  await new Promise<void>((settle) => child.stdin.write(' L 4000,8\n'.repeat(40_000), () => settle()));
  child.kill('SIGINT');
  expect(await ended).toBe('SIGINT');
  expect(output).toMatch(/^vkernel: interrupted after \d+ accesses: nothing was written\n$/);
  expect(existsSync(join(folder.path, 'run.json'))).toBe(false);
});
