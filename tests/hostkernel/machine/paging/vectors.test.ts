/** Every published vector, of one stage and of two, through the reference walk and through the compiled one. */
import { describe, expect, test } from 'vitest';
import { EXEC, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  ATTR_ACCESSED,
  compileWalker,
  faultCode,
  LAYOUT_NAMES,
  type LayoutDescriptor,
  layoutByName,
  type Options,
  WALK_FAULTS,
  WALK_HIT,
  type Walker,
  walkReference,
} from '../../../../hostkernel/machine/paging/index.ts';
import { bigintOf, hexOf, SparseMemory, TableRam, u64 } from './memory.ts';
import file from './vectors.json' with { type: 'json' };

interface Common {
  readonly id: string;
  readonly layout: string;
  readonly opts?: Options;
  readonly root: string;
  readonly mem: readonly (readonly [string, string])[];
  readonly va: string;
  readonly access: 'r' | 'w' | 'x';
  readonly mode: 'user' | 'super';
}
interface Vector extends Common {
  readonly root2?: string;
  readonly expect: {
    readonly result: string;
    readonly kind?: string;
    readonly code?: number | string;
    readonly pa?: string;
    readonly pageShift?: number;
    readonly level: number;
    readonly refs: readonly string[];
    readonly writes?: readonly (readonly [string, string])[];
  };
}
interface TwoStageVector extends Common {
  readonly layout2: string;
  readonly rootStage2: string;
  readonly expect: {
    readonly result: string;
    readonly pa?: string;
    readonly gpa?: string;
    readonly pageShift?: number;
    readonly s1level?: number;
    readonly s2level?: number;
    readonly refs: readonly (readonly [number, string])[];
    readonly writes?: readonly (readonly [string, string])[];
    readonly stage?: number;
    readonly implicit?: boolean;
    readonly kind?: string;
    readonly level?: number;
    readonly code?: number;
  };
}
const vectors = file.vectors as unknown as readonly Vector[];
const twoStage = file.twoStage as unknown as readonly TwoStageVector[];
const ACCESS = { r: READ, w: WRITE, x: EXEC };

function layoutOf(name: string): LayoutDescriptor {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return layout;
}

/** An entry that is used on several levels is listed each time; what counts is its last value. */
function last(writes: readonly (readonly [string, string])[]): readonly (readonly [string, string])[] {
  return [...new Map(writes)];
}

/** Pairs of hex strings, by address. */
function sorted(writes: readonly (readonly [string, string])[]): readonly (readonly [string, string])[] {
  return writes.toSorted(([a], [b]) => (BigInt(a) < BigInt(b) ? -1 : 1));
}

/** What a vector of one stage wants; where nothing is said of a code there is none. */
function wantedOf({ id, expect: wanted }: Vector): object {
  const { result, kind, code, pa, pageShift, level, refs, writes } = wanted;
  return result === 'hit'
    ? { id, result, pa, pageShift, level, refs, writes: last(writes ?? []) }
    : { id, result, kind, code: code ?? null, level, refs, writes: last(writes ?? []) };
}

function byReference(vector: Vector): object {
  const layout = layoutOf(vector.layout);
  const memory = new SparseMemory(layout.entryBytes, vector.mem);
  const got = walkReference(layout, memory, {
    root: u64(vector.root),
    ...(vector.root2 === undefined ? {} : { root2: u64(vector.root2) }),
    va: u64(vector.va),
    access: vector.access,
    mode: vector.mode,
    ...(vector.opts === undefined ? {} : { options: vector.opts }),
  });
  const { level } = got;
  const refs = got.refs.map(hexOf);
  const writes = sorted(got.writes.map(({ address, entry }) => [hexOf(address), hexOf(entry)] as const));
  return got.result === 'hit'
    ? { id: vector.id, result: 'hit', pa: hexOf(got.pa), pageShift: got.pageShift, level, refs, writes }
    : { id: vector.id, result: 'fault', kind: got.kind, code: got.code, level, refs, writes };
}

function setRoots({ registers }: Walker, root: string, root2: string | undefined, second: string | undefined): void {
  const halves = (hex: string | undefined) => u64(hex ?? '0x0');
  registers.rootLo = halves(root).lo;
  registers.rootHi = halves(root).hi;
  registers.hasUpperRoot = root2 !== undefined;
  registers.upperRootLo = halves(root2).lo;
  registers.upperRootHi = halves(root2).hi;
  registers.secondRootLo = halves(second).lo;
  registers.secondRootHi = halves(second).hi;
}

function references({ result }: Walker): readonly (readonly [number, string])[] {
  return Array.from({ length: result.references }, (_, i) => [result.stages[i], `0x${result.addresses[i].toString(16)}`] as const);
}

const ram = new TableRam();

function byCompiled(vector: Vector): object {
  const layout = layoutOf(vector.layout);
  const { id, access, mode } = vector;
  const options = vector.opts ?? {};
  ram.load(layout, vector.mem);
  const walker = compileWalker({ layout, options, memory: ram, mode, keepsReferences: true });
  setRoots(walker, vector.root, vector.root2, undefined);
  const va = u64(vector.va);
  const outcome = walker.walk(va.lo, va.hi, ACCESS[access]);
  const { result } = walker;
  const { level } = result;
  const refs = references(walker).map(([, address]) => address);
  const writes = ram.takeChanges(layout);
  if (outcome === WALK_HIT) {
    if (refs.length > 0) expect(result.attributes & ATTR_ACCESSED).toBe(ATTR_ACCESSED); // the value of a root is never written
    const pa = (BigInt(result.frame) << 12n) | (bigintOf(va) & 4095n);
    return { id, result: 'hit', pa: `0x${pa.toString(16)}`, pageShift: result.pageShift, level, refs, writes };
  }
  const kind = WALK_FAULTS[outcome];
  if (kind === null) throw new Error('no fault');
  const entry = refs.length === 0 ? null : { lo: result.entryLo >>> 0, hi: result.entryHi >>> 0 };
  const code = faultCode(layout, { ...layout.options, ...options }, { kind, level, access, mode, entry });
  return { id, result: 'fault', kind, code, level, refs, writes };
}

describe.each(LAYOUT_NAMES)('%s', (name) => {
  const layout = layoutOf(name);
  const own = vectors.filter((vector) => vector.layout === name);

  test('the descriptor says what the published one says', () => {
    const { carried: _, tableReadsWriteOpt: __, ...published } = layout;
    expect(published).toEqual(file.layouts[name as keyof typeof file.layouts]);
  });

  test('has vectors', () => {
    expect(own.length).toBeGreaterThan(5);
  });

  test(`the reference walk passes all ${own.length}`, () => {
    expect(own.map(byReference)).toEqual(own.map(wantedOf));
  });

  test(`the compiled walk passes all ${own.length}`, () => {
    expect(own.map(byCompiled)).toEqual(own.map(wantedOf));
  });
});

function wantedOfTwo({ id, expect: wanted }: TwoStageVector): object {
  const { result, pa, gpa, pageShift, s1level, s2level, refs, writes, stage, implicit, kind, level, code } = wanted;
  return result === 'hit'
    ? { id, result, pa, gpa, pageShift, s1level, s2level, refs, writes }
    : { id, result, stage, implicit, kind, level, gpa: gpa ?? null, refs, writes: [], ...(code === undefined ? {} : { code }) };
}

function twoByReference(vector: TwoStageVector): object {
  const { id, access, mode, expect: wanted } = vector;
  const layout = layoutOf(vector.layout);
  const second = layoutOf(vector.layout2);
  const memory = new SparseMemory(8, vector.mem); // each entry is whole in the list
  const got = walkReference(layout, memory, {
    root: u64(vector.root),
    va: u64(vector.va),
    access,
    mode,
    second: { layout: second, root: u64(vector.rootStage2) },
  });
  const refs = got.refs.map((address) => [address.stage, hexOf(address)]);
  const writes = sorted(got.writes.map(({ address, entry }) => [hexOf(address), hexOf(entry)] as const));
  if (got.result === 'hit') {
    const { pageShift, level: s1level, level2: s2level } = got;
    return { id, result: 'hit', pa: hexOf(got.pa), gpa: hexOf(got.gpa), pageShift, s1level, s2level, refs, writes };
  }
  const { stage, implicit, kind, level } = got;
  const gpa = got.gpa === null ? null : hexOf(got.gpa);
  return { id, result: 'fault', stage, implicit, kind, level, gpa, refs, writes, ...(wanted.code === undefined ? {} : { code: got.code }) };
}

function twoByCompiled(vector: TwoStageVector): object {
  const { id, access, mode, expect: wanted } = vector;
  const layout = layoutOf(vector.layout);
  const second = layoutOf(vector.layout2);
  // Tables of the two stages may differ in width: those of the guest are named by the references of stage 1.
  const guests = new Set(wanted.refs.filter(([stage]) => stage === 1).map(([, address]) => address));
  const isGuests = ([address]: readonly [string, string]) => guests.has(address);
  ram.load(
    second,
    vector.mem.filter((pair) => !isGuests(pair)),
  );
  ram.load(layout, vector.mem.filter(isGuests));
  const walker = compileWalker({ layout, memory: ram, mode, keepsReferences: true, second: { layout: second } });
  setRoots(walker, vector.root, undefined, vector.rootStage2);
  const va = u64(vector.va);
  const outcome = walker.walk(va.lo, va.hi, ACCESS[access]);
  const { result } = walker;
  const refs = references(walker);
  const writes = sorted([...ram.takeChanges(layout), ...ram.takeChanges(second)]);
  const gpa = `0x${((BigInt(result.guestFrame) << 12n) | BigInt(result.guestOffset)).toString(16)}`;
  if (outcome === WALK_HIT) {
    const pa = `0x${((BigInt(result.frame) << 12n) | (bigintOf(va) & 4095n)).toString(16)}`;
    const { pageShift, level: s1level, level2: s2level } = result;
    return { id, result: 'hit', pa, gpa, pageShift, s1level, s2level, refs, writes };
  }
  const kind = WALK_FAULTS[outcome];
  if (kind === null) throw new Error('no fault');
  const { stage, implicit, level } = result;
  const where = { kind, level, access, mode, entry: null };
  const code = stage === 1 ? faultCode(layout, layout.options, where) : faultCode(second, second.options, where);
  return {
    id,
    result: 'fault',
    stage,
    implicit,
    kind,
    level,
    gpa: stage === 1 ? null : gpa,
    refs,
    writes,
    ...(wanted.code === undefined ? {} : { code }),
  };
}

const PAIRS = [...new Set(twoStage.map(({ layout, layout2 }) => `${layout} over ${layout2}`))];

describe.each(PAIRS)('%s', (pair) => {
  const own = twoStage.filter(({ layout, layout2 }) => `${layout} over ${layout2}` === pair);

  test(`the reference walk passes all ${own.length}`, () => {
    expect(own.map(twoByReference)).toEqual(own.map(wantedOfTwo));
  });

  test(`the compiled walk passes all ${own.length}`, () => {
    expect(own.map(twoByCompiled)).toEqual(own.map(wantedOfTwo));
  });
});

test('the file is complete', () => {
  expect(LAYOUT_NAMES.toSorted()).toEqual(Object.keys(file.layouts).toSorted());
  expect(vectors.length).toBe(2230);
  expect(twoStage.length).toBe(334);
});
