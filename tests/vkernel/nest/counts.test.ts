/**
 * Entries into the outermost kernel, exactly. A process at depth d is a process of a kernel that is d kernels deep.
 *
 *   S(d) = 2^d              a system call: its trap leaves through d kernels, and its result comes back through them.
 *                           Delivering to the kernel at depth d takes what a system call of that kernel's process takes
 *                           in both directions: S(d) = 2 S(d - 1), S(0) = 1: one trap.
 *   F(d) = 2^(d+1) - 1      a fault that kernel d resolves: delivered to it and back like a system call, then taken again
 *                           as a fault that kernel d - 1 resolves, and so on down: F(d) = 2^d + F(d - 1), F(0) = 1.
 *   I(d) = 2^d - 1          pages taken away by kernel d, however many: an invalidation is a system call of a process at
 *                           depth d - 1, and makes kernel d - 1 take away pages too: I(d) = S(d - 1) + I(d - 1), I(0) = 0.
 */
import { describe, expect, test } from 'vitest';
import {
  type Host,
  type HostKernel,
  MADV_DONTNEED,
  type Process,
  SYS_getpid,
  SYS_madvise,
  SYS_mmap,
} from '../../../hostkernel/kern/index.ts';
import { buildElf, code } from '../../hostkernel/base/elf-builder.ts';
import { add, addi, bne, ECALL, exitA0, li, S0, sw, syscall, T0, T1, T2, ZERO } from '../../hostkernel/kern/assembler.ts';
import { body, elf, nestOf } from './rig.ts';

const TEXT = 0x10000;
const DATA = 0x1000_0000;
const PRIVATE_ANON_FIXED = 0x1012;

/** Repeats `words` that many times, then exits. */
function repeated(words: readonly number[], times: number): number[] {
  const loop = [...words, addi(S0, S0, -1)];
  return [...li(S0, times), ...loop, bne(S0, ZERO, -4 * loop.length), addi(10, ZERO, 0), ...exitA0()];
}

/** Touches `pages` pages, and gives them back. */
function touching(pages: number): number[] {
  return [
    ...li(T0, DATA),
    ...li(T1, DATA + pages * 4096),
    ...li(T2, 4096),
    sw(ZERO, 0, T0),
    add(T0, T0, T2),
    bne(T0, T1, -8),
    ...syscall(SYS_madvise, DATA, pages * 4096, MADV_DONTNEED),
  ];
}

function entriesOf(depth: number, start: (kernel: HostKernel) => Process): number {
  const made = nestOf(depth, start, { ramBytes: 16 * 2 ** 20 });
  expect(made.finish()).toEqual({ code: 0 });
  return made.kernels[0].counters.entries;
}

function program(words: readonly number[]): (kernel: HostKernel) => Process {
  const segments = [{ va: TEXT, bytes: code([...syscall(SYS_mmap, DATA, 64 * 4096, 3, PRIVATE_ANON_FIXED, -1, 0), ...words]) }];
  return elf(buildElf({ xlen: 64, entry: TEXT, segments }), ['test']);
}

/** What one more round costs, when everything that happens once has happened. */
function perRound(depth: number, words: readonly number[]): number {
  const entries = (times: number): number => entriesOf(depth, program(repeated(words, times)));
  return entries(7) - entries(6);
}

describe.each([0, 1, 2, 3])('host entries at depth %i', (depth) => {
  const S = 2 ** depth;
  const F = 2 ** (depth + 1) - 1;
  const I = 2 ** depth - 1;

  test('a system call of a RISC-V program', () => {
    expect(perRound(depth, [...li(17, SYS_getpid), ECALL])).toBe(S);
  });

  test('a system call of a TypeScript program', () => {
    const calling = (times: number): number =>
      entriesOf(
        depth,
        body(function* (host: Host) {
          for (let i = 0; i < times; i++) host.syscall(SYS_getpid);
          return 0;
        }),
      );
    expect(calling(30) - calling(20)).toBe(10 * S);
  });

  test('a page fault that the innermost kernel resolves', () => {
    const many = perRound(depth, touching(40));
    const few = perRound(depth, touching(30));
    expect(many - few).toBe(10 * F);
  });

  test('pages given back here and there: they are invalidated by one call too', () => {
    const scattered = [0, 3, 7, 20].flatMap((page) => [...li(T0, DATA + page * 4096), sw(ZERO, 0, T0)]);
    const away = [0, 3, 7, 20].flatMap((page) => syscall(SYS_madvise, DATA + page * 4096, 4096, MADV_DONTNEED));
    // Each call returns to the program, so each is a RUN, with an invalidation before it.
    expect(perRound(depth, [...scattered, ...away])).toBe(4 * F + 4 * S + 4 * I);
    const together = syscall(SYS_madvise, DATA, 24 * 4096, MADV_DONTNEED);
    expect(perRound(depth, [...scattered, ...together])).toBe(4 * F + S + I);
  });

  test('pages given back: all of them are invalidated at once', () => {
    expect(perRound(depth, touching(40))).toBe(40 * F + S + I);
  });
});
