/** Objects: lazily filled pages, sizes up to the limit, references, resizing; and the radix tree below them. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KernelPanic } from '../../../hostkernel/base/assert.ts';
import type { HostFrame, ObjectPage } from '../../../hostkernel/base/units.ts';
import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { FAULT_PROTECTION, MAP_SHARED, MAX_OBJECT_PAGES } from '../../../hostkernel/vm/index.ts';
import { Radix, RadixPool } from '../../../hostkernel/vm/radix.ts';
import { Rig, RW } from './rig.ts';

const page = (index: number) => index as ObjectPage;

describe('radix tree', () => {
  test('agrees with a Map, and leaves no node behind', () => {
    const index = fc.oneof(
      fc.nat(70),
      fc.nat(5000),
      fc.nat(MAX_OBJECT_PAGES - 1),
      fc.constantFrom(63, 64, 4095, 4096, MAX_OBJECT_PAGES - 1),
    );
    const both = fc.property(fc.array(fc.record({ index, insert: fc.boolean() }), { maxLength: 200, size: 'max' }), (operations) => {
      const pool = new RadixPool();
      const radix = new Radix(pool);
      const model = new Map<number, number>();
      for (const [i, { index: at, insert }] of operations.entries()) {
        if (insert && !model.has(at)) {
          radix.insert(page(at), (i + 1) as HostFrame);
          model.set(at, i + 1);
        } else if (!insert && model.has(at)) {
          radix.remove(page(at));
          model.delete(at);
        }
        expect(radix.get(page(at))).toBe(model.get(at) ?? 0);
        expect(radix.size).toBe(model.size);
        const later = [...model.keys()].filter((key) => key >= at).sort((a, b) => a - b);
        expect(radix.next(at)).toBe(later[0] ?? -1);
      }
      expect(radix.assertInvariants()).toBe(pool.live);
      for (const at of model.keys()) radix.remove(page(at));
      expect(pool.live).toBe(0);
    });
    fc.assert(both);
  });
});

describe('vm_object', () => {
  test('has no frames until a page is filled, and gives all back at the last release', () => {
    const { vm } = new Rig();
    const before = vm.freeFrames;
    const object = vm.createObject(MAX_OBJECT_PAGES);
    expect(vm.freeFrames).toBe(before);
    for (const index of [0, 77, 2 ** 20, MAX_OBJECT_PAGES - 1]) expect(object.writable(page(index))).toBeGreaterThan(0);
    expect(object.writable(page(77))).toBe(object.lookup(page(77)));
    expect(object.residentPages).toBe(4);
    vm.assertInvariants();
    object.reference();
    object.release();
    expect(vm.freeFrames).toBe(before - 4);
    object.release();
    expect(vm.freeFrames).toBe(before);
    expect(() => object.release()).toThrow(KernelPanic);
    vm.assertInvariants();
  });

  test('reads as zero where nothing was written, without taking frames', () => {
    const { vm } = new Rig();
    const object = vm.createObject(4);
    object.write(PAGE_SIZE - 2, new Uint8Array([1, 2, 3]));
    const bytes = new Uint8Array(6).fill(9);
    expect(object.read(PAGE_SIZE - 3, bytes)).toBe(6);
    expect([...bytes]).toEqual([0, 1, 2, 3, 0, 0]);
    expect(object.read(3 * PAGE_SIZE, bytes)).toBe(6);
    expect(object.residentPages).toBe(2);
    expect(object.read(4 * PAGE_SIZE - 2, bytes)).toBe(2);
    expect(object.read(4 * PAGE_SIZE, bytes)).toBe(0);
    expect(object.write(4 * PAGE_SIZE - 1, bytes)).toBe(1);
  });

  test('a write stops where no frame is free', () => {
    const rig = new Rig({ frames: 16 });
    const object = rig.vm.createObject(64);
    const wanted = 64 * PAGE_SIZE;
    expect(object.write(0, new Uint8Array(wanted))).toBe(14 * PAGE_SIZE); // frame 0 and the root table are not to be had
    rig.vm.assertInvariants();
  });

  test('what a resize cuts off is lost, for mappings too', () => {
    const rig = new Rig();
    const object = rig.vm.createObject(4);
    const at = rig.space.mmap({ addr: 0, len: 4 * PAGE_SIZE, prot: RW, flags: MAP_SHARED, object, offset: 0 });
    for (let i = 0; i < 4; i++) rig.store32(at + i * PAGE_SIZE, i + 1);
    object.resize(2);
    expect(rig.load32(at + 2 * PAGE_SIZE)).toBe(-FAULT_PROTECTION);
    expect(rig.load32(at + PAGE_SIZE)).toBe(2);
    object.resize(4);
    expect(rig.load32(at + 2 * PAGE_SIZE)).toBe(0);
    rig.vm.assertInvariants();
  });

  test('a frame given again does not show what it held', () => {
    const rig = new Rig({ frames: 16 });
    for (let round = 0; round < 20; round++) {
      const object = rig.vm.createObject(8);
      const seen = new Uint8Array(PAGE_SIZE);
      for (let i = 0; i < 8; i++) {
        object.writable(page(i));
        object.read(i * PAGE_SIZE, seen);
        expect(seen.every((byte) => byte === 0)).toBe(true);
        object.write(i * PAGE_SIZE, seen.fill(0xee));
      }
      object.release();
    }
  });
});
