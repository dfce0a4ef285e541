/**
 * Programs that mean harm, several at once: a random program forks, makes threads, signals everybody, sleeps, sets timers,
 * and runs guests in spaces it shares; its children and threads go on with the rest of it. All invariants after each step.
 */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as host from '../../../hostkernel/kern/index.ts';
import { buildElf, code } from '../base/elf-builder.ts';
import { A0, A1, A2, A3, A4, A5, A6, A7, addi, bne, ECALL, ld, li, lw, S0, S1, ZERO } from './assembler.ts';
import { type Boot, boot } from './boot.ts';

const TEXT = 0x10000;
const DATA = 0x20000;
const TABLE = 0x30000;
const GUEST = 0x40_0000;

// What is at DATA.
const ACTION = DATA; // { handler, flags, mask }
const TIME = DATA + 64; // 1 microsecond
const TIMER = DATA + 96; // { 20, 20 } microseconds
const MASK = DATA + 160; // SIGUSR1 and SIGCHLD
const STACK = DATA + 192; // an alternate stack
const WORD = DATA + 256; // futexes, statuses, descriptors
const TEXT_OF_GUEST = DATA + 1536;
const FRAMES = DATA + 2048; // trapframe, then vextframe

const THREAD = host.CLONE_VM | host.CLONE_FILES | host.CLONE_SIGHAND | host.CLONE_THREAD;
const KINDS = {
  pid: fc.constantFrom(1, 1, 2, 2, 3, 4, 5, 6, 0, -1, -2),
  child: fc.constantFrom(-1, -1, -1, 0, 2, 3, 4),
  signal: fc.constantFrom(0, 10, 10, 10, 10, 12, 12, 14, 14, 17, 18, 18, 18, 19, 20, 65),
  deadly: fc.constantFrom(9, 11, 15, 33, 64),
  clone: fc.constantFrom(
    17,
    17,
    17,
    17,
    THREAD,
    THREAD,
    THREAD | host.CLONE_CHILD_CLEARTID,
    17 | host.CLONE_VM | host.CLONE_VFORK,
    0,
    65,
    host.CLONE_VM,
  ),
  wait: fc.constantFrom(0, 0, 1, 2, 8, 3, 10, 11, 64),
  waitid: fc.constantFrom(4, 4, 5, 6, 12, host.WNOWAIT | 4, 0, 7),
  action: fc.constantFrom(ACTION, ACTION, ACTION, 0, DATA + 8, 0x5000),
  mask: fc.constantFrom(MASK, MASK, WORD, 0, 0x5000),
  how: fc.constantFrom(0, 1, 2, 2, 3),
  time: fc.constantFrom(TIME, TIME, TIME, WORD, 0x5000),
  timer: fc.constantFrom(TIMER, TIMER, WORD, 0, 0x5000),
  address: fc.constantFrom(0, WORD, WORD, WORD + 4, WORD + 8, DATA + 4090, TEXT, 0x5000),
  stack: fc.constantFrom(STACK, STACK, 0, 0x5000, DATA + 4090),
  word: fc.constantFrom(WORD, WORD + 4, WORD + 8, WORD + 1, 0x5000),
  futex: fc.constantFrom(0, 0, 1, 1, 3, 4, 9, 10, 128, 129, 131, 6),
  small: fc.constantFrom(0, 0, 1, 2, 3, -1),
  fd: fc.constantFrom(0, 1, 3, 3, 4, 5, 6),
  length: fc.constantFrom(0, 1, 8, 100, 5000),
  frames: fc.constantFrom(FRAMES, FRAMES, FRAMES, FRAMES + 1, 0x5000),
  extended: fc.constantFrom(FRAMES + 512, FRAMES + 512, 0x5000),
  guest: fc.constantFrom(GUEST, GUEST, GUEST + 4096, 0),
  zero: fc.constant(0),
  one: fc.constant(1),
  eight: fc.constant(8),
  name: fc.constantFrom(WORD + 1024, WORD, 0x5000),
} as const;

const CALLS: readonly (readonly [nr: number, ...kinds: readonly (keyof typeof KINDS)[]])[] = [
  [host.SYS_clone, 'clone', 'zero', 'word', 'zero', 'word'],
  [host.SYS_clone, 'clone', 'zero', 'word', 'zero', 'word'],
  [host.SYS_wait4, 'child', 'address', 'wait', 'address'],
  [host.SYS_waitid, 'small', 'child', 'address', 'waitid', 'zero'],
  [host.SYS_kill, 'pid', 'signal'],
  [host.SYS_tkill, 'pid', 'signal'],
  [host.SYS_tgkill, 'pid', 'pid', 'signal'],
  [host.SYS_rt_sigaction, 'signal', 'action', 'address', 'eight'],
  [host.SYS_rt_sigaction, 'signal', 'action', 'zero', 'eight'],
  [host.SYS_rt_sigprocmask, 'how', 'mask', 'address', 'eight'],
  [host.SYS_rt_sigsuspend, 'mask', 'eight'],
  [host.SYS_rt_sigtimedwait, 'mask', 'address', 'time', 'eight'],
  [host.SYS_rt_sigpending, 'address', 'eight'],
  [host.SYS_rt_sigqueueinfo, 'pid', 'signal', 'address'],
  [host.SYS_sigaltstack, 'stack', 'address'],
  [host.SYS_setitimer, 'small', 'timer', 'address'],
  [host.SYS_getitimer, 'small', 'address'],
  [host.SYS_nanosleep, 'time', 'address'],
  [host.SYS_ppoll, 'zero', 'zero', 'time', 'zero'],
  [host.SYS_futex, 'word', 'futex', 'small', 'time', 'word', 'small'],
  [host.SYS_futex, 'word', 'futex', 'zero', 'zero', 'word', 'zero'],
  [host.SYS_pipe2, 'word', 'zero'],
  [host.SYS_read, 'fd', 'word', 'length'],
  [host.SYS_write, 'fd', 'word', 'length'],
  [host.SYS_close, 'fd'],
  [host.SYS_dup3, 'fd', 'fd', 'zero'],
  [host.SYS_setpgid, 'pid', 'pid'],
  [host.SYS_setsid],
  [host.SYS_sched_yield],
  [host.SYS_set_tid_address, 'word'],
  [host.SYS_vmspace_create, 'one', 'zero', 'zero'],
  [host.SYS_vmspace_ctl, 'one', 'one', 'frames', 'extended'],
  [host.SYS_vmspace_ctl, 'one', 'one', 'frames', 'extended'],
  [host.SYS_vmspace_destroy, 'one'],
  [host.SYS_vmspace_mcontrolv, 'word', 'one'],
  [host.SYS_mlockall, 'small'],
  [host.SYS_munlockall],
];

/** Those that mostly end somebody. */
const DEADLY: typeof CALLS = [
  [host.SYS_rt_sigreturn],
  [host.SYS_execve, 'name', 'zero', 'zero'],
  [host.SYS_exit, 'small'],
  [host.SYS_kill, 'pid', 'deadly'],
  [host.SYS_rt_sigaction, 'deadly', 'action', 'address', 'eight'],
];

const anyCall = fc
  .oneof({ weight: 20, arbitrary: fc.constantFrom(...CALLS) }, { weight: 1, arbitrary: fc.constantFrom(...DEADLY) })
  .chain(([nr, ...kinds]) => fc.record({ nr: fc.constant(nr), args: fc.tuple(...kinds.map((kind) => KINDS[kind])) }));

/** The program: makes the calls of the table in S0, S1 of them; handlers return at once. */
function program(calls: readonly { readonly nr: number; readonly args: readonly number[] }[], xlen: 32 | 64): Uint8Array {
  const word = xlen / 8;
  const load = word === 8 ? ld : lw;
  const registers = [A0, A1, A2, A3, A4, A5, A6, A7];
  const loop = [...registers.map((register, i) => load(register, i * word, S0)), ECALL, addi(S0, S0, 8 * word), addi(S1, S1, -1)];
  const handler = [...li(A7, host.SYS_rt_sigreturn), ECALL];
  const text = [
    ...li(S0, TABLE),
    ...li(S1, calls.length),
    ...loop,
    bne(S1, ZERO, -4 * loop.length),
    addi(A0, ZERO, 0),
    ...li(A7, host.SYS_exit),
    ECALL,
  ];
  const table = new DataView(new ArrayBuffer(calls.length * 8 * word));
  const put = (view: DataView, at: number, value: number): void => {
    view.setInt32(at, value, true);
    if (word === 8) view.setInt32(at + 4, value < 0 ? -1 : 0, true);
  };
  for (const [i, call] of calls.entries()) {
    for (let k = 0; k < 8; k++) put(table, (i * 8 + k) * word, k === 7 ? call.nr : (call.args[k] ?? 0));
  }
  const data = new DataView(new ArrayBuffer(4096));
  put(data, 0, TEXT + 4 * text.length); // handler
  put(data, word, host.SA_SIGINFO | host.SA_ONSTACK);
  data.setInt32(TIME + 8 - DATA, 1000, true);
  put(data, TIMER + word - DATA, 30);
  put(data, TIMER + 3 * word - DATA, 30);
  data.setInt32(MASK - DATA, (1 << 9) | (1 << 16), true);
  put(data, STACK - DATA, DATA + 4096);
  put(data, STACK + 2 * word - DATA, 4096);
  data.setInt32(FRAMES - DATA, GUEST, true);
  for (let i = 0; i < 120; i++) data.setInt32(TEXT_OF_GUEST + 4 * i - DATA, i === 119 ? ECALL : addi(A0, A0, 1), true);
  new Uint8Array(data.buffer).set(new TextEncoder().encode('/again'), WORD + 1024 - DATA);
  return buildElf({
    xlen,
    entry: TEXT,
    segments: [
      { va: TEXT, bytes: code([...text, ...handler]) },
      { va: DATA, bytes: new Uint8Array(data.buffer), memBytes: 8192, flags: 6 },
      { va: TABLE, bytes: new Uint8Array(table.buffer), flags: 4 },
    ],
  });
}

/** Handlers, a timer, and a space with a program of 120 instructions. */
const PREAMBLE = [
  ...[10, 12, 14, 17].map((signal) => ({ nr: host.SYS_rt_sigaction, args: [signal, ACTION, 0, 8] })),
  { nr: host.SYS_setitimer, args: [0, TIMER, 0] },
  { nr: host.SYS_vmspace_create, args: [1, 0, 0] },
  { nr: host.SYS_vmspace_mmap, args: [1, GUEST, 4096, 7, 0x1011, -1, 0] },
  { nr: host.SYS_vmspace_pwrite, args: [1, TEXT_OF_GUEST, 480, 0, GUEST] },
];

/** What has happened, so that a test that tests nothing is noticed. */
interface Seen {
  processes: number; // most of one run
  lwps: number; // most of one process
  zombies: number; // steps with one
  inside: number; // steps with an lwp inside a RUN
  signals: number; // handlers
}

/** Runs for a while, ends all that is left, and checks that nothing of it is. */
function finish(machine: Boot, first: host.Process, steps: number, seen: Seen): void {
  const { kernel } = machine;
  for (let i = 0; i < steps; i++) {
    if (!kernel.step()) break;
    kernel.assertInvariants();
    for (const process of kernel.processes) {
      seen.processes = Math.max(seen.processes, process.pid);
      seen.lwps = Math.max(seen.lwps, process.lwps.length);
      if (process.isTakenApart) seen.zombies++;
      for (const lwp of process.lwps) if (lwp.run.guest !== null) seen.inside++;
    }
  }
  seen.signals += kernel.counters.signals;
  for (const process of kernel.processes) kernel.kill(process);
  machine.finish(first);
  if ([...kernel.processes].length > 0) throw new Error('a process is left');
}

test.each([32, 64] as const)('random programs of several processes and lwps, rv%i', (xlen) => {
  const calls = fc.array(anyCall, { minLength: 20, maxLength: 50, size: 'max' }).map((list) => [...PREAMBLE, ...list]);
  const seen: Seen = { processes: 0, lwps: 0, zombies: 0, inside: 0, signals: 0 };
  fc.assert(
    fc.property(calls, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 40, max: 1000 }), (list, harts, timeSlice) => {
      const file = program(list, xlen);
      const machine = boot({ ramBytes: 2 ** 20, timeSlice, harts, files: new Map([['/again', file]]) });
      const process = machine.kernel.spawnElf(file, ['hostile'], []);
      if ('reason' in process) throw new Error(process.reason);
      finish(machine, process, 200, seen);
    }),
    { numRuns: 25, seed: 3 }, // one that makes all of these happen
  );
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(1);
});
