/** RISC-V programs as processes: how they start, what their system calls see, and how they are ended. */

import { describe, expect, test } from 'vitest';
import { EXEC, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { describeExit } from '../../../hostkernel/kern/index.ts';
import { buildElf, code, type ElfSpec } from '../base/elf-builder.ts';
import {
  A0,
  A1,
  A2,
  A7,
  add,
  addi,
  bne,
  EBREAK,
  ECALL,
  exitA0,
  ILLEGAL,
  j,
  li,
  lui,
  lw,
  S0,
  S1,
  SP,
  sw,
  syscall,
  T0,
  T1,
  ZERO,
} from './assembler.ts';
import { boot, plain, spawnCode } from './boot.ts';

const DATA = 0x20000;

/** Exits with the result of a system call, which must fit a byte when negated. */
function exitMinusA0(): number[] {
  return [addi(T0, A0, 0), addi(A0, ZERO, 0), ((0x20 << 25) | (T0 << 20) | (A0 << 15) | (A0 << 7) | 0x33) >>> 0, ...exitA0()];
}

describe.each([32, 64] as const)('a %i-bit program', (xlen) => {
  test('writes to the console and exits', () => {
    const machine = boot();
    const program = [...li(S0, DATA), ...li(T0, 0x0a69_6968), sw(T0, 0, S0), ...syscall(64, 1, DATA, 4), ...exitA0()];
    expect(machine.finish(spawnCode(machine, program, xlen))).toEqual({ code: 4 });
    expect(machine.output()).toBe('hii\n');
  });

  test.each([
    ['a bad descriptor', [64, 77, DATA, 1], 9],
    ['a bad address', [64, 1, 0x5000, 1], 14],
    ['an unknown call', [400], 38],
    ['clone of shared memory without a shared process', [220, 0x111, 0, 0, 0, 0], 22],
    ['execve of what is not there', [221, DATA, 0, 0], 2],
    ['mmap of length 0', [222, 0, 0, 3, 0x22, -1, 0], 22],
    ['vmspace_ctl before any vmspace_create', [488, 5, 1, DATA, DATA], 22],
    ['vmspace_create of id 0', [486, 0, 0, 0], 22],
    ['vmspace_create with a type', [486, 5, 1, 0], 22],
  ] as const)('gets -errno in a0 for %s', (_what, call, errno) => {
    const machine = boot();
    const [nr, ...args] = call;
    expect(machine.finish(spawnCode(machine, [...syscall(nr, ...args), ...exitMinusA0()], xlen))).toEqual({ code: errno });
  });

  test('starts with argc, argv, an environment and an auxiliary vector on an aligned stack', () => {
    const machine = boot();
    const word = xlen / 8;
    // write(1, argv[1], 5); exit(argc + (sp & 15))
    const load = xlen === 64 ? (rd: number, o: number, b: number): number => lw(rd, o, b) | (1 << 12) : lw;
    const andi = (rd: number, rs: number, imm: number): number => addi(rd, rs, imm) | (7 << 12);
    const program = [
      load(S0, 0, SP),
      load(A1, 2 * word, SP),
      ...li(A0, 1),
      ...li(A2, 5),
      ...li(A7, 64),
      ECALL,
      andi(T0, SP, 15),
      add(A0, S0, T0),
      ...exitA0(),
    ];
    expect(machine.finish(spawnCode(machine, program, xlen, ['name', 'first', 'second']))).toEqual({ code: 3 });
    expect(machine.output()).toBe('first');
  });

  test('finds its auxiliary vector', () => {
    const machine = boot();
    const process = machine.kernel.spawnElf(program([addi(0, 0, 0)], xlen), ['name', 'b'], ['X=1']);
    if ('reason' in process) throw new Error(process.reason);
    // The stack top, as a debugger would see it.
    const top = process.space.userEnd - 16 * 4096;
    const bytes = new Uint8Array(1024);
    process.space.copyIn(top - 1024, bytes);
    const view = new DataView(bytes.buffer);
    const word = xlen / 8;
    const words = Array.from(
      { length: 1024 / word },
      (_, i) => view.getUint32(i * word, true) + (word === 8 ? view.getUint32(i * 8 + 4, true) * 2 ** 32 : 0),
    );
    const argc = words.findIndex((_, i) => words[i] === 2 && words[i + 3] === 0 && words[i + 5] === 0 && words[i + 1] > 0x1000);
    const auxv = new Map<number, number>();
    for (let i = argc + 6; words[i] !== 0; i += 2) auxv.set(words[i], words[i + 1]);
    expect(Object.fromEntries(auxv)).toMatchObject({
      4: xlen === 64 ? 56 : 32,
      5: 1,
      6: 4096,
      9: 0x10000,
      11: 0,
      12: 0,
      13: 0,
      14: 0,
      16: 0x112d,
      17: 100,
      23: 0,
    });
    const string = (at: number): string => new TextDecoder().decode(bytes.subarray(at - (top - 1024))).split('\0')[0];
    expect([words[argc + 1], words[argc + 2], words[argc + 4], auxv.get(31) ?? 0].map(string)).toEqual(['name', 'b', 'X=1', 'name']);
    const random = (auxv.get(25) ?? 0) - (top - 1024);
    expect(bytes.subarray(random, random + 16).some((byte) => byte !== 0)).toBe(true);
    machine.kernel.kill(process);
    expect(machine.finish(process)).toMatchObject({ signal: 9 });
  });

  test('has a heap that brk moves', () => {
    const machine = boot();
    const program = [
      ...syscall(214, 0),
      addi(S0, A0, 0), // s0 = start
      lui(T0, 2),
      add(A0, S0, T0),
      ECALL, // two pages
      addi(S1, A0, 0),
      addi(T1, ZERO, 42),
      sw(T1, -4, S1), // the last word of the heap
      lw(S1, -4, S1),
      addi(A0, S0, 0),
      ECALL, // back
      addi(A0, S1, 0),
      ...exitA0(),
    ];
    expect(machine.finish(spawnCode(machine, program, xlen))).toEqual({ code: 42 });
  });

  test('loses its heap when brk goes back', () => {
    const machine = boot();
    const program = [
      ...syscall(214, 0),
      addi(S0, A0, 0),
      addi(A0, S0, 100),
      ECALL,
      sw(ZERO, 0, S0),
      addi(A0, S0, 0),
      ECALL,
      sw(ZERO, 0, S0),
    ];
    expect(machine.finish(spawnCode(machine, program, xlen))).toMatchObject({ signal: 11, access: WRITE });
  });

  test.each([
    ['a store to nowhere', [lui(S0, 5), sw(ZERO, 8, S0)], { signal: 11, faultVa: 0x5008, access: WRITE, pc: 0x10004, refusal: 'no-entry' }],
    ['a load from nowhere', [lui(S0, 5), lw(A0, 0, S0)], { signal: 11, faultVa: 0x5000, access: READ, pc: 0x10004 }],
    ['a store to its text', [lui(S0, 0x10), sw(ZERO, 0, S0)], { signal: 7, faultVa: 0x10000, access: WRITE, refusal: 'entry-protection' }],
    ['a jump to its data', [j(DATA - 0x10000)], { signal: 7, faultVa: DATA, access: EXEC, pc: DATA }],
    ['an illegal instruction', [addi(0, 0, 0), ILLEGAL], { signal: 4, faultVa: null, pc: 0x10004 }],
    ['a breakpoint', [EBREAK], { signal: 5, faultVa: null, pc: 0x10000 }],
  ] as const)('is killed for %s', (_what, words, status) => {
    const machine = boot();
    const end = machine.finish(spawnCode(machine, words, xlen));
    expect(end).toMatchObject(status);
    expect(machine.messages).toEqual([`process 1 (test): ${describeExit(end)}`]);
  });

  test('that is position independent is loaded where there is room', () => {
    const machine = boot();
    const spec: ElfSpec = { xlen, type: 3, entry: 0, segments: [{ va: 0, bytes: code([...li(A0, 9), ...exitA0()]) }] };
    const process = machine.kernel.spawnElf(buildElf(spec), ['pie'], []);
    if ('reason' in process) throw new Error(process.reason);
    expect(machine.finish(process)).toEqual({ code: 9 });
  });
});

test('two programs that never wait take turns, in the same order every time', () => {
  const trace = (): string => {
    const machine = boot({ timeSlice: 500 });
    const say = (letter: string): number[] => [
      ...li(S0, DATA),
      ...li(T0, letter.charCodeAt(0)),
      sw(T0, 0, S0),
      ...li(S1, 5), // five rounds
      ...li(T0, 400),
      addi(T0, T0, -1),
      bne(T0, ZERO, -4),
      ...syscall(64, 1, DATA, 1),
      addi(S1, S1, -1),
      bne(S1, ZERO, -4 * (syscall(64, 1, DATA, 1).length + 4)),
      ...li(A0, 0),
      ...exitA0(),
    ];
    const first = spawnCode(machine, say('a'));
    spawnCode(machine, say('b'));
    expect(machine.finish(first)).toEqual({ code: 0 });
    expect(machine.machine.hart.retired).toBeGreaterThan(8000);
    return machine.output();
  };
  expect(trace()).toMatch(/^(?=.*ab)(?=.*ba)[ab]{10}$/);
  expect(trace()).toBe(trace());
});

test('a program and a TypeScript process share the processor', () => {
  const machine = boot({ timeSlice: 100 });
  let steps = 0;
  const process = spawnCode(machine, [...li(T0, 2000), addi(T0, T0, -1), bne(T0, ZERO, -4), ...li(A0, 1), ...exitA0()]);
  machine.kernel.spawnBody(
    'counter',
    function* () {
      for (; process.exitStatus === null; steps++) yield;
      return 0;
    },
    64,
  );
  expect(machine.finish(process)).toEqual({ code: 1 });
  expect(steps).toBeGreaterThan(30);
});

describe('a program is refused', () => {
  const refusal = (spec: ElfSpec, argv: readonly string[] = ['x'], ramBytes = 16 * 2 ** 20): unknown => {
    const machine = boot({ ramBytes });
    const free = machine.kernel.vm.freeFrames;
    const result = machine.kernel.spawnElf(buildElf(spec), argv, []);
    expect(machine.kernel.vm.freeFrames).toBe(free);
    machine.kernel.assertInvariants();
    return result;
  };
  const spec: ElfSpec = { xlen: 64, entry: 0x10000, segments: [{ va: 0x10000, bytes: code([ECALL]) }] };

  test('if it needs an interpreter', () => {
    expect(refusal({ ...spec, interpreter: '/lib/ld.so' })).toEqual({
      errno: 8,
      reason: 'needs the program interpreter /lib/ld.so: only static programs can run',
    });
  });
  test('if its headers are wrong', () => {
    expect(refusal({ ...spec, machine: 62 })).toEqual({ errno: 8, reason: 'wrong machine: x86-64, needs riscv' });
  });
  test('if it wants page 0', () => {
    expect(refusal({ ...spec, entry: 0, segments: [{ va: 0, bytes: code([ECALL]) }] })).toMatchObject({
      errno: 8,
      reason: 'segment below the first user address',
    });
  });
  test('if it lies beyond user space', () => {
    expect(refusal({ ...spec, entry: 2 ** 38, segments: [{ va: 2 ** 38, bytes: code([ECALL]) }] })).toMatchObject({
      errno: 8,
      reason: 'segment beyond user space',
    });
  });
  test('if its arguments are too long', () => {
    expect(refusal(spec, ['x', 'y'.repeat(300_000)])).toMatchObject({ errno: 7 });
  });
  test('if there is no memory for it', () => {
    const bytes = new Uint8Array(400_000).fill(1);
    expect(refusal({ ...spec, segments: [{ va: 0x10000, bytes }] }, ['x'], 256 * 1024)).toMatchObject({ errno: 12 });
  });
});

test('segments that share a page give it the rights of both', () => {
  const machine = boot();
  const words = [...li(S0, 0x10000 + 0x800), ...li(T0, 3), sw(T0, 0, S0), lw(A0, 0, S0), ...exitA0()];
  const file = buildElf({
    xlen: 64,
    entry: 0x10000,
    segments: [
      { va: 0x10000, bytes: code(words) },
      { va: 0x10800, bytes: new Uint8Array(8), memBytes: 64, flags: 6 },
    ],
  });
  const process = machine.kernel.spawnElf(file, ['x'], []);
  if ('reason' in process) throw new Error(process.reason);
  expect(machine.finish(process)).toEqual({ code: 3 });
});

test('a page of three segments has the rights of the first, too', () => {
  const machine = boot();
  const file = buildElf({
    xlen: 64,
    entry: 0x10800,
    segments: [
      { va: 0x10000, bytes: Uint8Array.of(7, 0, 0, 0), flags: 4 },
      { va: 0x10400, bytes: new Uint8Array(8), flags: 1 },
      { va: 0x10800, bytes: code([...li(S0, 0x10000), lw(A0, 0, S0), ...exitA0()]), flags: 1 },
    ],
  });
  const process = machine.kernel.spawnElf(file, ['x'], []);
  if ('reason' in process) throw new Error(process.reason);
  expect(machine.finish(process)).toEqual({ code: 7 });
});

test('a TypeScript process outlives a program that is killed', () => {
  const machine = boot();
  const bad = spawnCode(machine, [ILLEGAL]);
  const good = machine.kernel.spawnBody(
    'good',
    plain(() => undefined),
    64,
  );
  expect(machine.finish(good)).toEqual({ code: 0 });
  expect(bad.exitStatus).toMatchObject({ signal: 4 });
});

/** A file that runs `words` at 0x10000 and has nothing else. */
function program(words: readonly number[], xlen: 32 | 64): Uint8Array {
  return buildElf({ xlen, entry: 0x10000, segments: [{ va: 0x10000, bytes: code(words) }] });
}
