/**
 * Floating-point instructions: operands out of f registers, NaN boxing, rounding modes, flags. The arithmetic is
 * softfloat/; loads and stores of f registers are the interpreters' and memory.ts.
 *
 * A single lies in the lower half of its register, and the upper half is all ones: boxed. An operand not boxed so counts
 * as the canonical NaN.
 *
 * Source: RISC-V unprivileged specification 20191213, chapters 11 and 12.
 */

import { TRAP_ILLEGAL } from './causes.ts';
import type { Hart } from './hart.ts';
import { F0 } from './memory.ts';
import * as soft from './softfloat/index.ts';

const { result, state } = soft;

const CANONICAL_NAN = 0x7fc0_0000;
const SIGN = 0x8000_0000 | 0;
const FLAGS = 31;

/** Index of f0 in the machine's memory as doubles. */
const FIRST_DOUBLE = F0 / 2;

/** Bits of fcsr from which frm begins. */
const FRM_SHIFT = 5;
const DYNAMIC = 7;

/** Opcode of FMADD; FMSUB, FNMSUB and FNMADD follow in steps of 4. */
const FMADD = 0x43;
const OP_FP = 0x53;

/** The single in the f register at word `at`. */
function unbox(m: Int32Array, at: number): number {
  return m[at + 1] === -1 ? m[at] : CANONICAL_NAN;
}

/** Writes a single. */
function setSingle(hart: Hart, rd: number, bits: number): void {
  const m = hart.words;
  m[F0 + rd] = bits;
  m[F0 + rd + 1] = -1;
  hart.fpDirty = true;
}

/** Writes the double in softfloat's result. */
function setDouble(hart: Hart, rd: number): void {
  const m = hart.words;
  m[F0 + rd] = result[0];
  m[F0 + rd + 1] = result[1];
  hart.fpDirty = true;
}

/** Writes an integer of 32 bits, sign-extended whether it is signed or not. */
function setInteger(hart: Hart, rd: number, value: number): void {
  const m = hart.words;
  m[rd] = value;
  if (hart.xlen === 64) m[rd + 1] = value >> 31;
}

/** Writes the integer of 64 bits in softfloat's result. */
function setLong(hart: Hart, rd: number): void {
  const m = hart.words;
  m[rd] = result[0];
  m[rd + 1] = result[1];
}

/** Whether the instruction has a rounding-mode field: not sign injection, minimum, comparison, moves, classification. */
function hasRounding(instruction: number): boolean {
  if ((instruction & 0x7f) !== OP_FP) return true;
  const funct5 = instruction >>> 27;
  return funct5 <= 3 || funct5 === 0x0b || funct5 === 0x08 || funct5 === 0x18 || funct5 === 0x1a;
}

/**
 * Executes one floating-point instruction that is neither load nor store. The decoder has refused what is undefined.
 * @param word        word 0 of its record
 * @param instruction its bits
 * @returns 0, or TRAP_ILLEGAL if it asks for the mode in frm, and that is invalid
 */
export function float(hart: Hart, word: number, instruction: number): number {
  if (hasRounding(instruction)) {
    const own = (instruction >> 12) & 7;
    const rounding = own === DYNAMIC ? (hart.fcsr >> FRM_SHIFT) & 7 : own;
    if (rounding > soft.RMM) {
      hart.tvalLo = instruction;
      hart.tvalHi = 0;
      return TRAP_ILLEGAL;
    }
    state.rounding = rounding;
  }
  const before = hart.fcsr & FLAGS;
  state.flags = before;
  if ((instruction & 0x7f) !== OP_FP) multiplyAdd(hart, word, instruction);
  else if ((instruction & 0x0600_0000) === 0) single(hart, word, instruction);
  else double(hart, word, instruction);
  if (state.flags !== before) {
    hart.fcsr |= state.flags;
    hart.fpDirty = true;
  }
  return 0;
}

/** FMADD, FMSUB, FNMSUB, FNMADD. */
function multiplyAdd(hart: Hart, word: number, instruction: number): void {
  const m = hart.words;
  const rd = (word >>> 8) & 0x7e;
  const a = F0 + ((word >>> 14) & 0x3e);
  const b = F0 + ((word >>> 19) & 0x3e);
  const c = F0 + ((instruction >>> 26) & 0x3e);
  const which = ((instruction & 0x7f) - FMADD) >> 2;
  if ((instruction & 0x0600_0000) === 0) {
    const x = unbox(m, a);
    const y = unbox(m, b);
    const z = unbox(m, c);
    if (which === 0) setSingle(hart, rd, soft.f32Madd(x, y, z));
    else if (which === 1) setSingle(hart, rd, soft.f32Msub(x, y, z));
    else if (which === 2) setSingle(hart, rd, soft.f32Nmsub(x, y, z));
    else setSingle(hart, rd, soft.f32Nmadd(x, y, z));
    return;
  }
  const productSign = which < 2 ? 1 : -1;
  const addendSign = which === 0 || which === 2 ? 1 : -1;
  if (soft.f64FmaNative(hart.ram.f64, (F0 + rd) >> 1, a >> 1, b >> 1, c >> 1, productSign, addendSign)) {
    hart.fpDirty = true;
    return;
  }
  if (which === 0) soft.f64Madd(m[a], m[a + 1], m[b], m[b + 1], m[c], m[c + 1]);
  else if (which === 1) soft.f64Msub(m[a], m[a + 1], m[b], m[b + 1], m[c], m[c + 1]);
  else if (which === 2) soft.f64Nmsub(m[a], m[a + 1], m[b], m[b + 1], m[c], m[c + 1]);
  else soft.f64Nmadd(m[a], m[a + 1], m[b], m[b + 1], m[c], m[c + 1]);
  setDouble(hart, rd);
}

/** OP-FP with format S. */
function single(hart: Hart, word: number, instruction: number): void {
  const m = hart.words;
  const rd = (word >>> 8) & 0x7e;
  const rs1 = (word >>> 14) & 0x3e;
  const rs2 = (word >>> 19) & 0x3e;
  const a = unbox(m, F0 + rs1);
  const b = unbox(m, F0 + rs2);
  const funct3 = (instruction >> 12) & 7;
  switch (instruction >>> 27) {
    case 0x00:
      return setSingle(hart, rd, soft.f32Add(a, b));
    case 0x01:
      return setSingle(hart, rd, soft.f32Sub(a, b));
    case 0x02:
      return setSingle(hart, rd, soft.f32Mul(a, b));
    case 0x03:
      return setSingle(hart, rd, soft.f32Div(a, b));
    case 0x0b:
      return setSingle(hart, rd, soft.f32Sqrt(a));
    case 0x04:
      return setSingle(hart, rd, (a & ~SIGN) | injectedSign(funct3, a, b));
    case 0x05:
      return setSingle(hart, rd, funct3 === 0 ? soft.f32Min(a, b) : soft.f32Max(a, b));
    case 0x08:
      return setSingle(hart, rd, soft.f32FromF64(m[F0 + rs1], m[F0 + rs1 + 1]));
    case 0x14:
      return setInteger(hart, rd, funct3 === 0 ? soft.f32Le(a, b) : funct3 === 1 ? soft.f32Lt(a, b) : soft.f32Eq(a, b));
    case 0x18:
      return singleToInteger(hart, rd, a, rs2 >> 1);
    case 0x1a:
      return setSingle(hart, rd, singleFromInteger(m[rs1], m[rs1 + 1], rs2 >> 1));
    case 0x1c:
      return setInteger(hart, rd, funct3 === 0 ? m[F0 + rs1] : soft.f32Classify(a));
    default:
      return setSingle(hart, rd, m[rs1]); // 0x1e, FMV.W.X
  }
}

/**
 * The arithmetic of format D, on the host's doubles where that is provably the same: f register i is double 64 + i of the
 * memory. FADD FSUB FMUL FDIV by `funct5`, and FSQRT.
 */
function doubleArithmetic(hart: Hart, word: number, funct5: number): void {
  const d = hart.ram.f64;
  const to = FIRST_DOUBLE + ((word >>> 9) & 31);
  const from = FIRST_DOUBLE + ((word >>> 15) & 31);
  const by = FIRST_DOUBLE + ((word >>> 20) & 31);
  hart.fpDirty = true;
  if (funct5 === 0x00 && soft.f64AddNative(d, to, from, by)) return;
  if (funct5 === 0x01 && soft.f64SubNative(d, to, from, by)) return;
  if (funct5 === 0x02 && soft.f64MulNative(d, to, from, by)) return;
  if (funct5 === 0x03 && soft.f64DivNative(d, to, from, by)) return;
  if (funct5 === 0x0b && soft.f64SqrtNative(d, to, from)) return;
  const m = hart.words;
  const aLo = m[2 * from];
  const aHi = m[2 * from + 1];
  const bLo = m[2 * by];
  const bHi = m[2 * by + 1];
  if (funct5 === 0x00) soft.f64Add(aLo, aHi, bLo, bHi);
  else if (funct5 === 0x01) soft.f64Sub(aLo, aHi, bLo, bHi);
  else if (funct5 === 0x02) soft.f64Mul(aLo, aHi, bLo, bHi);
  else if (funct5 === 0x03) soft.f64Div(aLo, aHi, bLo, bHi);
  else soft.f64Sqrt(aLo, aHi);
  m[2 * to] = result[0];
  m[2 * to + 1] = result[1];
}

/** OP-FP with format D. */
function double(hart: Hart, word: number, instruction: number): void {
  const m = hart.words;
  const rd = (word >>> 8) & 0x7e;
  const rs1 = (word >>> 14) & 0x3e;
  const rs2 = (word >>> 19) & 0x3e;
  const aLo = m[F0 + rs1];
  const aHi = m[F0 + rs1 + 1];
  const bLo = m[F0 + rs2];
  const bHi = m[F0 + rs2 + 1];
  const funct3 = (instruction >> 12) & 7;
  switch (instruction >>> 27) {
    case 0x00:
    case 0x01:
    case 0x02:
    case 0x03:
    case 0x0b:
      return doubleArithmetic(hart, word, instruction >>> 27);
    case 0x04:
      return setBits(hart, rd, aLo, (aHi & ~SIGN) | injectedSign(funct3, aHi, bHi));
    case 0x05:
      if (funct3 === 0) soft.f64Min(aLo, aHi, bLo, bHi);
      else soft.f64Max(aLo, aHi, bLo, bHi);
      return setDouble(hart, rd);
    case 0x08:
      soft.f64FromF32(unbox(m, F0 + rs1));
      return setDouble(hart, rd);
    case 0x14:
      if (funct3 === 0) return setInteger(hart, rd, soft.f64Le(aLo, aHi, bLo, bHi));
      return setInteger(hart, rd, funct3 === 1 ? soft.f64Lt(aLo, aHi, bLo, bHi) : soft.f64Eq(aLo, aHi, bLo, bHi));
    case 0x18:
      return doubleToInteger(hart, rd, rs1, rs2 >> 1);
    case 0x1a:
      doubleFromInteger(m[rs1], m[rs1 + 1], rs2 >> 1);
      return setDouble(hart, rd);
    case 0x1c:
      if (funct3 === 1) return setInteger(hart, rd, soft.f64Classify(aLo, aHi));
      m[rd] = aLo; // FMV.X.D, RV64 only
      m[rd + 1] = aHi;
      return;
    default:
      return setBits(hart, rd, m[rs1], m[rs1 + 1]); // 0x1e, FMV.D.X
  }
}

/** Writes a double given as halves. */
function setBits(hart: Hart, rd: number, lo: number, hi: number): void {
  const m = hart.words;
  m[F0 + rd] = lo;
  m[F0 + rd + 1] = hi;
  hart.fpDirty = true;
}

/** The sign bit of FSGNJ, FSGNJN, FSGNJX (funct3 0, 1, 2), from the words that hold the operands' signs. */
function injectedSign(funct3: number, a: number, b: number): number {
  const sign = funct3 === 0 ? b : funct3 === 1 ? ~b : a ^ b;
  return sign & SIGN;
}

/** FCVT.{W,WU,L,LU}.S: `kind` 0..3 in this order. */
function singleToInteger(hart: Hart, rd: number, a: number, kind: number): void {
  if (kind === 0) return setInteger(hart, rd, soft.f32ToI32(a));
  if (kind === 1) return setInteger(hart, rd, soft.f32ToU32(a) | 0);
  if (kind === 2) soft.f32ToI64(a);
  else soft.f32ToU64(a);
  setLong(hart, rd);
}

/** FCVT.{W,WU,L,LU}.D. */
function doubleToInteger(hart: Hart, rd: number, rs1: number, kind: number): void {
  const lo = hart.words[F0 + rs1];
  const hi = hart.words[F0 + rs1 + 1];
  if (kind === 0) return setInteger(hart, rd, soft.f64ToI32(lo, hi));
  if (kind === 1) return setInteger(hart, rd, soft.f64ToU32(lo, hi) | 0);
  if (kind === 2) soft.f64ToI64(lo, hi);
  else soft.f64ToU64(lo, hi);
  setLong(hart, rd);
}

/** FCVT.S.{W,WU,L,LU}. */
function singleFromInteger(lo: number, hi: number, kind: number): number {
  if (kind === 0) return soft.f32FromI32(lo);
  if (kind === 1) return soft.f32FromU32(lo);
  return kind === 2 ? soft.f32FromI64(lo, hi) : soft.f32FromU64(lo, hi);
}

/** FCVT.D.{W,WU,L,LU}. */
function doubleFromInteger(lo: number, hi: number, kind: number): void {
  if (kind === 0) soft.f64FromI32(lo);
  else if (kind === 1) soft.f64FromU32(lo);
  else if (kind === 2) soft.f64FromI64(lo, hi);
  else soft.f64FromU64(lo, hi);
}
