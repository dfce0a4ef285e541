/**
 * Lwps of RISC-V programs on a machine that pages: several of one process, each with a region of its own and a guest of its
 * own in a RUN, all of it far more than RAM. Whatever waits for a page sleeps, and another goes on.
 */
import { describe, expect, test } from 'vitest';
import { PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  CLONE_FILES,
  CLONE_SIGHAND,
  CLONE_THREAD,
  CLONE_VM,
  type HostKernel,
  MADV_SETMAP,
  MAP_ANON,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_VPAGETABLE,
  type Process,
  SYS_clone,
  SYS_execve,
  SYS_exit_group,
  SYS_futex,
  SYS_mmap,
  SYS_sched_yield,
  SYS_vmspace_create,
  SYS_vmspace_ctl,
  SYS_vmspace_destroy,
  SYS_vmspace_mcontrol,
  SYS_vmspace_mmap,
  SYS_vmspace_pwrite,
  TF_TRAPNO,
} from '../../../hostkernel/kern/index.ts';
import { memoryDisk } from '../../../hostkernel/machine/index.ts';
import { buildElf, code } from '../base/elf-builder.ts';
import { A0, A1, A3, A4, add, addi, amoaddW, bne, EBREAK, ECALL, exitA0, j, li, lw, S0, sw, syscall, T0, T1, ZERO } from './assembler.ts';
import { boot, type Boot, spawnCode } from './boot.ts';

const TEXT = 0x10000;
const DATA = 0x20000; // frames of registers, 0x400 apart
const CODE = DATA + 0x1000; // what guests execute
const DONE = DATA + 0x1ff0; // lwps that have finished
const ARENA = 0x1000_0000;
const GUEST = 0x40_0000;
const FIELD = 0x2000_0000; // of the guests
const ID = 7;
const LWPS = 3;
const PAGES = 100; // of each region: the six have more than twice the RAM
const ROUNDS = 3;
const S2 = 18;
const S3 = 19;
const RW = READ | WRITE;
const THREAD = CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
const TRAP_ECALL = 8;

/** Every page of [a0, a1) holds its address plus the number of rounds made; EBREAK if one does not. */
function sweep(): number[] {
  const visit = [add(A3, T1, S0), lw(A4, 0, T1), bne(A4, A3, 8), j(8), EBREAK, addi(A4, A4, 1), sw(A4, 0, T1), add(T1, T1, S2)];
  const round = [addi(T1, A0, 0), ...visit, bne(T1, A1, -4 * visit.length), addi(S0, S0, 1)];
  return [
    ...li(S2, PAGE_SIZE),
    ...li(S3, ROUNDS),
    addi(T1, A0, 0),
    sw(T1, 0, T1),
    add(T1, T1, S2),
    bne(T1, A1, -8),
    addi(S0, ZERO, 0),
    ...round,
    bne(S0, S3, -4 * round.length),
  ];
}

const poke = (at: number, words: readonly number[]): number[] =>
  words.flatMap((word, i) => [...li(T0, word | 0), ...li(T1, at + 4 * i), sw(T0, 0, T1)]);

/** What lwp `i` does: a sweep of its own, then one by a guest. */
function work(i: number): number[] {
  const tf = DATA + 0x400 * i;
  const region = i * PAGES * PAGE_SIZE;
  const run = [...syscall(SYS_vmspace_ctl, ID, 1, tf, tf + 0x200), ...li(T1, tf), lw(T0, TF_TRAPNO, T1)];
  return [
    ...li(A0, ARENA + region),
    ...li(A1, ARENA + region + PAGES * PAGE_SIZE),
    ...sweep(),
    ...poke(tf, [GUEST]),
    ...poke(tf + 8 * A0, [FIELD + region]),
    ...poke(tf + 8 * A1, [FIELD + region + PAGES * PAGE_SIZE]),
    ...run,
    bne(T0, ZERO, 8),
    j(-4 * (run.length + 1)), // interrupted
    ...li(T1, TRAP_ECALL),
    bne(T0, T1, 8),
    j(8),
    EBREAK,
    ...li(T1, DONE),
    ...li(T0, 1),
    amoaddW(ZERO, T0, T1),
  ];
}

/** @param virtual whether the guests' field is behind a virtual page table, whose root maps it linearly */
function program(virtual: boolean, meanwhile: readonly number[] = []): number[] {
  const guest = [...sweep(), ECALL];
  const field = LWPS * PAGES * PAGE_SIZE;
  const flags = MAP_ANON | MAP_SHARED | MAP_FIXED;
  const threads = [1, 2].flatMap((i) => {
    const body = [...work(i), ...exitA0()];
    return [...syscall(SYS_clone, THREAD, 0, 0, 0, 0), bne(A0, ZERO, 4 * (body.length + 1)), ...body];
  });
  const wait = [...syscall(SYS_sched_yield), ...li(T1, DONE), lw(T0, 0, T1), ...li(T1, LWPS)];
  return [
    ...syscall(SYS_mmap, ARENA, field, RW, MAP_ANON | MAP_PRIVATE | MAP_FIXED, -1, 0),
    ...poke(CODE, guest),
    ...syscall(SYS_vmspace_create, ID, 0, 0),
    ...syscall(SYS_vmspace_mmap, ID, GUEST, PAGE_SIZE, RW | 4, flags, -1, 0),
    ...syscall(SYS_vmspace_pwrite, ID, CODE, 4 * guest.length, 0, GUEST),
    ...li(16, 0),
    ...syscall(SYS_vmspace_mmap, ID, FIELD, field, RW, virtual ? flags | MAP_VPAGETABLE : flags, -1),
    ...(virtual ? syscall(SYS_vmspace_mcontrol, ID, FIELD, field, MADV_SETMAP, 0x83) : []), // V, RW, PS
    ...threads,
    ...meanwhile,
    ...work(0),
    ...wait,
    bne(T0, T1, -4 * wait.length),
    ...syscall(SYS_exit_group, 0),
  ];
}

const machineOf = (harts: number): Boot =>
  boot({ ramBytes: 2 ** 20, harts, disk: memoryDisk(2048 * PAGE_SIZE), timeSlice: 2000, files: new Map([['/quit', quit()]]) });

/** A program that ends at once, with 5. */
function quit(): Uint8Array {
  return buildElf({ xlen: 64, entry: TEXT, segments: [{ va: TEXT, bytes: code(syscall(SYS_exit_group, 5)) }] });
}

/** Whether an lwp sleeps for a page or for memory, in a RUN or outside. */
const waits = (process: Process, inRun: boolean): boolean =>
  process.lwps.some((lwp) => lwp.state === 'asleep' && lwp.call.nr === -1 && (lwp.run.guest !== null) === inRun);

/** Calls `look` before every step. */
function before(kernel: HostKernel, look: (step: number) => void): void {
  const step = kernel.step.bind(kernel);
  let steps = 0;
  kernel.step = () => {
    look(steps++);
    return step();
  };
}

describe.each([1, 2, 4])('%i harts', (harts) => {
  test.each([false, true])('lwps and guests find their pages as they left them (virtual page table: %s)', (virtual) => {
    const machine = machineOf(harts);
    const process = spawnCode(machine, program(virtual));
    let inRun = 0;
    let outside = 0;
    let together = 0;
    before(machine.kernel, (step) => {
      inRun += Number(waits(process, true));
      outside += Number(waits(process, false));
      together += Number(process.lwps.filter((lwp) => lwp.state === 'asleep').length > 1);
      if (step % 64 === 0) machine.kernel.assertInvariants();
    });
    expect(machine.finish(process)).toEqual({ code: 0 });
    expect(inRun).toBeGreaterThan(20);
    expect(outside).toBeGreaterThan(20);
    expect(together).toBeGreaterThan(20);
  });
});

describe('an lwp that sleeps for a page', () => {
  test.each([
    [1, false],
    [7, false],
    [1, true],
    [7, true],
  ])('can be killed: time %i, in a RUN: %s', (time, inRun) => {
    const machine = machineOf(2);
    const { kernel } = machine;
    const process = spawnCode(machine, program(true));
    let left = time;
    before(kernel, () => {
      if (left > 0 && waits(process, inRun) && --left === 0) kernel.kill(process);
    });
    expect(machine.finish(process)).toMatchObject({ signal: 9 });
  });

  test.each([
    ['exit_group', syscall(SYS_exit_group, 5)],
    ['execve', syscall(SYS_execve, CODE + 0x800, 0, 0)],
  ])('ends when another lwp calls %s', (_name, call) => {
    const machine = machineOf(1);
    // lets the threads get as far as a RUN: until one has been in it, the space can be destroyed
    const look = [...syscall(SYS_sched_yield), ...li(T1, DATA + 0x400), lw(T0, 0, T1)];
    const path = [...new TextEncoder().encode('/quit\0\0\0')];
    const words = [0, 4].map((i) => path[i] | (path[i + 1] << 8) | (path[i + 2] << 16) | (path[i + 3] << 24));
    const meanwhile = [
      ...poke(CODE + 0x800, words),
      ...look,
      bne(T0, ZERO, 8),
      j(-4 * (look.length + 1)),
      ...syscall(SYS_sched_yield),
      ...syscall(SYS_vmspace_destroy, ID),
      addi(A0, A0, 16),
      bne(A0, ZERO, 8),
      j(8),
      EBREAK, // -EBUSY
      ...call,
    ];
    const process = spawnCode(machine, program(true, meanwhile));
    let asleep = 0;
    before(machine.kernel, () => void (asleep += Number(waits(process, true))));
    expect(machine.finish(process)).toEqual({ code: 5 });
    expect(asleep).toBeGreaterThan(0);
  });
});

test('a TypeScript program whose guest waits for a page may do something else first, and sleep in that', () => {
  const machine = machineOf(1);
  const { kernel } = machine;
  let waited = 0;
  const process = kernel.spawnBody(
    'vkernel',
    function* (host) {
      const guest = [...sweep(), ECALL];
      const at = host.syscall(SYS_mmap, 0, 2 * PAGE_SIZE, RW, MAP_ANON | MAP_SHARED, -1, 0);
      const vf = at + 0x200;
      const futex = at + PAGE_SIZE;
      host.memory.write(futex, code(guest));
      const pages = 400;
      host.syscall(SYS_vmspace_create, ID, 0, 0);
      host.syscall(SYS_vmspace_mmap, ID, GUEST, PAGE_SIZE, RW | 4, MAP_ANON | MAP_SHARED | MAP_FIXED, -1, 0);
      host.syscall(SYS_vmspace_pwrite, ID, futex, 4 * guest.length, 0, GUEST);
      host.syscall(SYS_vmspace_mmap, ID, FIELD, pages * PAGE_SIZE, RW, MAP_ANON | MAP_SHARED | MAP_FIXED, -1, 0);
      host.memory.store64(at, GUEST);
      host.memory.store64(at + 8 * A0, FIELD);
      host.memory.store64(at + 8 * A1, FIELD + pages * PAGE_SIZE);
      const time = at + 0x600;
      host.memory.store64(time + 8, 100);
      for (;;) {
        const result = host.run(ID, at, vf);
        if (result === 0 && host.memory.load32(at + TF_TRAPNO) !== 0) break;
        waited += Number(process.lwps[0]?.state === 'asleep');
        host.syscall(SYS_futex, futex, 0, host.memory.load32(futex), time); // FUTEX_WAIT
        yield;
      }
      return host.memory.load32(at + TF_TRAPNO);
    },
    64,
  );
  expect(machine.finish(process)).toEqual({ code: TRAP_ECALL });
  expect(waited).toBeGreaterThan(10);
});
