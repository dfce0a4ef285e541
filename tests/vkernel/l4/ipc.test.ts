import { expect, test } from 'vitest';
import { ANY, NIL, type L4Body } from '../../../vkernel/l4/user.ts';
import { boot } from './boot.ts';

test('the root server asks sigma0 for a page, writes and reads it', () => {
  const seen: number[] = [];
  const root: L4Body = function* (l4) {
    const va = 0x100000;
    seen.push(yield* l4.store32(va, 0xdeadbeef));
    seen.push(yield* l4.load32(va));
    seen.push(l4.tryLoad32(va + 4));
    l4.shutdown('done');
    void ANY;
    void NIL;
  };
  const { result } = boot(root);
  expect(result).toEqual({ reason: 'shutdown', report: ['done'] });
  expect(seen).toEqual([0, 0xdeadbeef, 0]);
});
