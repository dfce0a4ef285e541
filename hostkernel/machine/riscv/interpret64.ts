/**
 * The interpreter for RV64: executes records (opcodes.ts) of the code cache, one after the other. One function, one
 * loop, one switch with literal labels: this is what V8 compiles best. Rare work is done by calls, so that the function
 * stays small enough to be compiled at all. interpret32.ts is its twin for RV32.
 *
 *   enter page:   va -> TLB (exec tag) -> frame -> slot      base = the slot, p = base + offset in the page
 *   instruction:  records[p], records[p + 1] -> switch -> p += length
 *   leave page:   jump elsewhere, or the guard behind the last instruction
 *
 * A register is two words of `m`, the machine's memory, which starts with them: m[r] lower half, m[r + 1] upper half.
 * 64-bit sums carry from the lower half where the sum is less than a summand, as u32.
 */

import { panic } from '../../base/assert.ts';
import { TRAP_BREAKPOINT, TRAP_BUDGET, TRAP_ECALL, TRAP_ILLEGAL } from './causes.ts';
import { accessCsr } from './csr.ts';
import { decodeRecord, decodeStraddle, enterPage } from './fetch.ts';
import { float } from './float.ts';
import type { Hart } from './hart.ts';
import { branchTaken64, mulHigh32, multiplyDivide64 } from './integer.ts';
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
export function makeInterpreter64(hart: Hart): (budget: number) => number {
  const { u8, i8, u16, i16, f64: d, base: ramBase } = hart.ram;
  const m = hart.words;
  const { records, slots64 } = hart.code;
  return function interpret64(budget: number): number {
    const tlb = hart.activeContext().useBlock() & TLB_RANGE;
    let left = budget | 0;
    let cause = 0;
    let lo = hart.pcLo | 0; // where to enter a page
    let hi = hart.pcHi | 0;
    let base = 0; // slot of the page, its address is pageLo and pageHi
    let pageLo = 0;
    let pageHi = 0;
    let p = 0; // the record to execute
    run: for (;;) {
      const entry = tlb + ((lo >>> 9) & 0x1ff8);
      pageLo = lo & -4096;
      pageHi = hi;
      base = m[entry + 4] === pageLo && m[entry + 5] === hi ? slots64[(((pageLo + m[entry + 6]) >>> 0) - ramBase) >>> 12] : 0;
      if (base === 0) {
        base = enterPage(hart, lo, hi, left);
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
            hi = lo >>> 0 < pageLo >>> 0 ? (pageHi + 1) | 0 : pageHi;
            continue run;
          }
          case 2: {
            // STRADDLE
            left++;
            cause = decodeStraddle(hart, base, pageLo, pageHi, left);
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
          case 7: {
            // LI
            const rd = (w >>> 8) & 0x7e;
            m[rd] = imm;
            m[rd + 1] = imm >> 31;
            break;
          }
          case 8: {
            // AUIPC
            const rd = (w >>> 8) & 0x7e;
            const pc = (pageLo + (p - base)) | 0;
            const sum = (pc + imm) | 0;
            m[rd] = sum;
            m[rd + 1] = (pageHi + (imm >> 31) + +(sum >>> 0 < pc >>> 0)) | 0;
            break;
          }
          case 9: // J
            p = (p + imm) | 0;
            continue;
          case 10: {
            // JAL
            const rd = (w >>> 8) & 0x7e;
            const link = (pageLo + (p - base) + (w >>> 25)) | 0;
            m[rd] = link;
            m[rd + 1] = link >>> 0 < pageLo >>> 0 ? pageHi + 1 : pageHi;
            p = (p + imm) | 0;
            continue;
          }
          case 11: {
            // JR
            const rs1 = (w >>> 14) & 0x3e;
            const from = m[rs1];
            const sum = (from + imm) | 0;
            lo = sum & -2;
            hi = (m[rs1 + 1] + (imm >> 31) + +(sum >>> 0 < from >>> 0)) | 0;
            if ((lo & -4096) !== pageLo || hi !== pageHi || base === 0) continue run;
            p = base + (lo & 0xffe);
            continue;
          }
          case 12: {
            // JALR
            const rs1 = (w >>> 14) & 0x3e;
            const rd = (w >>> 8) & 0x7e;
            const from = m[rs1];
            const sum = (from + imm) | 0;
            lo = sum & -2;
            hi = (m[rs1 + 1] + (imm >> 31) + +(sum >>> 0 < from >>> 0)) | 0;
            const link = (pageLo + (p - base) + (w >>> 25)) | 0;
            m[rd] = link;
            m[rd + 1] = link >>> 0 < pageLo >>> 0 ? pageHi + 1 : pageHi;
            if ((lo & -4096) !== pageLo || hi !== pageHi || base === 0) continue run;
            p = base + (lo & 0xffe);
            continue;
          }
          case 13: {
            // BEQ
            const rs1 = (w >>> 14) & 0x3e;
            const rs2 = (w >>> 19) & 0x3e;
            if (m[rs1] === m[rs2] && m[rs1 + 1] === m[rs2 + 1]) {
              p = (p + imm) | 0;
              continue;
            }
            break;
          }
          case 14: {
            // BNE
            const rs1 = (w >>> 14) & 0x3e;
            const rs2 = (w >>> 19) & 0x3e;
            if (m[rs1] !== m[rs2] || m[rs1 + 1] !== m[rs2 + 1]) {
              p = (p + imm) | 0;
              continue;
            }
            break;
          }
          case 15: {
            // BLT
            const rs1 = (w >>> 14) & 0x3e;
            const rs2 = (w >>> 19) & 0x3e;
            const a = m[rs1 + 1];
            const b = m[rs2 + 1];
            if (a < b || (a === b && m[rs1] >>> 0 < m[rs2] >>> 0)) {
              p = (p + imm) | 0;
              continue;
            }
            break;
          }
          case 16: {
            // BGE
            const rs1 = (w >>> 14) & 0x3e;
            const rs2 = (w >>> 19) & 0x3e;
            const a = m[rs1 + 1];
            const b = m[rs2 + 1];
            if (a > b || (a === b && m[rs1] >>> 0 >= m[rs2] >>> 0)) {
              p = (p + imm) | 0;
              continue;
            }
            break;
          }
          case 17: {
            // BLTU
            const rs1 = (w >>> 14) & 0x3e;
            const rs2 = (w >>> 19) & 0x3e;
            const a = m[rs1 + 1];
            const b = m[rs2 + 1];
            if (a === b ? m[rs1] >>> 0 < m[rs2] >>> 0 : a >>> 0 < b >>> 0) {
              p = (p + imm) | 0;
              continue;
            }
            break;
          }
          case 18: {
            // BGEU
            const rs1 = (w >>> 14) & 0x3e;
            const rs2 = (w >>> 19) & 0x3e;
            const a = m[rs1 + 1];
            const b = m[rs2 + 1];
            if (a === b ? m[rs1] >>> 0 >= m[rs2] >>> 0 : a >>> 0 > b >>> 0) {
              p = (p + imm) | 0;
              continue;
            }
            break;
          }
          case 19: {
            // JAL_FAR
            const rd = (w >>> 8) & 0x7e;
            const pc = (pageLo + (p - base)) | 0;
            const link = (pc + (w >>> 25)) | 0;
            m[rd] = link;
            m[rd + 1] = link >>> 0 < pageLo >>> 0 ? pageHi + 1 : pageHi;
            lo = (pc + imm) | 0;
            hi = (pageHi + (imm >> 31) + (lo >>> 0 < pc >>> 0 ? 1 : 0)) | 0;
            continue run;
          }
          case 20: {
            // BRANCH_FAR
            if (branchTaken64(m, w, imm & 7)) {
              const pc = (pageLo + (p - base)) | 0;
              lo = (pc + (imm >> 3)) | 0;
              hi = (pageHi + (imm >> 31) + (lo >>> 0 < pc >>> 0 ? 1 : 0)) | 0;
              continue run;
            }
            break;
          }
          case 21: {
            // LB
            const rs1 = (w >>> 14) & 0x3e;
            const va = (m[rs1] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4096) && m[at + 1] === m[rs1 + 1]) {
              const rd = (w >>> 8) & 0x7e;
              const value = i8[(va + m[at + 6]) >>> 0];
              m[rd] = value;
              m[rd + 1] = value >> 31;
              break;
            }
            cause = load(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 22: {
            // LH
            const rs1 = (w >>> 14) & 0x3e;
            const va = (m[rs1] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4095) && m[at + 1] === m[rs1 + 1]) {
              const rd = (w >>> 8) & 0x7e;
              const value = i16[(va + m[at + 6]) >>> 1];
              m[rd] = value;
              m[rd + 1] = value >> 31;
              break;
            }
            cause = load(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 23: {
            // LW
            const rs1 = (w >>> 14) & 0x3e;
            const va = (m[rs1] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4093) && m[at + 1] === m[rs1 + 1]) {
              const rd = (w >>> 8) & 0x7e;
              const value = m[(va + m[at + 6]) >>> 2];
              m[rd] = value;
              m[rd + 1] = value >> 31;
              break;
            }
            cause = load(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 24: {
            // LD
            const rs1 = (w >>> 14) & 0x3e;
            const va = (m[rs1] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4089) && m[at + 1] === m[rs1 + 1]) {
              const rd = (w >>> 8) & 0x7e;
              const from = (va + m[at + 6]) >>> 2;
              m[rd] = m[from];
              m[rd + 1] = m[from + 1];
              break;
            }
            cause = load(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 25: {
            // LBU
            const rs1 = (w >>> 14) & 0x3e;
            const va = (m[rs1] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4096) && m[at + 1] === m[rs1 + 1]) {
              const rd = (w >>> 8) & 0x7e;
              m[rd] = u8[(va + m[at + 6]) >>> 0];
              m[rd + 1] = 0;
              break;
            }
            cause = load(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 26: {
            // LHU
            const rs1 = (w >>> 14) & 0x3e;
            const va = (m[rs1] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4095) && m[at + 1] === m[rs1 + 1]) {
              const rd = (w >>> 8) & 0x7e;
              m[rd] = u16[(va + m[at + 6]) >>> 1];
              m[rd + 1] = 0;
              break;
            }
            cause = load(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 27: {
            // LWU
            const rs1 = (w >>> 14) & 0x3e;
            const va = (m[rs1] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4093) && m[at + 1] === m[rs1 + 1]) {
              const rd = (w >>> 8) & 0x7e;
              m[rd] = m[(va + m[at + 6]) >>> 2];
              m[rd + 1] = 0;
              break;
            }
            cause = load(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 28: {
            // SB
            const rs1 = (w >>> 14) & 0x3e;
            const va = (m[rs1] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at + 2] === (va & -4096) && m[at + 3] === m[rs1 + 1]) {
              u8[(va + m[at + 6]) >>> 0] = m[(w >>> 19) & 0x3e];
              break;
            }
            cause = store(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 29: {
            // SH
            const rs1 = (w >>> 14) & 0x3e;
            const va = (m[rs1] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at + 2] === (va & -4095) && m[at + 3] === m[rs1 + 1]) {
              u16[(va + m[at + 6]) >>> 1] = m[(w >>> 19) & 0x3e];
              break;
            }
            cause = store(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 30: {
            // SW
            const rs1 = (w >>> 14) & 0x3e;
            const va = (m[rs1] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at + 2] === (va & -4093) && m[at + 3] === m[rs1 + 1]) {
              m[(va + m[at + 6]) >>> 2] = m[(w >>> 19) & 0x3e];
              break;
            }
            cause = store(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 31: {
            // SD
            const rs1 = (w >>> 14) & 0x3e;
            const va = (m[rs1] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at + 2] === (va & -4089) && m[at + 3] === m[rs1 + 1]) {
              const rs2 = (w >>> 19) & 0x3e;
              const to = (va + m[at + 6]) >>> 2;
              m[to] = m[rs2];
              m[to + 1] = m[rs2 + 1];
              break;
            }
            cause = store(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 32: {
            // FLW
            const rs1 = (w >>> 14) & 0x3e;
            const va = (m[rs1] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4093) && m[at + 1] === m[rs1 + 1]) {
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
            const rs1 = (w >>> 14) & 0x3e;
            const va = (m[rs1] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at] === (va & -4089) && m[at + 1] === m[rs1 + 1]) {
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
            const rs1 = (w >>> 14) & 0x3e;
            const va = (m[rs1] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at + 2] === (va & -4093) && m[at + 3] === m[rs1 + 1]) {
              m[(va + m[at + 6]) >>> 2] = m[((w >>> 19) & 0x3e) + 128];
              break;
            }
            cause = store(hart, w, imm, left);
            if (cause !== 0) break run;
            break;
          }
          case 35: {
            // FSD
            const rs1 = (w >>> 14) & 0x3e;
            const va = (m[rs1] + imm) | 0;
            const at = tlb + ((va >>> 9) & 0x1ff8);
            if (m[at + 2] === (va & -4089) && m[at + 3] === m[rs1 + 1]) {
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
          case 36: {
            // MV
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            m[rd] = m[rs1];
            m[rd + 1] = m[rs1 + 1];
            break;
          }
          case 37: {
            // ADDI
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const a = m[rs1];
            const sum = (a + imm) | 0;
            m[rd + 1] = (m[rs1 + 1] + (imm >> 31) + +(sum >>> 0 < a >>> 0)) | 0;
            m[rd] = sum;
            break;
          }
          case 38: {
            // SLTI
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const a = m[rs1 + 1];
            const b = imm >> 31;
            m[rd] = +(a < b || (a === b && m[rs1] >>> 0 < imm >>> 0));
            m[rd + 1] = 0;
            break;
          }
          case 39: {
            // SLTIU
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const a = m[rs1 + 1] >>> 0;
            const b = (imm >> 31) >>> 0;
            m[rd] = +(a < b || (a === b && m[rs1] >>> 0 < imm >>> 0));
            m[rd + 1] = 0;
            break;
          }
          case 40: {
            // XORI
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            m[rd] = m[rs1] ^ imm;
            m[rd + 1] = m[rs1 + 1] ^ (imm >> 31);
            break;
          }
          case 41: {
            // ORI
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            m[rd] = m[rs1] | imm;
            m[rd + 1] = m[rs1 + 1] | (imm >> 31);
            break;
          }
          case 42: {
            // ANDI
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            m[rd] = m[rs1] & imm;
            m[rd + 1] = m[rs1 + 1] & (imm >> 31);
            break;
          }
          case 43: {
            // SLLI
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const a = m[rs1];
            m[rd + 1] = (m[rs1 + 1] << imm) | (a >>> (32 - imm));
            m[rd] = a << imm;
            break;
          }
          case 44: {
            // SRLI
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const b = m[rs1 + 1];
            m[rd] = (m[rs1] >>> imm) | (b << (32 - imm));
            m[rd + 1] = b >>> imm;
            break;
          }
          case 45: {
            // SRAI
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const b = m[rs1 + 1];
            m[rd] = (m[rs1] >>> imm) | (b << (32 - imm));
            m[rd + 1] = b >> imm;
            break;
          }
          case 46: {
            // SLLI_HIGH
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            m[rd + 1] = m[rs1] << imm;
            m[rd] = 0;
            break;
          }
          case 47: {
            // SRLI_HIGH
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            m[rd] = m[rs1 + 1] >>> imm;
            m[rd + 1] = 0;
            break;
          }
          case 48: {
            // SRAI_HIGH
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const b = m[rs1 + 1];
            m[rd] = b >> imm;
            m[rd + 1] = b >> 31;
            break;
          }
          case 49: {
            // ADDIW
            const rd = (w >>> 8) & 0x7e;
            const sum = (m[(w >>> 14) & 0x3e] + imm) | 0;
            m[rd] = sum;
            m[rd + 1] = sum >> 31;
            break;
          }
          case 50: {
            // SLLIW
            const rd = (w >>> 8) & 0x7e;
            const value = m[(w >>> 14) & 0x3e] << imm;
            m[rd] = value;
            m[rd + 1] = value >> 31;
            break;
          }
          case 51: {
            // SRLIW
            const rd = (w >>> 8) & 0x7e;
            const value = (m[(w >>> 14) & 0x3e] >>> imm) | 0;
            m[rd] = value;
            m[rd + 1] = value >> 31;
            break;
          }
          case 52: {
            // SRAIW
            const rd = (w >>> 8) & 0x7e;
            const value = m[(w >>> 14) & 0x3e] >> imm;
            m[rd] = value;
            m[rd + 1] = value >> 31;
            break;
          }
          case 53: {
            // ADD
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const rs2 = (w >>> 19) & 0x3e;
            const a = m[rs1];
            const sum = (a + m[rs2]) | 0;
            m[rd + 1] = (m[rs1 + 1] + m[rs2 + 1] + +(sum >>> 0 < a >>> 0)) | 0;
            m[rd] = sum;
            break;
          }
          case 54: {
            // SUB
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const rs2 = (w >>> 19) & 0x3e;
            const a = m[rs1];
            const b = m[rs2];
            m[rd + 1] = (m[rs1 + 1] - m[rs2 + 1] - +(a >>> 0 < b >>> 0)) | 0;
            m[rd] = a - b;
            break;
          }
          case 55: {
            // SLL
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const amount = m[(w >>> 19) & 0x3e];
            const a = m[rs1];
            if ((amount & 32) !== 0) {
              m[rd + 1] = a << amount;
              m[rd] = 0;
            } else {
              m[rd + 1] = (m[rs1 + 1] << amount) | ((a >>> 1) >>> ~amount);
              m[rd] = a << amount;
            }
            break;
          }
          case 56: {
            // SLT
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const rs2 = (w >>> 19) & 0x3e;
            const a = m[rs1 + 1];
            const b = m[rs2 + 1];
            m[rd] = +(a < b || (a === b && m[rs1] >>> 0 < m[rs2] >>> 0));
            m[rd + 1] = 0;
            break;
          }
          case 57: {
            // SLTU
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const rs2 = (w >>> 19) & 0x3e;
            const a = m[rs1 + 1] >>> 0;
            const b = m[rs2 + 1] >>> 0;
            m[rd] = +(a < b || (a === b && m[rs1] >>> 0 < m[rs2] >>> 0));
            m[rd + 1] = 0;
            break;
          }
          case 58: {
            // XOR
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const rs2 = (w >>> 19) & 0x3e;
            m[rd] = m[rs1] ^ m[rs2];
            m[rd + 1] = m[rs1 + 1] ^ m[rs2 + 1];
            break;
          }
          case 59: {
            // SRL
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const amount = m[(w >>> 19) & 0x3e];
            const b = m[rs1 + 1];
            if ((amount & 32) !== 0) {
              m[rd] = b >>> amount;
              m[rd + 1] = 0;
            } else {
              m[rd] = (m[rs1] >>> amount) | ((b << 1) << ~amount);
              m[rd + 1] = b >>> amount;
            }
            break;
          }
          case 60: {
            // SRA
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const amount = m[(w >>> 19) & 0x3e];
            const b = m[rs1 + 1];
            if ((amount & 32) !== 0) {
              m[rd] = b >> amount;
              m[rd + 1] = b >> 31;
            } else {
              m[rd] = (m[rs1] >>> amount) | ((b << 1) << ~amount);
              m[rd + 1] = b >> amount;
            }
            break;
          }
          case 61: {
            // OR
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const rs2 = (w >>> 19) & 0x3e;
            m[rd] = m[rs1] | m[rs2];
            m[rd + 1] = m[rs1 + 1] | m[rs2 + 1];
            break;
          }
          case 62: {
            // AND
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const rs2 = (w >>> 19) & 0x3e;
            m[rd] = m[rs1] & m[rs2];
            m[rd + 1] = m[rs1 + 1] & m[rs2 + 1];
            break;
          }
          case 63: {
            // ADDW
            const rd = (w >>> 8) & 0x7e;
            const value = (m[(w >>> 14) & 0x3e] + m[(w >>> 19) & 0x3e]) | 0;
            m[rd] = value;
            m[rd + 1] = value >> 31;
            break;
          }
          case 64: {
            // SUBW
            const rd = (w >>> 8) & 0x7e;
            const value = (m[(w >>> 14) & 0x3e] - m[(w >>> 19) & 0x3e]) | 0;
            m[rd] = value;
            m[rd + 1] = value >> 31;
            break;
          }
          case 65: {
            // SLLW
            const rd = (w >>> 8) & 0x7e;
            const value = m[(w >>> 14) & 0x3e] << m[(w >>> 19) & 0x3e];
            m[rd] = value;
            m[rd + 1] = value >> 31;
            break;
          }
          case 66: {
            // SRLW
            const rd = (w >>> 8) & 0x7e;
            const value = (m[(w >>> 14) & 0x3e] >>> m[(w >>> 19) & 0x3e]) | 0;
            m[rd] = value;
            m[rd + 1] = value >> 31;
            break;
          }
          case 67: {
            // SRAW
            const rd = (w >>> 8) & 0x7e;
            const value = m[(w >>> 14) & 0x3e] >> m[(w >>> 19) & 0x3e];
            m[rd] = value;
            m[rd + 1] = value >> 31;
            break;
          }
          case 68: {
            // MUL
            const rd = (w >>> 8) & 0x7e;
            const rs1 = (w >>> 14) & 0x3e;
            const rs2 = (w >>> 19) & 0x3e;
            const a = m[rs1];
            const b = m[rs2];
            m[rd + 1] = mulHigh32(a, b) + Math.imul(a, m[rs2 + 1]) + Math.imul(m[rs1 + 1], b);
            m[rd] = Math.imul(a, b);
            break;
          }
          case 69: {
            // MULW
            const rd = (w >>> 8) & 0x7e;
            const value = Math.imul(m[(w >>> 14) & 0x3e], m[(w >>> 19) & 0x3e]);
            m[rd] = value;
            m[rd + 1] = value >> 31;
            break;
          }
          case 70: // MULDIV
            multiplyDivide64(m, w, imm);
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
    hart.pcHi = (pageHi + (hart.pcLo >>> 0 < pageLo >>> 0 ? 1 : 0)) | 0;
    return cause;
  };
}
