import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import * as opcodes from '../../../../hostkernel/machine/riscv/opcodes.ts';

const numbers = new Map(
  Object.entries(opcodes).flatMap(([name, value]) => (typeof value === 'number' && name.startsWith('OP_') ? [[name.slice(3), value]] : [])),
);

/** The labels of an interpreter's switch, each with the name in its comment. */
function labelsOf(file: string): [number: number, name: string][] {
  const source = readFileSync(new URL(`../../../../hostkernel/machine/riscv/${file}`, import.meta.url), 'utf8');
  return [...source.matchAll(/case (\d+): (?:\{\s*)?\/\/ ([A-Z0-9_]+)/g)].map((match) => [Number(match[1]), match[2]]);
}

test('operations are numbered densely from 0', () => {
  expect([...numbers.values()].toSorted((a, b) => a - b)).toEqual(Array.from({ length: numbers.size }, (_, i) => i));
});

test('the RV64 interpreter has a label of the right number for every operation', () => {
  expect(new Map(labelsOf('interpret64.ts').map(([number, name]) => [name, number]))).toEqual(numbers);
});

test('labels of the RV32 interpreter have the right numbers', () => {
  const wideOnly = ['LD', 'SD', 'LWU', 'ADDIW', 'ADDW', 'SUBW', 'MULW', 'SLLI_HIGH', 'SRLI_HIGH', 'SRAI_HIGH'];
  wideOnly.push('SLLIW', 'SRLIW', 'SRAIW', 'SLLW', 'SRLW', 'SRAW');
  const expected = new Map([...numbers].filter(([name]) => !wideOnly.includes(name)));
  expect(new Map(labelsOf('interpret32.ts').map(([number, name]) => [name, number]))).toEqual(expected);
});
