/** Whatever goes wrong between power-on and the end of the program ends in one line and a failing status, never in a hang. */
import { readFileSync } from 'node:fs';
import { describe, expect, test, vi } from 'vitest';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { compileLayout, layoutByName, Machine, type PageTableFormat } from '../../hostkernel/machine/index.ts';
import { shellStatus } from '../../vkernel/cli/run.ts';
import { TERMINAL } from '../../vkernel/cli/terminal.ts';
import { bootStack, type StackResult } from '../../vkernel/index.ts';

const format = (name: string): PageTableFormat => compileLayout(layoutByName(name) as NonNullable<ReturnType<typeof layoutByName>>);
const FORMATS = { mmu64: format('sv39'), mmu32: format('sv32'), vpte64: format('vpte-64-nx'), vpte32: format('vpte-32-nx') };

function run(xlen: 32 | 64, frames: number, bytes: Uint8Array): StackResult {
  const machine = Machine.create({
    ramBytes: frames * 4096,
    console: { write: () => undefined, read: () => new Uint8Array(0) },
  }) as Machine;
  const program = {
    program: '/p',
    argv: ['p'],
    env: [],
    provider: null,
    files: [{ path: '/p', mode: 0o755, bytes }],
    report: () => undefined,
  };
  return bootStack({ machine, xlen, ...FORMATS, tracer: new Tracer(), log: () => undefined, verify: true, process: program });
}

/** What the shell is told: the lines on standard error, and the exit status. */
function toShell(result: StackResult): { lines: string[]; status: number } {
  const written = vi.spyOn(TERMINAL, 'write').mockImplementation(() => undefined);
  const status = shellStatus('/p', result);
  const text = written.mock.calls.map(([fd, bytes]) => `${fd === 2 ? '' : 'not an error: '}${new TextDecoder().decode(bytes)}`).join('');
  const lines = text.split('\n').slice(0, -1);
  written.mockRestore();
  return { lines, status };
}

/** A 64-bit program of three instructions: one system call without arguments, then an endless loop. */
function callAndStop(number: number): Uint8Array {
  const bytes = new Uint8Array(0x84);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // 64 bits, little endian
  view.setUint32(0x10, 2 + 243 * 2 ** 16, true); // executable, RISC-V
  view.setUint32(0x14, 1, true);
  view.setUint32(0x18, 0x1_0078, true); // entry
  view.setUint32(0x20, 0x40, true); // program headers
  view.setUint32(0x34, 64 + 56 * 2 ** 16, true);
  view.setUint32(0x38, 1, true);
  [1, 5, 0, 0, 0x1_0000, 0, 0x1_0000, 0, 0x84, 0, 0x84, 0, 0x1000, 0].forEach((word, i) => view.setUint32(0x40 + 4 * i, word, true));
  [0x0000_0893 + number * 2 ** 20, 0x0000_0073, 0x0000_006f].forEach((word, i) => view.setUint32(0x78 + 4 * i, word, true));
  return bytes;
}

describe.each([32, 64] as const)('too little memory on %i bits', (xlen) => {
  const hello = readFileSync(new URL(`../../userland/programs/elf/hello-rv${xlen}`, import.meta.url));
  test.each([
    [16, 1, /^vkernel: the vkernel cannot map its memory: /],
    [80, 1, /^vkernel: boot failure: too little memory for the startup pages$/],
    [128, 1, /^vkernel: boot failure: task 2 gives up: physmem makes the capabilities of the others$/],
    [272, 126, /^vkernel: \/p: cannot be loaded: ENOMEM: /],
  ])('%i frames: status %i', (frames, status, line) => {
    const result = run(xlen, frames, hello);
    const said = toShell(result);
    expect(said.lines).toHaveLength(1);
    expect(said.lines[0]).toMatch(line);
    expect([said.status, result.stats.hostFramesLost]).toEqual([status, 0]);
  });

  test('and just enough', () => {
    const result = run(xlen, 400, hello);
    expect([toShell(result), result.stats.hostFramesLost]).toEqual([{ lines: [], status: 0 }, 0]);
  });
});

test('a program that waits for what never comes is an end too', () => {
  const { lines, status } = toShell(run(64, 1000, callAndStop(73))); // ppoll of nothing, without a time limit
  expect([lines.length, status]).toEqual([1, 137]);
  expect(lines[0]).toMatch(/cannot come$/);
});
