/**
 * Delegation: a guest's system calls go straight to its vkernel, through however many kernels. What the vkernel and its
 * guest can see is the same as without.
 */
import { describe, expect, test } from 'vitest';
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  type ExitStatus,
  type HostKernel,
  MAP_ANON,
  MAP_FIXED,
  MAP_SHARED,
  type Process,
  SYS_rt_sigaction,
  SYS_setitimer,
  SYS_vmspace_create,
  SYS_vmspace_ctl,
  SYS_vmspace_destroy,
  SYS_vmspace_mmap,
  SYS_vmspace_munmap,
  SYS_vmspace_pwrite,
} from '../../../hostkernel/kern/index.ts';
import { buildElf, code } from '../../hostkernel/base/elf-builder.ts';
import {
  A0,
  add,
  addi,
  bne,
  EBREAK,
  ECALL,
  exitA0,
  faddD,
  fsd,
  j,
  li,
  lw,
  S0,
  S1,
  sw,
  syscall,
  T0,
  T1,
  ZERO,
} from '../../hostkernel/kern/assembler.ts';
import { elf, type Nest, nestOf, type RigOptions } from './rig.ts';

const TEXT = 0x10000;
const DATA = 0x20000;
const TF = DATA;
const VF = DATA + 0x200;
const CODE = DATA + 0x400;
const GUEST = 0x40_0000;
const FRESH = 0x50_0000; // pages the guest touches first
const ID = 0x77;
const BUDGET = 280;
const RWX = READ | WRITE | EXEC;
const ANON = MAP_ANON | MAP_SHARED | MAP_FIXED;

const start =
  (words: readonly number[], xlen: 32 | 64) =>
  (kernel: HostKernel): Process => {
    const segments = [
      { va: TEXT, bytes: code(words) },
      { va: DATA, bytes: new Uint8Array(0), memBytes: 8192, flags: 6 },
    ];
    return elf(buildElf({ xlen, entry: TEXT, segments }), ['vkernel'])(kernel);
  };

const poke = (at: number, words: readonly number[]): number[] =>
  words.flatMap((word, i) => [...li(T0, word | 0), ...li(T1, at + 4 * i), sw(T0, 0, T1)]);

/** A space with the program `guest` and 16 fresh pages. */
function prepare(guest: readonly number[]): number[] {
  return [
    ...poke(CODE, guest),
    ...syscall(SYS_vmspace_create, ID, 0, 0),
    ...syscall(SYS_vmspace_mmap, ID, GUEST, PAGE_SIZE, RWX, ANON, -1, 0),
    ...syscall(SYS_vmspace_mmap, ID, FRESH, 16 * PAGE_SIZE, READ | WRITE, ANON, -1, 0),
    ...syscall(SYS_vmspace_pwrite, ID, CODE, 4 * guest.length, 0, GUEST),
    ...poke(TF, [GUEST]),
  ];
}

const RUN = syscall(SYS_vmspace_ctl, ID, 1, TF, VF);

/** Repeats `words` that many times. */
function repeat(words: readonly number[], times: number): number[] {
  const loop = [...words, addi(S0, S0, -1)];
  return [...li(S0, times), ...loop, bne(S0, ZERO, -4 * loop.length)];
}

/** Adds the word at `offset` of the trapframe to s1. */
const note = (offset: number): number[] => [...li(T1, TF), lw(T0, offset, T1), add(S1, S1, T0)];
const exitS1 = [addi(A0, S1, 0), ...exitA0()];

function run(depth: number, words: readonly number[], options: RigOptions = {}): { status: ExitStatus; made: Nest } {
  const made = nestOf(depth, start(words, options.xlen ?? 64), { ramBytes: 16 * 2 ** 20, ...options });
  return { status: made.finish(), made };
}

describe.each([1, 2, 3])('a vkernel %i kernels deep', (depth) => {
  const perCall = (delegates: boolean): number => {
    const entries = (times: number): number => {
      const words = [...prepare([addi(A0, A0, 1), ECALL, j(-8)]), ...repeat(RUN, times), ...note(8 * A0), ...exitS1];
      const { status, made } = run(depth, words, { delegates });
      expect(status).toEqual({ code: times & 0xff });
      return made.kernels[0].counters.entries;
    };
    return entries(30) - entries(29);
  };

  test('a system call of its guest is two entries, and 2^(d+1) without delegation', () => {
    expect(perCall(true)).toBe(2);
    expect(perCall(false)).toBe(2 ** (depth + 1));
  });
});

const touch = [...li(T1, FRESH), ...li(T0, PAGE_SIZE), add(T1, T1, T0), sw(T0, 0, T1), addi(A0, A0, 1), ECALL];
const PROGRAMS: readonly (readonly [name: string, words: readonly number[]])[] = [
  [
    'a guest that faults, and faults for good',
    [
      ...prepare([...touch, ...li(T1, 0x1234), lw(T0, 0, T1), ECALL]),
      ...repeat(RUN, 2),
      ...note(8 * A0),
      ...note(256),
      ...note(264),
      ...exitS1,
    ],
  ],
  [
    'a breakpoint',
    [...prepare([addi(A0, A0, 5), EBREAK, addi(A0, A0, 7), ECALL]), ...repeat(RUN, 2), ...note(8 * A0), ...note(256), ...exitS1],
  ],
  [
    'a budget of its own',
    [
      ...prepare([addi(A0, A0, 1), j(-4)]),
      ...li(T0, 25),
      ...li(T1, TF),
      sw(T0, BUDGET, T1),
      ...RUN,
      ...note(8 * A0),
      ...note(256),
      ...note(BUDGET),
      ...exitS1,
    ],
  ],
  [
    'floating-point state of both',
    [
      ...prepare([faddD(1, 1, 1), addi(A0, A0, 1), ECALL, j(-12)]),
      ...poke(VF + 12, [0x3ff0_0000]), // f1 = 1.0
      ...repeat(RUN, 3),
      ...li(T1, VF),
      lw(S1, 12, T1), // 8.0 has 0x40200000 here
      ...li(T1, DATA + 0xc00),
      fsd(1, 0, T1), // the vkernel's own f1 is 0
      lw(T0, 4, T1),
      add(S1, S1, T0),
      ...li(T0, 0x4020_0000 - 3),
      addi(A0, S1, 0),
      ...li(T1, -1),
      // a0 - T0 by two's complement, without sub: a0 += ~T0 + 1
      ...li(T0, -(0x4020_0000 - 3)),
      add(A0, A0, T0),
      ...exitA0(),
    ],
  ],
  [
    'a frame that crosses a page',
    [...prepare([ECALL]), ...syscall(SYS_vmspace_ctl, ID, 1, DATA + PAGE_SIZE - 8, VF), addi(S1, A0, 0), ...exitS1],
  ],
  ['a frame that is not there', [...prepare([ECALL]), ...syscall(SYS_vmspace_ctl, ID, 1, 0x7000_0000, VF), addi(S1, A0, 0), ...exitS1]],
  ['another command', [...prepare([ECALL]), ...syscall(SYS_vmspace_ctl, ID, 2, TF, VF), addi(S1, A0, 0), ...exitS1]],
  ['a space it has destroyed', [...prepare([ECALL]), ...RUN, ...syscall(SYS_vmspace_destroy, ID), ...RUN, addi(S1, A0, 0), ...exitS1]],
  [
    'a space it has destroyed and made again',
    [
      ...prepare([addi(A0, A0, 9), ECALL]),
      ...RUN,
      ...syscall(SYS_vmspace_destroy, ID),
      ...prepare([addi(A0, A0, 30), ECALL]),
      ...RUN,
      ...note(8 * A0),
      ...exitS1,
    ],
  ],
  [
    'pages it takes away from its guest between two calls',
    [
      ...prepare([...touch, ...touch, j(-4 * touch.length)]),
      ...RUN,
      ...RUN,
      ...syscall(SYS_vmspace_munmap, ID, FRESH, 16 * PAGE_SIZE),
      ...RUN,
      ...note(8 * A0),
      ...note(256), // a store fault: 15
      ...exitS1,
    ],
  ],
];

describe.each(PROGRAMS)('%s', (_name, words) => {
  test.each([
    [1, 64],
    [2, 64],
    [1, 32],
  ] as const)('depth %i, %i bits: the same with and without delegation', (depth, xlen) => {
    const direct = run(0, words, { xlen }).status;
    expect(direct).toHaveProperty('code');
    expect(run(depth, words, { xlen, delegates: true }).status).toEqual(direct);
    expect(run(depth, words, { xlen }).status).toEqual(direct);
  });
});

describe('interruption', () => {
  const endless = [...prepare([addi(A0, A0, 1), j(-4)]), ...RUN, j(-4 * RUN.length)];

  test.each([100, 333, 1001])('slices of %i instructions change nothing but the number of RUNs', (timeSlice) => {
    const guest = [...li(T0, 900), addi(A0, A0, 1), addi(T0, T0, -1), bne(T0, ZERO, -8), ECALL, j(-20)];
    // RUN again while trapno is 0: interrupted
    const again = [...RUN, ...li(T1, TF), lw(T0, 256, T1)];
    const calls = [...again, bne(T0, ZERO, 8), j(-4 * (again.length + 1))];
    const words = [...prepare(guest), ...repeat(calls, 5), ...note(8 * A0), ...exitS1];
    const made = nestOf(
      2,
      (kernel) => {
        const process = start(words, 64)(kernel);
        start([...repeat([addi(T0, ZERO, 0)], 9000), addi(A0, ZERO, 0), ...exitA0()], 64)(kernel);
        return process;
      },
      { timeSlice, delegates: true, ramBytes: 16 * 2 ** 20 },
    );
    expect(made.finish()).toEqual({ code: 4500 & 0xff });
  });

  test.each([1, 2])('a vkernel can be killed while its guest runs for ever, %i kernels deep', (depth) => {
    let vkernel: Process | null = null;
    const made = nestOf(
      depth,
      (kernel) => {
        vkernel = start(endless, 64)(kernel);
        const other = start([...repeat([addi(T0, ZERO, 0)], 3000), addi(A0, ZERO, 3), ...exitA0()], 64)(kernel);
        const step = kernel.step.bind(kernel);
        kernel.step = () => {
          if (other.exitStatus !== null && vkernel?.exitStatus === null) kernel.kill(vkernel);
          return step();
        };
        return other;
      },
      { timeSlice: 500, delegates: true, ramBytes: 16 * 2 ** 20 },
    );
    expect(made.finish()).toEqual({ code: 3 });
    expect((vkernel as Process | null)?.exitStatus).toMatchObject({ signal: 9 });
  });
});

const JR_RA = 0x0000_8067;
const COUNT = DATA + 0x800;
const SIGALRM = 14;

/** A vkernel whose guest runs for ever, with a timer of 20 us, and perhaps a handler that counts in COUNT. */
function timed(isCaught: boolean, rest: readonly number[]): number[] {
  const handler = [...li(T1, COUNT), lw(T0, 0, T1), addi(T0, T0, 1), sw(T0, 0, T1), JR_RA];
  return [
    j(4 * (handler.length + 1)),
    ...handler,
    ...prepare([addi(A0, A0, 1), j(-4)]),
    ...(isCaught ? [...poke(DATA + 0x900, [TEXT + 4]), ...syscall(SYS_rt_sigaction, SIGALRM, DATA + 0x900, 0, 8)] : []),
    ...poke(DATA + 0xa08, [20]), // the interval: microseconds
    ...poke(DATA + 0xa18, [20]),
    ...syscall(SYS_setitimer, 0, DATA + 0xa00, 0),
    ...rest,
  ];
}

describe.each([0, 1, 2])('a timer of the vkernel, %i kernels deep', (depth) => {
  test.each([false, true])('interrupts its guest: the handler runs, then RUN returns 0 with trapno 0 (delegated: %s)', (delegates) => {
    const loop = [...RUN, add(S1, S1, A0), ...note(256), ...li(T1, COUNT), lw(T0, 0, T1), ...li(T1, 5)];
    const calls = [...loop, bne(T0, T1, -4 * loop.length), ...li(T1, COUNT), lw(T0, 0, T1), add(S1, S1, T0), ...exitS1];
    const { status, made } = run(depth, timed(true, calls), { delegates });
    expect(status).toEqual({ code: 5 });
    expect(made.kernels.at(-1)?.counters.signals).toBe(5);
  });

  test.each([false, true])('ends it where it has no handler (delegated: %s)', (delegates) => {
    const { status } = run(depth, timed(false, [...RUN, j(-4 * RUN.length)]), { delegates });
    expect(status).toMatchObject({ signal: SIGALRM });
  });
});

test('a vkernel whose frames are gone when its guest faults is told so, and goes on behind its call', () => {
  const guest = [...li(T1, 0x1234), lw(T0, 0, T1), ECALL];
  const slices = repeat([addi(T0, ZERO, 0)], 2000); // so that there is a step in between, to take the frames away in
  const words = [...prepare(guest), ...slices, ...RUN, addi(A0, A0, 20), addi(A0, A0, 3), ...exitA0()];
  let lost = 0;
  const made = nestOf(
    1,
    (kernel) => {
      const step = kernel.step.bind(kernel);
      kernel.step = () => {
        for (const { group } of made.kernels[0].processes)
          for (const owner of group?.spaces ?? []) {
            const space = owner.delegates?.get(ID);
            if (space === undefined || Object.hasOwn(owner.space, 'translate')) continue;
            const translate = owner.space.translate.bind(owner.space);
            owner.space.translate = (va, access) => (space.runners > 0 && lost++ === 0 ? -1 : translate(va, access));
          }
        return step();
      };
      return start(words, 64)(kernel);
    },
    { delegates: true, timeSlice: 1500, ramBytes: 16 * 2 ** 20 },
  );
  expect(made.finish()).toEqual({ code: -14 + 23 });
  expect(lost).toBeGreaterThan(0);
});
