/** Calls that wait: what happens to them while they do. */
import { expect, test } from 'vitest';
import { EINTR } from '../../../hostkernel/base/errno.ts';
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  type Host,
  type HostWait,
  MAP_ANON,
  MAP_SHARED,
  RUN_PREEMPTED,
  SIGALRM,
  SIGUSR1,
  SYS_mmap,
  SYS_nanosleep,
  SYS_pipe2,
  SYS_read,
  SYS_rt_sigaction,
  SYS_setitimer,
  SYS_tgkill,
  SYS_getpid,
  SYS_write,
  SYS_writev,
} from '../../../hostkernel/kern/index.ts';
import { boot } from './boot.ts';

/** A system call, repeated as long as it waits. */
function* call(host: Host, nr: number, ...args: readonly number[]): Generator<HostWait, number, void> {
  const [a0, a1, a2, a3] = args;
  for (;;) {
    const result = host.syscall(nr, a0, a1, a2, a3);
    if (result !== RUN_PREEMPTED) return result;
    yield;
  }
}

const pages = (host: Host, bytes: number): number => host.syscall(SYS_mmap, 0, bytes, READ | WRITE, MAP_SHARED | MAP_ANON, -1, 0);

function pipe(host: Host): readonly [number, number] {
  const at = pages(host, 4096);
  expect(host.syscall(SYS_pipe2, at, 0)).toBe(0);
  return [host.memory.load32(at), host.memory.load32(at + 4)];
}

function catches(host: Host, signal: number): void {
  const at = pages(host, 4096);
  host.memory.store64(at, 2);
  expect(host.syscall(SYS_rt_sigaction, signal, at, 0, 8)).toBe(0);
}

test('a signal reaches who was woken for nothing and sleeps again', () => {
  const machine = boot();
  const results: number[] = [];
  const process = machine.kernel.spawnBody(
    'test',
    function* (host) {
      catches(host, SIGUSR1);
      const [input, output] = pipe(host);
      const buffer = pages(host, 4096);
      const readers = [0, 1].map((i) =>
        host.createLwp(function* (reader) {
          results[i] = yield* call(reader, SYS_read, input, buffer + i, 1);
          return 0;
        }),
      );
      yield;
      host.syscall(SYS_write, output, buffer, 1); // wakes both, and is enough for one
      yield;
      yield;
      host.syscall(SYS_tgkill, host.syscall(SYS_getpid), readers[1], SIGUSR1);
      return 0;
    },
    64,
  );
  expect(machine.finish(process)).toEqual({ code: 0 });
  expect(results).toEqual([1, -EINTR]);
});

test('a vector that shrinks while its first buffer is on the way into a pipe', () => {
  const machine = boot();
  let written = 0;
  const process = machine.kernel.spawnBody(
    'test',
    function* (host) {
      const [input, output] = pipe(host);
      const buffer = pages(host, 0x20000);
      const vector = pages(host, 4096);
      host.memory.store64(vector, buffer);
      host.memory.store64(vector + 8, 0x20000);
      host.createLwp(function* (other) {
        written = yield* call(other, SYS_writev, output, vector, 1);
        return 0;
      });
      yield;
      host.memory.store64(vector + 8, 10);
      expect(host.syscall(SYS_read, input, buffer, 4096)).toBe(4096);
      return 0;
    },
    64,
  );
  expect(machine.finish(process)).toEqual({ code: 0 });
  expect(written).toBe(65536);
});

test('an interval timer does not go round for ever where the clock cannot tell its beats apart', () => {
  const machine = boot();
  const process = machine.kernel.spawnBody(
    'test',
    function* (host) {
      catches(host, SIGALRM);
      const at = pages(host, 4096);
      host.memory.store64(at, 4_000_000); // seconds
      for (let i = 0; i < 8192; i++) expect(yield* call(host, SYS_nanosleep, at, 0)).toBe(0);
      host.memory.store64(at, 0);
      for (const offset of [8, 24]) host.memory.store64(at + offset, 1); // every microsecond
      expect(host.syscall(SYS_setitimer, 0, at, 0)).toBe(0);
      yield;
      return host.takeSignal();
    },
    64,
  );
  expect(machine.finish(process)).toEqual({ code: SIGALRM });
});
