/** vmspace_* calls: spaces, their errors, and guests that run in them. */

import { describe, expect, test } from 'vitest';
import { EBADF, EEXIST, EFAULT, EINVAL, ENOENT, EOPNOTSUPP } from '../../../hostkernel/base/errno.ts';
import { EXEC, READ, WRITE } from '../../../hostkernel/base/units.ts';
import type { VmObject } from '../../../hostkernel/vm/index.ts';
import {
  type Host,
  type HostBody,
  MADV_INVAL,
  MADV_SETMAP,
  MAP_ANON,
  MAP_FIXED,
  MAP_SHARED,
  MAP_VPAGETABLE,
  SYS_mmap,
  SYS_mprotect,
  SYS_sched_yield,
  SYS_vmspace_create,
  SYS_vmspace_ctl,
  SYS_vmspace_destroy,
  SYS_vmspace_mcontrol,
  SYS_vmspace_mmap,
  SYS_vmspace_munmap,
  SYS_vmspace_pread,
  SYS_vmspace_pwrite,
  TF_ACCESS,
  TF_BUDGET,
  TF_TVAL,
  VF_CLEAN,
  VF_DIRTY,
  VF_FCSR,
  VF_FLAGS,
} from '../../../hostkernel/kern/index.ts';
import { A0, A1, add, addi, amoaddW, bne, EBREAK, ECALL, faddD, ILLEGAL, j, lw, sw, syscall, T0, ZERO } from './assembler.ts';
import { boot, exhaust, plain, runBody, spawnCode } from './boot.ts';
import { TestVkernel } from './vkernel.ts';

const RW = READ | WRITE;
const TEXT = 0x1_0000;
const DATA = 0x40_0000;
const NOWHERE = 0x5000;
const ID = 0x1000;

describe('errors', () => {
  // Space ID exists; `m` is a page of memory.
  const rows: readonly (readonly [name: string, errno: number, call: (host: Host, m: number) => number])[] = [
    ['create: id 0', EINVAL, (h) => h.syscall(SYS_vmspace_create, 0, 0, 0)],
    ['create: id -1', EINVAL, (h) => h.syscall(SYS_vmspace_create, -1, 0, 0)],
    ['create: type', EINVAL, (h) => h.syscall(SYS_vmspace_create, 7, 1, 0)],
    ['create: data', EINVAL, (h) => h.syscall(SYS_vmspace_create, 7, 0, 1)],
    ['create: id in use', EEXIST, (h) => h.syscall(SYS_vmspace_create, ID, 0, 0)],
    ['destroy: unknown', ENOENT, (h) => h.syscall(SYS_vmspace_destroy, 7)],
    ['ctl: unknown', ENOENT, (h, m) => h.syscall(SYS_vmspace_ctl, 7, 1, m, m + 512)],
    ['ctl: command 0', EOPNOTSUPP, (h, m) => h.syscall(SYS_vmspace_ctl, ID, 0, m, m + 512)],
    ['ctl: command 2', EOPNOTSUPP, (h, m) => h.syscall(SYS_vmspace_ctl, ID, 2, m, m + 512)],
    ['ctl: command beyond an int', EOPNOTSUPP, (h, m) => h.syscall(SYS_vmspace_ctl, ID, 2 ** 32 + 1, m, m + 512)],
    ['ctl: tf not mapped', EFAULT, (h, m) => h.syscall(SYS_vmspace_ctl, ID, 1, NOWHERE, m)],
    ['ctl: vf not mapped', EFAULT, (h, m) => h.syscall(SYS_vmspace_ctl, ID, 1, m, NOWHERE)],
    ['ctl: tf misaligned', EINVAL, (h, m) => h.syscall(SYS_vmspace_ctl, ID, 1, m + 4, m + 512)],
    ['ctl: tf crosses a page', EINVAL, (h, m) => h.syscall(SYS_vmspace_ctl, ID, 1, m + 4096 - 280, m)],
    ['ctl: vf crosses a page', EINVAL, (h, m) => h.syscall(SYS_vmspace_ctl, ID, 1, m, m + 4096 - 256)],
    ['run: unknown', ENOENT, (h, m) => h.run(7, m, m + 512)],
    ['run: tf beyond everything', EFAULT, (h, m) => h.run(ID, 2 ** 60, m)],
    ['run: vf negative', EFAULT, (h, m) => h.run(ID, m, -4096)],
    ['run: no number', EFAULT, (h, m) => h.run(ID, Number.NaN, m)],
    ['mmap: unknown', ENOENT, (h) => h.syscall(SYS_vmspace_mmap, 7, 0, 4096, RW, MAP_ANON, -1, 0)],
    ['mmap: length 0', EINVAL, (h) => h.syscall(SYS_vmspace_mmap, ID, 0, 0, RW, MAP_SHARED | MAP_ANON, -1, 0)],
    ['mmap: bad descriptor', EBADF, (h) => h.syscall(SYS_vmspace_mmap, ID, 0, 4096, RW, MAP_SHARED, 99, 0)],
    ['mmap: misaligned', EINVAL, (h) => h.syscall(SYS_vmspace_mmap, ID, 1, 4096, RW, MAP_SHARED | MAP_ANON | MAP_FIXED, -1, 0)],
    ['munmap: unknown', ENOENT, (h) => h.syscall(SYS_vmspace_munmap, 7, 0, 4096)],
    ['munmap: a hole', EINVAL, (h) => h.syscall(SYS_vmspace_munmap, ID, 0x10000, 4096)],
    ['mcontrol: unknown', ENOENT, (h) => h.syscall(SYS_vmspace_mcontrol, 7, 0, 4096, MADV_INVAL, 0)],
    ['mcontrol: behaviour', EINVAL, (h) => h.syscall(SYS_vmspace_mcontrol, ID, 0, 4096, 12, 0)],
    ['mcontrol: wraps', EINVAL, (h) => h.syscall(SYS_vmspace_mcontrol, ID, 4096, -1, MADV_INVAL, 0)],
    ['pread: unknown', ENOENT, (h, m) => h.syscall(SYS_vmspace_pread, 7, m, 1, 0, 0)],
    ['pread: flags', EINVAL, (h, m) => h.syscall(SYS_vmspace_pread, ID, m, 1, 1, 0)],
    ['pwrite: unknown', ENOENT, (h, m) => h.syscall(SYS_vmspace_pwrite, 7, m, 1, 0, 0)],
    ['pwrite: flags', EINVAL, (h, m) => h.syscall(SYS_vmspace_pwrite, ID, m, 1, 1, 0)],
    ['pwrite: buffer not mapped', EFAULT, (h) => h.syscall(SYS_vmspace_pwrite, ID, NOWHERE, 1, 0, 0)],
  ];
  test.each(rows)('%s', (_name, errno, call) => {
    for (const xlen of [32, 64] as const) {
      runBody((host) => {
        expect(host.syscall(SYS_vmspace_create, ID, 0, 0)).toBe(0);
        expect(call(host, host.syscall(SYS_mmap, 0, 4096, RW, MAP_SHARED | MAP_ANON, -1, 0))).toBe(-errno);
      }, xlen);
    }
  });

  test('before the first vmspace_create every other call is EINVAL', () => {
    runBody((host) => {
      for (let nr = SYS_vmspace_destroy; nr <= SYS_vmspace_pwrite; nr++) expect(host.syscall(nr, ID, 1, 0, 0, 0, 0, 0)).toBe(-EINVAL);
      expect(host.run(ID, 0, 0)).toBe(-EINVAL);
    });
  });

  test('an empty range is no error: mcontrol of nothing, munmap of length 0', () => {
    runBody((host) => {
      host.syscall(SYS_vmspace_create, ID, 0, 0);
      expect(host.syscall(SYS_vmspace_mcontrol, ID, 0, host.userEnd, MADV_INVAL, 0)).toBe(0);
      expect(host.syscall(SYS_vmspace_munmap, ID, 0x10000, 0)).toBe(0);
    });
  });

  test('vmspace_create is EOPNOTSUPP while vm.vkernel_enable is off; spaces made before go on', () => {
    const machine = boot();
    const body = plain((host) => {
      const vkernel = new TestVkernel(host);
      const root = vkernel.newSpace(ID);
      vkernel.load(root, TEXT, [ECALL]);
      machine.kernel.vm.vkernelEnable = false;
      expect(host.syscall(SYS_vmspace_create, 7, 0, 0)).toBe(-EOPNOTSUPP);
      expect(host.syscall(SYS_vmspace_mmap, ID, 0, 4096, RW, MAP_SHARED | MAP_ANON | MAP_VPAGETABLE, -1, 0)).toBe(-EOPNOTSUPP);
      vkernel.reset(TEXT);
      expect(vkernel.run(ID)).toBe(8);
    });
    expect(machine.finish(machine.kernel.spawnBody('test', body, 64))).toEqual({ code: 0 });
  });

  test('an id can be used again after vmspace_destroy', () => {
    runBody((host) => {
      for (let i = 0; i < 40; i++) {
        expect(host.syscall(SYS_vmspace_create, ID, 0, 0)).toBe(0);
        expect(host.syscall(SYS_vmspace_destroy, ID)).toBe(0);
      }
      expect(host.syscall(SYS_vmspace_destroy, ID)).toBe(-ENOENT);
    });
  });
});

describe.each([32, 64] as const)('a %i-bit guest', (xlen) => {
  /** Runs `check` in a vkernel with one space whose text is `words`, pc at its beginning. */
  function withGuest(words: readonly number[], check: (vkernel: TestVkernel, root: number) => void): void {
    runBody((host) => {
      const vkernel = new TestVkernel(host);
      const root = vkernel.newSpace(ID);
      vkernel.load(root, TEXT, words);
      vkernel.reset(TEXT);
      check(vkernel, root);
    }, xlen);
  }

  test('makes a system call: registers as it left them, pc past the instruction', () => {
    withGuest([addi(A0, A0, 5), addi(A1, ZERO, -1), ECALL, addi(A0, A0, 1), ECALL], (vkernel) => {
      vkernel.setX(A0, 2);
      expect(vkernel.run(ID)).toBe(8);
      expect([vkernel.x(A0), vkernel.x(A1), vkernel.pc]).toEqual([7, 0xffff_ffff, TEXT + 12]);
      expect(vkernel.host.memory.load32(vkernel.tf + 8 * A1 + 4)).toBe(xlen === 32 ? 0 : 0xffff_ffff);
      vkernel.setX(A0, 100);
      expect(vkernel.run(ID)).toBe(8);
      expect([vkernel.x(A0), vkernel.pc]).toEqual([101, TEXT + 20]);
    });
  });

  test.each([
    ['an illegal instruction', ILLEGAL, 2],
    ['a breakpoint', EBREAK, 3],
  ])('stops at %s, with pc on it', (_what, word, cause) => {
    withGuest([addi(A0, ZERO, 1), word], (vkernel) => {
      expect(vkernel.run(ID)).toBe(cause);
      expect([vkernel.x(A0), vkernel.pc]).toEqual([1, TEXT + 4]);
    });
  });

  test.each([
    ['the bits of an illegal instruction', ILLEGAL, 2, ILLEGAL],
    ['the address of a misaligned atomic', amoaddW(ZERO, ZERO, A1), 6, DATA + 2],
    ['nothing at a breakpoint', EBREAK, 3, 0],
    ['nothing at a system call', ECALL, 8, 0],
  ])('has in its frame %s', (_what, word, cause, value) => {
    // The load faults first, so that there is an old value.
    withGuest([lw(A0, 0, A0), word], (vkernel) => {
      vkernel.setX(A0, NOWHERE);
      vkernel.setX(A1, DATA + 2);
      expect(vkernel.run(ID)).toBe(13);
      vkernel.setX(A0, TEXT);
      expect(vkernel.run(ID)).toBe(cause);
      expect(vkernel.host.memory.load64(vkernel.tf + TF_TVAL)).toBe(value);
    });
  });

  test.each([
    ['a load', lw(A0, 8, A1), READ, 13],
    ['a store', sw(A0, 8, A1), WRITE, 15],
  ])('stops at %s its tables do not resolve, and goes on when they do', (_what, word, access, cause) => {
    withGuest([word, ECALL], (vkernel, root) => {
      const { memory } = vkernel.host;
      vkernel.setX(A1, DATA);
      expect(vkernel.run(ID)).toBe(cause);
      expect(vkernel.pc).toBe(TEXT);
      expect(memory.load32(vkernel.tf + TF_ACCESS)).toBe(access);
      expect(memory.load64(vkernel.tf + TF_TVAL)).toBe(DATA + 8);
      const frame = vkernel.newFrame();
      memory.store32(vkernel.at(frame) + 8, 77);
      vkernel.enter(root, DATA, frame);
      vkernel.setX(A0, 88);
      expect(vkernel.run(ID)).toBe(8);
      expect(access === READ ? vkernel.x(A0) : memory.load32(vkernel.at(frame) + 8)).toBe(access === READ ? 77 : 88);
      expect(memory.load32(vkernel.tf + TF_ACCESS)).toBe(0); // of a page fault only
    });
  });

  test('stops at a fetch from a page it may not execute', () => {
    withGuest([j(0x1000)], (vkernel, root) => {
      vkernel.enter(root, TEXT + 0x1000, vkernel.newFrame(), RW);
      expect(vkernel.run(ID)).toBe(12);
      expect(vkernel.pc).toBe(TEXT + 0x1000);
      expect(vkernel.host.memory.load32(vkernel.tf + TF_ACCESS)).toBe(EXEC);
    });
  });

  test('does not leave for a page its tables have, and marks the entry', () => {
    withGuest([lw(A0, 0, A1), sw(A0, 4, A1), ECALL], (vkernel, root) => {
      const frame = vkernel.newFrame();
      vkernel.enter(root, DATA, frame);
      const entry = vkernel.entry(root, DATA);
      vkernel.host.memory.store32(vkernel.at(frame), 9);
      vkernel.setX(A1, DATA);
      expect(vkernel.run(ID)).toBe(8);
      expect(vkernel.host.memory.load32(vkernel.at(frame) + 4)).toBe(9);
      expect(vkernel.host.memory.load32(entry) & 0x60).toBe(0x60);
    });
  });

  test('runs exactly as many instructions as its budget', () => {
    withGuest([addi(A0, A0, 1), j(-4)], (vkernel) => {
      const { memory } = vkernel.host;
      memory.store64(vkernel.tf + TF_BUDGET, 1000);
      expect(vkernel.run(ID)).toBe(0);
      expect([vkernel.x(A0), vkernel.pc, memory.load64(vkernel.tf + TF_BUDGET)]).toEqual([500, TEXT, 0]);
      memory.store64(vkernel.tf + TF_BUDGET, 1);
      expect(vkernel.run(ID)).toBe(0);
      expect([vkernel.x(A0), vkernel.pc]).toEqual([501, TEXT + 4]);
    });
  });

  test('is told what is left of its budget at a trap', () => {
    withGuest([addi(A0, A0, 1), ECALL], (vkernel) => {
      vkernel.host.memory.store64(vkernel.tf + TF_BUDGET, 2 ** 40);
      expect(vkernel.run(ID)).toBe(8);
      expect(vkernel.host.memory.load64(vkernel.tf + TF_BUDGET)).toBe(2 ** 40 - 1);
    });
  });

  test('keeps floating-point state across RUNs, also when another guest ran in between', () => {
    withGuest([faddD(1, 1, 2), ECALL, j(-8)], (vkernel) => {
      const { memory } = vkernel.host;
      const other = vkernel.vf + 512;
      const one = 0x3ff0_0000; // upper half of 1.0
      for (const vf of [vkernel.vf, other]) {
        memory.store32(vf + 8 + 4, one);
        memory.store32(vf + 16 + 4, vf === other ? 0x4000_0000 : one); // the other adds 2.0
      }
      const run = (vf: number): number => {
        expect(vkernel.host.run(ID, vkernel.tf, vf)).toBe(0);
        memory.store32(vf + VF_FLAGS, VF_CLEAN);
        return float(vkernel.host, vf + 8);
      };
      expect([run(vkernel.vf), run(vkernel.vf), run(other), run(other), run(vkernel.vf)]).toEqual([2, 3, 3, 5, 4]);
    });
  });

  test('marks its floating-point frame only if it changed', () => {
    withGuest([ECALL, faddD(1, 1, 2), ECALL], (vkernel) => {
      const flags = (): number => vkernel.host.memory.load32(vkernel.vf + VF_FLAGS);
      expect(vkernel.run(ID)).toBe(8);
      expect(flags()).toBe(0);
      expect(vkernel.run(ID)).toBe(8);
      expect(flags()).toBe(VF_DIRTY);
      vkernel.host.memory.store32(vkernel.vf + VF_FLAGS, 0);
      vkernel.reset(TEXT);
      expect(vkernel.run(ID)).toBe(8);
      expect(flags()).toBe(0);
    });
  });

  test('has its rounding mode and flags in the frame', () => {
    withGuest([faddD(1, 1, 2), ECALL], (vkernel) => {
      const { memory } = vkernel.host;
      memory.store32(vkernel.vf + 8 + 4, 0x3ff0_0000); // 1.0
      memory.store32(vkernel.vf + 16 + 4, 0x3c00_0000); // 2^-63
      memory.store32(vkernel.vf + VF_FCSR, 3 << 5); // upwards
      expect(vkernel.run(ID)).toBe(8);
      expect(memory.load32(vkernel.vf + VF_FCSR)).toBe((3 << 5) | 1);
      expect(memory.load32(vkernel.vf + 8)).toBe(1); // 1.0 and one unit in the last place
    });
  });

  test('is not helped by a clean flag on a frame that was never loaded', () => {
    withGuest([faddD(1, 1, 2), ECALL], (vkernel) => {
      vkernel.host.memory.store32(vkernel.vf + 8 + 4, 0x3ff0_0000);
      vkernel.host.memory.store32(vkernel.vf + VF_FLAGS, VF_CLEAN);
      expect(vkernel.run(ID)).toBe(8);
      expect(float(vkernel.host, vkernel.vf + 8)).toBe(1);
    });
  });

  test('gives EFAULT if its trap frame cannot be written back', () => {
    withGuest([ECALL], (vkernel) => {
      const { host } = vkernel;
      expect(host.syscall(SYS_mprotect, vkernel.tf, 4096, READ)).toBe(0);
      expect(host.run(ID, vkernel.tf, vkernel.vf)).toBe(-EFAULT);
      expect(host.syscall(SYS_mprotect, vkernel.tf, 4096, RW)).toBe(0);
      expect(vkernel.pc).toBe(TEXT);
      expect(vkernel.run(ID)).toBe(8);
    });
  });

  test('faults at once with a pc beyond everything', () => {
    withGuest([ECALL], (vkernel) => {
      vkernel.host.memory.store32(vkernel.tf, 0xffff_fffe);
      vkernel.host.memory.store32(vkernel.tf + 4, 0xffff_ffff);
      expect(vkernel.run(ID)).toBe(12);
      expect(vkernel.host.memory.load32(vkernel.tf + TF_TVAL)).toBe(0xffff_fffe);
    });
  });

  test('is seen and changed by vmspace_pread and vmspace_pwrite, up to the first page it could not reach itself', () => {
    withGuest([ECALL], (vkernel, root) => {
      const { host } = vkernel;
      const frame = vkernel.newFrame();
      vkernel.enter(root, DATA, frame);
      vkernel.enter(root, DATA + 4096, vkernel.newFrame(), READ);
      const m = vkernel.tf;
      host.memory.fill(m, 64, 5);
      expect(host.syscall(SYS_vmspace_pwrite, ID, m, 64, 0, DATA + 4096 - 16)).toBe(16);
      expect(host.memory.load8(vkernel.at(frame) + 4095)).toBe(5);
      expect(host.memory.load32(vkernel.entry(root, DATA)) & 0x40).toBe(0x40); // M
      host.memory.fill(m, 64, 0);
      expect(host.syscall(SYS_vmspace_pread, ID, m, 64, 0, DATA + 4096 - 16)).toBe(64);
      expect([host.memory.load8(m + 15), host.memory.load8(m + 16)]).toEqual([5, 0]);
      expect(host.syscall(SYS_vmspace_pread, ID, m, 64, 0, DATA + 8192 - 10)).toBe(10);
      expect(host.syscall(SYS_vmspace_pread, ID, m, 64, 0, DATA + 8192)).toBe(0);
      expect(host.syscall(SYS_vmspace_pread, ID, NOWHERE, 8, 0, DATA)).toBe(-EFAULT);
      expect(host.syscall(SYS_vmspace_pread, ID, m, 0, 0, NOWHERE)).toBe(0);
    });
  });
});

test('a vkernel is killed when the machine has no frame for its guest: it could only try again for ever', () => {
  for (const run of [(v: TestVkernel) => v.run(ID), (v: TestVkernel) => v.host.syscall(SYS_vmspace_ctl, ID, 1, v.tf, v.vf)]) {
    const machine = boot();
    let hog: VmObject | null = null;
    const body = plain((host) => {
      const vkernel = new TestVkernel(host);
      const root = vkernel.newSpace(ID);
      vkernel.load(root, TEXT, [sw(A0, 8, A1), ECALL]);
      vkernel.enter(root, DATA, vkernel.newFrame()); // no page of the image is behind it yet
      vkernel.reset(TEXT);
      vkernel.setX(A1, DATA);
      hog = exhaust(machine.kernel.vm);
      run(vkernel);
      expect.unreachable();
    });
    const process = machine.kernel.spawnBody('test', body, 64);
    machine.kernel.step();
    (hog as VmObject | null)?.release();
    expect(machine.finish(process)).toMatchObject({ signal: 9, refusal: 'no-frames' });
  }
});

test('two spaces see one frame at different addresses, and nothing else of each other', () => {
  runBody((host) => {
    const vkernel = new TestVkernel(host);
    const text = [sw(A0, 0, A1), lw(A0, 4, A1), ECALL];
    const shared = vkernel.newFrame();
    for (const [i, id] of [10, 20].entries()) {
      const root = vkernel.newSpace(id);
      vkernel.load(root, TEXT, text);
      vkernel.enter(root, DATA + i * 0x10_0000, shared);
    }
    host.memory.store32(vkernel.at(shared) + 4, 1234);
    for (const [i, id] of [10, 20].entries()) {
      vkernel.reset(TEXT);
      vkernel.setX(A0, 100 + i);
      vkernel.setX(A1, DATA + i * 0x10_0000);
      expect(vkernel.run(id)).toBe(8);
      expect(vkernel.x(A0)).toBe(1234);
      expect(host.memory.load32(vkernel.at(shared))).toBe(100 + i);
    }
    vkernel.reset(TEXT);
    vkernel.setX(A1, DATA); // where the other space has it
    expect(vkernel.run(20)).toBe(15);
    expect(host.syscall(SYS_vmspace_destroy, 10)).toBe(0);
    vkernel.reset(TEXT);
    vkernel.setX(A1, DATA + 0x10_0000);
    expect(vkernel.run(20)).toBe(8);
  });
});

test('a root whose upper bits mean nothing maps as without them, one where they do maps nothing', () => {
  runBody((host) => {
    const vkernel = new TestVkernel(host);
    const root = vkernel.newSpace(ID);
    vkernel.load(root, TEXT, [ECALL]);
    vkernel.reset(TEXT);
    vkernel.call(SYS_vmspace_mcontrol, ID, 0, host.userEnd, MADV_SETMAP, -(2 ** 52) + root * 4096 + 3);
    expect(vkernel.run(ID)).toBe(8);
  });
});

test('a guest that never traps gives way to other processes, and loses nothing', () => {
  const machine = boot({ timeSlice: 1000 });
  let others = 0;
  const vkernelProcess = machine.kernel.spawnBody(
    'vkernel',
    function* (host) {
      const vkernel = new TestVkernel(host);
      const root = vkernel.newSpace(ID);
      // A loop of 20000 instructions, then a system call.
      vkernel.load(root, TEXT, [addi(T0, T0, -1), addi(A0, A0, 1), bne(T0, ZERO, -8), faddD(1, 1, 2), ECALL]);
      vkernel.reset(TEXT, 1_000_000);
      vkernel.setX(T0, 20_000);
      host.memory.store32(vkernel.vf + 8 + 4, 0x3ff0_0000);
      host.memory.store32(vkernel.vf + 16 + 4, 0x3ff0_0000);
      expect(yield* vkernel.runPolitely(ID)).toBe(8);
      expect([vkernel.x(A0), float(host, vkernel.vf + 8)]).toEqual([20_000, 2]);
      expect(host.memory.load64(vkernel.tf + TF_BUDGET)).toBe(1_000_000 - 60_001);
      return 0;
    },
    64,
  );
  machine.kernel.spawnBody(
    'other',
    function* () {
      for (; vkernelProcess.exitStatus === null; others++) yield;
      return 0;
    },
    64,
  );
  // A third process that uses all registers of the hart.
  spawnCode(machine, [addi(T0, ZERO, 2000), faddD(1, 1, 1), addi(T0, T0, -1), bne(T0, ZERO, -8), ...syscall(93, 0)]);
  expect(machine.finish(vkernelProcess)).toEqual({ code: 0 });
  expect(others).toBeGreaterThan(50);
});

test('a clean floating-point frame is loaded again when another process has used the hart', () => {
  const machine = boot();
  const body: HostBody = function* (host) {
    const vkernel = new TestVkernel(host);
    vkernel.load(vkernel.newSpace(ID), TEXT, [faddD(1, 1, 2), ECALL, j(-8)]);
    vkernel.reset(TEXT);
    host.memory.fill(vkernel.vf, 264, 0);
    host.memory.store32(vkernel.vf + 16 + 4, 0x3ff0_0000); // 1.0
    for (let round = 1; round <= 3; round++) {
      expect(vkernel.run(ID)).toBe(8);
      expect(float(host, vkernel.vf + 8)).toBe(round);
      host.memory.store32(vkernel.vf + VF_FLAGS, VF_CLEAN);
      yield; // to the other, which has zeros in its registers
    }
    return 0;
  };
  const process = machine.kernel.spawnBody('vkernel', body, 64);
  spawnCode(machine, [...syscall(SYS_sched_yield), j(-4 * syscall(SYS_sched_yield).length)]);
  while (process.exitStatus === null) machine.kernel.step();
  expect(process.exitStatus).toEqual({ code: 0 });
});

test('a time slice that could never be used up is refused', () => {
  for (const timeSlice of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) expect(() => boot({ timeSlice })).toThrow('time slice');
});

test('the same guest makes the same trace twice', () => {
  const trace = (): string => {
    const machine = boot({ timeSlice: 777 });
    const process = machine.kernel.spawnBody(
      'vkernel',
      function* (host) {
        const vkernel = new TestVkernel(host);
        vkernel.load(vkernel.newSpace(ID), TEXT, [addi(A0, A0, 3), add(A1, A1, A0), ECALL, j(-12)]);
        vkernel.reset(TEXT);
        for (let i = 0; i < 300; i++) expect(yield* vkernel.runPolitely(ID)).toBe(8);
        return vkernel.x(A1) & 0xff;
      },
      64,
    );
    spawnCode(machine, [addi(T0, ZERO, 2000), addi(T0, T0, -1), bne(T0, ZERO, -4), ...syscall(93, 0)]);
    const status = machine.finish(process);
    return JSON.stringify([status, machine.machine.clock.now(), machine.machine.hart.retired, machine.kernel.counters]);
  };
  expect(trace()).toBe(trace());
});

/** A double in memory. */
function float(host: Host, va: number): number {
  const bytes = new Uint8Array(8);
  host.memory.read(va, bytes);
  return new DataView(bytes.buffer).getFloat64(0, true);
}
