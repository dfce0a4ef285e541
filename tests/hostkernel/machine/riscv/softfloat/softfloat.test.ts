/** The cases a person would get wrong, and the promises of the native paths. */

import { beforeEach, describe, expect, test } from 'vitest';
import {
  f32Add,
  f32Div,
  f32FromF64,
  f32Madd,
  f32Max,
  f32Min,
  f32Mul,
  f64Add,
  f64AddNative,
  f64Div,
  f64DivNative,
  f64Eq,
  f64FmaNative,
  f64FromF32,
  f64Lt,
  f64Madd,
  f64Mul,
  f64MulNative,
  f64Nmadd,
  f64Nmsub,
  f64SqrtNative,
  f64SubNative,
  f64ToI64,
  f64ToU32,
  NV,
  NX,
  OF,
  RDN,
  result,
  RMM,
  RNE,
  RTZ,
  RUP,
  state,
  UF,
} from '../../../../../hostkernel/machine/riscv/softfloat/index.ts';

const halves = new Int32Array(2);
const number = new Float64Array(halves.buffer);

/** Spreads numbers into the halves the routines take. */
function split(...values: readonly number[]): number[] {
  return values.flatMap((value) => {
    number[0] = value;
    return [halves[0], halves[1]];
  });
}

function resultNumber(): number {
  halves.set(result);
  return number[0];
}

const call2 = (f: typeof f64Add, a: number, b: number): number => {
  const [aLo, aHi, bLo, bHi] = split(a, b);
  f(aLo, aHi, bLo, bHi);
  return resultNumber();
};
const call3 = (f: typeof f64Madd, a: number, b: number, c: number): number => {
  const [aLo, aHi, bLo, bHi, cLo, cHi] = split(a, b, c);
  f(aLo, aHi, bLo, bHi, cLo, cHi);
  return resultNumber();
};

beforeEach(() => {
  state.flags = 0;
  state.rounding = RNE;
});

describe('underflow', () => {
  test('a value that rounds up to the smallest normal only for want of exponents is tiny', () => {
    expect(call2(f64Mul, 2 ** -1022, 1 - 2 ** -53)).toBe(2 ** -1022);
    expect(state.flags).toBe(UF | NX);
  });
  test('a value that would round up to it with any exponent is not tiny', () => {
    expect(call3(f64Nmsub, 2 ** -600, 2 ** -600, 2 ** -1022)).toBe(2 ** -1022);
    expect(state.flags).toBe(NX);
  });
  test('the same for singles, whatever rounds them', () => {
    const almostTwo = 0x3fff_ffff;
    const smallest = 0x0080_0000; // of the normal ones
    const tied = [
      () => f32Mul(smallest, 0x3f7f_ffff),
      () => f32Div(0x00ff_ffff, 0x4000_0000),
      () => f32Madd(almostTwo, smallest >> 1, 0),
      () => f32FromF64(0xe000_0000 | 0, 0x380f_ffff),
    ];
    for (const operation of tied) {
      state.flags = 0;
      expect(operation()).toBe(smallest);
      expect(state.flags).toBe(UF | NX);
    }
    state.flags = 0;
    expect(f32FromF64(-1, 0x380f_ffff)).toBe(smallest);
    expect(state.flags).toBe(NX);
  });
  test('a quotient that is rounded up to the smallest normal', () => {
    expect(call2(f64Div, (2 - 2 ** -52) * 2 ** -1022, 2)).toBe(2 ** -1022);
    expect(state.flags).toBe(UF | NX);
  });
  test('an exact subnormal raises nothing', () => {
    expect(call2(f64Mul, 2 ** -1022, 0.5)).toBe(2 ** -1023);
    expect(state.flags).toBe(0);
  });
});

describe('overflow', () => {
  test.each([
    [RNE, Infinity],
    [RTZ, Number.MAX_VALUE],
    [RDN, Number.MAX_VALUE],
    [RUP, Infinity],
    [RMM, Infinity],
  ])('in mode %i the largest number doubled is %d', (mode, expected) => {
    state.rounding = mode;
    expect(call2(f64Add, Number.MAX_VALUE, Number.MAX_VALUE)).toBe(expected);
    expect(state.flags).toBe(OF | NX);
  });
});

describe('one rounding, not two', () => {
  test('a tiny addend decides what a product between two singles becomes', () => {
    const [x, y] = [0x41f8_0000, 0x4984_2108]; // 31 * 1082401 = 2^25 - 1
    const tiny = 0x2b80_0000; // 2^-40, lost in a double
    expect(f32Madd(x, y, tiny)).toBe(0x4c00_0000);
    expect(f32Madd(x, y, tiny | (1 << 31))).toBe(0x4bff_ffff);
    expect(state.flags).toBe(NX);
  });
  test('and a product between two doubles', () => {
    const [x, y] = [27, 667_199_944_795_629]; // 2^54 - 1
    expect(call3(f64Madd, x, y, 2 ** -80)).toBe(2 ** 54);
    expect(call3(f64Madd, x, y, -(2 ** -80))).toBe(2 ** 54 - 2);
    expect(state.flags).toBe(NX);
  });
});

describe('NaN', () => {
  test('zero times infinity is invalid even if a quiet NaN is added', () => {
    expect(call3(f64Madd, 0, Infinity, Number.NaN)).toBeNaN();
    expect(state.flags).toBe(NV);
    state.flags = 0;
    expect(f32Madd(0, 0x7f80_0000, 0x7fc0_0000)).toBe(0x7fc0_0000);
    expect(state.flags).toBe(NV);
  });
  test('no payload and no sign survives', () => {
    f64Add(0x1234, 0xfff8_0001 | 0, 0, 0);
    expect([...result]).toEqual([0, 0x7ff8_0000]);
    f64FromF32(0xffc0_1234 | 0);
    expect([...result]).toEqual([0, 0x7ff8_0000]);
    expect(state.flags).toBe(0);
  });
  test('equality is quiet, order is not', () => {
    expect(f64Eq(0, 0x7ff8_0000, 0, 0)).toBe(0);
    expect(state.flags).toBe(0);
    expect(f64Lt(0, 0x7ff8_0000, 0, 0)).toBe(0);
    expect(state.flags).toBe(NV);
  });
  test('a minimum prefers the number, and -0 to +0', () => {
    expect(f32Min(0x7f80_0001, 0x3f80_0000)).toBe(0x3f80_0000);
    expect(state.flags).toBe(NV);
    expect(f32Min(0, 0x8000_0000 | 0)).toBe(0x8000_0000 | 0);
    expect(f32Max(0x8000_0000 | 0, 0)).toBe(0);
  });
});

describe('the sign of zero', () => {
  test('a difference of equals is -0 only when rounding down', () => {
    expect(call2(f64Add, 1, -1)).toBe(0);
    state.rounding = RDN;
    expect(call2(f64Add, 1, -1)).toBe(-0);
    expect(f32Add(0x3f80_0000, 0xbf80_0000 | 0)).toBe(0x8000_0000 | 0);
  });
  test('fnmadd negates both zeros', () => {
    expect(call3(f64Nmadd, 0, 1, 0)).toBe(-0);
  });
});

describe('integers', () => {
  const toU32 = (x: number): number => {
    const [lo, hi] = split(x);
    return f64ToU32(lo, hi);
  };
  test('a negative fraction that rounds to zero fits into an unsigned integer', () => {
    state.rounding = RTZ;
    expect(toU32(-0.99)).toBe(0);
    expect(state.flags).toBe(NX);
  });
  test('one that rounds to -1 does not', () => {
    state.rounding = RMM;
    expect(toU32(-0.5)).toBe(0);
    expect(state.flags).toBe(NV);
  });
  test('rounding up can leave the range, and then nothing is inexact', () => {
    state.rounding = RUP;
    expect(toU32(2 ** 32 - 0.5)).toBe(-1);
    expect(state.flags).toBe(NV);
  });
  test('2^63 is beyond a 64-bit integer, -2^63 is not', () => {
    const [lo, hi] = split(2 ** 63);
    f64ToI64(lo, hi);
    expect([...result]).toEqual([-1, 0x7fff_ffff]);
    expect(state.flags).toBe(NV);
    state.flags = 0;
    f64ToI64(lo, hi ^ (1 << 31));
    expect([...result]).toEqual([0, -0x8000_0000]);
    expect(state.flags).toBe(0);
  });
});

describe('native paths', () => {
  const third = 1 / 3;

  test.each([
    ['NX has accrued', NX],
    ['NX has not accrued', 0],
  ])('take ordinary operands when %s', (_case, accrued) => {
    const d = Float64Array.of(0, 1.5, third, 10, 3, 1);
    state.flags = accrued;
    expect(f64AddNative(d, 0, 1, 2)).toBe(true);
    expect(d[0]).toBe(1.5 + third);
    expect(f64SubNative(d, 0, 1, 2)).toBe(true);
    expect(d[0]).toBe(1.5 - third);
    expect(f64MulNative(d, 0, 2, 3)).toBe(true);
    expect(d[0]).toBe(third * 10);
    expect(f64DivNative(d, 0, 1, 3)).toBe(true);
    expect(d[0]).toBe(1.5 / 10);
    expect(f64SqrtNative(d, 0, 3)).toBe(true);
    expect(d[0]).toBe(Math.sqrt(10));
    expect(f64FmaNative(d, 0, 2, 4, 5, 1, -1)).toBe(true);
    expect(d[0]).toBe(-(2 ** -54)); // third * 3 rounds to 1: rounded twice, this would be 0
    expect(state.flags).toBe(NX);
  });

  test('leave flags alone where everything is exact', () => {
    const d = Float64Array.of(0, 3, 4, 0);
    expect(f64AddNative(d, 0, 1, 2) && f64MulNative(d, 0, 0, 1) && f64DivNative(d, 0, 0, 1)).toBe(true);
    expect(f64SqrtNative(d, 0, 2) && f64FmaNative(d, 0, 1, 2, 3, 1, 1)).toBe(true);
    expect(f64FmaNative(d, 0, 0, 3, 2, 1, 1)).toBe(true); // 12 * 0 + 4
    expect(d[0]).toBe(4);
    expect(state.flags).toBe(0);
  });

  const refused = [
    ['a product at the border of underflow', (d: Float64Array) => f64MulNative(d, 0, 1, 2), 2 ** -1022, 1 - 2 ** -53],
    ['an overflow', (d: Float64Array) => f64AddNative(d, 0, 1, 2), Number.MAX_VALUE, Number.MAX_VALUE],
    ['infinities', (d: Float64Array) => f64SubNative(d, 0, 1, 2), Infinity, 1],
    ['a division by zero', (d: Float64Array) => f64DivNative(d, 0, 1, 2), 1, 0],
    ['a division by infinity', (d: Float64Array) => f64DivNative(d, 0, 1, 2), 1, Infinity],
    ['NaN', (d: Float64Array) => f64FmaNative(d, 0, 1, 2, 2, 1, 1), 0, Number.NaN],
    ['the root of a negative number', (d: Float64Array) => f64SqrtNative(d, 0, 1), -1, 0],
  ] as const;
  test.each(refused)('refuse %s and change nothing', (_case, native, a, b) => {
    for (const accrued of [0, NX]) {
      const d = Float64Array.of(7, a, b);
      state.flags = accrued;
      expect(native(d)).toBe(false);
      expect(d[0]).toBe(7);
      expect(state.flags).toBe(accrued);
    }
  });

  test('refuse every directed mode', () => {
    const d = Float64Array.of(7, 1, 2);
    for (const mode of [RTZ, RDN, RUP, RMM]) {
      state.rounding = mode;
      expect(f64AddNative(d, 0, 1, 2)).toBe(false);
    }
  });

  test('a destination may be an operand', () => {
    const d = Float64Array.of(2, 3, 5);
    expect(f64FmaNative(d, 2, 0, 1, 2, 1, 1)).toBe(true);
    expect(d[2]).toBe(11);
  });
});
