/** The modelled kernel beside the plain reference: the same memory after every record, whatever came before. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newEvents } from '../../../../bench/lab/events.ts';
import { GuestKernel } from '../../../../bench/lab/guest/kernel.ts';
import { LabError } from '../../../../bench/lab/guest/lab-error.ts';
import { type GuestPolicy, guestPolicy } from '../../../../bench/lab/guest/policy.ts';
import type { GuestWatcher } from '../../../../bench/lab/guest/watcher.ts';
import { Batch, END, FORK, MAP, REGION, REGION_POPULATE, REGION_SHARED, REPERMIT, UNMAP, UNREGION } from '../../../../bench/lab/stream.ts';
import { EXEC, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_USER,
  compileLayout,
  type LayoutDescriptor,
  layoutByName,
  type Options,
  type PageTableFormat,
} from '../../../../hostkernel/machine/paging/index.ts';
import { TableMemory } from '../../../../hostkernel/machine/timing/index.ts';
import { type Cell, ReferenceGuest, type ReferencePage } from './reference-guest.ts';

const RIGHTS = READ | WRITE | EXEC;

function formatOf(name: string, options: Options = {}): PageTableFormat {
  return compileLayout(layoutByName(name) as LayoutDescriptor, options);
}

interface Setup {
  readonly layout: string;
  readonly options?: Options;
  readonly policy?: Partial<GuestPolicy>;
  /** First page of the window that records are about, and its base pages. */
  readonly window?: number;
  readonly span?: number;
}

/**
 * A kernel, the reference, and a TLB of the largest size: it keeps all translations until it is told to forget them, so
 * that a kernel which forgets to tell is found out.
 */
class Rig implements GuestWatcher {
  readonly kernel: GuestKernel;
  readonly reference: ReferenceGuest;
  readonly events = newEvents();
  readonly window: number;
  readonly span: number;
  readonly #tlb = new Map<string, { space: number; page: number; frame: number; rights: number }>();
  readonly #batch = new Batch();
  readonly #format: PageTableFormat;
  #roots = new Map<number, number>();

  constructor({ layout, options, policy, window, span }: Setup) {
    this.#format = formatOf(layout, options);
    const whole = guestPolicy(this.#format, [], { memoryBytes: 1200 * 4096, ...policy });
    const memory = new TableMemory({ firstFrame: whole.tableBase / 4096, frames: 4096 });
    this.kernel = new GuestKernel({ format: this.#format, memory, policy: whole, seed: 7, watcher: this, events: this.events });
    const readOnly = [this.#format.leafLo(0, 0, READ | ATTR_USER), this.#format.leafHi(0, 0, READ | ATTR_USER)];
    const canDeny = (this.#format.attributes(0, readOnly[0], readOnly[1]) & WRITE) === 0;
    this.reference = new ReferenceGuest(this.#format.basePages, !canDeny);
    this.span = span ?? 16;
    this.window = window ?? 0x400 * this.#format.basePages;
  }

  entryWritten(space: number, level: number, entryAddress: number, page: number): void {
    const { tables, format } = this.kernel;
    // -1: the table is filled before it is hung up, where a large page is split.
    const there = tables.entryAt(this.#roots.get(space) as number, level, page % format.span(format.levels));
    if (there !== entryAddress && there !== -1) throw new Error(`the entry of page ${page} is at ${there}, not ${entryAddress}`);
  }
  invalidated(space: number, page: number, pages: number, singles: number): void {
    const isWhole = singles === 0;
    for (const [key, entry] of this.#tlb) {
      if (entry.space === space && (isWhole || (entry.page >= page && entry.page < page + pages))) this.#tlb.delete(key);
    }
  }
  switched(): void {}
  created(space: number, root: number): void {
    this.#roots.set(space, root);
  }
  destroyed(space: number): void {
    this.#roots.delete(space);
    this.invalidated(space, 0, Infinity, 0);
  }

  /** A control record. @returns whether the kernel took it */
  control(kind: number, space: number, page: number, value: number, flags = 0, bytes = 0): boolean {
    const batch = this.#batch;
    batch.count = 0;
    batch.control(kind, space, page, value, flags);
    batch.bytes[0] = bytes;
    try {
      this.kernel.record(batch, 0);
      return true;
    } catch (error) {
      if (!(error instanceof LabError)) throw error;
      return false;
    }
  }

  /** An access, as hardware and kernel make it together. @returns whether the program may do that */
  access(space: number, page: number, access: number): boolean {
    const { kernel, reference } = this;
    const allowed = reference.allows(space, page, access);
    for (let tries = 0; ; tries++) {
      if (this.#translates(space, page, access)) break;
      if (tries === 4) throw new Error(`page ${page} of space ${space} is refused for ever`);
      try {
        if (!kernel.fault(space, page, access)) {
          if (allowed) throw new Error(`page ${page} of space ${space} is the program's`);
          return false;
        }
      } catch (error) {
        expect(String(error)).toMatch(/is free|no space|there is none/);
        expect(error).toBeInstanceOf(LabError);
        return false;
      }
      if (!allowed) throw new Error(`page ${page} of space ${space} is not the program's`);
      this.#find(space, page);
      const pages = 2 ** (kernel.tables.shift - 12);
      reference.touch(space, page, access, page - (page % pages), pages);
    }
    const isSurplus = (kernel.tables.attributes & ~(this.#flagsOf(space, page) ?? 0) & access) !== 0; // the format cannot deny it
    if (!allowed && !isSurplus) throw new Error(`page ${page} of space ${space} is not the program's`);
    const { frame, attributes } = kernel.tables;
    this.#tlb.set(`${space} ${page}`, { space, page, frame, rights: attributes & RIGHTS });
    return true;
  }

  #flagsOf(space: number, page: number): number | undefined {
    return this.reference.spaces.get(space)?.get(page - (page % this.#format.basePages))?.flags;
  }

  #find(space: number, page: number): boolean {
    const root = this.#roots.get(space);
    return root !== undefined && this.kernel.tables.find(root, page % this.#format.span(this.#format.levels));
  }

  /** What a walk does: permissions, then the marks. */
  #translates(space: number, page: number, access: number): boolean {
    const { tables } = this.kernel;
    const format = this.#format;
    if (!this.#find(space, page) || (tables.attributes & access) !== access) return false;
    if (format.hasAccessed && !format.hardwareAccessed && (tables.attributes & ATTR_ACCESSED) === 0) return false;
    if ((access & WRITE) !== 0 && format.hasDirty && !format.hardwareDirty && (tables.attributes & ATTR_DIRTY) === 0) return false;
    return true;
  }

  /** The reference takes over that the kernel has filled `page`, as it was asked to. */
  adopt(space: number, page: number): void {
    if (this.#find(space, page)) this.reference.touch(space, page, READ, page, 1);
  }

  check(): void {
    expect(new Set(this.kernel.spaces.keys())).toEqual(new Set(this.reference.spaces.keys()));
    const frames = new Map<Cell, number>();
    const cells = new Map<number, Cell>();
    for (const [space, pages] of this.reference.spaces) {
      for (const [at, page] of pages) this.#checkPage(space, at, page, frames, cells);
    }
    for (const { space, page, frame, rights } of this.#tlb.values()) {
      const isThere = this.#find(space, page);
      if (!isThere || this.kernel.tables.frame !== frame || (rights & ~this.kernel.tables.attributes) !== 0) {
        throw new Error(`a stale translation of page ${page} of space ${space}`);
      }
    }
  }

  #checkPage(space: number, at: number, page: ReferencePage, frames: Map<Cell, number>, cells: Map<number, Cell>): void {
    const { kernel } = this;
    const { tables } = kernel;
    const { cell } = page;
    const hidden = kernel.spaces.get(space)?.hidden.get(at);
    const isThere = this.#find(space, at);
    if (isThere !== (cell !== null && page.flags !== 0)) throw new Error(`page ${at} of space ${space}: mapped ${isThere}`);
    if ((hidden !== undefined) !== (cell !== null && page.flags === 0)) throw new Error(`page ${at} of space ${space}: hidden`);
    if (cell === null) return;
    const frame = hidden === undefined ? tables.frame : hidden.frame;
    if ((frames.get(cell) ?? frame) !== frame || (cells.get(frame) ?? cell) !== cell)
      throw new Error(`page ${at} of space ${space}: frame ${frame}`);
    frames.set(cell, frame);
    cells.set(frame, cell);
    if (!isThere) return;
    const missing = page.flags & RIGHTS & ~tables.attributes;
    if (missing !== 0 && !(missing === WRITE && page.mayBeDenied))
      throw new Error(`page ${at} of space ${space}: rights ${tables.attributes}`);
  }
}

const SETUPS: readonly Setup[] = [
  { layout: 'sv39' },
  { layout: 'sv39', window: 2 ** 52 - 16, policy: { placement: 'scattered' } },
  { layout: 'sv39', options: { adue: 0 } },
  { layout: 'armv8-4k-39', span: 40, policy: { pageSizes: '4K+64K', placement: 'scattered', largeShare: 0.6 } },
  { layout: 'sparc-srmmu', span: 80, policy: { pageSizes: '256K', placement: 'linear' } },
  { layout: 'sparc-srmmu', span: 80, policy: { pageSizes: 'thp', largeShare: 0.7 } },
  { layout: 'armv8-4k-48', span: 40, policy: { pageSizes: '64K' } },
  { layout: 'armv8-16k-47', policy: { placement: 'linear', memoryBytes: 1000 * 4 * 4096 } },
  { layout: 'm68040-8k', policy: { placement: 'scattered' } },
  { layout: 'i386-2l', policy: { placement: 'linear' } },
  { layout: 'power-radix-64k', policy: { memoryBytes: 500 * 16 * 4096 } },
  { layout: 'vpte-2006v' },
  { layout: 'vpte-64-nx', policy: { populate: true } },
  { layout: 'x86-64-4l', policy: { memoryBytes: 400 * 4096 } },
];

const space = fc.nat(2);
const offset = fc.nat(1000); // thousandths of the window
const length = fc.integer({ min: 1, max: 600 });
const rights = fc.constantFrom(READ, READ | WRITE, READ | WRITE, READ | WRITE | EXEC, READ | EXEC, WRITE, 0);
const access = fc.constantFrom(READ, READ, WRITE, WRITE, EXEC, READ | WRITE);
const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('region' as const),
      space,
      offset,
      length,
      rights,
      extra: fc.constantFrom(0, 0, REGION_SHARED, REGION_POPULATE),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('unregion' as const), space, offset, length }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('repermit' as const), space, offset, length, rights }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('access' as const), space, offset, access }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('sweep' as const), space, offset, length, access }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('fork' as const), space, child: space }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('end' as const), space }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function perform(rig: Rig, it: Step): void {
  const { reference, kernel } = rig;
  const base = kernel.format.basePages;
  const first = 'offset' in it ? Math.floor((it.offset * (rig.span - 1)) / 1000) : 0;
  const at = rig.window + first * base;
  const bytes = 'length' in it ? Math.min(Math.ceil((it.length * rig.span) / 1000), rig.span - first) * base * 4096 : 0;
  const pages = bytes / 4096;
  const before = kernel.frames.taken;
  switch (it.do) {
    case 'region': {
      const taken = rig.control(REGION, it.space, at, bytes, it.rights | it.extra);
      if (!taken) {
        const isFree = [...reference.range(at, pages)].every((page) => reference.spaces.get(it.space)?.has(page) !== true);
        expect(!isFree || kernel.frames.free < kernel.frames.frames).toBe(true);
        expect(kernel.frames.taken).toBe(before);
        return;
      }
      expect(reference.region(it.space, at, pages, it.rights, (it.extra & REGION_SHARED) !== 0)).toBe(true);
      for (const page of reference.range(at, pages)) rig.adopt(it.space, page);
      return;
    }
    case 'unregion':
      expect(rig.control(UNREGION, it.space, at, bytes)).toBe(reference.unregion(it.space, at, pages));
      return;
    case 'repermit':
      expect(rig.control(REPERMIT, it.space, at, bytes, it.rights)).toBe(reference.repermit(it.space, at, pages, it.rights));
      return;
    case 'access':
      rig.access(it.space, at, it.access);
      return;
    case 'sweep':
      for (const page of reference.range(at, pages)) rig.access(it.space, page, it.access);
      return;
    case 'fork': {
      const canFork = reference.spaces.has(it.space) && !reference.spaces.has(it.child);
      const taken = rig.control(FORK, it.space, 0, it.child);
      if (taken) expect(reference.fork(it.space, it.child)).toBe(true);
      else expect(!canFork || kernel.frames.free < kernel.frames.taken).toBe(true);
      return;
    }
    case 'end':
      expect(rig.control(END, it.space, 0, 0)).toBe(reference.end(it.space));
  }
}

describe('any behaviour of programs leaves what plain rules leave', () => {
  test.each(SETUPS)('$layout $options $policy', (setup) => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 50, size: 'max' }), (steps) => {
        const rig = new Rig(setup);
        perform(rig, { do: 'region', space: 0, offset: 0, length: 1000, rights: READ | WRITE, extra: 0 });
        steps.forEach((it, i) => {
          perform(rig, it);
          rig.check();
          if (i % 8 === 7) rig.kernel.assertInvariants();
        });
        rig.kernel.assertInvariants();
      }),
      { numRuns: 5 },
    );
  });
});

const ALL = 1000; // thousandths of the window
const region = { do: 'region' as const, space: 0, offset: 0, length: ALL, rights: READ | WRITE, extra: 0 as const };
const touchAll = { do: 'sweep' as const, space: 0, offset: 0, length: ALL, access: READ };

function play(setup: Setup, steps: readonly Step[]): Rig {
  const rig = new Rig(setup);
  for (const it of steps) {
    perform(rig, it);
    rig.check();
    rig.kernel.assertInvariants();
  }
  return rig;
}

describe('what records seldom do by chance', () => {
  const large: Setup = { layout: 'sparc-srmmu', span: 64, policy: { pageSizes: '256K' } };

  test('the copy of a large page makes the processor forget all of it', () => {
    const rig = play(large, [region, touchAll, { do: 'fork', space: 0, child: 1 }, touchAll]);
    const before = rig.events.invalidations;
    perform(rig, { do: 'access', space: 0, offset: 500, access: WRITE });
    rig.check();
    expect(rig.events.invalidations).toBe(before + 1);
    expect(rig.kernel.leafPages(0, rig.window)).toBe(64);
  });

  test('a copy made for one region gives no rights to its neighbour in the same large page', () => {
    const rig = play(large, [region, touchAll, { do: 'fork', space: 0, child: 1 }]);
    const rights = { rights: READ, offset: 600, length: 400 };
    for (const it of [
      { do: 'repermit' as const, space: 0, ...rights },
      { do: 'access' as const, space: 0, offset: 0, access: WRITE },
    ]) {
      perform(rig, it);
      rig.check();
    }
    expect(rig.access(0, rig.window + 60, WRITE)).toBe(false);
    rig.kernel.assertInvariants();
  });

  test('what a program may not touch is inherited, and comes back as it was marked', () => {
    const software: Setup = { layout: 'sv39', options: { adue: 0 } };
    const hide = { do: 'repermit' as const, space: 0, offset: 0, length: ALL, rights: 0 };
    const writeAll = { ...touchAll, access: WRITE };
    const rig = play(software, [region, writeAll, hide, { do: 'fork', space: 0, child: 1 }, { ...hide, rights: READ }]);
    rig.kernel.tables.find(rig.kernel.spaces.get(0)?.root ?? 0, rig.window);
    expect(rig.kernel.tables.attributes & (ATTR_ACCESSED | ATTR_DIRTY)).toBe(ATTR_ACCESSED | ATTR_DIRTY);
    perform(rig, { do: 'end', space: 0 });
    rig.check();
    rig.kernel.assertInvariants();
    expect(rig.kernel.frames.taken).toBe(16);
  });

  test('a share of the places for large pages gets one, the same in every run', () => {
    const counts = [0, 0.5, 1].map((largeShare) => {
      const { kernel } = play({ ...large, span: 64 * 12, policy: { pageSizes: '256K', largeShare } }, [region, touchAll]);
      let pages = 0;
      kernel.tables.forEachLeaf(kernel.spaces.get(0)?.root ?? 0, (_page, _frame, level) => void (pages += level));
      return pages;
    });
    expect(counts).toEqual([0, 5, 12]);
  });
});

describe('refused, with the cause, and nothing done', () => {
  const setup: Setup = { layout: 'sv39', policy: { memoryBytes: 64 * 4096 } };
  test.each([
    ['a region over another', REGION, 0, 0x408, 4096, READ, /some are mapped already/],
    ['a region beyond the layout', REGION, 0, 2 ** 26, 4096, READ, /sv39 has no such addresses/],
    ['a region over the hole', REGION, 0, 2 ** 26 - 1, 8192, READ, /sv39 has no such addresses/],
    ['a region of nothing', REGION, 0, 0x800, 0, READ, /a number from 1 on/],
    ['a region of less than a byte', REGION, 0, 0x800, 5e-324, READ, /a number from 1 on/],
    ['a region that does not fit', REGION, 0, 0x800, 65 * 4096, READ | REGION_POPULATE, /frames are free/],
    ['strange flags', REGION, 0, 0x800, 4096, 64, /no such flags/],
    ['permissions of a hole', REPERMIT, 0, 0x410, 8 * 4096, READ, /not all are mapped/],
    ['an unknown space', UNREGION, 7, 0x400, 4096, 0, /space 7: there is none/],
    ['a child that exists', FORK, 0, 0, 0, 0, /it exists already/],
    ['a child out of range', FORK, 0, 0, 65536, 0, /spaces are 0 to 65535/],
    ['an end of nothing', END, 9, 0, 0, 0, /there is none/],
    ['entries in a space with regions', UNMAP, 0, 0x400, 4096, 0, /it has regions/],
    ['a page of no size', MAP, 3, 0x400, 1, READ, /sv39 has pages of 2\^ 12, 21, 30/],
    ['no record', 20, 0, 0, 0, 0, /no such record/],
  ])('%s', (_, kind, space, page, value, flags, message) => {
    const rig = play(setup, [{ ...region, length: 600 }, touchAll]);
    const before = [...rig.kernel.spaces.keys(), rig.kernel.frames.taken, rig.events.tableWrites];
    const batch = new Batch();
    batch.control(kind, space, page, value, flags);
    expect(() => rig.kernel.record(batch, 0)).toThrow(message);
    expect([...rig.kernel.spaces.keys(), rig.kernel.frames.taken, rig.events.tableWrites]).toEqual(before);
    rig.check();
  });

  test('policies that no tables can serve', () => {
    const build = (layout: string, policy: Partial<GuestPolicy>) => () => new Rig({ layout, policy });
    expect(build('sv39', { pageSizes: '16K' })).toThrow('page size 16K: sv39 has 4K, 2M, 1G, which may also be called base and thp');
    expect(build('armv7-short', { dataBase: 2 ** 32 })).toThrow(/pages of armv7-short lie below 4294967296/);
    expect(build('sv39', { dataBase: 0x1000 })).toThrow(/the tables below the data/);
    expect(build('sv39', { largeShare: Number.NaN })).toThrow(LabError);
  });
});
