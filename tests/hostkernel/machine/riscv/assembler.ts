/** Enough of an assembler for tests: each function gives one instruction's bits, as i32. */

function u5(value: number): number {
  return value & 31;
}

export function rType(opcode: number, funct3: number, funct7: number, rd: number, rs1: number, rs2: number): number {
  return (funct7 << 25) | (u5(rs2) << 20) | (u5(rs1) << 15) | (funct3 << 12) | (u5(rd) << 7) | opcode;
}

export function iType(opcode: number, funct3: number, rd: number, rs1: number, imm: number): number {
  return (imm << 20) | (u5(rs1) << 15) | (funct3 << 12) | (u5(rd) << 7) | opcode;
}

export function sType(opcode: number, funct3: number, rs1: number, rs2: number, imm: number): number {
  return ((imm >> 5) << 25) | (u5(rs2) << 20) | (u5(rs1) << 15) | (funct3 << 12) | ((imm & 31) << 7) | opcode;
}

export function bType(funct3: number, rs1: number, rs2: number, imm: number): number {
  return (
    ((imm & 0x1000) << 19) |
    ((imm & 0x7e0) << 20) |
    (u5(rs2) << 20) |
    (u5(rs1) << 15) |
    (funct3 << 12) |
    ((imm & 0x1e) << 7) |
    ((imm & 0x800) >> 4) |
    0x63
  );
}

export const lui = (rd: number, imm: number): number => (imm & -4096) | (u5(rd) << 7) | 0x37;
export const auipc = (rd: number, imm: number): number => (imm & -4096) | (u5(rd) << 7) | 0x17;
export const addi = (rd: number, rs1: number, imm: number): number => iType(0x13, 0, rd, rs1, imm);
export const add = (rd: number, rs1: number, rs2: number): number => rType(0x33, 0, 0, rd, rs1, rs2);
export const lb = (rd: number, imm: number, rs1: number): number => iType(0x03, 0, rd, rs1, imm);
export const lh = (rd: number, imm: number, rs1: number): number => iType(0x03, 1, rd, rs1, imm);
export const lw = (rd: number, imm: number, rs1: number): number => iType(0x03, 2, rd, rs1, imm);
export const ld = (rd: number, imm: number, rs1: number): number => iType(0x03, 3, rd, rs1, imm);
export const sb = (rs2: number, imm: number, rs1: number): number => sType(0x23, 0, rs1, rs2, imm);
export const sh = (rs2: number, imm: number, rs1: number): number => sType(0x23, 1, rs1, rs2, imm);
export const sw = (rs2: number, imm: number, rs1: number): number => sType(0x23, 2, rs1, rs2, imm);
export const sd = (rs2: number, imm: number, rs1: number): number => sType(0x23, 3, rs1, rs2, imm);
export const fld = (rd: number, imm: number, rs1: number): number => iType(0x07, 3, rd, rs1, imm);
export const fsd = (rs2: number, imm: number, rs1: number): number => sType(0x27, 3, rs1, rs2, imm);
export const beq = (rs1: number, rs2: number, imm: number): number => bType(0, rs1, rs2, imm);
export const bne = (rs1: number, rs2: number, imm: number): number => bType(1, rs1, rs2, imm);
export const jalr = (rd: number, rs1: number, imm: number): number => iType(0x67, 0, rd, rs1, imm);

export function jal(rd: number, imm: number): number {
  return ((imm & 0x10_0000) << 11) | ((imm & 0x7fe) << 20) | ((imm & 0x800) << 9) | (imm & 0xf_f000) | (u5(rd) << 7) | 0x6f;
}

export const csrrw = (rd: number, csr: number, rs1: number): number => iType(0x73, 1, rd, rs1, csr);
export const csrrs = (rd: number, csr: number, rs1: number): number => iType(0x73, 2, rd, rs1, csr);
export const amo = (funct5: number, funct3: number, rd: number, rs1: number, rs2: number): number =>
  rType(0x2f, funct3, funct5 << 2, rd, rs1, rs2);

export const ECALL = 0x0000_0073;
export const EBREAK = 0x0010_0073;
export const FENCE_I = 0x0000_100f;
export const NOP = 0x0000_0013;
export const C_NOP = 0x0001;
