import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Batch, END, FORK, REGION, REPERMIT, SWITCH, UNREGION } from '../../../../bench/lab/stream.ts';
import { type Workload, workload, WorkloadError, type WorkloadSpec, WORKLOAD_NAMES } from '../../../../bench/lab/workloads/index.ts';
import { READ, WRITE } from '../../../../hostkernel/base/units.ts';

const SV39 = { end: 2 ** 38 };
const SV32 = { end: 2 ** 32 };

interface Seen {
  readonly kind: number;
  readonly space: number;
  readonly address: number;
  readonly value: number;
  readonly bytes: number;
  readonly work: number;
}

/** All records of a workload. */
function recordsOf(source: Workload): Seen[] {
  const batch = new Batch();
  const seen: Seen[] = [];
  for (let more = true; more; ) {
    batch.count = 0;
    more = source.append(batch);
    expect(batch.count).toBeGreaterThan(0);
    for (let i = 0; i < batch.count; i++) {
      const address = batch.page[i] * 4096 + batch.offset[i];
      seen.push({ kind: batch.kind[i], space: batch.space[i], address, value: batch.value[i], bytes: batch.bytes[i], work: batch.work[i] });
    }
  }
  return seen;
}

const isAccess = ({ kind }: Seen): boolean => kind < REGION;
const spec = (name: string, params: WorkloadSpec['params'] = {}, accesses = 3000): WorkloadSpec => ({ name, seed: 1, accesses, params });
const small = (name: string): WorkloadSpec['params'] =>
  /^(bfs|pagerank|graph500|pagerank-like)/.test(name) ? { scale: 10 } : name === 'mix' ? {} : { footprint: 2 ** 24 };

describe.each([...WORKLOAD_NAMES])('%s', (name) => {
  test('makes exactly the accesses asked for, inside what it has mapped, on one page each', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2500 }), fc.nat(0xffff_ffff), (accesses, seed) => {
        const records = recordsOf(workload({ name, seed, accesses, params: small(name) }, SV39));
        const mapped = records.filter(({ kind }) => kind === REGION);
        expect(records.filter(isAccess)).toHaveLength(accesses);
        for (const { space, address, bytes, work } of records.filter(isAccess)) {
          const home = name === 'pt-churn' ? 0 : space; // a child has its parent's regions
          if (
            !mapped.some((region) => region.space === home && address >= region.address && address + bytes <= region.address + region.value)
          ) {
            expect.fail(`${address} of space ${space} is not mapped`);
          }
          if ((address % 4096) + bytes > 4096 || work < 1) expect.fail(`${bytes} bytes at ${address}, ${work} instructions`);
        }
      }),
      { numRuns: 3 },
    );
  });
  test('is the same for the same seed', () => {
    expect(recordsOf(workload(spec(name, small(name), 500), SV39))).toEqual(recordsOf(workload(spec(name, small(name), 500), SV39)));
  });
});

test('fits into 32-bit address spaces, or says that it does not', () => {
  for (const name of WORKLOAD_NAMES) {
    const records = recordsOf(workload(spec(name, name === 'mix' ? { parts: 'pt-churn:1' } : small(name), 100), SV32));
    for (const { address } of records) expect(address).toBeLessThan(2 ** 32);
  }
  expect(() => workload(spec('gups', { footprint: 2 ** 33 }), SV32)).toThrow(/^footprint: the address space has/);
});

test('uniform reads the pages of the generator, from 2^40 on', () => {
  const records = recordsOf(workload(spec('uniform', { footprint: 2 ** 30 }, 1000), { end: 2 ** 47 })).filter(isAccess);
  let x = 1n;
  for (const record of records) {
    x = (x * 6364136223846793005n + 1442695040888963407n) & 0xffff_ffff_ffff_ffffn;
    expect(record.kind).toBe(READ);
    expect(record.address).toBe(2 ** 40 + 4096 * Number((x >> 33n) % 262144n));
  }
});

test('chase visits every node once before it visits one again', () => {
  const nodes = 2 ** 20 / 64;
  const records = recordsOf(workload(spec('chase', { footprint: 2 ** 20 }, 2 * nodes), SV39)).filter(isAccess);
  const first = records.slice(0, nodes).map(({ address }) => address);
  expect(new Set(first).size).toBe(nodes);
  expect(records.slice(nodes).map(({ address }) => address)).toEqual(first);
});

test('stream reads and writes its arrays in order', () => {
  const words = 2 ** 12;
  const records = recordsOf(workload(spec('stream', { footprint: words * 24 }, 10 * words), SV39));
  const [a, b, c] = records.filter(({ kind }) => kind === REGION).map(({ address }) => address);
  const seen = records.filter(isAccess).map(({ kind, address }) => [kind, address]);
  const expected: number[][] = [];
  for (let i = 0; i < words; i++) expected.push([READ, a + 8 * i], [WRITE, c + 8 * i]);
  for (let i = 0; i < words; i++) expected.push([READ, c + 8 * i], [WRITE, b + 8 * i]);
  for (let i = 0; i < words; i++) expected.push([READ, a + 8 * i], [READ, b + 8 * i], [WRITE, c + 8 * i]);
  for (let i = 0; i < words; i++) expected.push([READ, b + 8 * i], [READ, c + 8 * i], [WRITE, a + 8 * i]);
  expect(seen).toEqual(expected);
});

test('a search of the graph reaches each vertex once from one root', () => {
  const records = recordsOf(workload(spec('bfs', { scale: 9, factor: 8 }, 40_000), SV39));
  const [, , parents] = records.filter(({ kind }) => kind === REGION);
  const firstSearch = records.filter(isAccess);
  const written = new Set<number>();
  for (const { kind, address } of firstSearch) {
    if (kind !== WRITE || address < parents.address || address >= parents.address + parents.value) continue;
    if (written.has(address)) break; // the next search
    written.add(address);
  }
  expect(written.size).toBeGreaterThan(256);
});

test('a look-up in a B-tree goes through one node a level, and finds the key where it should be', () => {
  const fan = 16;
  const keys = 16 ** 3;
  const records = recordsOf(workload(spec('btree', { footprint: keys * 16, fan }, 4 * 15), SV39));
  const levels = records.filter(({ kind }) => kind === REGION); // leaves first
  expect(levels.map(({ value }) => value)).toEqual([65536, 4096, 4096]);
  const accesses = records.filter(isAccess);
  for (let lookup = 0; lookup < 4; lookup++) {
    const steps = accesses.slice(lookup * 15, lookup * 15 + 15);
    for (const [depth, level] of [levels[2], levels[1], levels[0]].entries()) {
      const inLevel = steps.slice(depth * 5, depth * 5 + 5).map(({ address }) => address - level.address);
      const node = Math.floor(inLevel[0] / (fan * 16));
      expect(inLevel.every((at) => Math.floor(at / (fan * 16)) === node)).toBe(true);
      expect(inLevel[4] % (fan * 16)).toBeGreaterThanOrEqual(fan * 8); // the child or value lies behind the keys
    }
  }
});

describe('pt-churn', () => {
  test('makes as many changes as its rate says', () => {
    const records = recordsOf(workload(spec('pt-churn', { rate: 20, kind: 'remap', batch: 4 }, 50_000), SV39));
    const changes = records.filter(({ kind }) => kind === UNREGION).length;
    const reads = records.filter(({ kind }) => kind === READ).length;
    expect(Math.abs(changes / (changes + reads) - 0.02)).toBeLessThan(0.0005);
  });
  test('a child is made, writes, and ends', () => {
    const records = recordsOf(workload(spec('pt-churn', { rate: 500, kind: 'fork', batch: 2 }, 500), SV39));
    const controls = records.filter((record) => !isAccess(record) && record.kind !== REGION).map(({ kind }) => kind);
    expect(controls.slice(1, 5)).toEqual([FORK, SWITCH, END, SWITCH]);
  });
  test('takes rights away and gives them back', () => {
    const records = recordsOf(workload(spec('pt-churn', { rate: 1000, kind: 'protect', batch: 8 }, 100), SV39));
    expect(records.filter(({ kind }) => kind === REPERMIT).every(({ value }) => value === 8 * 4096)).toBe(true);
  });
});

test('the programs of a mix take turns by their weights', () => {
  const records = recordsOf(workload(spec('mix', { parts: 'uniform:1,uniform:3', turn: 10 }, 400), SV39));
  const turns = records.filter(({ kind }) => kind === SWITCH).map(({ space }) => space);
  expect(turns.slice(0, 5)).toEqual([0, 0, 16, 0, 16]);
  const share = records.filter(isAccess).filter(({ space }) => space === 16).length / 400;
  expect(share).toBe(0.75);
});

describe('what cannot be made is refused with the reason', () => {
  test.each<[string, WorkloadSpec, RegExp]>([
    ['name', spec('gupz'), /^no workload gupz; there are uniform, gups, /],
    ['a name of every object', spec('toString'), /^no workload toString/],
    ['parameter', spec('gups', { wires: 3 }), /^gups has no parameter wires; it has footprint, work$/],
    ['number', spec('gups', { footprint: 12 }), /^gups: footprint is a whole number from 4096 to /],
    ['fraction', spec('stride', { stride: 64.5 }), /^stride: stride is a whole number from 64 to 2097152$/],
    ['not a number', spec('uniform', { writes: Number.NaN }), /^uniform: writes is a number from 0 to 1$/],
    ['word', spec('btree', { keys: 'all' }), /^btree: keys is one of uniform, zipf$/],
    ['seed', { ...spec('gups'), seed: -1 }, /^seed: a whole number from 0/],
    ['accesses', { ...spec('gups'), accesses: 0 }, /^accesses: a whole number, at least 1$/],
    ['part', spec('mix', { parts: 'gups:1,nothing' }), /^no workload nothing/],
    ['weight', spec('mix', { parts: 'gups:x' }), /^mix: the weight in gups:x/],
    ['mix in mix', spec('mix', { parts: 'mix:1' }), /^no workload mix/],
  ])('%s', (_, wrong, message) => {
    expect(() => workload(wrong, SV39)).toThrow(WorkloadError);
    expect(() => workload(wrong, SV39)).toThrow(message);
  });
});
