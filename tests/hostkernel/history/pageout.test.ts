/**
 * Defects that DragonFly's virtual kernels had where pages leave memory, each put together as it was met there. Every test
 * fails when its defect is put back.
 */

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Tracer } from '../../../hostkernel/base/trace.ts';
import { type HostFrame, type ObjectPage, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { type ExitStatus, HostKernel } from '../../../hostkernel/kern/index.ts';
import { compileLayout, Machine, memoryDisk, SV32, SV39, VPTE_32_NX, VPTE_64_NX } from '../../../hostkernel/machine/index.ts';
import { MADV_INVAL, MAP_SHARED, type VmObject, type VmSpace } from '../../../hostkernel/vm/index.ts';
import { bootStack, type StackResult } from '../../../vkernel/index.ts';
import { MIB, Rig, RW } from '../vm/rig.ts';

const V = 1;
const W = 2;
const M = 0x40;
const FORMATS = {
  mmu64: compileLayout(SV39),
  mmu32: compileLayout(SV32),
  vpte64: compileLayout(VPTE_64_NX),
  vpte32: compileLayout(VPTE_32_NX),
};

/** An image whose first two pages are a 32-bit virtual page table, seen linearly and, in each of `spaces`, through the table. */
class Guests {
  readonly rig: Rig;
  readonly image: VmObject;
  readonly linear: number;
  readonly spaces: readonly VmSpace[];
  readonly at: readonly number[]; // of the guest's page 0 in each space

  constructor(frames: number, imagePages: number, spaces: number) {
    this.rig = new Rig({ frames, disk: memoryDisk(16 * MIB), vpte: 'vpte-32-nx' });
    this.image = this.rig.vm.createObject(imagePages);
    this.linear = this.map(this.rig.space);
    this.spaces = Array.from({ length: spaces }, () => this.rig.newSpace());
    this.at = this.spaces.map((space) => {
      const at = space.mmap({ addr: 0, len: MIB, prot: RW, flags: MAP_SHARED | 0x2000, object: this.image, offset: 0 });
      space.mcontrol(at, MIB, 11, V | W); // the directory is page 0
      return at;
    });
    this.poke(0, 0, PAGE_SIZE + V + W);
  }

  map(space: VmSpace): number {
    return space.mmap({ addr: 0, len: this.image.sizePages * PAGE_SIZE, prot: RW, flags: MAP_SHARED, object: this.image, offset: 0 });
  }

  /** The entry of the guest's page `page`, as the guest kernel reads and writes it. */
  vpte(page: number): number {
    return this.rig.load32(this.linear + PAGE_SIZE + 4 * page);
  }

  setVpte(page: number, value: number): void {
    this.poke(1, 4 * page, value);
  }

  peek(frame: number, offset: number): number {
    return this.rig.load32(this.linear + frame * PAGE_SIZE + offset);
  }

  poke(frame: number, offset: number, value: number): void {
    expect(this.rig.store32(this.linear + frame * PAGE_SIZE + offset, value)).toBe(0);
  }

  load(guest: number, page: number, offset = 0): number {
    return this.rig.load32(this.at[guest] + page * PAGE_SIZE + offset, this.spaces[guest]);
  }

  store(guest: number, page: number, value: number, offset = 0): number {
    return this.rig.store32(this.at[guest] + page * PAGE_SIZE + offset, value, this.spaces[guest]);
  }

  inval(guest: number, page: number): void {
    this.spaces[guest].mcontrol(this.at[guest] + page * PAGE_SIZE, PAGE_SIZE, MADV_INVAL, 0);
  }

  /** Writes to `pages` pages of the image that no guest has, so that everybody else's are pressed out. */
  press(first: number, pages: number, value: number): void {
    for (let frame = first; frame < first + pages; frame++) this.poke(frame, 0, value);
  }
}

describe('a guest page is freed while the host still maps it (Jan 2007)', () => {
  // There the page-lookup path left no reverse data: the frame went to somebody else, the mapping stayed.
  test.each([
    ['evicted', (guests: Guests) => guests.press(200, 300, 1)],
    ['given back by the guest', (guests: Guests) => guests.image.discard(50, 51)],
  ])('and %s: no alias in any space leads to the frame any more', (_how, take) => {
    const guests = new Guests(96, 600, 3);
    const { rig, image } = guests;
    for (const page of [4, 9, 30]) guests.setVpte(page, 50 * PAGE_SIZE + V + W);
    guests.setVpte(7, 51 * PAGE_SIZE + V + W);
    for (const guest of [0, 1, 2]) {
      expect(guests.load(guest, 7)).toBe(0); // page 7 is mapped read-only to frame 51 ...
      for (const page of [4, 9, 30]) expect(guests.store(guest, page, 77)).toBe(0);
    }
    guests.setVpte(7, 50 * PAGE_SIZE + V + W); // ... and no INVAL: the write fault that follows replaces the frame
    for (const guest of [0, 1, 2]) expect(guests.store(guest, 7, 77)).toBe(0);
    expect(guests.peek(50, 0)).toBe(77);

    const frame = image.lookup(50 as ObjectPage);
    take(guests);
    expect(image.lookup(50 as ObjectPage)).toBe(0);
    for (const space of guests.spaces) {
      for (let page = 0; page < 64; page++) {
        const offset = space.context.lookup(guests.at[0] + page * PAGE_SIZE, READ);
        expect(Math.floor((offset - rig.machine.ram.offsetOf(0 as HostFrame)) / PAGE_SIZE)).not.toBe(frame);
      }
    }
    const content = guests.peek(50, 0);
    for (const guest of [0, 1, 2]) for (const page of [4, 7, 9, 30]) expect(guests.load(guest, page)).toBe(content);
    rig.vm.assertInvariants();
  });
});

describe('M is cleared without INVAL, and a later write is lost, under heavy paging only (Jan 2017)', () => {
  const PAGES = 8;
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('store' as const), page: fc.nat(PAGES - 1) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('load' as const), page: fc.nat(PAGES - 1) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('clean' as const), page: fc.nat(PAGES - 1) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('reclaim' as const), page: fc.nat(PAGES - 1) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('press' as const), page: fc.nat(PAGES - 1) }) },
  );

  /**
   * A guest kernel that pages itself: it cleans a page by copying it to its disk where M is set, and takes the frame of a
   * clean page for others. It relies on M: a write that M does not tell of is lost.
   * @param keepsRw cleans by clearing M alone; otherwise RW goes with it, and comes back at the next write
   * @param invals  whether it tells the host what it has changed
   * @returns the pages that did not read as written
   */
  function live(steps: readonly { kind: string; page: number }[], keepsRw: boolean, invals: boolean): number {
    const guests = new Guests(72, 500, 1);
    const disk = new Map<number, number>(); // the guest's
    const expected = new Map<number, number>();
    let lost = 0;
    const frameOf = (page: number) => 10 + page;
    const fault = (page: number) => {
      const entry = guests.vpte(page);
      if ((entry & V) !== 0) {
        guests.setVpte(page, entry | W); // protected for cleaning only
        return;
      }
      guests.poke(frameOf(page), 0, disk.get(page) ?? 0);
      guests.setVpte(page, frameOf(page) * PAGE_SIZE + V + W);
    };
    const clean = (page: number) => {
      const entry = guests.vpte(page);
      guests.setVpte(page, entry & ~(keepsRw ? M : M | W));
      if (invals && (entry & W) !== 0) guests.inval(0, page);
      if ((entry & M) !== 0) disk.set(page, guests.peek(frameOf(page), 0));
    };
    for (const [i, { kind, page }] of steps.entries()) {
      if (kind === 'store') {
        for (let tries = 0; guests.store(0, page, i + 1) !== 0; tries++) {
          if (tries === 3) expect.unreachable('the host refuses what the guest has permitted');
          fault(page);
        }
        expected.set(page, i + 1);
      } else if (kind === 'load') {
        let value = guests.load(0, page);
        for (let tries = 0; value < 0 && tries < 3; tries++, value = guests.load(0, page)) fault(page);
        if (value !== (expected.get(page) ?? 0)) lost++;
      } else if (kind === 'clean') {
        if ((guests.vpte(page) & V) !== 0) clean(page);
      } else if (kind === 'reclaim') {
        const entry = guests.vpte(page);
        if ((entry & V) === 0) continue;
        guests.setVpte(page, 0);
        guests.inval(0, page);
        if ((entry & M) !== 0) disk.set(page, guests.peek(frameOf(page), 0));
        guests.poke(frameOf(page), 0, 0xdead); // the frame is somebody else's now
      } else {
        guests.press(100, 300, i);
      }
      guests.rig.vm.poll();
    }
    guests.rig.vm.assertInvariants();
    return lost;
  }

  test.each([
    ['clears M and RW', false],
    ['clears M and keeps RW', true],
  ])('not where the guest %s, and tells the host', (_how, keepsRw) => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 60, maxLength: 120, size: 'max' }), (steps) => {
        expect(live(steps, keepsRw, true)).toBe(0);
      }),
      { numRuns: 12 },
    );
  });

  test('but where it does not tell the host, a write is lost, as it was there', () => {
    const steps = ['store', 'clean', 'store', 'reclaim', 'load'].map((kind) => ({ kind, page: 3 }));
    expect(live(steps, true, true)).toBe(0);
    expect(live(steps, true, false)).toBe(1);
    const paged = [...steps.slice(0, 2), { kind: 'press', page: 0 }, ...steps.slice(2)];
    expect(live(paged, true, false)).toBe(0); // paging dropped the stale real PTE: the loss depends on what is paged when
  });

  test('the host itself: a write after a page was looked at for eviction is written with it', () => {
    const guests = new Guests(72, 500, 1);
    guests.setVpte(5, 60 * PAGE_SIZE + V + W);
    for (let round = 1; round < 30; round++) {
      guests.store(0, 5, round, 8);
      guests.rig.vm.pmaps.harvest(guests.image.lookup(60 as ObjectPage)); // A and M of the real PTE are cleared
      guests.store(0, 5, round, 12); // through whatever the TLB still has
      guests.rig.vm.poll();
      guests.press(100 + round, 200, round);
      expect(guests.image.lookup(60 as ObjectPage)).toBe(0);
      expect([guests.load(0, 5, 8), guests.load(0, 5, 12)]).toEqual([round, round]);
      guests.rig.vm.assertInvariants();
    }
  });
});

describe('too little RAM, no corruption', () => {
  const sorter = (xlen: 32 | 64) => readFileSync(new URL(`../../../userland/programs/elf/sorter-rv${xlen}`, import.meta.url));

  function machineOf(frames: number, output: string[]): Machine {
    const machine = Machine.create({
      ramBytes: frames * PAGE_SIZE,
      disk: memoryDisk(128 * MIB),
      console: { write: (_fd, bytes) => void output.push(new TextDecoder().decode(bytes)), read: () => new Uint8Array(0) },
    });
    if (machine === null) throw new Error('no memory');
    return machine;
  }

  /** Several sorters at once, as processes of the host. */
  function onTheHost(frames: number, xlen: 32 | 64) {
    const output: string[] = [];
    const kernel = new HostKernel({ machine: machineOf(frames, output), tracer: new Tracer(), timeSlice: 50_000, ...FORMATS });
    const processes = ['700', '900', '400'].map((nodes) => kernel.spawnElf(sorter(xlen), ['sorter', nodes], []));
    kernel.run();
    kernel.assertInvariants();
    const ends = processes.map((process): ExitStatus | string | null => ('reason' in process ? process.reason : process.exitStatus));
    return { ends, output: output.join('').split('\n').sort(), pagesIn: kernel.vm.pagerCounters?.pagesRead ?? 0 };
  }

  test.each([32, 64] as const)('three %i-bit programs that sort their heaps print the same in 96 frames as in 4096', (xlen) => {
    const plenty = onTheHost(4096, xlen);
    const short = onTheHost(96, xlen);
    expect(plenty.ends).toEqual([{ code: 0 }, { code: 0 }, { code: 0 }]);
    expect(short.ends).toEqual(plenty.ends);
    expect(short.output).toEqual(plenty.output);
    expect([plenty.pagesIn, short.pagesIn > 2000]).toEqual([0, true]);
  });

  /** One sorter in the whole stack, whose guest has 48 MiB whatever the machine has. */
  function inTheStack(frames: number, xlen: 32 | 64): { result: StackResult; output: string } {
    const output: string[] = [];
    const path = '/bin/sorter';
    const result = bootStack({
      machine: machineOf(frames, output),
      xlen,
      ...FORMATS,
      tracer: new Tracer(),
      log: () => undefined,
      imageBytes: 48 * MIB,
      verify: true,
      process: {
        program: path,
        argv: ['sorter', '2000'],
        env: [],
        provider: null,
        files: [{ path, mode: 0o755, bytes: sorter(xlen) }],
        report: () => undefined,
      },
    });
    return { result, output: output.join('') };
  }

  test.each([32, 64] as const)('a virtual kernel (%i bits) whose memory is larger than RAM: its guest cannot tell', (xlen) => {
    const plenty = inTheStack(16_384, xlen);
    const short = inTheStack(160, xlen);
    expect(plenty.result.failure).toBeNull();
    expect(short.result.failure).toBeNull();
    expect(short.output).toBe(plenty.output);
    expect(short.output).toContain('sorted 2000 nodes');
    const guestSees = ({ stats }: StackResult) => [
      stats.instructions,
      stats.guestFaults,
      stats.guestSyscalls,
      stats.ipcs,
      stats.maps,
      stats.unmaps,
    ];
    expect(guestSees(short.result)).toEqual(guestSees(plenty.result));
    expect(short.result.stats.hostFramesLost).toBe(0);
    expect([plenty.result.stats.pagesIn, short.result.stats.pagesIn > 500]).toEqual([0, true]);
  });
});

test('a store that a page-out meets half way is in RAM or on the device, never in neither', () => {
  const guests = new Guests(64, 400, 2);
  guests.setVpte(5, 60 * PAGE_SIZE + V + W);
  for (let round = 0; round < 60; round++) {
    expect(guests.store(round & 1, 5, round)).toBe(0);
    for (let frame = 100; frame < 160; frame++) {
      guests.spaces[0].fault(guests.at[0] + 5 * PAGE_SIZE, WRITE); // somebody who does not wait, while it comes or goes
      guests.poke(frame + round, 0, round);
    }
    expect(guests.load(1 - (round & 1), 5)).toBe(round);
  }
  guests.rig.vm.assertInvariants();
});
