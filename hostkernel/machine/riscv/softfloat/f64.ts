/**
 * binary64 arithmetic: every operand, every rounding mode, every flag.
 *
 * Operands are 32-bit halves, low half first; the result is left in `result`, flags are ORed into `state.flags`. Each function
 * tries the host's doubles first (`f64-native.ts`, which says when that is exact) and else computes on integers. Hot: nothing allocates.
 *
 * Not here: rounding (`round.ts`), comparisons (`compare.ts`), conversions (`convert.ts`).
 *
 * Source: RISC-V unprivileged specification, F and D extensions 2.2: a NaN result is always the canonical NaN, whatever came in.
 */

import { f64AddNative, f64DivNative, f64FmaNative, f64MulNative, f64SqrtNative } from './f64-native.ts';
import { jammed, jamRight, normalizeRoundPack64, roundPack64 } from './round.ts';
import { DZ, doubles, F64_INFINITY_HI, F64_NAN_HI, f64IsNaN, f64IsSignalling, NV, RDN, SIGN, setResult, state, words } from './state.ts';

/** Significands of the operands, [low, high] each, and of the double-length values of the multiply-add. */
const significand = new Int32Array(4);
const product = new Int32Array(4); // least significant word first
const addend = new Int32Array(4);

const A = 0; // places in `significand`
const B = 2;

function invalid(): void {
  state.flags |= NV;
  setResult(0, F64_NAN_HI);
}

/** The result of an operation with a NaN among its operands. */
function propagateNaN(signalling: boolean): void {
  if (signalling) state.flags |= NV;
  setResult(0, F64_NAN_HI);
}

function exponentOf(hi: number): number {
  return (hi >>> 20) & 0x7ff;
}

function isZero(lo: number, hi: number): boolean {
  return ((hi << 1) | lo) === 0;
}

/**
 * Takes a finite number that is not zero apart: value = significand * 2^(exponent - 1075), with bit 52 of the significand set.
 * @returns the biased exponent, below 1 for a subnormal
 */
function unpack(lo: number, hi: number, place: number): number {
  const exponent = exponentOf(hi);
  const fraction = hi & 0x000f_ffff;
  if (exponent !== 0) {
    significand[place] = lo;
    significand[place + 1] = fraction | 0x0010_0000;
    return exponent;
  }
  const shift = (fraction === 0 ? 32 + Math.clz32(lo) : Math.clz32(fraction)) - 11;
  if (shift >= 32) {
    significand[place] = 0;
    significand[place + 1] = lo << (shift - 32);
  } else {
    significand[place] = lo << shift;
    significand[place + 1] = (fraction << shift) | (lo >>> (32 - shift)); // shift > 0 here
  }
  return 1 - shift;
}

/** result = a + b (fadd.d). */
export function f64Add(aLo: number, aHi: number, bLo: number, bHi: number): void {
  words[2] = aLo;
  words[3] = aHi;
  words[4] = bLo;
  words[5] = bHi;
  if (!f64AddNative(doubles, 0, 1, 2)) add(aLo, aHi, bLo, bHi);
}

/** result = a - b (fsub.d). */
export function f64Sub(aLo: number, aHi: number, bLo: number, bHi: number): void {
  f64Add(aLo, aHi, bLo, bHi ^ SIGN);
}

function add(aLo: number, aHi: number, bLo: number, bHi: number): void {
  const aExponent = exponentOf(aHi);
  const bExponent = exponentOf(bHi);
  if (aExponent === 0x7ff || bExponent === 0x7ff) {
    if (f64IsNaN(aLo, aHi) || f64IsNaN(bLo, bHi)) propagateNaN(f64IsSignalling(aLo, aHi) || f64IsSignalling(bLo, bHi));
    else if (bExponent !== 0x7ff) setResult(aLo, aHi);
    else if (aExponent !== 0x7ff || aHi === bHi) setResult(bLo, bHi);
    else invalid();
    return;
  }
  const aIsLarger = (aHi & 0x7fff_ffff) === (bHi & 0x7fff_ffff) ? aLo >>> 0 >= bLo >>> 0 : (aHi & 0x7fff_ffff) > (bHi & 0x7fff_ffff);
  if (aIsLarger) addFinite(aLo, aHi, bLo, bHi);
  else addFinite(bLo, bHi, aLo, aHi);
}

/** The sum of two finite numbers, |a| >= |b|. Subnormals are not normalized: they share the scale of exponent 1. */
function addFinite(aLo: number, aHi: number, bLo: number, bHi: number): void {
  const sign = aHi >>> 31;
  const aField = exponentOf(aHi);
  const bField = exponentOf(bHi);
  const exponent = aField === 0 ? 1 : aField;
  const aFraction = (aHi & 0x000f_ffff) | (aField === 0 ? 0 : 0x0010_0000);
  const bFraction = (bHi & 0x000f_ffff) | (bField === 0 ? 0 : 0x0010_0000);
  jamRight((bFraction << 10) | (bLo >>> 22), bLo << 10, exponent - (bField === 0 ? 1 : bField));
  const lo = aLo << 10;
  const hi = (aFraction << 10) | (aLo >>> 22);
  if (((aHi ^ bHi) & SIGN) === 0) {
    const sum = (lo + jammed[0]) | 0;
    const high = (hi + jammed[1] + (sum >>> 0 < lo >>> 0 ? 1 : 0)) | 0;
    if (high < 0) roundPack64(sign, exponent, high >>> 1, (sum >>> 1) | (high << 31) | (sum & 1));
    else roundPack64(sign, exponent - 1, high, sum);
    return;
  }
  const difference = (lo - jammed[0]) | 0;
  const high = (hi - jammed[1] - (lo >>> 0 < jammed[0] >>> 0 ? 1 : 0)) | 0;
  if ((high | difference) === 0) setResult(0, state.rounding === RDN ? SIGN : 0);
  else normalizeRoundPack64(sign, exponent - 1, high, difference);
}

/** result = a * b (fmul.d). */
export function f64Mul(aLo: number, aHi: number, bLo: number, bHi: number): void {
  words[2] = aLo;
  words[3] = aHi;
  words[4] = bLo;
  words[5] = bHi;
  if (!f64MulNative(doubles, 0, 1, 2)) multiply(aLo, aHi, bLo, bHi);
}

function multiply(aLo: number, aHi: number, bLo: number, bHi: number): void {
  const sign = (aHi ^ bHi) >>> 31;
  if (exponentOf(aHi) === 0x7ff || exponentOf(bHi) === 0x7ff) {
    if (f64IsNaN(aLo, aHi) || f64IsNaN(bLo, bHi)) propagateNaN(f64IsSignalling(aLo, aHi) || f64IsSignalling(bLo, bHi));
    else if (isZero(aLo, aHi) || isZero(bLo, bHi)) invalid();
    else setResult(0, (sign << 31) | F64_INFINITY_HI);
    return;
  }
  if (isZero(aLo, aHi) || isZero(bLo, bHi)) {
    setResult(0, sign << 31);
    return;
  }
  const exponent = unpack(aLo, aHi, A) + unpack(bLo, bHi, B) - 1023;
  multiplySignificands();
  // The product has its leading one at bit 126 or 125: its upper half, with the lower one jammed in, is ready to be rounded.
  const lo = product[2] | (product[1] | product[0] ? 1 : 0);
  const hi = product[3];
  if (hi >= 0x4000_0000) roundPack64(sign, exponent, hi, lo);
  else roundPack64(sign, exponent - 1, (hi << 1) | (lo >>> 31), (lo << 1) | (lo & 1));
}

/** product = (significand A << 10) * (significand B << 11), all 128 bits. */
function multiplySignificands(): void {
  const a0 = significand[A] << 10;
  const a1 = (significand[A + 1] << 10) | (significand[A] >>> 22);
  const b0 = significand[B] << 11;
  const b1 = (significand[B + 1] << 11) | (significand[B] >>> 21);
  const middle = (multiplyHigh(a0, b0) >>> 0) + (Math.imul(a0, b1) >>> 0) + (Math.imul(a1, b0) >>> 0);
  const upper =
    (multiplyHigh(a0, b1) >>> 0) + (multiplyHigh(a1, b0) >>> 0) + (Math.imul(a1, b1) >>> 0) + Math.floor(middle / 0x1_0000_0000);
  product[0] = Math.imul(a0, b0);
  product[1] = middle;
  product[2] = upper;
  product[3] = multiplyHigh(a1, b1) + Math.floor(upper / 0x1_0000_0000);
}

/** The upper half of the 64-bit product of two u32. No partial sum exceeds 32 bits. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const first = Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16);
  const second = Math.imul(aLow, bHigh) + (first & 0xffff);
  return (Math.imul(aHigh, bHigh) + (first >>> 16) + (second >>> 16)) | 0;
}

/** result = a / b (fdiv.d). */
export function f64Div(aLo: number, aHi: number, bLo: number, bHi: number): void {
  words[2] = aLo;
  words[3] = aHi;
  words[4] = bLo;
  words[5] = bHi;
  if (!f64DivNative(doubles, 0, 1, 2)) divide(aLo, aHi, bLo, bHi);
}

/**
 * The host's quotient of the significands, scaled to [1, 2), is the nearest 53-bit number to the true one: the sign of the
 * remainder says on which side of it the true quotient lies, and that is all rounding wants to know.
 */
function divide(aLo: number, aHi: number, bLo: number, bHi: number): void {
  const sign = (aHi ^ bHi) >>> 31;
  const aExponent = exponentOf(aHi);
  const bExponent = exponentOf(bHi);
  if (f64IsNaN(aLo, aHi) || f64IsNaN(bLo, bHi)) {
    propagateNaN(f64IsSignalling(aLo, aHi) || f64IsSignalling(bLo, bHi));
    return;
  }
  if (aExponent === 0x7ff) {
    if (bExponent === 0x7ff) invalid();
    else setResult(0, (sign << 31) | F64_INFINITY_HI);
    return;
  }
  if (isZero(bLo, bHi)) {
    if (isZero(aLo, aHi)) {
      invalid();
      return;
    }
    state.flags |= DZ;
    setResult(0, (sign << 31) | F64_INFINITY_HI);
    return;
  }
  if (bExponent === 0x7ff || isZero(aLo, aHi)) {
    setResult(0, sign << 31);
    return;
  }
  let exponent = unpack(aLo, aHi, A) - unpack(bLo, bHi, B) + 1023;
  let numerator = significandValue(A);
  const denominator = significandValue(B);
  if (numerator < denominator) {
    numerator *= 2;
    exponent--;
    significand[A + 1] = (significand[A + 1] << 1) | (significand[A] >>> 31);
    significand[A] <<= 1;
  }
  doubles[4] = numerator / denominator; // in [1, 2): the numerator is at most twice the denominator less one
  const q0 = words[8];
  const q1 = (words[9] & 0x000f_ffff) | 0x0010_0000;
  // remainder = numerator * 2^52 - quotient * denominator. It is smaller than the denominator, so 64 bits of it are enough.
  const cross = multiplyHigh(q0, significand[B]) + Math.imul(q0, significand[B + 1]) + Math.imul(q1, significand[B]);
  roundEstimate(sign, exponent - 1, q0, q1, -Math.imul(q0, significand[B]) | 0, (significand[A] << 20) - cross);
}

/** A significand as a number: exact, it has 53 bits. */
function significandValue(place: number): number {
  return significand[place + 1] * 0x1_0000_0000 + (significand[place] >>> 0);
}

/**
 * Rounds a value of which the nearest 53-bit significand (q1, q0) is known, and by the sign of a remainder on which side of it
 * the value lies: between there and half a unit away is no number of any format and no midpoint, so one guard bit tells all.
 * @param remainderLo low half of the remainder, which is 64 bits long and signed; it was found by subtraction from 0
 * @param remainderHi high half, the borrow of that subtraction not yet taken
 */
function roundEstimate(sign: number, exponent: number, q0: number, q1: number, remainderLo: number, remainderHi: number): void {
  const lo = q0 << 10;
  const hi = (q1 << 10) | (q0 >>> 22);
  const side = (remainderHi - (remainderLo !== 0 ? 1 : 0)) | 0;
  if ((side | remainderLo) === 0) roundPack64(sign, exponent, hi, lo);
  else if (side >= 0) roundPack64(sign, exponent, hi, lo | 1);
  else roundPack64(sign, exponent, lo === 0 ? hi - 1 : hi, lo - 1); // the value is at least 1.0, so the leading one stays
}

/** result = square root of a (fsqrt.d). */
export function f64Sqrt(aLo: number, aHi: number): void {
  words[2] = aLo;
  words[3] = aHi;
  if (!f64SqrtNative(doubles, 0, 1)) squareRoot(aLo, aHi);
}

/** As `divide`: the host's root of the significand, scaled to [1, 4), and the sign of the remainder. */
function squareRoot(aLo: number, aHi: number): void {
  if (f64IsNaN(aLo, aHi)) {
    propagateNaN(f64IsSignalling(aLo, aHi));
    return;
  }
  if (isZero(aLo, aHi) || aHi === F64_INFINITY_HI) {
    setResult(aLo, aHi);
    return;
  }
  if (aHi < 0) {
    invalid();
    return;
  }
  const exponent = unpack(aLo, aHi, A) - 1023;
  const odd = exponent & 1;
  const radicand = significandValue(A) * (odd ? 2 : 1);
  doubles[4] = Math.sqrt(radicand * 2 ** -52); // in [1, 2)
  const q0 = words[8];
  const q1 = (words[9] & 0x000f_ffff) | 0x0010_0000;
  // remainder = radicand * 2^52 - root^2, at most twice the root in size.
  const cross = multiplyHigh(q0, q0) + 2 * Math.imul(q0, q1);
  roundEstimate(0, ((exponent - odd) >> 1) + 1022, q0, q1, -Math.imul(q0, q0) | 0, (significand[A] << (20 + odd)) - cross);
}

/** result = a * b + c, rounded once (fmadd.d). */
export function f64Madd(aLo: number, aHi: number, bLo: number, bHi: number, cLo: number, cHi: number): void {
  words[2] = aLo;
  words[3] = aHi;
  words[4] = bLo;
  words[5] = bHi;
  words[6] = cLo;
  words[7] = cHi;
  if (!f64FmaNative(doubles, 0, 1, 2, 3, 1, 1)) multiplyAdd(aLo, aHi, bLo, bHi, cLo, cHi);
}

/** result = a * b - c (fmsub.d). */
export function f64Msub(aLo: number, aHi: number, bLo: number, bHi: number, cLo: number, cHi: number): void {
  f64Madd(aLo, aHi, bLo, bHi, cLo, cHi ^ SIGN);
}

/** result = -(a * b) + c (fnmsub.d). */
export function f64Nmsub(aLo: number, aHi: number, bLo: number, bHi: number, cLo: number, cHi: number): void {
  f64Madd(aLo, aHi ^ SIGN, bLo, bHi, cLo, cHi);
}

/** result = -(a * b) - c (fnmadd.d). */
export function f64Nmadd(aLo: number, aHi: number, bLo: number, bHi: number, cLo: number, cHi: number): void {
  f64Madd(aLo, aHi ^ SIGN, bLo, bHi, cLo, cHi ^ SIGN);
}

/** Zero times infinity is invalid even if the addend is a quiet NaN. */
function multiplyAdd(aLo: number, aHi: number, bLo: number, bHi: number, cLo: number, cHi: number): void {
  const sign = (aHi ^ bHi) >>> 31;
  const aIsZero = isZero(aLo, aHi);
  const bIsZero = isZero(bLo, bHi);
  if (exponentOf(aHi) === 0x7ff || exponentOf(bHi) === 0x7ff || exponentOf(cHi) === 0x7ff) {
    const productIsNaN = f64IsNaN(aLo, aHi) || f64IsNaN(bLo, bHi);
    const productIsInfinite = !productIsNaN && (exponentOf(aHi) === 0x7ff || exponentOf(bHi) === 0x7ff);
    if (productIsInfinite && (aIsZero || bIsZero)) invalid();
    else if (productIsNaN || f64IsNaN(cLo, cHi))
      propagateNaN(f64IsSignalling(aLo, aHi) || f64IsSignalling(bLo, bHi) || f64IsSignalling(cLo, cHi));
    else if (!productIsInfinite) setResult(cLo, cHi);
    else if (exponentOf(cHi) === 0x7ff && cHi >>> 31 !== sign) invalid();
    else setResult(0, (sign << 31) | F64_INFINITY_HI);
    return;
  }
  if (aIsZero || bIsZero) {
    if (!isZero(cLo, cHi)) setResult(cLo, cHi);
    else if (cHi >>> 31 === sign) setResult(0, sign << 31);
    else setResult(0, state.rounding === RDN ? SIGN : 0);
    return;
  }
  let exponent = unpack(aLo, aHi, A) + unpack(bLo, bHi, B) - 1023;
  multiplySignificands();
  if (product[3] < 0x4000_0000) {
    shiftLeft(product, 1);
    exponent--;
  }
  if (!isZero(cLo, cHi)) {
    const cExponent = unpack(cLo, cHi, A) - 1;
    addend[0] = 0;
    addend[1] = 0;
    addend[2] = significand[A] << 10;
    addend[3] = (significand[A + 1] << 10) | (significand[A] >>> 22);
    sumUp(sign, exponent, cHi >>> 31, cExponent);
    return;
  }
  roundPack64(sign, exponent, product[3], product[2] | (product[1] | product[0] ? 1 : 0));
}

/**
 * Adds `product` and `addend`, both with their leading one at bit 126 of 128, and rounds.
 *
 * The one with the smaller exponent is shifted right, jamming. That is exact enough: it has at most 106 significant
 * bits, so a bit is lost only from a shift of 21 on, and then the difference keeps its leading one at bit 125 or 126.
 */
function sumUp(productSign: number, productExponent: number, addendSign: number, addendExponent: number): void {
  let exponent = productExponent;
  if (productExponent >= addendExponent) {
    shiftRightJam(addend, productExponent - addendExponent);
  } else {
    shiftRightJam(product, addendExponent - productExponent);
    exponent = addendExponent;
  }
  let sign = productSign;
  if (productSign === addendSign) {
    let carry = 0;
    for (let i = 0; i < 4; i++) {
      const sum = (product[i] >>> 0) + (addend[i] >>> 0) + carry;
      product[i] = sum;
      carry = sum > 0xffff_ffff ? 1 : 0;
    }
  } else {
    let borrow = 0;
    for (let i = 0; i < 4; i++) {
      const difference = (product[i] >>> 0) - (addend[i] >>> 0) - borrow;
      product[i] = difference;
      borrow = difference < 0 ? 1 : 0;
    }
    if (borrow !== 0) {
      sign = addendSign;
      let carry = 1;
      for (let i = 0; i < 4; i++) {
        const negated = (~product[i] >>> 0) + carry;
        product[i] = negated;
        carry = negated > 0xffff_ffff ? 1 : 0;
      }
    }
    if ((product[0] | product[1] | product[2] | product[3]) === 0) {
      setResult(0, state.rounding === RDN ? SIGN : 0);
      return;
    }
    while (product[3] === 0) {
      // whole words first: a cancellation takes away up to 126 bits
      product[3] = product[2];
      product[2] = product[1];
      product[1] = product[0];
      product[0] = 0;
      exponent -= 32;
    }
    const shift = Math.clz32(product[3]) - 1;
    if (shift > 0) {
      shiftLeft(product, shift);
      exponent -= shift;
    }
  }
  // normalizeRoundPack64 takes back the one bit by which a sum may be too long (or a word shift may have gone too far).
  normalizeRoundPack64(sign, exponent, product[3], product[2] | (product[1] | product[0] ? 1 : 0));
}

/** Shifts four words left by 1..31 bits. */
function shiftLeft(wide: Int32Array, count: number): void {
  for (let i = 3; i > 0; i--) wide[i] = (wide[i] << count) | (wide[i - 1] >>> (32 - count));
  wide[0] <<= count;
}

/** Shifts four words right by `count` >= 0 bits; what falls out is kept as bit 0. */
function shiftRightJam(wide: Int32Array, count: number): void {
  const whole = Math.min(count >>> 5, 4);
  const bits = count & 31;
  let lost = 0;
  for (let i = 0; i < whole; i++) lost |= wide[i];
  for (let i = 0; i < 4; i++) wide[i] = i + whole < 4 ? wide[i + whole] : 0;
  if (bits !== 0) {
    lost |= wide[0] << (32 - bits);
    for (let i = 0; i < 3; i++) wide[i] = (wide[i] >>> bits) | (wide[i + 1] << (32 - bits));
    wide[3] >>>= bits;
  }
  if (lost !== 0) wide[0] |= 1;
}
