import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EntrySet } from '../../../vkernel/physmem/core/entry-set.ts';
import {
  attach,
  baseOf,
  BOUND,
  detach,
  type EntryId,
  entriesOf,
  type FrameId,
  FrameTable,
  isCopyOnWrite,
  isCovered,
  UNBOUND,
} from '../../../vkernel/physmem/core/frame-table.ts';

interface ModelEntry {
  readonly id: EntryId;
  readonly frame: FrameId;
  readonly log2: number;
  readonly offset: number;
  readonly group: number;
}

const SIZE = 3; // frames of eight pages

const anyStep = fc.record({
  kind: fc.constantFrom('frame', 'entry', 'entry', 'entry', 'move', 'free'),
  at: fc.nat(1000),
  log2: fc.nat(SIZE),
  offset: fc.nat(7),
  group: fc.nat(2),
});

test('agrees with lists of objects: who is on a frame, in which groups, covered or not, and inside whom', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { minLength: 100, maxLength: 300 }), (steps) => {
      const table = new FrameTable();
      const frames: FrameId[] = [table.newFrame(SIZE, UNBOUND, 0)];
      let entries: ModelEntry[] = [];
      for (const { kind, at, log2, offset, group } of steps) {
        const frame = frames[at % frames.length];
        const known = entries[at % Math.max(1, entries.length)];
        if (kind === 'frame') frames.push(table.newFrame(SIZE, BOUND, 8 * frames.length));
        else if (kind === 'entry') {
          const aligned = (offset >> log2) << log2;
          const id = table.newEntry(1, 0, log2, frame, aligned, group);
          expect(entries.some((each) => each.id === id)).toBe(false);
          entries.push({ id, frame, log2, offset: aligned, group });
        } else if (known !== undefined) {
          detach(table, known.id);
          entries = entries.filter((each) => each !== known);
          if (kind === 'free') table.freeEntry(known.id);
          else {
            attach(table, known.id, frame);
            entries.push({ ...known, frame });
          }
        }
      }
      expect([table.frames, table.entries]).toEqual([frames.length, entries.length]);
      for (const frame of frames) {
        const mine = entries.filter((each) => each.frame === frame);
        expect(new Set(entriesOf(table, frame))).toEqual(new Set(mine.map(({ id }) => id)));
        expect(isCopyOnWrite(table, frame)).toBe(new Set(mine.map(({ group }) => group)).size > 1);
        expect(isCovered(table, frame)).toBe(mine.some(({ log2 }) => log2 === SIZE));
        for (const entry of mine) {
          const around = mine.filter((each) => each.group === entry.group && each.log2 >= entry.log2 && contains(each, entry));
          expect(table.log2[baseOf(table, entry.id)]).toBe(Math.max(...around.map(({ log2 }) => log2)));
        }
      }
    }),
    { numRuns: 30 },
  );
});

test('ids of what has gone are used again', () => {
  const table = new FrameTable();
  const frames = Array.from({ length: 100 }, () => table.newFrame(0, UNBOUND, 0));
  for (const frame of frames) table.freeFrame(frame);
  expect([table.frames, frames.some((frame) => table.isFrame(frame))]).toEqual([0, false]);
  const again = new Set(Array.from({ length: 100 }, () => table.newFrame(0, UNBOUND, 0)));
  expect(again).toEqual(new Set(frames));
  expect(table.frameEnd).toBe(101);
});

test('a frame of one page, with its entry and its place in a container, takes less than 60 bytes', () => {
  const COUNT = 2 ** 17;
  const table = new FrameTable();
  const set = new EntrySet(table);
  for (let page = 0; page < COUNT; page += 1) set.insert(table.newEntry(1, page, 0, table.newFrame(0, UNBOUND, 0), 0, page));
  expect((table.bytes + set.bytes) / COUNT).toBeLessThan(60);
  expect(set.size).toBe(COUNT);
});

function contains(outer: ModelEntry, inner: ModelEntry): boolean {
  return outer.offset <= inner.offset && inner.offset + 2 ** inner.log2 <= outer.offset + 2 ** outer.log2;
}
