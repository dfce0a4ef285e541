/**
 * Random programs on our hart and on qemu's user mode: all registers, flags and memory must come out the same. Where qemu
 * is not installed the digest of its result, kept here, stands in for it.
 */

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { TRAP_BUDGET, TRAP_ECALL } from '../../../../hostkernel/machine/index.ts';
import { RW, RX, Rig } from '../rig.ts';
import { CODE, DATA, elfOf, randomProgram, type RandomProgram } from './random-program.ts';

const BLOCKS = 60;
const LENGTH = 40;

/** Runs a program on our hart, by itself and in pieces of `piece` instructions; gives back what it writes. */
function runHere(program: RandomProgram, piece: number): Uint8Array {
  const rig = new Rig({ xlen: program.xlen });
  const codePages = Math.ceil(program.code.length / 4096);
  rig.put(rig.mapNew(CODE, codePages, RX), 0, program.code);
  const dataFrame = rig.mapNew(DATA, Math.ceil(program.data.length / 4096), RW);
  rig.put(dataFrame, 0, program.data);
  const { hart, ram } = rig.machine;
  hart.setPc(CODE);
  let cause: number;
  do {
    cause = hart.run(piece);
  } while (cause === TRAP_BUDGET);
  expect({ cause, pc: hart.pc, call: rig.x(17) }).toMatchObject({ cause: TRAP_ECALL, call: 64n });
  expect([rig.x(10), rig.x(11), rig.x(12)]).toEqual([1n, BigInt(DATA), BigInt(program.data.length)]);
  rig.machine.mmu.assertInvariants();
  hart.code.assertInvariants();
  const start = ram.offsetOf(dataFrame);
  return ram.u8.slice(start, start + program.data.length);
}

/** Runs a program under qemu; null if there is none. */
function runThere(program: RandomProgram): Uint8Array | null {
  const folder = mkdtempSync(join(tmpdir(), 'hart-'));
  try {
    const file = join(folder, 'program');
    writeFileSync(file, elfOf(program));
    chmodSync(file, 0o755);
    const { error, stdout, status } = spawnSync(`qemu-riscv${program.xlen}`, [file], { maxBuffer: 1 << 26 });
    if (error !== undefined) return null;
    expect(status).toBe(0);
    return new Uint8Array(stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** FNV-1a, 32 bits. */
function digest(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x0100_0193);
  return hash >>> 0;
}

/** The first doubleword that differs, in words for the person who must find out why. */
function difference(ours: Uint8Array, theirs: Uint8Array): string {
  if (ours.length !== theirs.length) return `${ours.length} bytes instead of ${theirs.length}`;
  const at = ours.findIndex((byte, i) => byte !== theirs[i]);
  if (at < 0) return '';
  const slot = (at % 2048) >> 3;
  const name = slot < 32 ? `x${slot}` : slot < 64 ? `f${slot - 32}` : slot === 64 ? 'fcsr' : `memory ${at % 2048}`;
  const show = (bytes: Uint8Array): string => new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at & ~7, true).toString(16);
  return `block ${at >> 11}, ${name}: ${show(ours)} instead of ${show(theirs)}`;
}

const DIGESTS: Readonly<Record<number, readonly number[]>> = {
  64: [433120983, 509924429, 3580747144, 2139702514, 3741302222, 980512355],
  32: [599707392, 1801217647, 2321897203, 3651260606, 4106774215, 3273798073],
};

for (const xlen of [64, 32] as const) {
  for (let seed = 1; seed <= 6; seed++) {
    test(`random program ${seed} computes what qemu computes, RV${xlen}`, () => {
      const program = randomProgram(seed, xlen, BLOCKS, LENGTH);
      const ours = runHere(program, 1e9);
      const theirs = runThere(program);
      if (theirs !== null) expect(difference(ours, theirs)).toBe('');
      expect(digest(ours)).toBe(DIGESTS[xlen][seed - 1]);
      expect(difference(runHere(program, 7), ours)).toBe('');
    });
  }
}
