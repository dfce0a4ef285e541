/** The judge against every vector of one stage: whoever judges walkers must itself be right. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type EntryMemory, highOf, Judge, type Layout, lowOf, type OptionValues } from './judge.ts';

interface Vector {
  readonly id: string;
  readonly layout: string;
  readonly opts?: OptionValues;
  readonly root: string;
  readonly root2?: string;
  readonly mem: readonly (readonly [string, string])[];
  readonly va: string;
  readonly access: 'r' | 'w' | 'x';
  readonly mode: 'user' | 'super';
  readonly expect: {
    readonly result: 'hit' | 'fault';
    readonly kind?: string;
    readonly level: number;
    readonly pa?: string;
    readonly pageShift?: number;
    readonly refs: readonly string[];
    readonly writes?: readonly (readonly [string, string])[];
  };
}

const FILE = new URL('../hostkernel/machine/paging/vectors.json', import.meta.url);

class Sparse implements EntryMemory {
  lo = 0;
  hi = 0;
  readonly entries: Map<bigint, bigint>;
  readonly written = new Map<bigint, bigint>();

  constructor(mem: Vector['mem']) {
    this.entries = new Map(mem.map(([address, entry]) => [BigInt(address), BigInt(entry)]));
  }

  read(addressLo: number, addressHi: number): boolean {
    const entry = this.entries.get(join(addressLo, addressHi)) ?? 0n;
    this.lo = Number(entry & 0xffff_ffffn) | 0;
    this.hi = Number(entry >> 32n) | 0;
    return true;
  }

  write(addressLo: number, addressHi: number, lo: number, hi: number): void {
    const address = join(addressLo, addressHi);
    this.entries.set(address, join(lo, hi));
    this.written.set(address, join(lo, hi));
  }
}

function join(lo: number, hi: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

test('the judge gives result, level, references and writes of every vector', () => {
  const file = JSON.parse(readFileSync(FILE, 'utf8')) as { layouts: Record<string, Layout>; vectors: Vector[] };
  expect(file.vectors.length).toBeGreaterThan(0);
  for (const vector of file.vectors) {
    const judge = new Judge(file.layouts[vector.layout], vector.opts ?? {});
    const memory = new Sparse(vector.mem);
    const upper = BigInt(vector.va) >> 63n === 1n;
    const root = judge.layout.va.rule === 'split' && upper ? (vector.root2 ?? '0x0') : vector.root;
    if (judge.layout.va.rule === 'split' && upper && vector.root2 === undefined) continue; // no root, no walk
    const supervisor = vector.mode === 'super' ? 1 : 0;
    const found = judge.walk(
      memory,
      lowOf(root),
      highOf(root),
      lowOf(vector.va),
      highOf(vector.va),
      'rwx'.indexOf(vector.access),
      supervisor,
    );
    const wanted = vector.expect;
    const refs = Array.from({ length: found.references }, (_, i) => hex(join(found.addressLo[i], found.addressHi[i])));
    const outcome = { id: vector.id, outcome: found.outcome, level: found.level, refs };
    expect(outcome).toEqual({ id: vector.id, outcome: wanted.kind ?? 'hit', level: wanted.level, refs: wanted.refs });
    if (wanted.result === 'hit') {
      expect([vector.id, hex(join(found.paLo, found.paHi)), found.pageShift]).toEqual([vector.id, wanted.pa, wanted.pageShift]);
    }
    // Only virtual page tables write on a walk that fails; an entry that serves on several levels is listed for each.
    const written = new Map([...memory.written].map(([address, entry]) => [hex(address), hex(entry)]));
    expect([vector.id, written]).toEqual([vector.id, new Map(wanted.writes ?? [])]);
  }
}, 300_000);
