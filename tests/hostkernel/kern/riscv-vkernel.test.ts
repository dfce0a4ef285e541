/** A vkernel that is itself a RISC-V program: its registers wait while it is the guest. */

import { describe, expect, test } from 'vitest';
import { EBUSY } from '../../../hostkernel/base/errno.ts';
import {
  describeExit,
  MADV_DONTNEED,
  type Process,
  SYS_vmspace_create,
  SYS_vmspace_ctl,
  SYS_vmspace_destroy,
  SYS_vmspace_mmap,
  SYS_vmspace_pwrite,
} from '../../../hostkernel/kern/index.ts';
import { A0, add, addi, bne, ECALL, exitA0, faddD, fld, fsd, j, li, lw, S0, S1, sw, syscall, T0, T1, ZERO } from './assembler.ts';
import { type Boot, boot, exhaust, spawnCode } from './boot.ts';

const DATA = 0x20000;
const TF = DATA;
const VF = DATA + 0x200;
const CODE = DATA + 0x400; // the guest's program, on its way to the guest
const GUEST = 0x40_0000;
const ID = 0x77;
const BUDGET = 280;

/** Creates a space with one page of the program at CODE, `guest`, and sets the frame's pc. */
function prepare(guest: readonly number[]): number[] {
  return [
    ...guest.flatMap((word, i) => [...li(T0, word | 0), ...li(T1, CODE + 4 * i), sw(T0, 0, T1)]),
    ...syscall(SYS_vmspace_create, ID, 0, 0),
    ...syscall(SYS_vmspace_mmap, ID, GUEST, 4096, 7, 0x1012, -1, 0),
    ...syscall(SYS_vmspace_pwrite, ID, CODE, 4 * guest.length, 0, GUEST),
    ...li(T0, GUEST),
    ...li(T1, TF),
    sw(T0, 0, T1),
  ];
}

const RUN = syscall(SYS_vmspace_ctl, ID, 1, TF, VF);

function start(words: readonly number[], xlen: 32 | 64, timeSlice = 1_000_000): { machine: Boot; process: Process } {
  const machine = boot({ timeSlice });
  return { machine, process: spawnCode(machine, words, xlen) };
}

describe.each([32, 64] as const)('a %i-bit vkernel', (xlen) => {
  test('gets its own registers back, and the guest’s in the frame', () => {
    const guest = [addi(A0, A0, 30), addi(S0, ZERO, 0), addi(S1, ZERO, 0), faddD(1, 1, 1), faddD(1, 1, 1), ECALL];
    const { machine, process } = start(
      [
        ...prepare(guest),
        ...li(S0, DATA),
        ...li(T0, 0x4000_0000), // 2.0
        sw(T0, 0x604, S0),
        fld(1, 0x600, S0),
        ...li(S1, 100),
        ...RUN,
        add(S1, S1, A0), // a0 is 0
        fsd(1, 0x600, S0),
        lw(T0, 0x604, S0),
        ...li(T1, 0x4000_0000),
        bne(T0, T1, 4 * 8), // the caller's f1 is gone: to the end, with another code
        lw(T0, 8 * A0, S0), // 30
        lw(T1, 256, S0), // 8
        add(S1, S1, T0),
        add(S1, S1, T1),
        addi(A0, S1, 0),
        ...exitA0(),
        addi(A0, ZERO, 1),
        ...exitA0(),
      ],
      xlen,
    );
    expect(machine.finish(process)).toEqual({ code: 138 });
  });

  test('has its guest scheduled like any program, within the budget', () => {
    const { machine, process } = start(
      [
        ...prepare([addi(A0, A0, 1), j(-4)]),
        ...li(T0, 20_000),
        ...li(T1, TF),
        sw(T0, BUDGET, T1),
        ...RUN,
        ...li(S0, DATA),
        lw(A0, 8 * A0, S0),
        addi(A0, A0, -2000),
        addi(A0, A0, -2000),
        addi(A0, A0, -2000),
        addi(A0, A0, -2000),
        addi(A0, A0, -1900),
        ...exitA0(),
      ],
      xlen,
      700,
    );
    const other = spawnCode(machine, [addi(T0, ZERO, 2000), addi(T0, T0, -1), bne(T0, ZERO, -4), ...syscall(93, 3)], xlen);
    expect(machine.finish(process)).toEqual({ code: 100 }); // 10000 rounds
    expect(other.exitStatus).toEqual({ code: 3 });
  });

  test('gets EFAULT or EINVAL for a bad frame, with its registers as they were', () => {
    const { machine, process } = start(
      [
        ...prepare([ECALL]),
        ...li(S1, 50),
        ...syscall(SYS_vmspace_ctl, ID, 1, 0x5000, VF),
        add(S1, S1, A0),
        ...syscall(SYS_vmspace_ctl, ID, 1, TF, 0x5000),
        add(S1, S1, A0),
        ...syscall(SYS_vmspace_ctl, ID, 1, TF + 4, VF),
        add(A0, S1, A0),
        ...exitA0(),
      ],
      xlen,
    );
    expect(machine.finish(process)).toEqual({ code: 0 }); // 50 - 14 - 14 - 22
  });

  test('cannot destroy a space while a thread is in it; killed there, it gives everything back', () => {
    const { machine, process } = start([...prepare([j(0)]), ...RUN], xlen, 1000);
    const { kernel } = machine;
    while (process.group === null || kernel.counters.runs === 0) kernel.step();
    kernel.step();
    kernel.args.setNumber(0, ID);
    expect(kernel.syscall(process, SYS_vmspace_destroy)).toBe(-EBUSY);
    kernel.kill(process);
    const status = machine.finish(process);
    expect(describeExit(status)).toBe('killed by SIGKILL: from outside');
  });

  test('is killed when the machine has no frame for its guest: it could only try again for ever', () => {
    const { machine, process } = start([...prepare([j(0)]), ...RUN, j(-4 * RUN.length)], xlen, 1000);
    const { kernel } = machine;
    while (kernel.counters.runs === 0) kernel.step();
    process.group?.find(ID)?.space.mcontrol(GUEST, 4096, MADV_DONTNEED, 0); // the guest's code is gone, and wanted again
    const hog = exhaust(kernel.vm);
    kernel.step();
    hog.release();
    expect(machine.finish(process)).toMatchObject({ signal: 9, faultVa: GUEST, pc: GUEST, refusal: 'no-frames' });
  });
});
