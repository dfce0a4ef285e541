/**
 * Every routine under its instruction's name, called with bigint operands, beside the reference for it.
 *
 * Operands and results are unsigned numbers of the width named by `operands` and `result`.
 */

import * as soft from '../../../../../hostkernel/machine/riscv/softfloat/index.ts';
import * as reference from './reference.ts';

export type Kind = 'f32' | 'f64' | 'i32' | 'i64';

export interface Operation {
  readonly name: string;
  readonly operands: readonly Kind[];
  readonly rounds: boolean; // whether the rounding mode can matter
  readonly result: 32 | 64;
  /** Calls the routine in the current mode. @returns its result */
  readonly call: (a: bigint, b: bigint, c: bigint) => bigint;
  readonly expected: (mode: number, a: bigint, b: bigint, c: bigint) => reference.Outcome;
}

const lo = (x: bigint): number => Number(BigInt.asIntN(32, x));
const hi = (x: bigint): number => Number(BigInt.asIntN(32, x >> 32n));
const single = (bits: number): bigint => BigInt(bits >>> 0);
const wide = (compute: () => void): bigint => {
  compute();
  return (BigInt(soft.result[1] >>> 0) << 32n) | BigInt(soft.result[0] >>> 0);
};
const SIGN32 = 1n << 31n;
const SIGN64 = 1n << 63n;
const { F32, F64 } = reference;

type Single1 = (a: number) => number;
type Single2 = (a: number, b: number) => number;
type Single3 = (a: number, b: number, c: number) => number;
type Double2 = (aLo: number, aHi: number, bLo: number, bHi: number) => void;
type Double3 = (aLo: number, aHi: number, bLo: number, bHi: number, cLo: number, cHi: number) => void;
type Rounding2 = (format: reference.Format, mode: number, a: bigint, b: bigint) => reference.Outcome;

function arithmetic(name: string, s: Single2, d: Double2, exact: Rounding2): Operation[] {
  return [
    {
      name: `${name}.s`,
      operands: ['f32', 'f32'],
      rounds: true,
      result: 32,
      call: (a, b) => single(s(lo(a), lo(b))),
      expected: (mode, a, b) => exact(F32, mode, a, b),
    },
    {
      name: `${name}.d`,
      operands: ['f64', 'f64'],
      rounds: true,
      result: 64,
      call: (a, b) => wide(() => d(lo(a), hi(a), lo(b), hi(b))),
      expected: (mode, a, b) => exact(F64, mode, a, b),
    },
  ];
}

function fused(name: string, s: Single3, d: Double3, negateProduct: bigint, negateAddend: bigint): Operation[] {
  return [
    {
      name: `${name}.s`,
      operands: ['f32', 'f32', 'f32'],
      rounds: true,
      result: 32,
      call: (a, b, c) => single(s(lo(a), lo(b), lo(c))),
      expected: (mode, a, b, c) => reference.fma(F32, mode, a ^ (negateProduct * SIGN32), b, c ^ (negateAddend * SIGN32)),
    },
    {
      name: `${name}.d`,
      operands: ['f64', 'f64', 'f64'],
      rounds: true,
      result: 64,
      call: (a, b, c) => wide(() => d(lo(a), hi(a), lo(b), hi(b), lo(c), hi(c))),
      expected: (mode, a, b, c) => reference.fma(F64, mode, a ^ (negateProduct * SIGN64), b, c ^ (negateAddend * SIGN64)),
    },
  ];
}

function extremes(name: string, s: Single2, d: Double2, sign: -1 | 1): Operation[] {
  return arithmetic(name, s, d, (format, _mode, a, b) => reference.extreme(format, sign, a, b)).map((o) => ({ ...o, rounds: false }));
}

function comparison(
  relation: 'eq' | 'lt' | 'le',
  s: Single2,
  d: (aLo: number, aHi: number, bLo: number, bHi: number) => number,
): Operation[] {
  return [
    {
      name: `f${relation}.s`,
      operands: ['f32', 'f32'],
      rounds: false,
      result: 32,
      call: (a, b) => single(s(lo(a), lo(b))),
      expected: (_, a, b) => reference.compare(F32, relation, a, b),
    },
    {
      name: `f${relation}.d`,
      operands: ['f64', 'f64'],
      rounds: false,
      result: 32,
      call: (a, b) => single(d(lo(a), hi(a), lo(b), hi(b))),
      expected: (_, a, b) => reference.compare(F64, relation, a, b),
    },
  ];
}

/** Both directions between a format and an integer type. */
function integer(
  suffix: 'w' | 'wu' | 'l' | 'lu',
  to: { s: (a: bigint) => bigint; d: (a: bigint) => bigint },
  from: { s: (a: bigint) => bigint; d: (a: bigint) => bigint },
): Operation[] {
  const width = suffix.startsWith('w') ? 32 : 64;
  const unsigned = suffix.endsWith('u');
  const min = unsigned ? 0n : -(1n << BigInt(width - 1));
  const max = (1n << BigInt(unsigned ? width : width - 1)) - 1n;
  const value = (bits: bigint): bigint => (unsigned ? bits : BigInt.asIntN(width, bits));
  const formats = [
    ['s', 'f32', F32, 32],
    ['d', 'f64', F64, 64],
  ] as const;
  return formats.flatMap(([letter, kind, format, formatWidth]): Operation[] => [
    {
      name: `fcvt.${suffix}.${letter}`,
      operands: [kind],
      rounds: true,
      result: width,
      call: to[letter],
      expected: (mode, a) => reference.toInteger(format, mode, a, min, max, width),
    },
    {
      name: `fcvt.${letter}.${suffix}`,
      operands: [width === 32 ? 'i32' : 'i64'],
      rounds: width >= format.precision,
      result: formatWidth,
      call: from[letter],
      expected: (mode, a) => reference.fromInteger(format, mode, value(a)),
    },
  ]);
}

const unary = (name: string, kind: 'f32' | 'f64', f: Operation['call'], expected: Operation['expected'], result: 32 | 64): Operation => ({
  name,
  operands: [kind],
  rounds: !name.startsWith('fclass') && name !== 'fcvt.d.s',
  result,
  call: f,
  expected,
});
const bits32 = (f: Single1) => (a: bigint) => single(f(lo(a)));

export const OPERATIONS: readonly Operation[] = [
  ...arithmetic('fadd', soft.f32Add, soft.f64Add, reference.add),
  ...arithmetic('fsub', soft.f32Sub, soft.f64Sub, (f, mode, a, b) => reference.add(f, mode, a, b ^ (1n << BigInt(f.width - 1)))),
  ...arithmetic('fmul', soft.f32Mul, soft.f64Mul, reference.multiply),
  ...arithmetic('fdiv', soft.f32Div, soft.f64Div, reference.divide),
  unary('fsqrt.s', 'f32', bits32(soft.f32Sqrt), (mode, a) => reference.squareRoot(F32, mode, a), 32),
  unary(
    'fsqrt.d',
    'f64',
    (a) => wide(() => soft.f64Sqrt(lo(a), hi(a))),
    (mode, a) => reference.squareRoot(F64, mode, a),
    64,
  ),
  ...fused('fmadd', soft.f32Madd, soft.f64Madd, 0n, 0n),
  ...fused('fmsub', soft.f32Msub, soft.f64Msub, 0n, 1n),
  ...fused('fnmsub', soft.f32Nmsub, soft.f64Nmsub, 1n, 0n),
  ...fused('fnmadd', soft.f32Nmadd, soft.f64Nmadd, 1n, 1n),
  ...extremes('fmin', soft.f32Min, soft.f64Min, -1),
  ...extremes('fmax', soft.f32Max, soft.f64Max, 1),
  ...comparison('eq', soft.f32Eq, soft.f64Eq),
  ...comparison('lt', soft.f32Lt, soft.f64Lt),
  ...comparison('le', soft.f32Le, soft.f64Le),
  unary('fclass.s', 'f32', bits32(soft.f32Classify), (_, a) => reference.classify(F32, a), 32),
  unary(
    'fclass.d',
    'f64',
    (a) => single(soft.f64Classify(lo(a), hi(a))),
    (_, a) => reference.classify(F64, a),
    32,
  ),
  unary(
    'fcvt.s.d',
    'f64',
    (a) => single(soft.f32FromF64(lo(a), hi(a))),
    (mode, a) => reference.convert(F64, F32, mode, a),
    32,
  ),
  unary(
    'fcvt.d.s',
    'f32',
    (a) => wide(() => soft.f64FromF32(lo(a))),
    (mode, a) => reference.convert(F32, F64, mode, a),
    64,
  ),
  ...integer(
    'w',
    { s: bits32(soft.f32ToI32), d: (a) => single(soft.f64ToI32(lo(a), hi(a))) },
    { s: bits32(soft.f32FromI32), d: (a) => wide(() => soft.f64FromI32(lo(a))) },
  ),
  ...integer(
    'wu',
    { s: bits32(soft.f32ToU32), d: (a) => single(soft.f64ToU32(lo(a), hi(a))) },
    { s: bits32(soft.f32FromU32), d: (a) => wide(() => soft.f64FromU32(lo(a))) },
  ),
  ...integer(
    'l',
    { s: (a) => wide(() => soft.f32ToI64(lo(a))), d: (a) => wide(() => soft.f64ToI64(lo(a), hi(a))) },
    { s: (a) => single(soft.f32FromI64(lo(a), hi(a))), d: (a) => wide(() => soft.f64FromI64(lo(a), hi(a))) },
  ),
  ...integer(
    'lu',
    { s: (a) => wide(() => soft.f32ToU64(lo(a))), d: (a) => wide(() => soft.f64ToU64(lo(a), hi(a))) },
    { s: (a) => single(soft.f32FromU64(lo(a), hi(a))), d: (a) => wide(() => soft.f64FromU64(lo(a), hi(a))) },
  ),
];

/** Runs a routine with some flags already accrued. @returns its result, and all flags accrued afterwards */
export function run(operation: Operation, mode: number, accrued: number, a: bigint, b: bigint, c: bigint): reference.Outcome {
  soft.state.rounding = mode;
  soft.state.flags = accrued;
  const bits = operation.call(a, b, c);
  return { bits, flags: soft.state.flags };
}
