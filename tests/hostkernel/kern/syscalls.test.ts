/** System calls as a TypeScript program makes them: results and errnos, row by row. */

import { describe, expect, test } from 'vitest';
import { EBADF, EFAULT, EFBIG, EINVAL, EMFILE, ENOMEM, ENOSYS, ENOTTY, EOPNOTSUPP, ESPIPE } from '../../../hostkernel/base/errno.ts';
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  type Host,
  MADV_DONTNEED,
  MADV_INVAL,
  MADV_SETMAP,
  MAP_ANON,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_STACK,
  MAP_TRYFIXED,
  MAP_VPAGETABLE,
  SYS_brk,
  SYS_clock_gettime,
  SYS_close,
  SYS_exit,
  SYS_ftruncate,
  SYS_getpid,
  SYS_ioctl,
  SYS_madvise,
  SYS_mcontrol,
  SYS_memfd_create,
  SYS_mmap,
  SYS_mprotect,
  SYS_munmap,
  SYS_pread64,
  SYS_pwrite64,
  SYS_read,
  SYS_readv,
  SYS_rt_sigaction,
  SYS_rt_sigprocmask,
  SYS_sched_yield,
  SYS_set_robust_list,
  SYS_set_tid_address,
  SYS_uname,
  SYS_write,
  SYS_writev,
} from '../../../hostkernel/kern/index.ts';
import { boot, plain, runBody } from './boot.ts';

const RW = READ | WRITE;
const ANON = MAP_SHARED | MAP_ANON;
const NOWHERE = 0x5000; // nothing is mapped there

/** `pages` pages of anonymous memory. */
function memory(host: Host, pages = 1): number {
  const at = host.syscall(SYS_mmap, 0, pages * 4096, RW, ANON, -1, 0);
  expect(at).toBeGreaterThan(0);
  return at;
}

/** A memory image of `bytes` bytes. */
function image(host: Host, bytes: number): number {
  const fd = host.syscall(SYS_memfd_create, 0, 0);
  expect(fd).toBeGreaterThan(2);
  expect(host.syscall(SYS_ftruncate, fd, bytes)).toBe(0);
  return fd;
}

function put(host: Host, va: number, text: string): number {
  const bytes = new TextEncoder().encode(text);
  host.memory.write(va, bytes);
  return bytes.length;
}

function get(host: Host, va: number, length: number): string {
  const bytes = new Uint8Array(length);
  host.memory.read(va, bytes);
  return new TextDecoder().decode(bytes);
}

describe('errnos', () => {
  // [expected, call]; `m` is a page of memory, `fd` an image of 8192 bytes.
  const rows: readonly (readonly [name: string, errno: number, call: (host: Host, m: number, fd: number) => number])[] = [
    ['read: bad descriptor', EBADF, (h, m) => h.syscall(SYS_read, 77, m, 1)],
    ['read: negative descriptor', EBADF, (h, m) => h.syscall(SYS_read, -1, m, 1)],
    ['read: an output', EBADF, (h, m) => h.syscall(SYS_read, 1, m, 1)],
    ['read: buffer not mapped', EFAULT, (h, _m, fd) => h.syscall(SYS_read, fd, NOWHERE, 1)],
    ['write: bad descriptor', EBADF, (h, m) => h.syscall(SYS_write, 77, m, 1)],
    ['write: the input', EBADF, (h, m) => h.syscall(SYS_write, 0, m, 1)],
    ['write: buffer not mapped', EFAULT, (h) => h.syscall(SYS_write, 1, NOWHERE, 1)],
    ['write: buffer beyond 2^53', EFAULT, (h) => h.syscall(SYS_write, 1, -1, 1)],
    ['writev: too many vectors', EINVAL, (h, m) => h.syscall(SYS_writev, 1, m, 1025)],
    ['writev: negative count', EINVAL, (h, m) => h.syscall(SYS_writev, 1, m, -1)],
    ['writev: vectors not mapped', EFAULT, (h) => h.syscall(SYS_writev, 1, NOWHERE, 1)],
    ['readv: bad descriptor', EBADF, (h, m) => h.syscall(SYS_readv, 9, m, 1)],
    ['pread64: console', ESPIPE, (h, m) => h.syscall(SYS_pread64, 0, m, 1, 0)],
    ['pread64: negative offset', EINVAL, (h, m, fd) => h.syscall(SYS_pread64, fd, m, 1, -1)],
    ['pwrite64: console', ESPIPE, (h, m) => h.syscall(SYS_pwrite64, 1, m, 1, 0)],
    ['pwrite64: negative offset', EINVAL, (h, m, fd) => h.syscall(SYS_pwrite64, fd, m, 1, -4096)],
    ['pwrite64: beyond every file', EFBIG, (h, m, fd) => h.syscall(SYS_pwrite64, fd, m, 1, 2 ** 52)],
    ['pwrite64: bad descriptor', EBADF, (h, m) => h.syscall(SYS_pwrite64, 44, m, 1, 0)],
    ['memfd_create: unknown flag', EINVAL, (h) => h.syscall(SYS_memfd_create, 0, 0x100)],
    ['memfd_create: name not mapped', EFAULT, (h) => h.syscall(SYS_memfd_create, NOWHERE, 0)],
    ['ftruncate: bad descriptor', EBADF, (h) => h.syscall(SYS_ftruncate, 50, 0)],
    ['ftruncate: console', EINVAL, (h) => h.syscall(SYS_ftruncate, 1, 0)],
    ['ftruncate: negative', EINVAL, (h, _m, fd) => h.syscall(SYS_ftruncate, fd, -1)],
    ['ftruncate: too large', EFBIG, (h, _m, fd) => h.syscall(SYS_ftruncate, fd, 2 ** 52)],
    ['close: bad descriptor', EBADF, (h) => h.syscall(SYS_close, 60)],
    ['ioctl: bad descriptor', EBADF, (h) => h.syscall(SYS_ioctl, 60, 0x5413, 0)],
    ['ioctl: console', ENOTTY, (h, m) => h.syscall(SYS_ioctl, 1, 0x5413, m)],
    ['mmap: length 0', EINVAL, (h) => h.syscall(SYS_mmap, 0, 0, RW, ANON, -1, 0)],
    ['mmap: anonymous with descriptor', EINVAL, (h, _m, fd) => h.syscall(SYS_mmap, 0, 4096, RW, ANON, fd, 0)],
    ['mmap: anonymous with offset', EINVAL, (h) => h.syscall(SYS_mmap, 0, 4096, RW, ANON, -1, 4096)],
    ['mmap: bad descriptor', EBADF, (h) => h.syscall(SYS_mmap, 0, 4096, RW, MAP_SHARED, 99, 0)],
    ['mmap: console', EINVAL, (h) => h.syscall(SYS_mmap, 0, 4096, RW, MAP_SHARED, 1, 0)],
    ['mmap: negative offset', EINVAL, (h, _m, fd) => h.syscall(SYS_mmap, 0, 4096, RW, MAP_SHARED, fd, -4096)],
    ['mmap: fixed, misaligned', EINVAL, (h) => h.syscall(SYS_mmap, 0x10001, 4096, RW, ANON | MAP_FIXED, -1, 0)],
    ['mmap: fixed, beyond user space', EINVAL, (h) => h.syscall(SYS_mmap, h.userEnd, 4096, RW, ANON | MAP_FIXED, -1, 0)],
    ['mmap: wraps', EINVAL, (h) => h.syscall(SYS_mmap, -4096, 8192, RW, ANON | MAP_FIXED, -1, 0)],
    ['mmap: tryfixed over a mapping', ENOMEM, (h, m) => h.syscall(SYS_mmap, m, 4096, RW, ANON | MAP_TRYFIXED, -1, 0)],
    ['mmap: vpagetable without write', EINVAL, (h) => h.syscall(SYS_mmap, 0, 4096, READ, ANON | MAP_VPAGETABLE, -1, 0)],
    ['mmap: vpagetable stack', EINVAL, (h) => h.syscall(SYS_mmap, 0, 4096, RW, ANON | MAP_VPAGETABLE | MAP_STACK, -1, 0)],
    ['mmap: no room', ENOMEM, (h) => h.syscall(SYS_mmap, 0, h.userEnd, RW, ANON, -1, 0)],
    ['munmap: a hole', EINVAL, (h) => h.syscall(SYS_munmap, NOWHERE, 4096)],
    ['munmap: wraps', EINVAL, (h, m) => h.syscall(SYS_munmap, m, -1)],
    ['mprotect: a hole', ENOMEM, (h) => h.syscall(SYS_mprotect, NOWHERE, 4096, READ)],
    ['mprotect: beyond user space', EINVAL, (h) => h.syscall(SYS_mprotect, h.userEnd, 4096, READ)],
    ['madvise: SETMAP', EINVAL, (h, m) => h.syscall(SYS_madvise, m, 4096, MADV_SETMAP)],
    ['madvise: negative', EINVAL, (h, m) => h.syscall(SYS_madvise, m, 4096, -1)],
    ['mcontrol: unknown', EINVAL, (h, m) => h.syscall(SYS_mcontrol, m, 4096, 12, 0)],
    ['mcontrol: SETMAP on a plain entry', EINVAL, (h, m) => h.syscall(SYS_mcontrol, m, 4096, MADV_SETMAP, 3)],
    ['mcontrol: wraps', EINVAL, (h, m) => h.syscall(SYS_mcontrol, m, -1, MADV_INVAL, 0)],
    ['clock_gettime: no such clock', EINVAL, (h, m) => h.syscall(SYS_clock_gettime, 8, m)],
    ['clock_gettime: not mapped', EFAULT, (h) => h.syscall(SYS_clock_gettime, 0, NOWHERE)],
    ['rt_sigaction: signal 0', EINVAL, (h) => h.syscall(SYS_rt_sigaction, 0, 0, 0, 8)],
    ['rt_sigaction: signal 65', EINVAL, (h) => h.syscall(SYS_rt_sigaction, 65, 0, 0, 8)],
    ['rt_sigaction: SIGKILL', EINVAL, (h, m) => h.syscall(SYS_rt_sigaction, 9, m, 0, 8)],
    ['rt_sigaction: set size', EINVAL, (h) => h.syscall(SYS_rt_sigaction, 2, 0, 0, 16)],
    ['rt_sigaction: not mapped', EFAULT, (h) => h.syscall(SYS_rt_sigaction, 2, NOWHERE, 0, 8)],
    ['rt_sigprocmask: how', EINVAL, (h, m) => h.syscall(SYS_rt_sigprocmask, 3, m, 0, 8)],
    ['rt_sigprocmask: not mapped', EFAULT, (h) => h.syscall(SYS_rt_sigprocmask, 0, NOWHERE, 0, 8)],
    ['set_robust_list: size', EINVAL, (h, m) => h.syscall(SYS_set_robust_list, m, 8)],
    ['uname: not mapped', EFAULT, (h) => h.syscall(SYS_uname, NOWHERE)],
    ['clone of a generator', EOPNOTSUPP, (h) => h.syscall(220, 0x11, 0, 0, 0, 0)],
    ['execve of a generator', EOPNOTSUPP, (h) => h.syscall(221, 0, 0, 0)],
    ['a number without meaning', ENOSYS, (h) => h.syscall(100_000)],
    ['a negative number', ENOSYS, (h) => h.syscall(-1)],
    ['no number', ENOSYS, (h) => h.syscall(Number.NaN)],
    ['a fraction', ENOSYS, (h) => h.syscall(93.5)],
  ];

  test.each(rows)('%s', (_name, errno, call) => {
    for (const xlen of [32, 64] as const) runBody((host) => expect(call(host, memory(host), image(host, 8192))).toBe(-errno), xlen);
  });

  test('memfd_create: the 254th file of a process is EMFILE', () => {
    runBody((host) => {
      for (let fd = 3; fd < 256; fd++) expect(host.syscall(SYS_memfd_create, 0, 0)).toBe(fd);
      expect(host.syscall(SYS_memfd_create, 0, 0)).toBe(-EMFILE);
      expect(host.syscall(SYS_close, 100)).toBe(0);
      expect(host.syscall(SYS_memfd_create, 0, 0)).toBe(100);
    });
  });

  test('memfd_create: a name of 249 bytes is allowed, one more is EINVAL', () => {
    runBody((host) => {
      const m = memory(host);
      put(host, m, 'a'.repeat(249));
      expect(host.syscall(SYS_memfd_create, m, 0)).toBe(3);
      put(host, m, 'a'.repeat(250));
      expect(host.syscall(SYS_memfd_create, m, 0)).toBe(-EINVAL);
    });
  });

  test('MAP_VPAGETABLE is EOPNOTSUPP while vm.vkernel_enable is off, and a mapping made before goes on', () => {
    const machine = boot({ vkernelEnable: false });
    const body = plain((host) => {
      const flags = ANON | MAP_VPAGETABLE;
      expect(host.syscall(SYS_mmap, 0, 4096, RW, flags, -1, 0)).toBe(-EOPNOTSUPP);
      expect(host.syscall(SYS_mmap, 0, 0, RW, flags, -1, 0)).toBe(-EINVAL); // this check comes first
      machine.kernel.vm.vkernelEnable = true;
      const at = host.syscall(SYS_mmap, 0, 4096, RW, flags, -1, 0);
      machine.kernel.vm.vkernelEnable = false;
      expect(host.syscall(SYS_mcontrol, at, 4096, MADV_SETMAP, 0x83)).toBe(0);
      expect(host.memory.load32(at)).toBe(0);
    });
    expect(machine.finish(machine.kernel.spawnBody('test', body, 64))).toEqual({ code: 0 });
  });
});

describe('the console', () => {
  test('receives what write and writev send', () => {
    for (const xlen of [32, 64] as const) {
      const machine = runBody((host) => {
        const m = memory(host);
        const word = xlen / 8;
        expect(host.syscall(SYS_write, 1, m, put(host, m, 'hello, '))).toBe(7);
        put(host, m + 100, 'world');
        put(host, m + 200, '!\n');
        for (const [i, value] of [m + 100, 5, 0, 0, m + 200, 2].entries()) host.memory.write(m + i * word, u64(value).subarray(0, word));
        expect(host.syscall(SYS_writev, 2, m, 3)).toBe(7);
      }, xlen);
      expect(machine.output()).toBe('hello, world!\n');
    }
  });

  test('is read up to its end', () => {
    runBody(
      (host) => {
        const m = memory(host);
        expect(host.syscall(SYS_read, 0, m, 3)).toBe(3);
        expect(get(host, m, 3)).toBe('abc');
        expect(host.syscall(SYS_read, 0, m, 100)).toBe(2);
        expect(host.syscall(SYS_read, 0, m, 100)).toBe(0);
      },
      64,
      { input: 'abcde' },
    );
  });

  test('a write that runs into an unmapped page stops short of it', () => {
    const machine = runBody((host) => {
      const m = memory(host);
      put(host, m + 4092, 'last');
      expect(host.syscall(SYS_write, 1, m + 4092, 100)).toBe(4);
    });
    expect(machine.output()).toBe('last');
  });
});

describe('a memory image', () => {
  test('mapped twice is one memory, and pread and pwrite see it', () => {
    runBody((host) => {
      const fd = image(host, 8192);
      const a = host.syscall(SYS_mmap, 0, 8192, RW, MAP_SHARED, fd, 0);
      const b = host.syscall(SYS_mmap, 0, 4096, RW, MAP_SHARED, fd, 4096);
      const m = memory(host);
      put(host, a + 4096, 'from a');
      expect(get(host, b, 6)).toBe('from a');
      expect(host.syscall(SYS_pread64, fd, m, 6, 4096)).toBe(6);
      expect(get(host, m, 6)).toBe('from a');
      expect(host.syscall(SYS_pwrite64, fd, m, put(host, m, 'from file'), 4090)).toBe(9);
      expect(get(host, a + 4090, 9)).toBe('from file');
      expect(get(host, b, 3)).toBe('ile');
    });
  });

  test('read and write move its position, and extend it', () => {
    runBody((host) => {
      const fd = image(host, 0);
      const m = memory(host);
      expect(host.syscall(SYS_write, fd, m, put(host, m, 'abcdef'))).toBe(6);
      expect(host.syscall(SYS_read, fd, m, 6)).toBe(0);
      expect(host.syscall(SYS_pread64, fd, m, 100, 4)).toBe(2);
      expect(get(host, m, 2)).toBe('ef');
      expect(host.syscall(SYS_pread64, fd, m, 100, 6)).toBe(0);
      expect(host.syscall(SYS_write, fd, NOWHERE, 5)).toBe(-EFAULT);
      expect(host.syscall(SYS_write, fd, m, 2)).toBe(2); // where the last good one ended
      expect(host.syscall(SYS_pread64, fd, m, 100, 0)).toBe(8);
    });
  });

  test('a transfer of many pages is one call', () => {
    runBody((host) => {
      const fd = image(host, 0);
      const m = memory(host, 40);
      host.memory.fill(m, 40 * 4096, 7);
      expect(host.syscall(SYS_pwrite64, fd, m, 150_000, 100)).toBe(150_000);
      host.memory.fill(m, 40 * 4096, 0);
      expect(host.syscall(SYS_pread64, fd, m, 160_000, 50)).toBe(150_050);
      expect([
        host.memory.load8(m + 49),
        host.memory.load8(m + 50),
        host.memory.load8(m + 150_049),
        host.memory.load8(m + 150_050),
      ]).toEqual([0, 7, 7, 0]);
    });
  });

  test('loses what is cut off, and grows again with zeros', () => {
    runBody((host) => {
      const fd = image(host, 8192);
      const m = host.syscall(SYS_mmap, 0, 8192, RW, MAP_SHARED, fd, 0);
      host.memory.fill(m, 8192, 9);
      expect(host.syscall(SYS_ftruncate, fd, 100)).toBe(0);
      expect(host.syscall(SYS_ftruncate, fd, 8192)).toBe(0);
      expect([99, 100, 4095, 4096].map((at) => host.memory.load8(m + at))).toEqual([9, 0, 0, 0]);
    });
  });

  test('takes no frame to have a hole cut off', () => {
    const machine = boot();
    const body = plain((host) => {
      const fd = image(host, 10 * 4096);
      const free = machine.kernel.vm.freeFrames;
      expect(host.syscall(SYS_ftruncate, fd, 5 * 4096 + 5)).toBe(0);
      expect(machine.kernel.vm.freeFrames).toBe(free);
    });
    expect(machine.finish(machine.kernel.spawnBody('test', body, 64))).toEqual({ code: 0 });
  });

  test('an access to a mapping beyond its end is SIGBUS', () => {
    const machine = boot();
    const body = plain((host) => {
      const m = host.syscall(SYS_mmap, 0, 8192, RW, MAP_SHARED, image(host, 4096), 0);
      host.memory.store32(m, 1);
      host.memory.store32(m + 4096, 1);
    });
    const status = machine.finish(machine.kernel.spawnBody('test', body, 64));
    expect(status).toMatchObject({ signal: 7, access: WRITE, pc: null, refusal: 'beyond-object' });
  });

  test('stays while it is mapped, after its descriptor is closed', () => {
    runBody((host) => {
      const fd = image(host, 4096);
      const m = host.syscall(SYS_mmap, 0, 4096, RW, MAP_SHARED, fd, 0);
      expect(host.syscall(SYS_close, fd)).toBe(0);
      host.memory.store32(m, 5);
      expect(host.memory.load32(m)).toBe(5);
    });
  });
});

describe('the process', () => {
  test('has a number, a time that advances, and a system that names itself', () => {
    runBody((host) => {
      const m = memory(host);
      expect(host.syscall(SYS_getpid)).toBe(1);
      expect(host.syscall(SYS_set_tid_address, m)).toBe(1);
      expect(host.syscall(SYS_clock_gettime, 1, m)).toBe(0);
      const first = host.memory.load64(m) * 1e9 + host.memory.load64(m + 8);
      host.syscall(SYS_getpid);
      expect(host.syscall(SYS_clock_gettime, 1, m)).toBe(0);
      expect(host.memory.load64(m) * 1e9 + host.memory.load64(m + 8)).toBeGreaterThan(first);
      expect(host.syscall(SYS_uname, m)).toBe(0);
      expect(get(host, m, 5)).toBe('Linux');
      expect(get(host, m + 4 * 65, 8)).toBe('riscv64\0');
      expect(host.syscall(SYS_set_robust_list, m, 24)).toBe(0);
      expect(host.syscall(SYS_sched_yield)).toBe(0);
      expect(host.syscall(SYS_brk, 0)).toBe(0); // no heap
    });
  });

  test('may set handlers and masks, and is told that there are none', () => {
    runBody((host) => {
      const m = memory(host);
      host.memory.fill(m, 64, 1);
      expect(host.syscall(SYS_rt_sigaction, 2, m, m + 32, 8)).toBe(0);
      expect([host.memory.load64(m + 32), host.memory.load64(m + 40), host.memory.load64(m + 48)]).toEqual([0, 0, 0]);
      expect(host.syscall(SYS_rt_sigprocmask, 0, m, m + 32, 8)).toBe(0);
    });
  });

  test('exit ends it at once, with the low byte of its code', () => {
    const machine = boot();
    let after = false;
    const body = plain((host) => {
      host.syscall(SYS_exit, 0x1_07);
      after = true;
    });
    expect(machine.finish(machine.kernel.spawnBody('test', body, 64))).toEqual({ code: 7 });
    expect(after).toBe(false);
  });

  test('a fraction of an argument is cut off, of a negative one too', () => {
    runBody((host) => {
      const fd = image(host, 4096);
      const m = memory(host);
      expect(host.syscall(SYS_pread64, fd, m, 8.9, -0.5)).toBe(8); // offset 0
      expect(host.syscall(SYS_pread64, fd, m, 8, -(2 ** 32) - 0.5)).toBe(-EINVAL);
    });
  });

  test('a system call nobody serves is counted, and reported once', () => {
    const machine = runBody((host) => {
      host.syscall(400);
      host.syscall(400);
    });
    expect(machine.kernel.counters.unknownSyscalls.get(400)).toBe(2);
    expect(machine.messages).toEqual(['process 1 (test): system call 400 does not exist']);
  });

  test('a body that goes on after its end is stopped by whatever it does next', () => {
    const machine = boot();
    let kept: Host | null = null;
    const body = plain((host) => {
      kept = host;
      try {
        host.memory.load32(NOWHERE);
      } catch {
        expect(() => host.syscall(SYS_getpid)).toThrow();
        expect(() => host.memory.load32(NOWHERE)).toThrow();
        expect(() => host.run(1, 0, 0)).toThrow();
      }
    });
    expect(machine.finish(machine.kernel.spawnBody('test', body, 64))).toMatchObject({ signal: 11, faultVa: NOWHERE, refusal: 'no-entry' });
    expect(() => (kept as Host | null)?.memory.load32(0)).toThrow();
  });

  test('a fault that finds no frame is SIGKILL', () => {
    const machine = boot({ ramBytes: 256 * 1024 });
    const body = plain((host) => {
      const m = memory(host, 1000);
      for (let page = 0; page < 1000; page++) host.memory.store8(m + page * 4096, 1);
    });
    expect(machine.finish(machine.kernel.spawnBody('test', body, 64))).toMatchObject({ signal: 9, refusal: 'no-frames' });
  });

  test('madvise(MADV_DONTNEED) forgets private memory', () => {
    runBody((host) => {
      const m = host.syscall(SYS_mmap, 0, 4096, RW, MAP_PRIVATE | MAP_ANON, -1, 0);
      host.memory.store32(m, 1);
      expect(host.syscall(SYS_madvise, m, 4096, MADV_DONTNEED)).toBe(0);
      expect(host.memory.load32(m)).toBe(0);
    });
  });
});

/** The eight bytes of an integer below 2^53. */
function u64(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value % 2 ** 32, value / 2 ** 32).buffer);
}
