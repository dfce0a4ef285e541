/**
 * The fuzz target `walker`: the compiled walk against the judge on random tables, and every so often against the
 * project's reference walk too. A case is one walk. Its tables are made on the way it will take, entry by entry, so
 * that most walks go deep; what lies beside the way is noise.
 *
 *   campaign = noise        batch of 256 cases = layout, options        case = address, access, mode, root, entries on the way
 *
 * Compared are result, level, number of entries read, address, page size, rights, and every word of memory: the words
 * of the way after each case, all of them after each batch.
 */
import { EXEC, READ, WRITE } from '../../hostkernel/base/units.ts';
import {
  ATTR_DIRTY,
  compileLayout,
  compileWalk,
  compileWalker,
  type HardwareWalk,
  LAYOUT_NAMES,
  type LayoutDescriptor,
  layoutByName,
  type Options,
  WALK_FAULTS,
  WALK_HIT,
  type Walker,
  walkReference,
} from '../../hostkernel/machine/paging/index.ts';
import { type Batches, type Campaign, Coverage, type Failure, runBatches, type Target } from './campaign.ts';
import { EntryMaker, type Halves, LEAF, OTHER, TABLE } from './entries.ts';
import { type EntryMemory, indexOf, Judge, type Layout, lowOf, type OptionValues } from './judge.ts';
import { Random } from './random.ts';

export const WALKER_BATCH = 256;
const BYTES = 512 * 1024; // of memory that tables lie in
const BASE = 8192; // bytes before it
const GUARD = 4096; // bytes behind it
const ACCESSES = [READ, WRITE, EXEC] as const;

/** Table memory as bytes of RAM, with a list of the words that differ from the noise. */
class Arena implements EntryMemory {
  lo = 0;
  hi = 0;
  readonly words = new Int32Array((BASE + BYTES + GUARD) / 4);
  touched = 0;
  readonly touchedWords = new Int32Array(64);
  wide = false;
  swapped = false;

  read(addressLo: number, addressHi: number): boolean {
    if (addressHi !== 0 || addressLo >>> 0 >= BYTES) return false;
    const word = (BASE + addressLo) >>> 2;
    if (!this.wide) {
      this.lo = this.swapped ? swap(this.words[word]) : this.words[word];
      this.hi = 0;
    } else if (this.swapped) {
      this.lo = swap(this.words[word + 1]);
      this.hi = swap(this.words[word]);
    } else {
      this.lo = this.words[word];
      this.hi = this.words[word + 1];
    }
    return true;
  }

  write(addressLo: number, _addressHi: number, lo: number, hi: number): void {
    const word = (BASE + addressLo) >>> 2;
    if (!this.wide) this.#set(word, this.swapped ? swap(lo) : lo);
    else {
      this.#set(word, this.swapped ? swap(hi) : lo);
      this.#set(word + 1, this.swapped ? swap(lo) : hi);
    }
  }

  #set(word: number, value: number): void {
    if (this.words[word] === value) return;
    this.words[word] = value;
    this.touchedWords[this.touched] = word;
    this.touched += 1;
  }
}

function swap(word: number): number {
  return (word << 24) | ((word << 8) & 0xff0000) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

interface Plan {
  readonly layout: Layout;
  readonly judge: Judge;
  readonly options: OptionValues;
  readonly descriptor: LayoutDescriptor;
  readonly maker: EntryMaker;
  readonly rootAlign: number;
  readonly walks: readonly [Walker, Walker];
  /** The walks the machine makes, where a register names the root table. */
  readonly hardware: readonly [HardwareWalk, HardwareWalk] | null;
}

function planOf(name: string, options: OptionValues, ram: Int32Array): Plan {
  const descriptor = layoutByName(name);
  if (descriptor === null) throw new Error(`no layout ${name}`);
  const layout = descriptor as unknown as Layout; // the same JSON
  const judge = new Judge(layout, options);
  const memory = { base: BASE, frames: BYTES / 4096, i32: ram };
  const format = compileLayout(descriptor, options as Options);
  const hasRegister = layout.root.kind === 'pointer' && layout.levels[0].bits > 0;
  const walker = (mode: 'user' | 'super'): Walker =>
    compileWalker({ layout: descriptor, options: options as Options, memory, mode, keepsReferences: true });
  return {
    layout,
    judge,
    options,
    descriptor,
    maker: new EntryMaker(judge),
    rootAlign: lowOf(layout.root.mask) & -lowOf(layout.root.mask),
    walks: [walker('user'), walker('super')],
    hardware: hasRegister ? [compileWalk(format, memory, 'user'), compileWalk(format, memory, 'super')] : null,
  };
}

/** The walks of one campaign. */
class Walks implements Batches {
  readonly size = WALKER_BATCH;
  readonly seed: number;
  readonly #real = new Arena();
  readonly #judged = new Arena();
  readonly #noise = new Int32Array((BASE + BYTES + GUARD) / 4);
  readonly #plans = new Map<string, Plan>();
  readonly #referenceEvery: number;
  readonly coverage = new Coverage();
  #batch = -1;
  #plan: Plan | null = null;
  #tally = new Map<string, number>();
  referenced = 0;
  readonly #root: Halves = { lo: 0, hi: 0 };
  readonly #va: Halves = { lo: 0, hi: 0 };

  constructor(seed: number, referenceEvery: number) {
    this.seed = seed;
    this.#referenceEvery = referenceEvery;
  }

  /** Layout, options and noise of the batch that `index` is in. */
  #begin(index: number): Plan {
    const batch = Math.floor(index / WALKER_BATCH);
    if (batch === this.#batch && this.#plan !== null) return this.#plan;
    this.#settleTally();
    const random = new Random(this.seed ^ 0x5eed, batch);
    const name = LAYOUT_NAMES[batch % LAYOUT_NAMES.length] as string;
    const descriptor = layoutByName(name) as LayoutDescriptor;
    const options: Record<string, number | string> = {};
    for (const [option, value] of Object.entries(descriptor.options as OptionValues)) {
      if (typeof value === 'string') options[option] = random.pick(['0x55555555', '0xffffffff', '0x7fffffff', '0x0', '0xd1e4d1e4']);
      else if (random.oneIn(3)) options[option] = 1 - value;
    }
    const key = `${name} ${JSON.stringify(options)}`;
    let plan = this.#plans.get(key);
    if (plan === undefined) {
      plan = planOf(name, options, this.#real.words);
      if (this.#plans.size > 500) this.#plans.clear();
      this.#plans.set(key, plan);
    }
    if (this.#batch < 0) this.#makeNoise();
    for (const arena of [this.#real, this.#judged]) {
      arena.wide = plan.layout.entryBytes === 8;
      arena.swapped = plan.layout.endian === 'be';
    }
    this.#batch = batch;
    this.#plan = plan;
    return plan;
  }

  /** Noise of four kinds of pages. */
  #makeNoise(): void {
    const random = new Random(this.seed, 0xffff_ffff);
    for (let word = 0; word < this.#noise.length; word += 1) {
      const style = (word >>> 10) & 3;
      const value = random.word();
      this.#noise[word] = style === 0 ? 0 : style === 1 ? value : style === 2 ? value & random.word() & 0x7ffff : (value & 0x7f000) | 0xff;
    }
    this.#real.words.set(this.#noise);
    this.#judged.words.set(this.#noise);
  }

  /** The judge's walk. Both halves of an address space have the same root here, but the upper one may have none. */
  #judge({ judge, layout }: Plan, hasUpperRoot: boolean, access: number, supervisor: number): void {
    const [va, root] = [this.#va, this.#root];
    if (layout.va.rule === 'split' && va.hi < 0 && !hasUpperRoot) {
      judge.verdict.references = 0;
      judge.verdict.outcome = 'noncanonical';
      judge.verdict.level = judge.depth - 1;
    } else judge.walk(this.#judged, root.lo, root.hi, va.lo, va.hi, access, supervisor);
  }

  /** Runs a case; throws if the walks disagree. */
  run(index: number): void {
    const plan = this.#begin(index);
    const random = new Random(this.seed, index);
    const access = random.below(3);
    const supervisor = plan.layout.stage === 2 || !random.oneIn(4) ? 0 : 1;
    const va = this.#anyAddress(plan.layout, random);
    const root = this.#root;
    this.#build(plan, random, va, access, supervisor);
    const { judge } = plan;
    const { verdict } = judge;
    // Every other batch by the walk of the machine, which knows one root, the others by that of the laboratory.
    const hardware = Math.floor(this.#batch / LAYOUT_NAMES.length) % 2 === 0 ? plan.hardware : null;
    const hasUpperRoot = hardware === null && !random.oneIn(6);
    this.#judge(plan, hasUpperRoot, access, supervisor);
    const { walk, result, registers } = plan.walks[supervisor];
    registers.rootLo = root.lo;
    registers.rootHi = root.hi;
    registers.hasUpperRoot = hasUpperRoot;
    registers.upperRootLo = root.lo;
    registers.upperRootHi = root.hi;
    const found = hardware === null ? result : hardware[supervisor].result;
    const code =
      hardware === null ? walk(va.lo, va.hi, ACCESSES[access]) : hardware[supervisor].walk(root.lo >>> 12, va.lo, va.hi, ACCESSES[access]);

    const name = verdict.outcome;
    const got = code === WALK_HIT ? 'hit' : (WALK_FAULTS[code] as string);
    let agrees = got === name && found.level === verdict.level && found.references === verdict.references;
    if (agrees && name === 'hit') {
      agrees &&= found.frame === (verdict.paHi >>> 0) * 2 ** 20 + (verdict.paLo >>> 12) && found.pageShift === verdict.pageShift;
      agrees &&= ((found.attributes ^ verdict.rights) & 7) === 0;
    }
    const noted = hardware === null ? verdict.references : 0; // addresses
    for (let i = 0; agrees && i < noted; i += 1) {
      agrees = result.addresses[i] === (verdict.addressHi[i] >>> 0) * 2 ** 32 + (verdict.addressLo[i] >>> 0);
    }
    this.#tally.set(name, (this.#tally.get(name) ?? 0) + 1);
    if (!agrees) this.#fail(index, `the judge says ${name} ${JSON.stringify(shown(judge))}, the walk ${got} ${JSON.stringify(found)}`);
    this.#sameWords(index);
    if (index % this.#referenceEvery === 0) this.#refer(index, plan, access, supervisor, hasUpperRoot);
    this.#restore();
  }

  check(): void {
    this.#settleTally();
    if (Buffer.compare(new Uint8Array(this.#real.words.buffer), new Uint8Array(this.#noise.buffer)) === 0) return;
    throw new Error('a walk wrote memory where no entry of it was');
  }

  renew(): void {
    this.#batch = -1;
  }

  #settleTally(): void {
    const layout = this.#plan?.layout.id ?? '';
    for (const [outcome, times] of this.#tally) this.coverage.count(layout, outcome, times);
    this.#tally.clear();
  }

  #fail(index: number, why: string): never {
    const plan = this.#plan as Plan;
    const options = JSON.stringify(plan.options);
    const { lo, hi } = this.#va;
    const at = `${hex(hi, lo)}, root ${hex(this.#root.hi, this.#root.lo)}`;
    const entries = Array.from({ length: plan.judge.verdict.references }, (_, i) => {
      const address = plan.judge.verdict.addressLo[i];
      this.#judged.read(address, 0);
      return `\n  at 0x${(address >>> 0).toString(16)}: ${hex(this.#judged.hi, this.#judged.lo)} afterwards`;
    });
    this.#restore();
    throw new Error(`${plan.layout.id} ${options}, case ${index}, va ${at}: ${why}${entries.join('')}`);
  }

  /** The words of the way are the same in both memories. */
  #sameWords(index: number): void {
    for (const arena of [this.#real, this.#judged]) {
      for (let i = 0; i < arena.touched; i += 1) {
        const word = arena.touchedWords[i];
        if (this.#real.words[word] !== this.#judged.words[word]) {
          this.#fail(index, `word ${word - BASE / 4} is ${hex(0, this.#real.words[word])}, not ${hex(0, this.#judged.words[word])}`);
        }
      }
    }
  }

  #restore(): void {
    for (const arena of [this.#real, this.#judged]) {
      for (let i = 0; i < arena.touched; i += 1) {
        const word = arena.touchedWords[i];
        this.#real.words[word] = this.#noise[word];
        this.#judged.words[word] = this.#noise[word];
      }
      arena.touched = 0;
    }
  }

  /** The case once more by the reference walk, and whether a translation called dirty takes a write without a mark. */
  #refer(index: number, plan: Plan, access: number, supervisor: number, hasUpperRoot: boolean): void {
    this.referenced += 1;
    this.#restore();
    const repeat = new Random(this.seed, index);
    repeat.below(3);
    if (plan.layout.stage !== 2) repeat.oneIn(4);
    const va = this.#anyAddress(plan.layout, repeat);
    this.#build(plan, repeat, va, access, supervisor);
    const root = this.#root;
    const memory = this.#real;
    let outside = false;
    const wanted = walkReference(
      plan.descriptor,
      {
        read: (address) => {
          outside ||= !memory.read(address.lo | 0, address.hi | 0);
          return { lo: memory.lo >>> 0, hi: memory.hi >>> 0 };
        },
        write: (address, entry) => memory.write(address.lo | 0, address.hi | 0, entry.lo | 0, entry.hi | 0),
      },
      {
        root: { lo: root.lo >>> 0, hi: root.hi >>> 0 },
        ...(hasUpperRoot ? { root2: { lo: root.lo >>> 0, hi: root.hi >>> 0 } } : {}),
        va: { lo: va.lo >>> 0, hi: va.hi >>> 0 },
        access: 'rwx'[access] as 'r',
        mode: supervisor === 1 ? 'super' : 'user',
        options: plan.options as Options,
      },
    );
    const { verdict } = plan.judge;
    this.#judge(plan, hasUpperRoot, access, supervisor);
    if (outside) return; // the reference knows no end of memory
    const outcome = wanted.result === 'hit' ? 'hit' : wanted.kind;
    let agrees = outcome === verdict.outcome && wanted.level === verdict.level && wanted.refs.length === verdict.references;
    if (wanted.result === 'hit') {
      agrees &&= wanted.pa.lo >>> 0 === verdict.paLo >>> 0 && wanted.pa.hi >>> 0 === verdict.paHi >>> 0;
      agrees &&= wanted.pageShift === verdict.pageShift;
    }
    if (!agrees)
      this.#fail(index, `the judge says ${verdict.outcome} ${JSON.stringify(shown(plan.judge))}, the reference ${JSON.stringify(wanted)}`);
    this.#sameWords(index);
    if (outcome === 'hit') this.#checkDirty(index, plan, supervisor);
  }

  /** A translation that the walk calls writable and dirty: a write through it would have changed nothing. */
  #checkDirty(index: number, plan: Plan, supervisor: number): void {
    const { walk, result } = plan.walks[supervisor];
    const va = this.#va;
    const root = this.#root;
    const code = walk(va.lo, va.hi, READ);
    if (code !== WALK_HIT || (result.attributes & (WRITE | ATTR_DIRTY)) !== (WRITE | ATTR_DIRTY)) return;
    plan.judge.walk(this.#judged, root.lo, root.hi, va.lo, va.hi, 0, supervisor);
    const before = this.#judged.touched;
    const first = plan.judge.walk(this.#judged, root.lo, root.hi, va.lo, va.hi, 1, supervisor).outcome;
    if (first !== 'hit') this.#fail(index, `called writable and dirty, but a write gives ${first}`);
    // What is marked above the leaf on a write may still be missing: only the leaf is cached.
    const leaf = plan.judge.verdict.addressLo[plan.judge.verdict.references - 1];
    for (let i = before; i < this.#judged.touched; i += 1) {
      if (this.#judged.touchedWords[i] >>> 1 === (BASE + leaf) >>> 3) this.#fail(index, 'called dirty, but a write marks the leaf');
    }
  }

  #anyAddress(layout: Layout, random: Random): Halves {
    const { bits, rule: kind } = layout.va;
    const va = this.#va;
    va.lo = random.word() | 0;
    va.hi = bits > 32 ? random.below(2 ** (bits - 32)) | 0 : 0;
    if (random.oneIn(8)) va.lo |= 0xffff_f000; // the end of something
    if ((kind === 'sign' && ((va.hi >>> (bits - 33)) & 1) === 1) || (kind === 'split' && random.oneIn(2))) va.hi |= -1 << (bits - 32);
    if (kind === 'maskzero' && random.oneIn(3)) va.hi |= random.below(4) << 30;
    if (random.oneIn(40) && bits > 32) va.hi = random.word() | 0;
    else if (random.oneIn(40)) va.hi = random.word() | 0;
    if (kind === 'trunc') va.hi = 0; // the address type has no more bits
    return va;
  }

  /** Writes the entries a walk for `va` will meet into both memories, and chooses the root. */
  #build(plan: Plan, random: Random, va: Halves, access: number, supervisor: number): void {
    const { layout, maker } = plan;
    const grant = supervisor * 3 + access;
    const isValue = layout.root.kind === 'value';
    const { entry } = maker;
    const root = this.#root;
    let table = 0;
    if (!isValue) {
      const align = Math.max(4096, plan.rootAlign);
      table = random.below(BYTES / align) * align;
      root.lo = table;
      root.hi = 0;
      if (random.oneIn(40)) root.lo = (BYTES + random.below(16) * align) | 0;
    }
    const depth = layout.levels.length;
    for (let at = 0; at < depth; at += 1) {
      const { lo: shift, bits } = layout.levels[at];
      const address = table + indexOf(va.lo, va.hi, shift, bits) * layout.entryBytes;
      let kind = at === depth - 1 ? (random.oneIn(12) ? OTHER : LEAF) : random.oneIn(6) ? LEAF : random.oneIn(20) ? OTHER : TABLE;
      if (!maker.has(at, kind)) kind = maker.has(at, TABLE) ? TABLE : LEAF;
      const align = Math.min(65536, kind === TABLE ? maker.alignment(at) : layout.entryBytes);
      const target = random.oneIn(50) ? BYTES : random.below(BYTES / align) * align; // or just beyond the end
      const points = maker.make(at, kind, grant, kind === LEAF ? -1 : target, random);
      if (isValue && at === 0) {
        root.lo = entry.lo;
        root.hi = entry.hi & 0xf_ffff; // a root is a number below 2^53
      } else if (!this.#store(address, layout, entry)) return;
      if (!points) return;
      table = target;
      if (kind === TABLE) continue;
      // Behind an indirect entry lies a leaf at its very address.
      maker.make(at, random.oneIn(8) ? OTHER : LEAF, grant, -1, random);
      this.#store(table, layout, entry);
      return;
    }
  }

  /** Writes an entry into both memories. */
  #store(address: number, layout: Layout, { lo, hi }: Halves): boolean {
    if (address > BYTES - layout.entryBytes) return false;
    this.#real.write(address, 0, lo, hi);
    this.#judged.write(address, 0, lo, hi);
    return true;
  }
}

function hex(hi: number, lo: number): string {
  return `0x${((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)).toString(16)}`;
}

function shown({ verdict }: Judge): unknown {
  const { level, references, paHi, paLo, pageShift, rights } = verdict;
  return { level, references, pa: hex(paHi, paLo), pageShift, rights };
}

export interface WalkerOptions extends Campaign {
  /** Every so many cases are walked by the reference too. */
  readonly referenceEvery?: number;
}

export function fuzzWalker(options: WalkerOptions): { failures: Failure[]; coverage: Coverage; referenced: number } {
  const walks = new Walks(options.seed, options.referenceEvery ?? 64);
  const failures = runBatches(options, walks);
  return { failures, coverage: walks.coverage, referenced: walks.referenced };
}

export const WALKER: Target = {
  what: 'compiled walk, judge and reference walk over random tables: all layouts and options, user and supervisor',
  batch: 1,
  run: (campaign) => {
    const { failures, coverage, referenced } = fuzzWalker(campaign);
    return { failures, coverage: `${coverage.text()}\n${referenced} of them by the reference walk too` };
  },
};
