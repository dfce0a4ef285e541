/**
 * Operands where floating point goes wrong: the borders of each format, fractions that are nearly a power of two or a
 * midpoint, and triples whose exponents nearly cancel or put the result at a border.
 */

import * as fc from 'fast-check';
import type { Kind } from './operations.ts';
import { F32, F64, type Format } from './reference.ts';

const fieldMax = (format: Format): number => 2 * format.maxExponent + 1;

function assemble(format: Format, negative: boolean, field: number, fraction: bigint): bigint {
  const clamped = Math.min(Math.max(field, 0), fieldMax(format));
  return (
    (negative ? 1n << BigInt(format.width - 1) : 0n) |
    (BigInt(clamped) << BigInt(format.precision - 1)) |
    BigInt.asUintN(format.precision - 1, fraction)
  );
}

/** Bits of a fraction: sparse, runs of ones from either end, and neighbours of these. */
function fraction(format: Format): fc.Arbitrary<bigint> {
  const bits = format.precision - 1;
  const all = (1n << BigInt(bits)) - 1n;
  const place = fc.integer({ min: 0, max: bits }).map(BigInt);
  const pattern = fc.oneof(
    fc.constantFrom(0n, all),
    place.map((i) => 1n << i),
    place.map((i) => all >> i),
    place.map((i) => all << i),
    fc.tuple(place, place).map(([i, j]) => (1n << i) | (1n << j)),
    fc.bigInt({ min: 0n, max: all }),
  );
  return fc.tuple(pattern, fc.constantFrom(0n, 0n, 0n, 1n, -1n, 2n, -2n)).map(([p, nudge]) => p + nudge);
}

/** Exponent fields, most of them at a border or near one. */
function field(format: Format): fc.Arbitrary<number> {
  const bias = format.maxExponent;
  const around = (center: number, spread: number): fc.Arbitrary<number> => fc.integer({ min: center - spread, max: center + spread });
  return fc.oneof(
    around(0, 3),
    around(fieldMax(format), 3),
    around(bias, 3),
    around(bias + 32, 34),
    around(bias, 2 * format.precision),
    around(bias, 160), // of binary64: the range of binary32 and its borders
    fc.integer({ min: 0, max: fieldMax(format) }),
  );
}

const float = (format: Format): fc.Arbitrary<bigint> =>
  fc.tuple(fc.boolean(), field(format), fraction(format)).map(([negative, e, f]) => assemble(format, negative, e, f));

/** Three operands; in most triples the exponents of b and c are chosen by those of a and b. */
function related(format: Format): fc.Arbitrary<[bigint, bigint, bigint]> {
  const bias = format.maxExponent;
  const p = format.precision;
  const fieldOf = (x: bigint): number => Number((x >> BigInt(p - 1)) & BigInt(fieldMax(format)));
  const near = fc.oneof(fc.integer({ min: -2, max: 2 }), fc.integer({ min: -2 * p - 3, max: 2 * p + 3 }));
  const target = fc.oneof(
    fc.constantFrom(0, fieldMax(format), bias).chain((center) => fc.integer({ min: center - p - 3, max: center + 3 })),
    near.map((n) => bias + n),
  );
  const relation = fc.constantFrom('free', 'near', 'product', 'quotient', 'mirror', 'midpoint');
  return fc
    .tuple(float(format), float(format), float(format), relation, near, target)
    .map(([a, b, c, kind, distance, wanted]): [bigint, bigint, bigint] => {
      const withField = (x: bigint, e: number): bigint => assemble(format, x >> BigInt(format.width - 1) === 1n, e, x);
      switch (kind) {
        case 'near':
          return [a, withField(b, fieldOf(a) + distance), withField(c, 2 * fieldOf(a) + distance - bias)];
        case 'product': {
          const second = withField(b, wanted - fieldOf(a) + bias);
          return [a, second, withField(c, fieldOf(a) + fieldOf(second) - bias + distance)];
        }
        case 'quotient':
          return [a, withField(b, fieldOf(a) - wanted + bias), c];
        case 'mirror': // b is -a or next to it; c is the negated product with one, or next to it
          return [
            a,
            BigInt.asUintN(format.width, (a ^ (1n << BigInt(format.width - 1))) + BigInt(Math.trunc(distance / 8))),
            withField(a, 2 * fieldOf(a) - bias),
          ];
        case 'midpoint': {
          // a and b odd integers (but for their exponents) with a product of p + 1 bits: between two numbers. c is far below.
          const factor = BigInt.asUintN(4, a) | 17n;
          const other = ((3n << BigInt(p - 1)) / factor) | 1n;
          const first = withField(factor << BigInt(p - 5), bias + Math.trunc(distance / 8));
          const second = withField(other << BigInt(p - other.toString(2).length), bias);
          return [first, second, withField(c, fieldOf(first) - Math.abs(wanted - bias) - p)];
        }
        default:
          return [a, b, c];
      }
    });
}

function integers(width: number): fc.Arbitrary<bigint> {
  const place = fc.integer({ min: 0, max: width }).map(BigInt);
  return fc
    .oneof(
      fc.tuple(place, fc.constantFrom(-2n, -1n, 0n, 1n, 2n)).map(([i, nudge]) => (1n << i) + nudge),
      fc.tuple(place, place, place).map(([i, j, k]) => (1n << i) + (1n << j) - (1n << k)),
      fc.tuple(fc.bigInt({ min: 0n, max: (1n << BigInt(width)) - 1n }), place).map(([n, i]) => n >> i),
    )
    .map((n) => BigInt.asUintN(width, n));
}

/** Operand triples for an operation; those it does not take are ignored. */
export function operandsFor(kinds: readonly Kind[]): fc.Arbitrary<[bigint, bigint, bigint]> {
  const none = fc.constant(0n);
  switch (kinds[0]) {
    case 'f32':
      return related(F32);
    case 'f64':
      return related(F64);
    default:
      return fc.tuple(integers(kinds[0] === 'i32' ? 32 : 64), none, none);
  }
}
