/** `vkernel lab live`: what it prints, writes and refuses. In this process. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readResults } from '../../../bench/lab/result.ts';
import { vkernel } from './in-process.ts';

const HELLO = 'userland/programs/elf/hello-rv64';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vkernel-live-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('a program is measured, and the model agrees with the stack', async () => {
  const out = join(folder, 'results.json');
  const trace = join(folder, 'hello.vktrace');
  const said = await vkernel('lab', 'live', '--out', out, '--record', trace, '--methods', 'native,vpagetable', HELLO, 'me');
  expect(said.status).toBe(0);
  expect(said.stderr).toContain('hello from a 64-bit guest'); // what the program says is not the measurement
  expect(said.stdout).toContain('vpte-64-nx 4K over sv39 4K');
  expect(said.stdout).toMatch(/walks of virtual page tables +\d+ +\d+ +equal/);
  expect(said.stdout).not.toContain('NOT EQUAL');
  const read = readResults(JSON.parse(readFileSync(out, 'utf8')));
  expect('results' in read && read.results.map(({ job }) => job.method)).toEqual(['native', 'vpagetable']);
  expect(readFileSync(trace, 'latin1')).toMatch(/^VKTRACE1/);
  expect(readdirSync(folder).sort()).toEqual(['hello.vktrace', 'results.json']);
  const again = await vkernel(
    'lab',
    'compare',
    '--guest',
    'vpte-64-nx',
    '--host',
    'sv39',
    '--methods',
    'vpagetable',
    '--trace',
    trace,
    '--out',
    out,
  );
  expect(again.status).toBe(0);
});

test('everything as JSON', async () => {
  const said = await vkernel('lab', 'live', '--json', '--methods', 'vpagetable', '--mmu', 'sv48', '--vpte', 'sv39', HELLO);
  expect(said.status).toBe(0);
  const { agreements, results, status, instructions } = JSON.parse(said.stdout) as Record<string, unknown>;
  expect([status, instructions]).toEqual([0, expect.any(Number)]);
  expect(agreements).toContainEqual({
    what: 'faults',
    stack: expect.any(Number) as number,
    model: expect.any(Number) as number,
    isEqual: true,
  });
  expect(results).toHaveLength(1);
});

test('the policy of memory is the one that was asked for', async () => {
  const said = await vkernel('lab', 'live', '--methods', 'vpagetable', '--policy', 'weight', HELLO);
  expect([said.status, said.stdout.includes('NOT EQUAL')]).toEqual([0, false]);
});

test.each([
  [['--policy', 'generous', HELLO], 2, "--policy: 'generous' is none of fixed, weight"],
  [['--methods', 'native,magic', HELLO], 2, "--methods: no 'magic'; there are native, nested"],
  [['--machine', 'abacus', HELLO], 2, 'no machine is named "abacus"'],
  [['--machine', './nowhere.toml', HELLO], 2, '--machine: ./nowhere.toml'],
  [['--vpte', 'i386-2l', HELLO], 2, '--vpte: i386-2l resolves 32 address bits'],
  [['--memory', '1', HELLO], 2, '-m: 1 is too little'],
  [['--record', '/nowhere/trace', HELLO], 1, '--record: /nowhere/trace: ENOENT'],
  [['package.json'], 126, 'package.json: not an ELF file'],
  [[], 2, 'missing required argument'],
] as const)('%j ends with %i', async (args, status, says) => {
  const said = await vkernel('lab', 'live', ...args);
  expect([said.status, said.stdout]).toEqual([status, '']);
  expect(said.stderr).toContain(says);
});

test('a trace of a run that did not come about is not left behind', async () => {
  const trace = join(folder, 'none.vktrace');
  expect((await vkernel('lab', 'live', '--record', trace, './nowhere')).status).not.toBe(0);
  expect([existsSync(trace), readdirSync(folder).filter((name) => name.endsWith('.tmp'))]).toEqual([false, []]);
});
