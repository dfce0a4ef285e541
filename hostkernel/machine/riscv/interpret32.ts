/**
 * The interpreter for RV32: the twin of interpret64.ts, which explains how it works. Registers are the lower halves only,
 * an address has no upper half, and the context is narrow, so a TLB tag's upper half is always 0 and not compared.
 */

import { panic } from '../../base/assert.ts';
import { TRAP_BREAKPOINT, TRAP_BUDGET, TRAP_ECALL, TRAP_ILLEGAL } from './causes.ts';
import { accessCsr } from './csr.ts';
import { decodeRecord, decodeStraddle, enterPage } from './fetch.ts';
import { float } from './float.ts';
import type { Hart } from './hart.ts';
import { branchTaken32, multiplyDivide32 } from './integer.ts';
import { atomic, load, store } from './memory.ts';
import { NX } from './softfloat/index.ts';

/** Sums and products of doubles whose flags are certain once NX has accrued; float.ts does the others. */
const MAX = Number.MAX_VALUE;
const MIN_NORMAL = 2 ** -1022; // a smaller product may be tiny

/** Longer than any word index of a TLB block: tells V8 that TLB entries lie inside the memory, without a check each. */
const TLB_RANGE = 0x7_ffff;
/** The same for word indices of records: code-cache.ts sizes its array by it. */
const RECORD_RANGE = 0x3f_ffff;

/**
 * Makes the interpreter of `hart`. It is a closure, because what never changes for a hart (memory, records) V8 then
 * takes as constants: bench/hostkernel/machine/interpreter.bench.ts ran 1.3 times faster for it.
 *
 * The function made executes at most `budget` instructions, at most 2^30, from the hart's pc, and returns TRAP_*. It
 * leaves the pc and `left`, the part of the budget not used, in the hart. Hot: allocates nothing.
 */
export function makeInterpreter32(hart: Hart): (budget: number) => number {
  const { u8, i8, u16, i16, f64: d, base: ramBase } = hart.ram;
  const m = hart.words;
  const { records, slots32 } = hart.code;
  return function interpret32(budget: number): number {
    const tlb = hart.activeContext().useBlock() & TLB_RANGE;
    let left = budget | 0;
    let cause = 0;
    let lo = hart.pcLo | 0; // where to enter a page
    let base = 0; // slot of the page, its address is pageLo
    let pageLo = 0;
    let p = 0; // the record to execute
    run: for (;;) {
      const entry = tlb + ((lo >>> 9) & 0x1ff8);
      pageLo = lo & -4096;
      base = m[entry + 4] === pageLo ? slots32[(((pageLo + m[entry + 6]) >>> 0) - ramBase) >>> 12] : 0;
      if (base === 0) {
        base = enterPage(hart, lo, 0, left);
        if (base < 0) {
          cause = -base;
          base = 0;
          p = lo & 0xffe;
          left--;
          break;
        }
      }
      p = base + (lo & 0xffe);
      for (;;) {
        const at = p & RECORD_RANGE;
        const w = records[at];
        const imm = records[at + 1];
        if (--left < 0) {
          cause = TRAP_BUDGET;
          break run;
        }
        switch (w & 255) {
          case 0: {
            // DECODE
            left++;
            decodeRecord(hart, base, p);
            continue;
          }
          case 1: {
            // NEXT_PAGE
            left++;
            lo = (pageLo + (p - base)) | 0;
            continue run;
          }
          case 2: {
            // STRADDLE
            left++;
            cause = decodeStraddle(hart, base, pageLo, 0, left);
            if (cause !== 0) {
              left--;
              break run;
            }
            base = 0;
            p = 0xffe;
            continue;
          }
          case 3: {
            // ILLEGAL
            hart.tvalLo = imm;
            hart.tvalHi = 0;
            cause = TRAP_ILLEGAL;
            break run;
          }
          case 4: // ECALL
            cause = TRAP_ECALL;
            break run;
          case 5: // EBREAK
            cause = TRAP_BREAKPOINT;
            break run;
          case 6: // NOP
            break;
          case 7: // LI
            m[(w >>> 8) & 0x7e] = imm;
            break;
          case 8: // AUIPC
            m[(w >>> 8) & 0x7e] = pageLo + (p - base) + imm;
            break;
          case 9: // J
            p = (p + imm) | 0;
            continue;
          case 10: // JAL
            m[(w >>> 8) & 0x7e] = pageLo + (p - base) + (w >>> 25);
            p = (p + imm) | 0;
            continue;
          case 11: // JR
            lo = (m[(w >>> 14) & 0x3e] + imm) & -2;
            if ((lo & -4096) !== pageLo || base === 0) continue run;
            p = base + (lo & 0xffe);
            continue;
          case 12: // JALR
            lo = (m[(w >>> 14) & 0x3e] + imm) & -2;
            m[(w >>> 8) & 0x7e] = pageLo + (p - base) + (w >>> 25);
            if ((lo & -4096) !== pageLo || base === 0) continue run;
            p = base + (lo & 0xffe);
            continue;
          case 13: // BEQ
            if (m[(w >>> 14) & 0x3e] === m[(w >>> 19) & 0x3e]) {
              p = (p + imm) | 0;
              continue;
            }
            break;
          case 14: // BNE
            if (m[(w >>> 14) & 0x3e] !== m[(w >>> 19) & 0x3e]) {
              p = (p + imm) | 0;
              continue;
            }
            break;
          case 15: // BLT
            if (m[(w >>> 14) & 0x3e] < m[(w >>> 19) & 0x3e]) {
              p = (p + imm) | 0;
              continue;
            }
            break;
          case 16: // BGE
            if (m[(w >>> 14) & 0x3e] >= m[(w >>> 19) & 0x3e]) {
              p = (p + imm) | 0;
              continue;
            }
            break;
          case 17: // BLTU
            if (m[(w >>> 14) & 0x3e] >>> 0 < m[(w >>> 19) & 0x3e] >>> 0) {
              p = (p + imm) | 0;
              continue;
            }
            break;
          case 18: // BGEU
            if (m[(w >>> 14) & 0x3e] >>> 0 >= m[(w >>> 19) & 0x3e] >>> 0) {
              p = (p + imm) | 0;
              continue;
            }
            break;
          case 19: {
            // JAL_FAR
            const pc = (pageLo + (p - base)) | 0;
            m[(w >>> 8) & 0x7e] = pc + (w >>> 25);
            lo = (pc + imm) | 0;
            continue run;
          }
          case 20: // BRANCH_FAR
            if (branchTaken32(m, w, imm & 7)) {
              lo = (pageLo + (p - base) + (imm >> 3)) | 0;
              continue run;
            }
            break;
          case 21: {
            // LB
            const va = (m[(w >>> 14) & 0x3e] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4096)) {
              m[(w >>> 8) & 0x7e] = i8[(va + m[at + 6]) >>> 0];
              break;
            }
            cause = load(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 22: {
            // LH
            const va = (m[(w >>> 14) & 0x3e] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4095)) {
              m[(w >>> 8) & 0x7e] = i16[(va + m[at + 6]) >>> 1];
              break;
            }
            cause = load(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 23: {
            // LW
            const va = (m[(w >>> 14) & 0x3e] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4093)) {
              m[(w >>> 8) & 0x7e] = m[(va + m[at + 6]) >>> 2];
              break;
            }
            cause = load(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 25: {
            // LBU
            const va = (m[(w >>> 14) & 0x3e] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4096)) {
              m[(w >>> 8) & 0x7e] = u8[(va + m[at + 6]) >>> 0];
              break;
            }
            cause = load(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 26: {
            // LHU
            const va = (m[(w >>> 14) & 0x3e] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4095)) {
              m[(w >>> 8) & 0x7e] = u16[(va + m[at + 6]) >>> 1];
              break;
            }
            cause = load(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 28: {
            // SB
            const va = (m[(w >>> 14) & 0x3e] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at + 2] === (va & -4096)) {
              u8[(va + m[at + 6]) >>> 0] = m[(w >>> 19) & 0x3e];
              break;
            }
            cause = store(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 29: {
            // SH
            const va = (m[(w >>> 14) & 0x3e] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at + 2] === (va & -4095)) {
              u16[(va + m[at + 6]) >>> 1] = m[(w >>> 19) & 0x3e];
              break;
            }
            cause = store(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 30: {
            // SW
            const va = (m[(w >>> 14) & 0x3e] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at + 2] === (va & -4093)) {
              m[(va + m[at + 6]) >>> 2] = m[(w >>> 19) & 0x3e];
              break;
            }
            cause = store(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 32: {
            // FLW
            const va = (m[(w >>> 14) & 0x3e] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4093)) {
              const rd = (w >>> 8) & 0x7e;
              m[rd + 128] = m[(va + m[at + 6]) >>> 2];
              m[rd + 129] = -1;
              hart.fpDirty = true;
              break;
            }
            cause = load(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 33: {
            // FLD
            const va = (m[(w >>> 14) & 0x3e] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4089)) {
              const rd = (w >>> 8) & 0x7e;
              const from = (va + m[at + 6]) >>> 2;
              m[rd + 128] = m[from];
              m[rd + 129] = m[from + 1];
              hart.fpDirty = true;
              break;
            }
            cause = load(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 34: {
            // FSW
            const va = (m[(w >>> 14) & 0x3e] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at + 2] === (va & -4093)) {
              m[(va + m[at + 6]) >>> 2] = m[((w >>> 19) & 0x3e) + 128];
              break;
            }
            cause = store(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 35: {
            // FSD
            const va = (m[(w >>> 14) & 0x3e] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at + 2] === (va & -4089)) {
              const rs2 = (w >>> 19) & 0x3e;
              const to = (va + m[at + 6]) >>> 2;
              m[to] = m[rs2 + 128];
              m[to + 1] = m[rs2 + 129];
              break;
            }
            cause = store(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 36: // MV
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e];
            break;
          case 37: // ADDI
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e] + imm;
            break;
          case 38: // SLTI
            m[(w >>> 8) & 0x7e] = +(m[(w >>> 14) & 0x3e] < imm);
            break;
          case 39: // SLTIU
            m[(w >>> 8) & 0x7e] = +(m[(w >>> 14) & 0x3e] >>> 0 < imm >>> 0);
            break;
          case 40: // XORI
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e] ^ imm;
            break;
          case 41: // ORI
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e] | imm;
            break;
          case 42: // ANDI
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e] & imm;
            break;
          case 43: // SLLI
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e] << imm;
            break;
          case 44: // SRLI
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e] >>> imm;
            break;
          case 45: // SRAI
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e] >> imm;
            break;
          case 53: // ADD
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e] + m[(w >>> 19) & 0x3e];
            break;
          case 54: // SUB
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e] - m[(w >>> 19) & 0x3e];
            break;
          case 55: // SLL
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e] << m[(w >>> 19) & 0x3e];
            break;
          case 56: // SLT
            m[(w >>> 8) & 0x7e] = +(m[(w >>> 14) & 0x3e] < m[(w >>> 19) & 0x3e]);
            break;
          case 57: // SLTU
            m[(w >>> 8) & 0x7e] = +(m[(w >>> 14) & 0x3e] >>> 0 < m[(w >>> 19) & 0x3e] >>> 0);
            break;
          case 58: // XOR
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e] ^ m[(w >>> 19) & 0x3e];
            break;
          case 59: // SRL
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e] >>> m[(w >>> 19) & 0x3e];
            break;
          case 60: // SRA
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e] >> m[(w >>> 19) & 0x3e];
            break;
          case 61: // OR
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e] | m[(w >>> 19) & 0x3e];
            break;
          case 62: // AND
            m[(w >>> 8) & 0x7e] = m[(w >>> 14) & 0x3e] & m[(w >>> 19) & 0x3e];
            break;
          case 68: // MUL
            m[(w >>> 8) & 0x7e] = Math.imul(m[(w >>> 14) & 0x3e], m[(w >>> 19) & 0x3e]);
            break;
          case 70: // MULDIV
            multiplyDivide32(m, w, imm);
            break;
          case 71: {
            // ATOMIC
            cause = atomic(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 72: // CSR
            accessCsr(hart, w, imm, budget - left - 1);
            break;
          case 73: {
            // FLOAT
            cause = float(hart, w, imm);
            if (cause !== 0) break run;
            break;
          }
          case 74: {
            // FADD_D
            const value = d[64 + ((w >>> 15) & 31)] + d[64 + ((w >>> 20) & 31)];
            if ((hart.fcsr & 0xe1) === NX && Math.abs(value) <= MAX) {
              d[64 + ((w >>> 9) & 31)] = value;
              hart.fpDirty = true;
              break;
            }
            cause = float(hart, w, imm);
            if (cause !== 0) break run;
            break;
          }
          case 75: {
            // FSUB_D
            const value = d[64 + ((w >>> 15) & 31)] - d[64 + ((w >>> 20) & 31)];
            if ((hart.fcsr & 0xe1) === NX && Math.abs(value) <= MAX) {
              d[64 + ((w >>> 9) & 31)] = value;
              hart.fpDirty = true;
              break;
            }
            cause = float(hart, w, imm);
            if (cause !== 0) break run;
            break;
          }
          case 76: {
            // FMUL_D
            const value = d[64 + ((w >>> 15) & 31)] * d[64 + ((w >>> 20) & 31)];
            if ((hart.fcsr & 0xe1) === NX && Math.abs(value) > MIN_NORMAL && Math.abs(value) <= MAX) {
              d[64 + ((w >>> 9) & 31)] = value;
              hart.fpDirty = true;
              break;
            }
            cause = float(hart, w, imm);
            if (cause !== 0) break run;
            break;
          }
          default:
            panic('interpreter: unknown operation');
        }
        p += w >>> 25;
      }
    }
    hart.left = left + 1;
    hart.pcLo = (pageLo + (p - base)) | 0;
    hart.pcHi = 0;
    return cause;
  };
}
