import fc from 'fast-check';
import { parse as parseToml } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import {
  DEFAULT_MACHINE,
  describeMachine,
  isMachine,
  MACHINE_NAMES,
  type MachineConfig,
  machineByName,
  parseMachine,
} from '../../../../hostkernel/machine/timing/index.ts';

/** What the sources say, transcribed once more: every verified value of every preset, and nothing else is verified. */
const STATED: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  barcelona: {
    'tlb.l1d.4K+2M+1G.sizes': ['4K', '2M', '1G'],
    'tlb.l1d.4K+2M+1G.entries': 48,
    'tlb.l2.4K.sizes': ['4K'],
    'tlb.l2.4K.entries': 512,
    'tlb.l2.2M.sizes': ['2M'],
    'tlb.l2.2M.entries': 128,
  },
  jaguar: {
    'tlb.l1d.4K.sizes': ['4K'],
    'tlb.l1d.4K.entries': 40,
    'tlb.l1d.4K.ways': 'full',
    'tlb.l1d.2M.sizes': ['2M'],
    'tlb.l1d.2M.entries': 8,
    'tlb.l1d.2M.ways': 'full',
    'tlb.l2.4K.sizes': ['4K'],
    'tlb.l2.4K.entries': 512,
    'tlb.l2.4K.ways': 4,
    'tlb.l2.4K.lat': 6,
    'tlb.l2.2M.sizes': ['2M'],
    'tlb.l2.2M.entries': 256,
    'tlb.l2.2M.ways': 2,
    'tlb.l2.2M.lat': 6,
    'pwc.every.entries': 16,
  },
  westmere: { 'cache.l1.lat': 4, 'cache.l2.lat': 10 },
  haswell: {
    'tlb.l1d.4K.sizes': ['4K'],
    'tlb.l1d.4K.entries': 64,
    'tlb.l1d.4K.ways': 4,
    'tlb.l1d.2M.sizes': ['2M'],
    'tlb.l1d.2M.entries': 32,
    'tlb.l1d.1G.sizes': ['1G'],
    'tlb.l1d.1G.entries': 4,
    'tlb.l2.4K+2M.lat': 12,
  },
  skylake: {
    'tlb.l1d.4K.entries': 64,
    'tlb.l1d.4K.ways': 4,
    'tlb.l1i.4K.entries': 128,
    'tlb.l1i.4K.ways': 8,
    'tlb.l2.4K+2M.entries': 1536,
    'tlb.l2.4K+2M.ways': 12,
    'cache.l1.size': 32 * 1024,
    'cache.l1.ways': 8,
    'cache.l1.lat': 4,
    'cache.l2.size': 256 * 1024,
    'cache.l2.ways': 4,
    'cache.l2.lat': 12,
    'cache.llc.size': 2 * 1024 ** 2,
    'cache.llc.lat': 44,
    walkers: 2,
  },
  'skylake-sp-sim': {
    'tlb.l1d.4K+2M+1G.entries': 64,
    'tlb.l1d.4K+2M+1G.ways': 4,
    'tlb.l1i.4K+2M+1G.entries': 128,
    'tlb.l1i.4K+2M+1G.ways': 8,
    'tlb.l2.4K+2M.entries': 1536,
    'tlb.l2.4K+2M.ways': 12,
    'pwc.lat': 1,
    'host.pwc.lat': 1,
    'cache.l1.size': 32 * 1024,
    'cache.l1.ways': 8,
    'cache.l1.lat': 4,
    'cache.l2.size': 1024 ** 2,
    'cache.l2.ways': 16,
    'cache.l2.lat': 14,
    'cache.llc.size': 22 * 1024 ** 2,
    'cache.llc.ways': 11,
    'cache.llc.lat': 54,
    'cache.mem.lat': 200,
  },
  zen: zenStated(1536, 8, { 'tlb.l2.4K+2M.ways': 12 }),
  zen2: zenStated(2048, 16, {}), // the 12 ways that are stated cannot be: an assumption stands there
  'meteor-lake-sim': {
    'tlb.l1d.4K.sizes': ['4K'],
    'tlb.l1d.4K.entries': 64,
    'tlb.l1d.4K.ways': 4,
    'tlb.l1d.2M.sizes': ['2M'],
    'tlb.l1d.2M.entries': 64,
    'tlb.l1d.2M.ways': 4,
    'tlb.l1i.4K+2M.entries': 64,
    'tlb.l1i.4K+2M.ways': 4,
    'tlb.l2.4K+2M.entries': 2048,
    'tlb.l2.4K+2M.ways': 8,
    'tlb.l2.4K+2M.lat': 12,
    ...levelsStated('pwc', { 1: [32, 4], 2: [32, 4], 3: [32, 4] }),
    'pwc.lat': 1,
    ...levelsStated('host.pwc', { 1: [32, 4], 2: [32, 4], 3: [32, 4], 4: [32, 4] }),
    'cache.l1.size': 48 * 1024,
    'cache.l1.ways': 12,
    'cache.l1.lat': 4,
    'cache.l2.size': 2 * 1024 ** 2,
    'cache.l2.ways': 16,
    'cache.l2.lat': 12,
    'cache.llc.size': 8 * 1024 ** 2,
    'cache.llc.ways': 16,
    walkers: 4,
  },
  'victima-virt-sim': {
    'tlb.l1d.4K+2M.entries': 64,
    'tlb.l1d.4K+2M.ways': 4,
    'tlb.l1i.4K+2M.entries': 128,
    'tlb.l1i.4K+2M.ways': 8,
    'tlb.l2.4K+2M.entries': 1536,
    'tlb.l2.4K+2M.ways': 12,
    'tlb.l2.4K+2M.lat': 12,
    ...levelsStated('pwc', { 1: [32, 4], 2: [16, 4], 3: [16, 4] }),
    'pwc.lat': 4,
    'host.ntlb.entries': 64,
    'host.ntlb.ways': 4,
    'host.ntlb.lat': 1,
    'cache.l2.size': 2 * 1024 ** 2,
    'cache.l2.lat': 16,
  },
  'champsim-default': {
    'tlb.l1d.4K.entries': 64,
    'tlb.l1d.4K.ways': 4,
    'tlb.l1i.4K.entries': 64,
    'tlb.l1i.4K.ways': 4,
    'tlb.l2.4K.entries': 1536,
    'tlb.l2.4K.ways': 12,
    'tlb.l2.4K.lat': 8,
    ...levelsStated('pwc', { 1: [32, 8], 2: [8, 4], 3: [4, 4], 4: [2, 2] }),
    'cache.l1.size': 48 * 1024,
    'cache.l1.lat': 5,
    'cache.l2.size': 512 * 1024,
    'cache.l2.lat': 10,
    'cache.llc.size': 2 * 1024 ** 2,
    'cache.llc.lat': 20,
  },
  u54: { 'tlb.l1d.4K+2M+1G.entries': 32, 'tlb.l1d.4K+2M+1G.ways': 'full', 'tlb.l1i.4K+2M+1G.entries': 32, 'tlb.l1i.4K+2M+1G.ways': 'full' },
  u74: {},
  rocket: {
    'tlb.l1d.4K.sizes': ['4K'],
    'tlb.l1d.4K.entries': 32,
    'tlb.l1d.4K.ways': 'full',
    'tlb.l1d.2M+1G.sizes': ['2M', '1G'],
    'tlb.l1d.2M+1G.entries': 4,
    'tlb.l1i.4K.sizes': ['4K'],
    'tlb.l1i.4K.entries': 32,
    'tlb.l1i.4K.ways': 'full',
    'tlb.l1i.2M+1G.sizes': ['2M', '1G'],
    'tlb.l1i.2M+1G.entries': 4,
    'pwc.kind': 'page-table',
  },
  boom: { 'tlb.l2.4K.entries': 512, 'tlb.l2.4K.ways': 1 },
  c910: {
    'tlb.l1d.4K.entries': 16,
    'tlb.l1d.2M+1G.entries': 1,
    'tlb.l1i.4K+2M+1G.entries': 32,
    'tlb.l2.4K+2M+1G.entries': 1024,
    'tlb.l2.4K+2M+1G.ways': 4,
  },
  p550: {
    'tlb.l1d.4K+2M+1G.entries': 32,
    'tlb.l1i.4K+2M+1G.entries': 32,
    'cache.l1.size': 32 * 1024,
    'cache.l2.size': 256 * 1024,
    'cache.llc.size': 4 * 1024 ** 2,
  },
  'arm-gem5': { 'tlb.l2.4K+64K+2M+1G.entries': 1280, 'pwc.only': [1] },
};

function zenStated(entries: number, llcMegabytes: number, more: object): Readonly<Record<string, unknown>> {
  return {
    'tlb.l1d.4K+2M+1G.sizes': ['4K', '2M', '1G'],
    'tlb.l1d.4K+2M+1G.entries': 64,
    'tlb.l1d.4K+2M+1G.ways': 'full',
    'tlb.l1i.4K+2M+1G.entries': 64,
    'tlb.l1i.4K+2M+1G.ways': 'full',
    'tlb.l2.4K+2M.sizes': ['4K', '2M'],
    'tlb.l2.4K+2M.entries': entries,
    'tlb.l2.4K+2M.splits': true,
    'tlb.l2.4K+2M.directories': true,
    'tlb.l2i.4K+2M.entries': 512,
    'tlb.l2i.4K+2M.ways': 8,
    'pwc.kind': 'l2-tlb',
    'cache.l1.size': 32 * 1024,
    'cache.l1.ways': 8,
    'cache.l2.size': 512 * 1024,
    'cache.l2.ways': 8,
    'cache.llc.size': llcMegabytes * 1024 ** 2,
    ...more,
  };
}

function levelsStated(key: string, levels: Readonly<Record<number, readonly [number, number]>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(levels).flatMap(([level, [entries, ways]]) => [
      [`${key}.levels.${level}.entries`, entries],
      [`${key}.levels.${level}.ways`, ways],
    ]),
  );
}

/** Every value of a machine by the path of its key: what must have a source. */
function valuesOf(machine: MachineConfig): ReadonlyMap<string, unknown> {
  const values = new Map<string, unknown>();
  const visit = (value: unknown, key: string): void => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      for (const [name, inner] of Object.entries(value)) visit(inner, key === '' ? name : `${key}.${name}`);
    } else if (Array.isArray(value) && value.some((one) => typeof one === 'object')) {
      for (const one of value as { sizes: string[] }[]) visit(one, `${key}.${one.sizes.join('+')}`);
    } else if (!isAbsent(key, value)) values.set(key, value);
  };
  const { extends: _, name: __, description: ___, architecture: ____, sources: _____, notes: ______, ...rest } = describeMachine(machine);
  visit(rest, '');
  return values;
}

/** Whether a description says there that there is nothing to say. */
function isAbsent(key: string, value: unknown): boolean {
  return value === 'none' || key === 'tlb.l1i' || key === 'tlb.l2i' || (key.endsWith('.only') && value === 'all');
}

function machine(name: string): MachineConfig {
  const found = machineByName(name);
  if (found === null) throw new Error(`no machine ${name}`);
  return found;
}

function problemsOf(description: unknown): string[] {
  const read = parseMachine(description);
  return isMachine(read) ? [] : read.map(({ key, message }) => `${key}: ${message}`);
}

function read(description: unknown): MachineConfig {
  const result = parseMachine(description);
  if (!isMachine(result)) throw new Error(JSON.stringify(result));
  return result;
}

describe('presets', () => {
  test('every row that a preset is for has one, and each is transcribed here', () => {
    expect([...MACHINE_NAMES].sort()).toEqual(Object.keys(STATED).sort());
  });

  test.each(MACHINE_NAMES)('%s: every value says where it is from', (name) => {
    const { sources } = machine(name);
    expect(Object.keys(sources).sort()).toEqual([...valuesOf(machine(name)).keys()].sort());
    for (const { source, verified } of Object.values(sources)) {
      expect(source.length).toBeGreaterThan(3);
      expect(source.startsWith('assumption: ')).toBe(!verified);
    }
  });

  test.each(MACHINE_NAMES)('%s: verified is what a source states, and nothing else', (name) => {
    const values = valuesOf(machine(name));
    const verified = Object.entries(machine(name).sources).filter(([, source]) => source.verified);
    expect(Object.fromEntries(verified.map(([key]) => [key, values.get(key === '' ? name : key)]))).toEqual(STATED[name]);
  });

  test.each(MACHINE_NAMES)('%s goes through its own description, and JSON, unchanged', (name) => {
    expect(read(JSON.parse(JSON.stringify(describeMachine(machine(name)))))).toEqual(machine(name));
  });

  test('machines with several walkers say that the model makes no use of them', () => {
    for (const name of MACHINE_NAMES)
      expect(machine(name).notes.some((note) => note.startsWith('walkers'))).toBe(machine(name).walkers > 1);
  });

  test('costs of events are assumptions in every preset, with their anchors', () => {
    for (const name of MACHINE_NAMES) {
      for (const [key, source] of Object.entries(machine(name).sources)) if (key.startsWith('events.')) expect(source.verified).toBe(false);
    }
    expect(machine('skylake').events.syscall).toBe(940 - 60);
    expect(machine('skylake').sources['events.syscall'].source).toContain('Mitosis');
  });
});

describe('a description of the user', () => {
  const toml = `
    extends = "haswell"
    name = "mine"
    walkers = 4
    [tlb.l1d."4K"]
    sets = 32
    [tlb.l2]
    entries = 2048
    ways = 16
    [pwc]
    levels = { 2 = { entries = 16, ways = "full" }, 3 = "none" }
    [host]
    ntlb = "none"
    [cache.l2]
    size = "1M"
    [events]
    exit = 1234
    [sources]
    "tlb.l2" = { source = "our microbenchmark", verified = true }
  `;

  test('says what differs; the rest is inherited, with its sources', () => {
    const mine = read(parseToml(toml));
    const haswell = machine('haswell');
    expect(mine.name).toBe('mine');
    expect(mine.tlb.l1d[0]).toEqual({ ...haswell.tlb.l1d[0], entries: 128 });
    expect(mine.tlb.l1d.slice(1)).toEqual(haswell.tlb.l1d.slice(1));
    expect(mine.tlb.l2).toEqual([{ ...haswell.tlb.l2[0], entries: 2048, ways: 16 }]);
    expect(mine.pwc?.levels).toEqual({
      1: haswell.pwc?.levels[1],
      2: { entries: 16, ways: 'full', replacement: 'lru' },
      4: haswell.pwc?.levels[4],
    });
    expect(mine.host.ntlb).toBeNull();
    expect(mine.cache?.l2).toEqual({ ...haswell.cache?.l2, entries: 16384 });
    expect(mine.events).toEqual({ ...haswell.events, exit: 1234 });
    expect(mine.sources['tlb.l2.4K+2M.entries']).toEqual({ source: 'our microbenchmark', verified: true });
    expect(mine.sources['tlb.l2.4K+2M.lat']).toEqual(haswell.sources['tlb.l2.4K+2M.lat']);
    expect(mine.sources['events.exit']).toEqual({ source: 'given in mine', verified: false });
    expect(Object.keys(mine.sources).sort()).toEqual([...valuesOf(mine).keys()].sort());
    expect(read(describeMachine(mine))).toEqual(mine);
  });

  test('may be empty, and stand under the key machine', () => {
    expect(read({})).toEqual(machine(DEFAULT_MACHINE));
    expect(read({ machine: { extends: 'zen' } })).toEqual(machine('zen'));
  });

  test('a table for each size, one for several, or a list: the same level', () => {
    const level = (l1d: unknown) => read({ extends: 'assumed', tlb: { l1d } }).tlb.l1d;
    const array = { entries: 16, ways: 4 };
    const bySize = level({ '4K': array, '2M': 'none', '1G': 'none' });
    expect(bySize.map((one) => [one.sizes, one.entries, one.ways])).toEqual([[[12], 16, 4]]);
    expect(level([{ sizes: ['4K'], ...array }])).toEqual(bySize);
    expect(level({ sizes: ['4K'], ...array })).toEqual(bySize);
  });

  test('runs are held whole by the array that would split them', () => {
    const { tlb } = read({ extends: 'arm-gem5', tlb: { l1d: { sizes: ['4K', '2M'], entries: 8 }, runs: ['64K', '32M'] } });
    expect(tlb.l1d.map((array) => array.sizes)).toEqual([[12, 16, 21, 25]]);
    expect(tlb.l2.map((array) => array.sizes)).toEqual([[12, 16, 21, 25, 30]]);
  });

  test('one side only: instructions through the data side, no second level', () => {
    const { tlb } = read({ extends: 'zen', tlb: { l1i: 'l1d', l2: 'none' }, pwc: 'none' });
    expect([tlb.l1i, tlb.l2, tlb.l2i]).toEqual([null, [], null]);
  });
});

describe('what cannot be is refused by key', () => {
  test('the largest structures there may be are no problem', () => {
    const most = { entries: 2 ** 20, ways: 16 };
    expect(
      problemsOf({ tlb: { l2: most }, pwc: { levels: { 1: most } }, host: { ntlb: most }, cache: { llc: { size: '1G', ways: 16 } } }),
    ).toEqual([]);
  });

  const refusals: readonly (readonly [string, unknown, string])[] = [
    ['no table', 7, ': a machine is described by a table'],
    ['null', null, ': a machine is described by a table'],
    ['a list', [], ': a machine is described by a table'],
    ['an unknown key', { tbl: {} }, 'tbl: unknown key; allowed: name,'],
    ['an unknown key below', { tlb: { l1: {} } }, 'tlb.l1: unknown key; allowed: l1d, l1i, l2, l2i, runs'],
    ['an unknown machine', { extends: 'skylark' }, 'extends: no machine is named "skylark"'],
    ['a machine that is no name', { extends: {} }, 'extends: no machine is named that'],
    ['ways that do not divide', { tlb: { l2: { ways: 5 } } }, 'tlb.l2.4K+2M: 5 ways do not divide 1536 entries'],
    ['a negative latency', { tlb: { l2: { lat: -1 } } }, 'tlb.l2.4K+2M.lat: must be a whole number from 0 to 1000000, not -1'],
    ['no number', { tlb: { l2: { lat: Number.NaN } } }, 'tlb.l2.4K+2M.lat: must be a whole number from 0 to 1000000, not NaN'],
    ['infinitely many', { tlb: { l2: { entries: Infinity } } }, 'tlb.l2.4K+2M.entries: must be a whole number'],
    [
      'more entries than any machine has',
      { tlb: { l2: { entries: 2 ** 24 } } },
      'tlb.l2.4K+2M.entries: must be a whole number from 1 to 1048576, not 16777216',
    ],
    [
      'as many by their sets',
      { tlb: { l2: { sets: 2 ** 20, ways: 16 } } },
      'tlb.l2.4K+2M.sets: sets x ways must be at most 1048576, not 16777216',
    ],
    [
      'so large a walk cache',
      { pwc: { levels: { 1: { entries: 2 ** 21 } } } },
      'pwc.levels.1.entries: must be a whole number from 1 to 1048576, not 2097152',
    ],
    [
      'so large a nested TLB',
      { host: { ntlb: { entries: 2 ** 21 } } },
      'host.ntlb.entries: must be a whole number from 1 to 1048576, not 2097152',
    ],
    ['a cache of more lines than there is room for', { cache: { line: 16, llc: { size: '1G' } } }, 'cache.llc: '],
    ['a policy', { tlb: { l2: { replacement: 'best' } } }, 'tlb.l2.4K+2M.replacement: must be lru, plru, random, fifo, not "best"'],
    ['plru of twelve ways', { tlb: { l2: { replacement: 'plru' } } }, 'tlb.l2.4K+2M: plru needs a power of two of ways, not 12'],
    ['a size', { tlb: { l1d: { '3K': {}, '4K': {} } } }, 'tlb.l1d.3K: must be a page size'],
    ['sizes', { tlb: { l2: { sizes: ['4K', '4K'] } } }, 'tlb.l2.sizes: must be a list of page sizes, each once'],
    [
      'two arrays for a size',
      {
        tlb: {
          l2: [
            { sizes: ['4K'], entries: 4 },
            { sizes: ['4K'], entries: 8 },
          ],
        },
      },
      'tlb.l2: two arrays take the same page size',
    ],
    ['which of several arrays', { tlb: { l1d: { entries: 8 } } }, 'tlb.l1d: has several arrays (4K, 2M, 1G): say the page size'],
    ['no array for 4K', { tlb: { l1d: { '4K': 'none' } } }, 'tlb.l1d: no array takes 4K'],
    ['a first level that does not split', { tlb: { l1d: { '4K': { splits: false } } } }, 'tlb.l1d: a first level must split'],
    ['sets of a full array', { tlb: { l1d: { '1G': { sets: 2 } } } }, 'tlb.l1d.1G.sets: a fully associative array has no sets'],
    ['sets that contradict', { tlb: { l2: { sets: 128, entries: 1024 } } }, 'tlb.l2.4K+2M.entries: is not sets x ways, 1536'],
    ['a cache that is no lines', { cache: { l1: { size: 1000 } } }, 'cache.l1: '],
    ['a size of a cache', { cache: { l1: { size: '32X' } } }, 'cache.l1.size: must be bytes'],
    ['a line', { cache: { line: 48 } }, 'cache.line: must be a power of two'],
    ['where walkers enter', { cache: { walkerEnters: 'l3' } }, 'cache.walkerEnters: must be l1, l2, llc, not "l3"'],
    ['an overlap below one', { cache: { mlp: 0.5 } }, 'cache.mlp: must be a number from 1 to 64'],
    ['a kind of walk cache', { pwc: { kind: 'magic' } }, 'pwc.kind: must be page-table,'],
    ['one array without its entries', { pwc: { kind: 'translation' } }, 'pwc.every: translation has one array: say its entries'],
    ['levels of one array', { pwc: { kind: 'translation', every: { entries: 8 }, levels: {} } }, 'pwc.levels: translation has one array'],
    ['a level', { pwc: { levels: { 0: { entries: 4 } } } }, 'pwc.levels.0: must be a level from 1 to 7'],
    ['a walk cache in a TLB without room', { pwc: { kind: 'l2-tlb' } }, 'pwc.kind: l2-tlb needs an array of tlb.l2 with directories'],
    ['a host walk cache in the TLB', { extends: 'zen', host: { pwc: { kind: 'l2-tlb' } } }, 'host.pwc.kind: l2-tlb is for the guest only'],
    [
      'leaves of paths',
      { pwc: { kind: 'translation-path', every: { entries: 8 }, leaves: true } },
      'pwc.leaves: a translation-path cache holds no leaves',
    ],
    ['walkers', { walkers: 0 }, 'walkers: must be a whole number from 1 to 64, not 0'],
    ['a cost', { events: { exit: '1500' } }, 'events.exit: must be a whole number from 0 to 1000000, not "1500"'],
    ['an event', { events: { fork: 1 } }, 'events.fork: unknown key; allowed: exit,'],
    ['a source of nothing', { sources: { 'tlb.l3': 'x' } }, 'sources.tlb.l3: no value has this key'],
    ['a source', { sources: { tlb: 7 } }, 'sources.tlb: must be a text'],
    ['notes', { notes: [1] }, 'notes: must be a list of texts'],
    ['a prototype', JSON.parse('{"__proto__": {"walkers": 3}}'), '__proto__: unknown key'],
    ['a prototype below', JSON.parse('{"pwc": {"levels": {"__proto__": {}}}}'), 'pwc.levels.__proto__: must be a level'],
  ];

  test.each(refusals)('%s', (_name, description, message) => {
    expect(problemsOf(description).some((problem) => problem.startsWith(message))).toBe(true);
  });

  test('any data at all is read or refused: nothing is thrown, nothing is left out', () => {
    const words = fc.constantFrom('none', 'l1d', 'full', '4K', '2M', 'lru', 'zen', 'split-translation', 'page-table', 'l2-tlb', '32K', 'x');
    const atom = fc.oneof(words, fc.integer({ min: -2, max: 70 }), fc.boolean(), fc.constant(null), fc.double());
    const shape = fc.dictionary(
      fc.constantFrom('sizes', 'entries', 'sets', 'ways', 'lat', 'replacement', 'size', '4K', '2M', 'splits'),
      atom,
      { maxKeys: 4 },
    );
    const keyed = (keys: readonly string[]) =>
      fc.dictionary(fc.constantFrom(...keys), fc.oneof(atom, shape, fc.array(shape, { maxLength: 3 }), fc.array(words, { maxLength: 2 })), {
        maxKeys: 4,
      });
    const description = fc.record(
      {
        extends: fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...MACHINE_NAMES) }, { weight: 1, arbitrary: atom }),
        tlb: fc.oneof(atom, keyed(['l1d', 'l1i', 'l2', 'l2i', 'runs'])),
        pwc: fc.oneof(atom, keyed(['kind', 'every', 'levels', 'only', 'lat', 'guestHolds', 'leaves'])),
        host: fc.oneof(atom, keyed(['pwc', 'ntlb'])),
        cache: fc.oneof(atom, keyed(['line', 'l1', 'l2', 'llc', 'mem', 'walkerEnters', 'mlp'])),
        events: fc.oneof(atom, keyed(['exit', 'ipi'])),
        walkers: atom,
        notes: atom,
        sources: fc.oneof(atom, keyed(['tlb', 'cache.l1'])),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof({ weight: 9, arbitrary: description }, { weight: 1, arbitrary: fc.anything() }), (data) => {
        const result = parseMachine(data);
        if (!isMachine(result)) {
          expect(result.every(({ message }) => message.length > 3)).toBe(true);
          return;
        }
        expect(Object.keys(result.sources).sort()).toEqual([...valuesOf(result).keys()].sort());
        expect(read(describeMachine(result))).toEqual(result);
      }),
      { numRuns: 400 },
    );
  });
});
