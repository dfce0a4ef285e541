import { describe, expect, test } from 'vitest';
import {
  direntBytes,
  putDirent,
  putRusage,
  putSiginfo,
  putStat,
  putStatfs,
  putStatx,
  putSysinfo,
  putTermios,
  putUtsname,
  SIGINFO_BYTES,
  STAT_BYTES,
  STATX_BYTES,
  TERMIOS_BYTES,
  UTSNAME_BYTES,
} from '../../../vkernel/posix/layouts.ts';
import { FRAME_32, FRAME_64 } from '../../../vkernel/posix/signal-frame.ts';
import { FileSystem } from '../../../vkernel/posix/vfs/filesystem.ts';
import { OFFSETS } from './offsets.ts';

const widths = [64, 32] as const;
const column = (width: 64 | 32): 0 | 1 => (width === 64 ? 0 : 1);

/** A view over bytes of 0xcc: what a layout does not write would show. */
function dirty(): DataView {
  return new DataView(new Uint8Array(1200).fill(0xcc).buffer);
}

function word(view: DataView, offset: number, width: 64 | 32): number {
  return width === 64 ? Number(view.getBigUint64(offset, true)) : view.getUint32(offset, true);
}

const fs = new FileSystem({ provider: null, now: () => ({ seconds: 11, nanoseconds: 12 }) });
const node = fs.tree.makeFile(0o4755, { size: 2 ** 33 + 5, read: () => 0 });
Object.assign(node, { nlink: 3, uid: 1001, gid: 1002 });
node.atime = { seconds: 21, nanoseconds: 22 };
node.mtime = { seconds: 2 ** 33, nanoseconds: 999_999_999 };
node.ctime = { seconds: -1, nanoseconds: 1 };

test('stat', () => {
  const view = dirty();
  putStat(view, node);
  const at = (name: string): number => OFFSETS[`stat.${name}` as keyof typeof OFFSETS][0];
  expect(STAT_BYTES).toBe(OFFSETS['sizeof.stat'][0]);
  expect(word(view, at('st_dev'), 64)).toBe(node.dev);
  expect(word(view, at('st_ino'), 64)).toBe(node.ino);
  expect(view.getUint32(at('st_mode'), true)).toBe(0o104755);
  expect(view.getUint32(at('st_nlink'), true)).toBe(3);
  expect(view.getUint32(at('st_uid'), true)).toBe(1001);
  expect(view.getUint32(at('st_gid'), true)).toBe(1002);
  expect(word(view, at('st_rdev'), 64)).toBe(0);
  expect(word(view, at('st_size'), 64)).toBe(2 ** 33 + 5);
  expect(view.getInt32(at('st_blksize'), true)).toBe(4096);
  expect(word(view, at('st_atime'), 64)).toBe(21);
  expect(word(view, at('st_atime_nsec'), 64)).toBe(22);
  expect(word(view, at('st_mtime'), 64)).toBe(2 ** 33);
  expect(view.getBigInt64(at('st_ctime'), true)).toBe(-1n);
  expect(view.getUint8(STAT_BYTES)).toBe(0xcc);
});

test('statx', () => {
  const view = dirty();
  putStatx(view, node);
  const at = (name: string): number => OFFSETS[`statx.${name}` as keyof typeof OFFSETS][0];
  expect(STATX_BYTES).toBe(OFFSETS['sizeof.statx'][0]);
  expect(view.getUint32(at('stx_mask'), true)).toBe(0x7ff);
  expect(view.getUint16(at('stx_mode'), true)).toBe(0o104755);
  expect(view.getUint32(at('stx_nlink'), true)).toBe(3);
  expect(view.getUint32(at('stx_uid'), true)).toBe(1001);
  expect(view.getUint32(at('stx_gid'), true)).toBe(1002);
  expect(word(view, at('stx_ino'), 64)).toBe(node.ino);
  expect(word(view, at('stx_size'), 64)).toBe(2 ** 33 + 5);
  expect(word(view, at('stx_atime'), 64)).toBe(21);
  expect(view.getUint32(at('stx_atime') + 8, true)).toBe(22);
  expect(word(view, at('stx_mtime'), 64)).toBe(2 ** 33);
  expect(view.getUint32(at('stx_mtime') + 8, true)).toBe(999_999_999);
  expect(view.getBigInt64(at('stx_ctime'), true)).toBe(-1n);
  expect(view.getUint32(at('stx_dev_minor'), true)).toBe(node.dev);
  expect(view.getUint8(STATX_BYTES)).toBe(0xcc);
});

test('device numbers are encoded as in sys/sysmacros.h', () => {
  const view = dirty();
  const device = fs.tree.makeDevice('character', 0o666, { major: 0x123, minor: 0x45678 }, null);
  putStat(view, device);
  expect(word(view, OFFSETS['stat.st_rdev'][0], 64)).toBe(0x78 | (0x123 << 8) | (0x456 << 20));
  putStatx(view, device);
  expect(view.getUint32(OFFSETS['statx.stx_rdev_major'][0], true)).toBe(0x123);
  expect(view.getUint32(OFFSETS['statx.stx_rdev_minor'][0], true)).toBe(0x45678);
});

describe.each(widths)('rv%i', (width) => {
  const c = column(width);
  const wide = width === 64;

  test('statfs (rv32: statfs64)', () => {
    const view = dirty();
    const size = putStatfs(view, wide, { type: 0x1234, blocks: 2 ** 34, free: 7, files: 8, filesFree: 9 });
    const at = (name: string): number => OFFSETS[`statfs64.${name}` as keyof typeof OFFSETS][c];
    expect(size).toBe(OFFSETS['sizeof.statfs64'][c]);
    expect(word(view, at('f_type'), width)).toBe(0x1234);
    expect(word(view, at('f_bsize'), width)).toBe(4096);
    const counts = ['f_blocks', 'f_bfree', 'f_bavail', 'f_files', 'f_ffree'].map((name) => word(view, at(name), 64));
    expect(counts).toEqual([2 ** 34, 7, 7, 8, 9]);
    expect(word(view, at('f_namelen'), width)).toBe(255);
    expect(word(view, at('f_frsize'), width)).toBe(4096);
    expect(view.getUint8(size)).toBe(0xcc);
  });

  test('sysinfo', () => {
    const view = dirty();
    const size = putSysinfo(view, wide, { uptime: 12.7, total: 1000, free: 900 });
    expect(size).toBe(OFFSETS['sizeof.sysinfo'][c]);
    expect(word(view, OFFSETS['sysinfo.uptime'][c], width)).toBe(12);
    expect(word(view, OFFSETS['sysinfo.totalram'][c], width)).toBe(1000);
    expect(word(view, OFFSETS['sysinfo.freeram'][c], width)).toBe(900);
    expect(view.getUint16(OFFSETS['sysinfo.procs'][c], true)).toBe(1);
    expect(view.getUint32(OFFSETS['sysinfo.mem_unit'][c], true)).toBe(1);
    expect(view.getUint8(size)).toBe(0xcc);
  });

  test('rusage', () => {
    const view = dirty();
    const size = putRusage(view, wide, { time: 3_000_004, maxrss: 55 });
    expect(size).toBe(OFFSETS['sizeof.rusage'][c]);
    expect(word(view, OFFSETS['rusage.ru_utime'][c], width)).toBe(3);
    expect(word(view, OFFSETS['rusage.ru_utime'][c] + width / 8, width)).toBe(4);
    expect(word(view, OFFSETS['rusage.ru_stime'][c], width)).toBe(0);
    expect(word(view, OFFSETS['rusage.ru_maxrss'][c], width)).toBe(55);
  });

  test('siginfo', () => {
    const view = dirty();
    putSiginfo(view, 0, wide, { signal: 11, code: 2, address: { lo: -16, hi: 63 }, pid: 0, value: null });
    expect(SIGINFO_BYTES).toBe(OFFSETS['sizeof.siginfo'][c]);
    expect(view.getInt32(OFFSETS['siginfo.si_signo'][c], true)).toBe(11);
    expect(view.getInt32(OFFSETS['siginfo.si_code'][c], true)).toBe(2);
    expect(view.getInt32(OFFSETS['siginfo.si_addr'][c], true)).toBe(-16);
    if (wide) expect(view.getInt32(OFFSETS['siginfo.si_addr'][c] + 4, true)).toBe(63);
    putSiginfo(view, 0, wide, { signal: 34, code: -1, address: null, pid: 9, value: { lo: 7, hi: 0 } });
    expect(view.getInt32(OFFSETS['siginfo.si_pid'][c], true)).toBe(9);
    expect(view.getInt32(OFFSETS['siginfo.si_value'][c], true)).toBe(7);
  });

  test('the signal frame is siginfo and ucontext', () => {
    const frame = wide ? FRAME_64 : FRAME_32;
    const uc = OFFSETS['sizeof.siginfo'][c];
    const mcontext = uc + OFFSETS['ucontext.uc_mcontext'][c];
    expect(frame).toEqual({
      bytes: uc + OFFSETS['sizeof.ucontext'][c],
      ucontext: uc,
      stack: uc + OFFSETS['ucontext.uc_stack'][c],
      sigmask: uc + OFFSETS['ucontext.uc_sigmask'][c],
      registers: mcontext + OFFSETS['sigcontext.sc_regs'][c],
      floats: mcontext + OFFSETS['sigcontext.sc_fpregs'][c],
      fcsr: mcontext + OFFSETS['sigcontext.sc_fpregs'][c] + 256, // after f[32] of __riscv_d_ext_state
      reserved: mcontext + OFFSETS['sigcontext.sc_fpregs'][c] + 516, // after f[64] and fcsr of __riscv_q_ext_state
    });
  });
});

test('utsname has six fields of 65 bytes', () => {
  const view = dirty();
  putUtsname(view, { nodename: 'n'.repeat(100), release: '6.1', version: '#1', machine: 'riscv64' });
  expect(UTSNAME_BYTES).toBe(OFFSETS['sizeof.new_utsname'][0]);
  const field = (i: number): string => new TextDecoder().decode(new Uint8Array(view.buffer, i * 65, 65)).split('\0')[0] ?? '';
  expect([0, 1, 2, 4, 5].map(field)).toEqual(['Linux', 'n'.repeat(64), '6.1', 'riscv64', '(none)']);
});

test('termios', () => {
  const view = dirty();
  putTermios(view);
  expect(TERMIOS_BYTES).toBe(OFFSETS['sizeof.termios'][0]);
  expect(view.getUint8(OFFSETS['termios.c_cc'][0])).toBe(3); // VINTR
  expect(view.getUint8(TERMIOS_BYTES)).toBe(0xcc);
});

test('a directory entry is padded to 8 bytes and ends in a NUL', () => {
  const view = dirty();
  putDirent(view, 0, { ino: 77, kind: 'symlink', name: 'abcde', next: 4 });
  expect(direntBytes('abcde')).toBe(32);
  expect(direntBytes('abcd')).toBe(24);
  expect([word(view, 0, 64), word(view, 8, 64), view.getUint16(16, true), view.getUint8(18)]).toEqual([77, 4, 32, 10]);
  expect([...new Uint8Array(view.buffer, 19, 13)]).toEqual([97, 98, 99, 100, 101, 0, 0, 0, 0, 0, 0, 0, 0]);
});
