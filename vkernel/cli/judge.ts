/**
 * Walks as the laboratory asks for them: a vector goes in, what came of it comes out, in the words of the vector file.
 * There are two judges: the interpreter of descriptions, and the walk compiled from them.
 */
import { EXEC, READ, WRITE } from '../../hostkernel/base/units.ts';
import {
  compileWalker,
  faultCode,
  type Hex,
  type LayoutDescriptor,
  type Options,
  type ReferenceMemory,
  type ReferenceResult,
  type U64,
  WALK_FAULTS,
  WALK_HIT,
  type Walker,
  walkReference,
} from '../../hostkernel/machine/paging/index.ts';
import type { Expectation, StageExpectation, StageVector, Vector } from './vectors.ts';

const u64Of = (n: bigint): U64 => ({ lo: Number(n & 0xffff_ffffn), hi: Number((n >> 32n) & 0xffff_ffffn) });
export const u64 = (hex: Hex): U64 => u64Of(BigInt(hex));
export const big = ({ lo, hi }: U64): bigint => (BigInt(hi) << 32n) | BigInt(lo);
export const hexOf = (n: U64): Hex => `0x${big(n).toString(16)}`;

/** Memory of pairs of address and entry; the rest is zero. Changes stay in it. */
export class PairMemory implements ReferenceMemory {
  readonly #entries = new Map<bigint, bigint>();

  constructor(pairs: readonly (readonly Hex[])[]) {
    for (const [address, entry] of pairs) this.#entries.set(BigInt(address), BigInt(entry));
  }

  read(address: U64): U64 {
    return u64Of(this.#entries.get(big(address)) ?? 0n);
  }

  write(address: U64, entry: U64): void {
    this.#entries.set(big(address), big(entry));
  }
}

type Pairs = readonly (readonly [Hex, Hex])[];
const byAddress = (pairs: Pairs): Pairs => pairs.toSorted(([a], [b]) => (BigInt(a) < BigInt(b) ? -1 : 1));
const writesOf = (result: ReferenceResult): Pairs =>
  byAddress(result.writes.map(({ address, entry }) => [hexOf(address), hexOf(entry)] as const));

/** A vector without its expectation. */
export type Question = Omit<Vector, 'expect'>;

/** What the interpreter says. */
export function byReference(layout: LayoutDescriptor, question: Question): Expectation {
  const got = walkReference(layout, new PairMemory(question.mem), {
    root: u64(question.root),
    ...(question.root2 === undefined ? {} : { root2: u64(question.root2) }),
    va: u64(question.va),
    access: question.access,
    mode: question.mode,
    ...(question.opts === undefined ? {} : { options: question.opts }),
  });
  const { level } = got;
  const refs = got.refs.map(hexOf);
  const writes = writesOf(got);
  if (got.result === 'hit') return { result: 'hit', pa: hexOf(got.pa), pageShift: got.pageShift, level, refs, writes };
  return { result: 'fault', kind: got.kind, level, ...(got.code === null ? {} : { code: got.code }), refs, writes };
}

export function byReferenceInTwo(layout: LayoutDescriptor, second: LayoutDescriptor, vector: StageVector): StageExpectation {
  const got = walkReference(layout, new PairMemory(vector.mem), {
    root: u64(vector.root),
    va: u64(vector.va),
    access: vector.access,
    mode: vector.mode,
    ...(vector.opts === undefined ? {} : { options: vector.opts }),
    second: { layout: second, root: u64(vector.rootStage2), ...(vector.opts2 === undefined ? {} : { options: vector.opts2 }) },
  });
  const refs = got.refs.map((address) => [address.stage, hexOf(address)] as const);
  const writes = writesOf(got);
  if (got.result === 'hit') {
    const { pageShift, level: s1level, level2: s2level } = got;
    return { result: 'hit', pa: hexOf(got.pa), gpa: hexOf(got.gpa), pageShift, s1level, s2level, refs, writes };
  }
  const { stage, implicit, kind, level, code, gpa } = got;
  return {
    result: 'fault',
    stage,
    implicit,
    kind,
    level,
    ...(code === null ? {} : { code }),
    ...(gpa === null ? {} : { gpa: hexOf(gpa) }),
    refs,
    writes,
  };
}

const ACCESS = { r: READ, w: WRITE, x: EXEC } as const;
const PAGE_BITS = 12n;

/** The compiled walks, over 4 GiB of memory that costs what the vectors touch. */
export class CompiledJudge {
  readonly #i32: Int32Array;
  readonly #walkers = new WeakMap<LayoutDescriptor, Map<string, Walker>>(); // by layout, then by what else matters

  constructor() {
    this.#i32 = emptyMemory();
  }

  /** What the compiled walk says; a line of text where it cannot be asked. */
  judge(layout: LayoutDescriptor, question: Question): Expectation | string {
    const stored = this.#load(question.mem.map((pair) => [layout, pair] as const));
    if (stored !== null) return stored;
    const { mode, access, opts, root2 } = question;
    const walker = this.#walker(layout, opts, mode, null, undefined);
    setRoots(walker, question.root, root2, undefined);
    const va = u64(question.va);
    const outcome = walker.walk(va.lo, va.hi, ACCESS[access]);
    const { result } = walker;
    const { level } = result;
    const refs = references(walker).map(([, address]) => address);
    const writes = this.#takeChanges([
      ...refs.map((address) => [layout, [address, '0x0']] as const),
      ...question.mem.map((pair) => [layout, pair] as const),
    ]);
    if (outcome === WALK_HIT) return { result: 'hit', pa: this.#pa(result.frame, va), pageShift: result.pageShift, level, refs, writes };
    const kind = WALK_FAULTS[outcome] ?? 'hit';
    const entry = refs.length === 0 ? null : { lo: result.entryLo >>> 0, hi: result.entryHi >>> 0 };
    const code = kind === 'hit' ? null : faultCode(layout, { ...layout.options, ...opts }, { kind, level, access, mode, entry });
    return { result: 'fault', kind, level, ...(code === null ? {} : { code }), refs, writes };
  }

  /** The same with two stages. Which entries are the first stage's is told by the vector's own references. */
  judgeInTwo(layout: LayoutDescriptor, second: LayoutDescriptor, vector: StageVector): StageExpectation | string {
    const guests = new Set((vector.expect.refs ?? []).filter(([stage]) => stage === 1).map(([, address]) => BigInt(address)));
    const owned = vector.mem.map((pair) => [guests.has(BigInt(pair[0])) ? layout : second, pair] as const);
    const stored = this.#load(owned);
    if (stored !== null) return stored;
    const { mode, access, opts, opts2 } = vector;
    const walker = this.#walker(layout, opts, mode, second, opts2);
    setRoots(walker, vector.root, undefined, vector.rootStage2);
    const va = u64(vector.va);
    const outcome = walker.walk(va.lo, va.hi, ACCESS[access]);
    const { result } = walker;
    const refs = references(walker);
    const read = refs.map(([stage, address]) => [stage === 1 ? layout : second, [address, '0x0']] as const);
    const writes = this.#takeChanges([...read, ...owned]);
    const gpa: Hex = `0x${((BigInt(result.guestFrame) << PAGE_BITS) | BigInt(result.guestOffset)).toString(16)}`;
    const { level, level2, pageShift, stage, implicit } = result;
    if (outcome === WALK_HIT)
      return { result: 'hit', pa: this.#pa(result.frame, va), gpa, pageShift, s1level: level, s2level: level2, refs, writes };
    const kind = WALK_FAULTS[outcome] ?? 'hit';
    const refusing = stage === 1 ? layout : second;
    const options = { ...refusing.options, ...(stage === 1 ? opts : opts2) };
    const code = kind === 'hit' ? null : faultCode(refusing, options, { kind, level, access, mode, entry: null });
    return {
      result: 'fault',
      stage,
      implicit,
      kind,
      level,
      ...(code === null ? {} : { code }),
      ...(stage === 2 ? { gpa } : {}),
      refs,
      writes,
    };
  }

  #pa(frame: number, va: U64): Hex {
    return `0x${((BigInt(frame) << PAGE_BITS) | (big(va) & 4095n)).toString(16)}`;
  }

  #walker(
    layout: LayoutDescriptor,
    options: Options | undefined,
    mode: 'user' | 'super',
    second: LayoutDescriptor | null,
    options2: Options | undefined,
  ): Walker {
    const key = JSON.stringify([options, mode, second?.id, options2]);
    const own = this.#walkers.get(layout) ?? new Map<string, Walker>();
    this.#walkers.set(layout, own);
    let walker = own.get(key);
    if (walker === undefined) {
      walker = compileWalker({
        layout,
        ...(options === undefined ? {} : { options }),
        memory: { base: 0, frames: this.#i32.length / 1024, i32: this.#i32 },
        mode,
        keepsReferences: true,
        ...(second === null ? {} : { second: { layout: second, ...(options2 === undefined ? {} : { options: options2 }) } }),
      });
      own.set(key, walker);
    }
    return walker;
  }

  /** Stores entries as their layouts' byte order has them. @returns a line where one has no place */
  #load(owned: readonly (readonly [LayoutDescriptor, readonly Hex[]])[]): string | null {
    for (const [layout, [address]] of owned) {
      if (Number(address) + layout.entryBytes > this.#i32.byteLength || Number(address) % layout.entryBytes !== 0)
        return `no compiled walk: an entry at ${address}, memory has ${this.#i32.byteLength} bytes`;
    }
    for (const [layout, [address, entry]] of owned) this.#view(layout, Number(address), BigInt(entry));
    return null;
  }

  /** The entries that have changed; all are zero afterwards. @param owned of entries listed twice, the last counts */
  #takeChanges(owned: readonly (readonly [LayoutDescriptor, readonly Hex[]])[]): Pairs {
    const last = new Map(owned.map(([layout, [address, entry]]) => [Number(address), [layout, BigInt(entry)] as const]));
    const changes: (readonly [Hex, Hex])[] = [];
    for (const [address, [layout, before]] of last) {
      const after = this.#view(layout, address, null);
      this.#view(layout, address, 0n);
      if (after !== before) changes.push([`0x${address.toString(16)}`, `0x${after.toString(16)}`]);
    }
    return byAddress(changes);
  }

  #view({ endian, entryBytes }: LayoutDescriptor, address: number, entry: bigint | null): bigint {
    const view = new DataView(this.#i32.buffer, address, entryBytes);
    const little = endian === 'le';
    if (entry !== null) {
      if (entryBytes === 8) view.setBigUint64(0, entry, little);
      else view.setUint32(0, Number(entry), little);
    }
    return entryBytes === 8 ? view.getBigUint64(0, little) : BigInt(view.getUint32(0, little));
  }
}

/** 4 GiB of zeros, or half as much and a little where that cannot be had. Untouched pages cost nothing. */
function emptyMemory(): Int32Array {
  try {
    return new Int32Array(2 ** 30);
  } catch {
    return new Int32Array((2 ** 31 + 2 ** 24) / 4);
  }
}

function setRoots({ registers }: Walker, root: Hex, root2: Hex | undefined, second: Hex | undefined): void {
  const [first, upper, two] = [u64(root), u64(root2 ?? '0x0'), u64(second ?? '0x0')];
  registers.rootLo = first.lo;
  registers.rootHi = first.hi;
  registers.hasUpperRoot = root2 !== undefined;
  registers.upperRootLo = upper.lo;
  registers.upperRootHi = upper.hi;
  registers.secondRootLo = two.lo;
  registers.secondRootHi = two.hi;
}

function references({ result }: Walker): readonly (readonly [number, Hex])[] {
  return Array.from({ length: result.references }, (_, i) => [result.stages[i], `0x${result.addresses[i].toString(16)}`] as const);
}
