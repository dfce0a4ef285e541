import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OwnerMap } from '../../../vkernel/physmem/core/owner-map.ts';

test('every page is owned by the frame that has it, through binding, splitting and losing memory', () => {
  const step = fc.tuple(fc.constantFrom('bind', 'lose', 'split'), fc.nat(63), fc.nat(4));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const frames = { address: new Int32Array(200), size: new Uint8Array(200) };
      const map = new OwnerMap(frames);
      const live = new Set<number>();
      const model = new Int32Array(100); // frame of each page
      let last = 0;
      const bind = (page: number, log2: number): void => {
        last += 1;
        frames.address[last] = page;
        frames.size[last] = log2;
        live.add(last);
        map.bound(last);
        model.fill(last, page, page + 2 ** log2);
      };
      const lose = (frame: number): void => {
        map.unbound(frame);
        live.delete(frame);
        model.fill(0, frames.address[frame], frames.address[frame] + 2 ** frames.size[frame]);
      };
      for (const [kind, page, log2] of steps) {
        const start = page - (page % 2 ** log2);
        const owner = model[page];
        if (kind === 'bind' && model.slice(start, start + 2 ** log2).every((each) => each === 0)) bind(start, log2);
        else if (kind === 'lose' && owner !== 0) lose(owner);
        else if (kind === 'split' && owner !== 0 && frames.size[owner] > 0) {
          frames.size[owner] -= 1; // the lower half stays where it is, and is the same frame
          bind(frames.address[owner] + 2 ** frames.size[owner], frames.size[owner]);
        }
        expect(model.every((frame, page) => map.ownerOf(page) === frame)).toBe(true);
        map.assertInvariants(live);
      }
    }),
    { numRuns: 60 },
  );
});

test('the pages of the last frame are its own, however large it is', () => {
  const frames = { address: Int32Array.of(0, 64, 256), size: Uint8Array.of(0, 4, 3) };
  const map = new OwnerMap(frames);
  map.bound(1);
  expect([64, 69, 79, 80].map((page) => map.ownerOf(page))).toEqual([1, 1, 1, 0]);
  map.bound(2);
  expect([263, 264, 2 ** 20].map((page) => map.ownerOf(page))).toEqual([2, 0, 0]);
});
