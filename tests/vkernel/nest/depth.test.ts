/** The same programs in a kernel in a kernel in a kernel: same output, same end, and everybody has his frames back. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { elf, nestOf } from './rig.ts';

const program = (name: string): Uint8Array => readFileSync(new URL(`../../../userland/programs/elf/${name}`, import.meta.url));

const CASES: readonly (readonly [name: string, xlen: 32 | 64, vpte: string | undefined, args: readonly string[]])[] = [
  ['seed-2006-rv64', 64, 'vpte-2006', []],
  ['seed-2006-rv64', 64, 'vpte-2006', ['invalid']],
  ['seed-2006-rv32', 32, 'vpte-2006', []],
  ['seed-modern-rv64', 64, undefined, []],
  ['seed-modern-rv64', 64, undefined, ['inval']],
  ['seed-modern-rv32', 32, undefined, []],
  ['hello-rv64', 64, undefined, []],
  ['numbers-rv64', 64, undefined, []],
];

describe.each(CASES)('%s, %i bits, %s %j', (name, xlen, vpte, args) => {
  const at = (depth: number): { output: string; status: unknown } => {
    const made = nestOf(depth, elf(program(name), [name, ...args]), { xlen, ...(vpte === undefined ? {} : { vpte }) });
    const status = made.finish();
    // User space is a page shorter in a kernel in a kernel, so addresses chosen from its middle differ.
    return {
      output: made.output(),
      status: 'code' in status ? status : { signal: status.signal, access: status.access, refusal: status.refusal },
    };
  };
  const direct = at(0);

  // Arithmetic takes long, and is the same computation at any depth.
  test.each(name.startsWith('numbers') ? [2] : [1, 2, 3])('depth %i', (depth) => {
    expect(direct.output).not.toBe('');
    expect(at(depth)).toEqual(direct);
  });
});
