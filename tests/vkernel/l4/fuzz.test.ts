import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { L4Kernel } from '../../../vkernel/l4/index.ts';
import {
  ANY,
  ANYLOCAL,
  fpage,
  type L4,
  type L4Body,
  type L4Wait,
  NEVER,
  NIL,
  type ThreadId,
  threadId,
  threadNumber,
  timeout,
  ZERO,
} from '../../../vkernel/l4/user.ts';
import { boot } from './boot.ts';
import { utcb } from './tasks.ts';

/** One step of a random thread. Numbers are drawn without knowing what is sensible. */
interface Step {
  readonly kind: number;
  readonly partner: number;
  readonly source: number;
  readonly value: number;
  readonly words: readonly number[];
  readonly untyped: number;
  readonly typed: number;
  readonly wait: number;
}

const word = fc.oneof(
  fc.maxSafeInteger(),
  fc.integer({ min: -4096, max: 4096 }),
  fc.constantFrom(fpage(0x300000, 12, 7), fpage(0x300000, 16, 7), 0x10, 0, 0x300008, 0x30000a, 8, 10, fpage(0, 30, 6), -1),
);
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.integer({ min: 0, max: 15 }),
  partner: fc.integer({ min: 0, max: 7 }),
  source: fc.integer({ min: 0, max: 9 }),
  value: fc.integer({ min: 0, max: 2 ** 31 }),
  words: fc.array(word, { maxLength: 8 }),
  untyped: fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 0, max: 6 }) }, fc.constantFrom(-1, 63, 64, 1e9)),
  typed: fc.oneof({ weight: 5, arbitrary: fc.constantFrom(0, 0, 2, 4, 3) }, fc.constantFrom(-2, 62, 64)),
  wait: fc.constantFrom(NEVER, ZERO, timeout(50), timeout(5)),
});

const TASKS = [7, 7, 8, 8, 9, 9]; // task of each thread: three spaces of two
const HART = 5; // this one runs RISC-V code
const idOf = (i: number, bits: 32 | 64): ThreadId => threadId(100 + (i % TASKS.length), TASKS[i % TASKS.length] as number, bits);

function partnerOf(l4: L4, i: number): ThreadId {
  if (i < TASKS.length) return idOf(i, l4.wordBits);
  return i === 6 ? threadId(48, 1, l4.wordBits) : ((i === 7 ? 12345 : i === 8 ? ANY : ANYLOCAL) as ThreadId);
}

/** The other thread of the same space. */
function siblingOf(l4: L4): ThreadId {
  return idOf((threadNumber(l4.id, l4.wordBits) - 100) ^ 1, l4.wordBits);
}

function* act(l4: L4, s: Step): Generator<L4Wait, void, void> {
  const partner = partnerOf(l4, s.partner);
  const source = partnerOf(l4, s.source);
  const va = 0x300000 + (s.value % 64) * 4096 + (s.value % 4000);
  switch (s.kind) {
    case 0:
    case 1:
    case 2:
      l4.message.begin(s.value % 2 === 0 ? -96 : s.value);
      for (const [i, value] of s.words.entries()) l4.message.setWord(i + 1, value);
      l4.message.untyped = s.untyped;
      l4.message.typed = s.typed;
      if (s.kind === 2) l4.propagateAs = siblingOf(l4);
      yield* l4.ipc(partner, s.kind === 0 ? NIL : source, s.wait, s.wait === NEVER ? timeout(100) : s.wait);
      return;
    case 3:
      yield* l4.receive(source, s.wait);
      return;
    case 4:
      l4.acceptor = s.words[0] ?? 0x10;
      return;
    case 5:
      l4.unmap(s.words[0] ?? fpage(va, 12, s.value % 8), s.value % 3 === 0);
      return;
    case 6:
      yield* l4.sleep(s.value % 300);
      return;
    case 7:
      yield* l4.touch(va, 1 + (s.value % 2));
      return;
    case 8:
      l4.exchangeRegisters(partner, s.value % 1024, s.value, s.value, s.value, s.value, source);
      return;
    case 9:
      l4.tryFill(va, s.value % 10_000, 3);
      l4.tryCopy(va, 0x300000, s.value % 10_000);
      return;
    case 10:
      l4.reply(partner);
      return;
    case 11:
      yield* l4.threadSwitch(partner);
      return;
    case 14:
    case 15: {
      // A well-formed gift of pages the thread probably has.
      l4.message.begin(0);
      const page = fpage(va, 12 + (s.value % 4), 4 + (s.untyped & 3));
      if (s.kind === 14) l4.message.appendMap(va, page);
      else l4.message.appendGrant(va, page);
      l4.acceptor = 0x10;
      yield* l4.ipc(partner, s.source % 2 === 0 ? ANY : NIL, timeout(100), timeout(100));
      return;
    }
    case 12:
      l4.startBody(partner, function* () {});
      l4.setExceptionHandler(partner, source);
      return;
    default:
      yield* l4.replyWait(partner, source === NIL ? ANY : source);
  }
}

/** The root server: makes the threads, then deletes, makes again and renames at random, and pages everybody. */
function rootOf(scripts: readonly (readonly Step[])[], control: readonly Step[], check: () => void): L4Body {
  const program = (script: readonly Step[]): L4Body =>
    function* (l4) {
      for (const s of script) {
        yield* act(l4, s);
        check();
      }
    };
  return function* root(l4) {
    const make = (i: number): void => {
      const id = idOf(i, l4.wordBits);
      const sibling = idOf(i ^ 1, l4.wordBits);
      const joined = l4.threadControl(id, sibling, l4.id, NIL, -1) === 1;
      if (!joined && l4.threadControl(id, id, l4.id, NIL, -1) !== 1) return;
      l4.spaceControl(id, 0, fpage(0x7000_0000, 12, 0), fpage(0x7001_0000, 16, 0), NIL);
      l4.threadControl(id, id, l4.id, l4.id, utcb(i));
      if (i !== HART) l4.startBody(id, program(scripts[i] as readonly Step[]));
      else {
        l4.setExceptionHandler(id, sibling);
        l4.message.begin(0);
        l4.message.append(0x300000);
        l4.message.append(0x340000);
        l4.reply(id); // runs whatever the page holds
      }
    };
    for (let i = 0; i < TASKS.length; i++) make(i);
    for (const s of control) {
      const id = idOf(s.partner, l4.wordBits);
      if (s.kind < 2) l4.threadControl(id, NIL, NIL, NIL, -1);
      else if (s.kind < 5) make(s.partner % TASKS.length);
      else if (s.kind === 5) l4.threadControl(partnerOf(l4, s.partner), partnerOf(l4, s.source), l4.id, partnerOf(l4, s.source), s.value);
      else if (s.kind === 6) l4.spaceControl(id, 0, s.words[0] ?? 0, s.words[1] ?? 0, NIL);
      check();
      // One fault is served, any other message is dropped.
      yield* l4.receive(ANY, timeout(200));
      if (l4.error === 0) {
        const { from } = l4;
        const page = 0x300000 + (s.value % 16) * 4096;
        if ((yield* l4.touch(page, 2)) !== 0) continue;
        l4.message.begin(s.kind === 7 ? 14 : 0);
        if (s.kind !== 7) l4.message.appendMap(Math.floor(l4.message.word(1) / 4096) * 4096, fpage(page, 12, s.value % 8));
        l4.reply(from);
      }
      check();
    }
    for (let i = 0; i < TASKS.length; i++) l4.threadControl(idOf(i, l4.wordBits), NIL, NIL, NIL, -1);
    check();
    l4.shutdown('end');
  };
}

test.each([32, 64] as const)('random threads with hostile messages leave a consistent kernel (%i bits)', (xlen) => {
  const scripts = fc.array(fc.array(step, { maxLength: 25 }), { minLength: TASKS.length, maxLength: TASKS.length });
  fc.assert(
    fc.property(scripts, fc.array(step, { maxLength: 40 }), (programs, control) => {
      let kernel: L4Kernel | null = null;
      let tables = 0;
      let first = 0;
      const check = (): void => kernel?.assertInvariants();
      const { result } = boot(rootOf(programs, control, check), {
        xlen,
        memoryBytes: 4 * 2 ** 20,
        before: (made) => {
          kernel = made;
          first = made.usage.tableFrames;
        },
        after: (made) => void (tables = made.usage.tableFrames),
      });
      expect(result).toEqual({ reason: 'shutdown', report: ['end'] });
      expect(tables - first).toBeLessThanOrEqual(8); // what the root server itself uses
    }),
    { numRuns: 15 },
  );
});
