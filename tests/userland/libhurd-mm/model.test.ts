/**
 * The memory calls of a program against the model, on the real kernel and physmem: whatever it does, and whatever
 * physmem takes away meanwhile, it sees the bytes the model says, and no page is lost.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EACCES, EEXIST, EFAULT, EIO, ENOMEM } from '../../../hostkernel/base/errno.ts';
import type { L4Wait } from '../../../vkernel/l4/user.ts';
import { anonymousPage, filePage, following, ModelFile, ModelSpace, PAGE, type Shown, wordsOf, WORDS } from './model.ts';
import { type Bench, MAP_BASE, type StackSetup, withStack } from './stack.ts';

const ARENA = 0x100; // first page of the addresses the operations name
const ARENA_PAGES = 20;
const BREAK = ARENA + 14; // the heap begins inside it
const FILE_PAGES = 5;
const [R, W, X] = [1, 2, 4];
const [SHARED, PRIVATE, FIXED, ANONYMOUS, POPULATE, NOREPLACE] = [1, 2, 0x10, 0x20, 0x8000, 0x100000];
const DONTNEED = 4;

const page = fc.integer({ min: 0, max: ARENA_PAGES - 1 });
const count = fc.integer({ min: 1, max: 6 });
const prot = fc.constantFrom(0, R, R | W, R | W, R | W, R | X, W, X);
const word = fc.integer({ min: 0, max: 1 });
const value = fc.integer({ min: 1, max: 0xffff_ffff });
const file = fc.constantFrom(0, 0, 0, 1);
const at = fc.constantFrom(FIXED, FIXED, NOREPLACE, 0);

type Operation =
  | { op: 'anonymous'; page: number; count: number; prot: number; shared: boolean; at: number; populate: boolean }
  | { op: 'file'; page: number; count: number; prot: number; shared: boolean; at: number; file: number; offset: number }
  | { op: 'unmap'; page: number; count: number }
  | { op: 'protect'; page: number; count: number; prot: number }
  | { op: 'remap'; page: number; count: number; newCount: number; mayMove: boolean; to: number }
  | { op: 'discard'; page: number; count: number }
  | { op: 'sync'; page: number; count: number }
  | { op: 'break'; count: number }
  | { op: 'load'; page: number; word: number }
  | { op: 'store'; page: number; word: number; value: number }
  | { op: 'execute'; page: number }
  | { op: 'revoke'; rights: number }
  | { op: 'write file'; file: number; offset: number; word: number; value: number }
  | { op: 'resize'; count: number }
  | { op: 'read file'; file: number };

const operation = fc.oneof<fc.WeightedArbitrary<Operation>[]>(
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant('anonymous'), page, count, prot, shared: fc.boolean(), at, populate: fc.boolean() }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ op: fc.constant('file'), page, count, prot, shared: fc.boolean(), at, file, offset: fc.nat(FILE_PAGES - 1) }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('unmap'), page, count }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('protect'), page, count, prot }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('remap'),
      page,
      count,
      newCount: count,
      mayMove: fc.boolean(),
      to: fc.integer({ min: -9, max: 15 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('discard'), page, count }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('sync'), page, count }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('break'), count: fc.integer({ min: 0, max: 6 }) }) },
  { weight: 14, arbitrary: fc.record({ op: fc.constant('load'), page, word }) },
  { weight: 20, arbitrary: fc.record({ op: fc.constant('store'), page, word, value }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('execute'), page }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('revoke'), rights: fc.constantFrom(7, 2) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('write file'), file, offset: fc.nat(FILE_PAGES - 1), word, value }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('resize'), count }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('read file'), file }) },
);

/** The driver: makes each call on the task and on the model, and compares. */
class Comparison {
  readonly #bench: Bench;
  readonly #limit: number; // pages the task may have
  readonly #space = new ModelSpace();
  readonly #files = [new ModelFile(FILE_PAGES, true), new ModelFile(FILE_PAGES, false)] as const;
  #break = BREAK;

  constructor(bench: Bench, limit: number) {
    this.#bench = bench;
    this.#limit = limit;
    bench.task.setBreak(BREAK * PAGE);
  }

  *run(operations: readonly Operation[]): Generator<L4Wait, void> {
    for (const operation of operations) {
      yield* this.#apply(operation);
      this.#bench.check();
      this.#probe();
    }
    for (const start of this.#space.pages.keys()) for (const w of [0, 1]) yield* this.#load(start, w);
    this.#probe();
    for (const which of this.#files) yield* this.#readFile(which);
  }

  *#apply(o: Operation): Generator<L4Wait, void> {
    const { task, revoke } = this.#bench;
    const space = this.#space;
    switch (o.op) {
      case 'anonymous': {
        const flags = (o.shared ? SHARED : PRIVATE) | ANONYMOUS | o.at | (o.populate ? POPULATE : 0);
        yield* this.#map(o, flags, null, 0, () => anonymousPage(o.prot, o.shared));
        return;
      }
      case 'file': {
        const mapped = this.#files[o.file] as ModelFile;
        const flags = (o.shared ? SHARED : PRIVATE) | o.at;
        yield* this.#map(o, flags, mapped, o.offset, (i) => filePage(mapped, o.offset + i, o.prot, o.shared, mapped.writable));
        return;
      }
      case 'unmap':
        expect(yield* task.munmap((ARENA + o.page) * PAGE, o.count * PAGE)).toBe(0);
        space.remove(ARENA + o.page, o.count);
        return;
      case 'protect': {
        const range = space.range(ARENA + o.page, o.count);
        const refused = range.includes(undefined) ? ENOMEM : range.some((shown) => (o.prot & ~(shown as Shown).limit) !== 0) ? EACCES : 0;
        expect(0 - (yield* task.mprotect((ARENA + o.page) * PAGE, o.count * PAGE, o.prot))).toBe(refused);
        if (refused === 0) for (const shown of range) (shown as Shown).prot = o.prot;
        return;
      }
      case 'remap':
        yield* this.#remap(o);
        return;
      case 'discard': {
        const range = space.range(ARENA + o.page, o.count);
        const expected = range.includes(undefined) ? -ENOMEM : 0;
        expect(yield* task.madvise((ARENA + o.page) * PAGE, o.count * PAGE, DONTNEED)).toBe(expected);
        if (expected !== 0) return;
        for (const shown of range) if (shown?.shared === false) shown.own = shown.file === null ? [0, 0] : null;
        return;
      }
      case 'sync': {
        const expected = space.isBound(ARENA + o.page, o.count) ? 0 : -ENOMEM;
        expect(yield* task.msync((ARENA + o.page) * PAGE, o.count * PAGE, 4)).toBe(expected);
        return;
      }
      case 'break': {
        const end = BREAK + o.count;
        const grows = end > this.#break;
        const possible = !grows || space.isFree(this.#break, end - this.#break);
        expect(yield* task.brk(end * PAGE)).toBe((possible ? end : this.#break) * PAGE);
        if (!possible) return;
        if (grows) for (let p = this.#break; p < end; p += 1) space.pages.set(p, anonymousPage(R | W, false));
        else space.remove(end, this.#break - end);
        this.#break = end;
        return;
      }
      case 'load':
        yield* this.#load(this.#target(o.page), o.word);
        return;
      case 'store':
        yield* this.#store(this.#target(o.page), o.word, o.value);
        return;
      case 'execute': {
        const target = this.#target(o.page);
        const shown = space.pages.get(target);
        const errno = yield* this.#bench.l4.touch(target * PAGE, X);
        if (!this.#outOfMemory(errno)) expect(errno).toBe(refusal(shown, X));
        return;
      }
      case 'revoke':
        revoke(o.rights);
        return;
      case 'write file': {
        const written = this.#files[o.file] as ModelFile;
        if (o.offset < written.pages) yield* this.#systemCall(() => written.put(o.offset, o.word, o.value));
        return;
      }
      case 'resize':
        yield* this.#systemCall(() => this.#files[0].resize(o.count));
        return;
      case 'read file':
        yield* this.#readFile(this.#files[o.file] as ModelFile);
    }
  }

  /** A page to touch: most often one that is mapped. */
  #target(choice: number): number {
    const mapped = [...this.#space.pages.keys()];
    return choice < ARENA_PAGES - 3 && mapped.length > 0 ? (mapped[choice % mapped.length] as number) : ARENA + choice;
  }

  /** What the posix server does around a call on files. */
  *#systemCall(call: () => void): Generator<L4Wait, void> {
    const { task } = this.#bench;
    if (task.filesAreDirty) yield* task.writeFiles();
    expect(task.filesAreDirty).toBe(false);
    call();
    if (task.filesAreStale) yield* task.refreshFiles();
    expect(task.filesAreStale).toBe(false);
  }

  *#readFile(which: ModelFile): Generator<L4Wait, void> {
    yield* this.#systemCall(() => {
      for (let p = 0; p < which.pages; p += 1) expect([which.stored(p, 0), which.stored(p, 1)]).toEqual(which.truth[p]);
    });
  }

  *#map(
    o: { readonly page: number; readonly count: number; readonly prot: number; readonly at: number },
    flags: number,
    mapped: ModelFile | null,
    offset: number,
    show: (i: number) => Shown,
  ): Generator<L4Wait, void> {
    const space = this.#space;
    const start = ARENA + o.page;
    const backing = mapped === null ? null : mapped.backing(mapped.writable);
    const request = { addr: start * PAGE, len: o.count * PAGE - 5, prot: o.prot, flags, file: backing, offset: offset * PAGE };
    const result = yield* this.#bench.task.mmap(request);
    const denied = mapped !== null && !mapped.writable && (flags & SHARED) !== 0 && (o.prot & W) !== 0;
    if (denied) {
      expect(result).toBe(-EACCES);
      return;
    }
    if (o.at === NOREPLACE && !space.isFree(start, o.count)) {
      expect(result).toBe(-EEXIST);
      return;
    }
    const first = result / PAGE;
    if (o.at !== 0 || space.isFree(start, o.count)) expect(first).toBe(start);
    else expect(first * PAGE >= MAP_BASE && space.isFree(first, o.count)).toBe(true);
    space.remove(first, o.count);
    for (let i = 0; i < o.count; i += 1) space.pages.set(first + i, show(i));
  }

  *#remap(o: Operation & { op: 'remap' }): Generator<L4Wait, void> {
    const space = this.#space;
    const { count: old, newCount } = o;
    const start = ARENA + o.page;
    const target = o.mayMove && o.to >= 0 ? ARENA + o.to : -1;
    const flags = (o.mayMove ? 1 : 0) | (target >= 0 ? 2 : 0);
    const result = yield* this.#bench.task.mremap(start * PAGE, old * PAGE, newCount * PAGE, flags, Math.max(0, target) * PAGE);
    if (!space.isBound(start, old)) {
      expect(result).toBe(-EFAULT);
      return;
    }
    if (target >= 0 && start < target + newCount && target < start + old) {
      expect(result).toBe(-22);
      return;
    }
    const growsHere = space.isFree(start + old, Math.max(0, newCount - old));
    if (target < 0 && newCount > old && !growsHere && !o.mayMove) {
      expect(result).toBe(-ENOMEM);
      return;
    }
    const first = result / PAGE;
    if (target >= 0) expect(first).toBe(target);
    else if (newCount <= old || growsHere) expect(first).toBe(start);
    else expect(first * PAGE >= MAP_BASE && space.isFree(first, newCount)).toBe(true);
    const pages = space.range(start, old).slice(0, newCount) as Shown[];
    const last = pages.at(-1) as Shown;
    for (let i = 1; pages.length < newCount; i += 1) pages.push(following(last, i));
    space.remove(start, old);
    space.remove(first, newCount);
    pages.forEach((shown, i) => space.pages.set(first + i, shown));
  }

  *#load(start: number, w: number): Generator<L4Wait, void> {
    const shown = this.#space.pages.get(start);
    const result = yield* this.#bench.l4.load32(start * PAGE + (WORDS[w] as number));
    if (this.#outOfMemory(-result)) return;
    const refused = refusal(shown, R);
    expect(result).toBe(refused !== 0 ? -refused : (wordsOf(shown as Shown) as number[])[w]);
  }

  *#store(start: number, w: number, stored: number): Generator<L4Wait, void> {
    const shown = this.#space.pages.get(start);
    const errno = yield* this.#bench.l4.store32(start * PAGE + (WORDS[w] as number), stored);
    if (this.#outOfMemory(errno)) return;
    expect(errno).toBe(refusal(shown, W));
    if (errno !== 0 || shown === undefined) return;
    if (!shown.shared) shown.own ??= [...(wordsOf(shown) as number[])];
    (wordsOf(shown) as number[])[w] = stored;
  }

  /** Whether an access failed for want of memory; it may only where nothing is left to give up. */
  #outOfMemory(errno: number): boolean {
    if (errno !== ENOMEM) return false;
    expect(this.#bench.charged()).toBeGreaterThanOrEqual(this.#limit - 1); // the source of a copy cannot be given up
    return true;
  }

  /** What can be reached without a fault is what the model says, and writable only where a write would be noticed. */
  #probe(): void {
    const { l4, memory } = this.#bench;
    const bytes = new Uint8Array(4);
    const places = [...Array.from({ length: ARENA_PAGES + 12 }, (_, i) => ARENA + i), ...this.#space.pages.keys()];
    for (const start of places) {
      const found = l4.tryLoad32(start * PAGE);
      if (found < 0) continue;
      const shown = this.#space.pages.get(start);
      expect([start, shown === undefined ? -1 : refusal(shown, R)]).toEqual([start, 0]);
      expect([start, found]).toEqual([start, (wordsOf(shown as Shown) as number[])[0]]);
      new DataView(bytes.buffer).setUint32(0, found, true);
      if (l4.tryWrite(start * PAGE, bytes, 0, 4) === 0) continue;
      const map = memory.regions.find(start * PAGE);
      const storePage = start + ((map?.storeOffset ?? 0) - (map?.start ?? 0)) / PAGE;
      expect([start, refusal(shown, W), map?.store?.cache.isDirty(storePage)]).toEqual([start, 0, true]);
    }
  }
}

/** Why an access is refused, or 0. What can be accessed can be read. */
function refusal(shown: Shown | undefined, access: number): number {
  if (shown === undefined) return EFAULT;
  if (access === R ? shown.prot === 0 : (shown.prot & access) === 0) return EACCES;
  return wordsOf(shown) === null ? EIO : 0;
}

const SETUPS: readonly (readonly [string, StackSetup, number])[] = [
  ['one page at a time', {}, 4],
  ['with fault-around and clusters', { faultAround: 16, cluster: 4 }, 4],
  ['on 32 bits', { xlen: 32, faultAround: 8, cluster: 2 }, 4],
  ['with twelve pages', { pages: 12 }, 5],
  ['with nine pages, fault-around and clusters', { pages: 9, faultAround: 16, cluster: 16 }, 5],
];

test.each(SETUPS)('random calls and accesses agree with the model: %s', (_name, setup, numRuns) => {
  fc.assert(
    fc.property(fc.array(operation, { minLength: 1, maxLength: 100, size: 'max' }), (operations) => {
      const left = withStack(setup, function* (bench) {
        yield* new Comparison(bench, setup.pages ?? 256).run(operations);
      });
      expect(left).toEqual({ held: 0, lost: 0 });
    }),
    { numRuns, interruptAfterTimeLimit: 60_000 },
  );
});
