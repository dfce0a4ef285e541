/** The translation model against a slow one: random formats, tables and operations, compared after every step. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EXEC, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import { ATTR_USER, compileLayout, layoutByName, type PageTableFormat, WALK_FAULTS } from '../../../../hostkernel/machine/paging/index.ts';
import {
  PageTables,
  STAGE_LEVELS,
  STAGE_SERVERS,
  TableMemory,
  TRANSLATED,
  Translation,
} from '../../../../hostkernel/machine/timing/index.ts';
import { bareMachine } from './bare-machine.ts';
import { type SlowMachine, SlowTranslation } from './slow-translation.ts';

const FORMATS = [
  'sv32',
  'sv39',
  'sv48',
  'i386-2l',
  'i386-pse',
  'i386-pae',
  'x86-64-4l',
  'armv8-4k-39',
  'armv8-16k-47',
  'armv8-64k-48',
  'm68040-4k',
  'sparc-srmmu',
  'power-radix-64k',
  'sv39x4',
  'ept-4l',
  'vpte-32-nx',
  'vpte-64',
];
const LATENCIES = { l1: 1, l2: 7, pwc: 2, ntlb: 3, reference: 5 };
const TABLES = 0x1000; // frames: tables lie above 16 MiB of every space, pages below
const PAGES = 0x1000;
const RIGHTS = [READ, READ | WRITE, READ | WRITE | EXEC, EXEC, WRITE, READ | EXEC];

function randomOf(seed: number): (below: number) => number {
  let state = seed | 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function formatOf(name: string): PageTableFormat {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return compileLayout(layout);
}

/** One dimension twice: for the model and for the slow one. All operations on tables go to both. */
class Twins {
  readonly format: PageTableFormat;
  readonly ours: PageTables;
  readonly slow: PageTables;
  readonly roots: number[] = [];

  constructor(format: PageTableFormat) {
    this.format = format;
    this.ours = new PageTables(format, new TableMemory({ firstFrame: TABLES }));
    this.slow = new PageTables(format, new TableMemory({ firstFrame: TABLES }));
  }

  createRoot(): void {
    const root = this.ours.createRoot();
    expect(this.slow.createRoot()).toBe(root);
    this.roots.push(root);
  }

  map(root: number, page: number, frame: number, shift: number, attributes: number): void {
    this.ours.map(root, page, frame, shift, attributes);
    this.slow.map(root, page, frame, shift, attributes);
  }

  unmap(root: number, page: number, pages: number): void {
    expect(this.ours.unmap(root, page, pages)).toBe(this.slow.unmap(root, page, pages));
  }

  /** The value of the root register. */
  register(root: number): { lo: number; hi: number } {
    if (this.format.descriptor.root.kind === 'pointer') return { lo: root >>> 0, hi: Math.floor(root / 2 ** 32) };
    return { lo: this.format.rootLo(root) >>> 0, hi: this.format.rootHi(root) >>> 0 };
  }

  expectSameEntries(): void {
    for (const [address, bytes] of this.ours.memory.blocks()) {
      for (let at = address; at < address + bytes; at += 4) {
        this.ours.memory.read(at, 0);
        this.slow.memory.read(at, 0);
        if (this.ours.memory.lo !== this.slow.memory.lo) {
          expect([this.format.id, at, this.ours.memory.lo]).toEqual([this.format.id, at, this.slow.memory.lo]);
        }
      }
    }
  }
}

/** Maps a random page: size, frame, rights and marks. @returns the pages that changed */
function mapAtRandom(twins: Twins, root: number, random: (below: number) => number): readonly [page: number, pages: number] {
  const sizes = twins.ours.sizes.filter(({ shift }) => shift <= 22);
  const { shift } = sizes[random(4) === 0 ? random(sizes.length) : 0];
  const pages = 2 ** (shift - 12);
  const page = random(PAGES / pages) * pages;
  const frame = random(PAGES / pages) * pages;
  twins.map(root, page, frame, shift, RIGHTS[random(RIGHTS.length)] | ATTR_USER | (random(8) << 4));
  return [page, pages];
}

/** @throws an assertion that fails where the two differ */
function compare(names: readonly string[], seed: number, operations: number): Map<string, number> {
  const random = randomOf(seed);
  const dimensions = names.map((name) => new Twins(formatOf(name)));
  const [guest, ...hosts] = dimensions;
  guest.createRoot();
  guest.createRoot();
  for (const host of hosts) {
    host.createRoot();
    // Most of what the space above has is mapped: its pages by pieces, its tables nearly all.
    const { shift } = host.ours.sizes[0];
    const unit = 2 ** (shift - 12);
    const all = READ | WRITE | EXEC | ATTR_USER;
    for (let page = 0; page < PAGES + 64; page += unit) {
      if (random(16) > 0)
        host.map(host.roots[0], page, ((page * 5) % PAGES) - (((page * 5) % PAGES) % unit), shift, all | (random(4) << 4));
    }
  }
  const machine: SlowMachine = {
    l1: 1 + random(4),
    l2: 2 + random(8),
    pwc: random(3),
    hostPwc: random(3),
    ntlb: random(2) * (1 + random(6)),
    latencies: LATENCIES,
  };
  const bare = bareMachine(machine);
  const timed = {
    ...bare,
    referenceCycles: LATENCIES.reference,
    tlb: {
      ...bare.tlb,
      l1d: bare.tlb.l1d.map((array) => ({ ...array, latency: LATENCIES.l1 })),
      l2: bare.tlb.l2.map((array) => ({ ...array, latency: LATENCIES.l2 })),
    },
    pwc: bare.pwc === null ? null : { ...bare.pwc, latency: LATENCIES.pwc },
    host: {
      pwc: bare.host.pwc === null ? null : { ...bare.host.pwc, latency: LATENCIES.pwc },
      ntlb: bare.host.ntlb === null ? null : { ...bare.host.ntlb, latency: LATENCIES.ntlb },
    },
  };
  const model = new Translation({ machine: timed, dimensions: dimensions.map(({ format, ours }) => ({ format, memory: ours.memory })) });
  const slow = new SlowTranslation(
    machine,
    dimensions.map(({ format, slow: tables }) => ({ format, memory: tables.memory })),
  );
  hosts.forEach((host, i) => {
    model.setRoot(i + 1, host.roots[0]);
    slow.dimensions[i + 1].root = host.register(host.roots[0]);
  });
  const enter = (space: number) => {
    model.setSpace(space, { root: guest.roots[space] });
    slow.space = space;
    slow.dimensions[0].root = guest.register(guest.roots[space]);
  };
  enter(0);
  for (let i = 0; i < 12; i++) mapAtRandom(guest, guest.roots[i & 1], random);

  const tally = new Map<string, number>();
  const note = (name: string) => tally.set(name, (tally.get(name) ?? 0) + 1);
  const hot = Array.from({ length: 4 }, () => random(PAGES));
  for (let i = 0; i < operations; i++) {
    const what = random(20);
    if (what === 0) enter(random(2));
    else if (what === 1) {
      const space = random(2);
      const [page, pages] = mapAtRandom(guest, guest.roots[space], random);
      hot[random(hot.length)] = page + random(pages);
      model.invalidateRange(space, page, pages, true);
      slow.invalidate(space, page, pages);
    } else if (what === 2) {
      const space = random(2);
      const unit = guest.format.basePages;
      const page = random(PAGES / unit) * unit;
      const pages = (1 + random(40)) * unit;
      guest.unmap(guest.roots[space], page, pages);
      model.invalidateRange(space, page, pages, true);
      slow.invalidate(space, page, pages);
    } else if (what === 3 && hosts.length > 0) {
      const number = 1 + random(hosts.length);
      const [page, pages] = mapAtRandom(dimensions[number], dimensions[number].roots[0], random);
      model.invalidateNested(number, page, pages);
      slow.invalidateNested(number, page, pages);
    } else {
      const page = random(30) === 0 ? 2 ** 51 + random(9) : random(3) === 0 ? random(PAGES) : hot[random(hot.length)];
      const access = [READ, WRITE, EXEC][random(3)];
      const outcome = model.access(page, 8, access);
      const got =
        outcome === TRANSLATED
          ? { frame: model.frame, shift: model.shift, attributes: model.attributes }
          : {
              dimension: model.refusedDimension,
              kind: WALK_FAULTS[model.refusedKind],
              level: model.refusedLevel,
              page: model.refusedPage,
              implicit: model.refusedImplicit,
            };
      expect(got, `operation ${i}`).toEqual(slow.access(page, 8, access));
      note(outcome === TRANSLATED ? 'translated' : `${model.refusedDimension} ${WALK_FAULTS[model.refusedKind]}`);
    }
    expectSameCounts(model, slow, i);
  }
  for (const twins of dimensions) {
    twins.expectSameEntries();
    twins.ours.assertInvariants();
  }
  model.tlb.assertInvariants();
  return tally;
}

function expectSameCounts(model: Translation, slow: SlowTranslation, operation: number): void {
  const { counters, structures } = model;
  const byStage = new Map<string, number>();
  model.byStage.forEach((count, i) => {
    const at = Math.floor(i / STAGE_SERVERS);
    if (count > 0) byStage.set(`${Math.floor(at / STAGE_LEVELS)} ${at % STAGE_LEVELS}`, count);
  });
  const ofWalkCaches: Record<string, readonly number[]> = {};
  const wanted: Record<string, readonly number[]> = {};
  slow.dimensions.forEach(({ pwcHits, pwcAccesses, nested }, i) => {
    const prefix = ['', 'host.', 'host2.'][i];
    for (let level = 1; level < pwcHits.length; level++) wanted[`${prefix}pwc.${level}`] = [pwcAccesses[level], pwcHits[level]];
    if (nested !== null) wanted[`${prefix}ntlb`] = [nested.accesses, nested.hits];
  });
  for (const name of Object.keys(wanted)) ofWalkCaches[name] = [structures[name].accesses, structures[name].hits];
  const ours = [
    structures['l1'].hits,
    structures['l2'].hits,
    counters.walks,
    counters.refused,
    counters.references,
    model.tlbCycles,
    model.walkCycles,
  ];
  const theirs = [slow.l1.hits, slow.l2.hits, slow.walks, slow.refused, slow.references, slow.tlbCycles, slow.walkCycles];
  expect([ours, ofWalkCaches, byStage], `operation ${operation}`).toEqual([theirs, wanted, slow.byStage]);
  expect(model.perWalk.reduce((sum, count) => sum + count, 0)).toBe(counters.walks);
}

const anyFormat = fc.constantFrom(...FORMATS);
const anySeed = fc.integer({ min: 1, max: 2 ** 31 - 1 });

describe('the model agrees with the slow one', () => {
  test('in one dimension', () => {
    fc.assert(
      fc.property(anyFormat, anySeed, (name, seed) => {
        compare([name], seed, 120);
      }),
      { numRuns: 12 },
    );
  });

  test('in two dimensions', () => {
    fc.assert(
      fc.property(anyFormat, anyFormat, anySeed, (guest, host, seed) => {
        compare([guest, host], seed, 100);
      }),
      { numRuns: 12 },
    );
  });

  test('in three dimensions', () => {
    fc.assert(
      fc.property(anyFormat, anyFormat, anyFormat, anySeed, (guest, middle, host, seed) => {
        compare([guest, middle, host], seed, 60);
      }),
      { numRuns: 6 },
    );
  });

  test('the operations reach what they should', () => {
    const tally = compare(['x86-64-4l', 'sv39x4'], 7, 400);
    expect([...tally.keys()]).toEqual(expect.arrayContaining(['translated', '0 not-present', '0 protection', '1 not-present']));
  });
});
