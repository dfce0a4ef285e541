/**
 * Decoder: bits of an instruction in, a record (opcodes.ts) out. It runs once per instruction and frame; whatever can
 * be decided without register values is decided here, in particular which encodings are illegal.
 *
 * Source: RISC-V unprivileged specification 20191213: RV32I 2.1, RV64I 2.1, M 2.0, A 2.1, F 2.2, D 2.2, Zicsr, Zifencei.
 */

import { NO_EXPANSION, expand } from './compressed.ts';
import {
  NOWHERE,
  OP_ADD,
  OP_ADDI,
  OP_ADDIW,
  OP_ADDW,
  OP_AND,
  OP_ANDI,
  OP_ATOMIC,
  OP_AUIPC,
  OP_BEQ,
  OP_BGE,
  OP_BGEU,
  OP_BLT,
  OP_BLTU,
  OP_BNE,
  OP_BRANCH_FAR,
  OP_CSR,
  OP_EBREAK,
  OP_ECALL,
  OP_FADD_D,
  OP_FLD,
  OP_FLOAT,
  OP_FLW,
  OP_FMUL_D,
  OP_FSD,
  OP_FSUB_D,
  OP_FSW,
  OP_ILLEGAL,
  OP_J,
  OP_JAL,
  OP_JALR,
  OP_JAL_FAR,
  OP_JR,
  OP_LB,
  OP_LBU,
  OP_LD,
  OP_LH,
  OP_LHU,
  OP_LI,
  OP_LW,
  OP_LWU,
  OP_MUL,
  OP_MULDIV,
  OP_MULW,
  OP_MV,
  OP_NOP,
  OP_OR,
  OP_ORI,
  OP_SB,
  OP_SD,
  OP_SH,
  OP_SLL,
  OP_SLLI,
  OP_SLLIW,
  OP_SLLI_HIGH,
  OP_SLLW,
  OP_SLT,
  OP_SLTI,
  OP_SLTIU,
  OP_SLTU,
  OP_SRA,
  OP_SRAI,
  OP_SRAIW,
  OP_SRAI_HIGH,
  OP_SRAW,
  OP_SRL,
  OP_SRLI,
  OP_SRLIW,
  OP_SRLI_HIGH,
  OP_SRLW,
  OP_SUB,
  OP_SUBW,
  OP_SW,
  OP_XOR,
  OP_XORI,
} from './opcodes.ts';

/** Where an instruction stands, and how wide registers are. */
export interface DecodeSite {
  /** Byte offset in its page. */
  offset: number;
  /** Bytes: 2 or 4. */
  length: number;
  xlen: 32 | 64;
  /** Whether its record stands in its own page's slot: then a jump inside the page needs no look at the TLB. */
  inPage: boolean;
}

/** The record that `decode` made last. */
export const decoded = { word: 0, imm: 0 };

/**
 * Decodes one instruction into `decoded`.
 * @param bits 32 bits; for a compressed instruction its 16 bits
 */
export function decode(bits: number, site: DecodeSite): void {
  let instruction = bits;
  if (site.length === 2) {
    instruction = expand(bits, site.xlen);
  }
  if (instruction === NO_EXPANSION || !decodeWide(instruction, site)) emit(OP_ILLEGAL, 0, bits, site);
}

/** Leaves a record in `decoded`, with the register fields of `instruction`. Returns true. */
function emit(op: number, instruction: number, imm: number, site: DecodeSite): true {
  const rd = (instruction >> 7) & 31;
  return emitFields(op, rd === 0 ? NOWHERE : rd, instruction, imm, site);
}

/** emit() for a destination that is an f register, where 0 is one like any other. */
function emitFloat(op: number, instruction: number, imm: number, site: DecodeSite): true {
  return emitFields(op, (instruction >> 7) & 31, instruction, imm, site);
}

function emitFields(op: number, rd: number, instruction: number, imm: number, site: DecodeSite): true {
  decoded.word = (site.length << 25) | (instruction & 0x1f0_0000) | (instruction & 0xf_8000) | (rd << 9) | op;
  decoded.imm = imm | 0;
  return true;
}

/** Decodes an instruction of 32 bits; false if it is illegal. */
function decodeWide(i: number, site: DecodeSite): boolean {
  const funct3 = (i >> 12) & 7;
  const wide = site.xlen === 64;
  switch (i & 0x7f) {
    case 0x37:
      return emit(OP_LI, i, i & -4096, site);
    case 0x17:
      return emit(OP_AUIPC, i, i & -4096, site);
    case 0x6f:
      return decodeJal(i, site);
    case 0x67:
      return funct3 === 0 && emit(((i >> 7) & 31) === 0 ? OP_JR : OP_JALR, i, i >> 20, site);
    case 0x63:
      return decodeBranch(i, funct3, site);
    case 0x03: {
      const op = [OP_LB, OP_LH, OP_LW, wide ? OP_LD : OP_ILLEGAL, OP_LBU, OP_LHU, wide ? OP_LWU : OP_ILLEGAL, OP_ILLEGAL][funct3];
      return op !== OP_ILLEGAL && emit(op, i, i >> 20, site);
    }
    case 0x23: {
      if (funct3 > (wide ? 3 : 2)) return false;
      return emit([OP_SB, OP_SH, OP_SW, OP_SD][funct3], i, storeOffset(i), site);
    }
    case 0x07:
      if (funct3 !== 2 && funct3 !== 3) return false;
      return emitFloat(funct3 === 2 ? OP_FLW : OP_FLD, i, i >> 20, site);
    case 0x27:
      if (funct3 !== 2 && funct3 !== 3) return false;
      return emit(funct3 === 2 ? OP_FSW : OP_FSD, i, storeOffset(i), site);
    case 0x13:
      return decodeImmediate(i, funct3, site);
    case 0x1b:
      return wide && decodeImmediate32(i, funct3, site);
    case 0x33:
      return decodeRegister(i, funct3, site);
    case 0x3b:
      return wide && decodeRegister32(i, funct3, site);
    case 0x0f:
      return decodeFence(i, funct3, site);
    case 0x2f:
      return decodeAtomic(i, funct3, site);
    case 0x73:
      return decodeSystem(i, funct3, site);
    case 0x43:
    case 0x47:
    case 0x4b:
    case 0x4f:
      return isFormat(i) && isRounding(funct3) && emitFloat(OP_FLOAT, i, i, site);
    case 0x53:
      return decodeFloat(i, funct3, site);
    default:
      return false;
  }
}

function storeOffset(i: number): number {
  return ((i >> 25) << 5) | ((i >> 7) & 31);
}

/** Whether a jump of `displacement` bytes stays in the page and may be taken within the slot. */
function staysInPage(displacement: number, site: DecodeSite): boolean {
  const target = site.offset + displacement;
  return site.inPage && target >= 0 && target < 4096;
}

function decodeJal(i: number, site: DecodeSite): boolean {
  const displacement = ((i >> 31) << 20) | (i & 0xf_f000) | ((i >> 9) & 0x800) | ((i >> 20) & 0x7fe);
  if (!staysInPage(displacement, site)) return emit(OP_JAL_FAR, i, displacement, site);
  return emit(((i >> 7) & 31) === 0 ? OP_J : OP_JAL, i, displacement, site);
}

function decodeBranch(i: number, funct3: number, site: DecodeSite): boolean {
  if (funct3 === 2 || funct3 === 3) return false;
  const displacement = ((i >> 31) << 12) | ((i << 4) & 0x800) | ((i >> 20) & 0x7e0) | ((i >> 7) & 0x1e);
  if (!staysInPage(displacement, site)) return emit(OP_BRANCH_FAR, i, (displacement << 3) | funct3, site);
  return emit([OP_BEQ, OP_BNE, 0, 0, OP_BLT, OP_BGE, OP_BLTU, OP_BGEU][funct3], i, displacement, site);
}

function decodeImmediate(i: number, funct3: number, site: DecodeSite): boolean {
  const imm = i >> 20;
  if (funct3 !== 1 && funct3 !== 5) {
    if (((i >> 7) & 31) === 0) return emit(OP_NOP, i, 0, site);
    if (funct3 === 0 && imm === 0) return emit(OP_MV, i, 0, site);
    if (funct3 === 0 && (i & 0xf_8000) === 0) return emit(OP_LI, i, imm, site);
    return emit([OP_ADDI, 0, OP_SLTI, OP_SLTIU, OP_XORI, 0, OP_ORI, OP_ANDI][funct3], i, imm, site);
  }
  const amount = imm & (site.xlen - 1);
  const arithmetic = funct3 === 5 && (imm & 0x400) !== 0;
  if (((imm & 0xfff) ^ amount ^ (arithmetic ? 0x400 : 0)) !== 0) return false;
  if (amount === 0) return emit(OP_MV, i, 0, site);
  const right = arithmetic ? OP_SRAI : OP_SRLI;
  if (amount < 32) return emit(funct3 === 1 ? OP_SLLI : right, i, amount, site);
  const rightHigh = arithmetic ? OP_SRAI_HIGH : OP_SRLI_HIGH;
  return emit(funct3 === 1 ? OP_SLLI_HIGH : rightHigh, i, amount - 32, site);
}

function decodeImmediate32(i: number, funct3: number, site: DecodeSite): boolean {
  const imm = i >> 20;
  if (funct3 === 0) return emit(OP_ADDIW, i, imm, site);
  const funct7 = i >>> 25;
  if (funct3 === 1 && funct7 === 0) return emit(OP_SLLIW, i, imm & 31, site);
  if (funct3 === 5 && funct7 === 0) return emit(OP_SRLIW, i, imm & 31, site);
  return funct3 === 5 && funct7 === 0x20 && emit(OP_SRAIW, i, imm & 31, site);
}

function decodeRegister(i: number, funct3: number, site: DecodeSite): boolean {
  switch (i >>> 25) {
    case 0x00:
      return emit([OP_ADD, OP_SLL, OP_SLT, OP_SLTU, OP_XOR, OP_SRL, OP_OR, OP_AND][funct3], i, 0, site);
    case 0x20:
      if (funct3 !== 0 && funct3 !== 5) return false;
      return emit(funct3 === 0 ? OP_SUB : OP_SRA, i, 0, site);
    case 0x01:
      return emit(funct3 === 0 ? OP_MUL : OP_MULDIV, i, funct3, site);
    default:
      return false;
  }
}

function decodeRegister32(i: number, funct3: number, site: DecodeSite): boolean {
  switch (i >>> 25) {
    case 0x00:
      if (funct3 !== 0 && funct3 !== 1 && funct3 !== 5) return false;
      return emit([OP_ADDW, OP_SLLW, 0, 0, 0, OP_SRLW][funct3], i, 0, site);
    case 0x20:
      if (funct3 !== 0 && funct3 !== 5) return false;
      return emit(funct3 === 0 ? OP_SUBW : OP_SRAW, i, 0, site);
    case 0x01:
      if (funct3 > 0 && funct3 < 4) return false;
      return emit(funct3 === 0 ? OP_MULW : OP_MULDIV, i, funct3 + 8, site);
    default:
      return false;
  }
}

/** FENCE orders nothing on one hart; FENCE.I has nothing to do, since stores are noticed when they happen. */
function decodeFence(i: number, funct3: number, site: DecodeSite): boolean {
  return funct3 <= 1 && emit(OP_NOP, i, 0, site);
}

function decodeAtomic(i: number, funct3: number, site: DecodeSite): boolean {
  if (funct3 !== 2 && (funct3 !== 3 || site.xlen === 32)) return false;
  const funct5 = i >>> 27;
  if (funct5 === 2) return ((i >> 20) & 31) === 0 && emit(OP_ATOMIC, i, i, site);
  // Of 0..31 these are defined: SWAP 1, SC 3, and every fourth: ADD XOR OR AND MIN MAX MINU MAXU.
  return (funct5 === 1 || funct5 === 3 || (funct5 & 3) === 0) && emit(OP_ATOMIC, i, i, site);
}

const CSR_FFLAGS = 1;
const CSR_FCSR = 3;
const CSR_CYCLE = 0xc00;
const CSR_CYCLEH = 0xc80;

function decodeSystem(i: number, funct3: number, site: DecodeSite): boolean {
  if (i === 0x0000_0073) return emit(OP_ECALL, i, 0, site);
  if (i === 0x0010_0073) return emit(OP_EBREAK, i, 0, site);
  if ((funct3 & 3) === 0) return false;
  const csr = i >>> 20;
  if (csr >= CSR_FFLAGS && csr <= CSR_FCSR) return emit(OP_CSR, i, i, site);
  const isCounter = (csr >= CSR_CYCLE && csr < CSR_CYCLE + 3) || (site.xlen === 32 && csr >= CSR_CYCLEH && csr < CSR_CYCLEH + 3);
  const writes = (funct3 & 3) === 1 || (i & 0xf_8000) !== 0;
  return isCounter && !writes && emit(OP_CSR, i, i, site);
}

/** Whether the format field names single or double precision. */
function isFormat(i: number): boolean {
  return ((i >> 25) & 3) <= 1;
}

/** Whether a static rounding mode is valid: 5 and 6 are reserved, 7 asks fcsr. */
function isRounding(rm: number): boolean {
  return rm !== 5 && rm !== 6;
}

/** The instructions of opcode OP-FP, by funct7 without the format bits. */
function decodeFloat(i: number, funct3: number, site: DecodeSite): boolean {
  if (!isFormat(i)) return false;
  const rs2 = (i >> 20) & 31;
  const isDouble = ((i >> 25) & 3) === 1;
  const wide = site.xlen === 64;
  switch (i >>> 27) {
    case 0x00: // FADD
    case 0x01: // FSUB
    case 0x02: // FMUL
      if (isDouble && (funct3 === 0 || funct3 === 7)) return emitFloat([OP_FADD_D, OP_FSUB_D, OP_FMUL_D][i >>> 27], i, i, site);
      return isRounding(funct3) && emitFloat(OP_FLOAT, i, i, site);
    case 0x03: // FDIV
      return isRounding(funct3) && emitFloat(OP_FLOAT, i, i, site);
    case 0x0b: // FSQRT
      return rs2 === 0 && isRounding(funct3) && emitFloat(OP_FLOAT, i, i, site);
    case 0x04: // FSGNJ, FSGNJN, FSGNJX
      return funct3 <= 2 && emitFloat(OP_FLOAT, i, i, site);
    case 0x05: // FMIN, FMAX
      return funct3 <= 1 && emitFloat(OP_FLOAT, i, i, site);
    case 0x08: // FCVT.S.D, FCVT.D.S
      return rs2 === (isDouble ? 0 : 1) && isRounding(funct3) && emitFloat(OP_FLOAT, i, i, site);
    case 0x14: // FLE, FLT, FEQ
      return funct3 <= 2 && emit(OP_FLOAT, i, i, site);
    case 0x18: // FCVT to an integer
      return rs2 < (wide ? 4 : 2) && isRounding(funct3) && emit(OP_FLOAT, i, i, site);
    case 0x1a: // FCVT from an integer
      return rs2 < (wide ? 4 : 2) && isRounding(funct3) && emitFloat(OP_FLOAT, i, i, site);
    case 0x1c: // FMV.X.W, FMV.X.D, FCLASS
      if (rs2 !== 0 || funct3 > 1 || (funct3 === 0 && isDouble && !wide)) return false;
      return emit(OP_FLOAT, i, i, site);
    case 0x1e: // FMV.W.X, FMV.D.X
      return rs2 === 0 && funct3 === 0 && (!isDouble || wide) && emitFloat(OP_FLOAT, i, i, site);
    default:
      return false;
  }
}
