/**
 * Test vectors from a layout's own rules and a seed: page tables of a few entries, an access, and what the reference
 * walk says of it. Every class of entry on every level is aimed at, with every option turned over once; every bit of an
 * entry that points or maps is turned over, those that rules look at for every kind of access. Then more of the same at
 * random. The same seed gives the same vectors, byte for byte.
 *
 *   root --> entry that points (random class, random free bits) --> ... --> the entry aimed at
 */
import {
  type AddressPart,
  type ClassPattern,
  classesOf,
  type Condition,
  entriesOfClass,
  frameParts,
  type Grant,
  grantLists,
  inForce,
  type LayoutDescriptor,
  type Options,
  tableParts,
} from '../../hostkernel/machine/paging/index.ts';
import { byReference, type Question } from './judge.ts';
import type { Vector } from './vectors.ts';

/** What a vector is meant to show. */
interface Aim {
  readonly level: number; // place in layout.levels; -1: an address outside what the layout expresses
  readonly at: number; //    place in the level's list of classes
  readonly options: Options; // those that differ from the defaults
  readonly turn: number; //     of accesses and modes
  readonly flip: bigint; //     a bit of the entry to be turned over, 0: none
}

const ACCESSES = ['r', 'w', 'x'] as const;
const MODES = ['user', 'super'] as const;

/** Makes vectors for `layout`. Without a count, as many as it takes to aim at everything once. */
export function makeVectors(layout: LayoutDescriptor, seed: number, count?: number): readonly Vector[] {
  const maker = new Maker(layout, seed);
  const aims = aimsOf(layout);
  const vectors: Vector[] = [];
  const wanted = count ?? aims.length;
  for (let i = 0; vectors.length < wanted && i < 4 * wanted + 100; i++) {
    const aim = i < aims.length ? aims[i] : { ...aims[maker.below(aims.length)], turn: i };
    const vector = maker.make(aim, `${layout.id}/${String(vectors.length + 1).padStart(4, '0')}`);
    if (vector !== null) vectors.push(vector);
  }
  return vectors;
}

/** Everything to aim at: all classes by default, leaves by each access, then what each option changes. */
function aimsOf(layout: LayoutDescriptor): readonly Aim[] {
  const switches = Object.keys(layout.options).filter((name) => typeof layout.options[name] === 'number');
  const settings: Options[] = [{}, ...switches.map((name) => ({ [name]: layout.options[name] === 1 ? 0 : 1 }) as Options)];
  const aims: Aim[] = [];
  const aim = (level: number, at: number, options: Options, flip = 0n, turn = aims.length): void =>
    void aims.push({ level, at, options, turn, flip });
  for (const options of settings) {
    const all = { ...layout.options, ...options };
    layout.levels.forEach((level, i) => {
      for (const [at, pattern] of classesOf(layout, level.name, all)) {
        if (entriesOfClass(layout, level.name, at, all) === null) continue;
        const times = pattern.as !== 'leaf' ? 1 : Object.keys(options).length === 0 ? 12 : 6;
        for (let n = 0; n < times; n++) aim(i, at, options, 0n, n + aims.length);
      }
    });
    if (layout.va.rule !== 'trunc' && layout.va.bits < 64) aim(-1, 0, options);
  }
  const looked = lookedAt(layout);
  for (const options of settings) {
    const all = { ...layout.options, ...options };
    const isDefault = Object.keys(options).length === 0;
    layout.levels.forEach((level, i) => {
      for (const [at, pattern] of classesOf(layout, level.name, all)) {
        if ((pattern.as !== 'leaf' && pattern.as !== 'table') || entriesOfClass(layout, level.name, at, all) === null) continue;
        for (let bit = 1n; bit < 2n ** BigInt(8 * layout.entryBytes); bit <<= 1n) {
          if (pattern.as === 'table' && (addressBits(tableParts(layout, level.name)) & bit) !== 0n) continue; // it would point anywhere
          // Where a bit decides, six accesses that would be granted without it; elsewhere, and with other options, one.
          const times = !isDefault ? Number((looked & bit) !== 0n) : (looked & bit) !== 0n ? 6 : 1;
          for (let n = 0; n < times; n++) aim(i, at, options, bit, times === 1 ? aims.length : n);
        }
      }
    });
  }
  return aims;
}

/** The bits of an entry that make an address. */
const addressBits = (parts: readonly AddressPart[]): bigint => parts.reduce((bits, part) => bits | BigInt(part.mask), 0n);

/** Bits that some rule looks at, whatever they are: those of permissions, of accessed and dirty state, and of classes. */
function lookedAt(layout: LayoutDescriptor): bigint {
  const { classify, perm, ad } = layout;
  const rules = [
    ...Object.values(classify).flat(),
    ...(perm.entry ?? []),
    ...(perm.tableEntry ?? []),
    ...Object.values(perm.entryAt ?? {}).flat(),
    ...ad.fault,
    ...ad.set,
  ];
  return rules.reduce((bits, rule) => bits | BigInt(rule.mask ?? '0x0'), 0n);
}

class Maker {
  readonly #layout: LayoutDescriptor;
  readonly #width: bigint; // all bits of an entry
  #state: number;
  #next = 0n; // where the next table goes

  constructor(layout: LayoutDescriptor, seed: number) {
    this.#layout = layout;
    this.#width = 2n ** BigInt(layout.entryBytes * 8) - 1n;
    this.#state = seed >>> 0;
  }

  /** 32 random bits. */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return (z ^ (z >>> 14)) >>> 0;
  }

  below(limit: number): number {
    return this.#random() % limit;
  }

  #bits(): bigint {
    const style = this.below(8);
    if (style === 0) return 0n;
    const bits = (BigInt(this.#random()) << 32n) | BigInt(this.#random());
    return style < 3 ? bits & ((BigInt(this.#random()) << 32n) | BigInt(this.#random())) : bits;
  }

  /** A vector for the aim, or null if no table can be laid out for it. */
  make(aim: Aim, id: string): Vector | null {
    const layout = this.#layout;
    const options = { ...layout.options, ...aim.options };
    const { turn, flip } = aim;
    const access = ACCESSES[turn % 3];
    const mode = MODES[Math.floor(turn / 3) % 2];
    const wanted = `${mode[0]}${access}` as Grant;
    const friendly = flip !== 0n || turn % 4 !== 3;
    const va = this.#address(aim.level < 0);
    const mem: [bigint, bigint][] = [];
    this.#next = layout.arch === 'riscv' ? 0x8020_0000n : 0x10_0000n;

    let root = 0n;
    let table = 0n;
    const hasValue = layout.root.kind === 'value';
    if (layout.root.kind === 'pointer') {
      const mask = BigInt(layout.root.mask);
      table = this.#place(0, mask);
      if ((table & mask) !== table) return null;
      root = table;
    }
    for (let i = 0; i < layout.levels.length; i++) {
      const level = layout.levels[i];
      const at = this.#choose(i, aim, options);
      if (at === null) return null;
      const pattern = layout.classify[level.name][at];
      const parts = partsOf(layout, level.name, pattern);
      const target =
        pattern.as === 'table'
          ? this.#place(i + 1, undefined, parts)
          : pattern.as === 'indirect'
            ? this.#place(i, undefined, parts, layout.entryBytes)
            : null;
      const within = target === null ? undefined : encode(parts, target);
      if (within === null) return null;
      const grants =
        friendly && (pattern.as === 'leaf' || pattern.as === 'table') ? this.#granting(level.name, pattern.as, wanted, options) : [];
      const cube =
        entriesOfClass(layout, level.name, at, options, grants, within) ?? entriesOfClass(layout, level.name, at, options, [], within);
      if (cube === null) return null;
      const free = flip === 0n ? this.#bits() : 0n; // alone, so that nothing else is to blame
      const entry = ((cube.value | (free & ~cube.mask)) ^ (i === aim.level ? flip : 0n)) & this.#width;
      const index = level.bits === 0 ? 0n : (va >> BigInt(level.lo)) & (2n ** BigInt(level.bits) - 1n);
      if (i === 0 && hasValue) root = entry;
      else mem.push([table + index * BigInt(layout.entryBytes), entry]);
      if (pattern.as === 'indirect') {
        mem.push([target as bigint, this.#real(level.name, options)]);
        break;
      }
      if (pattern.as !== 'table') break;
      table = target as bigint;
    }
    const { rule } = layout.va;
    const question: Question = {
      id,
      layout: layout.id,
      ...(Object.keys(aim.options).length === 0 ? {} : { opts: aim.options }),
      root: hex(root),
      ...(rule === 'split' ? { root2: hex(root) } : {}),
      mem: mem.map(([address, value]) => [hex(address), hex(value)] as const),
      va: hex(va),
      access,
      mode,
    };
    return { ...question, expect: byReference(layout, question) };
  }

  /** A class for the entry on a level: the one aimed at, else one that leads on. */
  #choose(i: number, aim: Aim, options: Options): number | null {
    if (i === aim.level) return aim.at;
    const level = this.#layout.levels[i].name;
    const isLast = i === this.#layout.levels.length - 1;
    const usable = (as: ClassPattern['as']): number[] =>
      classesOf(this.#layout, level, options)
        .filter(([at, pattern]) => pattern.as === as && entriesOfClass(this.#layout, level, at, options) !== null)
        .map(([at]) => at);
    const leads = isLast ? usable('leaf') : usable('table');
    const choices = leads.length === 0 && i > aim.level ? usable('leaf') : leads;
    return choices.length === 0 ? null : choices[this.below(choices.length)];
  }

  /** Where the table of level `i` goes: aligned as its pointer and its size want. */
  #place(i: number, mask: bigint | undefined, parts?: readonly AddressPart[], bytes?: number): bigint {
    const level = this.#layout.levels[i];
    const size = BigInt(bytes ?? this.#layout.entryBytes * 2 ** level.bits);
    const reach = mask ?? (parts ?? []).reduce((bits, part) => bits | (BigInt(part.mask) << BigInt(part.shl)), 0n);
    const step = reach === 0n ? size : reach & -reach;
    const align = step > size ? step : size;
    const at = ((this.#next + align - 1n) / align) * align;
    this.#next = at + size;
    return at;
  }

  /** Conditions under which an entry grants the access: one of the rules that do, at random. */
  #granting(level: string, as: 'leaf' | 'table', wanted: Grant, options: Options): readonly Condition[] {
    const rules = grantLists(this.#layout, level, as).flatMap(({ list }) =>
      list.filter((rule) => rule.grant === wanted && inForce(rule, options)),
    );
    return rules.length === 0 ? [] : [{ pattern: rules[this.below(rules.length)], matches: true }];
  }

  /** What an indirect entry leads to: any entry of the level, mostly a leaf. */
  #real(level: string, options: Options): bigint {
    const classes = classesOf(this.#layout, level, options);
    const leaves = classes.filter(([, pattern]) => pattern.as === 'leaf');
    const from = this.below(4) > 0 && leaves.length > 0 ? leaves : classes;
    const cube = entriesOfClass(this.#layout, level, from[this.below(from.length)][0], options);
    return cube === null ? 0n : (cube.value | (this.#bits() & ~cube.mask)) & this.#width;
  }

  /** An address: the edges of each index as often as its middle. */
  #address(outside: boolean): bigint {
    const { levels, va } = this.#layout;
    let address = BigInt(this.#random()) & (2n ** BigInt(levels[levels.length - 1].lo) - 1n);
    for (const level of levels) {
      const style = this.below(4);
      const most = 2 ** level.bits - 1;
      const index = style === 0 ? 0 : style === 1 ? most : this.below(most + 1);
      address |= BigInt(index) << BigInt(level.lo);
    }
    const bits = BigInt(va.bits);
    const ones = (2n ** 64n - 1n) & ~(2n ** bits - 1n);
    if (va.rule === 'trunc' || va.bits >= 64) return address;
    if (outside)
      return address | (1n << (bits + BigInt(this.below(64 - va.bits)))) | (va.rule === 'maskzero' ? BigInt(va.mask ?? '0x0') : 0n);
    if (va.rule === 'sign') return (address >> (bits - 1n)) & 1n ? address | ones : address;
    if (va.rule === 'split') return this.below(2) === 0 ? address : address | ones;
    if (va.rule === 'maskzero') return address | (this.#bits() & ones & ~BigInt(va.mask ?? '0x0'));
    return address;
  }
}

const hex = (bits: bigint): `0x${string}` => `0x${bits.toString(16)}`;

function partsOf(layout: LayoutDescriptor, level: string, pattern: ClassPattern): readonly AddressPart[] {
  if (pattern.as === 'table') return tableParts(layout, level);
  if (pattern.as === 'indirect') return pattern.ptr ?? [];
  return pattern.as === 'leaf' ? frameParts(layout, level, pattern) : [];
}

/** The bits of an entry that make `address`, as settled bits; null if the parts cannot make it. */
function encode(parts: readonly AddressPart[], address: bigint): { mask: bigint; value: bigint } | null {
  let [mask, value, made] = [0n, 0n, 0n];
  for (const part of parts) {
    const own = (address >> BigInt(part.shl)) & BigInt(part.mask);
    mask |= BigInt(part.mask);
    value |= own;
    made |= own << BigInt(part.shl);
  }
  return made === address ? { mask, value } : null;
}
