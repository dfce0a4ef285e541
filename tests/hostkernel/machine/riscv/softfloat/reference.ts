/**
 * What the manual says, on exact rationals: slow, and written to be read beside IEEE-754 rather than beside our code.
 *
 * A finite non-zero value is a sign and a `Magnitude`, of which any number of bits can be asked. `round` is the only place that knows
 * formats and modes. Sources: IEEE 754-2019, sections 4.3, 5 and 7; RISC-V unprivileged specification, F and D 2.2.
 */

export const NX = 1;
export const UF = 2;
export const OF = 4;
export const DZ = 8;
export const NV = 16;

export interface Format {
  readonly precision: number; // bits of a significand, the leading one included
  readonly minExponent: number; // of the smallest normal
  readonly maxExponent: number;
  readonly width: number;
}

export const F32: Format = { precision: 24, minExponent: -126, maxExponent: 127, width: 32 };
export const F64: Format = { precision: 53, minExponent: -1022, maxExponent: 1023, width: 64 };

/** A positive real number: 2^exponent <= value < 2^(exponent + 1). */
export interface Magnitude {
  readonly exponent: number;
  /** floor(value * 2^scale), and whether that was an integer. */
  floor(scale: number): { readonly integer: bigint; readonly exact: boolean };
}

export interface Outcome {
  readonly bits: bigint; // booleans and integers too, as an unsigned number of their width
  readonly flags: number;
}

type Parsed =
  | { readonly kind: 'nan'; readonly signalling: boolean }
  | { readonly kind: 'infinity'; readonly negative: boolean }
  | { readonly kind: 'finite'; readonly negative: boolean; readonly numerator: bigint; readonly denominator: bigint };

const bitLength = (n: bigint): number => n.toString(16).length * 4 - Math.clz32(Number.parseInt(n.toString(16)[0], 16)) + 28;

/** numerator / denominator, both positive. */
export function rational(numerator: bigint, denominator: bigint): Magnitude {
  let exponent = bitLength(numerator) - bitLength(denominator);
  if (exponent >= 0 ? numerator < denominator << BigInt(exponent) : numerator << BigInt(-exponent) < denominator) exponent--;
  return {
    exponent,
    floor(scale) {
      const over = scale >= 0 ? numerator << BigInt(scale) : numerator;
      const under = scale >= 0 ? denominator : denominator << BigInt(-scale);
      return { integer: over / under, exact: over % under === 0n };
    },
  };
}

/** The square root of another magnitude. */
function squareRootOf(radicand: Magnitude): Magnitude {
  return {
    exponent: Math.floor(radicand.exponent / 2),
    floor(scale) {
      const { integer: square, exact } = radicand.floor(2 * scale);
      let root = 1n << BigInt(Math.ceil(bitLength(square) / 2)); // not below the root; Newton's steps fall from there
      for (;;) {
        const next = (root + square / root) >> 1n;
        if (next >= root) break;
        root = next;
      }
      return { integer: root, exact: exact && root * root === square };
    },
  };
}

/** The multiple of 2^quantum that `mode` chooses, in units of 2^quantum. */
function roundTo(quantum: number, negative: boolean, value: Magnitude, mode: number): { units: bigint; exact: boolean } {
  const { integer, exact } = value.floor(1 - quantum);
  const units = integer >> 1n;
  const atLeastHalf = (integer & 1n) === 1n;
  const isExact = exact && !atLeastHalf;
  const isHalf = exact && atLeastHalf;
  const up = [
    isHalf ? (units & 1n) === 1n : atLeastHalf, // RNE
    false, // RTZ
    negative && !isExact, // RDN
    !negative && !isExact, // RUP
    atLeastHalf, // RMM
  ][mode];
  return { units: up ? units + 1n : units, exact: isExact };
}

const signBit = (format: Format, negative: boolean): bigint => (negative ? 1n << BigInt(format.width - 1) : 0n);
const infinityBits = (format: Format): bigint => BigInt(2 * format.maxExponent + 1) << BigInt(format.precision - 1);
const nanBits = (format: Format): bigint => infinityBits(format) | (1n << BigInt(format.precision - 2));

/** Rounds a value to a format; underflow means tiny after rounding, and inexact. */
export function round(format: Format, negative: boolean, value: Magnitude, mode: number): Outcome {
  const unlimited = value.exponent - format.precision + 1;
  const smallest = format.minExponent - format.precision + 1;
  const quantum = Math.max(unlimited, smallest);
  const { units, exact } = roundTo(quantum, negative, value, mode);
  let flags = exact ? 0 : NX;
  if (!exact && value.exponent < format.minExponent) {
    const asIfUnlimited = roundTo(unlimited, negative, value, mode).units;
    if (bitLength(asIfUnlimited) + unlimited <= format.minExponent) flags |= UF;
  }
  if (bitLength(units) + quantum > format.maxExponent + 1) {
    const largest = mode === 1 || mode === (negative ? 3 : 2);
    return { bits: signBit(format, negative) | (infinityBits(format) - (largest ? 1n : 0n)), flags: OF | NX };
  }
  // The leading one of a normal number adds itself to the exponent field.
  const field = BigInt(quantum - smallest) << BigInt(format.precision - 1);
  return { bits: signBit(format, negative) | (field + units), flags };
}

export function parse(format: Format, bits: bigint): Parsed {
  const negative = bits >> BigInt(format.width - 1) === 1n;
  const fraction = bits & ((1n << BigInt(format.precision - 1)) - 1n);
  const field = Number((bits >> BigInt(format.precision - 1)) & BigInt(2 * format.maxExponent + 1));
  if (field === 2 * format.maxExponent + 1) {
    if (fraction === 0n) return { kind: 'infinity', negative };
    return { kind: 'nan', signalling: fraction >> BigInt(format.precision - 2) === 0n };
  }
  const significand = field === 0 ? fraction : fraction | (1n << BigInt(format.precision - 1));
  const exponent = Math.max(field, 1) + format.minExponent - format.precision;
  if (exponent >= 0) return { kind: 'finite', negative, numerator: significand << BigInt(exponent), denominator: 1n };
  return { kind: 'finite', negative, numerator: significand, denominator: 1n << BigInt(-exponent) };
}

const signed = (x: Extract<Parsed, { kind: 'finite' }>): bigint => (x.negative ? -x.numerator : x.numerator);
const invalid = (format: Format): Outcome => ({ bits: nanBits(format), flags: NV });
const zero = (format: Format, negative: boolean): Outcome => ({ bits: signBit(format, negative), flags: 0 });
const infinity = (format: Format, negative: boolean, flags = 0): Outcome => ({
  bits: signBit(format, negative) | infinityBits(format),
  flags,
});

function roundSigned(format: Format, numerator: bigint, denominator: bigint, mode: number): Outcome {
  return round(format, numerator < 0n, rational(numerator < 0n ? -numerator : numerator, denominator), mode);
}

function nanAmong(format: Format, operands: readonly Parsed[]): Outcome | null {
  if (!operands.some((x) => x.kind === 'nan')) return null;
  return { bits: nanBits(format), flags: operands.some((x) => x.kind === 'nan' && x.signalling) ? NV : 0 };
}

/** a * b + c, the operands already negated as the instruction wants. */
export function fma(format: Format, mode: number, aBits: bigint, bBits: bigint, cBits: bigint): Outcome {
  const [a, b, c] = [aBits, bBits, cBits].map((bits) => parse(format, bits));
  const isZero = (x: Parsed): boolean => x.kind === 'finite' && x.numerator === 0n;
  if ((a.kind === 'infinity' && isZero(b)) || (b.kind === 'infinity' && isZero(a))) return invalid(format);
  const nan = nanAmong(format, [a, b, c]);
  if (nan !== null || a.kind === 'nan' || b.kind === 'nan' || c.kind === 'nan') return nan ?? invalid(format);
  const negative = a.negative !== b.negative;
  if (a.kind === 'infinity' || b.kind === 'infinity')
    return c.kind === 'infinity' && c.negative !== negative ? invalid(format) : infinity(format, negative);
  if (c.kind === 'infinity') return infinity(format, c.negative);
  const denominator = a.denominator * b.denominator * c.denominator;
  const sum = signed(a) * signed(b) * c.denominator + signed(c) * a.denominator * b.denominator;
  if (sum !== 0n) return roundSigned(format, sum, denominator, mode);
  const zerosOfOneSign = isZero(c) && (isZero(a) || isZero(b)) && c.negative === negative;
  return zero(format, zerosOfOneSign ? negative : mode === 2);
}

export function add(format: Format, mode: number, aBits: bigint, bBits: bigint): Outcome {
  const [a, b] = [parse(format, aBits), parse(format, bBits)];
  const nan = nanAmong(format, [a, b]);
  if (nan !== null || a.kind === 'nan' || b.kind === 'nan') return nan ?? invalid(format);
  if (a.kind === 'infinity') return b.kind === 'infinity' && a.negative !== b.negative ? invalid(format) : infinity(format, a.negative);
  if (b.kind === 'infinity') return infinity(format, b.negative);
  const sum = signed(a) * b.denominator + signed(b) * a.denominator;
  if (sum !== 0n) return roundSigned(format, sum, a.denominator * b.denominator, mode);
  return zero(format, a.numerator === 0n && a.negative === b.negative ? a.negative : mode === 2);
}

export function multiply(format: Format, mode: number, aBits: bigint, bBits: bigint): Outcome {
  const [a, b] = [parse(format, aBits), parse(format, bBits)];
  const nan = nanAmong(format, [a, b]);
  if (nan !== null || a.kind === 'nan' || b.kind === 'nan') return nan ?? invalid(format);
  const negative = a.negative !== b.negative;
  if (a.kind === 'infinity' || b.kind === 'infinity') {
    const byZero = (a.kind === 'finite' && a.numerator === 0n) || (b.kind === 'finite' && b.numerator === 0n);
    return byZero ? invalid(format) : infinity(format, negative);
  }
  const product = a.numerator * b.numerator;
  return product === 0n ? zero(format, negative) : round(format, negative, rational(product, a.denominator * b.denominator), mode);
}

export function divide(format: Format, mode: number, aBits: bigint, bBits: bigint): Outcome {
  const [a, b] = [parse(format, aBits), parse(format, bBits)];
  const nan = nanAmong(format, [a, b]);
  if (nan !== null || a.kind === 'nan' || b.kind === 'nan') return nan ?? invalid(format);
  const negative = a.negative !== b.negative;
  if (a.kind === 'infinity') return b.kind === 'infinity' ? invalid(format) : infinity(format, negative);
  if (b.kind === 'infinity') return zero(format, negative);
  if (b.numerator === 0n) return a.numerator === 0n ? invalid(format) : infinity(format, negative, DZ);
  if (a.numerator === 0n) return zero(format, negative);
  return round(format, negative, rational(a.numerator * b.denominator, a.denominator * b.numerator), mode);
}

export function squareRoot(format: Format, mode: number, bits: bigint): Outcome {
  const a = parse(format, bits);
  if (a.kind === 'nan') return { bits: nanBits(format), flags: a.signalling ? NV : 0 };
  if (a.kind === 'finite' && a.numerator === 0n) return { bits, flags: 0 };
  if (a.negative) return invalid(format);
  return a.kind === 'infinity' ? { bits, flags: 0 } : round(format, false, squareRootOf(rational(a.numerator, a.denominator)), mode);
}

/** From one format to another. */
export function convert(from: Format, to: Format, mode: number, bits: bigint): Outcome {
  const a = parse(from, bits);
  if (a.kind === 'nan') return { bits: nanBits(to), flags: a.signalling ? NV : 0 };
  if (a.kind === 'infinity') return infinity(to, a.negative);
  return a.numerator === 0n ? zero(to, a.negative) : round(to, a.negative, rational(a.numerator, a.denominator), mode);
}

export function fromInteger(to: Format, mode: number, integer: bigint): Outcome {
  return integer === 0n ? zero(to, false) : roundSigned(to, integer, 1n, mode);
}

/** To an integer in [min, max]; `bits` is its two's complement of `width` bits. */
export function toInteger(from: Format, mode: number, bits: bigint, min: bigint, max: bigint, width: number): Outcome {
  const a = parse(from, bits);
  if (a.kind === 'nan') return { bits: BigInt.asUintN(width, max), flags: NV };
  if (a.kind === 'infinity') return { bits: BigInt.asUintN(width, a.negative ? min : max), flags: NV };
  if (a.numerator === 0n) return { bits: 0n, flags: 0 };
  const { units, exact } = roundTo(0, a.negative, rational(a.numerator, a.denominator), mode);
  const integer = a.negative ? -units : units;
  if (integer < min || integer > max) return { bits: BigInt.asUintN(width, integer < min ? min : max), flags: NV };
  return { bits: BigInt.asUintN(width, integer), flags: exact ? 0 : NX };
}

/** -1, 0 or 1; null if there is a NaN. Zeros are equal. */
function order(a: Parsed, b: Parsed): number | null {
  if (a.kind === 'nan' || b.kind === 'nan') return null;
  const rank = (x: Parsed): number => (x.kind === 'infinity' ? (x.negative ? -1 : 1) : 0);
  if (rank(a) !== rank(b)) return rank(a) < rank(b) ? -1 : 1;
  if (a.kind !== 'finite' || b.kind !== 'finite') return 0;
  const difference = signed(a) * b.denominator - signed(b) * a.denominator;
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

export function compare(format: Format, relation: 'eq' | 'lt' | 'le', aBits: bigint, bBits: bigint): Outcome {
  const [a, b] = [parse(format, aBits), parse(format, bBits)];
  const ordering = order(a, b);
  if (ordering === null) {
    const signalling = [a, b].some((x) => x.kind === 'nan' && x.signalling);
    return { bits: 0n, flags: relation !== 'eq' || signalling ? NV : 0 };
  }
  const holds = relation === 'eq' ? ordering === 0 : relation === 'lt' ? ordering < 0 : ordering <= 0;
  return { bits: holds ? 1n : 0n, flags: 0 };
}

/** The smaller or the larger one; sign -1 or 1. */
export function extreme(format: Format, sign: -1 | 1, aBits: bigint, bBits: bigint): Outcome {
  const [a, b] = [parse(format, aBits), parse(format, bBits)];
  const flags = [a, b].some((x) => x.kind === 'nan' && x.signalling) ? NV : 0;
  if (a.kind === 'nan' && b.kind === 'nan') return { bits: nanBits(format), flags };
  if (a.kind === 'nan') return { bits: bBits, flags };
  if (b.kind === 'nan') return { bits: aBits, flags };
  const ordering = order(a, b);
  if (ordering === 0) return { bits: a.negative === sign < 0 ? aBits : bBits, flags };
  return { bits: ordering === sign ? aBits : bBits, flags };
}

export function classify(format: Format, bits: bigint): Outcome {
  const a = parse(format, bits);
  const mirrored = (negative: boolean, positive: number): Outcome => ({ bits: 1n << BigInt(negative ? 7 - positive : positive), flags: 0 });
  if (a.kind === 'nan') return { bits: a.signalling ? 1n << 8n : 1n << 9n, flags: 0 };
  if (a.kind === 'infinity') return mirrored(a.negative, 7);
  if (a.numerator === 0n) return mirrored(a.negative, 4);
  return mirrored(a.negative, rational(a.numerator, a.denominator).exponent < format.minExponent ? 5 : 6);
}
