/** Whatever a guest writes into its tables: it reaches pages of its own object, and nothing else of the machine. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { LAYOUT_NAMES, swap32 } from '../../../hostkernel/machine/index.ts';
import { MADV_INVAL, MADV_SETMAP, MAP_FIXED, MAP_SHARED, MAP_VPAGETABLE } from '../../../hostkernel/vm/index.ts';
import { formatOf, Rig, RW, RWX } from './rig.ts';

const GUEST_PAGES = 8;
const CANARY = 0x5afe_c0de;
const RUNS = 5; // fuzz/vpte.test.ts makes a hundred thousand

interface Attack {
  /** Words poured over the guest's pages: the page, where in it, and what. */
  readonly words: readonly { readonly page: number; readonly at: number; readonly value: number }[];
  readonly rootLo: number;
  readonly rootHi: number;
  readonly accesses: readonly { readonly page: number; readonly access: number; readonly inval: boolean }[];
}

/** Entries a hostile guest would try: small frames with every low bit pattern, extreme frames, noise. */
const hostileWord = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.nat(GUEST_PAGES + 2), fc.nat(0xfff)).map(([frame, flags]) => frame * 4096 + flags) },
  { weight: 3, arbitrary: fc.tuple(fc.nat(GUEST_PAGES + 2), fc.nat(0x3ff)).map(([frame, flags]) => frame * 1024 + flags) },
  { weight: 1, arbitrary: fc.nat(0xffff_ffff) },
  { weight: 1, arbitrary: fc.constantFrom(0, 0xffff_ffff, 0xffff_f003, 0x8000_0003, 0x7fff_f083) },
);
const position = fc.oneof(fc.nat(15), fc.nat(1023));
const attack: fc.Arbitrary<Attack> = fc.record({
  words: fc.array(fc.record({ page: fc.nat(GUEST_PAGES - 1), at: position, value: hostileWord }), { maxLength: 80, size: 'max' }),
  rootLo: hostileWord,
  rootHi: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(0x1f_ffff) }),
  accesses: fc.array(
    fc.record({
      page: fc.oneof(fc.nat(15), fc.nat(2 ** 20 - 1), fc.nat(2 ** 26)),
      access: fc.constantFrom(READ, WRITE, EXEC),
      inval: fc.boolean(),
    }),
    { minLength: 20, maxLength: 40, size: 'max' },
  ),
});

/** A machine with a guest under attack, and canaries in every page of another object and of private memory. */
function victim(vpte: string) {
  const rig = new Rig({ frames: 256, mmu: 'sv48', vpte });
  const canary = rig.vm.createObject(16);
  canary.write(0, new Uint8Array(new Uint32Array(16 * 1024).fill(CANARY).buffer));
  const own = rig.space.mmap({ addr: 0, len: 8 * PAGE_SIZE, prot: RW, flags: 0x1002, object: null, offset: 0 });
  rig.space.copyOut(own, new Uint8Array(new Uint32Array(8 * 1024).fill(CANARY).buffer));
  const guest = rig.vm.createObject(GUEST_PAGES);
  const space = rig.newSpace();
  space.mmap({ addr: 0, len: 2 ** 40, prot: RWX, flags: MAP_SHARED | MAP_FIXED | MAP_VPAGETABLE, object: guest, offset: 0 });
  return { rig, canary, own, guest, space };
}

describe.each(LAYOUT_NAMES.map(String))('%s', (vpte) => {
  test('no table reaches beyond the object it lies in', () => {
    const attempt = fc.property(attack, ({ words, rootLo, rootHi, accesses }) => {
      const { rig, canary, own, guest, space } = victim(vpte);
      for (const { page, at, value } of words) guest.write(page * PAGE_SIZE + at * 4, new Uint8Array(new Uint32Array([value]).buffer));
      space.mcontrol(0, 2 ** 40, MADV_SETMAP, rootHi * 2 ** 32 + rootLo);
      const references = rig.vm.counters.walkReferences;
      for (const { page, access, inval } of accesses) {
        const offset = rig.touch(page * PAGE_SIZE, access, space);
        if (inval) space.mcontrol(page * PAGE_SIZE, PAGE_SIZE, MADV_INVAL, 0);
        if (offset < 0) continue;
        const frame = Math.floor((offset - rig.machine.ram.base) / PAGE_SIZE);
        expect(rig.vm.pages.owner[frame]).toBe(guest.id);
        if (access === WRITE) rig.machine.ram.u32[offset / 4] = rootLo; // new garbage, perhaps in a live table
      }
      expect(rig.vm.counters.walkReferences - references).toBeLessThanOrEqual(accesses.length * formatOf(vpte).levels);
      rig.vm.assertInvariants();
      const kept = new Uint32Array(16 * 1024);
      expect(canary.read(0, new Uint8Array(kept.buffer))).toBe(kept.byteLength);
      expect(kept.every((word) => word === CANARY)).toBe(true);
      const mine = new Uint32Array(8 * 1024);
      expect(rig.space.copyIn(own, new Uint8Array(mine.buffer))).toBe(mine.byteLength);
      expect(mine.every((word) => word === CANARY)).toBe(true);
      space.destroy();
      rig.vm.assertInvariants();
    });
    fc.assert(attempt, { numRuns: RUNS, interruptAfterTimeLimit: 50_000 });
  });

  test('a root that points at a page of itself ends after as many steps as there are levels', () => {
    const { rig, guest, space } = victim(vpte);
    const format = formatOf(vpte);
    const { levels, entryBytes, bigEndian } = format;
    const halves = [format.tableLo(levels - 1, 0), format.tableHi(levels - 1, 0)].slice(0, entryBytes / 4);
    const words = bigEndian ? halves.toReversed().map(swap32) : halves;
    const self = new Uint8Array(Int32Array.from(words).buffer);
    for (let slot = 0; slot < PAGE_SIZE / entryBytes; slot++) guest.write(slot * entryBytes, self);
    space.mcontrol(0, 2 ** 40, MADV_SETMAP, (format.rootHi(0) >>> 0) * 2 ** 32 + (format.rootLo(0) >>> 0));
    const references = rig.vm.counters.walkReferences;
    space.fault(12345 * PAGE_SIZE, READ);
    expect(rig.vm.counters.walkReferences - references).toBeLessThanOrEqual(levels);
    expect(rig.vm.counters.walkReferences).toBeGreaterThan(references);
  });
});
