import { expect, test } from 'vitest';
import { EINVAL } from '../../../hostkernel/base/errno.ts';
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import { SYS_vmspace_pread, SYS_vmspace_pwrite } from '../../../hostkernel/kern/index.ts';
import { type GuestSpace, Platform } from '../../../vkernel/platform/index.ts';
import { formatNamed, withPlatform } from './with-platform.ts';

const PAGE = 4096;

/** Enters `frame` as `page`. */
function enter(space: GuestSpace, page: number, frame: number, access: number): void {
  const leaf = space.table.ensure(page);
  if (leaf === null) throw new Error('no table');
  space.enter(leaf, space.table.slot(page), frame, access, 1);
}

function remove(space: GuestSpace, page: number): void {
  const leaf = space.table.find(page);
  if (leaf === null) throw new Error('no table');
  space.remove(leaf, space.table.slot(page));
  space.flush();
}

/** What the guest's own read of the word at `page` gives; null where it would fault. */
function guestRead(platform: Platform, space: GuestSpace, page: number): number | null {
  const { bounce } = platform.region;
  const done = platform.image.syscall(SYS_vmspace_pread, space.id, bounce, 4, 0, page * PAGE);
  return done === 4 ? platform.image.host.memory.load32(bounce) : null;
}

function guestWrite(platform: Platform, space: GuestSpace, page: number, value: number): boolean {
  const { bounce } = platform.region;
  platform.image.host.memory.store32(bounce, value);
  return platform.image.syscall(SYS_vmspace_pwrite, space.id, bounce, 4, 0, page * PAGE) === 4;
}

function statusOf(space: GuestSpace, page: number): number {
  const leaf = space.table.find(page);
  if (leaf === null) throw new Error('no table');
  const status = space.takeStatus(leaf, space.table.slot(page));
  space.flush();
  return status;
}

test('a frame seen by two guests and by software is one frame', () => {
  withPlatform({}, (platform) => {
    const spaces = [platform.createSpace(), platform.createSpace()];
    for (const [i, space] of spaces.entries()) {
      expect(space.host()).toBe(0);
      enter(space, 7 + i, 200, READ | WRITE);
    }
    const [a, b] = spaces as [GuestSpace, GuestSpace];
    expect(guestWrite(platform, a, 7, 1234)).toBe(true);
    expect(guestRead(platform, b, 8)).toBe(1234);
    expect(platform.image.words[b.access(8 * PAGE, READ) / 4]).toBe(1234);
    for (const [i, space] of spaces.entries()) {
      remove(space, 7 + i);
      space.destroy();
    }
  });
});

test('after a removal the guest faults, and what replaces the page is seen', () => {
  withPlatform({}, (platform) => {
    const space = platform.createSpace();
    space.host();
    enter(space, 7, 200, READ | WRITE);
    guestWrite(platform, space, 7, 1);
    remove(space, 7);
    expect(guestRead(platform, space, 7)).toBe(null);
    expect(space.access(7 * PAGE, READ)).toBe(-1);
    enter(space, 7, 201, READ);
    expect(guestRead(platform, space, 7)).toBe(0);
    expect(guestWrite(platform, space, 7, 2)).toBe(false);
    remove(space, 7);
    space.destroy();
  });
});

test('an address below zero is nobody’s page, whatever was forgotten before', () => {
  withPlatform({}, (platform) => {
    const space = platform.createSpace();
    enter(space, 255, 200, READ | WRITE); // where page -1 would be looked up in the cache
    space.access(255 * PAGE, WRITE);
    remove(space, 255);
    expect([space.access(-1, READ), space.access(-PAGE, WRITE), space.access(Number.NaN, READ)]).toEqual([-1, -1, -1]);
    space.destroy();
  });
});

test.each(['sv39', 'vpte-64-nx'])('pages beyond the reach of %s are not those its index bits name', (format) => {
  withPlatform({ format }, (platform) => {
    const space = platform.createSpace();
    const { table } = space;
    const reach = table.format.span(table.format.levels);
    enter(space, 5, 200, READ);
    expect([table.tag(5) !== 0, table.tag(reach + 5), table.tag(2 ** 40 + 5), table.tag(-reach + 5)]).toEqual([true, 0, 0, 0]);
    remove(space, 5);
    space.destroy();
  });
});

test('accessed and written are noted for guest and software alike, and again after they were taken', () => {
  withPlatform({}, (platform) => {
    const space = platform.createSpace();
    space.host();
    enter(space, 7, 200, READ | WRITE);
    expect(statusOf(space, 7)).toBe(0);
    for (let round = 0; round < 2; round++) {
      guestRead(platform, space, 7);
      expect(statusOf(space, 7)).toBe(READ);
      guestWrite(platform, space, 7, 5);
      expect(statusOf(space, 7)).toBe(READ | WRITE);
      space.access(7 * PAGE, READ);
      expect(statusOf(space, 7)).toBe(READ);
      space.access(7 * PAGE, WRITE);
      space.access(7 * PAGE, WRITE);
      expect(statusOf(space, 7)).toBe(READ | WRITE);
      expect(statusOf(space, 7)).toBe(0);
    }
    remove(space, 7);
    space.destroy();
  });
});

test.each(['vpte-2006', 'vpte-2006v'])('format %s cannot say, so everything counts as accessed and written', (format) => {
  withPlatform({ xlen: 32, format }, (platform) => {
    const space = platform.createSpace();
    enter(space, 7, 200, READ | WRITE);
    expect(statusOf(space, 7)).toBe(READ | WRITE);
    expect(statusOf(space, 7)).toBe(READ | WRITE);
    remove(space, 7);
    space.destroy();
  });
});

test('page tables come from the reserve, then from the top as far as its owner gives', () => {
  withPlatform({ frames: 256, reserved: 8 }, (platform) => {
    const { image } = platform;
    const asked: number[] = [];
    image.giveTop = (frame) => {
      asked.push(frame);
      return frame >= 253;
    };
    const taken: number[] = [];
    for (let frame = image.allocateTableFrame(); frame >= 0; frame = image.allocateTableFrame()) taken.push(frame);
    expect(asked).toEqual([255, 254, 253, 252]);
    expect(taken.slice(-3)).toEqual([255, 254, 253]);
    expect([image.conventionalEnd, image.isConventional(252), image.isConventional(253), image.isConventional(7)]).toEqual([
      253,
      true,
      false,
      false,
    ]);
    image.assertInvariants();
  });
});

test('a mapped page is found again, from near and far, in every format', () => {
  for (const [format, xlen] of [
    ['vpte-64-nx', 64],
    ['sv39', 64],
    ['sv48', 64],
    ['sv32', 32],
    ['vpte-32-nx', 32],
    ['sparc-srmmu', 32],
    ['m68040-4k', 32],
    ['armv7-short', 32],
    ['i386-pae', 32],
    ['x86-64-5l', 64],
    ['sv39x4', 64],
    ['power-radix-4k', 64],
  ] as const) {
    withPlatform({ format, xlen }, (platform) => {
      const space = platform.createSpace();
      const last = space.table.pageLimit - 1;
      const pages = [0, 1, 511, 512, 1023, 1024, 262_143, 262_144, last];
      for (const page of pages) enter(space, page, 200, READ);
      let at = -1;
      for (const page of pages) {
        at = space.table.nextMapped(at + 1, Number.POSITIVE_INFINITY);
        expect(at).toBe(page);
      }
      expect(space.table.nextMapped(last + 1, Number.POSITIVE_INFINITY)).toBe(-1);
      expect(space.table.nextMapped(2, 511)).toBe(-1);
      for (const page of pages) remove(space, page);
      expect(space.trim()).toBeGreaterThan(0);
      expect(space.table.tables).toBe(1);
      space.destroy();
    });
  }
});

test('trapframes have slots of their own and are given back', () => {
  withPlatform({}, (platform) => {
    const first = platform.region.allocateFrames();
    const second = platform.region.allocateFrames();
    expect(Math.abs(second - first)).toBeGreaterThanOrEqual(1024);
    platform.image.host.memory.store32(first, 77);
    platform.region.freeFrames(first);
    expect(platform.region.allocateFrames()).toBe(first);
    expect(platform.image.host.memory.load32(first)).toBe(0);
  });
});

test('impossible sizes are refused before anything is made', () => {
  withPlatform({}, (platform) => {
    const { host } = platform.image;
    const format = formatNamed('vpte-64-nx');
    expect(Platform.create(host, { format, memoryBytes: 1000 })).toBe(-EINVAL);
    expect(Platform.create(host, { format, memoryBytes: 16 * PAGE, reservedFrames: 16 })).toBe(-EINVAL);
    expect(Platform.create(host, { format, memoryBytes: 16 * PAGE, reservedFrames: 2 })).toBe(-EINVAL);
  });
});
