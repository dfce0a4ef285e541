/** The few RISC-V instructions that test programs are made of, as words. Registers are numbers: a0 is 10. */

export const ZERO = 0;
export const SP = 2;
export const T0 = 5;
export const T1 = 6;
export const T2 = 7;
export const S0 = 8;
export const S1 = 9;
export const A0 = 10;
export const A1 = 11;
export const A2 = 12;
export const A3 = 13;
export const A4 = 14;
export const A5 = 15;
export const A6 = 16;
export const A7 = 17;

export const ECALL = 0x0000_0073;
export const EBREAK = 0x0010_0073;
export const ILLEGAL = 0xffff_ffff;

function iType(opcode: number, funct3: number, rd: number, rs1: number, imm: number): number {
  return (((imm & 0xfff) << 20) | (rs1 << 15) | (funct3 << 12) | (rd << 7) | opcode) >>> 0;
}

export function addi(rd: number, rs1: number, imm: number): number {
  return iType(0x13, 0, rd, rs1, imm);
}

/** rd = imm << 12, sign extended; imm is 20 bits. */
export function lui(rd: number, imm: number): number {
  return (((imm & 0xf_ffff) << 12) | (rd << 7) | 0x37) >>> 0;
}

export function add(rd: number, rs1: number, rs2: number): number {
  return ((rs2 << 20) | (rs1 << 15) | (rd << 7) | 0x33) >>> 0;
}

export function lw(rd: number, offset: number, rs1: number): number {
  return iType(0x03, 2, rd, rs1, offset);
}

export function sw(rs2: number, offset: number, rs1: number): number {
  return (((offset & 0xfe0) << 20) | (rs2 << 20) | (rs1 << 15) | (2 << 12) | ((offset & 0x1f) << 7) | 0x23) >>> 0;
}

export function sh(rs2: number, offset: number, rs1: number): number {
  return (sw(rs2, offset, rs1) ^ 0x3000) >>> 0; // funct3 1 instead of 2
}

/** rd = the word at rs1, which grows by rs2. */
export function amoaddW(rd: number, rs2: number, rs1: number): number {
  return ((rs2 << 20) | (rs1 << 15) | (2 << 12) | (rd << 7) | 0x2f) >>> 0;
}

/** Jump by `offset` bytes, -2^20 .. 2^20. */
export function j(offset: number): number {
  const o = offset & 0x1f_ffff;
  const imm = ((o & 0x10_0000) << 11) | ((o & 0x7fe) << 20) | ((o & 0x800) << 9) | (o & 0xf_f000);
  return (imm | 0x6f) >>> 0;
}

/** Branch by `offset` bytes if rs1 != rs2. */
export function bne(rs1: number, rs2: number, offset: number): number {
  const o = offset & 0x1fff;
  const imm = ((o & 0x1000) << 19) | ((o & 0x7e0) << 20) | ((o & 0x1e) << 7) | ((o & 0x800) >> 4);
  return (imm | (rs2 << 20) | (rs1 << 15) | (1 << 12) | 0x63) >>> 0;
}

/** fadd.d with the dynamic rounding mode. */
export function faddD(rd: number, rs1: number, rs2: number): number {
  return ((1 << 25) | (rs2 << 20) | (rs1 << 15) | (7 << 12) | (rd << 7) | 0x53) >>> 0;
}

/** rd = any 32-bit signed value. */
export function li(rd: number, value: number): number[] {
  const low = (value << 20) >> 20;
  const high = (value - low) >>> 12;
  return high === 0 ? [addi(rd, ZERO, low)] : [lui(rd, high), addi(rd, rd, low)];
}

/** A system call with up to six arguments; the result is in a0. */
export function syscall(nr: number, ...args: readonly number[]): number[] {
  return [...args.flatMap((arg, i) => li(A0 + i, arg)), ...li(A7, nr), ECALL];
}

/** exit(a0). */
export function exitA0(): number[] {
  return [...li(A7, 93), ECALL];
}

export function fld(rd: number, offset: number, rs1: number): number {
  return iType(0x07, 3, rd, rs1, offset);
}

export function fsd(rs2: number, offset: number, rs1: number): number {
  return (((offset & 0xfe0) << 20) | (rs2 << 20) | (rs1 << 15) | (3 << 12) | ((offset & 0x1f) << 7) | 0x27) >>> 0;
}

/** A doubleword load, of 64-bit programs. */
export function ld(rd: number, offset: number, rs1: number): number {
  return iType(0x03, 3, rd, rs1, offset);
}
