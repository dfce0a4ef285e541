/** ftruncate where the page that it cuts in two has left RAM. */
import { expect, test } from 'vitest';
import { EIO } from '../../../hostkernel/base/errno.ts';
import {
  type Host,
  MAP_ANON,
  MAP_PRIVATE,
  SYS_ftruncate,
  SYS_memfd_create,
  SYS_mmap,
  SYS_pread64,
  SYS_pwrite64,
} from '../../../hostkernel/kern/index.ts';
import { FaultyDevice, Machine, memoryDisk } from '../../../hostkernel/machine/index.ts';
import { boot, plain } from './boot.ts';

const FRAMES = 128;
const PAGE = 4096;

/** Uses more memory than there is. */
function press(host: Host): void {
  const at = host.syscall(SYS_mmap, 0, 2 * FRAMES * PAGE, 3, MAP_PRIVATE | MAP_ANON, -1, 0);
  for (let i = 0; i < 2 * FRAMES; i++) host.memory.store32(at + i * PAGE, i);
}

test('what a file loses is zero when it grows again, also if the cut goes through a page on the swap device', () => {
  const machine = Machine.create({ ramBytes: FRAMES * PAGE, disk: memoryDisk(1024 * PAGE) });
  if (machine === null) throw new Error('no machine');
  const booted = boot({ machine });
  const { kernel } = booted;
  const process = kernel.spawnBody(
    'test',
    plain((host) => {
      const buffer = host.syscall(SYS_mmap, 0, PAGE, 3, MAP_PRIVATE | MAP_ANON, -1, 0);
      const fd = host.syscall(SYS_memfd_create, 0, 0);
      host.memory.fill(buffer, PAGE, 7);
      expect(host.syscall(SYS_pwrite64, fd, buffer, PAGE, 0)).toBe(PAGE);
      const file = process.files.get(fd);
      press(host);
      expect(file?.kind === 'memory' && file.object.residentPages).toBe(0);
      expect(host.syscall(SYS_ftruncate, fd, 100)).toBe(0);
      expect(host.syscall(SYS_ftruncate, fd, PAGE)).toBe(0);
      expect(host.syscall(SYS_pread64, fd, buffer, PAGE, 0)).toBe(PAGE);
      expect([host.memory.load8(buffer + 99), host.memory.load8(buffer + 100), host.memory.load8(buffer + PAGE - 1)]).toEqual([7, 0, 0]);
    }),
    64,
  );
  expect(booted.finish(process)).toMatchObject({ code: 0 });
});

test('a file whose cut page the device does not deliver keeps what it has', () => {
  let isBroken = false;
  const disk = new FaultyDevice(memoryDisk(1024 * PAGE), (request) => (isBroken && !request.isWrite ? 'error' : 'done'));
  const machine = Machine.create({ ramBytes: FRAMES * PAGE, disk });
  if (machine === null) throw new Error('no machine');
  const booted = boot({ machine });
  const process = booted.kernel.spawnBody(
    'test',
    plain((host) => {
      const buffer = host.syscall(SYS_mmap, 0, PAGE, 3, MAP_PRIVATE | MAP_ANON, -1, 0);
      const fd = host.syscall(SYS_memfd_create, 0, 0);
      host.memory.fill(buffer, PAGE, 7);
      expect(host.syscall(SYS_pwrite64, fd, buffer, PAGE, 0)).toBe(PAGE);
      press(host);
      host.memory.load8(buffer);
      isBroken = true;
      expect(host.syscall(SYS_ftruncate, fd, 100)).toBe(-EIO);
      isBroken = false;
      expect(host.syscall(SYS_pread64, fd, buffer, PAGE, 0)).toBe(PAGE);
      expect([host.memory.load8(buffer), host.memory.load8(buffer + PAGE - 1)]).toEqual([7, 7]);
    }),
    64,
  );
  expect(booted.finish(process)).toMatchObject({ code: 0 });
});
