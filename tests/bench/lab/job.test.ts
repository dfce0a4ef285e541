/** Jobs as people and other programs write them, and the one text each has. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalText } from '../../../bench/lab/canonical.ts';
import { bytesName, type Job, jobKey, jobText, leafSizes, machineOf, parseBytes, readJob } from '../../../bench/lab/job.ts';
import { layoutByName } from '../../../hostkernel/machine/paging/index.ts';
import { MACHINE_NAMES, machineByName } from '../../../hostkernel/machine/timing/index.ts';

const SMALL = { method: 'nested', guest: 'sv39', hosts: ['sv48'], workload: 'gups' };

function jobOf(value: unknown): Job {
  const read = readJob(value);
  if (!('schema' in read)) throw new Error(read.map(({ path, text }) => `${path}: ${text}`).join('\n'));
  return read;
}

function problemsOf(value: unknown): readonly string[] {
  const read = readJob(value);
  return 'schema' in read ? [] : read.map(({ path, text }) => `${path}: ${text}`);
}

describe('jobs', () => {
  test('what is left out has its default, and is written out', () => {
    const job = jobOf(SMALL);
    expect(job).toMatchObject({ accesses: 1_000_000, seed: 1, trace: null, guest: { layout: 'sv39', pageSizes: '4K' } });
    expect(jobOf(JSON.parse(jobText(job)))).toEqual(job);
  });

  test('jobs that mean the same have the same key', async () => {
    const written = {
      seed: 1,
      workload: { params: {}, name: 'gups' },
      hosts: [{ layout: 'sv48', pageSizes: 4096 }],
      guest: 'sv39',
      method: 'nested',
    };
    expect(await jobKey(jobOf(written))).toBe(await jobKey(jobOf(SMALL)));
    expect(await jobKey(jobOf({ ...SMALL, seed: 2 }))).not.toBe(await jobKey(jobOf(SMALL)));
    expect(jobText(jobOf({ ...SMALL, guest: 'x86-64' }))).toBe(jobText(jobOf({ ...SMALL, guest: 'x86-64-4l' })));
  });

  test('a native guest has no host, so its key depends on none', () => {
    const native = { ...SMALL, method: 'native' };
    expect(jobText(jobOf(native))).toBe(jobText(jobOf({ ...native, hosts: ['sv57'] })));
  });

  test('page sizes are those of the layout with its options', () => {
    const sizesOf = (guest: object): string => jobOf({ ...SMALL, guest: { layout: 'sv39', ...guest } }).guest.pageSizes;
    expect(sizesOf({ options: { svnapot: 1 }, pageSizes: '64K' })).toBe('64K');
    expect(sizesOf({ pageSizes: '1G+4K+2M' })).toBe('2M+1G');
    expect(sizesOf({ pageSizes: 'thp' })).toBe('2M');
  });

  test('a layout of the user’s own is part of the job', () => {
    const own = { ...layoutByName('armv8-16k-47'), id: 'mine' };
    const job = jobOf({ ...SMALL, guest: { layout: own }, hosts: [{ layout: own, pageSizes: '32M' }] });
    expect(job.guest).toMatchObject({ layout: { id: 'mine' }, pageSizes: '16K' });
    expect(jobOf(JSON.parse(jobText(job)))).toEqual(job);
  });

  test.each(MACHINE_NAMES)('%s goes through a job as it is, and through its text', (name) => {
    const job = jobOf({ ...SMALL, machine: name });
    expect(machineOf(job)).toEqual(machineByName(name));
    expect(jobText(jobOf(JSON.parse(jobText(job))))).toBe(jobText(job));
  });

  test('what differs from a machine is told apart, with where it is from', () => {
    const { machine } = jobOf({ ...SMALL, machine: { extends: 'haswell', events: { exit: 5 } } });
    expect(machine).toMatchObject({ name: 'haswell, changed', events: { exit: 5 } });
    expect(problemsOf({ ...SMALL, machine: { extends: 'pdp11' } })[0]).toContain('machine.extends: no machine is named');
    expect(problemsOf({ ...SMALL, machine: { events: { exit: -5 } } })[0]).toContain('machine.events.exit: ');
  });

  test('the parameters of a workload are complete', () => {
    expect(jobOf({ ...SMALL, workload: { name: 'gups', params: { footprint: 4096 } } }).workload).toEqual({
      name: 'gups',
      params: { footprint: 4096, work: 4 },
    });
  });

  test.each([
    [{ ...SMALL, workload: 'gap' }, 'workload: no workload gap; there are'],
    [{ ...SMALL, workload: { name: 'gups', params: { writes: 1 } } }, 'workload: gups has no parameter writes'],
    [{ ...SMALL, method: 'magic' }, "method: 'magic' is none of native, nested"],
    [{ ...SMALL, guest: 'sv40' }, "guest.layout: no layout 'sv40'; there are sv32"],
    [{ ...SMALL, guest: { layout: 'sv39', pageSizes: '16K' } }, 'guest.pageSizes: sv39 has no pages of 16K; it has 4K, 2M, 1G'],
    [{ ...SMALL, guest: { layout: 'sv39', page: '4K' } }, 'guest.page: no such field'],
    [{ ...SMALL, hosts: [] }, "hosts: nested needs a host's layout"],
    [{ ...SMALL, hosts: ['sv48', 'sv48', 'sv48'] }, 'hosts: 3 elements; there may be 2'],
    [{ ...SMALL, workload: null }, 'workload: a job has a workload or a trace'],
    [{ ...SMALL, accesses: 0 }, 'accesses: 0 is no whole number from 1'],
    [{ ...SMALL, seed: 2 ** 32 }, 'seed: 4294967296 is no whole number'],
    [{ ...SMALL, guest: { layout: { ...layoutByName('sv39'), entryBytes: 5 } } }, 'guest.layout.entryBytes: 5 is none of 4, 8'],
    [{ ...SMALL, trace: { file: 'a', sha256: 'zz' }, workload: null }, "trace.sha256: 'zz' is no SHA-256"],
    ['nested', "the file: 'nested' is no table"],
  ])('%j', (value, text) => {
    expect(problemsOf(value).join('\n')).toContain(text);
  });

  test('whatever is written, it is a job with one text or a list of problems', () => {
    const field = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom('sv39', 'sv48', 'nested', 'native', '2M', 'thp', 'gups', 7));
    const wild = fc.record(
      {
        method: fc.oneof(field, fc.constant('nested')),
        guest: field,
        hosts: fc.oneof(field, fc.array(field)),
        workload: field,
        seed: field,
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          wild,
          fc.record({ guest: field, seed: field }).map((some) => ({ ...SMALL, ...some })),
          fc.jsonValue(),
        ),
        (value) => {
          const read = readJob(value);
          if (!('schema' in read)) expect(read.length).toBeGreaterThan(0);
          else expect(jobText(jobOf(JSON.parse(jobText(read))))).toBe(jobText(read));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('a value that is nested without end is a problem, not a stack overflow', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i++) deep = [deep];
    expect(problemsOf({ ...SMALL, machine: { tlb: { l1d: deep } } })[0]).toContain('machine.tlb.l1d');
  });
});

describe('canonical text', () => {
  test('says what JSON says, whatever the order of names', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const turned = Object.fromEntries(Object.entries(value).reverse());
        expect(canonicalText(turned)).toBe(canonicalText(value));
        expect(JSON.parse(canonicalText(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
  test('a number that is not finite is our mistake', () => {
    expect(() => canonicalText({ a: Number.NaN })).toThrow('not finite');
  });
  test('there is one zero', () => expect(canonicalText(-0)).toBe('0'));
});

describe('sizes', () => {
  test.each([
    ['4K', 4096],
    ['1g', 2 ** 30],
    ['12345', 12345],
    ['16T', 2 ** 44],
    ['8P', 2 ** 53],
    ['-1K', null],
    ['4 K', null],
    ['1e3', null],
    ['', null],
  ])('%s', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes === 2 ** 53 ? null : bytes);
  });
  test('a size is read as it is written', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (bytes) => {
        expect(parseBytes(bytesName(bytes))).toBe(bytes);
      }),
    );
  });
  test('contiguous runs are page sizes', () => {
    const layout = layoutByName('armv8-4k-48');
    expect(layout === null ? [] : leafSizes(layout, layout.options).map(bytesName)).toEqual(['4K', '64K', '2M', '32M', '1G', '16G']);
  });
});

test('choices of a method are said in full in its own jobs, and dropped from those of others', () => {
  const written = { guest: 'sv39', hosts: ['sv48'], workload: 'gups', shadow: { threshold: 7 }, agile: { levels: 2 } };
  const choices = (method: string) => {
    const job = readJob({ ...written, method });
    return 'schema' in job ? [job.shadow, job.vpagetable, job.agile] : job;
  };
  expect(choices('nested')).toEqual([null, null, null]);
  expect(choices('shadow')).toEqual([{ outOfSync: true, threshold: 7, roots: 0, hostUnmap: 'reverse' }, null, null]);
  expect(choices('vpagetable')).toEqual([null, { superpages: true }, null]);
  expect(choices('agile')).toEqual([null, null, { levels: 2, period: 16, roots: 4 }]);
});

test.each([
  ['shadow', { outOfSync: 'yes' }, 'shadow.outOfSync'],
  ['shadow', { threshold: 0 }, 'shadow.threshold'],
  ['shadow', { hostUnmap: 'never' }, 'shadow.hostUnmap'],
  ['shadow', { prefetch: 8 }, 'shadow.prefetch'],
  ['vpagetable', { superpages: 1 }, 'vpagetable.superpages'],
  ['agile', { levels: 4 }, 'agile.levels'],
  ['agile', { levels: 'all' }, 'agile.levels'],
  ['agile', { roots: 0 }, 'agile.roots'],
])('a choice that the method does not have is a problem of its field: %s %o', (method, choice, path) => {
  const job = readJob({ method, guest: 'sv39', hosts: ['sv48'], workload: 'gups', [method]: choice });
  expect('schema' in job ? [] : job.map((problem) => problem.path)).toEqual([path]);
});
