/** Hardware pmaps against a Map of what was entered: translations, reverse map, table pages, harvested bits. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EXEC, type HostFrame, PAGE_SIZE, READ, type VirtualPage, WRITE } from '../../../hostkernel/base/units.ts';
import { compileLayout, type LayoutDescriptor, Machine, SV32, SV39, SV48 } from '../../../hostkernel/machine/index.ts';
import { type HardwarePmap, HardwarePmaps, type PageSource } from '../../../hostkernel/pmap/index.ts';

const FRAMES = 256;
const FIRST_DATA = 224; // frames [224, 256) are data, those below are for tables
const RIGHTS = READ | WRITE | EXEC;

/** A page allocator that only does tables, and remembers what became of pages. */
class Tables implements PageSource {
  readonly #machine: Machine;
  readonly #free: number[];
  readonly referenced = new Set<number>();
  readonly modified = new Set<number>();

  constructor(machine: Machine, count: number) {
    this.#machine = machine;
    this.#free = Array.from({ length: count }, (_, i) => i + 1);
  }

  get freeFrames(): number {
    return this.#free.length;
  }

  allocateTable(): HostFrame {
    const frame = this.#free.pop() ?? 0;
    if (frame !== 0)
      this.#machine.ram.u8.fill(0, this.#machine.ram.base + frame * PAGE_SIZE, this.#machine.ram.base + (frame + 1) * PAGE_SIZE);
    return frame as HostFrame;
  }

  freeTable(frame: HostFrame): void {
    this.#free.push(frame);
  }

  foldReferenced(frame: HostFrame, modified: boolean): void {
    this.referenced.add(frame);
    if (modified) this.modified.add(frame);
  }
}

function rig(tables = FIRST_DATA - 1) {
  const machine = Machine.create({ ramBytes: FRAMES * PAGE_SIZE });
  if (machine === null) throw new Error('no memory');
  const source = new Tables(machine, tables);
  return { machine, source, pmaps: new HardwarePmaps(machine, source) };
}

function created(pmaps: HardwarePmaps, layout: LayoutDescriptor): HardwarePmap {
  const pmap = pmaps.create(compileLayout(layout));
  if (pmap === null) throw new Error('no frame');
  return pmap;
}

const vpage = (page: number) => page as VirtualPage;
const dataFrame = (i: number) => (FIRST_DATA + i) as HostFrame;

/** expect(real).toBe(wanted), which is slow, only where it fails. */
function same(real: unknown, wanted: unknown): void {
  if (real !== wanted) expect(real).toBe(wanted);
}

interface Leaf {
  readonly frame: number;
  rights: number;
}

const step = fc.record({
  op: fc.constantFrom('enter', 'enter', 'enter', 'enter', 'remove', 'protect', 'removeAll'),
  pmap: fc.nat(1),
  page: fc.oneof(fc.nat(40), fc.constantFrom(511, 512, 1023, 1024, 2 ** 18 - 1, 2 ** 18, 2 ** 19 - 1)),
  count: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(1024, 2 ** 19)),
  frame: fc.nat(7),
  access: fc.constantFrom(READ, WRITE, EXEC),
  rights: fc.nat(7),
});

describe.each([
  ['sv32', SV32],
  ['sv39', SV39],
  ['sv48', SV48],
])('%s', (_, layout) => {
  test('agrees with a map of what was entered', () => {
    const both = fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
      const { machine, source, pmaps } = rig();
      const before = source.freeFrames;
      const real = [created(pmaps, layout), created(pmaps, layout)];
      const model = [new Map<number, Leaf>(), new Map<number, Leaf>()];
      for (const { op, pmap, page, count, frame, access, rights } of steps) {
        const closed = (rights & WRITE) !== 0 ? rights | READ : rights;
        switch (op) {
          case 'enter': {
            const granted = closed | access | (access === WRITE ? READ : 0);
            expect(real[pmap].enter(vpage(page), dataFrame(frame), access, rights | access)).toBe(true);
            model[pmap].set(page, { frame: dataFrame(frame), rights: granted });
            expect(real[pmap].context.lookup(page * PAGE_SIZE, access)).toBe(machine.ram.base + dataFrame(frame) * PAGE_SIZE);
            break;
          }
          case 'remove':
            real[pmap].remove(vpage(page), vpage(page + count));
            for (const key of model[pmap].keys()) if (key >= page && key < page + count) model[pmap].delete(key);
            break;
          case 'protect':
            real[pmap].protect(vpage(page), vpage(page + count), rights);
            for (const [key, leaf] of model[pmap]) {
              if (key < page || key >= page + count) continue;
              leaf.rights &= closed;
              if (leaf.rights === 0) model[pmap].delete(key);
            }
            break;
          case 'removeAll':
            pmaps.removeAll(dataFrame(frame));
            for (const one of model) for (const [key, leaf] of one) if (leaf.frame === dataFrame(frame)) one.delete(key);
            break;
        }
        pmaps.assertInvariants();
        for (let i = 0; i < 2; i++) {
          same(real[i].mapped, model[i].size);
          for (const [key, leaf] of model[i]) {
            same(real[i].extract(vpage(key)), leaf.frame);
            same(real[i].rights(vpage(key)), leaf.rights);
            for (const wanted of [READ, WRITE, EXEC]) {
              same(real[i].context.lookup(key * PAGE_SIZE, wanted) >= 0, (leaf.rights & wanted) !== 0);
            }
          }
          same(real[i].context.lookup(page * PAGE_SIZE, READ) >= 0, ((model[i].get(page)?.rights ?? 0) & READ) !== 0);
        }
        for (let i = 0; i < 8; i++) {
          same(
            pmaps.isMapped(dataFrame(i)),
            model.some((one) => [...one.values()].some((leaf) => leaf.frame === dataFrame(i))),
          );
        }
      }
      machine.mmu.assertInvariants();
      real[0].destroy();
      pmaps.assertInvariants();
      real[1].destroy();
      expect(source.freeFrames).toBe(before);
      expect(pmaps.reverse.records).toBe(0);
      pmaps.assertInvariants();
    });
    fc.assert(both, { numRuns: 40, interruptAfterTimeLimit: 50_000 });
  });

  test('table pages come with the first translation below them and go with the last', () => {
    const { source, pmaps } = rig();
    const pmap = created(pmaps, layout);
    const { levels } = compileLayout(layout);
    const before = source.freeFrames;
    pmap.enter(vpage(5), dataFrame(0), READ, READ);
    pmap.enter(vpage(6), dataFrame(1), READ, READ);
    expect(source.freeFrames).toBe(before - (levels - 1));
    pmap.remove(vpage(5), vpage(6));
    expect(source.freeFrames).toBe(before - (levels - 1));
    pmap.protect(vpage(0), vpage(100), 0);
    expect(source.freeFrames).toBe(before);
  });

  test('without enough frames for all its tables, nothing is entered and no table is made', () => {
    const { levels } = compileLayout(layout);
    const { source, pmaps } = rig(levels - 1); // one too few, after the root
    const pmap = created(pmaps, layout);
    expect(pmap.enter(vpage(0), dataFrame(0), READ, READ)).toBe(false);
    expect(source.freeFrames).toBe(levels - 2);
    expect(pmap.mapped).toBe(0);
    pmaps.assertInvariants();
  });
});

describe('accessed and modified bits', () => {
  test('go to the page when the translation goes', () => {
    const { source, pmaps } = rig();
    const pmap = created(pmaps, SV39);
    pmap.enter(vpage(1), dataFrame(1), READ, RIGHTS);
    pmap.enter(vpage(2), dataFrame(2), WRITE, RIGHTS);
    pmap.enter(vpage(3), dataFrame(3), READ, RIGHTS);
    pmap.context.lookup(3 * PAGE_SIZE, WRITE); // the hardware sets it
    pmap.remove(vpage(0), vpage(10));
    expect([...source.referenced]).toEqual([dataFrame(1), dataFrame(2), dataFrame(3)]);
    expect([...source.modified]).toEqual([dataFrame(2), dataFrame(3)]);
  });

  test('go to the old page when another is entered in its place', () => {
    const { source, pmaps } = rig();
    const pmap = created(pmaps, SV39);
    pmap.enter(vpage(1), dataFrame(1), WRITE, RIGHTS);
    pmap.enter(vpage(1), dataFrame(2), READ, RIGHTS);
    expect([...source.modified]).toEqual([dataFrame(1)]);
    pmap.remove(vpage(1), vpage(2));
    expect([...source.modified]).toEqual([dataFrame(1)]);
  });

  test('stay when the same page is entered again with other rights', () => {
    const { source, pmaps } = rig();
    const pmap = created(pmaps, SV39);
    pmap.enter(vpage(1), dataFrame(1), WRITE, RIGHTS);
    pmap.enter(vpage(1), dataFrame(1), READ, READ);
    pmap.remove(vpage(1), vpage(2));
    expect([...source.modified]).toEqual([dataFrame(1)]);
  });

  test('are harvested from all spaces, and set again by the next write', () => {
    const { source, pmaps } = rig();
    const one = created(pmaps, SV39);
    const two = created(pmaps, SV32);
    one.enter(vpage(1), dataFrame(1), READ, RIGHTS);
    two.enter(vpage(9), dataFrame(1), WRITE, RIGHTS);
    pmaps.harvest(dataFrame(1));
    expect([...source.modified]).toEqual([dataFrame(1)]);
    source.modified.clear();
    source.referenced.clear();
    pmaps.harvest(dataFrame(1));
    expect(source.referenced.size).toBe(0);
    one.context.lookup(PAGE_SIZE, WRITE);
    pmaps.harvest(dataFrame(1));
    expect([...source.modified]).toEqual([dataFrame(1)]);
  });
});
