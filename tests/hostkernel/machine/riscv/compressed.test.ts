import { describe, expect, test } from 'vitest';
import { NO_EXPANSION, expand } from '../../../../hostkernel/machine/riscv/compressed.ts';
import { TRAP_BUDGET, TRAP_ILLEGAL } from '../../../../hostkernel/machine/index.ts';
import { RX, Rig, code } from '../rig.ts';

/** As GNU as assembles them, with and without the C extension: name, 16 bits, 32 bits. */
const BOTH: readonly (readonly [name: string, short: number, long: number])[] = [
  ['addi x8, x2, 1020', 0x1fe0, 0x3fc10413],
  ['addi x2, x2, -512', 0x7101, 0xe0010113],
  ['addi x5, x5, -32', 0x1281, 0xfe028293],
  ['lui x5, 0xfffe0', 0x7281, 0xfffe02b7],
  ['addi x5, x0, 31', 0x42fd, 0x01f00293],
  ['srli x8, x8, 1', 0x8005, 0x00145413],
  ['srai x15, x15, 31', 0x87fd, 0x41f7d793],
  ['andi x9, x9, -1', 0x98fd, 0xfff4f493],
  ['sub x8, x8, x15', 0x8c1d, 0x40f40433],
  ['jal x0, -2048', 0xb001, 0x801ff06f],
  ['beq x8, x0, 254', 0xcc7d, 0x0e040f63],
  ['bne x15, x0, -256', 0xf381, 0xf00790e3],
  ['jalr x0, 0(x1)', 0x8082, 0x00008067],
  ['jalr x1, 0(x5)', 0x9282, 0x000280e7],
  ['add x5, x0, x6', 0x829a, 0x006002b3],
  ['add x5, x5, x6', 0x929a, 0x006282b3],
  ['ebreak', 0x9002, 0x00100073],
  ['lw x8, 124(x15)', 0x5fe0, 0x07c7a403],
  ['sw x8, 124(x15)', 0xdfe0, 0x0687ae23],
  ['lw x5, 252(x2)', 0x52fe, 0x0fc12283],
  ['sw x5, 252(x2)', 0xdf96, 0x0e512e23],
  ['fld f8, 248(x15)', 0x3fe0, 0x0f87b407],
  ['fsd f8, 504(x2)', 0xbfa2, 0x1e813c27],
];

test.each(BOTH)('%s', (_name, short, long) => {
  expect(expand(short, 64) >>> 0).toBe(long);
  expect(expand(short, 32) >>> 0).toBe(long);
});

describe('encodings whose meaning depends on the register width', () => {
  test.each([
    ['c.addiw x5, -1 | c.jal', 0x32fd, 0xfff2829b, 0x9efff0ef],
    ['c.ld | c.flw', 0x7fe0, 0x0f87b403, 0x07c7a407],
    ['c.sd | c.fsw', 0xffe0, 0x0e87bc23, 0x0687ae27],
    ['c.ldsp | c.flwsp', 0x72fe, 0x1f813283, 0x0fc12287],
    ['c.sdsp | c.fswsp', 0xff96, 0x1e513c23, 0x0e512e27],
  ])('%s', (_name, bits, wide, narrow) => {
    expect(expand(bits, 64) >>> 0).toBe(wide);
    expect(expand(bits, 32) >>> 0).toBe(narrow);
  });
});

/** FNV-1a over the expansions of all 49152 compressed encodings. */
function digest(xlen: 32 | 64): number {
  let hash = 0x811c9dc5;
  for (let bits = 0; bits < 65536; bits++) {
    const long = (bits & 3) === 3 ? 0 : expand(bits, xlen);
    for (let shift = 0; shift < 32; shift += 8) hash = Math.imul(hash ^ ((long >>> shift) & 255), 0x0100_0193);
  }
  return hash >>> 0;
}

test('all expansions are those that GNU objdump reads out of the same bits', () => {
  // Compared once, instruction by instruction; objdump alone takes c.addi16sp 0 and, on RV32, shifts by 32 and more.
  expect([digest(64), digest(32)]).toEqual([1201354483, 3425666203]);
});

describe('reserved encodings are illegal', () => {
  test.each([
    ['all zero', 0x0000, 64],
    ['c.addi4spn with 0', 0x0004, 64],
    ['c.lui with 0', 0x6281, 64],
    ['c.addi16sp with 0', 0x6101, 64],
    ['c.addiw x0', 0x2005, 64],
    ['c.lwsp x0', 0x4002, 64],
    ['c.ldsp x0', 0x6002, 64],
    ['c.jr x0', 0x8002, 64],
    ['quadrant 0, row 4', 0x8000, 64],
    ['quadrant 1, row 4, 1xx', 0x9c41, 64],
    ['c.subw on RV32', 0x9c01, 32],
    ['c.slli by 32 on RV32', 0x1282, 32],
    ['c.srli by 32 on RV32', 0x9001, 32],
  ] as const)('%s', (_name, bits, xlen) => {
    expect(expand(bits, xlen)).toBe(NO_EXPANSION);
    const rig = new Rig({ xlen });
    rig.put(rig.mapNew(0x1000, 1, RX), 0, Uint8Array.of(bits & 255, bits >> 8));
    rig.machine.hart.setPc(0x1000);
    expect(rig.machine.hart.run(5)).toBe(TRAP_ILLEGAL);
    expect([rig.machine.hart.pc, rig.machine.hart.tval, rig.machine.hart.retired]).toEqual([0x1000, bits, 0]);
  });
});

test('hints do nothing', () => {
  const hints = [0x0001, 0x0005, 0x4005, 0x6005, 0x0006, 0x801a, 0x901a, 0x0281, 0x8001, 0x0282];
  const rig = new Rig();
  rig.put(rig.mapNew(0x1000, 1, RX), 0, code(hints));
  for (let i = 1; i < 32; i++) rig.setX(i, 1000n + BigInt(i));
  rig.machine.hart.setPc(0x1000);
  expect(rig.machine.hart.run(hints.length)).toBe(TRAP_BUDGET);
  expect(rig.machine.hart.pc).toBe(0x1000 + 2 * hints.length);
  for (let i = 1; i < 32; i++) expect(rig.x(i)).toBe(1000n + BigInt(i));
});
