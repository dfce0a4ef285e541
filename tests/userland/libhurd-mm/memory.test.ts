/** What a program sees of its memory, rule by rule, on the real kernel and physmem. */
import { describe, expect, test } from 'vitest';
import { EACCES, EEXIST, EFAULT, EINVAL, EIO, ENOMEM, EOVERFLOW, EPERM } from '../../../hostkernel/base/errno.ts';
import type { FileBacking, MapRequest } from '../../../userland/libhurd-mm/index.ts';
import type { L4Wait } from '../../../vkernel/l4/user.ts';
import { ModelFile } from './model.ts';
import { type Bench, MAP_BASE, PAGE, type StackSetup, withStack } from './stack.ts';

const [NONE, R, RW, RX, W, X] = [0, 1, 3, 5, 2, 4];
const [SHARED, PRIVATE, FIXED, ANONYMOUS, POPULATE, NOREPLACE] = [1, 2, 0x10, 0x20, 0x8000, 0x100000];

/** Runs a program; afterwards every page and every frame is back. */
function run(setup: StackSetup, program: (bench: Bench) => Generator<L4Wait, void>): void {
  expect(withStack(setup, program)).toEqual({ held: 0, lost: 0 });
}

function request(over: Partial<MapRequest>): MapRequest {
  const flags = over.file === undefined || over.file === null ? PRIVATE | ANONYMOUS : PRIVATE;
  return { addr: 0, len: PAGE, prot: RW, flags, file: null, offset: 0, ...over };
}

/** A file of `size` bytes; byte i of page p is p + 1. */
function fileOf(size: number): FileBacking & { readonly bytes: Uint8Array } {
  const bytes = Uint8Array.from({ length: size }, (_, i) => 1 + Math.floor(i / PAGE));
  return {
    key: {},
    bytes,
    size,
    read(offset, into) {
      const piece = bytes.subarray(offset, offset + into.length);
      into.set(piece);
      return piece.length;
    },
    write(offset, from) {
      bytes.set(from, offset);
      return from.length;
    },
  };
}

describe('anonymous memory', () => {
  test.each([
    [1, 3, 3],
    [16, 1, 16],
  ])('comes with the first touch, in clusters of %i, and reads as zero', (cluster, faults, frames) => {
    run({ cluster, faultAround: 16 }, function* ({ l4, memory, task, charged, check }) {
      const at = yield* task.mmap(request({ len: 16 * PAGE }));
      expect(charged()).toBe(0);
      for (const page of [0, 5, 15]) expect(yield* l4.load32(at + page * PAGE)).toBe(0);
      expect([memory.counters.faults, charged()]).toEqual([faults, frames]);
      check();
    });
  });

  test('is writable in whole clusters where a write brings it in', () => {
    run({ cluster: 16, faultAround: 16 }, function* ({ l4, memory, task, check }) {
      const at = yield* task.mmap(request({ len: 16 * PAGE }));
      for (let page = 0; page < 16; page += 1) expect(yield* l4.store32(at + page * PAGE, page)).toBe(0);
      expect(memory.counters.faults).toBe(1);
      check();
    });
  });

  test('is there at once when asked to be', () => {
    run({}, function* ({ l4, memory, task, charged }) {
      const at = yield* task.mmap(request({ len: 16 * PAGE, flags: PRIVATE | ANONYMOUS | POPULATE }));
      const { faults } = memory.counters;
      expect(charged()).toBe(16);
      for (let page = 0; page < 16; page += 1) expect(yield* l4.store32(at + page * PAGE, page)).toBe(0);
      expect(memory.counters.faults).toBe(faults);
    });
  });

  test('lies at the lowest free address, or at the hint where that is free', () => {
    run({}, function* ({ task }) {
      expect(yield* task.mmap(request({}))).toBe(MAP_BASE);
      expect(yield* task.mmap(request({ len: 3 * PAGE }))).toBe(MAP_BASE + PAGE);
      expect(yield* task.mmap(request({}))).toBe(MAP_BASE + 4 * PAGE);
      expect(yield* task.mmap(request({ addr: 0x50_0123 }))).toBe(0x50_0000);
      expect(yield* task.mmap(request({ addr: 0x50_0000 }))).toBe(MAP_BASE + 5 * PAGE);
    });
  });

  test('names and frames of what is released are used again', () => {
    run({ xlen: 32, pages: 16 }, function* ({ l4, task, charged, check }) {
      for (let i = 0; i < 400; i += 1) {
        const at = yield* task.mmap(request({ len: 2 ** 20 }));
        expect(at).toBe(MAP_BASE);
        expect(yield* l4.store32(at + (i % 256) * PAGE, i)).toBe(0);
        expect(yield* task.munmap(at, 2 ** 20)).toBe(0);
        expect(charged()).toBe(0);
      }
      check();
    });
  });
});

describe('releasing', () => {
  test('pieces leaves the others where they are, with what they hold', () => {
    run({}, function* ({ l4, memory, task, check }) {
      const at = yield* task.mmap(request({ len: 16 * PAGE }));
      for (let page = 0; page < 16; page += 1) yield* l4.store32(at + page * PAGE, page + 1);
      const counts: number[] = [];
      const gone = new Set<number>();
      for (const [page, pages] of [
        [1, 2],
        [3, 3],
        [10, 2],
        [15, 1],
      ] as const) {
        expect(yield* task.munmap(at + page * PAGE, pages * PAGE)).toBe(0);
        for (let i = 0; i < pages; i += 1) gone.add(page + i);
        counts.push(memory.regions.count);
        check();
      }
      expect(counts).toEqual([2, 2, 3, 3]);
      for (let page = 0; page < 16; page += 1) expect(yield* l4.load32(at + page * PAGE)).toBe(gone.has(page) ? -EFAULT : page + 1);
      expect(yield* task.munmap(at, 16 * PAGE)).toBe(0);
      expect(memory.regions.count).toBe(0);
    });
  });

  test('the head moves nothing: a fault behind it finds its own page', () => {
    run({}, function* ({ l4, task }) {
      yield* task.mmap(request({ addr: 0x10_0000, len: 16 * PAGE, flags: PRIVATE | ANONYMOUS | FIXED }));
      yield* task.munmap(0x10_0000, 4 * PAGE);
      expect(yield* l4.store32(0x10_6120, 7)).toBe(0);
      expect(yield* l4.load32(0x10_6120)).toBe(7);
      expect(yield* l4.load32(0x10_3000)).toBe(-EFAULT);
    });
  });

  test('one of two mappings of a file leaves the other with all that was written', () => {
    run({}, function* ({ l4, task }) {
      const file = fileOf(4 * PAGE);
      const a = yield* task.mmap(request({ len: 4 * PAGE, flags: SHARED, file }));
      const b = yield* task.mmap(request({ len: 4 * PAGE, flags: SHARED, file }));
      yield* l4.store32(a + 2 * PAGE, 9);
      yield* task.munmap(a, 4 * PAGE);
      expect(yield* l4.load32(b + 2 * PAGE)).toBe(9);
      expect(yield* l4.load32(a + 2 * PAGE)).toBe(-EFAULT);
    });
  });
});

describe('refusals change nothing', () => {
  const readOnly: FileBacking = { key: {}, size: PAGE, read: () => PAGE };
  const cases: readonly (readonly [string, Partial<MapRequest>, number])[] = [
    ['no length', { len: 0 }, EINVAL],
    ['a length near 2^64', { len: 2 ** 64 - 2048 }, ENOMEM],
    ['a length beyond the address space', { len: 2 ** 40 }, ENOMEM],
    ['neither shared nor private', { flags: ANONYMOUS }, EINVAL],
    ['an unknown protection', { prot: 8 }, EINVAL],
    ['no file and not anonymous', { flags: PRIVATE }, EINVAL],
    ['an odd offset', { file: fileOf(PAGE), offset: 100 }, EINVAL],
    ['an offset that overflows', { file: fileOf(PAGE), offset: 2 ** 53 - PAGE }, EOVERFLOW],
    ['writing to a file that cannot be written', { file: readOnly, flags: SHARED }, EACCES],
    ['an odd fixed address', { addr: 0x10_0001, flags: PRIVATE | ANONYMOUS | FIXED }, EINVAL],
    ['a fixed address on the null guard', { addr: 0, flags: PRIVATE | ANONYMOUS | FIXED }, EPERM],
    ['a fixed address beyond user space', { addr: 2 ** 53, flags: PRIVATE | ANONYMOUS | FIXED }, ENOMEM],
    ['a fixed range that wraps', { addr: 2 ** 64 - PAGE, len: 2 * PAGE, flags: PRIVATE | ANONYMOUS | FIXED }, ENOMEM],
    ['a place that is taken', { addr: MAP_BASE, flags: PRIVATE | ANONYMOUS | NOREPLACE }, EEXIST],
  ];
  test('mmap', () => {
    run({}, function* ({ l4, memory, task, check }) {
      const at = yield* task.mmap(request({}));
      yield* l4.store32(at, 5);
      for (const [why, over, errno] of cases) {
        expect([why, yield* task.mmap(request(over))]).toEqual([why, -errno]);
        expect([memory.regions.count, l4.tryLoad32(at)]).toEqual([1, 5]);
        check();
      }
    });
  });

  test('munmap, mprotect, mremap, madvise and msync of hostile ranges', () => {
    run({}, function* ({ l4, memory, task, check }) {
      const at = yield* task.mmap(request({ len: 2 * PAGE }));
      yield* l4.store32(at, 5);
      const hostile = [2 ** 53, 2 ** 64, 2 ** 64 - PAGE] as const;
      for (const bad of hostile) {
        expect(yield* task.munmap(bad, PAGE)).toBe(-EINVAL);
        expect(yield* task.munmap(at, bad)).toBe(-EINVAL);
        expect(yield* task.mprotect(bad, PAGE, R)).toBe(-ENOMEM);
        expect(yield* task.mprotect(at, bad, R)).toBe(-ENOMEM);
        expect(yield* task.madvise(at, bad, 4)).toBe(-ENOMEM);
        expect(yield* task.msync(bad, PAGE, 4)).toBe(-ENOMEM);
        expect(yield* task.mremap(bad, PAGE, PAGE, 1, 0)).toBe(-EFAULT);
        expect(yield* task.mremap(at, PAGE, bad, 1, 0)).toBe(-ENOMEM);
        expect(yield* task.mremap(at, PAGE, PAGE, 3, bad)).toBe(-EINVAL);
        expect(yield* task.brk(bad)).toBe(0);
      }
      expect(yield* task.mprotect(at + 1, PAGE, R)).toBe(-EINVAL);
      expect(yield* task.mprotect(at, 3 * PAGE, R)).toBe(-ENOMEM);
      for (const advice of [-1, 5, 6, 7, 9, 26]) expect(yield* task.madvise(at, PAGE, advice)).toBe(-EINVAL);
      expect(yield* task.msync(at, PAGE, 5)).toBe(-EINVAL);
      expect([memory.regions.count, l4.tryLoad32(at)]).toEqual([1, 5]);
      check();
    });
  });
});

describe('protection', () => {
  test('a write to a read-only page is refused, and the page stays readable', () => {
    run({}, function* ({ l4, task }) {
      const at = yield* task.mmap(request({ prot: R }));
      expect(yield* l4.store32(at, 1)).toBe(EACCES);
      expect(yield* l4.load32(at)).toBe(0);
    });
  });

  test.each([
    ['write only', W, 0, 0, EACCES],
    ['execute only', X, 0, EACCES, 0],
    ['read and execute', RX, 0, EACCES, 0],
    ['nothing', NONE, -EACCES, EACCES, EACCES],
  ])('%s: what can be accessed at all can be read, in any order', (_name, prot, read, write, execute) => {
    run({}, function* ({ l4, task }) {
      const at = yield* task.mmap(request({ prot, len: 2 * PAGE }));
      expect([yield* l4.load32(at), yield* l4.store32(at, 0), yield* l4.touch(at, X)]).toEqual([read, write, execute]);
      expect([yield* l4.touch(at + PAGE, X), yield* l4.store32(at + PAGE, 0), yield* l4.load32(at + PAGE)]).toEqual([execute, write, read]);
    });
  });

  test('a right that is lost is lost at once, on these pages only', () => {
    run({ faultAround: 16 }, function* ({ l4, memory, task }) {
      const at = yield* task.mmap(request({ len: 16 * PAGE }));
      for (let page = 0; page < 16; page += 1) yield* l4.store32(at + page * PAGE, page);
      yield* task.mprotect(at + 4 * PAGE, 8 * PAGE, R);
      expect(memory.regions.count).toBe(3);
      for (let page = 0; page < 16; page += 1) {
        expect(yield* l4.store32(at + page * PAGE, page)).toBe(page >= 4 && page < 12 ? EACCES : 0);
        expect(l4.tryLoad32(at + page * PAGE)).toBe(page);
      }
      yield* task.mprotect(at + 4 * PAGE, 8 * PAGE, RW);
      expect(memory.regions.count).toBe(1);
    });
  });

  test('a file that was opened for reading cannot be made writable later, though another descriptor can write it', () => {
    run({}, function* ({ task }) {
      const file = fileOf(PAGE);
      const readable: FileBacking = { key: file.key, size: file.size, read: (offset, into) => file.read(offset, into) };
      const at = yield* task.mmap(request({ prot: R, flags: SHARED, file: readable }));
      const both = yield* task.mmap(request({ flags: SHARED, file }));
      expect(yield* task.mprotect(at, PAGE, RW)).toBe(-EACCES);
      expect(yield* task.mprotect(both, PAGE, RW)).toBe(0);
    });
  });

  test('what is not mapped stops the access of one thread; the others go on', () => {
    run({ threads: 1 }, function* ({ l4, task, spawn }) {
      const at = yield* task.mmap(request({ len: 100 * PAGE }));
      let served = 0;
      spawn(function* (other) {
        for (let page = 0; page < 100; page += 1) if ((yield* other.load32(at + page * PAGE)) === 0) served += 1;
      });
      for (const hole of [0, 0x3000, at - PAGE, at + 100 * PAGE]) expect(yield* l4.load32(hole)).toBe(-EFAULT);
      yield* l4.sleep(100_000);
      expect(served).toBe(100);
    });
  });
});

test('pages so far apart that the kernel has no frames for their tables are ENOMEM', () => {
  run({}, function* ({ l4, task }) {
    const stride = 2 ** 21; // what one table of the 64-bit format maps
    const at = yield* task.mmap(request({ len: 200 * stride }));
    const results: number[] = [];
    for (let i = 0; i < 200 && results.at(-1) !== ENOMEM; i += 1) results.push(yield* l4.store32(at + i * stride, i));
    expect(results.at(-1)).toBe(ENOMEM);
    expect(new Set(results.slice(0, -1))).toEqual(new Set([0]));
    expect([yield* l4.load32(at + stride), yield* l4.store32(at + stride, 7)]).toEqual([1, 0]); // the rest goes on
  });
});

test('a program has 65530 regions at most; at the limit it can still give some back', () => {
  run({}, function* ({ memory, task }) {
    const { regions } = memory;
    const exact = PRIVATE | ANONYMOUS | FIXED;
    const first = 0x1000_0000;
    let made = 0;
    let result = 0;
    for (; result >= 0 && made < 70_000; made += 1) {
      result = yield* task.mmap(request({ addr: first + 4 * made * PAGE, len: 3 * PAGE, flags: exact }));
    }
    expect([result, made < 66_000, regions.hasRoomFor(2)]).toEqual([-ENOMEM, true, false]);
    expect(yield* task.mmap(request({ addr: first, flags: exact }))).toBe(-ENOMEM);
    yield* task.mprotect(first + PAGE, 2 * PAGE, R); // takes the last one
    expect(regions.hasRoomFor(1)).toBe(false);
    expect(yield* task.munmap(first + 5 * PAGE, PAGE)).toBe(-ENOMEM); // the middle of one would leave two
    expect(yield* task.mprotect(first + 5 * PAGE, PAGE, R)).toBe(-ENOMEM);
    expect(yield* task.mprotect(first + 4 * PAGE, 3 * PAGE, R)).toBe(0);
    expect([yield* task.munmap(first, 3 * PAGE), yield* task.mmap(request({ addr: first, flags: exact }))]).toEqual([0, first]);
  });
});

describe('files', () => {
  test('bytes behind the end of the file read as zero, pages behind it are an error', () => {
    run({}, function* ({ l4, task }) {
      const file = fileOf(10_000);
      const at = yield* task.mmap(request({ len: 4 * PAGE, flags: SHARED, file }));
      const tail = new Uint8Array(2 * PAGE + PAGE - 10_000 + 1);
      expect(yield* l4.read(at + 9999, tail)).toBe(0);
      expect([tail[0], tail.subarray(1).some((byte) => byte !== 0)]).toEqual([3, false]);
      expect(yield* l4.load32(at + 3 * PAGE)).toBe(-EIO);
      expect(yield* l4.load32(at)).toBe(0x0101_0101);
    });
  });

  test('read in order come in growing pieces: sixteen pages in five reads', () => {
    run({}, function* ({ l4, memory, task }) {
      const at = yield* task.mmap(request({ len: 16 * PAGE, prot: R, file: fileOf(16 * PAGE) }));
      for (let page = 0; page < 16; page += 1) expect((yield* l4.load32(at + page * PAGE)) % 256).toBe(page + 1);
      expect(memory.counters.storeReads).toBe(5);
    });
  });

  test('that cannot be read fail the access, and no other', () => {
    run({}, function* ({ l4, task, charged }) {
      const file = fileOf(3 * PAGE);
      const broken: FileBacking = { ...file, read: (offset, into) => (offset === PAGE ? -EIO : file.read(offset, into)) };
      const at = yield* task.mmap(request({ len: 3 * PAGE, prot: R, file: broken }));
      const loads = [yield* l4.load32(at), yield* l4.load32(at + PAGE), yield* l4.load32(at + 2 * PAGE)];
      expect(loads).toEqual([0x0101_0101, -EIO, 0x0303_0303]);
      expect(charged()).toBe(2);
    });
  });

  test('mapped privately keep what others write, except where the program has written', () => {
    run({}, function* ({ l4, task }) {
      const file = fileOf(2 * PAGE);
      const mine = yield* task.mmap(request({ len: 2 * PAGE, file }));
      const all = yield* task.mmap(request({ len: 2 * PAGE, flags: SHARED, file }));
      yield* l4.store32(mine, 1);
      yield* l4.store32(all, 2);
      yield* l4.store32(all + PAGE, 3);
      expect([yield* l4.load32(mine), yield* l4.load32(mine + PAGE)]).toEqual([1, 3]);
      yield* l4.store32(mine + PAGE, 4); // the page below is dirty: still it must be copied
      expect([yield* l4.load32(all), yield* l4.load32(all + PAGE)]).toEqual([2, 3]);
    });
  });

  test('show what a system call has written, in old mappings and in new ones', () => {
    run({}, function* ({ l4, task }) {
      const file = new ModelFile(3, true);
      const backing = file.backing(true);
      const old = yield* task.mmap(request({ len: 3 * PAGE, flags: SHARED, file: backing }));
      yield* l4.store32(old, 1);
      yield* l4.load32(old + PAGE);
      yield* task.writeFiles();
      expect([file.stored(0, 0), task.filesAreStale]).toEqual([1, false]);
      file.put(0, 0, 2);
      file.put(1, 0, 3);
      expect(task.filesAreStale).toBe(true);
      yield* task.refreshFiles();
      const fresh = yield* task.mmap(request({ len: 3 * PAGE, prot: R, file: file.backing(false) }));
      for (const at of [old, fresh]) expect([yield* l4.load32(at), yield* l4.load32(at + PAGE)]).toEqual([2, 3]);
      file.resize(1);
      yield* task.refreshFiles();
      for (const at of [old, fresh]) expect([yield* l4.load32(at), yield* l4.load32(at + PAGE)]).toEqual([2, -EIO]);
    });
  });

  test('are held while they are mapped, and given up when nobody can map them again', () => {
    let held = 0;
    let isNameless = false;
    const file: FileBacking = {
      ...fileOf(PAGE),
      get isNameless() {
        return isNameless;
      },
      hold: () => void (held += 1),
      release: () => void (held -= 1),
    };
    run({}, function* ({ l4, task, charged }) {
      const at = yield* task.mmap(request({ prot: R, flags: SHARED, file }));
      yield* l4.load32(at);
      isNameless = true;
      const other = yield* task.mmap(request({ prot: R, file: fileOf(PAGE) }));
      expect([held, charged()]).toEqual([1, 1]);
      yield* task.munmap(at, PAGE);
      yield* task.munmap(other, PAGE);
      yield* task.mmap(request({ prot: R, file: fileOf(PAGE) }));
      expect([held, charged()]).toEqual([0, 0]);
      isNameless = false;
      yield* task.mmap(request({ prot: R, flags: SHARED, file }));
      expect(held).toBe(1);
    });
    expect(held).toBe(0);
  });

  test('synchronised are written with what the mapping holds, as far as the file reaches', () => {
    run({}, function* ({ l4, memory, task }) {
      const file = fileOf(2 * PAGE + 8);
      const at = yield* task.mmap(request({ len: 3 * PAGE, flags: SHARED, file }));
      yield* l4.store32(at + PAGE, 0x7777);
      yield* l4.store32(at + 2 * PAGE + 4, 0x8888);
      expect(yield* task.msync(at, 3 * PAGE, 4)).toBe(0);
      const view = new DataView(file.bytes.buffer);
      expect([view.getUint32(PAGE, true), view.getUint32(2 * PAGE + 4, true)]).toEqual([0x7777, 0x8888]);
      expect([file.bytes.length, memory.counters.storeWrites, task.filesAreDirty]).toEqual([2 * PAGE + 8, 2, false]);
    });
  });

  test('that cannot take a write back keep it in memory and say so', () => {
    run({}, function* ({ l4, task }) {
      const file = fileOf(PAGE);
      let full = true;
      const backing: FileBacking = { ...file, write: (offset, from) => (full ? -28 : (file.write?.(offset, from) ?? -EIO)) };
      const at = yield* task.mmap(request({ flags: SHARED, file: backing }));
      yield* l4.store32(at, 6);
      expect(yield* task.msync(at, PAGE, 4)).toBe(-EIO);
      expect(yield* l4.load32(at)).toBe(6);
      full = false;
      expect(yield* task.msync(at, PAGE, 4)).toBe(0);
      expect(file.bytes[0]).toBe(6);
    });
  });
});

describe('moving and growing', () => {
  test('a private mapping that has grown shows no page twice', () => {
    run({}, function* ({ l4, task, check }) {
      const file = fileOf(4 * PAGE);
      const at = yield* task.mmap(request({ addr: 0x10_0000, len: 4 * PAGE, file, flags: PRIVATE | FIXED }));
      yield* task.munmap(at + PAGE, PAGE); // page 0, and pages 2 and 3
      const moved = yield* task.mremap(at, PAGE, 4 * PAGE, 1, 0);
      yield* l4.store32(moved + 2 * PAGE, 1);
      yield* l4.store32(at + 2 * PAGE, 2);
      expect([yield* l4.load32(moved + 2 * PAGE), yield* l4.load32(at + 2 * PAGE)]).toEqual([1, 2]);
      check();
      yield* task.munmap(moved, 4 * PAGE);
      expect(yield* l4.load32(at + 2 * PAGE)).toBe(2);
    });
  });

  test('the break grows over free space only, and what it gives up is gone', () => {
    run({}, function* ({ l4, task, charged }) {
      task.setBreak(0x20_0000 - 5);
      expect(yield* task.brk(0)).toBe(0x20_0000);
      expect(yield* task.brk(0x20_1234)).toBe(0x20_1234);
      yield* l4.store32(0x20_1000, 8);
      expect(yield* task.brk(0x20_0001)).toBe(0x20_0001);
      expect([charged(), yield* l4.load32(0x20_1000)]).toEqual([0, -EFAULT]);
      yield* task.mmap(request({ addr: 0x20_4000, flags: PRIVATE | ANONYMOUS | FIXED }));
      expect(yield* task.brk(0x20_5000)).toBe(0x20_0001);
      expect(yield* task.brk(0x20_4000)).toBe(0x20_4000);
      expect(yield* l4.load32(0x20_1000)).toBe(0);
    });
  });
});

describe('mappings are a cache', () => {
  test('physmem may take them all away: the next access finds the same bytes', () => {
    run({ faultAround: 4 }, function* ({ l4, memory, task, revoke, charged }) {
      const at = yield* task.mmap(request({ len: 8 * PAGE }));
      for (let page = 0; page < 8; page += 1) yield* l4.store32(at + page * PAGE, 100 + page);
      const { faults } = memory.counters;
      revoke();
      for (let page = 0; page < 8; page += 1) expect(yield* l4.load32(at + page * PAGE)).toBe(100 + page);
      expect([memory.counters.faults - faults, charged()]).toEqual([2, 8]);
    });
  });

  test('one that never stays is given up after 64 faults in vain', () => {
    run({}, function* ({ l4, task, revoke }) {
      const at = yield* task.mmap(request({}));
      yield* l4.store32(at, 1);
      let results = '';
      for (let i = 0; i < 66; i += 1) {
        revoke();
        results += (yield* l4.touch(at, R)) === 0 ? '.' : 'x';
      }
      expect(results).toBe(`${'.'.repeat(64)}x.`);
    });
  });

  test.each(['msync', 'madvise', 'mprotect'] as const)('the same fault again and again is no error where %s asked for it', (call) => {
    run({}, function* ({ l4, task }) {
      const at = yield* task.mmap(request({ flags: SHARED, file: fileOf(PAGE) }));
      const anonymous = yield* task.mmap(request({}));
      for (let i = 0; i < 200; i += 1) {
        expect(yield* l4.store32(call === 'msync' ? at : anonymous, i)).toBe(0);
        if (call === 'msync') yield* task.msync(at, PAGE, 4);
        else if (call === 'madvise') yield* task.madvise(anonymous, PAGE, 4);
        else for (const prot of [NONE, RW]) yield* task.mprotect(anonymous, PAGE, prot);
      }
    });
  });
});

describe('when memory runs out', () => {
  test('pages that were never written cost nothing: zero can be made again', () => {
    run({ pages: 8 }, function* ({ l4, memory, task, charged }) {
      const at = yield* task.mmap(request({ len: 12 * PAGE }));
      for (let page = 0; page < 12; page += 1) expect(yield* l4.load32(at + page * PAGE)).toBe(0);
      expect([memory.counters.faults, charged() <= 8]).toEqual([12, true]);
    });
  });

  test('files are read again, and written back first', () => {
    run({ pages: 4 }, function* ({ l4, memory, task, charged }) {
      const file = fileOf(10 * PAGE);
      const at = yield* task.mmap(request({ len: 10 * PAGE, flags: SHARED, file }));
      for (let page = 0; page < 10; page += 1) {
        expect((yield* l4.load32(at + page * PAGE)) % 256).toBe(page + 1);
        expect(charged()).toBeLessThanOrEqual(4);
      }
      expect(memory.counters.storeWrites).toBe(0);
      for (let page = 0; page < 10; page += 1) expect(yield* l4.store32(at + page * PAGE, 50 + page)).toBe(0);
      for (let page = 0; page < 10; page += 1) expect(yield* l4.load32(at + page * PAGE)).toBe(50 + page);
    });
  });

  test('a copy is made though its original is the only page that could go', () => {
    run({ pages: 2 }, function* ({ l4, task }) {
      const at = yield* task.mmap(request({ len: 2 * PAGE, file: fileOf(2 * PAGE) }));
      expect(yield* l4.load32(at + PAGE)).toBe(0x0202_0202);
      expect(yield* l4.store32(at, 1)).toBe(0);
      expect([yield* l4.load32(at), yield* l4.load32(at + 4)]).toEqual([1, 0x0101_0101]);
    });
  });

  test('the access fails, nothing else does, and what is released serves the next', () => {
    run({ pages: 8, cluster: 4, faultAround: 16 }, function* ({ l4, task, charged, check }) {
      const at = yield* task.mmap(request({ len: 9 * PAGE }));
      for (let page = 0; page < 8; page += 1) expect(yield* l4.store32(at + page * PAGE, page)).toBe(0);
      for (let tries = 0; tries < 3; tries += 1) expect(yield* l4.store32(at + 8 * PAGE, 8)).toBe(ENOMEM);
      const mapped = yield* task.mmap(request({ prot: R, file: fileOf(PAGE) }));
      expect(yield* l4.load32(mapped)).toBe(-ENOMEM);
      expect(charged()).toBe(8);
      check();
      yield* task.munmap(at, PAGE);
      expect(yield* l4.store32(at + 8 * PAGE, 8)).toBe(0);
      for (let page = 1; page < 9; page += 1) expect(yield* l4.load32(at + page * PAGE)).toBe(page);
    });
  });

  test('a task without any page gets errors, not silence', () => {
    run({ pages: 0 }, function* ({ l4, task }) {
      const at = yield* task.mmap(request({ len: 2 * PAGE }));
      expect([yield* l4.load32(at), yield* l4.store32(at, 1)]).toEqual([-ENOMEM, ENOMEM]);
      expect(yield* task.madvise(at, PAGE, 22)).toBe(-ENOMEM);
    });
  });
});

describe('the pager', () => {
  test('gives stray messages no answer, and goes on', () => {
    run({}, function* ({ l4, task, pager }) {
      const at = yield* task.mmap(request({}));
      for (const [label, words] of [
        [5, 1],
        [0, 0],
        [-32 + 2, 1],
        [-32 + 2, 3],
        [-64, 2],
      ] as const) {
        l4.message.begin(label);
        for (let i = 0; i < words; i += 1) l4.message.append(at);
        yield* l4.send(pager);
        expect(yield* l4.receive(pager, 1000)).not.toBe(0);
      }
      expect(yield* l4.store32(at, 1)).toBe(0);
    });
  });

  test('serves threads while another edits what they touch', () => {
    run({ threads: 3, pages: 40 }, function* ({ l4, task, spawn, check }) {
      const at = 0x10_0000;
      const results = new Set<number>();
      const running = { threads: 3 };
      for (const step of [1, 3, 5]) {
        spawn(function* (other) {
          for (let i = 0; i < 200; i += 1) {
            const va = at + ((i * step) % 16) * PAGE;
            results.add(yield* other.store32(va, va));
            const value = yield* other.load32(va);
            results.add(value === va ? 0 : value);
          }
          running.threads -= 1;
        });
      }
      for (let i = 0; running.threads > 0; i += 1) {
        const [page, pages] = [(i * 7) % 16, 1 + (i % 5)];
        const over = { addr: at + page * PAGE, len: pages * PAGE, flags: PRIVATE | ANONYMOUS | FIXED };
        if (i % 3 === 0) yield* task.munmap(over.addr, over.len);
        else if (i % 3 === 1) yield* task.mmap(request(over));
        else yield* task.mprotect(over.addr, over.len, i % 2 === 0 ? R : RW);
        yield* l4.sleep(1 + (i % 4));
      }
      check();
      for (const result of results) expect([0, EFAULT, EACCES, -EFAULT, -EACCES]).toContain(result);
      expect(results.has(0)).toBe(true);
    });
  });
});
