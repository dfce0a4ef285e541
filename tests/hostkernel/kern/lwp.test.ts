/** Several lwps: who runs when, who sleeps on what, and what happens when nobody can run. */

import { describe, expect, test } from 'vitest';
import { EAGAIN, EBADF, ECHILD, EINTR, EINVAL, EOPNOTSUPP, EPIPE } from '../../../hostkernel/base/errno.ts';
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  FUTEX_WAIT,
  FUTEX_WAKE,
  type Host,
  type HostWait,
  MAP_ANON,
  MAP_SHARED,
  RUN_PREEMPTED,
  SIGALRM,
  SIGCHLD,
  SIGPIPE,
  SIGTERM,
  SIGUSR1,
  SIGUSR2,
  SYS_close,
  SYS_futex,
  SYS_getpid,
  SYS_gettid,
  SYS_kill,
  SYS_nanosleep,
  SYS_pipe2,
  SYS_ppoll,
  SYS_read,
  SYS_rt_sigaction,
  SYS_rt_sigprocmask,
  SYS_rt_sigsuspend,
  SYS_rt_sigtimedwait,
  SYS_setitimer,
  SYS_tgkill,
  SYS_vmspace_destroy,
  SYS_wait4,
  SYS_write,
} from '../../../hostkernel/kern/index.ts';
import { A0, addi, ECALL, j, li, syscall, T0, ZERO, bne } from './assembler.ts';
import { boot, type Boot, spawnCode } from './boot.ts';
import { TestVkernel } from './vkernel.ts';

const TEXT = 0x1_0000;

/** A system call, repeated as long as it waits. */
function* call(host: Host, nr: number, ...args: readonly number[]): Generator<HostWait, number, void> {
  const [a0, a1, a2, a3, a4, a5] = args;
  for (;;) {
    const result = host.syscall(nr, a0, a1, a2, a3, a4, a5);
    if (result !== RUN_PREEMPTED) return result;
    yield;
  }
}

/** A page of memory. */
function page(host: Host): number {
  return host.syscall(222, 0, 4096, READ | WRITE, MAP_SHARED | MAP_ANON, -1, 0);
}

/** Runs one TypeScript program, which must return 0. */
function runProgram(program: (host: Host) => Generator<HostWait, number, void>, options: Parameters<typeof boot>[0] = {}): Boot {
  const machine = boot(options);
  expect(machine.finish(machine.kernel.spawnBody('test', program, 64))).toEqual({ code: 0 });
  return machine;
}

/** Catches `signal`. */
function catches(host: Host, signal: number): void {
  const at = page(host);
  host.memory.store64(at, 2);
  expect(host.syscall(SYS_rt_sigaction, signal, at, 0, 8)).toBe(0);
}

describe('TypeScript lwps', () => {
  test('share memory and descriptors, have numbers of their own, and wait for each other by futex', () => {
    const machine = runProgram(function* (host) {
      const at = page(host);
      const numbers: number[] = [];
      for (const value of [1, 2]) {
        const tid = host.createLwp(function* (other) {
          numbers.push(other.syscall(SYS_gettid));
          expect(other.syscall(SYS_getpid)).toBe(host.syscall(SYS_getpid));
          yield;
          other.memory.store32(at, other.memory.load32(at) + value);
          other.syscall(SYS_futex, at, FUTEX_WAKE, 1);
          return 77;
        });
        expect(tid).toBeGreaterThan(host.syscall(SYS_getpid));
        numbers.push(tid);
      }
      for (;;) {
        const value = host.memory.load32(at);
        if (value === 3) break;
        expect([0, -EAGAIN]).toContain(yield* call(host, SYS_futex, at, FUTEX_WAIT, value, 0));
      }
      expect(new Set(numbers).size).toBe(2);
      return 0;
    });
    expect(machine.kernel.counters.idle).toBe(0);
  });

  test('the last to end gives the code, if the first has not', () => {
    const machine = boot();
    const process = machine.kernel.spawnBody(
      'test',
      function* (host) {
        host.createLwp(function* () {
          yield;
          yield;
          return 9;
        });
        return 5;
      },
      64,
    );
    expect(machine.finish(process)).toEqual({ code: 5 });
  });

  test('sleep while the clock runs to the time they wait for', () => {
    const machine = runProgram(function* (host) {
      const at = page(host);
      host.memory.store64(at, 3);
      host.memory.store64(at + 8, 5);
      expect(yield* call(host, SYS_nanosleep, at, 0)).toBe(0);
      host.memory.store64(at + 8, 1e9);
      expect(yield* call(host, SYS_nanosleep, at, 0)).toBe(-EINVAL);
      return 0;
    });
    expect(machine.machine.clock.now()).toBeGreaterThan(3e9);
    expect(machine.machine.clock.now()).toBeLessThan(3e9 + 1e6);
    expect(machine.kernel.counters.idle).toBeGreaterThan(2.9e9);
    expect(machine.kernel.counters.steps).toBeLessThan(5);
  });

  test('give up waiting by another call', () => {
    runProgram(function* (host) {
      const at = page(host);
      expect(host.syscall(SYS_futex, at, FUTEX_WAIT, 0, 0)).toBe(RUN_PREEMPTED);
      expect(host.syscall(SYS_getpid)).toBeGreaterThan(0);
      yield; // would be for ever
      return 0;
    });
  });

  test('pass bytes through a pipe, and hear when the other side is gone', () => {
    runProgram(function* (host) {
      const at = page(host);
      expect(host.syscall(SYS_pipe2, at, 0)).toBe(0);
      const [from, to] = [host.memory.load32(at), host.memory.load32(at + 4)];
      host.createLwp(function* (other) {
        const source = other.syscall(222, 0, 200_000, READ | WRITE, MAP_SHARED | MAP_ANON, -1, 0);
        expect(yield* call(other, SYS_write, to, source, 200_000)).toBe(200_000);
        expect(other.syscall(SYS_close, to)).toBe(0);
        return 0;
      });
      let total = 0;
      for (;;) {
        const n = yield* call(host, SYS_read, from, at, 4096);
        if (n === 0) break;
        total += n;
      }
      expect(total).toBe(200_000);
      expect(host.syscall(SYS_read, to, at, 1)).toBe(-EBADF);
      catches(host, SIGPIPE);
      expect(host.syscall(SYS_pipe2, at, 0)).toBe(0);
      host.syscall(SYS_close, host.memory.load32(at));
      expect(host.syscall(SYS_write, host.memory.load32(at + 4), at, 1)).toBe(-EPIPE);
      expect(host.takeSignal()).toBe(SIGPIPE);
      return 0;
    });
  });

  test('have no children', () => {
    runProgram(function* (host) {
      expect(yield* call(host, SYS_wait4, -1, 0, 0, 0)).toBe(-ECHILD);
      expect(host.syscall(SYS_rt_sigsuspend, page(host), 8)).toBe(-EOPNOTSUPP);
      return 0;
    });
  });
});

describe('signals of TypeScript programs', () => {
  test('one that is caught is taken once; one that is not ends the process', () => {
    const machine = boot();
    const process = machine.kernel.spawnBody(
      'test',
      function* (host) {
        catches(host, SIGUSR1);
        expect(host.takeSignal()).toBe(0);
        expect(host.syscall(SYS_kill, 1, SIGUSR1)).toBe(0);
        expect([host.takeSignal(), host.takeSignal()]).toEqual([SIGUSR1, 0]);
        expect(host.syscall(SYS_kill, 1, SIGCHLD)).toBe(0); // ignored
        expect(host.takeSignal()).toBe(0);
        host.syscall(SYS_kill, 1, SIGTERM);
        yield;
        return 0; // not reached
      },
      64,
    );
    expect(machine.finish(process)).toMatchObject({ signal: SIGTERM, refusal: 'sent by process 1' });
  });

  test('one that is blocked waits until it is not', () => {
    runProgram(function* (host) {
      const at = page(host);
      catches(host, SIGUSR1);
      host.memory.store64(at, 1 << (SIGUSR1 - 1));
      expect(host.syscall(SYS_rt_sigprocmask, 0, at, 0, 8)).toBe(0);
      host.syscall(SYS_kill, 1, SIGUSR1);
      expect(host.takeSignal()).toBe(0);
      expect(host.syscall(SYS_rt_sigprocmask, 1, at, 0, 8)).toBe(0);
      expect(host.takeSignal()).toBe(SIGUSR1);
      yield;
      return 0;
    });
  });

  test('one that is caught ends what waits, one for another lwp does not', () => {
    runProgram(function* (host) {
      const at = page(host);
      catches(host, SIGUSR1);
      const first = host.syscall(SYS_gettid);
      const other = host.createLwp(function* (second) {
        expect(yield* call(second, SYS_ppoll, 0, 0, 0, 0, 0)).toBe(-EINTR);
        expect(second.takeSignal()).toBe(SIGUSR1);
        second.syscall(SYS_tgkill, 1, first, SIGUSR1);
        return 0;
      });
      yield;
      host.syscall(SYS_tgkill, 1, other, SIGUSR1);
      expect(host.takeSignal()).toBe(0);
      expect(yield* call(host, SYS_futex, at, FUTEX_WAIT, 0, 0)).toBe(-EINTR);
      expect(host.takeSignal()).toBe(SIGUSR1);
      return 0;
    });
  });

  test('rt_sigtimedwait takes a blocked one, or the time passes', () => {
    runProgram(function* (host) {
      const at = page(host);
      host.memory.store64(at, 1 << (SIGUSR2 - 1));
      host.memory.store64(at + 16, 0);
      host.memory.store64(at + 24, 1000);
      host.syscall(SYS_rt_sigprocmask, 0, at, 0, 8);
      expect(yield* call(host, SYS_rt_sigtimedwait, at, 0, at + 16, 8)).toBe(-EAGAIN);
      host.createLwp(function* (other) {
        other.syscall(SYS_kill, 1, SIGUSR2);
        yield;
        return 0;
      });
      expect(yield* call(host, SYS_rt_sigtimedwait, at, at + 64, 0, 8)).toBe(SIGUSR2);
      expect([host.memory.load32(at + 64), host.memory.load32(at + 64 + 16)]).toEqual([SIGUSR2, 1]);
      return 0;
    });
  });

  test('one that is due ends a RUN with trapno 0, with the guest as far as it has come', () => {
    runProgram(
      function* (host) {
        const vkernel = new TestVkernel(host);
        const root = vkernel.newSpace(1);
        vkernel.load(root, TEXT, [addi(A0, A0, 1), j(-4)]);
        vkernel.reset(TEXT);
        catches(host, SIGALRM);
        const at = page(host);
        host.memory.store64(at + 24, 1000); // 1 ms
        expect(host.syscall(SYS_setitimer, 0, at, 0)).toBe(0);
        expect(yield* vkernel.runPolitely(1)).toBe(0);
        const come = vkernel.x(A0);
        expect(come).toBeGreaterThan(490_000);
        expect(come).toBeLessThanOrEqual(500_000);
        expect(yield* vkernel.runPolitely(1)).toBe(0); // still due: the guest does not run
        expect(vkernel.x(A0)).toBe(come);
        expect([host.takeSignal(), host.takeSignal()]).toEqual([SIGALRM, 0]);
        return 0;
      },
      { timeSlice: 10_000_000 },
    );
  });
});

test('a deadlock ends with a report of who waits for what', () => {
  const machine = boot();
  const process = machine.kernel.spawnBody(
    'stuck',
    function* (host) {
      const at = page(host);
      host.syscall(SYS_pipe2, at, 0);
      const from = host.memory.load32(at);
      host.createLwp(function* (other) {
        return yield* call(other, SYS_futex, at + 64, FUTEX_WAIT, 0, 0);
      });
      return yield* call(host, SYS_read, from, at, 1);
    },
    64,
  );
  const status = machine.finish(process);
  expect(status).toMatchObject({
    signal: 9,
    refusal: expect.stringMatching(/^deadlock: lwp 1 waits for input from a pipe, lwp 2 waits for futex /),
  });
  expect(machine.messages.join()).toContain('deadlock');
});

test('a step that finds nobody ready lets time pass; without a time it says so and kills nobody', () => {
  const machine = boot();
  const { kernel } = machine;
  const process = kernel.spawnBody(
    'test',
    function* (host) {
      catches(host, SIGUSR1);
      expect(yield* call(host, SYS_ppoll, 0, 0, 0, 0, 0)).toBe(-EINTR);
      return 0;
    },
    64,
  );
  expect(kernel.step()).toBe(true);
  expect(kernel.step()).toBe(false);
  expect(process.exitStatus).toBe(null);
  kernel.sendSignal(process, SIGUSR1);
  expect(machine.finish(process)).toEqual({ code: 0 });
});

test.each([1, 2, 3, 4])('steps take turns on %i harts, and programs do not notice', (harts) => {
  const machine = boot({ harts, timeSlice: 100 });
  const used = new Set<number>();
  const count = [...li(T0, 3000), addi(T0, T0, -1), bne(T0, ZERO, -4), ...syscall(93, 7)];
  const processes = [1, 2, 3].map(() => spawnCode(machine, count));
  while (machine.kernel.step()) used.add(machine.machine.hart.id);
  expect(processes.map((process) => process.exitStatus)).toEqual([{ code: 7 }, { code: 7 }, { code: 7 }]);
  expect(used.size).toBe(harts);
});

test('spaces: several lwps in one at once, and in several, each with its own frames', () => {
  const machine = runProgram(
    function* (host) {
      const vkernel = new TestVkernel(host);
      for (const id of [1, 2]) vkernel.load(vkernel.newSpace(id), TEXT, [addi(T0, T0, -1), addi(A0, A0, 1), bne(T0, ZERO, -8), ECALL]);
      const done = page(host);
      for (const [lwp, id] of [1, 1, 2].entries()) {
        host.createLwp(function* (other) {
          const frames = page(other);
          for (let round = 0; round < 5; round++) {
            other.memory.fill(frames, 4096, 0);
            other.memory.store64(frames, TEXT);
            other.memory.store64(frames + 8 * T0, 1000 * (lwp + 1));
            for (;;) {
              const result = other.run(id, frames, frames + 1024);
              if (result === 0) break;
              expect(result).toBe(RUN_PREEMPTED);
              yield;
            }
            expect(other.memory.load32(frames + 256)).toBe(8);
            expect(other.memory.load32(frames + 8 * A0)).toBe(1000 * (lwp + 1));
          }
          other.memory.store32(done, other.memory.load32(done) + 1);
          return 0;
        });
      }
      while (host.memory.load32(done) < 3) yield;
      for (const id of [1, 2]) expect(host.syscall(SYS_vmspace_destroy, id)).toBe(0);
      return 0;
    },
    { timeSlice: 300 },
  );
  expect(machine.kernel.counters.runs).toBeGreaterThan(15);
});
