/**
 * Memory accesses that the interpreter does not do inline: TLB misses, misaligned and page-crossing ones, stores to
 * pages with decoded code, atomics. All return 0 or the cause of a trap, with the fault's address left in the hart;
 * an access that traps has changed nothing.
 *
 *   address -> translate() -> offset in memory, and for an access on two pages the offset of the second page
 */

import { EXEC, PAGE_SHIFT, READ, WRITE, type Access, type HostFrame } from '../../base/units.ts';
import { TRANSLATE_PAGE_FAULT } from '../mmu.ts';
import {
  TRAP_FETCH_ACCESS,
  TRAP_FETCH_PAGE,
  TRAP_LOAD_ACCESS,
  TRAP_LOAD_MISALIGNED,
  TRAP_LOAD_PAGE,
  TRAP_STORE_ACCESS,
  TRAP_STORE_MISALIGNED,
  TRAP_STORE_PAGE,
} from './causes.ts';
import type { Hart } from './hart.ts';
import { OP_FLD, OP_FLW, OP_FSD, OP_FSW, OP_LB, OP_LBU, OP_LD, OP_LH, OP_LHU, OP_LWU, OP_SB, OP_SD, OP_SH } from './opcodes.ts';

/** Word index of f0. */
export const F0 = 128;

/** Where `locate` leaves its result: byte offset of the access, and of its part on a second page. */
let offset = 0;
let secondOffset = 0;
/** Bytes on the first page. */
let firstBytes = 0;

/** The value of the last `fetch` or load: lower and upper half. */
let valueLo = 0;
let valueHi = 0;

/** Records a fault at (lo, hi) and returns its cause. */
function fault(hart: Hart, lo: number, hi: number, access: Access, result: number): number {
  hart.tvalLo = lo;
  hart.tvalHi = hi;
  hart.access = access;
  const isPageFault = result === TRANSLATE_PAGE_FAULT;
  if (access === READ) return isPageFault ? TRAP_LOAD_PAGE : TRAP_LOAD_ACCESS;
  if (access === WRITE) return isPageFault ? TRAP_STORE_PAGE : TRAP_STORE_ACCESS;
  return isPageFault ? TRAP_FETCH_PAGE : TRAP_FETCH_ACCESS;
}

/**
 * Translates an access of `bytes` at (lo, hi), which may lie on two pages.
 * @param kind what whoever looks on is told of the access: READ | WRITE of an atomic operation, else `access`
 * @param left instructions the budget still allows after this one
 * @returns 0 or the cause of a trap
 */
function locate(hart: Hart, lo: number, hi: number, bytes: number, access: Access, kind: Access, left: number): number {
  const context = hart.activeContext();
  const first = context.translate(lo, hi, access);
  if (first < 0) return fault(hart, lo, hi, access, first);
  offset = first;
  firstBytes = 4096 - (lo & 4095);
  if (firstBytes > bytes) firstBytes = bytes;
  const { watcher } = hart.mmu;
  if (watcher !== null) watcher.accessed(lo, hi, firstBytes, kind, hart.horizon - left);
  if (firstBytes === bytes) return 0;
  const nextLo = ((lo | 4095) + 1) | 0;
  const nextHi = nextLo === 0 && hart.xlen === 64 ? (hi + 1) | 0 : hi;
  const second = context.translate(nextLo, nextHi, access);
  if (second < 0) return fault(hart, nextLo, nextHi, access, second);
  secondOffset = second;
  if (watcher !== null) watcher.accessed(nextLo, nextHi, bytes - firstBytes, kind, hart.horizon - left);
  return 0;
}

/** Reads `bytes` bytes (1, 2, 4, 8) where `locate` found them, into valueLo and valueHi, zero-extended. */
function readLocated(hart: Hart, bytes: number): void {
  const ram = hart.ram;
  valueHi = 0;
  if (firstBytes === bytes && (offset & (bytes - 1)) === 0) {
    if (bytes === 1) valueLo = ram.u8[offset];
    else if (bytes === 2) valueLo = ram.u16[offset >>> 1];
    else valueLo = ram.i32[offset >>> 2];
    if (bytes === 8) valueHi = ram.i32[(offset >>> 2) + 1];
    return;
  }
  valueLo = 0;
  for (let i = 0; i < bytes; i++) {
    const byte = ram.u8[i < firstBytes ? offset + i : secondOffset + i - firstBytes];
    if (i < 4) valueLo |= byte << (8 * i);
    else valueHi |= byte << (8 * i - 32);
  }
}

/** Writes the lower `bytes` bytes of (lo, hi) where `locate` found room. */
function writeLocated(hart: Hart, bytes: number, lo: number, hi: number): void {
  const ram = hart.ram;
  if (firstBytes === bytes && (offset & (bytes - 1)) === 0) {
    if (bytes === 1) ram.u8[offset] = lo;
    else if (bytes === 2) ram.u16[offset >>> 1] = lo;
    else ram.i32[offset >>> 2] = lo;
    if (bytes === 8) ram.i32[(offset >>> 2) + 1] = hi;
  } else {
    for (let i = 0; i < bytes; i++) {
      const byte = i < 4 ? lo >>> (8 * i) : hi >>> (8 * i - 32);
      ram.u8[i < firstBytes ? offset + i : secondOffset + i - firstBytes] = byte;
    }
  }
  noteStore(hart, offset, firstBytes);
  if (firstBytes < bytes) noteStore(hart, secondOffset, bytes - firstBytes);
}

/** Forgets what was decoded from bytes that have just been stored to. */
function noteStore(hart: Hart, at: number, bytes: number): void {
  const frame = (at - hart.ram.base) >>> PAGE_SHIFT;
  if (hart.code.has(frame)) hart.code.touch(frame as HostFrame, at & 4095, bytes);
}

/** Upper half of rs1 + imm, for registers of 64 bits. `sum` is the lower half. */
function upperHalf(base: number, baseHi: number, imm: number, sum: number): number {
  return (baseHi + (imm >> 31) + (sum >>> 0 < base >>> 0 ? 1 : 0)) | 0;
}

function bytesOf(op: number): number {
  if (op === OP_LB || op === OP_LBU || op === OP_SB) return 1;
  if (op === OP_LH || op === OP_LHU || op === OP_SH) return 2;
  return op === OP_LD || op === OP_SD || op === OP_FLD || op === OP_FSD ? 8 : 4;
}

/** Any load, by its record; `left` as in locate. Returns 0 or the cause of a trap. */
export function load(hart: Hart, word: number, imm: number, left: number): number {
  const m = hart.words;
  const op = word & 255;
  const bytes = bytesOf(op);
  const rs1 = (word >>> 14) & 0x3e;
  const lo = (m[rs1] + imm) | 0;
  const hi = hart.xlen === 64 ? upperHalf(m[rs1], m[rs1 + 1], imm, lo) : 0;
  const cause = locate(hart, lo, hi, bytes, READ, READ, left);
  if (cause !== 0) return cause;
  readLocated(hart, bytes);
  const rd = (word >>> 8) & 0x7e;
  if (op === OP_FLW || op === OP_FLD) {
    m[F0 + rd] = valueLo;
    m[F0 + rd + 1] = op === OP_FLW ? -1 : valueHi;
    hart.fpDirty = true;
    return 0;
  }
  if (op === OP_LB) valueLo = (valueLo << 24) >> 24;
  else if (op === OP_LH) valueLo = (valueLo << 16) >> 16;
  m[rd] = valueLo;
  if (hart.xlen === 64) m[rd + 1] = op === OP_LD ? valueHi : op === OP_LWU ? 0 : valueLo >> 31;
  return 0;
}

/** Any store, by its record; `left` as in locate. Returns 0 or the cause of a trap. */
export function store(hart: Hart, word: number, imm: number, left: number): number {
  const m = hart.words;
  const op = word & 255;
  const bytes = bytesOf(op);
  const rs1 = (word >>> 14) & 0x3e;
  const lo = (m[rs1] + imm) | 0;
  const hi = hart.xlen === 64 ? upperHalf(m[rs1], m[rs1 + 1], imm, lo) : 0;
  const cause = locate(hart, lo, hi, bytes, WRITE, WRITE, left);
  if (cause !== 0) return cause;
  const rs2 = ((word >>> 19) & 0x3e) + (op === OP_FSW || op === OP_FSD ? F0 : 0);
  writeLocated(hart, bytes, m[rs2], m[rs2 + 1]);
  return 0;
}

/**
 * Finds the frame that holds the instruction at (lo, hi).
 * @param left instructions the budget still allows
 * @returns the byte offset of its page in memory, or -cause
 */
export function fetchPage(hart: Hart, lo: number, hi: number, left: number): number {
  const found = hart.activeContext().translate(lo, hi, EXEC);
  if (found < 0) return -fault(hart, lo, hi, EXEC, found);
  const { watcher } = hart.mmu;
  if (watcher !== null) watcher.accessed(lo, hi, 2, EXEC, hart.horizon - left);
  return (found & -4096) >>> 0;
}

const AMO_ADD = 0x00;
const AMO_SWAP = 0x01;
const LR = 0x02;
const SC = 0x03;
const AMO_XOR = 0x04;
const AMO_OR = 0x08;
const AMO_AND = 0x0c;
const AMO_MIN = 0x10;
const AMO_MINU = 0x18; // AMO_MAX is 0x14, AMO_MAXU 0x1c

/**
 * LR, SC and AMOs.
 *
 * A reservation is on the bytes at an offset of physical memory and holds the value read; it ends with the next SC, a
 * trap, or a change of context. SC also compares the value, so a store in between by whoever does not run on the hart
 * cannot go unnoticed unless it changes nothing.
 * @param left as in locate
 * @returns 0 or the cause of a trap
 */
export function atomic(hart: Hart, word: number, instruction: number, left: number): number {
  const m = hart.words;
  const rs1 = (word >>> 14) & 0x3e;
  const lo = m[rs1];
  const hi = hart.xlen === 64 ? m[rs1 + 1] : 0;
  const bytes = (instruction & 0x1000) === 0 ? 4 : 8;
  const funct5 = instruction >>> 27;
  if ((lo & (bytes - 1)) !== 0) {
    hart.tvalLo = lo;
    hart.tvalHi = hi;
    hart.access = funct5 === LR ? READ : WRITE;
    return funct5 === LR ? TRAP_LOAD_MISALIGNED : TRAP_STORE_MISALIGNED;
  }
  const kind = funct5 === LR ? READ : funct5 === SC ? WRITE : READ | WRITE;
  const cause = locate(hart, lo, hi, bytes, funct5 === LR ? READ : WRITE, kind, left);
  if (cause !== 0) return cause;
  readLocated(hart, bytes);
  if (bytes === 4) valueHi = valueLo >> 31;
  const oldLo = valueLo;
  const oldHi = valueHi;
  const rd = (word >>> 8) & 0x7e;
  const rs2 = (word >>> 19) & 0x3e;
  if (funct5 === LR) {
    hart.reserve(offset, bytes, oldLo, oldHi);
    setRegister(hart, rd, oldLo, oldHi);
    return 0;
  }
  if (funct5 === SC) {
    const holds = hart.endReservation(offset, bytes, oldLo, oldHi);
    if (holds) writeLocated(hart, bytes, m[rs2], m[rs2 + 1]);
    setRegister(hart, rd, holds ? 0 : 1, 0);
    return 0;
  }
  modify(funct5, m[rs2], hart.xlen === 64 && bytes === 8 ? m[rs2 + 1] : m[rs2] >> 31);
  writeLocated(hart, bytes, valueLo, valueHi);
  setRegister(hart, rd, oldLo, oldHi);
  return 0;
}

function setRegister(hart: Hart, rd: number, lo: number, hi: number): void {
  const m = hart.words;
  m[rd] = lo;
  if (hart.xlen === 64) m[rd + 1] = hi;
}

/** Combines valueLo, valueHi with the operand of an AMO. Operands of 32 bits come sign-extended. */
function modify(funct5: number, lo: number, hi: number): void {
  switch (funct5) {
    case AMO_SWAP:
      valueLo = lo;
      valueHi = hi;
      return;
    case AMO_ADD: {
      const sum = (valueLo + lo) | 0;
      valueHi = (valueHi + hi + (sum >>> 0 < lo >>> 0 ? 1 : 0)) | 0;
      valueLo = sum;
      return;
    }
    case AMO_XOR:
      valueLo ^= lo;
      valueHi ^= hi;
      return;
    case AMO_OR:
      valueLo |= lo;
      valueHi |= hi;
      return;
    case AMO_AND:
      valueLo &= lo;
      valueHi &= hi;
      return;
    default: {
      // Sign extension of 32-bit operands keeps the unsigned order too.
      const unsigned = funct5 >= AMO_MINU;
      const upper = unsigned ? compareUnsigned(valueHi, hi) : valueHi - hi;
      const order = upper !== 0 ? upper : compareUnsigned(valueLo, lo);
      const wantsLess = funct5 === AMO_MIN || funct5 === AMO_MINU;
      if (wantsLess ? order <= 0 : order >= 0) return;
      valueLo = lo;
      valueHi = hi;
    }
  }
}

function compareUnsigned(a: number, b: number): number {
  return (a >>> 0) - (b >>> 0);
}
