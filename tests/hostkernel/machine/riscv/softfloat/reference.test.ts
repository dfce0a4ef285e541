/** Our routines, and the vectors of a second judge, against the manual on exact rationals. */

import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { operandsFor } from './operands.ts';
import { OPERATIONS, run } from './operations.ts';
import type { Outcome } from './reference.ts';

const ALL_FLAGS_BUT_INEXACT = 30;
const INEXACT = 1;

/** Fails with `what`; looks first, because an expectation costs more than the rest of a case. */
function same(actual: Outcome, expected: Outcome, what: string): void {
  if (actual.bits !== expected.bits || actual.flags !== expected.flags) expect(actual, what).toEqual(expected);
}

test.each(OPERATIONS.map((operation) => [operation.name, operation] as const))('%s agrees with exact arithmetic', (_name, operation) => {
  const mode = fc.integer({ min: 0, max: 4 });
  fc.assert(
    fc.property(operandsFor(operation.operands), mode, ([a, b, c], rounding) => {
      const expected = operation.expected(rounding, a, b, c);
      // What has accrued decides between the native paths: with NX there is nothing to find out.
      for (const accrued of [0, INEXACT, ALL_FLAGS_BUT_INEXACT]) {
        const actual = run(operation, rounding, accrued, a, b, c);
        same(actual, { ...expected, flags: expected.flags | accrued }, `mode ${rounding}, accrued ${accrued}`);
      }
    }),
    { numRuns: 2000 },
  );
});

/**
 * vectors.txt: what riscv64 instructions did under qemu-riscv64 7.2, chosen so that each combination of operand classes and flags occurs.
 * Per instruction a line `# name`, then lines `operands modes:result/flags ...`, all in hexadecimal; `modes` lists the rounding
 * modes (0 RNE .. 4 RMM) with that outcome.
 */
const sections = readFileSync(new URL('vectors.txt', import.meta.url), 'utf8')
  .split('# ')
  .slice(1);

test.each(sections.map((section) => [section.slice(0, section.indexOf('\n')), section] as const))(
  '%s agrees with qemu in every mode, and so does the reference',
  (name, section) => {
    const operation = OPERATIONS.find((o) => o.name === name);
    if (operation === undefined) throw new Error(`no routine for ${name}`);
    for (const line of section.trimEnd().split('\n').slice(1)) {
      const fields = line.split(' ');
      const [a, b, c] = [0, 1, 2].map((i) => BigInt(i < operation.operands.length ? `0x${fields[i]}` : 0));
      for (const group of fields.slice(operation.operands.length)) {
        const [modes, bits, flags] = group.split(/[:/]/);
        const expected = { bits: BigInt(`0x${bits}`), flags: Number.parseInt(flags, 16) };
        for (let i = 0; i < modes.length; i++) {
          const mode = Number(modes[i]);
          same(operation.expected(mode, a, b, c), expected, `reference: ${line}`);
          same(run(operation, mode, 0, a, b, c), expected, line);
          same(run(operation, mode, INEXACT, a, b, c), { ...expected, flags: expected.flags | INEXACT }, line);
        }
      }
    }
  },
);

test('every routine has vectors', () => {
  expect(sections.map((section) => section.slice(0, section.indexOf('\n'))).sort()).toEqual(OPERATIONS.map((o) => o.name).sort());
});
