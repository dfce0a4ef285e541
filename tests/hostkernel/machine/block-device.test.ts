/** Block devices: bytes arrive, in order, at the time they are due; failures are reported and leave the rest alone. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KernelPanic } from '../../../hostkernel/base/assert.ts';
import type { HostFrame } from '../../../hostkernel/base/units.ts';
import { BLOCK_SIZE, type BlockRequest, FaultyDevice, memoryDisk, Ram } from '../../../hostkernel/machine/index.ts';

const TIMING = { latency: 100, perBlock: 10 };
const ram = Ram.create(16 * BLOCK_SIZE) as Ram;

function request(isWrite: boolean, block: number, ...frames: number[]): BlockRequest {
  return { isWrite, block, frames: frames as HostFrame[], transferred: 0, failed: false };
}

function fill(frame: number, byte: number): void {
  const at = ram.offsetOf(frame as HostFrame);
  ram.u8.fill(byte, at, at + BLOCK_SIZE);
}

/** The byte a whole frame is filled with; -1: it is not one byte. */
function byteOf(frame: number): number {
  const at = ram.offsetOf(frame as HostFrame);
  const bytes = ram.u8.subarray(at, at + BLOCK_SIZE);
  return bytes.every((byte) => byte === bytes[0]) ? bytes[0] : -1;
}

describe('a disk in memory', () => {
  test('agrees with a Map, whatever is queued', () => {
    const step = fc.record({
      isWrite: fc.boolean(),
      block: fc.nat(20),
      frame: fc.integer({ min: 1, max: 12 }),
      count: fc.integer({ min: 1, max: 3 }),
    });
    const both = fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const disk = memoryDisk(24 * BLOCK_SIZE, TIMING);
      const model = new Map<number, number>();
      for (const [i, { isWrite, block, frame, count }] of steps.entries()) {
        const frames = Array.from({ length: count }, (_, k) => frame + k);
        for (const one of frames) fill(one, i + 1);
        disk.submit(request(isWrite, block, ...frames), 0);
        disk.assertInvariants();
        const done = disk.complete(disk.nextCompletion(), ram);
        expect(done?.transferred).toBe(count);
        for (let k = 0; k < count; k++) {
          if (isWrite) model.set(block + k, i + 1);
          expect(byteOf(frame + k)).toBe(model.get(block + k) ?? 0);
        }
      }
    });
    fc.assert(both);
  });

  test('serves one request after the other, each with its latency and its blocks', () => {
    const disk = memoryDisk(64 * BLOCK_SIZE, TIMING);
    expect(disk.nextCompletion()).toBe(Infinity);
    disk.submit(request(true, 0, 1), 1000);
    disk.submit(request(true, 1, 2, 3), 1000);
    expect(disk.queued).toBe(2);
    expect(disk.nextCompletion()).toBe(1110);
    expect(disk.complete(1109, ram)).toBeNull();
    expect(disk.complete(1110, ram)?.block).toBe(0);
    expect(disk.nextCompletion()).toBe(1230);
    expect(disk.complete(5000, ram)?.block).toBe(1);
    disk.submit(request(true, 0, 1), 6000); // it was idle: the time counts from now
    expect(disk.nextCompletion()).toBe(6110);
  });

  test('moves bytes when a request is due, not when it is queued', () => {
    const disk = memoryDisk(4 * BLOCK_SIZE, TIMING);
    fill(1, 7);
    disk.submit(request(true, 0, 1), 0);
    fill(1, 8);
    disk.complete(1000, ram);
    disk.submit(request(false, 0, 2), 1000);
    fill(2, 1);
    disk.complete(3000, ram);
    expect(byteOf(2)).toBe(8);
  });

  test('may be far larger than memory, beyond 2^32 bytes and 2^32 blocks', () => {
    const disk = memoryDisk(2 ** 50, TIMING);
    expect(disk.blocks).toBe(2 ** 38);
    for (const [i, block] of [2 ** 20 - 1, 2 ** 20, 2 ** 32 + 5, 5, 2 ** 38 - 1].entries()) {
      fill(1, i + 1);
      disk.submit(request(true, block, 1), 0);
      disk.complete(Infinity, ram);
    }
    for (const [i, block] of [2 ** 20 - 1, 2 ** 20, 2 ** 32 + 5, 5, 2 ** 38 - 1].entries()) {
      disk.submit(request(false, block, 2), 0);
      disk.complete(Infinity, ram);
      expect(byteOf(2)).toBe(i + 1);
    }
    expect(() => disk.submit(request(false, 2 ** 38 - 1, 2, 3), 0)).toThrow(KernelPanic);
  });
});

test('a faulty device fails the requests its plan says, and only those', () => {
  const disk = new FaultyDevice(memoryDisk(64 * BLOCK_SIZE, TIMING), (_, nth) => (nth === 2 ? 'error' : nth === 3 ? 'short' : 'done'));
  const seen: (readonly [number, boolean])[] = [];
  for (let i = 0; i < 4; i++) {
    disk.submit(request(true, 4 * i, 1, 2, 3, 4), 0);
    const done = disk.complete(Infinity, ram);
    if (done !== null) seen.push([done.transferred, done.failed]);
  }
  expect(seen).toEqual([
    [4, false],
    [0, true],
    [2, false],
    [4, false],
  ]);
});
