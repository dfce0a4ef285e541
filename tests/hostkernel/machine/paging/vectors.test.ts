/** Every published vector, through the reference walk and through the compiled one. */
import { describe, expect, test } from 'vitest';
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  ATTR_ACCESSED,
  compileLayout,
  compileWalk,
  LAYOUT_NAMES,
  type LayoutDescriptor,
  layoutByName,
  type Options,
  WALK_BUS,
  WALK_FAULTS,
  WALK_HIT,
  walkReference,
} from '../../../../hostkernel/machine/paging/index.ts';
import { hexOf, SparseMemory, u64 } from './memory.ts';
import file from './vectors.json' with { type: 'json' };

interface Vector {
  readonly id: string;
  readonly layout: string;
  readonly opts?: Options;
  readonly root: string;
  readonly mem: readonly (readonly [string, string])[];
  readonly va: string;
  readonly access: 'r' | 'w' | 'x';
  readonly mode: 'user' | 'super';
  readonly expect: {
    readonly result: string;
    readonly kind?: string;
    readonly pa?: string;
    readonly pageShift?: number;
    readonly level: number;
    readonly refs: readonly string[];
    readonly writes?: readonly (readonly [string, string])[];
  };
}
const vectors = file.vectors as unknown as readonly Vector[];

function layoutOf(name: string): LayoutDescriptor {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return layout;
}

const WALKED = LAYOUT_NAMES.filter((name) => /^sv(32|39|48)$|^vpte-(2006v?|..-nx)$/.test(name));
describe.each(WALKED)('%s', (name) => {
  const layout = layoutOf(name);
  const own = vectors.filter((vector) => vector.layout === name);

  test('the descriptor says what the published one says', () => {
    const { carried: _, ...published } = layout;
    expect(published).toEqual(file.layouts[name as keyof typeof file.layouts]);
  });

  test('has vectors', () => {
    expect(own.length).toBeGreaterThan(0);
  });

  test.each(own)('reference: $id $access $mode: $note', (vector) => {
    const memory = new SparseMemory(layout.entryBytes, vector.mem);
    const got = walkReference(layout, memory, {
      root: u64(vector.root),
      va: u64(vector.va),
      access: vector.access,
      mode: vector.mode,
      ...(vector.opts === undefined ? {} : { options: vector.opts }),
    });
    expect({
      ...(got.result === 'hit' ? { result: 'hit', pa: hexOf(got.pa), pageShift: got.pageShift } : { result: 'fault', kind: got.kind }),
      level: got.level,
      refs: got.refs.map(hexOf),
      writes: got.writes.map(({ address, entry }) => [hexOf(address), hexOf(entry)]),
    }).toEqual({ writes: [], ...withoutCode(vector.expect) });
  });

  test.each(own)('compiled: $id $access $mode: $note', (vector) => {
    // RAM up to just above the highest table; a table beyond is a bus fault, where a vector reads zeros.
    const highest = Math.max(...vector.mem.map(([address]) => Number(address)), 0);
    const frames = Math.ceil((highest + 1) / PAGE_SIZE);
    const ram = { base: 0, frames, i32: sharedRam() };
    const words = vector.mem.map(([address]) => Number(address) / 4);
    for (const [address, entry] of vector.mem) store(ram.i32, layout.entryBytes, Number(address), entry);

    const { walk, result } = compileWalk(compileLayout(layout, vector.opts ?? {}), ram, vector.mode);
    const root = layout.root.kind === 'value' ? Number(vector.root) : Number(vector.root) / PAGE_SIZE;
    const va = u64(vector.va);
    const code = walk(root, va.lo, va.hi, { r: READ, w: WRITE, x: EXEC }[vector.access]);

    const { expect: wanted } = vector;
    expect(result.level).toBe(wanted.level);
    if (code === WALK_BUS) {
      expect(wanted.kind).toBe('not-present');
      expect(result.references).toBe(wanted.refs.length - 1);
    } else {
      expect(result.references).toBe(wanted.refs.length);
      expect(WALK_FAULTS[code]).toBe(wanted.kind ?? null);
    }
    if (code === WALK_HIT) {
      expect(BigInt(result.frame)).toBe(BigInt(wanted.pa ?? 0) >> 12n);
      expect(result.pageShift).toBe(wanted.pageShift);
      if (wanted.refs.length > 0) expect(result.attributes & ATTR_ACCESSED).toBe(ATTR_ACCESSED); // a root entry is never written
    }
    const after = vector.mem.map(([address]) => [address, load(ram.i32, layout.entryBytes, Number(address))]);
    const changed = new Map(wanted.writes);
    expect(after).toEqual(vector.mem.map(([address, entry]) => [address, changed.get(address) ?? entry]));
    for (const word of words) ram.i32.fill(0, word, word + 2);
  });
});

function withoutCode(expected: Vector['expect'] & { readonly code?: unknown }): object {
  const { code: _, ...rest } = expected;
  return rest;
}

let ramOfAll: Int32Array | null = null;

/** 2 GiB + 16 MiB of zeros, where the vectors' tables fit at their own addresses. Untouched pages cost nothing. */
function sharedRam(): Int32Array {
  ramOfAll ??= new Int32Array((2 ** 31 + 2 ** 24) / 4);
  return ramOfAll;
}

function store(i32: Int32Array, entryBytes: number, address: number, entry: string): void {
  const { lo, hi } = u64(entry);
  i32[address / 4] = lo;
  if (entryBytes === 8) i32[address / 4 + 1] = hi;
}

function load(i32: Int32Array, entryBytes: number, address: number): string {
  return hexOf({ lo: i32[address / 4] >>> 0, hi: entryBytes === 8 ? i32[address / 4 + 1] >>> 0 : 0 });
}
