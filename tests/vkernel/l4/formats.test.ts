import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { placeItem, placement } from '../../../vkernel/l4/items.ts';
import {
  accessOf,
  cutLabel,
  fpage,
  fpageAny,
  fpageBase,
  fpageIsAny,
  fpageRights,
  fpagesCovering,
  fpageShift,
  fpageSize,
  isGlobalId,
  isVersion,
  Message,
  NEVER,
  rightsOf,
  taskOf,
  threadId,
  threadNumber,
  timeout,
  timeoutMicroseconds,
  ZERO,
} from '../../../vkernel/l4/user.ts';

test('published fpage words: 4 KiB and 32 KiB rwx at 0x8000', () => {
  expect(fpage(0x8000, 12, 7)).toBe(0x80c7);
  expect(fpage(0x8000, 15, 7)).toBe(0x80f7);
});

test('an fpage keeps base, size and rights, up to 2^47', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 47 - 1 }),
      fc.integer({ min: 10, max: 47 }),
      fc.integer({ min: 0, max: 7 }),
      (at, shift, rights) => {
        const page = fpage(at, shift, rights);
        expect(fpageBase(page)).toBe(at - (at % 2 ** shift));
        expect([fpageShift(page), fpageSize(page), fpageRights(page)]).toEqual([shift, 2 ** shift, rights]);
      },
    ),
  );
});

test('any page of a size survives a message register on both word sizes', () => {
  for (const bits of [32, 64] as const) {
    const message = new Message(bits);
    message.setWord(1, fpageAny(22, 7));
    const word = message.signed(1);
    expect(fpageIsAny(word)).toBe(true);
    expect(fpageShift(word)).toBe(22);
  }
});

test('fpagesCovering covers a range once, in the fewest pieces', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4096 }), fc.integer({ min: 0, max: 4096 }), (first, pages) => {
      let at = first * 4096;
      for (const page of fpagesCovering(first * 4096, pages * 4096, 7)) {
        expect(fpageBase(page)).toBe(at);
        at += fpageSize(page);
      }
      expect(at).toBe((first + pages) * 4096);
    }),
  );
  expect(fpagesCovering(0x3000, 0x5000, 5)).toEqual([fpage(0x3000, 12, 5), fpage(0x4000, 14, 5)]);
});

test('rights r4 w2 x1 and access r1 w2 x4 are mirror images', () => {
  for (let bits = 0; bits < 8; bits++) expect(rightsOf(accessOf(bits))).toBe(bits);
  expect([accessOf(4), accessOf(2), accessOf(1)]).toEqual([1, 2, 4]);
});

test('published timeouts: 1 ms is exact, 5 s becomes 4 997 120 us', () => {
  expect(timeout(1000)).toBe(0x3e8);
  expect(timeout(5_000_000)).toBe(0x3662);
  expect(timeoutMicroseconds(0x3662)).toBe(4_997_120);
  expect(timeout(0)).toBe(ZERO);
  expect(timeoutMicroseconds(ZERO)).toBe(0);
  expect(timeoutMicroseconds(NEVER)).toBe(Number.POSITIVE_INFINITY);
});

test('a timeout is never longer than asked, and less than 0.2 % shorter', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 40 }), (us) => {
      const value = timeoutMicroseconds(timeout(us));
      expect(value).toBeLessThanOrEqual(us);
      expect(value).toBeGreaterThan(us * 0.998 - 1);
    }),
  );
});

test('published ids on a 32-bit machine: sigma0, wortel, deva', () => {
  expect([threadId(48, 1, 32), threadId(50, 1, 32), threadId(57, 4, 32)]).toEqual([0xc0001, 0xc8001, 0xe4004]);
});

test.each([32, 64] as const)('an id keeps number and task id (%i bits)', (bits) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0x3ffff }),
      fc.integer({ min: 1, max: bits === 32 ? 0x3fff : 0xffff_ffff }),
      (number, version) => {
        fc.pre((version & 63) !== 0);
        const id = threadId(number, version, bits);
        expect([threadNumber(id, bits), taskOf(id, bits), isGlobalId(id, bits)]).toEqual([number, version, true]);
      },
    ),
  );
});

test('versions whose low six bits are zero are not task ids', () => {
  expect([isVersion(64, 32), isVersion(65, 32), isVersion(0x4000, 32), isVersion(0x4001, 64)]).toEqual([false, true, false, true]);
});

test('labels: those of the kernel are negative, error labels up to 0x8fff positive, on both word sizes', () => {
  for (const bits of [32, 64] as const) {
    for (const label of [0, -2 * 16 + 5, -1001 * 16, 0x7fff, 0x8001]) expect(cutLabel(label, bits)).toBe(label);
  }
  expect(cutLabel(0x1_0005, 32)).toBe(5);
  expect(cutLabel(2 ** 48 + 7, 64)).toBe(7);
  expect(cutLabel(2 ** 47, 64)).toBe(-(2 ** 47));
});

describe('message registers', () => {
  test('numbers below 2^53 and their negatives pass through', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        const message = new Message(64);
        message.setWord(1, value);
        expect(message.signed(1)).toBe(value);
        expect(BigInt.asUintN(64, BigInt(value))).toBe(
          (BigInt(message.hi[1] as number) & 0xffff_ffffn) * 2n ** 32n + (BigInt(message.lo[1] as number) & 0xffff_ffffn),
        );
        if (value >= 0) expect(message.word(1)).toBe(value);
      }),
    );
  });
});

describe('window arithmetic', () => {
  const place = (sendBase: number, send: number, window: number): [number, number, number] => {
    placeItem(sendBase, send, window);
    return [placement.source, placement.target, placement.size];
  };
  test('equal sizes: the whole fpage fills the window', () => {
    expect(place(0x7000, fpage(0x8000, 12, 7), fpage(0x3000, 12, 0))).toEqual([0x8000, 0x3000, 0x1000]);
  });
  test('small into large: the send base, cut to the fpage size, places it in the window', () => {
    expect(place(0x1234567, fpage(0x8000, 13, 7), fpage(0x40_0000, 22, 0))).toEqual([0x8000, 0x40_0000 + 0x234000, 0x2000]);
  });
  test('large into small: the send base selects the part of the fpage', () => {
    expect(place(0x1234567, fpage(0x40_0000, 22, 7), fpage(0x3000, 12, 0))).toEqual([0x40_0000 + 0x234000, 0x3000, 0x1000]);
  });
  test('into the complete space: the send base is the address', () => {
    expect(place(0x12_3456_7000, fpage(0x8000, 12, 7), 0x10)).toEqual([0x8000, 0x12_3456_7000, 0x1000]);
  });
  test('the complete space into a window', () => {
    expect(place(0x5000, 0x10, fpage(0x3000, 12, 0))).toEqual([0x5000, 0x3000, 0x1000]);
  });
  test('nil, malformed and small pages map nothing', () => {
    for (const send of [0, 0x20, fpage(0x400, 10, 7), fpage(0x800, 11, 7)]) expect(place(0, send, 0x10)[2]).toBe(0);
    expect(place(0, fpage(0x8000, 12, 7), fpage(0x400, 10, 0))[2]).toBe(0);
  });
  test('agrees with the definition on bits', () => {
    const shift = fc.integer({ min: 12, max: 40 });
    const at = fc.integer({ min: 0, max: 2 ** 41 });
    fc.assert(
      fc.property(at, shift, at, shift, at, (sendAt, s, windowAt, w, base) => {
        const send = fpage(sendAt, s, 7);
        const window = fpage(windowAt, w, 0);
        const [source, target, size] = place(base, send, window).map(BigInt) as [bigint, bigint, bigint];
        const low = (bits: number): bigint => (1n << BigInt(bits)) - 1n;
        const sendBase = BigInt(base);
        expect(size).toBe(1n << BigInt(Math.min(s, w)));
        if (s <= w) {
          expect(source).toBe(BigInt(fpageBase(send)));
          expect(target).toBe((BigInt(fpageBase(window)) & ~low(w)) | (sendBase & low(w) & ~low(s)));
        } else {
          expect(target).toBe(BigInt(fpageBase(window)));
          expect(source).toBe(BigInt(fpageBase(send)) | (sendBase & low(s) & ~low(w)));
        }
      }),
    );
  });
});
