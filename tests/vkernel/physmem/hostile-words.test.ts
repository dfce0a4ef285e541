/** Whatever words a task sends: no handler falls, the core stays sound, replies fit, and nothing of others is touched. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Method } from '../../../vkernel/cap/rpc.ts';
import { LABEL_PAGE_FAULT, type ThreadId } from '../../../vkernel/l4/user.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import { PHYSMEM } from '../../../vkernel/physmem/interface.ts';
import { boot, OTHER, P, ROOT_FS, USUAL } from './server-rig.ts';

const METHODS: readonly Method[] = Object.values(PHYSMEM);

const MOST_ITEMS = 31;
const MOST_WORDS = 63;

const hostileWord = fc.oneof(
  { weight: 4, arbitrary: fc.nat(20).map((page) => page * P) },
  { weight: 2, arbitrary: fc.nat(64) },
  { weight: 2, arbitrary: fc.nat(15).map((bit) => 2 ** bit) },
  fc.constantFrom(-1, 2 ** 31, 2 ** 32 - P, 2 ** 32, 2 ** 52, 2 ** 53 - P, 2 ** 53, 2 ** 63, 2 ** 64 - P, P + 1, P - 1, 4097),
  fc.nat(),
);
/** A handle: one of those the run has got, a neighbour of one, or anything. */
const anyHandle = fc.oneof(
  { weight: 6, arbitrary: fc.nat(11).map((i) => ({ known: i })) },
  hostileWord.map((word) => ({ word })),
);
const anyRequest = fc.record({
  method: fc.nat(METHODS.length + 4),
  who: fc.boolean(),
  handle: anyHandle,
  second: anyHandle,
  words: fc.array(hostileWord, { maxLength: 9 }),
  exact: fc.boolean(), // as many words as the method takes
  secondAt: fc.nat(4), // where a second handle goes
  list: fc.array(hostileWord, { maxLength: 52 }),
  typed: fc.constantFrom(0, 0, 0, 0, 2),
  later: fc.constantFrom(0, 0, 5, 1_000_000),
});

/** Labels that are no method's: one of nobody, and page faults, which anybody can send. */
function labelOf(index: number): number {
  return index === 0 ? 250 : LABEL_PAGE_FAULT + index;
}

function isKnown(handle: { readonly known: number } | { readonly word: number }): handle is { readonly known: number } {
  return 'known' in handle;
}

test('A11 hostile words: every request gets an errno or none, and the server stays sound', () => {
  fc.assert(
    fc.property(fc.array(anyRequest, { minLength: 10, maxLength: 60 }), (requests) => {
      const { kernel, server, physmem, handles } = boot({ ...USUAL, slots: 16 });
      const [control, otherControl, module, root] = handles;
      const held: number[] = [control, module, otherControl];
      const valueOf = (handle: { readonly known: number } | { readonly word: number }): number =>
        isKnown(handle) ? (held[handle.known % held.length] ?? control) : handle.word === root ? 0 : handle.word;
      for (const request of requests) {
        const method = METHODS[request.method];
        const from: ThreadId = request.who ? OTHER : ROOT_FS;
        const fixed = (method?.request.length ?? 0) + (method?.optional?.length ?? 0);
        const words = [valueOf(request.handle), ...request.words];
        if (request.exact && method !== undefined) {
          while (words.length < fixed) words.push(0);
          words.length = Math.max(1, fixed);
          if (method.list !== undefined)
            words.push(...request.list.slice(0, request.list.length - (request.list.length % method.list.length)));
        }
        if (request.secondAt > 0 && request.secondAt < words.length) words[request.secondAt] = valueOf(request.second);
        kernel.now += request.later;
        const reply = kernel.ask(
          server,
          from,
          method?.label ?? labelOf(request.method - METHODS.length),
          words.slice(0, MOST_WORDS),
          request.typed,
        );
        if (reply === null) continue;
        expect(reply.items.length).toBeLessThanOrEqual(MOST_ITEMS);
        expect(reply.words.length + 2 * reply.items.length).toBeLessThanOrEqual(MOST_WORDS);
        expect(Number.isInteger(reply.label) && reply.label >= 0).toBe(true);
        if (
          reply.label === 0 &&
          method !== undefined &&
          method.reply.some((name) => ['container', 'child', 'weak', 'handle'].includes(name))
        ) {
          held.push(...reply.words.filter((word) => word > 2 ** 32));
        }
      }
      assertInvariants(physmem.physmem);
      physmem.objects.assertInvariants();
      // The root's handle was never given away: its holder still has it, and all memory is accounted for.
      const info = kernel.ask(server, ROOT_FS, PHYSMEM.info.label, [root]);
      const [received, fixed, free, bound] = info?.words ?? [];
      expect(received).toBe(fixed + free + bound);
    }),
    { numRuns: 25 },
  );
});
