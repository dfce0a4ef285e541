/**
 * The record of a decoded instruction, and the operations it can name. decode.ts writes records, interpret64.ts and
 * interpret32.ts execute them.
 *
 *   word 0   | 31..25 | 24..20 | 19..15 | 14..9 | 8 | 7..0      |
 *            | length | rs2    | rs1    | rd    | 0 | operation |
 *   word 1   immediate; for rare operations the sub-operation, see the functions that execute them
 *
 * Length is in bytes and so also in words to the next record (code-cache.ts). A register number's field is cut out
 * together with a zero bit below it: `(word >>> 8) & 0x7e` is the word index of rd in the register file. Register 32
 * exists for rd only and swallows writes to x0. For floating-point operands the fields number f registers.
 *
 * V8 makes a jump table of a switch only if its labels are literal numbers. So the interpreters repeat these numbers,
 * each with its name in a comment; tests/hostkernel/machine/riscv/opcodes.test.ts compares.
 */

/** Not decoded yet. Also what zeroed memory means. */
export const OP_DECODE = 0;
/** The guard behind the last instruction of a page. */
export const OP_NEXT_PAGE = 1;
/** First half of an instruction on two pages. */
export const OP_STRADDLE = 2;
/** Everything that raises a trap: imm is the bits. */
export const OP_ILLEGAL = 3;
export const OP_ECALL = 4;
export const OP_EBREAK = 5;
export const OP_NOP = 6;

/** rd = imm, sign-extended. */
export const OP_LI = 7;
export const OP_AUIPC = 8;
/** Jumps and branches inside the page: imm is the displacement. */
export const OP_J = 9;
export const OP_JAL = 10;
export const OP_JR = 11;
export const OP_JALR = 12;
export const OP_BEQ = 13;
export const OP_BNE = 14;
export const OP_BLT = 15;
export const OP_BGE = 16;
export const OP_BLTU = 17;
export const OP_BGEU = 18;
/** Jumps and branches out of the page. BRANCH_FAR: imm is displacement << 3 | funct3. */
export const OP_JAL_FAR = 19;
export const OP_BRANCH_FAR = 20;

export const OP_LB = 21;
export const OP_LH = 22;
export const OP_LW = 23;
export const OP_LD = 24;
export const OP_LBU = 25;
export const OP_LHU = 26;
export const OP_LWU = 27;
export const OP_SB = 28;
export const OP_SH = 29;
export const OP_SW = 30;
export const OP_SD = 31;
export const OP_FLW = 32;
export const OP_FLD = 33;
export const OP_FSW = 34;
export const OP_FSD = 35;

export const OP_MV = 36;
export const OP_ADDI = 37;
export const OP_SLTI = 38;
export const OP_SLTIU = 39;
export const OP_XORI = 40;
export const OP_ORI = 41;
export const OP_ANDI = 42;
/** Shifts by an immediate of 1..31, and by 32..63 (RV64; imm is then the amount above 32). */
export const OP_SLLI = 43;
export const OP_SRLI = 44;
export const OP_SRAI = 45;
export const OP_SLLI_HIGH = 46;
export const OP_SRLI_HIGH = 47;
export const OP_SRAI_HIGH = 48;
export const OP_ADDIW = 49;
export const OP_SLLIW = 50;
export const OP_SRLIW = 51;
export const OP_SRAIW = 52;

export const OP_ADD = 53;
export const OP_SUB = 54;
export const OP_SLL = 55;
export const OP_SLT = 56;
export const OP_SLTU = 57;
export const OP_XOR = 58;
export const OP_SRL = 59;
export const OP_SRA = 60;
export const OP_OR = 61;
export const OP_AND = 62;
export const OP_ADDW = 63;
export const OP_SUBW = 64;
export const OP_SLLW = 65;
export const OP_SRLW = 66;
export const OP_SRAW = 67;
export const OP_MUL = 68;
export const OP_MULW = 69;

/** Executed out of line. MULDIV: imm is funct3, plus 8 for the 32-bit forms of RV64. */
export const OP_MULDIV = 70;
/** imm is the instruction. */
export const OP_ATOMIC = 71;
export const OP_CSR = 72;
export const OP_FLOAT = 73;
/** These three with rounding mode RNE or that of fcsr; else they are OP_FLOAT. imm is the instruction. */
export const OP_FADD_D = 74;
export const OP_FSUB_D = 75;
export const OP_FMUL_D = 76;

/** The register number that stands for x0 as a destination. */
export const NOWHERE = 32;
