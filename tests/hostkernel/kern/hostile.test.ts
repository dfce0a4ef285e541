/** Programs that mean harm: whatever they ask for, the kernel answers or ends them, and gets every frame back. */

import fc from 'fast-check';
import { test } from 'vitest';
import { type HostBody, type Process, SYS_exit, SYS_exit_group } from '../../../hostkernel/kern/index.ts';
import { SYSCALL_END, SYSCALL_TABLE } from '../../../hostkernel/kern/syscall-table.ts';
import { buildElf, code } from '../base/elf-builder.ts';
import { A0, A1, A2, A3, A4, A5, A6, A7, addi, bne, ECALL, ld, li, lw, S0, S1, ZERO } from './assembler.ts';
import { type Boot, boot } from './boot.ts';

const DATA = 0x20000;
const RAM = 2 * 2 ** 20;
const SERVED = SYSCALL_TABLE.flatMap((call, nr) => (call === null || nr === SYS_exit || nr === SYS_exit_group ? [] : [nr]));

const anyNumber = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...SERVED) },
  { weight: 1, arbitrary: fc.integer({ min: -2, max: SYSCALL_END + 1 }) },
);

/** Values that system calls are sensitive to: descriptors, flags, addresses around what is mapped, ends of ranges. */
const anyArgument = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: -3, max: 17 }) },
  { weight: 3, arbitrary: fc.constantFrom(DATA, DATA + 8, DATA + 4096, DATA + 4090, DATA + 8192, 0x10000, 4096, 8192, 0x8000) },
  { weight: 2, arbitrary: fc.constantFrom(0x1001, 0x3001, 0x1011, 0x2001, 0x2011, 0x21, 0x22, 0x12011) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      2 ** 31,
      2 ** 31 - 1,
      2 ** 32,
      2 ** 32 - 4096,
      2 ** 38,
      2 ** 38 - 4096,
      2 ** 53,
      2 ** 53 - 4096,
      2 ** 63,
      2 ** 64,
    ),
  },
  { weight: 1, arbitrary: fc.integer({ min: -(2 ** 33), max: 2 ** 33 }).map((page) => page * 4096) },
  { weight: 1, arbitrary: fc.maxSafeInteger() },
);
const anyCall = fc.record({ nr: anyNumber, args: fc.array(anyArgument, { minLength: 7, maxLength: 7 }) });
const anyCalls = fc.array(anyCall, { minLength: 1, maxLength: 60 });
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
  const odd = fc.oneof(
    { weight: 20, arbitrary: anyArgument },
    { weight: 1, arbitrary: fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, -0, 0.5, -1e300) },
  );
  const touch = fc.record({ va: odd, size: fc.constantFrom(1, 4, 5000), kind: fc.constantFrom('load', 'store', 'run') });
  const calls = fc.array(
    fc.oneof(
      { weight: 12, arbitrary: fc.record({ nr: anyNumber, args: fc.array(odd, { minLength: 7, maxLength: 7 }) }) },
      { weight: 1, arbitrary: touch },
    ),
    {
      minLength: 1,
      maxLength: 60,
    },
  );
  fc.assert(
    fc.property(calls, anyWidth, (steps, xlen) => {
      const machine = boot({ ramBytes: RAM, timeSlice: 1000 });
      const body: HostBody = function* (host) {
        host.syscall(222, DATA, 8192, 3, 0x1011, -1, 0);
        host.syscall(486, 5, 0, 0);
        for (const step of steps) {
          yield;
          if ('nr' in step) {
            const [a0, a1, a2, a3, a4, a5, a6] = step.args;
            host.syscall(step.nr, a0, a1, a2, a3, a4, a5, a6);
          } else if (step.kind === 'load') host.memory.read(step.va, new Uint8Array(step.size));
          else if (step.kind === 'store') host.memory.fill(step.va, step.size, 0xff);
          else host.run(5, step.va, DATA + 512);
        }
        return 0;
      };
      finish(machine, machine.kernel.spawnBody('hostile', body, xlen));
    }),
    { numRuns: 150 },
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
        for (const [k, value] of [...call.args, call.nr].entries()) {
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
    { numRuns: 150 },
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
    { numRuns: 200 },
  );
});
