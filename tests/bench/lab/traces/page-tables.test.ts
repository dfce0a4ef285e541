import { expect, test } from 'vitest';
import { type Batch, MAP } from '../../../../bench/lab/stream.ts';
import { readPageTables, RecordOutput, recordsOfTables, TraceError } from '../../../../bench/lab/traces/index.ts';
import { READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_USER,
  compileLayout,
  layoutByName,
  type LayoutDescriptor,
} from '../../../../hostkernel/machine/index.ts';

const SV39 = compileLayout(layoutByName('sv39') as LayoutDescriptor);
const X86 = compileLayout(layoutByName('x86-64-4l') as LayoutDescriptor);

interface Leaf {
  readonly page: number;
  readonly frame: number;
  readonly shift: number;
  readonly attributes: number;
}

function collector(): { output: RecordOutput; leaves: Leaf[] } {
  const leaves: Leaf[] = [];
  const output = new RecordOutput((batch: Batch) => {
    for (let i = 0; i < batch.count; i++) {
      expect(batch.kind[i]).toBe(MAP);
      leaves.push({ page: batch.page[i], frame: batch.value[i], shift: batch.bytes[i], attributes: batch.flags[i] });
    }
  });
  return { output, leaves };
}

function readText(format: typeof SV39, text: string): Leaf[] {
  const { output, leaves } = collector();
  const reader = readPageTables(format, output);
  reader.feed(new TextEncoder().encode(text));
  reader.end();
  return leaves;
}

test('a line of entries is the mapping they say', () => {
  const leaves = readText(X86, '# a comment\n7f2a8c001 3d0a067 3d0b067 3d0c067 1a2b3c067\n\n0x7f2a8c200 0x3d0a067 0x3d0b067 0x4000e7\n');
  const userData = READ | WRITE | ATTR_USER | ATTR_ACCESSED | ATTR_DIRTY;
  expect(leaves.map(({ attributes, ...leaf }) => [leaf, attributes & userData])).toEqual([
    [{ page: 0x7f2a8c001, frame: 0x1a2b3c, shift: 12 }, userData],
    [{ page: 0x7f2a8c200, frame: 0x400, shift: 21 }, userData],
  ]);
});

test.each([
  ['12 zz', 'byte 0: no line of hexadecimal numbers: page, then entries'],
  ['# ok\n12', 'byte 5: 0 entries; a walk of sv39 reads 1 to 3'],
  ['12 1 1 1 1', 'byte 0: 4 entries; a walk of sv39 reads 1 to 3'],
  ['12 1 1 1', 'byte 0: entry 3 is no leaf of level 0 of sv39'],
  ['12 cf 1 cf', 'byte 0: entry 1 is no pointer of level 2 of sv39'],
])('%j is refused', (text, message) => {
  expect(() => readText(SV39, text)).toThrow(TraceError);
  expect(() => readText(SV39, text)).toThrow(message);
});

test('tables in memory are followed from their root, large leaves and loops too', () => {
  const entry = (frame: number, flags: number): number => frame * 1024 + flags; // sv39, frames below 2^22
  const memory = new Map([
    [0x1000, entry(2, 1)], // root: slot 0 to the table in frame 2
    [0x1008, entry(0x40000, 0xd7)], // slot 1: a gigabyte
    [0x1010, entry(1, 1)], // slot 2: the root itself
    [0x2000, entry(3, 1)],
    [0x3028, entry(0x123, 0xd7)],
  ]);
  const { output, leaves } = collector();
  const found = recordsOfTables(
    SV39,
    0x1000,
    (address) => {
      const lo = memory.get(address);
      return lo === undefined ? null : { lo, hi: 0 };
    },
    output,
  );
  output.flush();
  expect(leaves.slice(0, 2).map(({ page, frame, shift }) => [page, frame, shift])).toEqual([
    [5, 0x123, 12],
    [0x40000, 0x40000, 30],
  ]);
  // Through slot 2 the root is a table of level 1, whose slots lead to tables of level 0: three more pages at most.
  expect(leaves.slice(2).every(({ page }) => page >= 2 * 0x40000)).toBe(true);
  expect(found).toBe(leaves.length);
});
