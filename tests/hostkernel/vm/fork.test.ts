/**
 * Spaces that fork, share, copy, forget and wire, against a model with a number for each page: random calls, compared after
 * every step, with all memory in RAM and with a disk behind too little of it.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EINVAL } from '../../../hostkernel/base/errno.ts';
import { PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { memoryDisk } from '../../../hostkernel/machine/index.ts';
import {
  FAULT_INVALID,
  FAULT_NO_MEMORY,
  FAULT_OK,
  FAULT_PROTECTION,
  MADV_DONTNEED,
  MADV_SETMAP,
  MAP_ANON,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_VPAGETABLE,
  PROT_READ,
  VM_INHERIT_COPY,
  VM_INHERIT_NONE,
  VM_INHERIT_SHARE,
  type VmObject,
  type VmSpace,
} from '../../../hostkernel/vm/index.ts';
import { M, PS, V, W } from './guest.ts';
import { Rig, RW } from './rig.ts';

const FIRST = 2 ** 18 - 8; // the pages used lie on two tables
const PAGES = 20;
const IMAGE_PAGES = 16;
const MAX_SPACES = 4;

const KINDS = ['private', 'shared', 'private image', 'shared image', 'private table', 'shared table'] as const;

interface Step {
  readonly op: 'write' | 'read' | 'fork' | 'exit' | 'map' | 'unmap' | 'protect' | 'forget' | 'inherit' | 'wire' | 'unwire' | 'file';
  readonly space: number;
  readonly start: number;
  readonly pages: number;
  readonly kind: number;
  readonly value: number;
}

/** A page: what was written, or what is in the image where nothing was. */
interface Slot {
  value: number | null;
  readonly image: number | null;
}

interface ModelPage {
  slot: Slot;
  isShared: boolean;
  isTable: boolean;
  isWritable: boolean;
  isWired: boolean;
  inherit: number;
}

type ModelSpace = Map<number, ModelPage>;

const anyStep = fc.record<Step>({
  op: fc.oneof(
    { weight: 14, arbitrary: fc.constant('write' as const) },
    { weight: 8, arbitrary: fc.constant('read' as const) },
    { weight: 8, arbitrary: fc.constantFrom('fork' as const, 'exit' as const) },
    { weight: 3, arbitrary: fc.constantFrom('map' as const, 'unmap' as const, 'protect' as const, 'forget' as const) },
    { weight: 2, arbitrary: fc.constantFrom('inherit' as const, 'wire' as const, 'unwire' as const, 'file' as const) },
  ),
  space: fc.nat(MAX_SPACES - 1),
  start: fc.nat(PAGES - 1),
  pages: fc.integer({ min: 1, max: 9 }),
  kind: fc.nat(KINDS.length - 1),
  value: fc.integer({ min: 1, max: 1_000_000 }),
});

class Family {
  readonly rig: Rig;
  readonly image: VmObject;
  readonly imageValues = Array.from({ length: IMAGE_PAGES }, () => 0);
  readonly spaces: { space: VmSpace; model: ModelSpace }[] = [];
  forks = 0;
  refused = 0;

  constructor(frames: number, isPaging: boolean) {
    this.rig = new Rig({ frames, vpte: 'vpte-32-nx', disk: isPaging ? memoryDisk(2 ** 22) : null });
    this.image = this.rig.vm.createObject(IMAGE_PAGES);
    this.spaces.push({ space: this.rig.space, model: new Map() });
  }

  /** Private memory, a private image and a private virtual page table, side by side. */
  begin(): void {
    for (const [start, pages, kind] of [
      [0, 9, 0],
      [9, 6, 2],
      [15, 5, 4],
    ])
      this.run({ op: 'map', space: 0, start, pages, kind, value: 0 });
  }

  run(step: Step): void {
    const member = this.spaces[step.space % this.spaces.length];
    const { space, model } = member;
    const start = FIRST + step.start;
    const end = Math.min(start + step.pages, FIRST + PAGES);
    const range = Array.from({ length: end - start }, (_, i) => start + i);
    const at = start * PAGE_SIZE;
    const len = (end - start) * PAGE_SIZE;
    const pages = range.flatMap((page) => model.get(page) ?? []);
    const isCovered = pages.length === range.length;
    switch (step.op) {
      case 'write':
      case 'read':
        for (const page of range) this.#access(member, page, step.op === 'write' ? step.value + page : null);
        break;
      case 'fork':
        this.#fork(member);
        break;
      case 'exit':
        if (this.spaces.length === 1) break;
        space.destroy();
        this.spaces.splice(this.spaces.indexOf(member), 1);
        break;
      case 'map':
        this.#map(member, start, end, step);
        break;
      case 'unmap':
        if (!isCovered) break;
        expect(space.munmap(at, len)).toBe(0);
        for (const page of range) model.delete(page);
        break;
      case 'protect': {
        if (!isCovered) break;
        const isWritable = step.value % 2 === 0;
        expect(space.mprotect(at, len, isWritable ? RW : PROT_READ)).toBe(0);
        for (const page of pages) page.isWritable = isWritable;
        break;
      }
      case 'forget': {
        const isWired = pages.some((page) => page.isWired);
        expect(space.madvise(at, len, MADV_DONTNEED)).toBe(isWired ? -EINVAL : 0);
        if (isWired) break;
        for (const page of pages)
          if (!page.isShared && !page.isTable) page.slot = { value: page.slot.image === null ? 0 : null, image: page.slot.image };
        break;
      }
      case 'inherit': {
        const inherit = [VM_INHERIT_SHARE, VM_INHERIT_COPY, VM_INHERIT_NONE][step.value % 3];
        // What is private of an image is not shared here: a later copy of it would be a snapshot, page by page not predictable.
        if (!isCovered || (inherit === VM_INHERIT_SHARE && pages.some((page) => page.slot.image !== null && !page.isShared))) break;
        expect(space.minherit(at, len, inherit)).toBe(0);
        for (const page of pages) page.inherit = inherit;
        break;
      }
      case 'wire': {
        if (!isCovered || pages.some((page) => page.slot.image !== null || page.isTable)) break; // a part of them may be copied in vain
        if (space.mlock(at, len) !== 0) this.refused++;
        else for (const page of pages) page.isWired = true;
        break;
      }
      case 'unwire':
        if (!isCovered) break;
        expect(space.munlock(at, len)).toBe(0);
        for (const page of pages) page.isWired = false;
        break;
      case 'file': {
        const index = step.value % IMAGE_PAGES;
        if (this.image.write(index * PAGE_SIZE, bytesOf(step.value)) < PAGE_SIZE) this.refused++;
        else this.imageValues[index] = step.value;
        break;
      }
    }
  }

  #access({ space, model }: { space: VmSpace; model: ModelSpace }, page: number, value: number | null): void {
    const mapped = model.get(page);
    const result = space.faultNow(page * PAGE_SIZE, value === null ? READ : WRITE);
    if (result === FAULT_NO_MEMORY) {
      this.refused++;
      return;
    }
    const isForbidden = mapped !== undefined && ((value !== null && !mapped.isWritable) || this.valueOf(mapped.slot) === null);
    expect(result).toBe(mapped === undefined ? FAULT_INVALID : isForbidden ? FAULT_PROTECTION : FAULT_OK);
    if (mapped === undefined || isForbidden) return;
    const offset = space.context.lookup(page * PAGE_SIZE, value === null ? READ : WRITE);
    const words = this.rig.machine.ram.u32.subarray(offset / 4, offset / 4 + PAGE_SIZE / 4);
    expect([words[0], words[1023]]).toEqual([this.valueOf(mapped.slot), this.valueOf(mapped.slot)]);
    if (value === null) return;
    words[0] = value;
    words[1023] = value;
    if (mapped.slot.image !== null && mapped.isShared) this.imageValues[mapped.slot.image] = value;
    else mapped.slot.value = value;
  }

  /** What is in a page; null: it is beyond the image. */
  valueOf(slot: Slot): number | null {
    if (slot.value !== null || slot.image === null) return slot.value;
    return slot.image < IMAGE_PAGES ? this.imageValues[slot.image] : null;
  }

  #fork({ space, model }: { space: VmSpace; model: ModelSpace }): void {
    if (this.spaces.length === MAX_SPACES) return;
    const before = [...space.pmap.mappedPages(0 as never, (2 ** 27) as never)].length;
    const child = space.fork();
    if (child === null) {
      this.refused++;
      if (this.rig.vm.io === null) expect([...space.pmap.mappedPages(0 as never, (2 ** 27) as never)].length).toBe(before);
      return;
    }
    this.forks++;
    const copy: ModelSpace = new Map();
    for (const [page, mapped] of model) {
      if (mapped.inherit === VM_INHERIT_NONE) continue;
      if (mapped.inherit === VM_INHERIT_SHARE) {
        mapped.isShared = true;
        copy.set(page, { ...mapped, isWired: false });
      } else if (mapped.slot.image !== null && mapped.isShared) {
        copy.set(page, { ...mapped, slot: { value: this.valueOf(mapped.slot) ?? 0, image: null }, isShared: false, isWired: false });
      } else copy.set(page, { ...mapped, slot: { ...mapped.slot }, isShared: false, isWired: false });
    }
    this.spaces.push({ space: child, model: copy });
  }

  #map({ space, model }: { space: VmSpace; model: ModelSpace }, start: number, end: number, step: Step): void {
    const kind = KINDS[step.kind];
    const isShared = kind.startsWith('shared');
    const isTable = kind.endsWith('table');
    const hasImage = kind.endsWith('image') || isTable;
    const offset = hasImage ? step.value % IMAGE_PAGES : 0;
    const at = space.mmap({
      addr: start * PAGE_SIZE,
      len: (end - start) * PAGE_SIZE,
      prot: RW,
      flags: MAP_FIXED | (isShared ? MAP_SHARED : MAP_PRIVATE) | (hasImage ? 0 : MAP_ANON) | (isTable ? MAP_VPAGETABLE : 0),
      object: hasImage ? this.image : null,
      offset: offset * PAGE_SIZE,
    });
    expect(at).toBe(start * PAGE_SIZE);
    if (isTable) expect(space.mcontrol(at, (end - start) * PAGE_SIZE, MADV_SETMAP, V + W + PS + M)).toBe(0);
    for (let page = start; page < end; page++) {
      model.set(page, {
        slot: { value: hasImage ? null : 0, image: hasImage ? page - start + offset : null },
        isShared,
        isTable,
        isWritable: true,
        isWired: false,
        inherit: isShared ? VM_INHERIT_SHARE : VM_INHERIT_COPY,
      });
    }
  }

  /** Every page of every space is what the model says, looked at without a side effect; and everything that must hold does. */
  check(): void {
    this.rig.vm.assertInvariants();
    const seen = new Uint8Array(PAGE_SIZE);
    const words = new Uint32Array(seen.buffer);
    for (const { space, model } of this.spaces) {
      for (const [page, mapped] of model) {
        const wanted = this.valueOf(mapped.slot);
        const count = space.peek(page * PAGE_SIZE, seen);
        if (count !== (wanted === null ? 0 : PAGE_SIZE)) expect([page, count]).toEqual([page, wanted]);
        if (wanted !== null && (words[0] !== wanted || words[1023] !== wanted))
          expect([page, words[0], words[1023]]).toEqual([page, wanted, wanted]);
      }
    }
  }

  end(): void {
    for (const { space } of this.spaces) space.destroy();
    this.image.release();
    for (const object of this.rig.vm.objects.live()) expect(object.id).toBe('no object is left');
    const { vm, machine } = this.rig;
    // A transfer may be under way that nobody waits for: there is room enough.
    for (let due = vm.nextEvent(); due < Infinity; due = vm.nextEvent()) {
      machine.clock.charge(Math.max(0, due - machine.clock.now()));
      vm.poll();
    }
    this.rig.vm.assertInvariants();
    expect(this.rig.vm.freeFrames).toBe(this.rig.vm.totalFrames - 1);
  }
}

function bytesOf(value: number): Uint8Array {
  const words = new Uint32Array(PAGE_SIZE / 4);
  words[0] = value;
  words[1023] = value;
  return new Uint8Array(words.buffer);
}

describe.each([
  ['all in RAM', 512, false],
  ['with a disk behind 48 frames', 48, true],
  ['on 40 frames, and no more', 40, false],
] as const)('%s', (_name, frames, isPaging) => {
  test('every step does what the model does', () => {
    const total = { forks: 0, collapses: 0, bypasses: 0, copies: 0 };
    fc.assert(
      fc.property(fc.array(anyStep, { minLength: 60, maxLength: 120, size: 'max' }), (steps) => {
        const family = new Family(frames, isPaging);
        family.begin();
        for (const step of steps) {
          family.run(step);
          family.check();
        }
        const { counters } = family.rig.vm;
        total.forks += family.forks;
        total.collapses += counters.collapses;
        total.bypasses += counters.bypasses;
        total.copies += counters.copies;
        family.end();
      }),
      { numRuns: Number(process.env['RUNS'] ?? 8), interruptAfterTimeLimit: 40_000 },
    );
    expect(total.forks).toBeGreaterThan(10);
    expect(total.copies).toBeGreaterThan(10);
    expect(total.collapses).toBeGreaterThan(0);
  });
});

test('what is still being written when the last space goes is freed when that is done', () => {
  const steps: readonly (readonly [Step['op'], space: number, start: number, pages: number])[] = [
    ['write', 0, 2, 8],
    ['fork', 0, 0, 1],
    ['fork', 0, 0, 1],
    ['map', 0, 2, 9],
    ['exit', 1, 0, 1],
    ['write', 0, 2, 1],
    ['file', 0, 0, 1],
    ['fork', 0, 0, 1],
    ['write', 0, 9, 4],
    ['exit', 1, 0, 1],
    ['write', 1, 0, 2],
    ['fork', 0, 0, 1],
    ['write', 0, 13, 7],
    ['write', 0, 0, 2],
    ['write', 1, 11, 6],
  ];
  const family = new Family(48, true);
  family.begin();
  for (const [op, space, start, pages] of steps) family.run({ op, space, start, pages, kind: KINDS.indexOf('private image'), value: 1 });
  expect(family.rig.vm.nextEvent()).toBeLessThan(Infinity);
  family.end();
});
