/**
 * Control and status registers a user program sees: fflags, frm, fcsr, and the counters cycle, time, instret. The
 * decoder has refused all others and writes to counters.
 *
 * A cycle is an instruction; time counts the machine's virtual nanoseconds.
 */

import type { Hart } from './hart.ts';

const CSR_FFLAGS = 0x001;
const CSR_FRM = 0x002;
const CSR_FCSR = 0x003;
const TIME = 1; // lower bits of time and timeh: cycle is 0, instret 2
const UPPER = 0x80; // cycleh, timeh, instreth of RV32

/**
 * CSRRW, CSRRS, CSRRC and their immediate forms.
 * @param word        word 0 of the record
 * @param instruction its bits
 * @param unsettled   instructions retired since `run` began, which hart.retired does not count yet
 */
export function accessCsr(hart: Hart, word: number, instruction: number, unsettled: number): void {
  const m = hart.words;
  const csr = instruction >>> 20;
  const rd = (word >>> 8) & 0x7e;
  const source = (instruction >> 15) & 31;
  const operand = (instruction & 0x4000) !== 0 ? source : m[source << 1];
  if (csr > CSR_FCSR) {
    const counter = (csr & 3) === TIME ? hart.time(unsettled) : hart.retired + unsettled;
    const hi = Math.floor(counter / 4294967296);
    m[rd] = (csr & UPPER) !== 0 ? hi : counter;
    if (hart.xlen === 64) m[rd + 1] = hi;
    return;
  }
  const old = read(hart, csr);
  const operation = (instruction >> 12) & 3;
  const written = operation === 1 ? operand : operation === 2 ? old | operand : old & ~operand;
  if (operation === 1 || source !== 0) write(hart, csr, written);
  m[rd] = old;
  if (hart.xlen === 64) m[rd + 1] = 0;
}

function read(hart: Hart, csr: number): number {
  if (csr === CSR_FFLAGS) return hart.fcsr & 31;
  return csr === CSR_FRM ? (hart.fcsr >> 5) & 7 : hart.fcsr & 255;
}

function write(hart: Hart, csr: number, value: number): void {
  if (csr === CSR_FFLAGS) hart.fcsr = (hart.fcsr & ~31) | (value & 31);
  else if (csr === CSR_FRM) hart.fcsr = (hart.fcsr & 31) | ((value & 7) << 5);
  else hart.fcsr = value & 255;
  hart.fpDirty = true;
}
