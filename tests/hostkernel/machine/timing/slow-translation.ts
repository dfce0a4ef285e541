/**
 * The translation of `translation.ts` once more, slow and plain: lists instead of structures, the reference interpreter for
 * what entries mean, bigints where they are easier. Structures are fully associative with true LRU, walk caches are split
 * translation caches, there are no data caches. It shares no code with what it is compared with.
 */
import { READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  ATTR_DIRTY,
  ATTR_GLOBAL,
  type LayoutDescriptor,
  type PageTableFormat,
  type ReferenceMemory,
  type U64,
  walkReference,
  type WalkStep,
} from '../../../../hostkernel/machine/paging/index.ts';
import { entryShapeOf, type TableMemory } from '../../../../hostkernel/machine/timing/index.ts';

/** A list with the newest first. */
class Lru<T extends { readonly key: string }> {
  readonly entries: T[] = [];
  readonly capacity: number;
  constructor(capacity: number) {
    this.capacity = capacity;
  }
  find(key: string): T | undefined {
    return this.entries.find((entry) => entry.key === key);
  }
  use(entry: T): void {
    this.remove(({ key }) => key === entry.key);
    this.entries.unshift(entry);
    this.entries.length = Math.min(this.entries.length, this.capacity);
  }
  remove(isGone: (entry: T) => boolean): void {
    const kept = this.entries.filter((entry) => !isGone(entry));
    this.entries.splice(0, this.entries.length, ...kept);
  }
}

interface Mapped {
  readonly key: string;
  readonly owner: string; // space, or 'global'
  readonly first: number; // page
  readonly pages: number;
  readonly delta: number; // frame - page
  readonly attributes: number;
}

/** An array of translations of all sizes, under an owner. */
class Translations {
  readonly list: Lru<Mapped>;
  hits = 0;
  accesses = 0;
  constructor(capacity: number) {
    this.list = new Lru(capacity);
  }
  lookup(owner: string, page: number, needed: number): Mapped | null {
    this.accesses++;
    for (let shift = 0; shift < 52; shift++) {
      for (const who of [owner, 'global']) {
        const found = this.list.find(`${who} ${shift} ${Math.floor(page / 2 ** shift)}`);
        if (found === undefined || (found.attributes & needed) !== needed) continue;
        this.hits++;
        this.list.use(found);
        return found;
      }
    }
    return null;
  }
  fill(owner: string, page: number, frame: number, shift: number, attributes: number): void {
    const pages = 2 ** (shift - 12);
    const who = (attributes & ATTR_GLOBAL) !== 0 ? 'global' : owner;
    const first = page - (page % pages);
    this.list.use({ key: `${who} ${shift - 12} ${first / pages}`, owner: who, first, pages, delta: frame - page, attributes });
  }
}

interface Pointer {
  readonly key: string;
  readonly space: number;
  readonly first: number;
  readonly pages: number;
}

export interface SlowMachine {
  readonly l1: number;
  readonly l2: number;
  readonly pwc: number; // entries per level, 0: none
  readonly hostPwc: number;
  readonly ntlb: number;
  readonly latencies: { readonly l1: number; readonly l2: number; readonly pwc: number; readonly ntlb: number; readonly reference: number };
}

class SlowDimension {
  readonly layout: LayoutDescriptor;
  readonly format: PageTableFormat;
  readonly memory: TableMemory;
  readonly pwc: Lru<Pointer>[]; // by level; empty: none
  readonly pwcHits: number[];
  readonly pwcAccesses: number[];
  readonly nested: Translations | null;
  root: U64 = { lo: 0, hi: 0 };

  constructor(format: PageTableFormat, memory: TableMemory, pwc: number, ntlb: number) {
    this.layout = format.descriptor;
    this.format = format;
    this.memory = memory;
    this.pwc = pwc === 0 ? [] : Array.from({ length: format.levels }, () => new Lru<Pointer>(pwc));
    this.pwcHits = this.pwc.map(() => 0);
    this.pwcAccesses = this.pwc.map(() => 0);
    this.nested = ntlb === 0 ? null : new Translations(ntlb);
  }
}

export interface Refusal {
  readonly dimension: number;
  readonly kind: string;
  readonly level: number;
  readonly page: number;
  readonly implicit: boolean;
}
interface Found {
  readonly frame: number;
  readonly shift: number;
  readonly attributes: number;
}
class Refused extends Error {
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    super(refusal.kind);
    this.refusal = refusal;
  }
}

const addressOf = ({ lo, hi }: U64): number => hi * 2 ** 32 + lo;

export class SlowTranslation {
  readonly dimensions: readonly SlowDimension[];
  readonly machine: SlowMachine;
  readonly l1: Translations;
  readonly l2: Translations;
  space = 0;
  walks = 0;
  refused = 0;
  references = 0;
  tlbCycles = 0;
  walkCycles = 0;
  /** (stage, level) of every reference so far. */
  readonly byStage = new Map<string, number>();
  #pending: { readonly dimension: SlowDimension; readonly address: number; readonly entry: U64; readonly before: U64 }[] = [];
  #unmarked: { readonly dimension: SlowDimension; readonly page: number }[] = [];

  constructor(machine: SlowMachine, dimensions: readonly { readonly format: PageTableFormat; readonly memory: TableMemory }[]) {
    this.machine = machine;
    this.l1 = new Translations(machine.l1);
    this.l2 = new Translations(machine.l2);
    this.dimensions = dimensions.map(
      ({ format, memory }, i) => new SlowDimension(format, memory, i === 0 ? machine.pwc : machine.hostPwc, i === 0 ? 0 : machine.ntlb),
    );
  }

  access(page: number, offset: number, access: number): Found | Refusal {
    const needed = (access & WRITE) !== 0 ? access | ATTR_DIRTY : access;
    const owner = String(this.space);
    const { latencies } = this.machine;
    this.tlbCycles += latencies.l1;
    const first = this.l1.lookup(owner, page, needed);
    if (first !== null) return { frame: page + first.delta, shift: 12 + Math.log2(first.pages), attributes: first.attributes };
    this.tlbCycles += latencies.l2;
    const second = this.l2.lookup(owner, page, needed);
    if (second !== null) {
      const found = { frame: page + second.delta, shift: 12 + Math.log2(second.pages), attributes: second.attributes };
      this.l1.fill(owner, page, found.frame, found.shift, found.attributes);
      return found;
    }
    this.walks++;
    this.#pending = [];
    this.#unmarked = [];
    try {
      const found = this.#walk(0, page, offset, access, true, false);
      for (const { dimension, address, entry, before } of this.#pending) this.#mark(dimension, address, before, entry);
      this.l2.fill(owner, page, found.frame, found.shift, found.attributes);
      this.l1.fill(owner, page, found.frame, found.shift, found.attributes);
      return found;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.refused++;
      for (const { dimension, page: forgotten } of this.#unmarked) this.#forget(dimension, forgotten, 1);
      return error.refusal;
    }
  }

  /** The entry as it is now gets the bits that `entry` has beyond `before`, and loses those it lacks. */
  #mark({ memory, format }: SlowDimension, address: number, before: U64, entry: U64): void {
    const shape = entryShapeOf(format);
    memory.read(address, shape);
    const change = (now: number, from: number, to: number) => (now | (to & ~from)) & ~(from & ~to);
    memory.write(address, shape, change(memory.lo, before.lo, entry.lo), change(memory.hi, before.hi, entry.hi));
  }

  #walk(number: number, page: number, offset: number, access: number, isData: boolean, isQuiet: boolean): Found {
    const dimension = this.dimensions[number];
    const { layout, memory, format } = dimension;
    const shape = entryShapeOf(format);
    const image: ReferenceMemory = {
      read: (address) => {
        if (!memory.holds(addressOf(address))) return { lo: 0, hi: 0 };
        memory.read(addressOf(address), shape);
        return { lo: memory.lo >>> 0, hi: memory.hi >>> 0 };
      },
      write: () => undefined,
    };
    const va = { lo: (((page % 2 ** 20) * 4096) | offset) >>> 0, hi: Math.floor(page / 2 ** 20) };
    const letter = (access & WRITE) !== 0 ? 'w' : (access & READ) !== 0 ? 'r' : 'x';
    const { steps, ...walked } = walkReference(layout, image, { root: dimension.root, va, access: letter, mode: 'user' });
    const refuse = (kind: string, level: number): never => {
      throw new Refused({ dimension: number, kind, level, page, implicit: !isData });
    };
    if (walked.result === 'fault' && walked.kind === 'noncanonical') return refuse('noncanonical', walked.level);
    const space = number === 0 ? this.space : 0;
    const from = isQuiet ? Infinity : this.#begin(dimension, space, page);
    const path: { readonly step: WalkStep; readonly isUnmarked: boolean }[] = [];
    const owned: { readonly step: WalkStep; readonly address: number }[] = [];
    let isDone = false;
    let unmarked = false;
    try {
      for (const step of steps.filter(({ level }) => level <= from)) {
        const address = step.address === null ? 0 : addressOf(step.address);
        if (step.address !== null) {
          if (number < this.dimensions.length - 1) {
            this.#resolve(number + 1, Math.floor(address / 4096), address % 4096, READ, false, isQuiet);
          }
          if (!memory.holds(address)) return refuse('bus', step.level);
          if (!isQuiet) this.#count(number, step.level, isData);
        }
        // Formats that mark on the way down do so also where they then refuse.
        const isEarly = layout.ad.set.some(({ pre }) => pre === 1);
        const early = isEarly ? walked.writes.find((write) => step.address !== null && addressOf(write.address) === address) : undefined;
        if (early !== undefined) {
          this.#mayWrite(number + 1, address);
          this.#mark(dimension, address, { lo: 0, hi: 0 }, early.entry);
        }
        if (step.decision === 'refuse') return refuse(step.kind ?? '', step.level);
        if (step.written !== null && !isEarly) {
          unmarked = true;
          owned.push({ step, address });
        }
        if (step.decision === 'follow') path.push({ step, isUnmarked: step.written !== null && !isEarly });
      }
      for (const { step, address } of owned) {
        this.#mayWrite(number + 1, address);
        if (step.written !== null) this.#pending.push({ dimension, address, entry: step.written, before: step.entry });
      }
      if (walked.result !== 'hit') throw new Error('a fault without a step that refuses');
      const frame = walked.pa.hi * 2 ** 20 + Math.floor(walked.pa.lo / 4096);
      const last = steps[steps.length - 1];
      const own = this.#attributes(dimension, last, steps);
      if (number === this.dimensions.length - 1) {
        isDone = true;
        return { frame, shift: walked.pageShift, attributes: own };
      }
      const below = this.#resolve(number + 1, frame, offset, access, isData, isQuiet);
      isDone = true;
      const rights = READ | WRITE | 4 | ATTR_DIRTY;
      return { frame: below.frame, shift: Math.min(walked.pageShift, below.shift), attributes: own & (below.attributes | ~rights) };
    } finally {
      if (!isQuiet) {
        for (const one of path) if (isDone || !one.isUnmarked) this.#learn(dimension, space, page, one.step.level);
        if (isDone && unmarked && number > 0) this.#unmarked.push({ dimension, page });
      }
    }
  }

  /** Of a hit: what the path permits, as the codec says of its last entry after the walk, cut down to what all grant. */
  #attributes({ format }: SlowDimension, last: WalkStep, steps: readonly WalkStep[]): number {
    const entry = last.written ?? last.entry;
    const status = format.attributes(last.level, entry.lo, entry.hi) & (16 | ATTR_DIRTY | ATTR_GLOBAL);
    const granted = steps[steps.length - 1].granted;
    const rights = (granted.includes('ur') ? 1 : 0) | (granted.includes('uw') ? 2 : 0) | (granted.includes('ux') ? 4 : 0);
    return status | rights | (rights === 0 ? 0 : 8);
  }

  #resolve(number: number, page: number, offset: number, access: number, isData: boolean, isQuiet: boolean): Found {
    const { nested } = this.dimensions[number];
    if (nested === null || isQuiet) return this.#walk(number, page, offset, access, isData, isQuiet);
    this.walkCycles += this.machine.latencies.ntlb;
    const known = nested.lookup('vm', page, (access & WRITE) !== 0 ? access | ATTR_DIRTY : access);
    if (known !== null) return { frame: page + known.delta, shift: 12 + Math.log2(known.pages), attributes: known.attributes };
    const found = this.#walk(number, page, offset, access, isData, false);
    nested.fill('vm', page, found.frame, found.shift, found.attributes);
    return found;
  }

  #mayWrite(number: number, address: number): void {
    if (number < this.dimensions.length) this.#walk(number, Math.floor(address / 4096), address % 4096, WRITE, false, true);
  }

  #count(number: number, level: number, isData: boolean): void {
    const stage = number === 0 ? 0 : 2 * number - (isData ? 0 : 1);
    const key = `${stage} ${level}`;
    this.references++;
    this.walkCycles += this.machine.latencies.reference;
    this.byStage.set(key, (this.byStage.get(key) ?? 0) + 1);
  }

  #begin({ pwc, pwcHits, pwcAccesses, format }: SlowDimension, space: number, page: number): number {
    if (pwc.length === 0) return Infinity;
    this.walkCycles += this.machine.latencies.pwc;
    for (let level = 1; level < format.levels; level++) {
      pwcAccesses[level]++;
      const found = pwc[level].find(`${space} ${Math.floor(page / format.span(level))}`);
      if (found === undefined) continue;
      pwcHits[level]++;
      pwc[level].use(found);
      return level - 1;
    }
    return Infinity;
  }

  #learn({ pwc, format }: SlowDimension, space: number, page: number, level: number): void {
    if (level >= pwc.length) return;
    const pages = format.span(level);
    const prefix = Math.floor(page / pages);
    pwc[level].use({ key: `${space} ${prefix}`, space, first: prefix * pages, pages });
  }

  #forget({ pwc, nested }: SlowDimension, page: number, pages: number): void {
    const overlaps = (entry: { readonly first: number; readonly pages: number }) =>
      entry.first < page + pages && page < entry.first + entry.pages;
    for (const list of pwc) list.remove(overlaps);
    nested?.list.remove(overlaps);
  }

  /** Pages of a space are mapped otherwise, tables included. */
  invalidate(space: number, page: number, pages: number): void {
    for (const { list } of [this.l1, this.l2]) {
      list.remove(
        ({ owner, first, pages: size }) => (owner === String(space) || owner === 'global') && first < page + pages && page < first + size,
      );
    }
    for (const list of this.dimensions[0].pwc) list.remove((entry) => entry.space === space);
  }

  /** Pages of the input of a host are mapped otherwise. */
  invalidateNested(number: number, page: number, pages: number): void {
    for (const { list } of [this.l1, this.l2]) list.remove(() => true);
    for (const list of this.dimensions[0].pwc) list.remove(() => true);
    this.dimensions.forEach((dimension, i) => {
      if (i === number) this.#forget(dimension, page, pages);
      else if (i > 0 && i < number) this.#forget(dimension, 0, Infinity);
    });
  }
}
