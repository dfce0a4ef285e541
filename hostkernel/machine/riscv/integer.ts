/**
 * Integer instructions that the interpreters do by a call: division, upper halves of products, branches out of the page.
 * Below them 64-bit multiplication and division on 32-bit halves, exact, without bigint and without allocation.
 *
 * Halves are i32 or u32 alike unless stated. Results of 64 bits are left in `quotient`, `remainder` or `product`; they
 * are valid until the next call.
 */

export const product = new Int32Array(2);
export const quotient = new Int32Array(2);
export const remainder = new Int32Array(2);

const TWO_32 = 4294967296;
const TWO_52 = 4503599627370496;

/**
 * The M extension of RV64 without MUL and MULW.
 * @param m    the register file
 * @param word word 0 of the record
 * @param kind funct3, plus 8 for the 32-bit forms
 */
export function multiplyDivide64(m: Int32Array, word: number, kind: number): void {
  const rd = (word >>> 8) & 0x7e;
  const rs1 = (word >>> 14) & 0x3e;
  const rs2 = (word >>> 19) & 0x3e;
  if (kind >= 8) {
    const value = divide32(kind - 8, m[rs1], m[rs2]);
    m[rd] = value;
    m[rd + 1] = value >> 31;
    return;
  }
  const aLo = m[rs1];
  const aHi = m[rs1 + 1];
  const bLo = m[rs2];
  const bHi = m[rs2 + 1];
  let value = product;
  if (kind === MULH) mulHighSigned(aLo, aHi, bLo, bHi);
  else if (kind === MULHSU) mulHighSignedUnsigned(aLo, aHi, bLo, bHi);
  else if (kind === MULHU) mulHighUnsigned(aLo, aHi, bLo, bHi);
  else {
    value = kind === DIV || kind === DIVU ? quotient : remainder;
    if (kind === DIV || kind === REM) divideSigned(aLo, aHi, bLo, bHi);
    else divideUnsigned(aLo, aHi, bLo, bHi);
  }
  m[rd] = value[0];
  m[rd + 1] = value[1];
}

/** The M extension of RV32 without MUL. `kind` is funct3. */
export function multiplyDivide32(m: Int32Array, word: number, kind: number): void {
  const a = m[(word >>> 14) & 0x3e];
  const b = m[(word >>> 19) & 0x3e];
  let value: number;
  if (kind === MULHU) value = mulHigh32(a, b);
  else if (kind === MULHSU) value = mulHigh32(a, b) - (a < 0 ? b : 0);
  else if (kind === MULH) value = mulHigh32(a, b) - (a < 0 ? b : 0) - (b < 0 ? a : 0);
  else value = divide32(kind, a, b);
  m[(word >>> 8) & 0x7e] = value;
}

const MULH = 1;
const MULHSU = 2;
const MULHU = 3;
const DIV = 4;
const DIVU = 5;
const REM = 6; // REMU is 7

/** DIV, DIVU, REM, REMU of two i32; i32. By 0: all ones, and the dividend. -2^31 / -1: the dividend, and 0. */
function divide32(kind: number, a: number, b: number): number {
  if (kind === DIV) return b === 0 ? -1 : (a / b) | 0;
  if (kind === REM) return b === 0 ? a : (a % b) | 0;
  if (kind === DIVU) return b === 0 ? -1 : ((a >>> 0) / (b >>> 0)) | 0;
  return b === 0 ? a : ((a >>> 0) % (b >>> 0)) | 0;
}

/** Whether the branch of `funct3` in the record `word` is taken, with registers of 64 bits. */
export function branchTaken64(m: Int32Array, word: number, funct3: number): boolean {
  const rs1 = (word >>> 14) & 0x3e;
  const rs2 = (word >>> 19) & 0x3e;
  const aLo = m[rs1] >>> 0;
  const bLo = m[rs2] >>> 0;
  const isUnsigned = funct3 >= 6;
  const aHi = isUnsigned ? m[rs1 + 1] >>> 0 : m[rs1 + 1];
  const bHi = isUnsigned ? m[rs2 + 1] >>> 0 : m[rs2 + 1];
  const holds = funct3 < 4 ? aLo === bLo && aHi === bHi : aHi < bHi || (aHi === bHi && aLo < bLo);
  return holds === ((funct3 & 1) === 0);
}

/** Whether the branch of `funct3` in the record `word` is taken, with registers of 32 bits. */
export function branchTaken32(m: Int32Array, word: number, funct3: number): boolean {
  const a = m[(word >>> 14) & 0x3e];
  const b = m[(word >>> 19) & 0x3e];
  const holds = funct3 < 4 ? a === b : funct3 >= 6 ? a >>> 0 < b >>> 0 : a < b;
  return holds === ((funct3 & 1) === 0);
}

/** Bits 63..32 of the product of two u32, as i32. */
export function mulHigh32(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const low = Math.imul(aLow, bLow);
  const middle = (Math.imul(aHigh, bLow) + (low >>> 16)) | 0; // below 2^32
  const cross = (Math.imul(aLow, bHigh) + (middle & 0xffff)) | 0; // below 2^32
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (cross >>> 16)) | 0;
}

/** Bits 127..64 of the product of two u64, into `product`. */
export function mulHighUnsigned(aLo: number, aHi: number, bLo: number, bHi: number): void {
  const sum = (mulHigh32(aLo, bLo) >>> 0) + (Math.imul(aLo, bHi) >>> 0) + (Math.imul(aHi, bLo) >>> 0); // exact, below 2^34
  const low = (mulHigh32(aLo, bHi) >>> 0) + (mulHigh32(aHi, bLo) >>> 0) + (Math.imul(aHi, bHi) >>> 0) + Math.floor(sum / TWO_32); // exact, below 2^34
  product[0] = low;
  product[1] = mulHigh32(aHi, bHi) + Math.floor(low / TWO_32);
}

/** Subtracts (lo, hi) from `product`. */
function subtractFromProduct(lo: number, hi: number): void {
  const borrow = product[0] >>> 0 < lo >>> 0 ? 1 : 0;
  product[0] -= lo;
  product[1] = product[1] - hi - borrow;
}

/** Bits 127..64 of the product of two i64, into `product`. */
export function mulHighSigned(aLo: number, aHi: number, bLo: number, bHi: number): void {
  mulHighUnsigned(aLo, aHi, bLo, bHi);
  if (aHi < 0) subtractFromProduct(bLo, bHi);
  if (bHi < 0) subtractFromProduct(aLo, aHi);
}

/** Bits 127..64 of the product of an i64 and a u64, into `product`. */
export function mulHighSignedUnsigned(aLo: number, aHi: number, bLo: number, bHi: number): void {
  mulHighUnsigned(aLo, aHi, bLo, bHi);
  if (aHi < 0) subtractFromProduct(bLo, bHi);
}

/** Divides two u64 into `quotient` and `remainder`. By 0: all ones, and the dividend. */
export function divideUnsigned(aLo: number, aHi: number, bLo: number, bHi: number): void {
  const a = (aHi >>> 0) * TWO_32 + (aLo >>> 0);
  const b = (bHi >>> 0) * TWO_32 + (bLo >>> 0);
  if (b === 0) return setDivision(-1, -1, aLo, aHi);
  if (a < TWO_52 && b < TWO_52) return divideExact(a, b);
  if (bHi === 0) return divideByShort(aLo, aHi, bLo >>> 0);
  divideByLong(aLo, aHi, bLo, bHi, a / b);
}

/** Divides two i64, rounding towards zero. By 0: -1, and the dividend. -2^63 / -1: the dividend, and 0. */
export function divideSigned(aLo: number, aHi: number, bLo: number, bHi: number): void {
  if ((bLo | bHi) === 0) return setDivision(-1, -1, aLo, aHi);
  const negateA = aHi < 0;
  const negateB = bHi < 0;
  divideUnsigned(
    negateA ? -aLo | 0 : aLo,
    negateA ? (~aHi + (aLo === 0 ? 1 : 0)) | 0 : aHi,
    negateB ? -bLo | 0 : bLo,
    negateB ? (~bHi + (bLo === 0 ? 1 : 0)) | 0 : bHi,
  );
  if (negateA !== negateB) negate(quotient);
  if (negateA) negate(remainder);
}

function setDivision(qLo: number, qHi: number, rLo: number, rHi: number): void {
  quotient[0] = qLo;
  quotient[1] = qHi;
  remainder[0] = rLo;
  remainder[1] = rHi;
}

function negate(value: Int32Array): void {
  const lo = value[0];
  value[0] = -lo;
  value[1] = ~value[1] + (lo === 0 ? 1 : 0);
}

/** Both below 2^52: the rounded quotient is at most one too large, and its product with b is exact. */
function divideExact(a: number, b: number): void {
  let q = Math.floor(a / b);
  let r = a - q * b;
  if (r < 0) {
    q--;
    r += b;
  }
  setDivision(q, q / TWO_32, r, r / TWO_32);
}

/** b below 2^32: long division by digits of 32, 16 and 16 bits; every intermediate value is below 2^48. */
function divideByShort(aLo: number, aHi: number, b: number): void {
  const high = aHi >>> 0;
  const qHigh = Math.floor(high / b);
  const middle = (high - qHigh * b) * 65536 + (aLo >>> 16);
  const qMiddle = Math.floor(middle / b);
  const low = (middle - qMiddle * b) * 65536 + (aLo & 0xffff);
  const qLow = Math.floor(low / b);
  setDivision((qMiddle << 16) | qLow, qHigh, low - qLow * b, 0);
}

/**
 * b from 2^32 on: the quotient is below 2^32, and `estimate`, three roundings away from it, is off by less than 1. One
 * less is never too large, so the remainder never wraps, and at most two corrections are due.
 */
function divideByLong(aLo: number, aHi: number, bLo: number, bHi: number, estimate: number): void {
  let q = Math.max(0, Math.floor(estimate) - 1);
  const qWord = q | 0;
  const subLo = Math.imul(qWord, bLo);
  const subHi = (mulHigh32(qWord, bLo) + Math.imul(qWord, bHi)) | 0;
  let rHi = (aHi - subHi - (aLo >>> 0 < subLo >>> 0 ? 1 : 0)) | 0;
  let rLo = (aLo - subLo) | 0;
  while (rHi >>> 0 > bHi >>> 0 || (rHi === bHi && rLo >>> 0 >= bLo >>> 0)) {
    rHi = (rHi - bHi - (rLo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0;
    rLo = (rLo - bLo) | 0;
    q++;
  }
  setDivision(q, 0, rLo, rHi);
}
