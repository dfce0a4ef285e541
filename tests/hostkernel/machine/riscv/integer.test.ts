/** Every integer instruction without memory or jumps, over random operands, against what the manual says in BigInt. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TRAP_BUDGET } from '../../../../hostkernel/machine/index.ts';
import { RX, Rig, code } from '../rig.ts';
import { auipc, iType, lui, rType } from './assembler.ts';

const CODE = 0x10000;

type Operation = (a: bigint, b: bigint, xlen: number) => bigint;

const signed = (value: bigint, bits: number): bigint => BigInt.asIntN(bits, value);
const unsigned = (value: bigint, bits: number): bigint => BigInt.asUintN(bits, value);
const amount = (b: bigint, xlen: number): bigint => b & BigInt(xlen - 1);
const truth = (holds: boolean): bigint => (holds ? 1n : 0n);

function divide(a: bigint, b: bigint): bigint {
  return b === 0n ? -1n : a / b;
}

function modulo(a: bigint, b: bigint): bigint {
  return b === 0n ? a : a % b;
}

/** Operations of registers of `n` bits; operands come unsigned, results are cut to `n` bits. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  sll: (a, b, n) => a << amount(b, n),
  slt: (a, b, n) => truth(signed(a, n) < signed(b, n)),
  sltu: (a, b, n) => truth(unsigned(a, n) < unsigned(b, n)),
  xor: (a, b) => a ^ b,
  srl: (a, b, n) => unsigned(a, n) >> amount(b, n),
  sra: (a, b, n) => signed(a, n) >> amount(b, n),
  or: (a, b) => a | b,
  and: (a, b) => a & b,
  mul: (a, b) => a * b,
  mulh: (a, b, n) => (signed(a, n) * signed(b, n)) >> BigInt(n),
  mulhsu: (a, b, n) => (signed(a, n) * unsigned(b, n)) >> BigInt(n),
  mulhu: (a, b, n) => (unsigned(a, n) * unsigned(b, n)) >> BigInt(n),
  div: (a, b, n) => divide(signed(a, n), signed(b, n)),
  divu: (a, b, n) => divide(unsigned(a, n), unsigned(b, n)),
  rem: (a, b, n) => modulo(signed(a, n), signed(b, n)),
  remu: (a, b, n) => modulo(unsigned(a, n), unsigned(b, n)),
};

/** funct3 and funct7 of each. */
const REGISTER_FORMS: readonly (readonly [name: string, funct3: number, funct7: number])[] = [
  ['add', 0, 0],
  ['sub', 0, 0x20],
  ['sll', 1, 0],
  ['slt', 2, 0],
  ['sltu', 3, 0],
  ['xor', 4, 0],
  ['srl', 5, 0],
  ['sra', 5, 0x20],
  ['or', 6, 0],
  ['and', 7, 0],
  ['mul', 0, 1],
  ['mulh', 1, 1],
  ['mulhsu', 2, 1],
  ['mulhu', 3, 1],
  ['div', 4, 1],
  ['divu', 5, 1],
  ['rem', 6, 1],
  ['remu', 7, 1],
];
const WORD_FORMS = ['add', 'sub', 'sll', 'srl', 'sra', 'mul', 'div', 'divu', 'rem', 'remu'];
const IMMEDIATE_FORMS: readonly (readonly [name: string, funct3: number])[] = [
  ['add', 0],
  ['slt', 2],
  ['sltu', 3],
  ['xor', 4],
  ['or', 6],
  ['and', 7],
];

/** Operands where carries, signs and quotients change: near powers of two, and anything. */
const operand = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.tuple(fc.bigInt({ min: 0n, max: 64n }), fc.bigInt({ min: -2n, max: 2n })).map(([shift, delta]) => unsigned((1n << shift) + delta, 64)),
  fc.bigInt({ min: -3n, max: 3n }).map((value) => unsigned(value, 64)),
);
const immediate = fc.integer({ min: -2048, max: 2047 });
/** Destination and sources that also coincide. */
const registers = fc.constantFrom([5, 6, 7], [6, 6, 7], [7, 6, 7]);

function rigFor(xlen: 32 | 64): { execute: (word: number, values: readonly (readonly [register: number, value: bigint])[]) => Rig } {
  const rig = new Rig({ xlen });
  const frame = rig.mapNew(CODE, 1, RX);
  return {
    execute: (word, values) => {
      rig.put(frame, 0, code([word]));
      for (const [register, value] of values) rig.setX(register, value);
      rig.machine.hart.setPc(CODE);
      expect(rig.machine.hart.run(1)).toBe(TRAP_BUDGET);
      expect(rig.machine.hart.pc).toBe(CODE + 4);
      expect(rig.x(0)).toBe(0n);
      return rig;
    },
  };
}

for (const xlen of [64, 32] as const) {
  describe(`RV${xlen}`, () => {
    const { execute } = rigFor(xlen);
    const bits = (value: bigint): bigint => unsigned(value, xlen);

    for (const [name, funct3, funct7] of REGISTER_FORMS) {
      test(name, () => {
        fc.assert(
          fc.property(operand, operand, registers, (a, b, [rd, rs1, rs2]) => {
            const rig = execute(rType(0x33, funct3, funct7, rd, rs1, rs2), [
              [rs1, a],
              [rs2, b],
            ]);
            expect(rig.x(rd)).toBe(bits(OPERATIONS[name](bits(a), bits(b), xlen)));
          }),
        );
      });
    }

    for (const [name, funct3] of IMMEDIATE_FORMS) {
      test(`${name}, immediate`, () => {
        fc.assert(
          fc.property(operand, immediate, registers, (a, imm, [rd, rs1]) => {
            const rig = execute(iType(0x13, funct3, rd, rs1, imm), [[rs1, a]]);
            expect(rig.x(rd)).toBe(bits(OPERATIONS[name](bits(a), bits(BigInt(imm)), xlen)));
          }),
        );
      });
    }

    for (const [name, funct3, high] of [
      ['sll', 1, 0],
      ['srl', 5, 0],
      ['sra', 5, 0x400],
    ] as const) {
      test(`${name}, immediate`, () => {
        fc.assert(
          fc.property(operand, fc.integer({ min: 0, max: xlen - 1 }), registers, (a, shift, [rd, rs1]) => {
            const rig = execute(iType(0x13, funct3, rd, rs1, shift | high), [[rs1, a]]);
            expect(rig.x(rd)).toBe(bits(OPERATIONS[name](bits(a), BigInt(shift), xlen)));
          }),
        );
      });
    }

    test('lui and auipc sign-extend their immediate', () => {
      fc.assert(
        fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (imm) => {
          const upper = BigInt(imm & -4096);
          expect(execute(lui(5, imm), []).x(5)).toBe(bits(upper));
          expect(execute(auipc(5, imm), []).x(5)).toBe(bits(BigInt(CODE) + upper));
        }),
      );
    });

    test('a result for x0 is lost', () => {
      for (const word of [
        rType(0x33, 0, 0, 0, 6, 7),
        iType(0x13, 0, 0, 6, 5),
        lui(0, -1),
        rType(0x33, 4, 1, 0, 6, 7),
        iType(0x13, 1, 0, 6, 3),
      ]) {
        expect(
          execute(word, [
            [6, 77n],
            [7, 3n],
          ]).x(0),
        ).toBe(0n);
      }
    });
  });
}

describe('32-bit forms of RV64 sign-extend their result', () => {
  const { execute } = rigFor(64);
  for (const [name, funct3, funct7] of REGISTER_FORMS.filter(([form]) => WORD_FORMS.includes(form))) {
    test(`${name}w`, () => {
      fc.assert(
        fc.property(operand, operand, registers, (a, b, [rd, rs1, rs2]) => {
          const rig = execute(rType(0x3b, funct3, funct7, rd, rs1, rs2), [
            [rs1, a],
            [rs2, b],
          ]);
          const result = OPERATIONS[name](unsigned(a, 32), unsigned(b, 32), 32);
          expect(rig.x(rd)).toBe(unsigned(signed(result, 32), 64));
        }),
      );
    });
  }
  test('addiw and shifts by an immediate', () => {
    fc.assert(
      fc.property(operand, immediate, registers, (a, imm, [rd, rs1]) => {
        const low = unsigned(a, 32);
        const shift = imm & 31;
        const check = (word: number, result: bigint): void => {
          expect(execute(word, [[rs1, a]]).x(rd)).toBe(unsigned(signed(result, 32), 64));
        };
        check(iType(0x1b, 0, rd, rs1, imm), low + BigInt(imm));
        check(iType(0x1b, 1, rd, rs1, shift), low << BigInt(shift));
        check(iType(0x1b, 5, rd, rs1, shift), low >> BigInt(shift));
        check(iType(0x1b, 5, rd, rs1, shift | 0x400), signed(low, 32) >> BigInt(shift));
      }),
    );
  });
});
