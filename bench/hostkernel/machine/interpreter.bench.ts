/**
 * How many instructions a second does the interpreter execute, and what does it cost to leave the fast path?
 *
 * Counters come first: instructions, walks of page tables and frames decoded repeat exactly.
 */

import b from 'benny';
import { TRAP_ECALL, TRAP_FETCH_PAGE } from '../../../hostkernel/machine/index.ts';
import { RW, RX, Rig, code } from '../../../tests/hostkernel/machine/rig.ts';
import * as asm from '../../../tests/hostkernel/machine/riscv/assembler.ts';
import { cpuTimes } from '../../cpu-time.ts';
import { type Files, Suite } from '../../suite.ts';
import { DOUBLES_64, MIXED_32, MIXED_64, SIEVE_32, SIEVE_64 } from './kernels.ts';

const CODE = 0x10000;
const DATA = 0x100000;
const ROUNDS = 7;
const REPEATS = 3; // calls of a kernel in one measurement
const AWAY = 0x666000; // not mapped: a kernel returns to it

interface Kernel {
  readonly name: string;
  readonly xlen: 32 | 64;
  readonly words: readonly number[];
  readonly args: readonly (number | bigint)[];
}

const KERNELS: readonly Kernel[] = [
  { name: 'RV64 sieve', xlen: 64, words: SIEVE_64, args: [DATA, 2 ** 18, 4] },
  { name: 'RV64 mixed', xlen: 64, words: MIXED_64, args: [DATA, 2 ** 14, 50, 1099511628211n, 1469598103934665603n] },
  { name: 'RV64 doubles', xlen: 64, words: DOUBLES_64, args: [DATA, DATA + 2 ** 17, 2 ** 14, 80, 3] },
  { name: 'RV32 sieve', xlen: 32, words: SIEVE_32, args: [DATA, 2 ** 18, 4] },
  { name: 'RV32 mixed', xlen: 32, words: MIXED_32, args: [DATA, 2 ** 14, 50, 10_995, 146_959_810] },
];

/** A rig with code at CODE and `pages` pages of numbers at DATA. */
function rigWith(xlen: 32 | 64, words: readonly number[], pages: number): Rig {
  const rig = new Rig({ xlen, ramBytes: 64 << 20 });
  rig.put(rig.mapNew(CODE, 1, RX), 0, code(words));
  const { ram } = rig.machine;
  const first = ram.offsetOf(rig.mapNew(DATA, pages, RW)) / 8;
  for (let i = 0; i < 2 ** 15; i++) ram.f64[first + i] = 1 + i / 777;
  return rig;
}

/** Calls the code of a rig once; returns the instructions it took. */
function call(rig: Rig, args: readonly (number | bigint)[]): number {
  const { hart } = rig.machine;
  args.forEach((arg, i) => rig.setX(10 + i, arg));
  rig.setX(1, AWAY);
  hart.setPc(CODE);
  const before = hart.retired;
  if (hart.run(Infinity) !== TRAP_FETCH_PAGE || hart.pc !== AWAY) throw new Error('the kernel did not return');
  return hart.retired - before;
}

/** Millions of instructions in a second of processor time: the figure to quote. */
function kernels(suite: Suite): void {
  const instructions: number[] = [];
  const cases = KERNELS.map((kernel) => {
    const rig = rigWith(kernel.xlen, kernel.words, 64);
    instructions.push(call(rig, kernel.args));
    const { mmu, hart } = rig.machine;
    suite.counts(kernel.name, { instructions: instructions.at(-1) as number, walks: mmu.walks, 'frames of code': hart.code.claims });
    console.log(`  ${kernel.name}: ${instructions.at(-1)} instructions, ${mmu.walks} walks, ${hart.code.claims} frame of code`);
    return () => {
      for (let i = 0; i < REPEATS; i++) call(rig, kernel.args);
    };
  });
  cpuTimes(ROUNDS, cases).forEach(({ best, median, samples }, i) => {
    suite.times(KERNELS[i].name, samples);
    const rate = (ms: number) => ((instructions[i] * REPEATS) / ms / 1e3).toFixed(0);
    console.log(`  ${KERNELS[i].name}: ${rate(median)} M instructions/s (median of ${ROUNDS}; best ${rate(best)})`);
  });
}

const LOADS = 4096;

/** A loop of one load with `step` bytes from each to the next: a0 address, a1 number, a2 step. */
const LOAD_LOOP = [asm.ld(5, 0, 10), asm.add(10, 10, 12), asm.addi(11, 11, -1), asm.bne(11, 0, -12), asm.jalr(0, 1, 0)];
/** The same with two loads, a3 bytes apart. */
const PAIR_LOOP = [
  asm.ld(5, 0, 10),
  asm.add(6, 10, 13),
  asm.ld(7, 0, 6),
  asm.add(10, 10, 12),
  asm.addi(11, 11, -1),
  asm.bne(11, 0, -20),
  asm.jalr(0, 1, 0),
];

async function memoryAccess(suite: Suite): Promise<void> {
  const rig = rigWith(64, LOAD_LOOP, 8192);
  const pair = rigWith(64, PAIR_LOOP, 8192);
  const walksOf = (subject: Rig, args: readonly number[]): number => {
    call(subject, args);
    const before = subject.machine.mmu.walks;
    call(subject, args);
    return subject.machine.mmu.walks - before;
  };
  const hit = [DATA, LOADS, 8];
  const misaligned = [DATA + 1, LOADS, 8];
  const refill = [DATA, LOADS, 4096];
  const apart = [DATA, LOADS, 8, 2 ** 24];
  const walks = [walksOf(rig, hit), walksOf(rig, misaligned), walksOf(rig, refill), walksOf(pair, apart)];
  console.log(`  walks for ${LOADS} loads: hit ${walks[0]}, misaligned ${walks[1]}, a page each ${walks[2]}`);
  console.log(`  walks for ${LOADS} pairs of loads 16 MiB apart: ${walks[3]}`);
  const summary = await b.suite(
    `interpreter: ${LOADS} times around a load`,
    b.add('TLB hit', () => call(rig, hit)),
    b.add('misaligned', () => call(rig, misaligned)),
    b.add('a page each: TLB refill', () => call(rig, refill)),
    b.add('pair 16 MiB apart: second part of the TLB', () => call(pair, apart)),
  );
  summary.results.forEach(({ name }, i) => suite.counts(name, { walks: walks[i] }));
  suite.timesOf(summary);
  for (const result of summary.results)
    console.log(`  ${result.name}: ${((result.details.median * 1e9) / LOADS).toFixed(1)} ns a turn (median)`);
}

const CALLS = 1000;

async function systemCalls(suite: Suite): Promise<void> {
  const rig = rigWith(64, [asm.addi(17, 0, 172), asm.ECALL, asm.jal(0, -8)], 64);
  const { hart } = rig.machine;
  const summary = await b.suite(
    `interpreter: ${CALLS} times out at an ecall and in again`,
    b.add('out at an ecall, and in again', () => {
      hart.setPc(CODE);
      for (let i = 0; i < CALLS; i++) {
        if (hart.run(1e6) !== TRAP_ECALL) throw new Error('not an ecall');
        hart.setPc(hart.pc + 4);
      }
    }),
  );
  suite.timesOf(summary);
  console.log(`  ${((summary.results[0].details.median * 1e9) / CALLS).toFixed(1)} ns a call (median)`);
}

export async function run(): Promise<Files> {
  const suite = new Suite('interpreter');
  kernels(suite);
  await memoryAccess(suite);
  await systemCalls(suite);
  return suite.files();
}
