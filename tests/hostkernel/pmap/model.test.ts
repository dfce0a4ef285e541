/**
 * Pmaps of every format that can be the machine's, against the model: after each operation the translations, the rights
 * and what was reported of pages, and real accesses on a random hart, so that a stale TLB entry is an error.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import type { PageTableFormat } from '../../../hostkernel/machine/index.ts';
import { ModelSystem, PmapModel, RIGHTS } from './model.ts';
import { created, frameAt, MMU_FORMATS, pmapRig, vpage } from './rig.ts';

/** expect(real).toBe(wanted), which is slow, only where it fails. */
function same(real: unknown, wanted: unknown, what: string): void {
  if (real !== wanted) expect(`${what}: ${String(real)}`).toBe(`${what}: ${String(wanted)}`);
}

const OPERATIONS = {
  fill: 4,
  enter: 3,
  remove: 1,
  removeLeaf: 1,
  protect: 2,
  protectLeaf: 1,
  access: 2,
  removeAll: 1,
  harvest: 2,
  writeProtect: 1,
  superpages: 1,
} as const; // weights
type Operation = keyof typeof OPERATIONS;

const step = fc.record({
  op: fc.oneof(...Object.entries(OPERATIONS).map(([op, weight]) => ({ weight, arbitrary: fc.constant(op as Operation) }))),
  pmap: fc.nat(1),
  hart: fc.nat(3),
  region: fc.nat(2), // which leaf table
  at: fc.oneof(fc.nat(1023), fc.constantFrom(0, 1, 7, 1022, 1023)), // slot of it
  count: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(512, 3000)),
  run: fc.nat(2), // of data frames; the last is not aligned
  frame: fc.nat(1023),
  backwards: fc.boolean(),
  access: fc.constantFrom(READ, WRITE, WRITE, EXEC),
  rights: fc.oneof(fc.constantFrom(READ, READ | WRITE, RIGHTS), fc.integer({ min: 1, max: 7 })),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function play(format: PageTableFormat, harts: number, steps: readonly Step[]): void {
  const span = format.span(1);
  const { machine, source, pmaps, data } = pmapRig(format, 3 * span, harts);
  const before = source.freeFrames;
  const system = new ModelSystem();
  const real = [created(pmaps, format), created(pmaps, format)];
  const model = real.map((pmap) => new PmapModel(system, format, (rights) => pmap.granted(rights)));
  const end = format.userEnd / PAGE_SIZE;
  const regions = [0, span, end - span];
  const touched = new Set<number>();

  const enter = (i: number, page: number, frame: number, access: number, rights: number) => {
    same(real[i].enter(vpage(page), frameAt(frame), access, rights), true, 'enter');
    model[i].enter(page, frame, access, rights);
    touched.add(page);
  };
  for (let slot = 0; slot < span; slot++) enter(0, slot, data + slot, WRITE, READ | WRITE);
  same(pmaps.largePages, format.hasLeaf(1) ? 1 : 0, 'large pages');
  for (const { op, pmap: i, hart, region, at, count, run, frame: number, backwards, access, rights: some } of steps) {
    const page = regions[region] + (at % span);
    const frame = data + run * span + (number % span);
    const rights = some | access | (access === WRITE ? READ : 0);
    touched.clear();
    touched.add(page);
    machine.select(hart % harts);
    switch (op) {
      case 'fill':
        for (let n = 0; n < span; n++) {
          const slot = backwards ? span - 1 - n : n;
          enter(i, regions[region] + slot, data + run * span + ((slot + (run === 2 ? 1 : 0)) % span), access, rights);
        }
        break;
      case 'enter':
        enter(i, page, frame, access, rights);
        break;
      case 'remove':
        real[i].remove(vpage(page), vpage(page + count));
        model[i].remove(page, page + count);
        break;
      case 'removeLeaf':
        real[i].remove(vpage(regions[region]), vpage(regions[region] + span));
        model[i].remove(regions[region], regions[region] + span);
        break;
      case 'protect':
        real[i].protect(vpage(page), vpage(page + count), some);
        model[i].protect(page, page + count, some);
        break;
      case 'protectLeaf':
        real[i].protect(vpage(regions[region]), vpage(regions[region] + span), some);
        model[i].protect(regions[region], regions[region] + span, some);
        break;
      case 'access':
        break; // below
      case 'removeAll':
        pmaps.removeAll(frameAt(frame));
        for (const one of model) one.removeFrame(frame);
        same(pmaps.isMapped(frameAt(frame)), false, 'isMapped');
        break;
      case 'harvest': {
        const wanted = model.map((one) => one.harvest(frame)).includes(true);
        const found = pmaps.harvest(frameAt(frame));
        if (wanted) same(found, true, 'harvest');
        break;
      }
      case 'writeProtect':
        pmaps.writeProtect(frameAt(frame));
        for (const one of model) one.writeProtect(frame);
        break;
      case 'superpages':
        pmaps.superpages = !pmaps.superpages;
        break;
    }
    pmaps.assertInvariants();
    for (let k = 0; k < 2; k++) {
      same(real[k].mapped, model[k].leaves.size, 'mapped');
      for (const [key, leaf] of model[k].leaves) {
        same(real[k].extract(vpage(key)), leaf.frame, `extract ${key}`);
        same(real[k].rights(vpage(key)), model[k].visible(leaf), `rights ${key}`);
      }
    }
    for (let n = 0; n < Math.min(count, 40, end - page); n++) touched.add(page + n);
    for (const one of touched) {
      for (let k = 0; k < 2; k++) {
        const found = real[k].context.lookup(one * PAGE_SIZE, access);
        const wanted = model[k].access(one, access);
        same(found < 0 ? 0 : found, wanted === 0 ? 0 : machine.ram.offsetOf(frameAt(wanted)), `access ${access} to ${one}`);
      }
    }
    same(source.modified.size, system.modified.size, 'modified pages');
    for (const one of system.modified) same(source.modified.has(one), true, `modified ${one}`);
    for (const one of system.referenced) same(source.referenced.has(one), true, `referenced ${one}`);
  }
  machine.mmu.assertInvariants();
  real[0].destroy();
  pmaps.assertInvariants();
  real[1].destroy();
  pmaps.assertInvariants();
  same(source.freeFrames, before, 'free frames');
  same(pmaps.reverse.records, 0, 'records');
  same(pmaps.largePages, 0, 'large pages');
}

test('every single-stage format with 4 KiB pages and write protection can be the machine’s', () => {
  const x86 = ['i386-2l', 'i386-pse', 'i386-pae', 'x86-64-4l', 'x86-64-5l'];
  const riscv = ['sv32', 'sv39', 'sv48', 'sv57', 'tiny'];
  const others = ['armv8-4k-48', 'armv8-4k-39', 'armv7-short', 'm68040-4k', 'sparc-srmmu', 'power-radix-4k'];
  const vpte = ['vpte-32', 'vpte-64', 'vpte-32-x86', 'vpte-64-x86', 'vpte-32-nx', 'vpte-64-nx'];
  expect(MMU_FORMATS.map((format) => format.id).toSorted()).toEqual([...x86, ...riscv, ...others, ...vpte].toSorted());
});

describe.each(MMU_FORMATS.map((format) => [format.id, format] as const))('%s', (_, format) => {
  const isSmall = format.span(1) <= 64;

  test('agrees with a map of what was entered', () => {
    const steps = fc.array(step, { maxLength: isSmall ? 60 : 24, size: 'max' });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), steps, (harts, some) => play(format, harts, some)),
      { numRuns: isSmall ? 8 : 3 },
    );
  });
});
