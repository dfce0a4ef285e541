/**
 * What a guest has lost it cannot reach any more: after munmap, mprotect, madvise and mremap no translation of a page is
 * left in any layer. Each program touches a page so that all caches know it, changes it, and tries again.
 */
import { describe, expect, test } from 'vitest';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { Machine } from '../../hostkernel/machine/index.ts';
import { chooseFormats } from '../../vkernel/cli/layouts.ts';
import { bootStack } from '../../vkernel/index.ts';
import { buildElf, code } from '../hostkernel/base/elf-builder.ts';
import { A0, A1, add, addi, li, lw, S0, S1, sw, syscall, T0, ZERO } from '../hostkernel/kern/assembler.ts';

const MMAP = 222;
const MUNMAP = 215;
const MPROTECT = 226;
const MADVISE = 233;
const MREMAP = 216;
const EXIT_GROUP = 94;
const PAGE = 0x1000;
const PRIVATE_ANONYMOUS = 0x22;
const move = (rd: number, rs: number): number => addi(rd, rs, 0);
/** A call whose first argument is the address in s0, moved in after the others are loaded. */
const onPage = (nr: number, ...args: number[]): number[] => [...syscall(nr, 0, ...args).slice(0, -1), move(A0, S0), 0x73];
const exit = (...status: number[]): number[] => [...status, ...li(17, EXIT_GROUP), 0x73];

/** s0 = two fresh pages; the first is read and written, so that every layer has it. */
const TOUCHED = [...syscall(MMAP, 0, 2 * PAGE, 3, PRIVATE_ANONYMOUS, -1, 0), move(S0, A0), ...li(T0, 77), sw(T0, 0, S0), lw(S1, 0, S0)];

interface Fate {
  readonly what: string;
  readonly words: readonly number[];
  readonly end: string | RegExp;
}

const FATES: readonly Fate[] = [
  { what: 'read what it has unmapped', words: [...onPage(MUNMAP, PAGE), lw(A0, 0, S0)], end: /^SIGSEGV: read .* nothing is mapped/ },
  { what: 'write what it has unmapped', words: [...onPage(MUNMAP, PAGE), sw(T0, 0, S0)], end: /^SIGSEGV: write .* nothing is mapped/ },
  { what: 'write what it has made read-only', words: [...onPage(MPROTECT, PAGE, 1), sw(T0, 0, S0)], end: /^SIGSEGV: write .* forbids it/ },
  { what: 'read what it has closed', words: [...onPage(MPROTECT, PAGE, 0), lw(A0, 0, S0)], end: /^SIGSEGV: read .* forbids it/ },
  { what: 'execute what it has only read', words: [0x0004_0067], end: /^SIGSEGV: fetch .* forbids it/ }, // jr s0
  {
    what: 'read an old place after mremap',
    words: [...syscall(MREMAP, 0, PAGE, 0x40_0000, 1).slice(0, -1), move(A0, S0), 0x73, lw(A0, 0, S0)],
    end: /^SIGSEGV: read/,
  },
  { what: 'see old bytes after MADV_DONTNEED', words: [...onPage(MADVISE, PAGE, 4), lw(A0, 0, S0), ...exit()], end: 'exit 0' },
  {
    what: 'see old bytes in a new mapping at the same place',
    words: [...onPage(MUNMAP, PAGE), ...onPage(MMAP, PAGE, 3, PRIVATE_ANONYMOUS | 0x10, -1, 0), lw(A0, 0, S0), ...exit()],
    end: 'exit 0',
  },
  {
    what: 'keep its bytes when it closes and opens a page',
    words: [...onPage(MPROTECT, PAGE, 0), ...onPage(MPROTECT, PAGE, 3), lw(A0, 0, S0), ...exit()],
    end: 'exit 77',
  },
  {
    what: 'find its bytes at the new place after mremap',
    words: [...syscall(MREMAP, 0, PAGE, 0x40_0000, 1).slice(0, -1), move(A0, S0), 0x73, move(A1, A0), lw(A0, 0, A1), ...exit()],
    end: 'exit 77',
  },
  {
    what: 'go on using the page beside',
    words: [...onPage(MUNMAP, PAGE), ...li(T0, PAGE), add(S0, S0, T0), sw(S1, 0, S0), lw(A0, 0, S0), ...exit()],
    end: 'exit 77',
  },
];

function run(xlen: 32 | 64, vpte: string, words: readonly number[]): string {
  const formats = chooseFormats(xlen, undefined, vpte, 'guest');
  const machine = Machine.create({ ramBytes: 16 * 2 ** 20 });
  if (machine === null || typeof formats === 'string') throw new Error('no machine');
  const bytes = buildElf({
    xlen,
    entry: 0x10000,
    segments: [{ va: 0x10000, bytes: code([...TOUCHED, ...words, ...exit(addi(A0, ZERO, 99))]) }],
  });
  const { report, failure, stats } = bootStack({
    machine,
    xlen,
    ...formats,
    tracer: new Tracer(),
    log: () => undefined,
    process: { program: '/p', argv: ['p'], env: [], provider: null, files: [{ path: '/p', mode: 0o755, bytes }], report: () => undefined },
  });
  if (report === null) throw new Error(failure ?? 'no report');
  expect(stats.hostFramesLost).toBe(0);
  return report.exit.kind === 'exit'
    ? `exit ${report.exit.code}`
    : report.exit.kind === 'signal'
      ? report.exit.text
      : report.exit.refusal.text;
}

describe.each([
  [64, 'vpte-64-nx'],
  [64, 'sv39'],
  [32, 'vpte-32-nx'],
  [32, 'sv32'],
] as const)('a %i-bit guest under %s can, or cannot:', (xlen, vpte) => {
  test.each(FATES)('$what', ({ words, end }) => {
    const seen = run(xlen, vpte, words);
    if (typeof end === 'string') expect(seen).toBe(end);
    else expect(seen).toMatch(end);
  });
});
