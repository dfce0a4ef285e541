/** Several processes of the posix server: what fork, wait, groups, signals, pipes and the terminal make of each other. */
import { describe, expect, test } from 'vitest';
import { EAGAIN, ECHILD, EINTR, EINVAL, EIO, ENOMEM, ENOSYS, ENOTTY, EPERM, ESRCH } from '../../../hostkernel/base/errno.ts';
import { Guest, type GuestOptions, SCRATCH } from './guest.ts';

const DATA = SCRATCH + 0x1000;
const TERMINAL = [true, true, true] as const;
const [SIGHUP, SIGKILL, SIGUSR1, SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU] = [1, 9, 10, 17, 18, 19, 20, 21, 22];
const [WNOHANG, WUNTRACED, WEXITED, WCONTINUED, WNOWAIT] = [1, 2, 4, 8, 0x0100_0000];
const [VM, VFORK, FILES, THREAD, SIGHAND] = [0x100, 0x4000, 0x400, 0x10000, 0x800];
const HANDLER = 0x20000;

const first = (options: GuestOptions = {}): Guest => new Guest({ processes: true, ...options });

function fork(parent: Guest, flags = 0): Guest {
  const pid = parent.syscall(220, flags | SIGCHLD);
  expect(pid).toBeGreaterThan(0);
  expect(parent.newest.result).toBe(0);
  return parent.newest;
}
const pidOf = (guest: Guest): number => guest.syscall(172);
const exit = (guest: Guest, code: number): number => guest.syscall(93, code);
/** wait4. @returns the pid and the status word */
function wait(guest: Guest, pid = -1, options = 0): readonly [pid: number, status: number] {
  guest.write(DATA, new Uint8Array(4));
  guest.syscall(260, pid, DATA, options, 0);
  return waited(guest);
}
const waited = (guest: Guest): readonly [pid: number, status: number] => [guest.result, guest.view(DATA, 4).getInt32(0, true)];
const kill = (guest: Guest, pid: number, signal: number): number => guest.syscall(129, pid, signal);

function handle(guest: Guest, signal: number, options: { flags?: number; handler?: number } = {}): void {
  const view = new DataView(new ArrayBuffer(24));
  view.setUint32(0, options.handler ?? HANDLER, true);
  view.setUint32(8, options.flags ?? 0, true);
  guest.write(DATA, new Uint8Array(view.buffer));
  expect(guest.syscall(134, signal, DATA, 0, 8)).toBe(0);
}
const isInHandler = (guest: Guest): boolean => guest.x[0] === HANDLER;

function pipe(guest: Guest): readonly [reader: number, writer: number] {
  expect(guest.syscall(59, DATA, 0)).toBe(0);
  const view = guest.view(DATA, 8);
  return [view.getInt32(0, true), view.getInt32(4, true)];
}

describe('clone', () => {
  test('a child has memory, registers and files of its own that are as its parent had them', () => {
    const parent = first();
    parent.write(SCRATCH, new Uint8Array([1]));
    parent.x[2 * 18] = 77;
    const child = fork(parent);
    expect([child.x[2 * 18], child.read(SCRATCH, 1)[0]]).toEqual([77, 1]);
    child.write(SCRATCH, new Uint8Array([2]));
    expect(parent.read(SCRATCH, 1)[0]).toBe(1);
    expect(pidOf(child)).toBe(parent.result);
    expect(child.syscall(173)).toBe(pidOf(parent));
    expect(child.syscall(57, 1)).toBe(0);
    expect(parent.syscall(25, 1, 1, 0)).toBe(0); // its own descriptor is open
  });
  test('a stack and a tls of its own', () => {
    const parent = first();
    parent.syscall(220, SIGCHLD | 0x80000, 0x5000, 0, 0x6000, 0);
    expect([parent.newest.x[4], parent.newest.x[8]]).toEqual([0x5000, 0x6000]);
    expect(parent.x[4]).not.toBe(0x5000);
  });
  test('tids are stored where they are asked for', () => {
    const parent = first();
    const pid = parent.syscall(220, SIGCHLD | 0x100000 | 0x1000000, 0, DATA, 0, DATA + 8);
    expect(parent.view(DATA, 16).getInt32(0, true)).toBe(pid);
    expect(parent.view(DATA, 16).getInt32(8, true)).toBe(0);
    expect(parent.newest.view(DATA, 16).getInt32(8, true)).toBe(pid);
  });
  test.each([
    ['a thread', VM | SIGHAND | THREAD, ENOSYS],
    ['shared memory without waiting', VM, ENOSYS],
    ['a thread without shared handlers', THREAD, EINVAL],
    ['shared handlers without shared memory', SIGHAND, EINVAL],
    ['a new namespace', 0x20000000, EPERM],
    ['a signal that does not exist', 65, EINVAL],
  ])('%s is refused', (_what, flags, errno) => {
    const guest = first();
    expect(guest.syscall(220, flags)).toBe(-errno);
    expect(guest.reports.length).toBe(errno === ENOSYS ? 1 : 0);
    expect(wait(guest)[0]).toBe(-ECHILD);
  });
  test('clone3 says the same with a structure', () => {
    const parent = first();
    const words = new BigUint64Array(11);
    words[4] = BigInt(SIGCHLD);
    [words[5], words[6]] = [0x4000n, 0x1000n];
    parent.write(DATA, new Uint8Array(words.buffer));
    const pid = parent.syscall(435, DATA, 88);
    expect(pid).toBeGreaterThan(0);
    expect(parent.newest.x[4]).toBe(0x5000);
    words[6] = 0n;
    parent.write(DATA, new Uint8Array(words.buffer));
    expect([parent.syscall(435, DATA, 88), parent.syscall(435, DATA, 56), parent.syscall(435, DATA, 96)]).toEqual([-EINVAL, -EINVAL, -7]);
  });
  test('a refused task leaves nothing behind', () => {
    const parent = first();
    const [reader, writer] = pipe(parent);
    parent.world.refusal = -ENOMEM;
    expect(parent.syscall(220, SIGCHLD)).toBe(-ENOMEM);
    expect(wait(parent)[0]).toBe(-ECHILD);
    parent.syscall(57, writer);
    expect(parent.syscall(63, reader, DATA, 1)).toBe(0); // nobody else holds the end
  });
  test('a child whose hart cannot begin ends, and its parent hears of it', () => {
    const parent = first();
    parent.world.harts = 'none';
    const pid = parent.syscall(220, SIGCHLD);
    expect(pid).toBeGreaterThan(0);
    expect(wait(parent)).toEqual([pid, SIGKILL]);
  });
  test('RLIMIT_NPROC counts zombies too', () => {
    const parent = first();
    const limit = new BigUint64Array([3n, 3n]);
    parent.write(DATA, new Uint8Array(limit.buffer));
    expect(parent.syscall(261, 0, 6, DATA, 0)).toBe(0);
    exit(fork(parent), 0);
    fork(parent);
    expect(parent.syscall(220, SIGCHLD)).toBe(-EAGAIN);
    expect(wait(parent)[0]).toBeGreaterThan(0);
    fork(parent);
  });
  test('shared descriptors are shared until execve', () => {
    const parent = first();
    const child = fork(parent, FILES);
    expect(child.syscall(57, 0)).toBe(0);
    expect(parent.syscall(57, 0)).toBe(-9);
    expect(child.syscall(221, child.text(DATA, '/bin/prog'), 0, 0)).toBe(0);
    child.map(SCRATCH, 2);
    expect(child.syscall(57, 1)).toBe(0);
    expect(parent.syscall(57, 1)).toBe(0);
  });
});

describe('vfork', () => {
  const vfork = (guest: Guest, stack = 0): void => void guest.syscall(220, VM | VFORK | SIGCHLD, stack);
  test("the child runs in its parent's place, which has its registers back at the end", () => {
    const guest = first();
    const pid = pidOf(guest);
    const before = guest.x.slice();
    vfork(guest, 0x7000);
    expect([guest.result, guest.x[4]]).toEqual([0, 0x7000]);
    const child = pidOf(guest);
    expect([child === pid, guest.syscall(173)]).toEqual([false, pid]);
    guest.write(SCRATCH, new Uint8Array([9]));
    guest.x[2 * 9] = 1234;
    exit(guest, 5);
    expect([guest.result, pidOf(guest), guest.read(SCRATCH, 1)[0]]).toEqual([child, pid, 9]);
    expect([guest.x[4], guest.x[2 * 9]]).toEqual([before[4], before[2 * 9]]);
    expect(wait(guest)).toEqual([child, 5 << 8]);
  });
  test('or at its execve, in a place of its own', () => {
    const guest = first();
    const pid = pidOf(guest);
    vfork(guest);
    const child = pidOf(guest);
    expect(guest.syscall(221, guest.text(DATA, '/none'), 0, 0)).toBe(-2);
    expect(pidOf(guest)).toBe(child);
    guest.syscall(221, guest.text(DATA, '/bin/prog'), 0, 0);
    expect([guest.result, pidOf(guest)]).toEqual([child, pid]);
    expect([guest.newest.started?.ip, pidOf(guest.newest)]).toEqual([0x10100, child]);
    exit(guest.newest, 3);
    expect(wait(guest)).toEqual([child, 3 << 8]);
  });
  test('an execve without room is an error of the child, and changes nothing', () => {
    const guest = first();
    vfork(guest);
    const child = pidOf(guest);
    guest.world.refusal = -ENOMEM;
    expect(guest.syscall(221, guest.text(DATA, '/bin/prog'), 0, 0)).toBe(-ENOMEM);
    expect(pidOf(guest)).toBe(child);
  });
});

describe('wait', () => {
  test('a parent waits until a child ends, and is told once', () => {
    const parent = first();
    const child = fork(parent);
    const pid = parent.result;
    expect(wait(parent, -1, WNOHANG)[0]).toBe(0);
    wait(parent);
    expect(parent.isWaiting).toBe(true);
    exit(child, 7);
    expect(parent.isWaiting).toBe(false);
    expect(waited(parent)).toEqual([pid, 7 << 8]);
    expect(wait(parent)[0]).toBe(-ECHILD);
    expect(kill(parent, pid, 0)).toBe(-ESRCH);
  });
  test('for a pid, a group, or the own group', () => {
    const parent = first();
    const [one, other] = [fork(parent), fork(parent)];
    const [pid, otherPid] = [pidOf(one), pidOf(other)];
    expect(one.syscall(154, 0, 0)).toBe(0);
    exit(one, 1);
    exit(other, 2);
    expect(wait(parent, pid + 100)[0]).toBe(-ECHILD);
    expect(wait(parent, 0)).toEqual([otherPid, 2 << 8]);
    expect(wait(parent, -pid)).toEqual([pid, 1 << 8]);
  });
  test('a signal is the low byte', () => {
    const parent = first();
    const pid = pidOf(fork(parent));
    expect(kill(parent, pid, SIGKILL)).toBe(0);
    expect(wait(parent)).toEqual([pid, SIGKILL]);
  });
  test('a stop and a continuation are told on request, once each', () => {
    const parent = first();
    const child = fork(parent);
    const pid = pidOf(child);
    kill(child, pid, SIGSTOP);
    expect(child.isWaiting).toBe(true);
    expect(wait(parent, -1, WNOHANG)[0]).toBe(0);
    expect(wait(parent, -1, WUNTRACED)).toEqual([pid, (SIGSTOP << 8) | 0x7f]);
    expect(wait(parent, -1, WUNTRACED | WNOHANG)[0]).toBe(0);
    kill(parent, pid, SIGCONT);
    expect(child.isWaiting).toBe(false);
    expect(wait(parent, -1, WCONTINUED)).toEqual([pid, 0xffff]);
    expect(wait(parent, -1, WCONTINUED | WNOHANG)[0]).toBe(0);
  });
  test('waitid tells more, and may leave the zombie', () => {
    const parent = first();
    const child = fork(parent);
    const pid = pidOf(child);
    expect(parent.syscall(95, 0, 0, DATA, WNOHANG | WEXITED, 0)).toBe(0);
    expect(parent.view(DATA, 16).getInt32(0, true)).toBe(0);
    exit(child, 4);
    for (const options of [WEXITED | WNOWAIT, WEXITED]) {
      expect(parent.syscall(95, 1, pid, DATA, options, 0)).toBe(0);
      const info = parent.view(DATA, 32);
      expect([0, 8, 16, 24].map((at) => info.getInt32(at, true))).toEqual([SIGCHLD, 1, pid, 4]);
    }
    expect([
      parent.syscall(95, 1, pid, DATA, WEXITED, 0),
      parent.syscall(95, 0, 0, DATA, 0, 0),
      parent.syscall(95, 9, 1, DATA, WEXITED, 0),
    ]).toEqual([-ECHILD, -EINVAL, -EINVAL]);
  });
  test('orphans go to the first process', () => {
    const parent = first();
    const child = fork(parent);
    const grandchild = fork(child);
    const pid = pidOf(grandchild);
    exit(child, 0);
    expect(grandchild.syscall(173)).toBe(pidOf(parent));
    expect(wait(parent)[0]).toBeGreaterThan(0);
    exit(grandchild, 6);
    expect(wait(parent)).toEqual([pid, 6 << 8]);
  });
  test('who ignores SIGCHLD has no zombies, and who sets SA_NOCLDWAIT neither', () => {
    for (const options of [{ handler: 1 }, { handler: 0, flags: 2 }]) {
      const parent = first();
      handle(parent, SIGCHLD, options);
      const child = fork(parent);
      wait(parent);
      expect(parent.isWaiting).toBe(true);
      exit(child, 0);
      expect([parent.isWaiting, parent.result]).toEqual([false, -ECHILD]);
    }
  });
  test('a handler ends the wait, or has it made again', () => {
    for (const flags of [0, 0x1000_0000]) {
      const parent = first();
      handle(parent, SIGUSR1, { flags });
      const pid = pidOf(parent);
      const child = fork(parent);
      const pc = parent.x[0];
      wait(parent);
      kill(child, pid, SIGUSR1);
      expect([parent.isWaiting, isInHandler(parent)]).toEqual([false, true]);
      const saved = parent.view((parent.x[4] >>> 0) + parent.x[5] * 2 ** 32 + 128 + 176, 256);
      expect(saved.getInt32(0, true)).toBe(flags === 0 ? pc : pc - 4);
      expect(saved.getInt32(80, true)).toBe(flags === 0 ? -EINTR : -1); // a0: the result, or the first argument
    }
  });
});

describe('signals between processes', () => {
  test('to one, to a group, to all others, to nobody', () => {
    const parent = first();
    const children = [fork(parent), fork(parent), fork(parent)];
    const group = pidOf(children[0]);
    expect(parent.syscall(154, group, group)).toBe(0);
    expect(parent.syscall(154, pidOf(children[1]), group)).toBe(0);
    expect(kill(parent, -group, SIGKILL)).toBe(0);
    expect(children.map(({ isGone }) => isGone)).toEqual([true, true, false]);
    expect(kill(parent, -1, SIGKILL)).toBe(0);
    expect([children[2].isGone, parent.exit]).toEqual([true, null]);
    for (let i = 0; i < 3; i++) expect(wait(parent)[0]).toBeGreaterThan(0);
    expect([kill(parent, -1, SIGKILL), kill(parent, -group, 0), kill(parent, 999, 0), kill(parent, 1, 99)]).toEqual([
      -ESRCH,
      -ESRCH,
      -ESRCH,
      -EINVAL,
    ]);
  });
  test('one that computes is stopped where it is', () => {
    const parent = first();
    const child = fork(parent);
    handle(child, SIGUSR1);
    expect(isInHandler(child)).toBe(false);
    kill(parent, pidOf(child), SIGUSR1);
    expect(isInHandler(child)).toBe(true);
  });
  test("SIGCHLD comes with a child's change, and not for stops with SA_NOCLDSTOP", () => {
    const parent = first();
    handle(parent, SIGCHLD, { flags: 1 });
    const child = fork(parent);
    const pid = pidOf(child);
    kill(child, pid, SIGSTOP);
    expect(isInHandler(parent)).toBe(false);
    kill(parent, pid, SIGKILL);
    expect(isInHandler(parent)).toBe(true);
  });
  test('a stopped process keeps what is sent to it; SIGKILL does not wait', () => {
    const parent = first();
    const child = fork(parent);
    const pid = pidOf(child);
    kill(child, pid, SIGSTOP);
    kill(parent, pid, SIGUSR1);
    expect(child.isGone).toBe(false);
    kill(parent, pid, SIGCONT);
    expect(child.isGone).toBe(true);
    const other = fork(parent);
    kill(other, pidOf(other), SIGSTOP);
    kill(parent, pid + 1, SIGKILL);
    expect(other.isGone).toBe(true);
  });
  test('SIGCONT takes back a stop that is pending, and the other way round', () => {
    const parent = first();
    const child = fork(parent);
    const pid = pidOf(child);
    child.write(DATA, new Uint8Array(8).fill(0xff));
    expect(child.syscall(135, 0, DATA, 0, 8)).toBe(0); // everything is blocked
    kill(parent, pid, SIGTSTP);
    kill(parent, pid, SIGCONT);
    expect(child.syscall(136, DATA, 8)).toBe(0);
    expect(child.view(DATA, 4).getUint32(0, true)).toBe(2 ** (SIGCONT - 1));
    kill(parent, pid, SIGTSTP);
    child.syscall(136, DATA, 8);
    expect(child.view(DATA, 4).getUint32(0, true)).toBe(2 ** (SIGTSTP - 1));
  });
  test('a process that nobody could continue is not stopped', () => {
    const guest = first();
    for (const signal of [SIGSTOP, SIGTSTP]) expect(kill(guest, pidOf(guest), signal)).toBe(0);
    expect(guest.isWaiting).toBe(false);
  });
});

describe('groups and sessions', () => {
  test('what setpgid permits', () => {
    const parent = first();
    const child = fork(parent);
    const [pid, leader] = [pidOf(child), pidOf(parent)];
    expect([parent.syscall(154, pid, 0), parent.syscall(155, pid), child.syscall(155, 0)]).toEqual([0, pid, pid]);
    expect([parent.syscall(154, pid, leader), child.syscall(155, 0)]).toEqual([0, leader]);
    expect(child.syscall(154, leader, 0)).toBe(-ESRCH);
    expect(parent.syscall(154, pid, 999)).toBe(-EPERM);
    expect(parent.syscall(154, 0, -1)).toBe(-EINVAL);
    expect(parent.syscall(154, 0, pid)).toBe(-EPERM); // a session leader
    expect([child.syscall(157), child.syscall(156, 0), parent.syscall(154, pid, pid)]).toEqual([pid, pid, -EPERM]);
    expect([child.syscall(157), parent.syscall(157)]).toEqual([-EPERM, -EPERM]);
  });
  test('a child that has called execve is left alone', () => {
    const parent = first();
    const child = fork(parent);
    const pid = pidOf(child);
    child.syscall(221, child.text(DATA, '/bin/prog'), 0, 0);
    expect(parent.syscall(154, pid, pid)).toBe(-13);
  });
  test('an orphaned group with a stopped member hangs up and goes on', () => {
    const parent = first();
    const child = fork(parent);
    expect(child.syscall(157)).toBe(pidOf(child));
    const grandchild = fork(child);
    grandchild.syscall(154, 0, 0);
    handle(grandchild, SIGHUP);
    kill(grandchild, pidOf(grandchild), SIGTSTP);
    expect(grandchild.isWaiting).toBe(true);
    exit(child, 0);
    expect([grandchild.isWaiting, isInHandler(grandchild)]).toEqual([false, true]);
  });
});

test('a group is orphaned too where the first process, of the same session, has adopted its member', () => {
  const parent = first();
  const child = fork(parent);
  child.syscall(154, 0, 0);
  const grandchild = fork(child);
  handle(grandchild, SIGHUP);
  kill(grandchild, pidOf(grandchild), SIGSTOP);
  expect(grandchild.isWaiting).toBe(true);
  exit(child, 0);
  expect([grandchild.isWaiting, isInHandler(grandchild)]).toEqual([false, true]);
});

test('a group that has always been orphaned goes on when a member ends while another is stopped', () => {
  const parent = first();
  const child = fork(parent);
  kill(child, pidOf(child), SIGSTOP);
  exit(fork(parent), 0);
  expect([child.isWaiting, parent.exit, wait(parent)[0] > 0]).toEqual([true, null, true]);
});

describe('the terminal', () => {
  const ioctl = (guest: Guest, request: number, value = 0): number => {
    guest.write(DATA, new Uint8Array(new Int32Array([value]).buffer));
    return guest.syscall(29, 0, request, DATA);
  };
  const [SCTTY, GPGRP, SPGRP] = [0x540e, 0x540f, 0x5410];
  test('its foreground group can be asked and set', () => {
    const parent = first({ terminals: TERMINAL });
    const child = fork(parent);
    const pid = pidOf(child);
    parent.syscall(154, pid, pid);
    expect([ioctl(parent, GPGRP), parent.view(DATA, 4).getInt32(0, true)]).toEqual([0, pidOf(parent)]);
    expect([ioctl(parent, SPGRP, pid), ioctl(parent, GPGRP), parent.view(DATA, 4).getInt32(0, true)]).toEqual([0, 0, pid]);
    expect(ioctl(parent, SPGRP, pid)).toBe(-EIO); // in the background, and nobody could continue it
    handle(parent, SIGTTOU, { handler: 1 });
    expect(ioctl(parent, SPGRP, 999)).toBe(-EPERM);
  });
  test('a background process that reads it is stopped, and reads when it is in the foreground', () => {
    const parent = first({ terminals: TERMINAL, stdin: new Uint8Array([65, 66]) });
    const child = fork(parent);
    const pid = pidOf(child);
    parent.syscall(154, pid, pid);
    child.syscall(63, 0, DATA, 1);
    expect(child.isWaiting).toBe(true);
    expect(wait(parent, pid, WUNTRACED)).toEqual([pid, (SIGTTIN << 8) | 0x7f]);
    ioctl(parent, SPGRP, pid);
    kill(parent, pid, SIGCONT);
    expect([child.isWaiting, child.result, child.read(DATA, 1)[0]]).toEqual([false, 1, 65]);
  });
  test('one that changes it is stopped, unless it ignores that', () => {
    const parent = first({ terminals: TERMINAL });
    const child = fork(parent);
    const pid = pidOf(child);
    parent.syscall(154, pid, pid);
    handle(child, SIGTTOU, { handler: 1 });
    expect(ioctl(child, SPGRP, pid)).toBe(0);
    expect(ioctl(parent, GPGRP)).toBe(0);
    expect(parent.view(DATA, 4).getInt32(0, true)).toBe(pid);
  });
  test('a session without it has none to ask, and who does not want to be stopped cannot read it', () => {
    const parent = first({ terminals: TERMINAL });
    const child = fork(parent);
    child.syscall(157);
    expect([ioctl(child, GPGRP), ioctl(child, SCTTY)]).toEqual([-ENOTTY, -EPERM]);
    const other = fork(parent);
    other.syscall(154, 0, 0);
    handle(other, SIGTTIN, { handler: 1 });
    expect(other.syscall(63, 0, DATA, 1)).toBe(-EIO);
  });
});

describe('pipes', () => {
  test('a reader waits for bytes, and for the end', () => {
    const parent = first();
    const [reader, writer] = pipe(parent);
    const child = fork(parent);
    expect([parent.syscall(57, writer), child.syscall(57, reader)]).toEqual([0, 0]);
    parent.syscall(63, reader, DATA, 10);
    expect(parent.isWaiting).toBe(true);
    child.text(SCRATCH, 'abc');
    expect(child.syscall(64, writer, SCRATCH, 3)).toBe(3);
    expect([parent.isWaiting, parent.result]).toEqual([false, 3]);
    parent.syscall(63, reader, DATA, 10);
    exit(child, 0);
    expect([parent.isWaiting, parent.result]).toEqual([false, 0]);
  });
  test('a writer waits for room', () => {
    const parent = first();
    const [reader, writer] = pipe(parent);
    const child = fork(parent);
    child.map(0x900_0000, 20);
    child.syscall(64, writer, 0x900_0000, 65536 + 100);
    expect(child.isWaiting).toBe(true);
    expect(parent.syscall(63, reader, DATA, 4096)).toBe(4096);
    expect([child.isWaiting, child.result]).toEqual([false, 65636]);
  });
  test('poll waits for either end', () => {
    const parent = first();
    const [reader, writer] = pipe(parent);
    const child = fork(parent);
    const fds = new DataView(new ArrayBuffer(8));
    fds.setInt32(0, reader, true);
    fds.setInt16(4, 1, true);
    parent.write(DATA, new Uint8Array(fds.buffer));
    parent.syscall(73, DATA, 1, 0, 0, 0);
    expect(parent.isWaiting).toBe(true);
    child.syscall(64, writer, SCRATCH, 1);
    expect([parent.isWaiting, parent.result, parent.view(DATA, 8).getInt16(6, true)]).toEqual([false, 1, 1]);
  });
  test('a reader takes nothing while it waits for the page its bytes go to', () => {
    const parent = first();
    const [reader, writer] = pipe(parent);
    exit(fork(parent), 0);
    parent.map(0x900_0000, 16);
    expect(parent.syscall(64, writer, 0x900_0000, 65536)).toBe(65536);
    const seen: number[] = [];
    parent.world.fault = (va) => {
      seen.push(va, parent.system.first.files.get(reader)?.pipe?.length ?? -1);
      parent.map(0xa00_1000, 1);
    };
    parent.map(0xa00_0000, 1);
    expect(parent.syscall(63, reader, 0xa00_0100, 0x1f00)).toBe(0x1f00);
    expect(seen).toEqual([0xa00_1000, 65536]);
  });
  test('nothing can be written to a broken pipe, and a full one is ready when a page fits', () => {
    const parent = first();
    const [reader, writer] = pipe(parent);
    parent.map(0x900_0000, 16);
    expect(parent.syscall(64, writer, 0x900_0000, 65536)).toBe(65536);
    const ready = (): number => {
      const fds = new DataView(new ArrayBuffer(16));
      fds.setInt32(0, writer, true);
      fds.setInt16(4, 4, true);
      parent.write(DATA, new Uint8Array(fds.buffer));
      return parent.syscall(73, DATA, 1, DATA + 8, 0, 0, 0); // no timeout: the words there are 0
    };
    parent.write(DATA + 8, new Uint8Array(16));
    const counts = [1, 4094, 1].map((n) => [parent.syscall(63, reader, 0x900_0000, n), ready()]);
    expect(counts).toEqual([
      [1, 0],
      [4094, 0],
      [1, 1],
    ]);
    parent.syscall(57, reader);
    expect(parent.syscall(64, writer, 0x900_0000, 0)).toBe(0);
  });
  test('an end of a pipe without a name opens again at once, whoever has the other', () => {
    const parent = first();
    const [reader, writer] = pipe(parent);
    parent.syscall(64, writer, DATA, 2);
    parent.syscall(57, writer);
    const again = parent.syscall(56, -100, parent.text(SCRATCH, `/proc/self/fd/${reader}`), 0);
    expect(parent.isWaiting).toBe(false);
    expect([parent.syscall(63, again, DATA, 9), parent.syscall(63, again, DATA, 9)]).toEqual([2, 0]);
  });
  test("a fifo's ends wait for each other", () => {
    const parent = first();
    expect(parent.syscall(33, -100, parent.text(SCRATCH, '/tmp/f'), 0o010644, 0)).toBe(0);
    const child = fork(parent);
    parent.syscall(56, -100, SCRATCH, 0);
    expect(parent.isWaiting).toBe(true);
    expect(child.syscall(56, -100, SCRATCH, 1)).toBe(3);
    expect([parent.isWaiting, parent.result]).toEqual([false, 3]);
  });
});

describe('/proc', () => {
  const read = (guest: Guest, path: string): string => {
    const fd = guest.syscall(56, -100, guest.text(SCRATCH, path), 0);
    if (fd < 0) return `${fd}`;
    const n = guest.syscall(63, fd, DATA, 2000);
    guest.syscall(57, fd);
    return new TextDecoder().decode(guest.read(DATA, n));
  };
  test('shows every process, and each itself', () => {
    const parent = first();
    const child = fork(parent);
    const [pid, ppid] = [pidOf(child), pidOf(parent)];
    expect([read(parent, '/proc/self/stat').split(' ')[0], read(child, '/proc/self/stat').split(' ')[0]]).toEqual([`${ppid}`, `${pid}`]);
    expect(read(parent, `/proc/${pid}/status`)).toContain(`PPid:\t${ppid}\n`);
    exit(child, 0);
    expect(read(parent, `/proc/${pid}/stat`)).toContain(') Z ');
    wait(parent);
    expect(read(parent, `/proc/${pid}/stat`)).toBe('-2');
  });
});
