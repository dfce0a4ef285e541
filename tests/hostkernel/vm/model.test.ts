/** The VM against the slow model of model.ts: random calls, accesses and table edits, compared after every step. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EINVAL, ENOMEM } from '../../../hostkernel/base/errno.ts';
import { EXEC, type HostFrame, type ObjectPage, PAGE_SIZE, READ, type VirtualPage, WRITE } from '../../../hostkernel/base/units.ts';
import {
  MADV_FREE,
  MADV_INVAL,
  MADV_SETMAP,
  MAP_ANON,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_VPAGETABLE,
  type VmObject,
  type VmSpace,
} from '../../../hostkernel/vm/index.ts';
import { type Generation, ModelObject, ModelSpace } from './model.ts';
import { Rig, RWX } from './rig.ts';

const IMAGE_PAGES = 12;
const SPACES = 2;
const FIRST = 2 ** 18 - 8; // first of the pages used: they lie on both sides of a gigabyte, so on two tables
const PAGES = 24;
const RUNS = 20;

type Op = 'map' | 'unmap' | 'protect' | 'inval' | 'setmap' | 'free' | 'touch' | 'poke';

interface Vpte {
  readonly frame: number;
  readonly flags: number;
}

interface Step {
  readonly op: Op;
  readonly space: number;
  readonly start: number;
  readonly pages: number;
  readonly prot: number;
  readonly kind: 'private' | 'image' | 'vpagetable' | 'vpagetable-anonymous';
  readonly offset: number;
  readonly access: number;
  readonly root: Vpte;
  readonly entry: Vpte;
  /** Which table a poke edits: 0 = the leaf table, then upwards. */
  readonly level: number;
  readonly slot: number;
}

/** How often each operation comes, of 40. */
const OPS: readonly (readonly [Op, number])[] = [
  ['touch', 18],
  ['poke', 9],
  ['inval', 4],
  ['setmap', 3],
  ['protect', 2],
  ['map', 2],
  ['unmap', 1],
  ['free', 1],
];

const FLAGS_OF: Readonly<Record<Generation, readonly number[]>> = {
  'vpte-2006': [0, 0, 0, 2, 1, 3],
  'vpte-32-nx': [0x3, 0x3, 0x3, 0x1, 0x43, 0x41, 0x83, 0xc3, 0x803, 0x23, 0x63, 0],
  'vpte-64-nx': [0x3, 0x3, 0x3, 0x1, 0x43, 0x41, 0x83, 0xc3, 0x803, 0x23, 0x63, 0],
};

function steps(generation: Generation): fc.Arbitrary<Step[]> {
  const valid = generation === 'vpte-2006' ? 0 : 3;
  const anyEntry = fc.record({
    frame: fc.oneof(
      { weight: 12, arbitrary: fc.nat(IMAGE_PAGES - 1) },
      { weight: 1, arbitrary: fc.constantFrom(IMAGE_PAGES, 2 ** 20 - 1) },
    ),
    flags: fc.constantFrom(...FLAGS_OF[generation]),
  });
  const goodRoot = fc.constant({ frame: 0, flags: valid });
  const step = fc.record<Step>({
    op: fc.oneof(...OPS.map(([op, weight]) => ({ weight, arbitrary: fc.constant(op) }))),
    space: fc.nat(SPACES - 1),
    start: fc.nat(PAGES - 1),
    pages: fc.integer({ min: 1, max: 8 }),
    prot: fc.constantFrom(0, 1, 3, 3, 5, 7, 7),
    kind: fc.constantFrom('private', 'image', 'vpagetable', 'vpagetable', 'vpagetable-anonymous'),
    offset: fc.constantFrom(0, 0, 0, 1, 3, 1020, 510, 2 ** 18 - 2, 2 ** 20 - 3),
    access: fc.constantFrom(READ, READ, WRITE, WRITE, EXEC),
    root: fc.oneof({ weight: 4, arbitrary: goodRoot }, { weight: 1, arbitrary: anyEntry }),
    entry: anyEntry,
    level: fc.constantFrom(0, 0, 0, 0, 0, 1, 2, 3),
    slot: fc.nat(PAGES - 1),
  });
  return fc.array(step, { minLength: 60, maxLength: 120, size: 'max' });
}

/** The real VM and the model side by side. */
class Pair {
  readonly rig: Rig;
  readonly spaces: VmSpace[] = [];
  readonly models: ModelSpace[] = [];
  readonly image: VmObject;
  readonly modelImage = new ModelObject(IMAGE_PAGES);
  readonly generation: Generation;
  readonly #objects = new Map<ModelObject, VmObject>();

  constructor(generation: Generation, mmu: string) {
    this.generation = generation;
    this.rig = new Rig({ frames: 512, mmu, vpte: generation, xlen: mmu === 'sv32' ? 32 : 64 });
    this.image = this.rig.vm.createObject(IMAGE_PAGES);
    this.#objects.set(this.modelImage, this.image);
    for (let i = 0; i < SPACES; i++) {
      this.spaces.push(this.rig.newSpace());
      this.models.push(new ModelSpace(generation));
    }
  }

  /** Maps everything in both spaces through one set of tables, with some leaves already in them. */
  begin(): void {
    const valid = this.generation === 'vpte-2006' ? 0 : 3;
    for (let table = 0; table < this.#tables - 1; table++) this.#setEntry(table, 0, (table + 1) * PAGE_SIZE + valid);
    for (let slot = 0; slot < PAGES; slot++) this.#setEntry(this.#tables - 1, slot, (slot % IMAGE_PAGES) * PAGE_SIZE + valid);
    const whole = { start: 0, pages: PAGES, prot: RWX, kind: 'vpagetable', offset: 0, root: { frame: 0, flags: valid } } as const;
    const rest = { access: READ, entry: { frame: 0, flags: 0 }, level: 0, slot: 0 };
    for (let space = 0; space < SPACES; space++) {
      this.run({ ...whole, ...rest, space, op: 'map' });
      this.run({ ...whole, ...rest, space, op: 'setmap' });
    }
  }

  run(step: Step): void {
    const space = this.spaces[step.space];
    const model = this.models[step.space];
    const start = FIRST + step.start;
    const pages = Math.min(step.pages, PAGES - step.start);
    const addr = start * PAGE_SIZE;
    const len = pages * PAGE_SIZE;
    switch (step.op) {
      case 'map':
        this.#map(step, start, pages);
        break;
      case 'unmap': {
        const covered = model.isCovered(start, pages);
        expect(space.munmap(addr, len)).toBe(covered ? 0 : -EINVAL);
        if (covered) model.unmap(start, pages);
        break;
      }
      case 'protect': {
        const covered = model.isCovered(start, pages);
        expect(space.mprotect(addr, len, step.prot)).toBe(covered ? 0 : -ENOMEM);
        if (covered) model.protect(start, pages, step.prot);
        break;
      }
      case 'inval':
        expect(space.mcontrol(addr, len, MADV_INVAL, 0)).toBe(0);
        model.invalidate(start, pages);
        break;
      case 'setmap': {
        const root = this.generation === 'vpte-2006' ? step.root.frame : step.root.frame * PAGE_SIZE + step.root.flags;
        expect(space.mcontrol(addr, len, MADV_SETMAP, root)).toBe(model.setMap(start, pages, BigInt(root)) ? 0 : -EINVAL);
        break;
      }
      case 'free':
        expect(space.madvise(addr, len, MADV_FREE)).toBe(0);
        model.forget(start, pages);
        break;
      case 'touch':
        this.#touch(step, start);
        break;
      case 'poke':
        this.#poke(step);
        break;
    }
  }

  #map(step: Step, start: number, pages: number): void {
    const isVpagetable = step.kind === 'vpagetable' || step.kind === 'vpagetable-anonymous';
    const isImage = step.kind === 'image' || step.kind === 'vpagetable';
    const prot = isVpagetable ? step.prot | 3 : step.prot;
    const offset = isImage ? step.offset : 0;
    const at = this.spaces[step.space].mmap({
      addr: start * PAGE_SIZE,
      len: pages * PAGE_SIZE,
      prot,
      flags:
        MAP_FIXED | (step.kind === 'private' ? MAP_PRIVATE : MAP_SHARED) | (isVpagetable ? MAP_VPAGETABLE : 0) | (isImage ? 0 : MAP_ANON),
      object: isImage ? this.image : null,
      offset: offset * PAGE_SIZE,
    });
    expect(at).toBe(start * PAGE_SIZE);
    const anonymous = isVpagetable ? new ModelObject(2 ** 31 - 1) : null;
    this.models[step.space].map(start, pages, prot, isImage ? this.modelImage : anonymous, offset, isVpagetable);
  }

  /** An access at word `slot` of a page; a write stores a VPTE, so that tables come into being through the guest's own view. */
  #touch(step: Step, page: number): void {
    const space = this.spaces[step.space];
    const at = (step.slot * (this.generation === 'vpte-64-nx' ? 2 : 1)) % 1024;
    const offset = this.rig.touch(page * PAGE_SIZE, step.access, space);
    const wanted = this.models[step.space].access(page, step.access);
    if (typeof wanted === 'number') {
      expect(offset).toBe(-wanted);
      return;
    }
    expect(offset).toBeGreaterThan(0);
    expect(this.rig.machine.ram.u32[offset / 4 + at]).toBe(wanted[at]);
    if (step.access !== WRITE) return;
    const value = step.entry.frame * PAGE_SIZE + step.entry.flags;
    wanted[at] = value;
    this.rig.machine.ram.u32[offset / 4 + at] = value;
  }

  /** Edits a table entry of the image from outside, as through a linear view. Directories mostly keep their way down. */
  #poke(step: Step): void {
    const last = this.#tables - 1;
    const table = Math.max(0, last - step.level);
    if (table === last) this.#setEntry(table, step.slot, step.entry.frame * PAGE_SIZE + step.entry.flags);
    else if (step.slot < 6) this.#setEntry(table, step.slot % 3, step.entry.frame * PAGE_SIZE + step.entry.flags);
    else this.#setEntry(table, step.slot % 2, (table + 1) * PAGE_SIZE + (this.generation === 'vpte-2006' ? 0 : 3));
  }

  #setEntry(table: number, slot: number, value: number): void {
    const words = this.generation === 'vpte-64-nx' ? 2 : 1;
    this.image.write(table * PAGE_SIZE + slot * words * 4, new Uint8Array(new Uint32Array([value]).buffer));
    this.modelImage.page(table)[slot * words] = value;
  }

  get #tables(): number {
    return this.generation === 'vpte-64-nx' ? 4 : 2;
  }

  check(): void {
    this.rig.vm.assertInvariants();
    for (let i = 0; i < SPACES; i++) this.#checkTranslations(this.spaces[i], this.models[i]);
    const bytes = new Uint8Array(IMAGE_PAGES * PAGE_SIZE);
    this.image.read(0, bytes);
    const words = new Uint32Array(bytes.buffer);
    for (let index = 0; index < IMAGE_PAGES; index++) {
      const real = words.subarray(index * 1024, (index + 1) * 1024);
      const wanted = this.modelImage.pages.get(index);
      if (wanted === undefined ? real.some((word) => word !== 0) : Buffer.compare(bytesOf(real), bytesOf(wanted)) !== 0) {
        expect(Array.from(real)).toEqual(Array.from(wanted ?? new Uint32Array(1024)));
      }
    }
    expect(this.image.residentPages).toBeLessThanOrEqual(IMAGE_PAGES);
  }

  #checkTranslations(space: VmSpace, model: ModelSpace): void {
    const real = [...space.pmap.mappedPages(0 as VirtualPage, (2 ** 27) as VirtualPage)];
    expect(real.map(Number)).toEqual([...model.cached.keys()].sort((a, b) => a - b));
    for (const page of real) {
      const cached = model.cached.get(page);
      same(space.pmap.rights(page), cached?.rights);
      const frame: HostFrame = space.pmap.extract(page);
      if (cached?.object === this.modelImage) same(frame, this.image.lookup(cached.index as ObjectPage));
      else same(this.rig.vm.pages.owner[frame] === this.image.id, false);
    }
  }

  /** Takes everything down and checks that every frame came back. */
  end(): void {
    this.rig.machine.mmu.assertInvariants();
    for (const space of this.spaces) space.destroy();
    this.rig.space.destroy();
    this.image.release();
    this.rig.vm.assertInvariants();
    expect(this.rig.vm.freeFrames).toBe(this.rig.vm.totalFrames - 1);
  }
}

/** expect(real).toBe(wanted), which is slow, only where it fails. */
function same(real: unknown, wanted: unknown): void {
  if (real !== wanted) expect(real).toBe(wanted);
}

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

describe.each([
  ['vpte-2006', 'sv39'],
  ['vpte-32-nx', 'sv32'],
  ['vpte-64-nx', 'sv48'],
] as const)('%s over %s', (generation, mmu) => {
  test('every step does what the model does', () => {
    let walks = 0;
    let refusals = 0;
    const both = fc.property(steps(generation), (list) => {
      const pair = new Pair(generation, mmu);
      pair.begin();
      for (const step of list) {
        pair.run(step);
        pair.check();
      }
      walks += pair.rig.vm.counters.walks;
      refusals += pair.rig.vm.counters.walkRefusals;
      pair.end();
    });
    fc.assert(both, { numRuns: RUNS, interruptAfterTimeLimit: 50_000 }); // shrinking a failure would take minutes
    expect(walks - refusals).toBeGreaterThan(RUNS * 10); // else this tests nothing
    expect(refusals).toBeGreaterThan(RUNS);
  });
});
