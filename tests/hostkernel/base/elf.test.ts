import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ElfImage, parseElf } from '../../../hostkernel/base/elf.ts';
import { EXEC, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { buildElf, code, type ElfSpec } from './elf-builder.ts';

const PROGRAM: ElfSpec = {
  xlen: 64,
  entry: 0x10004,
  segments: [
    { va: 0x10000, bytes: code([0x13, 0x73]) },
    { va: 0x12010, bytes: new Uint8Array(100).fill(7), memBytes: 9000, flags: 6 },
  ],
};

/** The image of a file that must be accepted. */
function accepted(file: Uint8Array): ElfImage {
  const image = parseElf(file);
  if (typeof image === 'string') throw new Error(image);
  return image;
}

/** PROGRAM with one field of `bytes` bytes overwritten. */
function patched(at: number, bytes: 1 | 2 | 4, value: number, spec: ElfSpec = PROGRAM): string | ElfImage {
  const file = buildElf(spec);
  const view = new DataView(file.buffer);
  if (bytes === 1) view.setUint8(at, value);
  else if (bytes === 2) view.setUint16(at, value, true);
  else view.setUint32(at, value, true);
  return parseElf(file);
}

describe('a valid file', () => {
  test.each([32, 64] as const)('of %i bits gives its segments and entry', (xlen) => {
    const image = accepted(buildElf({ ...PROGRAM, xlen }));
    expect(image).toMatchObject({
      xlen,
      positionIndependent: false,
      entry: 0x10004,
      start: 0x10000,
      end: 0x12010 + 9000,
      align: 4096,
      phnum: 2,
    });
    expect(image.segments.map(({ va, memBytes, fileBytes, rights }) => ({ va, memBytes, fileBytes, rights }))).toEqual([
      { va: 0x10000, memBytes: 8, fileBytes: 8, rights: READ | EXEC },
      { va: 0x12010, memBytes: 9000, fileBytes: 100, rights: READ | WRITE },
    ]);
    expect(image.phdrVa).toBe(0); // the builder keeps the headers out of the segments
  });

  test('is position independent if it is ET_DYN', () => {
    expect(accepted(buildElf({ ...PROGRAM, type: 3 })).positionIndependent).toBe(true);
  });

  test('names its interpreter', () => {
    expect(accepted(buildElf({ ...PROGRAM, interpreter: '/lib/ld-musl-riscv64.so.1' })).interpreter).toBe('/lib/ld-musl-riscv64.so.1');
  });

  test('finds its program headers in memory if a segment holds them', () => {
    const file = buildElf(PROGRAM);
    const view = new DataView(file.buffer);
    view.setUint32(64 + 8, 0, true); // the text segment starts at the beginning of the file
    view.setUint32(64 + 32, 4104, true);
    view.setUint32(64 + 40, 4104, true);
    expect(accepted(file).phdrVa).toBe(0x10000 + 64);
  });

  test('may be a view into a larger buffer', () => {
    const file = buildElf(PROGRAM);
    const larger = new Uint8Array(file.length + 8);
    larger.set(file, 4);
    expect(parseElf(larger.subarray(4, 4 + file.length))).toEqual(parseElf(file));
  });
});

describe('a file is refused in one line', () => {
  test.each([
    ['not an ELF file', new Uint8Array(0)],
    ['not an ELF file', new TextEncoder().encode('#!/bin/sh\n')],
    ['truncated ELF header', buildElf(PROGRAM).subarray(0, 12)],
    ['truncated ELF header', buildElf(PROGRAM).subarray(0, 63)],
    ['truncated program headers', buildElf(PROGRAM).subarray(0, 100)],
    ['truncated segment', buildElf(PROGRAM).subarray(0, 4097)],
  ])('%s', (reason, file) => {
    expect(parseElf(file)).toBe(reason);
  });

  test.each([
    ['unknown ELF class 3', 4, 1, 3],
    ['big-endian, needs little-endian', 5, 1, 2],
    ['unknown ELF version 0', 6, 1, 0],
    ['a relocatable object, not a program', 16, 2, 1],
    ['a core dump, not a program', 16, 2, 4],
    ['wrong machine: x86-64, needs riscv', 18, 2, 62],
    ['wrong machine: number 999, needs riscv', 18, 2, 999],
    ['needs the RV32E/RV64E base with 16 registers', 48, 4, 8],
    ['needs quad-precision floating point', 48, 4, 6],
    ['wrong ELF header size', 52, 2, 52],
    ['wrong program header size', 54, 2, 32],
    ['no program headers', 56, 2, 0],
    ['too many program headers', 56, 2, 0xffff],
    ['truncated program headers', 36, 4, 0xffff_ffff],
    ['truncated program headers', 32, 4, 0],
    ['segment larger in the file than in memory', 64 + 32, 4, 9],
    ['truncated segment', 64 + 12, 4, 0x8000_0000],
    ['segment beyond the address space', 64 + 44, 4, 0xffff_ffff],
    ['segment alignment is not a power of two', 64 + 48, 4, 4095],
    ['misaligned segment', 64 + 8, 4, 4100],
    ['segments overlap', 120 + 16, 4, 0xf010],
    ['entry point outside the executable segments', 24, 4, 0x12010],
    ['entry point outside the executable segments', 28, 4, 0x8000_0000],
    ['odd entry point', 24, 4, 0x10001],
  ] as const)('%s (field at %i)', (reason, at, bytes, value) => {
    expect(patched(at, bytes, value)).toBe(reason);
  });

  test('nothing, if segments are out of order but apart: linkers for bare machines write them so', () => {
    const image = accepted(buildElf({ ...PROGRAM, segments: [...PROGRAM.segments].reverse() }));
    expect(image.segments.map(({ va }) => va)).toEqual([0x10000, 0x12010]);
    expect(image).toMatchObject({ start: 0x10000, end: 0x12010 + 9000 });
  });

  test('nothing, if a segment of zeros lies behind the end of the file: no byte of it is there', () => {
    const file = buildElf({ ...PROGRAM, segments: [PROGRAM.segments[0], { va: 0x20000, bytes: new Uint8Array(0), memBytes: 100 }] });
    new DataView(file.buffer).setUint32(64 + 56 + 8, 0x10_0000, true);
    expect(accepted(file).segments[1]).toMatchObject({ va: 0x20000, memBytes: 100, fileBytes: 0 });
  });

  test('bad interpreter name, if it does not end', () => {
    const file = buildElf({ ...PROGRAM, interpreter: '/lib/ld.so' });
    file[file.length - 1] = 65;
    expect(parseElf(file)).toBe('bad interpreter name');
  });
});

test('a damaged file gives a one-line reason or an image that fits the file, never an exception', () => {
  const seeds = [buildElf(PROGRAM), buildElf({ ...PROGRAM, xlen: 32, type: 3, interpreter: '/lib/ld.so' })];
  const interesting = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff));
  const damage = fc.record({
    seed: fc.nat(1),
    pokes: fc.array(fc.tuple(fc.integer({ min: 0, max: 180 }), interesting), { minLength: 1, maxLength: 12 }),
    cut: fc.option(fc.nat(20_000)),
  });
  fc.assert(
    fc.property(damage, ({ seed, pokes, cut }) => {
      const file = seeds[seed].slice(0, cut ?? undefined);
      for (const [at, value] of pokes) if (at < file.length) file[at] = value;
      const image = parseElf(file);
      if (typeof image === 'string') {
        expect(image).toMatch(/^[^\n]{3,100}$/);
        return;
      }
      let end = -1;
      for (const segment of image.segments) {
        expect(segment.va).toBeGreaterThanOrEqual(end);
        expect(segment.fileBytes).toBeLessThanOrEqual(segment.memBytes);
        expect(segment.fileOffset + segment.fileBytes).toBeLessThanOrEqual(file.length);
        end = segment.va + segment.memBytes;
      }
      expect(end).toBe(image.end);
      expect(end).toBeLessThanOrEqual(2 ** (image.xlen === 32 ? 32 : 53));
      expect(image.entry).toBeLessThan(end);
    }),
    { numRuns: 20_000 },
  );
});
