/** The fault-time walk: permissions of the real PTE, results of failures, accessed and modified bits, level by level. */

import { describe, expect, test } from 'vitest';
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { FAULT_INVALID, FAULT_NO_MEMORY, FAULT_OK, FAULT_PROTECTION, MAP_SHARED, MAX_OBJECT_PAGES } from '../../../hostkernel/vm/index.ts';
import { A, Guest, M, NX, PS, V, W } from './guest.ts';
import { formatOf, MIB, Rig, RW } from './rig.ts';

const DATA = 40; // a data frame
const FRAME = DATA * PAGE_SIZE;

describe.each(['vpte-32-nx', 'vpte-64-nx'])('%s: permissions of the real PTE', (vpte) => {
  const guest = () => new Guest(new Rig({ vpte }));

  /** Faults page 0 and says what the real PTE then permits. */
  function rightsAfter(access: number, leaf: number) {
    const g = guest();
    g.leaf(0, FRAME + leaf);
    const result = g.fault(0, access);
    return { result, rights: g.space.pmap.rights(0 as never), leaf: g.peek(g.leafTable, 0) };
  }

  test.each([READ, EXEC])('read or exec fault (%i), not writable: mapped without write', (access) => {
    for (const m of [0, M]) expect(rightsAfter(access, V + m)).toEqual({ result: FAULT_OK, rights: READ | EXEC, leaf: FRAME + V + m + A });
  });
  test.each([READ, EXEC])('read or exec fault (%i), writable but not modified: mapped without write', (access) => {
    expect(rightsAfter(access, V + W)).toEqual({ result: FAULT_OK, rights: READ | EXEC, leaf: FRAME + V + W + A });
  });
  test.each([READ, EXEC])('read or exec fault (%i), writable and modified: mapped with write', (access) => {
    expect(rightsAfter(access, V + W + M)).toEqual({ result: FAULT_OK, rights: READ | WRITE | EXEC, leaf: FRAME + V + W + M + A });
  });
  test('write fault, writable: accessed and modified are set, mapped with write', () => {
    for (const m of [0, M, A, A + M]) {
      expect(rightsAfter(WRITE, V + W + m)).toEqual({ result: FAULT_OK, rights: READ | WRITE | EXEC, leaf: FRAME + V + W + M + A });
    }
  });
  test('write fault, not writable: fails and marks nothing', () => {
    expect(rightsAfter(WRITE, V + M)).toEqual({ result: FAULT_INVALID, rights: 0, leaf: FRAME + V + M });
  });
  test('no-execute: mapped without execute, and an exec fault fails', () => {
    expect(rightsAfter(READ, V + NX)).toEqual({ result: FAULT_OK, rights: READ, leaf: FRAME + V + NX + A });
    expect(rightsAfter(WRITE, V + W + NX)).toEqual({ result: FAULT_OK, rights: READ | WRITE, leaf: FRAME + V + W + NX + A + M });
    expect(rightsAfter(EXEC, V + NX)).toEqual({ result: FAULT_INVALID, rights: 0, leaf: FRAME + V + NX + A });
  });
  test('not valid: fails and marks nothing', () => {
    for (const access of [READ, WRITE, EXEC]) expect(rightsAfter(access, W)).toEqual({ result: FAULT_INVALID, rights: 0, leaf: FRAME + W });
  });

  test('rights are those of the root and all levels together', () => {
    const levels = formatOf(vpte).levels;
    for (let weak = 0; weak <= levels; weak++) {
      const g = guest();
      g.leaf(0, FRAME + V + W + M);
      // The entry at depth `weak` lacks W and has NX; depth 0 is the root, the last one the leaf.
      if (weak === 0) g.setRoot(V + NX);
      else if (weak === levels) g.leaf(0, FRAME + V + M + NX);
      else g.poke(weak - 1, 0, weak * PAGE_SIZE + V + NX);
      expect(g.fault(0, READ)).toBe(FAULT_OK);
      expect(g.space.pmap.rights(0 as never)).toBe(READ);
      expect(g.fault(0, WRITE)).toBe(FAULT_INVALID);
      expect(g.space.lastRefusal).toEqual({ reason: 'no-write', level: levels - weak });
      expect(g.fault(0, EXEC)).toBe(FAULT_INVALID);
      expect(g.space.lastRefusal).toEqual({ reason: 'no-exec', level: levels - weak });
    }
  });

  test('directories collect A on reads and M on writes only', () => {
    const g = guest();
    g.leaf(0, FRAME + V + W);
    g.fault(0, READ);
    for (let table = 0; table < g.leafTable; table++) expect(g.peek(table, 0)).toBe((table + 1) * PAGE_SIZE + V + W + A);
    g.fault(0, WRITE);
    for (let table = 0; table < g.leafTable; table++) expect(g.peek(table, 0)).toBe((table + 1) * PAGE_SIZE + V + W + A + M);
  });

  test('with a real PTE cached, further accesses mark nothing', () => {
    const g = guest();
    g.leaf(0, FRAME + V + W);
    g.load(0);
    g.leaf(0, FRAME + V + W); // A cleared without invalidation
    g.load(0);
    expect(g.peek(g.leafTable, 0)).toBe(FRAME + V + W);
  });

  test('a modified table page is dirty for the host', () => {
    const g = guest();
    g.leaf(0, FRAME + V + W);
    const frame = g.image.lookup(g.leafTable as never);
    g.rig.vm.pages.flags[frame] = 0;
    g.fault(0, READ);
    expect(g.rig.vm.pages.flags[frame]).toBe(3); // referenced, dirty
    g.rig.vm.pages.flags[frame] = 0;
    g.fault(0, READ);
    expect(g.rig.vm.pages.flags[frame]).toBe(1); // nothing new to mark
  });

  test('a root that maps linearly is never written, and needs two faults for a write after a read', () => {
    const g = guest();
    g.setRoot(FRAME + V + W + PS);
    expect(g.fault(0, READ)).toBe(FAULT_OK);
    expect(g.permits(0, WRITE)).toBe(false);
    expect(g.fault(0, WRITE)).toBe(FAULT_OK);
    g.inval(0);
    expect(g.fault(0, READ)).toBe(FAULT_OK);
    expect(g.permits(0, WRITE)).toBe(false);
    g.setRoot(FRAME + V + W + PS + M);
    expect(g.fault(0, READ)).toBe(FAULT_OK);
    expect(g.permits(0, WRITE)).toBe(true);
  });

  test('the protection of the map entry is intersected, and its violation is another result', () => {
    const g = guest();
    g.leaf(0, FRAME + V + W + M);
    g.space.mprotect(0, PAGE_SIZE, READ);
    expect(g.fault(0, READ)).toBe(FAULT_OK);
    expect(g.space.pmap.rights(0 as never)).toBe(READ);
    expect(g.fault(0, WRITE)).toBe(FAULT_PROTECTION);
    expect(g.space.lastRefusal).toEqual({ reason: 'entry-protection', level: -1 });
  });

  test('frames of tables and of data not below the object size are a protection failure', () => {
    const g = guest();
    for (const frame of [64, 65, 2 ** 19]) {
      g.leaf(0, frame * PAGE_SIZE + V + W);
      expect(g.fault(0, READ)).toBe(FAULT_PROTECTION);
      expect(g.space.lastRefusal).toEqual({ reason: 'beyond-object', level: 0 }); // the leaf names it
      g.setRoot(frame * PAGE_SIZE + V + W);
      expect(g.fault(0, READ)).toBe(FAULT_PROTECTION);
      expect(g.space.lastRefusal).toEqual({ reason: 'beyond-object', level: g.format.levels });
      g.setRoot(V + W);
    }
    g.leaf(0, 63 * PAGE_SIZE + V);
    expect(g.fault(0, READ)).toBe(FAULT_OK);
  });

  test('an address nobody mapped is invalid', () => {
    const g = guest();
    g.space.munmap(PAGE_SIZE, PAGE_SIZE);
    expect(g.fault(1, READ)).toBe(FAULT_INVALID);
    expect(g.space.lastRefusal).toEqual({ reason: 'no-entry', level: -1 });
    expect(g.space.fault(-1, READ)).toBe(FAULT_INVALID);
    expect(g.space.fault(2 ** 60, READ)).toBe(FAULT_INVALID);
    expect(g.space.fault(Number.NaN, READ)).toBe(FAULT_INVALID);
  });

  test('a large page on any level maps linearly from any frame, by addition', () => {
    const g = guest();
    const levels = g.format.levels;
    for (let level = 1; level < levels; level++) {
      const table = levels - 1 - level;
      g.poke(table, 0, 3 * PAGE_SIZE + V + W + PS); // frame 3: not aligned
      expect(g.fault(5, READ)).toBe(FAULT_OK);
      expect(g.space.pmap.extract(5 as never)).toBe(g.image.lookup(8 as never));
      expect(g.fault(61, READ)).toBe(FAULT_PROTECTION); // frame 64
      g.poke(table, 0, (table + 1) * PAGE_SIZE + V + W);
      g.space.mcontrol(0, MIB, 10, 0);
    }
  });

  test('PS in a last-level entry means nothing', () => {
    const g = guest();
    g.leaf(7, FRAME + V + PS);
    expect(g.fault(7, READ)).toBe(FAULT_OK);
    expect(g.space.pmap.extract(7 as never)).toBe(g.image.lookup(DATA as never));
  });

  test('a directory that points to itself is table, then data: the tables map themselves', () => {
    const g = guest();
    const last = PAGE_SIZE / g.format.entryBytes - 1;
    g.poke(0, last, V + W); // root table's last slot = root table
    const page = g.format.span(g.format.levels) - 1;
    if (page * PAGE_SIZE >= g.space.userEnd) return; // beyond what the hardware tables reach
    expect(g.rig.load32(page * PAGE_SIZE, g.space)).toBe(g.peek(0, 0));
    expect(g.space.pmap.extract(page as never)).toBe(g.image.lookup(0 as never));
  });

  test('an index the table cannot express is refused instead of wrapping', () => {
    const rig = new Rig({ vpte });
    const image = rig.vm.createObject(16);
    const at = rig.mapVpagetable(4 * PAGE_SIZE, image, { offset: formatOf(vpte).span(formatOf(vpte).levels) * PAGE_SIZE - 2 * PAGE_SIZE });
    rig.setMap(at, 4 * PAGE_SIZE, V + W + PS);
    expect(rig.load32(at + 2 * PAGE_SIZE)).toBe(-FAULT_INVALID);
    expect(rig.space.lastRefusal.reason).toBe('excess-index');
    expect(rig.load32(at + PAGE_SIZE)).toBe(-FAULT_PROTECTION); // expressible, but frame 2^20 - 1 or more
  });

  test('the offset selects where in the table the mapping begins, and does not displace frames', () => {
    const rig = new Rig({ vpte });
    const g = new Guest(rig);
    g.leaf(9, FRAME + V + W);
    const flags = MAP_SHARED | 0x2000;
    const at = rig.space.mmap({ addr: 0, len: 4 * PAGE_SIZE, prot: RW, flags, object: g.image, offset: 7 * PAGE_SIZE });
    rig.setMap(at, 4 * PAGE_SIZE, V + W);
    rig.store32(g.view + FRAME, 77);
    expect(rig.load32(at + 2 * PAGE_SIZE)).toBe(77);
    rig.space.munmap(at, PAGE_SIZE); // what is left keeps its place
    rig.inval(at, 4 * PAGE_SIZE);
    expect(rig.load32(at + 2 * PAGE_SIZE)).toBe(77);
  });
});

test('anonymous memory behind a virtual page table reaches far beyond the mapping', () => {
  const rig = new Rig({ vpte: 'vpte-64-nx' });
  const at = rig.mapVpagetable(PAGE_SIZE);
  rig.setMap(at, PAGE_SIZE, (MAX_OBJECT_PAGES - 1) * PAGE_SIZE + V + W + PS);
  expect(rig.store32(at, 5)).toBe(0);
  rig.setMap(at, PAGE_SIZE, MAX_OBJECT_PAGES * PAGE_SIZE + V + W + PS);
  expect(rig.load32(at)).toBe(-FAULT_PROTECTION);
  rig.vm.assertInvariants();
});

test('anonymous memory is populated through a linear root, then gets its real one', () => {
  const rig = new Rig({ vpte: 'vpte-32-nx' });
  const at = rig.mapVpagetable(8 * MIB);
  rig.setMap(at, 8 * MIB, V + W + PS + M);
  rig.store32(at, PAGE_SIZE + V + W);
  rig.store32(at + PAGE_SIZE, 5 * PAGE_SIZE + V + W);
  rig.store32(at + 5 * PAGE_SIZE, 99);
  rig.setMap(at, 8 * MIB, V + W);
  expect(rig.load32(at)).toBe(99);
  expect(rig.load32(at + PAGE_SIZE)).toBe(-FAULT_INVALID);
});

test('the entries of 2006 have no marks and no permissions: a read maps with write', () => {
  const rig = new Rig({ vpte: 'vpte-2006' });
  const at = rig.mapVpagetable(MIB);
  expect(rig.load32(at)).toBe(0);
  expect(rig.space.context.lookup(at, WRITE)).toBeGreaterThan(0);
  expect(rig.vm.counters.walkUpdates).toBe(0);
});

describe.each(['sv32', 'sv39', 'sv48'])('%s as the format of a virtual page table', (vpte) => {
  const R = 2;
  const RISCV_W = 4;
  const USER = 0x10;
  const ACCESSED = 0x40;
  const DIRTY = 0x80;
  const at = (frame: number) => frame * 1024; // frame field at bit 10

  test('walks to the leaf, marks the leaf only, and maps without write until it is dirty', () => {
    const rig = new Rig({ vpte });
    const image = rig.vm.createObject(64);
    const format = formatOf(vpte);
    const entry = (value: number) => new Uint8Array(new Uint32Array([value, 0]).buffer).subarray(0, format.entryBytes);
    for (let table = 0; table < format.levels - 1; table++) image.write(table * PAGE_SIZE, entry(at(table + 1) + V));
    const leaf = (format.levels - 1) * PAGE_SIZE;
    image.write(leaf, entry(at(DATA) + V + R + RISCV_W + USER));
    const ptr = rig.mapVpagetable(PAGE_SIZE, image);
    rig.setMap(ptr, PAGE_SIZE, at(0) + V);
    const peek = (offset: number) => {
      const bytes = new Uint8Array(4);
      image.read(offset, bytes);
      return new DataView(bytes.buffer).getUint32(0, true);
    };
    expect(rig.load32(ptr)).toBe(0);
    expect(peek(leaf)).toBe(at(DATA) + V + R + RISCV_W + USER + ACCESSED);
    expect(rig.space.context.lookup(ptr, WRITE)).toBe(-1);
    expect(rig.store32(ptr, 6)).toBe(0);
    expect(peek(leaf)).toBe(at(DATA) + V + R + RISCV_W + USER + ACCESSED + DIRTY);
    expect(peek(0)).toBe(format.levels === 1 ? peek(leaf) : at(1) + V);
    expect(rig.touch(ptr, EXEC)).toBe(-FAULT_INVALID);
    image.write(leaf, entry(at(DATA) + V + RISCV_W + USER)); // W without R is reserved
    rig.inval(ptr, PAGE_SIZE);
    expect(rig.load32(ptr)).toBe(-FAULT_INVALID);
    expect(rig.space.lastRefusal).toEqual({ reason: 'reserved', level: 0 });
    image.write(leaf, entry(at(DATA) + V + R)); // the supervisor's
    rig.inval(ptr, PAGE_SIZE);
    expect(rig.load32(ptr)).toBe(-FAULT_INVALID);
    expect(rig.space.lastRefusal).toEqual({ reason: 'no-user', level: 0 });
  });
});

describe('running out of frames', () => {
  test('is a result of its own, leaves nothing behind, and ends when frames come back', () => {
    const rig = new Rig({ frames: 32 });
    const len = 64 * PAGE_SIZE;
    const at = rig.space.mmap({ addr: 0, len, prot: RW, flags: 0x1002, object: null, offset: 0 });
    let touched = 0;
    while (rig.space.fault(at + touched * PAGE_SIZE, WRITE) === FAULT_OK) touched++;
    expect(rig.space.lastRefusal.reason).toBe('no-frames');
    expect(rig.vm.freeFrames).toBe(0);
    rig.vm.assertInvariants();
    expect(rig.space.fault(at + touched * PAGE_SIZE, WRITE)).toBe(FAULT_NO_MEMORY);
    expect(rig.vm.createSpace(formatOf('sv39'), 64)).toBeNull();
    rig.space.munmap(at, PAGE_SIZE);
    expect(rig.space.fault(at + touched * PAGE_SIZE, WRITE)).toBe(FAULT_OK);
    rig.space.destroy();
    expect(rig.vm.freeFrames).toBe(rig.vm.totalFrames - 1);
    rig.vm.assertInvariants();
  });

  test('a table page that cannot be had is a shortage, not a refusal of the walk', () => {
    const rig = new Rig({ frames: 16, vpte: 'vpte-64-nx' });
    const at = rig.mapVpagetable(MIB);
    rig.setMap(at, MIB, V + W);
    const hog = rig.space.mmap({ addr: 0, len: MIB, prot: RW, flags: 0x1002, object: null, offset: 0 });
    for (let page = 0; rig.space.fault(hog + page * PAGE_SIZE, WRITE) === FAULT_OK; page++);
    expect(rig.space.fault(at, READ)).toBe(FAULT_NO_MEMORY);
    rig.vm.assertInvariants();
  });
});
