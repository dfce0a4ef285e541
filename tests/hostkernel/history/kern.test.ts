/**
 * Defects that DragonFly's virtual kernels had where processes, signals and address spaces meet, each put together as it
 * was met there. Every test fails when its defect is put back.
 */

import { describe, expect, test } from 'vitest';
import { EBUSY, ENOENT } from '../../../hostkernel/base/errno.ts';
import {
  type Host,
  type HostWait,
  MADV_INVAL,
  RUN_PREEMPTED,
  SIGALRM,
  SYS_kill,
  SYS_mmap,
  SYS_rt_sigaction,
  SYS_setitimer,
  SYS_vmspace_create,
  SYS_vmspace_destroy,
  SYS_vmspace_mcontrol,
  TF_BUDGET,
  TF_PC,
  VF_CLEAN,
  VF_FLAGS,
} from '../../../hostkernel/kern/index.ts';
import { A0, A1, addi, ECALL, faddD, j, li, lw, sw, syscall, T0, T1 } from '../kern/assembler.ts';
import { boot, spawnCode } from '../kern/boot.ts';
import { runProgram } from '../kern/guest-program.ts';
import { TestVkernel } from '../kern/vkernel.ts';

const TEXT = 0x1_0000;
const DATA = 0x40_0000;
const ID = 7;

/** Runs one TypeScript vkernel, which must return 0. */
function run(program: (host: Host) => Generator<HostWait, number, void>, options: Parameters<typeof boot>[0] = {}): void {
  const machine = boot(options);
  expect(machine.finish(machine.kernel.spawnBody('vkernel', program, 64))).toEqual({ code: 0 });
}

/** A page of the program's own for the frames of one of its lwps. */
function frames(host: Host): number {
  const at = host.syscall(SYS_mmap, 0, 4096, 3, 0x1001, -1, 0);
  host.memory.store64(at + TF_PC, TEXT);
  return at;
}

describe('9: destroy against use', () => {
  test('a space destroyed by one lwp is gone for another that used it last, and its id may be used again', () => {
    run(function* (host) {
      const vkernel = new TestVkernel(host);
      vkernel.load(vkernel.newSpace(ID), TEXT, [addi(A0, A0, 1), ECALL]);
      const results: number[] = [];
      host.createLwp(function* (other) {
        const at = frames(other);
        for (let i = 0; i < 3; i++) {
          other.memory.store64(at + TF_PC, TEXT);
          results.push(other.run(ID, at, at + 1024));
          yield;
        }
        expect(other.memory.load32(at + 8 * A0)).toBe(1 + 2); // the second space adds 2
        return 0;
      });
      yield;
      expect(host.syscall(SYS_vmspace_destroy, ID)).toBe(0);
      expect(host.syscall(SYS_vmspace_destroy, ID)).toBe(-ENOENT);
      yield;
      vkernel.load(vkernel.newSpace(ID), TEXT, [addi(A0, A0, 2), ECALL]);
      yield;
      expect(results).toEqual([0, -ENOENT, 0]);
      return 0;
    });
  });

  test('a space somebody runs in is busy for everybody, and free when the runner has been killed', () => {
    const machine = boot({ timeSlice: 500 });
    const guest = [j(0)];
    const prepare = [
      ...guest.flatMap((word) => [...li(T0, word), ...li(T1, 0x20400), sw(T0, 0, T1)]),
      ...syscall(SYS_vmspace_create, ID, 0, 0),
      ...syscall(489, ID, DATA, 4096, 7, 0x1011, -1, 0),
      ...syscall(493, ID, 0x20400, 4, 0, DATA),
      ...li(T0, DATA),
      ...li(T1, 0x20000),
      sw(T0, 0, T1),
    ];
    const child = syscall(488, ID, 1, 0x20000, 0x20200);
    const fork = syscall(220, 17, 0, 0, 0, 0);
    const skip = 4 * (child.length + 1);
    const process = spawnCode(machine, [
      ...prepare,
      ...fork,
      (((skip & 0x1e) << 7) | ((skip & 0x7e0) << 20) | (A0 << 15) | 0x1063) >>> 0,
      ...child,
      j(0),
      j(0),
    ]);
    const { kernel } = machine;
    while (kernel.counters.runs === 0) kernel.step();
    kernel.step();
    kernel.step();
    const destroy = (): number => {
      kernel.args.setNumber(0, ID);
      return kernel.syscall(process, SYS_vmspace_destroy);
    };
    kernel.assertInvariants();
    expect(destroy()).toBe(-EBUSY);
    const [runner] = process.children;
    if (runner === undefined) throw new Error('no child');
    kernel.kill(runner);
    kernel.step();
    kernel.assertInvariants();
    expect(destroy()).toBe(0);
    kernel.kill(process);
    expect(machine.finish(process)).toMatchObject({ signal: 9 });
  });
});

test.each([2, 3, 4])('10: a translation dropped by one lwp is dropped on every one of %i harts its space was used on', (harts) => {
  run(
    function* (host) {
      const vkernel = new TestVkernel(host);
      const root = vkernel.newSpace(ID);
      vkernel.load(root, TEXT, [lw(A0, 0, A1), ECALL]);
      const [before, after] = [vkernel.newFrame(), vkernel.newFrame()];
      host.memory.store32(vkernel.at(before), 100);
      host.memory.store32(vkernel.at(after), 200);
      vkernel.enter(root, DATA, before);
      const seen: number[] = [];
      const look = (): void => {
        vkernel.reset(TEXT);
        vkernel.setX(A1, DATA);
        expect(vkernel.run(ID)).toBe(8);
        seen.push(vkernel.x(A0));
      };
      for (let hart = 0; hart < harts; hart++) {
        look(); // each step is on another hart
        yield;
      }
      vkernel.enter(root, DATA, after);
      expect(host.syscall(SYS_vmspace_mcontrol, ID, DATA, 4096, MADV_INVAL, 0)).toBe(0);
      for (let hart = 0; hart < harts; hart++) {
        yield;
        look();
      }
      expect(seen).toEqual([...Array<number>(harts).fill(100), ...Array<number>(harts).fill(200)]);
      return 0;
    },
    { harts },
  );
});

test('13: a guest that never traps is interrupted by its vkernel’s timer, however long the slices are', () => {
  run(
    function* (host) {
      const vkernel = new TestVkernel(host);
      vkernel.load(vkernel.newSpace(ID), TEXT, [addi(A0, A0, 1), j(-4)]);
      const at = frames(host);
      host.memory.store64(at, 2);
      host.syscall(SYS_rt_sigaction, SIGALRM, at, 0, 8);
      host.memory.fill(at, 32, 0);
      host.memory.store64(at + 8, 100); // every 100 microseconds
      host.memory.store64(at + 24, 100);
      host.syscall(SYS_setitimer, 0, at, 0);
      vkernel.reset(TEXT, 100_000_000); // without the timer it ends here
      for (let tick = 1; tick <= 5; tick++) {
        expect(yield* vkernel.runPolitely(ID)).toBe(0);
        expect(host.takeSignal()).toBe(SIGALRM);
        expect(vkernel.x(A0)).toBeLessThan(tick * 60_000);
      }
      expect(host.memory.load64(vkernel.tf + TF_BUDGET)).toBeGreaterThan(99_000_000);
      return 0;
    },
    { timeSlice: 1_000_000_000 },
  );
});

test.each([1, 2, 3])('15: floating-point registers are there after another hart or program has been in between: %i harts', (harts) => {
  run(
    function* (host) {
      const vkernel = new TestVkernel(host);
      vkernel.load(vkernel.newSpace(ID), TEXT, [faddD(1, 1, 2), ECALL, j(-8)]);
      vkernel.reset(TEXT);
      host.memory.fill(vkernel.vf, 264, 0);
      host.memory.store32(vkernel.vf + 16 + 4, 0x3ff0_0000); // f2 = 1.0
      host.memory.store32(vkernel.vf + VF_FLAGS, VF_CLEAN); // from the first RUN on, only RUN writes it
      const values: number[] = [];
      for (let round = 0; round < 2 * harts; round++) {
        expect(vkernel.run(ID)).toBe(8);
        const bytes = new Uint8Array(8);
        host.memory.read(vkernel.vf + 8, bytes);
        values.push(new DataView(bytes.buffer).getFloat64(0, true));
        yield;
      }
      expect(values).toEqual(Array.from({ length: 2 * harts }, (_, i) => i + 1));
      return 0;
    },
    { harts },
  );
});

describe('17: kill -9 of a vkernel inside a RUN', () => {
  test('of a TypeScript vkernel whose guest never traps', () => {
    const machine = boot({ timeSlice: 1000 });
    const victim = machine.kernel.spawnBody(
      'victim',
      function* (host) {
        const vkernel = new TestVkernel(host);
        vkernel.load(vkernel.newSpace(ID), TEXT, [j(0)]);
        vkernel.reset(TEXT);
        while (host.run(ID, vkernel.tf, vkernel.vf) === RUN_PREEMPTED) yield;
        return 0;
      },
      64,
    );
    machine.kernel.spawnBody(
      'killer',
      function* (host) {
        for (let i = 0; i < 5; i++) yield;
        expect(host.syscall(SYS_kill, 1, 9)).toBe(0);
        yield;
        return 0;
      },
      64,
    );
    expect(machine.finish(victim)).toMatchObject({ signal: 9, refusal: 'sent by process 2' });
  });

  test.each([1, 4])('of a RISC-V one, forked, whose spaces others share: %i harts', (harts) => {
    const { output } = runProgram('spaces', 64, { harts, timeSlice: 5000 });
    expect(output).toContain('a child is inside: EBUSY 1\nkilled inside: signal 9\ndestroy 0\n');
  });
});
