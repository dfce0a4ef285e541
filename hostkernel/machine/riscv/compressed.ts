/**
 * The C extension: every 16-bit instruction stands for one of 32 bits. Nothing is executed here; decode.ts decodes
 * the expansion and keeps the length.
 *
 * Source: RISC-V unprivileged specification 20191213, chapter 16. Encodings marked RES or NSE there are illegal, HINTs
 * expand to the instruction they look like, whose destination is x0.
 */

const X0 = 0;
const RA = 1;
const SP = 2;

const LOAD = 0x03;
const LOAD_FP = 0x07;
const OP_IMM = 0x13;
const OP_IMM_32 = 0x1b;
const STORE = 0x23;
const STORE_FP = 0x27;
const OP = 0x33;
const OP_32 = 0x3b;
const EBREAK = 0x0010_0073;

/** What expand() returns for an illegal instruction: 0 is no instruction of 32 bits. */
export const NO_EXPANSION = 0;

function iType(opcode: number, funct3: number, rd: number, rs1: number, imm: number): number {
  return (imm << 20) | (rs1 << 15) | (funct3 << 12) | (rd << 7) | opcode;
}

function rType(opcode: number, funct3: number, funct7: number, registers: { rd: number; rs1: number; rs2: number }): number {
  return (funct7 << 25) | (registers.rs2 << 20) | (registers.rs1 << 15) | (funct3 << 12) | (registers.rd << 7) | opcode;
}

function sType(opcode: number, funct3: number, rs1: number, rs2: number, imm: number): number {
  return ((imm >> 5) << 25) | (rs2 << 20) | (rs1 << 15) | (funct3 << 12) | ((imm & 31) << 7) | opcode;
}

function jal(rd: number, imm: number): number {
  return ((imm & 0x10_0000) << 11) | ((imm & 0x7fe) << 20) | ((imm & 0x800) << 9) | (imm & 0xf_f000) | (rd << 7) | 0x6f;
}

function branch(funct3: number, rs1: number, imm: number): number {
  return ((imm & 0x1000) << 19) | ((imm & 0x7e0) << 20) | (rs1 << 15) | (funct3 << 12) | ((imm & 0x1e) << 7) | ((imm & 0x800) >> 4) | 0x63;
}

/** Bits 12 and 6..2 as a signed immediate of 6 bits. */
function imm6(c: number): number {
  return (((c << 19) >> 31) << 5) | ((c >> 2) & 31);
}

/** Offset of C.LW and C.SW: bits 12..10 are 5..3, 6 is 2, 5 is 6. */
function wordOffset(c: number): number {
  return ((c >> 7) & 0x38) | ((c >> 4) & 4) | ((c << 1) & 0x40);
}

/** Offset of C.LD and C.SD: bits 12..10 are 5..3, 6..5 are 7..6. */
function doubleOffset(c: number): number {
  return ((c >> 7) & 0x38) | ((c << 1) & 0xc0);
}

/** Offset of C.LWSP: bit 12 is 5, 6..4 are 4..2, 3..2 are 7..6. */
function wordStackLoad(c: number): number {
  return ((c >> 7) & 0x20) | ((c >> 2) & 0x1c) | ((c << 4) & 0xc0);
}

/** Offset of C.LDSP: bit 12 is 5, 6..5 are 4..3, 4..2 are 8..6. */
function doubleStackLoad(c: number): number {
  return ((c >> 7) & 0x20) | ((c >> 2) & 0x18) | ((c << 4) & 0x1c0);
}

/** Offset of C.SWSP: bits 12..9 are 5..2, 8..7 are 7..6. */
function wordStackStore(c: number): number {
  return ((c >> 7) & 0x3c) | ((c >> 1) & 0xc0);
}

/** Offset of C.SDSP: bits 12..10 are 5..3, 9..7 are 8..6. */
function doubleStackStore(c: number): number {
  return ((c >> 7) & 0x38) | ((c >> 1) & 0x1c0);
}

/** Offset of C.J and C.JAL: bits 12..2 are 11, 4, 9..8, 10, 6, 7, 3..1, 5. */
function jumpOffset(c: number): number {
  const low = ((c >> 7) & 0x10) | ((c >> 1) & 0x300) | ((c << 2) & 0x400) | ((c >> 1) & 0x40) | ((c << 1) & 0x80) | ((c >> 2) & 0xe);
  return (((c << 19) >> 31) << 11) | low | ((c << 3) & 0x20);
}

/** Offset of C.BEQZ and C.BNEZ: bits 12..10 are 8, 4..3, bits 6..2 are 7..6, 2..1, 5. */
function branchOffset(c: number): number {
  return (((c << 19) >> 31) << 8) | ((c >> 7) & 0x18) | ((c << 1) & 0xc0) | ((c >> 2) & 6) | ((c << 3) & 0x20);
}

/**
 * The 32-bit instruction that a compressed one stands for.
 * @param c    the 16 bits; the lower two are not both 1
 * @param xlen some encodings differ
 * @returns i32, or NO_EXPANSION if it is illegal
 */
export function expand(c: number, xlen: 32 | 64): number {
  const row = (c >> 13) & 7;
  switch (c & 3) {
    case 0:
      return expandLoadStore(c, row, xlen);
    case 1:
      return expandArithmetic(c, row, xlen);
    default:
      return expandStack(c, row, xlen);
  }
}

function expandLoadStore(c: number, row: number, xlen: 32 | 64): number {
  const rs1 = 8 + ((c >> 7) & 7);
  const other = 8 + ((c >> 2) & 7);
  switch (row) {
    case 0: {
      const imm = ((c >> 7) & 0x30) | ((c >> 1) & 0x3c0) | ((c >> 4) & 4) | ((c >> 2) & 8);
      return imm === 0 ? NO_EXPANSION : iType(OP_IMM, 0, other, SP, imm);
    }
    case 1:
      return iType(LOAD_FP, 3, other, rs1, doubleOffset(c));
    case 2:
      return iType(LOAD, 2, other, rs1, wordOffset(c));
    case 3:
      return xlen === 32 ? iType(LOAD_FP, 2, other, rs1, wordOffset(c)) : iType(LOAD, 3, other, rs1, doubleOffset(c));
    case 5:
      return sType(STORE_FP, 3, rs1, other, doubleOffset(c));
    case 6:
      return sType(STORE, 2, rs1, other, wordOffset(c));
    case 7:
      return xlen === 32 ? sType(STORE_FP, 2, rs1, other, wordOffset(c)) : sType(STORE, 3, rs1, other, doubleOffset(c));
    default:
      return NO_EXPANSION;
  }
}

function expandArithmetic(c: number, row: number, xlen: 32 | 64): number {
  const rd = (c >> 7) & 31;
  const imm = imm6(c);
  switch (row) {
    case 0:
      return iType(OP_IMM, 0, rd, rd, imm);
    case 1:
      if (xlen === 32) return jal(RA, jumpOffset(c));
      return rd === 0 ? NO_EXPANSION : iType(OP_IMM_32, 0, rd, rd, imm);
    case 2:
      return iType(OP_IMM, 0, rd, X0, imm);
    case 3:
      return expandUpper(c, rd, imm);
    case 4:
      return expandRegisters(c, xlen);
    case 5:
      return jal(X0, jumpOffset(c));
    default:
      return branch(row & 1, 8 + ((c >> 7) & 7), branchOffset(c));
  }
}

/** C.ADDI16SP and C.LUI. */
function expandUpper(c: number, rd: number, imm: number): number {
  if (imm === 0) return NO_EXPANSION;
  if (rd !== SP) return (imm << 12) | (rd << 7) | 0x37;
  const offset = (((c << 19) >> 31) << 9) | ((c >> 2) & 0x10) | ((c << 1) & 0x40) | ((c << 4) & 0x180) | ((c << 3) & 0x20);
  return iType(OP_IMM, 0, SP, SP, offset);
}

/** The rows of quadrant 1 that work on x8..x15. */
function expandRegisters(c: number, xlen: 32 | 64): number {
  const rd = 8 + ((c >> 7) & 7);
  const imm = imm6(c);
  const shift = imm & 63;
  switch ((c >> 10) & 3) {
    case 0:
      return xlen === 32 && shift > 31 ? NO_EXPANSION : iType(OP_IMM, 5, rd, rd, shift);
    case 1:
      return xlen === 32 && shift > 31 ? NO_EXPANSION : iType(OP_IMM, 5, rd, rd, shift | 0x400);
    case 2:
      return iType(OP_IMM, 7, rd, rd, imm);
    default: {
      const registers = { rd, rs1: rd, rs2: 8 + ((c >> 2) & 7) };
      const which = (c >> 5) & 3;
      if ((c & 0x1000) === 0) {
        return which === 0 ? rType(OP, 0, 0x20, registers) : rType(OP, [0, 4, 6, 7][which], 0, registers);
      }
      if (xlen === 32 || which > 1) return NO_EXPANSION;
      return rType(OP_32, 0, which === 0 ? 0x20 : 0, registers);
    }
  }
}

function expandStack(c: number, row: number, xlen: 32 | 64): number {
  const rd = (c >> 7) & 31;
  const rs2 = (c >> 2) & 31;
  switch (row) {
    case 0: {
      const shift = imm6(c) & 63;
      return xlen === 32 && shift > 31 ? NO_EXPANSION : iType(OP_IMM, 1, rd, rd, shift);
    }
    case 1:
      return iType(LOAD_FP, 3, rd, SP, doubleStackLoad(c));
    case 2:
      return rd === 0 ? NO_EXPANSION : iType(LOAD, 2, rd, SP, wordStackLoad(c));
    case 3:
      if (xlen === 32) return iType(LOAD_FP, 2, rd, SP, wordStackLoad(c));
      return rd === 0 ? NO_EXPANSION : iType(LOAD, 3, rd, SP, doubleStackLoad(c));
    case 4: {
      const linking = (c & 0x1000) !== 0;
      if (rs2 !== 0) return rType(OP, 0, 0, { rd, rs1: linking ? rd : X0, rs2 });
      if (rd !== 0) return iType(0x67, 0, linking ? RA : X0, rd, 0);
      return linking ? EBREAK : NO_EXPANSION;
    }
    case 5:
      return sType(STORE_FP, 3, SP, rs2, doubleStackStore(c));
    case 6:
      return sType(STORE, 2, SP, rs2, wordStackStore(c));
    default:
      return xlen === 32 ? sType(STORE_FP, 2, SP, rs2, wordStackStore(c)) : sType(STORE, 3, SP, rs2, doubleStackStore(c));
  }
}
