/**
 * Random programs for comparison with another implementation: blocks of straight-line code over random registers and
 * memory, which leave all registers behind in memory, and a static ELF file around them.
 *
 *   CODE   for each block: load x31, fcsr, f0..f31, x1..x30; random instructions; store them all back
 *          then write(1, DATA, bytes) and exit(0)
 *   DATA   for each block 2048 bytes:   0 x0..x31 | 256 f0..f31 | 512 fcsr | 1024 memory the instructions use
 *                                                                                  x31 -> 1536
 */

import { expand } from '../../../../hostkernel/machine/riscv/compressed.ts';
import { code } from '../rig.ts';
import * as asm from './assembler.ts';

export const CODE = 0x10000;
export const DATA = 0x400000;
const BLOCK = 2048;
const BASE = 1536; // of x31 in its block

/** A small generator of u32: xorshift. The same seed gives the same program everywhere. */
function generator(seed: number): () => number {
  let s = (seed * 2654435761) >>> 0 || 1;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    s >>>= 0;
    return Math.imul(s, 0x9e3779b1) >>> 0;
  };
}

export interface RandomProgram {
  readonly xlen: 32 | 64;
  readonly code: Uint8Array;
  readonly data: Uint8Array;
}

/** A program of `blocks` blocks of `length` random instructions. */
export function randomProgram(seed: number, xlen: 32 | 64, blocks: number, length: number): RandomProgram {
  const next = generator(seed);
  const words: number[] = [];
  const data = new Uint8Array(blocks * BLOCK);
  for (let b = 0; b < blocks; b++) {
    const at = DATA + b * BLOCK + BASE;
    words.push(asm.lui(31, at + 0x800), asm.addi(31, 31, (at << 20) >> 20));
    words.push(asm.lw(1, 512 - BASE, 31), asm.csrrw(0, 3, 1));
    for (let i = 0; i < 32; i++) words.push(asm.fld(i, 256 + 8 * i - BASE, 31));
    for (let i = 1; i < 31; i++) words.push(xlen === 64 ? asm.ld(i, 8 * i - BASE, 31) : asm.lw(i, 8 * i - BASE, 31));
    for (let i = 0; i < length; i++) words.push(...instruction(next, xlen));
    for (let i = 0; i < 31; i++) words.push(xlen === 64 ? asm.sd(i, 8 * i - BASE, 31) : asm.sw(i, 8 * i - BASE, 31));
    for (let i = 0; i < 32; i++) words.push(asm.fsd(i, 256 + 8 * i - BASE, 31));
    words.push(asm.csrrs(1, 3, 0), asm.sw(1, 512 - BASE, 31));
    fillBlock(next, new DataView(data.buffer, b * BLOCK, BLOCK));
  }
  words.push(asm.addi(10, 0, 1), asm.lui(11, DATA), asm.lui(12, data.length + 0x800), asm.addi(12, 12, (data.length << 20) >> 20));
  words.push(asm.addi(17, 0, 64), asm.ECALL, asm.addi(10, 0, 0), asm.addi(17, 0, 93), asm.ECALL);
  return { xlen, code: code(words), data };
}

function fillBlock(next: () => number, block: DataView): void {
  for (let i = 0; i < BLOCK; i += 8) {
    const [lo, hi] = i >= 256 && i < 512 ? floatValue(next) : integerValue(next);
    block.setUint32(i, lo, true);
    block.setUint32(i + 4, hi, true);
  }
  block.setUint32(512, ((next() % 5) << 5) | (next() & next() & 31), true);
  block.setUint32(516, 0, true);
}

/** Halves of an integer that is often near a power of two. */
function integerValue(next: () => number): [lo: number, hi: number] {
  switch (next() % 5) {
    case 0:
      return [next(), next()];
    case 1:
      return [next(), (next() & 1) - 1];
    case 2:
      return [(next() % 7) - 3, (next() & 1) - 1];
    case 3:
      return [1 << (next() & 31), 1 << (next() & 31)];
    default:
      return [(next() & 1) - 1, 0x8000_0000 - (next() & 1)];
  }
}

/** Halves of a double, or of a boxed single, that is often special. */
function floatValue(next: () => number): [lo: number, hi: number] {
  const fraction = next() % 3 === 0 ? 0 : next();
  switch (next() % 6) {
    case 0:
      return [next(), next()];
    case 1: // a double near 1
      return [fraction, (next() & 0x800f_ffff) | ((1023 + (next() % 64) - 32) << 20)];
    case 2: // a special double
      return [fraction, (next() & 0x8000_0000) | ([0, 0x7ff0_0000, 0x7ff8_0000, 0x0010_0000, 0x7fef_ffff][next() % 5] + (next() % 3))];
    case 3: // a single near 1
      return [(next() & 0x807f_ffff) | ((127 + (next() % 40) - 20) << 23), 0xffff_ffff];
    case 4: // a special single
      return [(next() & 0x8000_0000) | ([0, 0x7f80_0000, 0x7fc0_0000, 0x0080_0000, 0x7f7f_ffff][next() % 5] + (next() % 3)), 0xffff_ffff];
    default: // integers as doubles
      return [0, (next() & 0x8000_0000) | 0x41e0_0000 | (next() & 0xf_ffff)];
  }
}

/** One random instruction, or a pair that belongs together. None jumps, traps, or changes x31. */
function instruction(next: () => number, xlen: 32 | 64): number[] {
  const wide = xlen === 64;
  const rd = next() % 31;
  const rs1 = next() & 31;
  const rs2 = next() & 31;
  const imm = next() & 0xfff;
  switch (next() % 16) {
    case 0:
    case 1: {
      const funct3 = next() & 7;
      if (funct3 !== 1 && funct3 !== 5) return [asm.iType(0x13, funct3, rd, rs1, imm)];
      return [asm.iType(0x13, funct3, rd, rs1, (imm & (xlen - 1)) | (funct3 === 5 && (next() & 1) !== 0 ? 0x400 : 0))];
    }
    case 2: {
      const funct3 = next() & 7;
      return [asm.rType(0x33, funct3, (funct3 === 0 || funct3 === 5) && (next() & 1) !== 0 ? 0x20 : 0, rd, rs1, rs2)];
    }
    case 3:
    case 4:
      return [asm.rType(0x33, next() & 7, 1, rd, rs1, rs2)];
    case 5: {
      if (!wide) return [asm.lui(rd, next())];
      const funct3 = [0, 1, 5][next() % 3];
      if ((next() & 1) !== 0) return [asm.rType(0x3b, funct3, funct3 !== 1 && (next() & 1) !== 0 ? 0x20 : 0, rd, rs1, rs2)];
      return [asm.iType(0x1b, funct3, rd, rs1, funct3 === 0 ? imm : (imm & 31) | (funct3 === 5 && (next() & 1) !== 0 ? 0x400 : 0))];
    }
    case 6:
      return [wide ? asm.rType(0x3b, [0, 4, 5, 6, 7][next() % 5], 1, rd, rs1, rs2) : asm.auipc(rd, next())];
    case 7:
      return [asm.iType(0x03, wide ? next() % 7 : [0, 1, 2, 4, 5][next() % 5], rd, 31, (next() % 1000) - 500)];
    case 8:
      return [asm.sType(0x23, next() % (wide ? 4 : 3), 31, rs2, (next() % 1000) - 500)];
    case 9:
      return compressed(next, xlen);
    case 10: {
      const funct3 = wide ? 2 + (next() & 1) : 2;
      const funct5 = [0, 1, 4, 8, 12, 16, 20, 24, 28, 2, 3][next() % 11];
      if (funct5 === 2) return [asm.amo(2, funct3, rd, 31, 0), asm.amo(3, funct3, next() % 31, 31, rs2)];
      return [asm.amo(funct5, funct3, rd, 31, rs2)];
    }
    case 11:
      return (next() & 1) !== 0
        ? [asm.iType(0x07, 2 + (next() & 1), rs1, 31, (next() % 1000) - 500)]
        : [asm.sType(0x27, 2 + (next() & 1), 31, rs2, (next() % 1000) - 500)];
    case 12:
      return [floatToInteger(next, xlen, rd, rs1, rs2)];
    default:
      return [floatArithmetic(next, xlen, rs1, rs2)];
  }
}

/** A rounding mode: often static, else that of fcsr, which random programs keep valid. */
function roundingMode(next: () => number): number {
  return [0, 1, 2, 3, 4, 7, 7][next() % 7];
}

/** A compressed instruction that computes only. */
function compressed(next: () => number, xlen: 32 | 64): number[] {
  for (;;) {
    const bits = next() & 0xffff;
    if ((bits & 3) === 3) continue;
    const expansion = expand(bits, xlen);
    if (expansion === 0 || ((expansion >> 7) & 31) === 31) continue;
    if ([0x13, 0x1b, 0x33, 0x3b, 0x37].includes(expansion & 0x7f)) return [bits];
  }
}

/** A floating-point instruction that writes an x register, or moves between fcsr and one. */
function floatToInteger(next: () => number, xlen: 32 | 64, rd: number, rs1: number, rs2: number): number {
  const format = next() & 1;
  switch (next() % 4) {
    case 0:
      return asm.rType(0x53, next() % 3, 0x50 | format, rd, rs1, rs2); // FLE, FLT, FEQ
    case 1:
      return asm.rType(0x53, roundingMode(next), 0x60 | format, rd, rs1, next() % (xlen === 64 ? 4 : 2));
    case 2:
      return format === 1 && xlen === 32 ? asm.rType(0x53, 1, 0x71, rd, rs1, 0) : asm.rType(0x53, next() & 1, 0x70 | format, rd, rs1, 0);
    default:
      return asm.iType(0x73, 5 + (next() % 3), rd, next() & 31, 1); // CSRR?I fflags
  }
}

/** A floating-point instruction that writes an f register. */
function floatArithmetic(next: () => number, xlen: 32 | 64, rs1: number, rs2: number): number {
  const rd = next() & 31;
  const rm = roundingMode(next);
  const format = next() & 1;
  switch (next() % 10) {
    case 0:
      return asm.rType(0x53, rm, 0x2c | format, rd, rs1, 0); // FSQRT
    case 1:
      return asm.rType(0x53, next() % 3, 0x10 | format, rd, rs1, rs2); // FSGNJ
    case 2:
      return asm.rType(0x53, next() & 1, 0x14 | format, rd, rs1, rs2); // FMIN, FMAX
    case 3:
      return asm.rType(0x53, rm, 0x20 | format, rd, rs1, 1 - format); // FCVT.S.D, FCVT.D.S
    case 4:
      return asm.rType(0x53, rm, 0x68 | format, rd, rs1, next() % (xlen === 64 ? 4 : 2)); // FCVT from an integer
    case 5:
      return asm.rType(0x53, 0, 0x78 | (xlen === 64 ? format : 0), rd, rs1, 0); // FMV
    case 6:
    case 7:
      return ((next() % 32) << 27) | asm.rType([0x43, 0x47, 0x4b, 0x4f][next() & 3], rm, format, rd, rs1, rs2); // FMADD
    default:
      return asm.rType(0x53, rm, [0x00, 0x04, 0x08, 0x0c][next() & 3] | format, rd, rs1, rs2);
  }
}

/** The program as a static ELF file with two segments. */
export function elfOf(program: RandomProgram): Uint8Array {
  const wide = program.xlen === 64;
  const headerBytes = wide ? 64 : 52;
  const entryBytes = wide ? 56 : 32;
  const codeAt = 4096;
  const dataAt = codeAt + Math.ceil(program.code.length / 4096) * 4096;
  const file = new Uint8Array(dataAt + program.data.length);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, 243, true); // EM_RISCV
  view.setUint32(20, 1, true);
  view.setUint32(24, CODE, true); // entry
  view.setUint32(wide ? 32 : 28, headerBytes, true); // program headers
  view.setUint32(wide ? 48 : 36, 5, true); // RVC, double-float ABI
  view.setUint16(wide ? 52 : 40, headerBytes, true);
  view.setUint16(wide ? 54 : 42, entryBytes, true);
  view.setUint16(wide ? 56 : 44, 2, true);
  const segments = [
    { va: CODE, at: codeAt, bytes: program.code.length, flags: 5 },
    { va: DATA, at: dataAt, bytes: program.data.length, flags: 6 },
  ];
  segments.forEach((segment, i) => {
    const at = headerBytes + i * entryBytes;
    view.setUint32(at, 1, true); // PT_LOAD
    if (wide) {
      view.setUint32(at + 4, segment.flags, true);
      for (const [field, value] of [segment.at, segment.va, segment.va, segment.bytes, segment.bytes, 4096].entries()) {
        view.setUint32(at + 8 + 8 * field, value, true);
      }
    } else {
      for (const [field, value] of [segment.at, segment.va, segment.va, segment.bytes, segment.bytes, segment.flags, 4096].entries()) {
        view.setUint32(at + 4 + 4 * field, value, true);
      }
    }
  });
  file.set(program.code, codeAt);
  file.set(program.data, dataAt);
  return file;
}
