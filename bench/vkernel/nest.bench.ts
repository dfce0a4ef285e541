/**
 * What does a system call, a page fault, and a guest's system call to its vkernel cost, when the host kernel is itself
 * the guest of a host kernel, and that one of another? With delegation and without.
 *
 * Entries into the outermost kernel are exact: 2^d for a system call at depth d, 2^(d+1) - 1 for a fault, 2 for a guest's
 * system call where its kernel delegates. Times are processor time, the difference of the shortest of three long runs and of
 * three short ones of the same program: what is built once is in neither.
 */
import {
  SYS_getpid,
  SYS_madvise,
  SYS_mmap,
  SYS_vmspace_create,
  SYS_vmspace_ctl,
  SYS_vmspace_mmap,
  SYS_vmspace_pwrite,
} from '../../hostkernel/kern/index.ts';
import { buildElf, code } from '../../tests/hostkernel/base/elf-builder.ts';
import { A0, add, addi, bne, ECALL, exitA0, j, li, S0, sw, syscall, T0, T1, T2, ZERO } from '../../tests/hostkernel/kern/assembler.ts';
import { elf, nestOf } from '../../tests/vkernel/nest/rig.ts';
import { type Files, Suite } from '../suite.ts';

const TEXT = 0x10000;
const DATA = 0x20000;
const PAGES = 0x1000_0000;
const TOUCHED = 64;
const GUEST = 0x40_0000;
const ID = 0x77;
const ANON = 0x1011; // shared, anonymous, fixed
const ANON_PRIVATE = 0x1012;
const REPETITIONS = 3;

const poke = (at: number, words: readonly number[]): number[] =>
  words.flatMap((word, i) => [...li(T0, word | 0), ...li(T1, at + 4 * i), sw(T0, 0, T1)]);

/** Does `setup` once and `words` that many times. */
function repeated(setup: readonly number[], words: readonly number[], times: number): number[] {
  const loop = [...words, addi(S0, S0, -1)];
  return [...setup, ...li(S0, times), ...loop, bne(S0, ZERO, -4 * loop.length), addi(A0, ZERO, 0), ...exitA0()];
}

interface Case {
  readonly name: string;
  readonly setup: readonly number[];
  readonly words: readonly number[];
  readonly each: number; // events in one repetition of `words`
  readonly rounds: number;
  readonly delegates: boolean;
}

const guest = [addi(A0, A0, 1), ECALL, j(-8)];
const vkernel = {
  setup: [
    ...poke(DATA + 0x400, guest),
    ...syscall(SYS_vmspace_create, ID, 0, 0),
    ...syscall(SYS_vmspace_mmap, ID, GUEST, 4096, 7, ANON, -1, 0),
    ...syscall(SYS_vmspace_pwrite, ID, DATA + 0x400, 4 * guest.length, 0, GUEST),
    ...poke(DATA, [GUEST]),
  ],
  words: syscall(SYS_vmspace_ctl, ID, 1, DATA, DATA + 0x200),
  each: 1,
  rounds: 20_000,
};
const CASES: readonly Case[] = [
  { name: 'system call', setup: [], words: [...li(17, SYS_getpid), ECALL], each: 1, rounds: 20_000, delegates: false },
  {
    name: 'page fault',
    setup: syscall(SYS_mmap, PAGES, TOUCHED * 4096, 3, ANON_PRIVATE, -1, 0),
    words: [
      ...li(T0, PAGES),
      ...li(T1, PAGES + TOUCHED * 4096),
      ...li(T2, 4096),
      sw(ZERO, 0, T0),
      add(T0, T0, T2),
      bne(T0, T1, -8),
      ...syscall(SYS_madvise, PAGES, TOUCHED * 4096, 4),
    ],
    each: TOUCHED,
    rounds: 300,
    delegates: false,
  },
  { name: 'system call of a guest of its vkernel', ...vkernel, delegates: false },
  { name: 'the same, delegated', ...vkernel, delegates: true },
];

/** Entries into the outermost kernel and milliseconds of one run. */
function measure({ setup, words, delegates }: Case, depth: number, times: number): { entries: number; ms: number } {
  const segments = [
    { va: TEXT, bytes: code(repeated(setup, words, times)) },
    { va: DATA, bytes: new Uint8Array(0), memBytes: 8192, flags: 6 },
  ];
  const made = nestOf(depth, elf(buildElf({ xlen: 64, entry: TEXT, segments }), ['bench']), { ramBytes: 16 * 2 ** 20, delegates });
  const before = process.cpuUsage();
  made.kernels[0].run();
  const { user, system } = process.cpuUsage(before);
  return { entries: made.kernels[0].counters.entries, ms: (user + system) / 1e3 };
}

export function run(): Files {
  const suite = new Suite('nest');
  for (const one of CASES) {
    for (let depth = 0; depth <= 3; depth++) {
      const few = 10;
      const many = few + one.rounds;
      const events = one.rounds * one.each;
      const entries = measure(one, depth, many).entries - measure(one, depth, few).entries;
      const [short, long] = [few, many].map((times) => Array.from({ length: REPETITIONS }, () => measure(one, depth, times).ms));
      const ms = Math.min(...long) - Math.min(...short);
      suite.counts(`${one.name}, depth ${depth}`, { events, entries });
      suite.times(`${one.name}, depth ${depth}`, long);
      console.log(`  ${one.name}, depth ${depth}: ${(entries / events).toFixed(2)} entries, ${((ms * 1e3) / events).toFixed(2)} µs`);
    }
  }
  return suite.files();
}
