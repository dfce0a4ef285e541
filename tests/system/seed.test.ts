/** The seed program in its four builds, as host processes, each line of its output told beforehand. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { type ExitStatus, HostKernel } from '../../hostkernel/kern/index.ts';
import { compileLayout, layoutByName, Machine, type PageTableFormat } from '../../hostkernel/machine/index.ts';

const format = (name: string): PageTableFormat => compileLayout(layoutByName(name) as NonNullable<ReturnType<typeof layoutByName>>);

/** Runs a built program on a host kernel of its own. */
function run(
  program: string,
  vpte: { vpte32: string; vpte64: string },
  ...args: string[]
): { out: string[]; status: ExitStatus; free: number } {
  let out = '';
  const decoder = new TextDecoder();
  const machine = Machine.create({
    ramBytes: 64 * 2 ** 20,
    console: { write: (_fd, bytes) => void (out += decoder.decode(bytes)), read: () => new Uint8Array(0) },
  }) as Machine;
  const formats = { mmu64: format('sv39'), mmu32: format('sv32'), vpte32: format(vpte.vpte32), vpte64: format(vpte.vpte64) };
  const kernel = new HostKernel({ machine, tracer: new Tracer(), ...formats });
  const free = kernel.vm.freeFrames;
  const image = readFileSync(new URL(`../../userland/programs/elf/${program}`, import.meta.url));
  const process = kernel.spawnElf(image, [program, ...args], []);
  if ('reason' in process) throw new Error(process.reason);
  kernel.run();
  kernel.assertInvariants();
  return { out: out.trimEnd().split('\n'), status: process.exitStatus as ExitStatus, free: kernel.vm.freeFrames - free };
}

const G0 = { vpte32: 'vpte-2006', vpte64: 'vpte-2006' };
const MODERN = { vpte32: 'vpte-32-nx', vpte64: 'vpte-64-nx' };

describe.each(['seed-2006-rv32', 'seed-2006-rv64'])('%s', (program) => {
  const UP_TO_ALIASES = ['ptr[4M + 0]        0x17', 'ptr[4M + 4096]     0x17', 'ptr[4M + 12288]    0x2'];
  const FROM_ZERO_ENTRY = [
    'ptr[8M - 4096]     0x2',
    'ptr[0]             0x2',
    'ptr[4096]          0x400000',
    'ptr[4M - 4096]     0',
    'ptr[8M]            0x2',
    'ptr[8M + 4096]     0x400000',
    'ptr[8M + 8192]     0x2',
    'ptr[4M] again      0x18',
  ];

  test('a zero entry is valid and names frame 0', () => {
    const { out, status, free } = run(program, G0);
    expect(out).toEqual([...UP_TO_ALIASES, 'ptr[4M + 8192]     0x2', ...FROM_ZERO_ENTRY]);
    expect(status).toEqual({ code: 0 });
    expect(free).toBe(0);
  });

  test('an invalid entry kills with SIGSEGV at its address', () => {
    const { out, status } = run(program, G0, 'invalid');
    expect(out).toEqual(UP_TO_ALIASES);
    expect(status).toMatchObject({ signal: 11, access: 1, refusal: 'virtual page table: not-valid at level 0' });
    expect(((status as { faultVa: number }).faultVa - 8192) % 2 ** 22).toBe(0);
  });

  test('an entry made invalid after use still answers: the translation is cached', () => {
    const { out, status } = run(program, G0, 'late');
    expect(out).toEqual(['ptr[4M + 8192]     0x2', ...UP_TO_ALIASES, 'ptr[4M + 8192]     0x2', ...FROM_ZERO_ENTRY]);
    expect(status).toEqual({ code: 0 });
  });

  test('a frame beyond the mapping reads as zero: the object is larger', () => {
    expect(run(program, G0, 'beyond').out[3]).toBe('ptr[4M + 8192]     0');
  });
});

describe.each([
  ['seed-modern-rv32', ['0x1063', '0x400063', '0x17', '0x17', '0x400023', '0xe3', '0x23', '0x18', '0x400063', '0xe3']],
  ['seed-modern-rv64', ['0x3063', '0x200063', '0x17', '0x17', '0x200023', '0xe3', '0x2023', '0x18', '0x200063', '0xe3']],
] as const)('%s', (program, values) => {
  const shown = (lines: readonly string[]): string[] => lines.map((line) => line.split(/\s{2,}/)[1] as string);

  test('tables are filled through a linear root, then walked; A and M are written back', () => {
    const { out, status, free } = run(program, MODERN);
    expect(shown(out)).toEqual(values);
    expect(status).toEqual({ code: 0 });
    expect(free).toBe(0);
  });

  test.each([
    ['before', 0, 'level'],
    ['hole', 5, 'not-valid at level 0'],
    ['beyond', 5, 'not-valid at level 1'],
    ['inval', 10, 'not-valid at level 0'],
  ] as const)('%s dies of SIGSEGV after %i lines', (variant, lines, refusal) => {
    const { out, status } = run(program, MODERN, variant);
    expect(shown(out.filter((line) => line !== ''))).toEqual(values.slice(0, lines));
    expect(status).toMatchObject({ signal: 11 });
    expect((status as { refusal: string }).refusal).toContain(refusal);
  });
});
