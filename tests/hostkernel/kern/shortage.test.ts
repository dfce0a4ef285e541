/** A vkernel on ever less memory: wherever the frames run out, nothing is half done and everything comes back. */

import { expect, test } from 'vitest';
import {
  type Host,
  SYS_ftruncate,
  SYS_memfd_create,
  SYS_pwrite64,
  SYS_vmspace_create,
  SYS_vmspace_destroy,
  SYS_vmspace_pread,
  SYS_vmspace_pwrite,
} from '../../../hostkernel/kern/index.ts';
import { TRAP_ECALL } from '../../../hostkernel/machine/index.ts';
import { A0, A1, ECALL, lw, sw } from './assembler.ts';
import { type Boot, boot, exhaust, plain } from './boot.ts';
import { TestVkernel } from './vkernel.ts';

const TEXT = 0x1_0000;
const DATA = 0x40_0000;
const STRIDE = 0x4000_0000; // so that every page needs tables of its own

/** Creates spaces, runs guests that touch pages far apart, copies in and out. Panics if anything is not as it must be. */
function work(machine: Boot, host: Host): void {
  const vkernel = new TestVkernel(host);
  for (const id of [1, 2, 3]) {
    const root = vkernel.newSpace(id);
    vkernel.load(root, TEXT, [sw(A0, 0, A1), lw(A0, 0, A1), ECALL]);
    for (let page = 0; page < 3; page++) {
      const va = DATA + page * STRIDE;
      vkernel.enter(root, va, vkernel.newFrame());
      vkernel.reset(TEXT);
      vkernel.setX(A0, page + 1);
      vkernel.setX(A1, va);
      expect(vkernel.run(id)).toBe(TRAP_ECALL);
      expect(vkernel.x(A0)).toBe(page + 1);
      host.syscall(SYS_vmspace_pwrite, id, vkernel.window, 5000, 0, va);
      host.syscall(SYS_vmspace_pread, id, vkernel.window, 5000, 0, va);
    }
    machine.kernel.assertInvariants();
    host.syscall(SYS_vmspace_create, id + 10, 0, 0);
    host.syscall(SYS_vmspace_destroy, id + 10);
    const fd = host.syscall(SYS_memfd_create, 0, 0);
    const written = host.syscall(SYS_pwrite64, fd, vkernel.window, 30_000, 5000);
    host.syscall(SYS_ftruncate, fd, Math.max(0, written) / 2);
    machine.kernel.assertInvariants();
  }
}

test('the end of memory is met at every step', () => {
  const ends = new Set<string>();
  for (let frames = 4; frames <= 100; frames++) {
    const machine = boot({ ramBytes: 2 ** 20 });
    const { kernel } = machine;
    exhaust(kernel.vm).discard(0, frames);
    const body = plain((host) => {
      try {
        work(machine, host);
      } catch (error) {
        if (!/^system call \d+: -12$/.test((error as Error).message)) throw error;
        ends.add('ENOMEM');
      }
    });
    const process = kernel.spawnBody('vkernel', body, 64);
    kernel.run();
    kernel.assertInvariants();
    expect(kernel.vm.freeFrames).toBe(frames);
    const status = process.exitStatus;
    if (status !== null && 'signal' in status) expect(status).toMatchObject({ signal: 9, refusal: 'no-frames' });
    ends.add(JSON.stringify(status).includes('signal') ? 'killed' : 'in order');
  }
  expect([...ends].sort()).toEqual(['ENOMEM', 'in order', 'killed']);
});
