/** The frame allocator against a set of frames in use: none is lost, none is handed out twice, and neighbours stay so. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { HostFrame, ObjectPage } from '../../../hostkernel/base/units.ts';
import { FrameAllocator } from '../../../hostkernel/vm/frames.ts';

const page = (index: number) => index as ObjectPage;

const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ op: fc.constant('allocate' as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({ op: fc.constant('in' as const), owner: fc.integer({ min: 1, max: 3 }), index: fc.nat(140), count: fc.nat(40) }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('run' as const), count: fc.nat(6) }) },
  { weight: 6, arbitrary: fc.record({ op: fc.constant('release' as const), first: fc.nat(), count: fc.integer({ min: 1, max: 60 }) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('break' as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Plays the steps; returns every answer, for whoever wants to compare. */
function play(frames: number, runShift: number, steps: readonly Step[]): readonly number[] {
  const allocator = new FrameAllocator(frames, runShift);
  const used: number[] = [];
  const answers: number[] = [];
  const take = (first: HostFrame, count: number) => {
    answers.push(first);
    if (first === 0) return;
    for (let frame = first; frame < first + count; frame++) {
      if (used.includes(frame) || frame <= 0 || frame >= frames) throw new Error(`frame ${frame} handed out twice`);
      used.push(frame);
    }
  };
  for (const one of steps) {
    const before = allocator.free;
    switch (one.op) {
      case 'allocate':
        take(allocator.allocate(), 1);
        expect(allocator.free).toBe(Math.max(0, before - 1));
        break;
      case 'in':
        for (let i = 0; i < one.count; i++) take(allocator.allocateIn(one.owner, page(one.index + i), 150), 1);
        expect(allocator.free).toBe(Math.max(0, before - one.count));
        break;
      case 'run': {
        const count = 2 ** one.count;
        const first = allocator.allocateRun(count, count);
        expect(first % count).toBe(0);
        const possible = Array.from({ length: Math.ceil(frames / count) }, (_, i) => i * count).some(
          (at) => at > 0 && at + count <= frames && used.every((frame) => frame < at || frame >= at + count),
        );
        expect(first !== 0).toBe(possible);
        take(first, count);
        break;
      }
      case 'release':
        for (const frame of used.splice(one.first % (used.length + 1), one.count)) allocator.release(frame as HostFrame);
        break;
      case 'break':
        allocator.breakReservations();
        expect(allocator.reservations).toBe(0);
        break;
    }
    expect(allocator.free).toBe(frames - 1 - used.length);
    allocator.assertInvariants();
  }
  for (const frame of used) allocator.release(frame as HostFrame);
  allocator.assertInvariants();
  expect(allocator.free).toBe(frames - 1);
  expect(allocator.reservations).toBe(0);
  return answers;
}

test('no frame is lost or handed out twice, and the same requests get the same frames', () => {
  const any = fc.record({
    frames: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constant(256)),
    runShift: fc.integer({ min: 5, max: 7 }),
    steps: fc.array(step, { maxLength: 60, size: 'max' }),
  });
  fc.assert(
    fc.property(any, ({ frames, runShift, steps }) => {
      expect(play(frames, runShift, steps)).toEqual(play(frames, runShift, steps));
    }),
    { numRuns: 200 },
  );
});

describe('reservations', () => {
  test('pages of one block lie in RAM as in the object, whatever the order of their first touch', () => {
    const allocator = new FrameAllocator(8 * 512, 9);
    const first = allocator.allocateIn(1, page(600), 2048);
    expect(first % 512).toBe(600 - 512);
    allocator.allocateIn(2, page(5), 2048);
    expect(allocator.allocateIn(1, page(1023), 2048)).toBe(first + 423);
    expect(allocator.allocateIn(1, page(512), 2048)).toBe(first - 88);
    expect(allocator.reservations).toBe(2);
  });

  test('an object that does not hold half of the block gets none', () => {
    const allocator = new FrameAllocator(8 * 512, 9);
    allocator.allocateIn(1, page(0), 255);
    allocator.allocateIn(1, page(512), 767);
    expect(allocator.reservations).toBe(0);
    allocator.allocateIn(1, page(0), 256);
    expect(allocator.reservations).toBe(1);
  });

  test('under pressure the oldest is broken, and every frame can be had', () => {
    const allocator = new FrameAllocator(8 * 512, 9);
    for (let owner = 1; owner <= 8; owner++) allocator.allocateIn(owner, page(7), 512);
    expect(allocator.reservations).toBe(7); // run 0 has frame 0, so it is never whole
    let got = 8;
    while (allocator.allocate() !== 0) got++;
    expect(got).toBe(8 * 512 - 1);
    expect(allocator.free).toBe(0);
    allocator.assertInvariants();
  });

  test('ends with its last frame, and the run is whole again', () => {
    const allocator = new FrameAllocator(4 * 512, 9);
    const frame = allocator.allocateIn(1, page(3), 512);
    expect(allocator.emptyRuns).toBe(2);
    allocator.release(frame);
    expect(allocator.emptyRuns).toBe(3);
    expect(allocator.reservations).toBe(0);
  });

  test('a frame of the block that another still holds is replaced by any other', () => {
    const allocator = new FrameAllocator(4 * 512, 9);
    const frame = allocator.allocateIn(1, page(3), 512);
    expect(allocator.allocateIn(1, page(3), 512)).not.toBe(frame);
    allocator.assertInvariants();
  });
});

describe('runs for large tables', () => {
  test('are aligned, and may be longer than what one large page maps', () => {
    const allocator = new FrameAllocator(8 * 512, 9);
    expect(allocator.allocateRun(16, 16) % 16).toBe(0);
    const long = allocator.allocateRun(1024, 1024);
    expect(long).toBeGreaterThan(0);
    expect(long % 1024).toBe(0);
    allocator.assertInvariants();
  });

  test('are found in reserved frames when nothing else is left', () => {
    const allocator = new FrameAllocator(2 * 512, 9);
    allocator.allocateIn(1, page(0), 512);
    while (allocator.free > 511) allocator.allocate();
    expect(allocator.reservations).toBe(1);
    expect(allocator.allocateRun(256, 256)).toBe(512 + 256);
    expect(allocator.reservations).toBe(0);
  });
});
