/**
 * Hostile input: random bytes as code, random registers. Whatever it is, the hart ends with a trap, touches no frame that is
 * not mapped, and does the same whether it runs at once or in pieces.
 */

import { expect, test } from 'vitest';
import { PAGE_SIZE, type HostFrame } from '../../../../hostkernel/base/units.ts';
import { RW, RWX, RX, Rig, code } from '../rig.ts';
import * as asm from './assembler.ts';

const BUDGET = 3000;

function generator(seed: number): () => number {
  let s = Math.imul(seed + 1, 0x9e37_79b1) >>> 0 || 1;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return Math.imul(s, 0x85eb_ca6b) >>> 0;
  };
}

/** Pages at 0x10000 (code), 0x11000 (code, writable), 0x40000 (data): in frames apart from each other. */
function hostileRig(seed: number, xlen: 32 | 64): { rig: Rig; mapped: HostFrame[] } {
  const next = generator(seed);
  const rig = new Rig({ xlen, ramBytes: 256 * 1024 });
  const mapped: HostFrame[] = [];
  for (const [va, rights] of [
    [0x10000, RX],
    [0x11000, RWX],
    [0x40000, RW],
    [0xffff_f000, RWX],
    [0, RWX],
  ] as const) {
    rig.entryAt(va);
    rig.frame();
    const frame = rig.frame();
    rig.map(va, frame, rights);
    const bytes = new Uint8Array(PAGE_SIZE);
    for (let i = 0; i < PAGE_SIZE; i++) bytes[i] = next() >>> 24;
    if ((seed & 1) !== 0)
      for (let i = 0; i < PAGE_SIZE; i += 4)
        bytes[i] = (bytes[i] & 0x80) | [0x13, 0x33, 0x03, 0x23, 0x63, 0x1b, 0x3b, 0x2f, 0x6f, 0x67, 0x53, 0x43][next() % 12];
    rig.put(frame, 0, bytes);
    mapped.push(frame);
  }
  const values = [0x10000, 0x10ffe, 0x11000, 0x11ff8, 0x40000, 0x40fff, 0xffff_fffe, 0, 0x1_0000_0000];
  for (let i = 1; i < 32; i++) {
    const low = BigInt(next());
    const high = BigInt(next());
    rig.setX(i, next() % 4 === 0 ? (high << 32n) | low : BigInt(values[next() % values.length] + (next() % 64) - 32));
  }
  for (let i = 0; i < 64; i++) rig.machine.hart.f[i] = next();
  rig.machine.hart.fcsr = next() & 255;
  rig.machine.hart.setPc([0x10000, 0x11000, 0x10ffe, 0xffff_fffc][next() % 4]);
  return { rig, mapped };
}

/** Runs to the end of the budget in pieces; a trap other than the end of a piece skips two bytes, as a fuzzer does. */
function play(rig: Rig, piece: number): string {
  const { hart, ram } = rig.machine;
  const trace: string[] = [];
  let left = BUDGET;
  for (let traps = 0; traps < 100 && left > 0; ) {
    const before = hart.retired;
    const cause = hart.run(Math.min(piece, left));
    const retired = hart.retired - before;
    expect(retired).toBeLessThanOrEqual(Math.min(piece, left));
    left -= retired;
    if (cause === 32) continue;
    traps++;
    trace.push(`${cause} ${hart.pc} ${hart.tval} ${hart.retired}`);
    if (cause === 12 || cause === 1) hart.setPc(0x10000 + ((traps * 38) & 0xfff));
    else hart.setPc(hart.pc + 2);
  }
  const registers = [...hart.x].map((word, i) => (rig.xlen === 32 && (i & 1) === 1 ? 0 : word));
  let hash = 0;
  for (let i = ram.base / 4; i < ram.i32.length; i++) hash = Math.imul(hash ^ ram.i32[i], 0x0100_0193);
  return [...trace, registers, [...hart.f], hart.fcsr, hart.pc, hash].join('\n');
}

/** A checksum of all frames that are not mapped, page tables apart (their accessed and dirty bits change). */
function others(rig: Rig, mapped: readonly HostFrame[]): string {
  const { ram } = rig.machine;
  const sums: number[] = [];
  for (let frame = 0; frame < ram.frames; frame++) {
    if (mapped.includes(frame as HostFrame)) continue;
    let hash = 0;
    for (let i = 0; i < 1024; i++) hash = Math.imul(hash ^ (ram.i32[ram.base / 4 + frame * 1024 + i] & ~0xc0), 0x0100_0193);
    sums.push(hash);
  }
  return sums.join();
}

for (const xlen of [64, 32] as const) {
  test(`random bytes as code, RV${xlen}`, () => {
    for (let seed = 0; seed < 30; seed++) {
      const atOnce = hostileRig(seed, xlen);
      const before = others(atOnce.rig, atOnce.mapped);
      const result = play(atOnce.rig, Infinity);
      expect(others(atOnce.rig, atOnce.mapped)).toBe(before);
      expect([atOnce.rig.machine.hart.x[0], atOnce.rig.machine.hart.x[1]]).toEqual([0, 0]);
      atOnce.rig.machine.mmu.assertInvariants();
      atOnce.rig.machine.hart.code.assertInvariants();
      for (const piece of [1, 7]) expect(play(hostileRig(seed, xlen).rig, piece)).toBe(result);
    }
  });

  test(`any word alone is executed or refused, RV${xlen}`, () => {
    const next = generator(99);
    const rig = new Rig({ xlen, ramBytes: 256 * 1024 });
    const frame = rig.mapNew(0x10000, 1, RX);
    const { hart } = rig.machine;
    for (let i = 0; i < 20_000; i++) {
      rig.put(frame, 0, code([(next() & ~3) | [3, 3, 3, 0, 1, 2][next() % 6], asm.NOP]));
      rig.setX(1 + (next() % 31), (BigInt(next()) << 32n) | BigInt(next()));
      hart.setPc(0x10000);
      const before = hart.retired;
      const cause = hart.run(1);
      expect([32, 2, 3, 4, 6, 8, 13, 15]).toContain(cause);
      expect(hart.retired - before).toBe(cause === 32 ? 1 : 0);
      if (cause !== 32) expect(hart.pc).toBe(0x10000);
    }
  });
}
