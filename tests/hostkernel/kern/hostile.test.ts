/** Programs that mean harm: whatever they ask for, the kernel answers or ends them, and gets every frame back. */

import fc from 'fast-check';
import { test } from 'vitest';
import {
  type HostBody,
  type Process,
  SYS_brk,
  SYS_clock_gettime,
  SYS_close,
  SYS_exit,
  SYS_exit_group,
  SYS_ftruncate,
  SYS_madvise,
  SYS_mcontrol,
  SYS_memfd_create,
  SYS_mmap,
  SYS_mprotect,
  SYS_munmap,
  SYS_pread64,
  SYS_pwrite64,
  SYS_read,
  SYS_rt_sigaction,
  SYS_rt_sigprocmask,
  SYS_vmspace_create,
  SYS_vmspace_ctl,
  SYS_vmspace_destroy,
  SYS_vmspace_mcontrol,
  SYS_vmspace_mmap,
  SYS_vmspace_munmap,
  SYS_vmspace_pread,
  SYS_vmspace_pwrite,
  SYS_write,
  SYS_writev,
} from '../../../hostkernel/kern/index.ts';
import { SYSCALL_END, SYSCALL_TABLE } from '../../../hostkernel/kern/syscall-table.ts';
import { buildElf, code } from '../base/elf-builder.ts';
import { A0, A1, A2, A3, A4, A5, A6, A7, addi, bne, ECALL, ld, li, lw, S0, S1, ZERO } from './assembler.ts';
import { type Boot, boot } from './boot.ts';

const DATA = 0x20000;
const GUEST = 0x40_0000;
const RAM = 2 * 2 ** 20;
const SERVED = SYSCALL_TABLE.flatMap((call, nr) => (call === null || nr === SYS_exit || nr === SYS_exit_group ? [] : [nr]));

/** Values that system calls are sensitive to, whatever the argument means. */
const anyArgument = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: -3, max: 17 }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(2 ** 31, 2 ** 31 - 1, 2 ** 32, 2 ** 32 - 4096, 2 ** 38, 2 ** 38 - 4096, 2 ** 53, 2 ** 63, 2 ** 64),
  },
  { weight: 1, arbitrary: fc.integer({ min: -(2 ** 33), max: 2 ** 33 }).map((page) => page * 4096) },
  { weight: 1, arbitrary: fc.maxSafeInteger() },
);

/** What an argument of each kind looks like when it is meant well. */
const KINDS = {
  fd: fc.constantFrom(-1, 0, 1, 2, 3, 3, 3, 4, 4, 5, 6),
  none: fc.constant(-1),
  anonymous: fc.constantFrom(0x1001, 0x1011, 0x3001, 0x3011, 0x22, 0x11001),
  shared: fc.constantFrom(0x1, 0x11, 0x2001, 0x2011),
  nothing: fc.constant(0),
  address: fc.constantFrom(
    0,
    0x8000,
    DATA,
    DATA,
    DATA,
    DATA + 8,
    DATA + 8,
    DATA + 512,
    DATA + 4090,
    DATA + 4096,
    DATA + 8192,
    GUEST,
    GUEST + 4096,
  ),
  length: fc.constantFrom(0, 1, 24, 100, 4096, 4097, 8192, 65536, 300_000, 2 ** 30),
  protection: fc.constantFrom(3, 3, 7, 7, 0, 1, 2, 4, 5, 6),
  mapping: fc.constantFrom(0x1, 0x11, 0x1001, 0x1011, 0x2001, 0x2011, 0x3001, 0x3011, 0x22, 0x12011, 0x1401, 0x11001),
  id: fc.constantFrom(0, 1, 1, 1, 2, 2, 3),
  offset: fc.constantFrom(0, 1, 4096, 8192, GUEST, 2 ** 32, -1),
  advice: fc.integer({ min: -1, max: 12 }),
  root: fc.constantFrom(0, 1, 3, 0x83, 0x1003, 0x1083, 0x883),
  zero: fc.constantFrom(0, 0, 0, 0, 1),
  one: fc.constantFrom(1, 1, 1, 1, 0),
  eight: fc.constantFrom(8, 8, 8, 24, 12),
} as const;

/** The arguments of the calls that are made most, by kind. */
const SIGNATURES: readonly (readonly [nr: number, kinds: readonly (keyof typeof KINDS)[]])[] = [
  [SYS_read, ['fd', 'address', 'length']],
  [SYS_write, ['fd', 'address', 'length']],
  [SYS_writev, ['fd', 'address', 'id']],
  [SYS_pread64, ['fd', 'address', 'length', 'offset']],
  [SYS_pwrite64, ['fd', 'address', 'length', 'offset']],
  [SYS_memfd_create, ['zero', 'zero']],
  [SYS_ftruncate, ['fd', 'length']],
  [SYS_close, ['fd']],
  [SYS_clock_gettime, ['id', 'address']],
  [SYS_rt_sigaction, ['length', 'address', 'address', 'eight']],
  [SYS_rt_sigprocmask, ['id', 'address', 'address', 'eight']],
  [SYS_brk, ['address']],
  [SYS_mmap, ['address', 'length', 'protection', 'mapping', 'fd', 'offset']],
  [SYS_mmap, ['address', 'length', 'protection', 'anonymous', 'none', 'nothing']],
  [SYS_mmap, ['address', 'length', 'protection', 'shared', 'fd', 'offset']],
  [SYS_munmap, ['address', 'length']],
  [SYS_mprotect, ['address', 'length', 'protection']],
  [SYS_madvise, ['address', 'length', 'advice']],
  [SYS_mcontrol, ['address', 'length', 'advice', 'root']],
  [SYS_vmspace_create, ['id', 'zero', 'zero']],
  [SYS_vmspace_destroy, ['id']],
  [SYS_vmspace_ctl, ['id', 'one', 'address', 'address']],
  [SYS_vmspace_mmap, ['id', 'address', 'length', 'protection', 'mapping', 'fd', 'offset']],
  [SYS_vmspace_mmap, ['id', 'address', 'length', 'protection', 'anonymous', 'none', 'nothing']],
  [SYS_vmspace_mmap, ['id', 'address', 'length', 'protection', 'shared', 'fd', 'offset']],
  [SYS_vmspace_munmap, ['id', 'address', 'length']],
  [SYS_vmspace_mcontrol, ['id', 'address', 'length', 'advice', 'root']],
  [SYS_vmspace_pread, ['id', 'address', 'length', 'zero', 'address']],
  [SYS_vmspace_pwrite, ['id', 'address', 'length', 'zero', 'address']],
];

/** What both kinds of program begin with: an image of three pages, a space, and memory in it. */
const PREAMBLE = [
  { nr: SYS_memfd_create, args: [0, 0] },
  { nr: SYS_ftruncate, args: [3, 12288] },
  { nr: SYS_vmspace_create, args: [1, 0, 0] },
  { nr: SYS_vmspace_mmap, args: [1, GUEST, 8192, 7, 0x11, 3, 0] },
];

const plausibleCall = fc.constantFrom(...SIGNATURES).chain(([nr, kinds]) => {
  const args = kinds.map((kind) => fc.oneof({ weight: 12, arbitrary: KINDS[kind] }, { weight: 1, arbitrary: anyArgument }));
  return fc.record({ nr: fc.constant(nr), args: fc.tuple(...args) });
});
const wildCall = fc.record({
  nr: fc.oneof(fc.constantFrom(...SERVED), fc.integer({ min: -2, max: SYSCALL_END + 1 })),
  args: fc.array(anyArgument, { minLength: 7, maxLength: 7 }),
});
const anyCall = fc.oneof({ weight: 6, arbitrary: plausibleCall }, { weight: 1, arbitrary: wildCall });
const anyCalls = fc.array(anyCall, { minLength: 10, maxLength: 80, size: 'max' }).map((calls) => [...PREAMBLE, ...calls]);
const anyWidth = fc.constantFrom<32 | 64>(32, 64);

/** Runs all that is there, but not forever; then everything must have come back. */
function finish(machine: Boot, process: Process): void {
  const { kernel } = machine;
  for (let steps = 0; steps < 100 && process.exitStatus === null; steps++) {
    kernel.step();
    kernel.assertInvariants();
  }
  kernel.kill(process);
  machine.finish(process);
}

test('a TypeScript program with random system calls and addresses', () => {
  const odd = fc.oneof(anyArgument, KINDS.address, fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, -0, 0.5, -1e300));
  const oddCall = fc.record({ nr: fc.oneof(odd, fc.constantFrom(...SERVED)), args: fc.array(odd, { minLength: 7, maxLength: 7 }) });
  const touch = fc.record({ va: odd, size: fc.constantFrom(1, 4, 5000), kind: fc.constantFrom('load', 'store', 'run', 'run', 'run') });
  const step = fc.oneof({ weight: 40, arbitrary: anyCall }, { weight: 4, arbitrary: oddCall }, { weight: 1, arbitrary: touch });
  const calls = fc.array(step, { minLength: 10, maxLength: 80, size: 'max' });
  fc.assert(
    fc.property(calls, anyWidth, (steps, xlen) => {
      const machine = boot({ ramBytes: RAM, timeSlice: 1000 });
      const body: HostBody = function* (host) {
        host.syscall(SYS_mmap, DATA, 8192, 3, 0x1011, -1, 0);
        for (const step of [...PREAMBLE, ...steps]) {
          yield;
          if ('nr' in step) {
            const [a0, a1, a2, a3, a4, a5, a6] = step.args;
            host.syscall(step.nr, a0, a1, a2, a3, a4, a5, a6);
          } else if (step.kind === 'load') host.memory.read(step.va, new Uint8Array(step.size));
          else if (step.kind === 'store') host.memory.fill(step.va, step.size, 0xff);
          else host.run(1, step.va, DATA + 512);
        }
        return 0;
      };
      finish(machine, machine.kernel.spawnBody('hostile', body, xlen));
    }),
    { numRuns: 50 },
  );
});

test('a RISC-V program with random system calls', () => {
  fc.assert(
    fc.property(anyCalls, anyWidth, (calls, xlen) => {
      const machine = boot({ ramBytes: RAM, timeSlice: 1000 });
      const word = xlen / 8;
      const table = 0x30000;
      const load = word === 8 ? ld : lw;
      const registers = [A0, A1, A2, A3, A4, A5, A6, A7];
      const loop = [...registers.map((register, i) => load(register, i * word, S0)), ECALL, addi(S0, S0, 8 * word), addi(S1, S1, -1)];
      const text = [
        ...li(S0, table),
        ...li(S1, calls.length),
        ...loop,
        bne(S1, ZERO, -4 * loop.length),
        addi(A0, ZERO, 0),
        ...li(A7, SYS_exit),
        ECALL,
      ];
      const data = new DataView(new ArrayBuffer(calls.length * 8 * word));
      for (const [i, call] of calls.entries()) {
        for (const [k, value] of [...Array.from({ length: 7 }, (_, k) => call.args[k] ?? 0), call.nr].entries()) {
          const at = (i * 8 + k) * word;
          const bits = BigInt.asUintN(64, BigInt(value));
          if (word === 8) data.setBigUint64(at, bits, true);
          else data.setUint32(at, Number(bits & 0xffff_ffffn), true);
        }
      }
      const file = buildElf({
        xlen,
        entry: 0x10000,
        segments: [
          { va: 0x10000, bytes: code(text) },
          { va: DATA, bytes: new Uint8Array(0), memBytes: 8192, flags: 6 },
          { va: table, bytes: new Uint8Array(data.buffer), flags: 4 },
        ],
      });
      const process = machine.kernel.spawnElf(file, ['hostile'], []);
      if ('reason' in process) throw new Error(process.reason);
      finish(machine, process);
    }),
    { numRuns: 50 },
  );
});

test('a damaged program file is refused or becomes a process that ends', () => {
  const good = buildElf({
    xlen: 64,
    entry: 0x10000,
    segments: [
      { va: 0x10000, bytes: code([addi(A0, ZERO, 0), ...li(A7, SYS_exit), ECALL]) },
      { va: DATA, bytes: new Uint8Array(100), memBytes: 9000, flags: 6 },
    ],
  });
  const pokes = fc.array(fc.tuple(fc.integer({ min: 16, max: 4096 + 32 }), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(pokes, (changes) => {
      const file = good.slice();
      for (const [at, value] of changes) file[at % (at < 4000 ? 176 : file.length)] = value;
      const machine = boot({ ramBytes: RAM, timeSlice: 10_000 });
      const process = machine.kernel.spawnElf(file, ['damaged'], []);
      if (!('reason' in process)) finish(machine, process);
    }),
    { numRuns: 80 },
  );
});
