/** `vkernel lab`: what it refuses, and what it makes of files of results. In this process. */
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { METHOD_NAMES } from '../../../bench/lab/job.ts';
import { type LabResult, readResults, resultSetText, resultText } from '../../../bench/lab/result.ts';
import { layoutByName } from '../../../hostkernel/machine/paging/index.ts';
import { sampleResult } from '../../bench/lab/sample-result.ts';
import { vkernel } from './in-process.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vkernel-lab-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

test('a workload leaves room for a signal', async () => {
  const kill = vi.spyOn(process, 'kill').mockReturnValue(true); // it would end the tests
  const line = /^vkernel: interrupted after [1-9]\d* of 400000 accesses: nothing was written$/m;
  const before = new Set(process.listeners('SIGINT'));
  const poll = setInterval(() => {
    for (const listener of process.listeners('SIGINT')) if (!before.has(listener)) listener('SIGINT');
  }, 1);
  try {
    const { stderr } = await vkernel('lab', 'run', '--footprint', '4M', '--accesses', '400000', '--out', join(folder, 'signal.json'));
    expect(stderr).toMatch(line);
    expect(kill).toHaveBeenCalledWith(process.pid, 'SIGINT');
  } finally {
    clearInterval(poll);
    kill.mockRestore();
  }
});

describe('refusals are a line and status 2', () => {
  test.each([
    ['compare --workload gaps', "--workload: no 'gaps'; there are uniform, gups"],
    ['compare --methods nested,magic', "--methods: no 'magic'; there are native, nested"],
    ['run --method magic', "--method: no 'magic'"],
    ['compare --guest sv40', "no layout 'sv40'"],
    ['compare --guest ./nowhere.toml', './nowhere.toml: '],
    ['compare --host sv39,sv48,sv48', 'hosts: 3 elements; there may be 2'],
    ['compare --host-pages 4K,2M', '--host-pages: 2 sizes for 1 host'],
    ['compare --guest-pages 3K', 'guest.pageSizes: sv39 has no pages of 3K; it has 4K, 2M, 1G'],
    ['compare --footprint lots', 'workload: gups: footprint is a whole number'],
    ['compare --accesses 0', 'accesses: 0 is no whole number from 1'],
    ['compare --seed -1', 'seed: -1 is no whole number'],
    ['compare --set foo', "--set: 'foo' is no KEY=VALUE"],
    ['compare --set foo=1', 'foo: no such field; there are'],
    ['compare --set hosts=3', 'hosts: '],
    ['run --set hosts.0.populate=true', 'hosts: '],
    ['sweep --vary hosts=1,2', 'hosts: '],
    ['compare --set workload.writes=1', 'workload: gups has no parameter writes'],
    ['compare --trace ./nowhere.xz', '--trace: ./nowhere.xz: ENOENT'],
    ['compare --trace - --trace-format tape', "trace.format: 'tape' is none of champsim"],
    ['compare --trace - --workload gups', '--trace: the accesses come from the trace'],
    ['sweep --trace -', '--trace: standard input can be read once'],
    ['sweep --vary footprint=1..5', "--vary: footprint: '1..5' is no range"],
    [
      'sweep --vary host-pages=4K,16K',
      'hosts[0].pageSizes: sv48 has no pages of 16K; it has 4K, 2M, 1G, 512G (workload=gups method=nested',
    ],
    ['sweep --vary seed=1,2 --vary seed=3', '--vary: seed is varied twice'],
    ['sweep --vary seed=1..1000+1 --vary accesses=1..1000+1', '--vary: 2000000 combinations are too many'],
    ['sweep --shard 4/3', "--shard: '4/3' is no part I/N"],
    ['sweep --workers 0', "--workers: '0' is no number"],
    ['sweep --results /dev/null/x', '--results: /dev/null/x: '],
    ['merge /nowhere', '/nowhere: no such file'],
    ['diff /nowhere /nowhere', '/nowhere: no such file'],
    ['workloads gaps', "no workload 'gaps'"],
  ])('lab %s', async (line, text) => {
    const { status, stdout, stderr } = await vkernel('lab', ...line.split(' '));
    expect(stderr).toContain(`vkernel: ${text}`);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect([status, stdout]).toEqual([2, '']);
  });
});

describe('compare and run', () => {
  const SMALL = ['--workload', 'uniform,stride', '--footprint', '2M', '--accesses', '2000'];
  const compare = async (...more: readonly string[]) =>
    vkernel('lab', 'compare', ...SMALL, ...(more.includes('--json') ? [] : ['--out', join(folder, 'compared.json')]), ...more);

  function resultsOf(text: string): readonly LabResult[] {
    const read = readResults(JSON.parse(text));
    if ('problems' in read) throw new Error(read.problems.map(({ path, text: why }) => `${path}: ${why}`).join('\n'));
    return read.results;
  }

  test('methods are rows, workloads are columns, assumptions are marked', async () => {
    const out = join(folder, 'compared.json');
    const { status, stdout } = await compare('--methods', METHOD_NAMES.join(','), '--out', out);
    expect(stdout).toMatch(/^sv39 4K over sv48 4K; 2,000 accesses, seed 1\n\nREFERENCES PER WALK +uniform +stride\n {2}native +\d/);
    for (const name of METHOD_NAMES) expect(stdout.match(new RegExp(`^  ${name} +[\\d.,]+ +[\\d.,]+$`, 'gm'))).toHaveLength(4);
    expect(stdout).toMatch(/CYCLES \*[^]*\* The machine is skylake: \d+ of its \d+ numbers are assumptions/);
    expect(resultsOf(readFileSync(out, 'utf8'))).toHaveLength(2 * METHOD_NAMES.length);
    expect(status).toBe(0);
  });

  test('a method that cannot run such a guest is left out, with the reason', async () => {
    const { status, stdout, stderr } = await compare('--guest', 'i386', '--methods', 'nested,agile');
    expect(stderr).toMatch(/^vkernel: left out: agile, uniform: agile paging: .*\nvkernel: left out: agile, stride: .*\n$/);
    expect(stdout).not.toMatch(/^ {2}agile +\d+\.\d{3}/m);
    expect(stdout).toMatch(/^ {2}nested +\d/m);
    expect(status).toBe(0);
    expect((await vkernel('lab', 'run', '--guest', 'i386', '--method', 'agile')).status).toBe(2);
  });

  test('designs are computed from nested runs', async () => {
    const { stdout } = await compare('--methods', 'native,flattened');
    expect(stdout).toMatch(/WALKS FASTER THAN NESTED, TIMES +uniform +stride\n[^]* {2}flattened +\d+\.\d\d +\d+\.\d\d\n/);
  });

  test('a layout of the user’s own is guest, host, and both', async () => {
    const own = file('own.json', JSON.stringify({ ...layoutByName('armv8-16k-47'), id: 'mine' }));
    for (const sides of [
      ['--guest', own],
      ['--host', own],
      ['--guest', own, '--host', own],
      ['--guest', own, '--host', `${own},sv48`],
    ]) {
      const { stdout, stderr } = await compare('--json', ...sides);
      expect(stderr).toBe('');
      expect(resultsOf(stdout).every(({ counts }) => counts.walks.count > 0)).toBe(true);
    }
  });

  test('a machine of the user’s own, and what is set of it', async () => {
    const machine = file('mine.toml', 'name = "mine"\nextends = "u54"\n[events]\nexit = 7\n');
    const { stdout } = await vkernel(
      'lab',
      'run',
      ...SMALL.slice(2),
      '--workload',
      'uniform',
      '--machine',
      machine,
      '--set',
      'machine.events.fault=9',
    );
    expect(resultsOf(stdout)[0].job.machine).toMatchObject({ name: 'mine', events: { exit: 7, fault: 9 } });
    const wrong = file('wrong.toml', '[events]\nexit = "much"\n');
    expect((await compare('--machine', wrong)).stderr).toContain('vkernel: machine.events.exit: ');
    expect((await compare('--machine', './none.toml')).stderr).toContain('vkernel: --machine: ./none.toml: ');
    expect((await compare('--machine', 'pdp11')).stderr).toContain('vkernel: machine.extends: no machine is named');
  });

  test('a trace that breaks off leaves a partial result and says where', async () => {
    const whole = file('whole.lackey', ' L 4000,8\n S 5000,8\n');
    expect((await vkernel('lab', 'run', '--trace', whole)).status).toBe(0);
    const broken = file('broken.lackey', ' L 4000,8\n S 5000,8\n X nonsense\n');
    const { status, stdout, stderr } = await vkernel('lab', 'run', '--trace', broken);
    expect(resultsOf(stdout)[0]).toMatchObject({
      partial: { reason: expect.stringMatching(/^byte \d+: /) as string },
      counts: { accesses: 2 },
    });
    expect(stderr).toMatch(/^vkernel: nested: partial: byte \d+: /);
    expect(status).toBe(1);
  });
});

describe('merge', () => {
  const [a, b] = [sampleResult(), sampleResult({ seed: 2 })];

  test('joins files and folders, equal results once', async () => {
    mkdirSync(join(folder, 'sweep'));
    file(`sweep/${'ab'.repeat(32)}.json`, resultText(a));
    const other = file('b.json', resultSetText([b, a]));
    const out = join(folder, 'all.json');
    expect(await vkernel('lab', 'merge', join(folder, 'sweep'), other, '--out', out)).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(readFileSync(out, 'utf8')).toBe(resultSetText([a, b]));
  });

  test('names the job that has two results', async () => {
    const paths = [file('one.json', resultText(a)), file('two.json', resultText(sampleResult({}, 11)))];
    const { status, stderr } = await vkernel('lab', 'merge', ...paths);
    expect(stderr).toContain('two.json and');
    expect(stderr).toContain('differ on one job: nested, gups, sv39 4K over sv48 4K, seed 1');
    expect(status).toBe(1);
  });

  test('names the file that is damaged, and the field', async () => {
    const damaged = file('damaged.json', resultText(a).slice(0, 100));
    expect(await vkernel('lab', 'merge', damaged)).toMatchObject({ status: 2, stderr: expect.stringContaining('no JSON') as string });
    const strange = file('strange.json', '{"schema":"vkernel-lab/1"}');
    expect((await vkernel('lab', 'merge', strange)).stderr).toContain('strange.json: partial: missing');
  });
});

describe('diff', () => {
  const [a, b] = [sampleResult(), sampleResult({}, 11)];

  test('equal results are equal', async () => {
    const path = file('same.json', resultSetText([a]));
    expect(await vkernel('lab', 'diff', path, path)).toEqual({ status: 0, stdout: '1 of 1 run is equal in every counter\n', stderr: '' });
  });

  test('counters that differ come with their change', async () => {
    const { status, stdout } = await vkernel('lab', 'diff', file('a.json', resultText(a)), file('b11.json', resultText(b)));
    expect(stdout).toMatch(/counts\.walks\.count +10 +-> +11 +\+10\.00 %/);
    expect(stdout).toContain('0 of 1 run is equal');
    expect(status).toBe(1);
  });

  test('of two jobs the fields that differ are told', async () => {
    const other = file('seed.json', resultText(sampleResult({ seed: 7 })));
    expect((await vkernel('lab', 'diff', file('a1.json', resultText(a)), other)).stdout).toMatch(/job\.seed +1 +-> +7/);
  });

  test('times are a ratio with the interval of the quartiles', async () => {
    const suite = (times: readonly number[], references: number): string =>
      JSON.stringify({ name: 'walks', results: [{ name: 'nested', counters: { references }, details: { sampleResults: times } }] });
    const slow = file('slow.json', suite([2, 2.1, 2.2], 24));
    const fast = file('fast.json', suite([1, 1.05, 1.1], 24));
    const compared = await vkernel('lab', 'diff', slow, fast);
    expect(compared.stdout).toMatch(/nested +0\.500 +0\.\d+ \.\. 0\.\d+ +faster/);
    expect(compared.status).toBe(0);
    expect((await vkernel('lab', 'diff', slow, file('more.json', suite([2, 2.1, 2.2], 25)))).stdout).toMatch(/references +24 +-> +25/);
  });
});

test('a workload’s parameters are listed with their defaults', async () => {
  expect((await vkernel('lab', 'workloads', 'kv-zipf')).stdout).toMatch(/workload\.footprint +1G /);
  expect(JSON.parse((await vkernel('lab', 'workloads', '--json')).stdout)).toHaveProperty('mix.params.turn', 1000);
});

describe('files of results', () => {
  const run = ['lab', 'run', '--accesses', '10', '--footprint', '4K'];

  test('a device that --out names is written to, not replaced by a file; one that is full fails', async () => {
    const out = join(folder, 'full');
    symlinkSync('/dev/full', out);
    expect(await vkernel(...run, '--out', out)).toEqual({ status: 1, stdout: '', stderr: `vkernel: --out: ${out}: ENOSPC\n` });
    expect(lstatSync(out).isSymbolicLink()).toBe(true);
  });

  test('a folder that --out names is refused', async () => {
    expect(await vkernel(...run, '--out', folder)).toEqual({ status: 1, stdout: '', stderr: `vkernel: --out: ${folder}: EISDIR\n` });
  });

  test('a folder of results that cannot be made is refused, also where no parent takes folders', async () => {
    const { status, stderr } = await vkernel('lab', 'sweep', '--vary', 'seed=1,2', '--results', '/proc/none/results');
    expect([status, stderr]).toEqual([2, expect.stringMatching(/^vkernel: --results: .*\n$/)]);
  });
});
