/** Every published vector of address translation, of one stage and of two, through the walk of the timing model. */
import { describe, expect, test } from 'vitest';
import { type Access, EXEC, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  compileLayout,
  faultCode,
  LAYOUT_NAMES,
  type LayoutDescriptor,
  layoutByName,
  type Options,
  type PageTableFormat,
  WALK_FAULTS,
} from '../../../../hostkernel/machine/paging/index.ts';
import { entryShapeOf, TableMemory, TRANSLATED, Translation } from '../../../../hostkernel/machine/timing/index.ts';
import { u64 } from '../paging/memory.ts';
import file from '../paging/vectors.json' with { type: 'json' };
import { bareMachine } from './bare-machine.ts';

type Pairs = readonly (readonly [string, string])[];
interface Common {
  readonly id: string;
  readonly layout: string;
  readonly root: string;
  readonly mem: Pairs;
  readonly va: string;
  readonly access: 'r' | 'w' | 'x';
  readonly mode: 'user' | 'super';
}
interface Vector extends Common {
  readonly opts?: Options;
  readonly root2?: string;
  readonly expect: {
    readonly result: string;
    readonly kind?: string;
    readonly code?: number | string;
    readonly pa?: string;
    readonly pageShift?: number;
    readonly level: number;
    readonly refs: readonly string[];
    readonly writes?: Pairs;
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
    readonly writes?: Pairs;
    readonly stage?: number;
    readonly implicit?: boolean;
    readonly kind?: string;
    readonly level?: number;
    readonly code?: number;
  };
}
const vectors = file.vectors as unknown as readonly Vector[];
const twoStage = file.twoStage as unknown as readonly TwoStageVector[];
const ACCESS: Readonly<Record<string, Access>> = { r: READ, w: WRITE, x: EXEC };

function layoutOf(name: string): LayoutDescriptor {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return layout;
}

/** RAM where the tables of all vectors fit at their own addresses. */
const ram = new TableMemory({ firstFrame: 0, frames: (2 ** 31 + 2 ** 24) / 4096 });

/** Models are made once: by layouts, options and mode. */
const models = new Map<string, Translation>();
function modelOf(mode: 'user' | 'super', formats: readonly PageTableFormat[], key: string): Translation {
  let model = models.get(key);
  if (model === undefined) {
    const dimensions = formats.map((format) => ({ format, memory: ram, isPhysical: true }));
    model = new Translation({ machine: bareMachine(), dimensions, mode });
    models.set(key, model);
  }
  return model;
}

interface Walked {
  readonly outcome: number;
  readonly references: readonly (readonly [number, string])[];
  readonly writes: Pairs;
}

/** Walks with these entries in RAM; takes them out again, and says which have changed. */
function walk(model: Translation, vector: Common, entries: readonly { readonly format: PageTableFormat; readonly mem: Pairs }[]): Walked {
  const references: [number, string][] = [];
  model.recorder = { referenced: (stage, _level, address) => references.push([stage === 0 ? 1 : 2, `0x${address.toString(16)}`]) };
  for (const { format, mem } of entries) {
    for (const [address, entry] of mem) ram.write(Number(address), entryShapeOf(format), u64(entry).lo | 0, u64(entry).hi | 0);
  }
  const va = u64(vector.va);
  const outcome = model.walk(va.hi * 2 ** 20 + (va.lo >>> 12), va.lo & 4095, ACCESS[vector.access]);
  const writes: [string, string][] = [];
  for (const { format, mem } of entries) {
    for (const [address, before] of mem) {
      ram.read(Number(address), entryShapeOf(format));
      const entry = (BigInt(ram.hi >>> 0) << 32n) | BigInt(ram.lo >>> 0);
      if (entry !== BigInt(before)) writes.push([`0x${BigInt(address).toString(16)}`, `0x${entry.toString(16)}`]);
      ram.write(Number(address), entryShapeOf(format), 0, 0);
    }
  }
  return { outcome, references, writes: writes.toSorted(([a], [b]) => Number(a) - Number(b)) };
}

function setRoots(model: Translation, dimension: number, root: string, upper?: string): void {
  const [lower, other] = [u64(root), u64(upper ?? '0x0')];
  model.setRegisters(dimension, {
    rootLo: lower.lo,
    rootHi: lower.hi,
    hasUpperRoot: upper !== undefined,
    upperRootLo: other.lo,
    upperRootHi: other.hi,
  });
}

function address(frame: number, offset: number): string {
  return `0x${((BigInt(frame) << 12n) | BigInt(offset)).toString(16)}`;
}

/** An entry that is used on several levels is listed each time; what counts is its last value. */
const last = (writes: Pairs = []): Pairs => [...new Map(writes)];

function wantedOf({ id, expect: wanted }: Vector): object {
  const { result, kind, code, pa, pageShift, level, refs, writes } = wanted;
  return result === 'hit'
    ? { id, result, pa, pageShift, level, refs, writes: last(writes) }
    : { id, result, kind, code: code ?? null, level, refs, writes: last(writes) };
}

function byModel(vector: Vector): object {
  const { id, access, mode } = vector;
  const layout = layoutOf(vector.layout);
  const options = { ...layout.options, ...vector.opts };
  const format = compileLayout(layout, vector.opts);
  const model = modelOf(mode, [format], JSON.stringify([layout.id, options, mode]));
  setRoots(model, 0, vector.root, vector.root2);
  const { outcome, references, writes } = walk(model, vector, [{ format, mem: vector.mem }]);
  const refs = references.map(([, at]) => at);
  const offset = u64(vector.va).lo & 4095;
  if (outcome === TRANSLATED) {
    const { level } = model.dimensions[0];
    return { id, result: 'hit', pa: address(model.frame, offset), pageShift: model.shift, level, refs, writes };
  }
  const kind = WALK_FAULTS[model.refusedKind];
  if (kind === null) throw new Error('no fault');
  const level = model.refusedLevel;
  const entry = refs.length === 0 ? null : { lo: model.refusedLo >>> 0, hi: model.refusedHi >>> 0 };
  return { id, result: 'fault', kind, code: faultCode(layout, options, { kind, level, access, mode, entry }), level, refs, writes };
}

describe.each(LAYOUT_NAMES)('%s', (name) => {
  const own = vectors.filter(({ layout }) => layout === name);

  test(`the model's walk passes all ${own.length}`, () => {
    expect(own.map(byModel)).toEqual(own.map(wantedOf));
  });
});

function wantedOfTwo({ id, expect: wanted }: TwoStageVector): object {
  const { result, pa, gpa, pageShift, s1level, s2level, refs, writes, stage, implicit, kind, level, code } = wanted;
  return result === 'hit'
    ? { id, result, pa, gpa, pageShift, s1level, s2level, refs, writes: last(writes) }
    : { id, result, stage, implicit, kind, level, gpa: gpa ?? null, refs, writes: [], ...(code === undefined ? {} : { code }) };
}

function twoByModel(vector: TwoStageVector): object {
  const { id, access, mode, expect: wanted } = vector;
  const formats = [layoutOf(vector.layout), layoutOf(vector.layout2)].map((layout) => compileLayout(layout));
  const model = modelOf(mode, formats, JSON.stringify([vector.layout, vector.layout2, mode]));
  setRoots(model, 0, vector.root);
  setRoots(model, 1, vector.rootStage2);
  // Tables of the two stages may differ in width: those of the guest are named by the references of stage 1.
  const guests = new Set(wanted.refs.filter(([stage]) => stage === 1).map(([, at]) => at));
  const {
    outcome,
    references: refs,
    writes,
  } = walk(model, vector, [
    { format: formats[0], mem: vector.mem.filter(([at]) => guests.has(at)) },
    { format: formats[1], mem: vector.mem.filter(([at]) => !guests.has(at)) },
  ]);
  const [first, second] = model.dimensions;
  const offset = u64(vector.va).lo & 4095;
  if (outcome === TRANSLATED) {
    const [pa, gpa] = [address(model.frame, offset), address(first.ownFrame, offset)];
    return { id, result: 'hit', pa, gpa, pageShift: model.shift, s1level: first.level, s2level: second.level, refs, writes };
  }
  const kind = WALK_FAULTS[model.refusedKind];
  if (kind === null) throw new Error('no fault');
  const stage = model.refusedDimension + 1;
  const { format } = model.dimensions[model.refusedDimension];
  const where = { kind, level: model.refusedLevel, access, mode, entry: null };
  return {
    id,
    result: 'fault',
    stage,
    implicit: model.refusedImplicit && stage === 2,
    kind,
    level: model.refusedLevel,
    gpa: stage === 1 ? null : address(model.refusedPage, model.refusedOffset),
    refs,
    writes,
    ...(wanted.code === undefined ? {} : { code: faultCode(format.descriptor, format.options, where) }),
  };
}

const PAIRS = [...new Set(twoStage.map(({ layout, layout2 }) => `${layout} over ${layout2}`))];

describe.each(PAIRS)('%s', (pair) => {
  const own = twoStage.filter(({ layout, layout2 }) => `${layout} over ${layout2}` === pair);

  test(`the model's walk passes all ${own.length}`, () => {
    expect(own.map(twoByModel)).toEqual(own.map(wantedOfTwo));
  });
});

test('all vectors are there', () => {
  expect(vectors.length + twoStage.length).toBe(2564);
});
