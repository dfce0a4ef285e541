/**
 * Random page tables, walked by the reference and by the compiled walk side by side. Tables are hostile: pointers lead
 * anywhere, also back up, bits flip, entries are noise.
 */
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  compileLayout,
  compileWalk,
  compileWalker,
  type LayoutDescriptor,
  type Options,
  type PageTableFormat,
  type ReferenceMemory,
  type U64,
  WALK_BUS,
  WALK_FAULTS,
  WALK_HIT,
  WALK_NONCANONICAL,
  type WalkMemory,
  type WalkRequest,
  walkReference,
} from '../../../../hostkernel/machine/paging/index.ts';
import { readEntry, TableTree, writeEntry } from './builder.ts';

const BASE = 8192; // bytes before address 0
const REGION = 65536; // bytes: the largest table of any format
const REGIONS = 8; // region r has tables of level r % levels
export const GUEST_BYTES = REGION * REGIONS;
const POOL = 1024; // random entries of a level
const ACCESSES = [
  ['r', READ],
  ['w', WRITE],
  ['x', EXEC],
] as const;

/** A random 32-bit generator: the same seed gives the same tables. */
export function randomOf(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d);
    state = Math.imul(state ^ (state >>> 12), 0x297a2d39);
    state = (state ^ (state >>> 15)) + 0x9e3779b9;
    return state >>> 0;
  };
}

class OutsideRam extends Error {}

/** RAM as the reference walk sees it. Where two stages differ in the size or order of entries, an address tells them apart. */
class RamMemory implements ReferenceMemory {
  readonly ram: WalkMemory;
  readonly #formatAt: (address: number) => PageTableFormat;
  constructor(ram: WalkMemory, formatAt: (address: number) => PageTableFormat) {
    this.ram = ram;
    this.#formatAt = formatAt;
  }
  #check({ lo, hi }: U64): number {
    if (hi !== 0 || lo >= this.ram.frames * PAGE_SIZE) throw new OutsideRam();
    return lo;
  }
  read(address: U64): U64 {
    const at = this.#check(address);
    const { lo, hi } = readEntry(this.#formatAt(at), this.ram, at);
    return { lo: lo >>> 0, hi: hi >>> 0 };
  }
  write(address: U64, entry: U64): void {
    const at = this.#check(address);
    writeEntry(this.#formatAt(at), this.ram, at, entry.lo | 0, entry.hi | 0);
  }
}

/** Where a table of `level` may be: any place in one of its regions. */
function someTable(format: PageTableFormat, level: number, random: () => number): number {
  const per = Math.ceil((REGIONS - level) / format.levels);
  const region = level + (random() % per) * format.levels;
  const step = Math.max(format.tableAlign(level), format.tableBytes(level));
  return region * REGION + (random() % Math.max(1, REGION / step)) * step;
}

/** One random entry for a table of `level`, in halves: mostly pointers and leaves, sometimes with a bit wrong, sometimes noise. */
export function randomEntry(format: PageTableFormat, level: number, random: () => number): [number, number] {
  const style = random() % 16;
  let lo = random();
  let hi = random();
  if (style < 11 && level > 0) {
    const address = style === 0 ? (random() % (2 * GUEST_BYTES)) & -4096 : someTable(format, level - 1, random);
    [lo, hi] = [format.tableLo(level, address), format.tableHi(level, address)];
  } else if (style < 14 && format.hasLeaf(level)) {
    // A leaf; large ones aligned, unless they need not be.
    const span = format.span(level);
    const frames = 2 ** format.frameBits;
    // A third of them in low memory.
    const any = style === 12 ? random() % (GUEST_BYTES / PAGE_SIZE) : random() * 2 ** 21 + (random() >>> 11);
    const frame = format.offsetAdds ? any % frames : (any % (frames / span)) * span;
    const attributes = random() & 127;
    [lo, hi] = [format.leafLo(level, frame, attributes), format.leafHi(level, frame, attributes)];
    if (style === 13) lo |= random() & 0xff;
  } else if (style === 14) {
    hi = 0;
  }
  if (random() % 8 === 0) {
    const bit = random() % 64;
    if (bit < 32) lo ^= 1 << bit;
    else hi ^= 1 << (bit - 32);
  }
  return [lo | 0, format.entryBytes === 8 ? hi | 0 : 0];
}

/** Fills the regions of `ram` with random tables of `format`. */
export function fillTables(format: PageTableFormat, ram: WalkMemory, random: () => number): void {
  // Drawn from a few hundred entries a level: making one takes longer than a walk.
  const pools = Array.from({ length: format.levels }, (_, level) => Array.from({ length: POOL }, () => randomEntry(format, level, random)));
  for (let at = 0; at < GUEST_BYTES; at += format.entryBytes) {
    const [lo, hi] = pools[Math.floor(at / REGION) % format.levels][random() % POOL];
    writeEntry(format, ram, at, lo, hi);
  }
}

/** A random address; mostly one the format can express. */
export function randomAddress({ vaBits, descriptor }: PageTableFormat, random: () => number): U64 {
  let va: U64 = { lo: random(), hi: 0 };
  if (vaBits > 32) {
    const upper = random() % 2 ** (vaBits - 32);
    const { rule } = descriptor.va;
    const ones = (rule === 'sign' && upper >= 2 ** (vaBits - 33)) || (rule === 'split' && random() % 2 === 0);
    va = { lo: va.lo, hi: (ones ? upper - 2 ** (vaBits - 32) : upper) >>> 0 };
  }
  return random() % 32 === 0 ? { lo: va.lo, hi: random() } : va;
}

/** The root table that a register names, if it is a page and entries above it restrict nothing. */
function rootTable(format: PageTableFormat, { lo, hi }: U64): number | null {
  const { levels, descriptor } = format;
  if (descriptor.levels[0].bits === 0 && descriptor.root.kind === 'pointer') return null; // behind a context table
  if (descriptor.root.kind === 'pointer') return lo % Math.max(PAGE_SIZE, format.tableAlign(levels - 1)) === 0 ? lo : null;
  const address = format.tableAddress(levels, lo, hi);
  if ((lo | 0) !== format.rootLo(address) || (hi | 0) !== format.rootHi(address)) return null;
  return address < 2 ** 32 ? address : null;
}

/** The register for a root table in the regions, or a root entry where that is what the register holds. */
export function randomRoot(format: PageTableFormat, random: () => number): U64 {
  if (format.descriptor.root.kind === 'value') {
    const [lo, hi] = randomEntry(format, format.levels, random);
    return { lo: lo >>> 0, hi: hi >>> 0 };
  }
  if (random() % 16 === 0) return { lo: (random() % (2 * GUEST_BYTES)) & -4096, hi: 0 };
  return { lo: someTable(format, format.levels - 1, random), hi: 0 };
}

export interface SecondStage {
  readonly layout: LayoutDescriptor;
  readonly options: Options;
}

/**
 * Walks `walks` random addresses through random tables made from `seed`, twice. Accessed and dirty bits accumulate. With
 * a second stage the tables lie in a guest's memory, whose pages are elsewhere in RAM, a few of them not as they should.
 * @returns how many walks ended in each result
 * @throws Error that names the seed and the walk if the two disagree in result, reads, or anything written
 */
export function compareWalks(
  layout: LayoutDescriptor,
  options: Options,
  seed: number,
  walks: number,
  second: SecondStage | null = null,
): Map<string, number> {
  const random = randomOf(seed);
  const format = compileLayout(layout);
  const bytes = second === null ? GUEST_BYTES : GUEST_BYTES + 2 ** 21;
  const make = (): WalkMemory => ({ base: BASE, frames: bytes / PAGE_SIZE, i32: new Int32Array((BASE + bytes) / 4) });
  const ram = make();
  fillTables(format, ram, random);

  // The second stage maps a guest's pages back to front, behind the guest's memory lie its tables.
  let secondRoot = 0;
  const inner = second === null ? format : compileLayout(second.layout);
  if (second !== null) {
    const tree = new TableTree(inner, ram, GUEST_BYTES);
    const guestPages = GUEST_BYTES / PAGE_SIZE;
    for (let page = 0; page < guestPages + 4; page++) {
      const attributes = random() % 16 === 0 ? random() & 127 : READ | WRITE | EXEC | 8;
      const entry = tree.map(page, (page * 5) % guestPages, attributes);
      if (random() % 32 === 0) {
        const { lo, hi } = readEntry(inner, ram, entry);
        writeEntry(inner, ram, entry, lo ^ (1 << (random() % 32)), hi);
      }
    }
    secondRoot = tree.register();
  }
  const other: WalkMemory = { ...ram, i32: ram.i32.slice() };
  const memory = new RamMemory(other, (address) => (address < GUEST_BYTES ? format : inner));

  const setup = {
    layout,
    options,
    memory: ram,
    keepsReferences: true,
    ...(second === null ? {} : { second: { layout: second.layout, options: second.options } }),
  };
  // The machine's walk begins at the root table: a third memory, where the registers can name one.
  const machine: WalkMemory = { ...ram, i32: ram.i32.slice() };
  const optioned = compileLayout(layout, options);
  const hardware = { user: compileWalk(optioned, machine, 'user'), super: compileWalk(optioned, machine, 'super') };
  const compiled = { user: compileWalker({ ...setup, mode: 'user' }), super: compileWalker({ ...setup, mode: 'super' }) };
  const tally = new Map<string, number>();

  for (let i = 0; i < walks; i++) {
    const mode = random() % 4 === 0 ? 'super' : 'user';
    const [access, accessBit] = ACCESSES[random() % 3];
    const va = randomAddress(format, random);
    const root = randomRoot(optioned, random);
    const root2 = random() % 8 === 0 ? null : randomRoot(optioned, random);

    const { walk, result, registers } = compiled[mode];
    registers.rootLo = root.lo;
    registers.rootHi = root.hi;
    registers.hasUpperRoot = root2 !== null;
    registers.upperRootLo = root2?.lo ?? 0;
    registers.upperRootHi = root2?.hi ?? 0;
    registers.secondRootLo = secondRoot | 0;
    registers.secondRootHi = Math.floor(secondRoot / 2 ** 32) | 0;
    const code = walk(va.lo, va.hi, accessBit);
    const request: WalkRequest = {
      root,
      ...(root2 === null ? {} : { root2 }),
      va,
      access,
      mode,
      options,
      ...(second === null ? {} : { second: { ...second, root: { lo: secondRoot >>> 0, hi: Math.floor(secondRoot / 2 ** 32) } } }),
    };
    if (second === null) {
      const table = rootTable(optioned, root);
      const isUpper = layout.va.rule === 'split' && code !== WALK_NONCANONICAL && va.hi >>> 31 === 1;
      if (table === null || isUpper)
        machine.i32.set(ram.i32); // not the machine's: what the walk changed it has not
      else {
        const own = hardware[mode];
        const outcome = own.walk(table / PAGE_SIZE, va.lo, va.hi, accessBit);
        const same =
          outcome === code && own.result.references === result.references && own.result.level === Math.min(result.level, format.levels - 1);
        const hit =
          own.result.frame === result.frame && own.result.pageShift === result.pageShift && own.result.attributes === result.attributes;
        if (!same || (code === WALK_HIT && !hit)) {
          throw new Error(
            `${layout.id}: seed ${seed}, walk ${i}: the machine says ${WALK_FAULTS[outcome] ?? 'hit'} ${JSON.stringify(own.result)}`,
          );
        }
      }
    }
    let name: string;
    let agrees: boolean;
    try {
      const wanted = walkReference(layout, memory, request);
      name = wanted.result === 'hit' ? `hit ${wanted.level}` : wanted.kind;
      agrees = result.references === wanted.refs.length && result.level === wanted.level;
      for (let r = 0; agrees && r < wanted.refs.length; r++) {
        const { lo, hi, stage } = wanted.refs[r];
        agrees = result.addresses[r] === hi * 2 ** 32 + lo && result.stages[r] === stage;
      }
      if (wanted.result === 'hit') {
        const frameOf = wanted.pa.hi * 2 ** 20 + (wanted.pa.lo >>> 12);
        agrees &&= code === WALK_HIT && result.pageShift === wanted.pageShift && result.frame === frameOf;
        agrees &&= (result.attributes & accessBit) !== 0;
        if (second !== null)
          agrees &&= result.guestFrame === wanted.gpa.hi * 2 ** 20 + (wanted.gpa.lo >>> 12) && result.level2 === wanted.level2;
      } else {
        agrees &&= WALK_FAULTS[code] === wanted.kind && result.stage === wanted.stage && result.implicit === wanted.implicit;
        if (wanted.gpa !== null) agrees &&= result.guestFrame === wanted.gpa.hi * 2 ** 20 + (wanted.gpa.lo >>> 12);
        if (second !== null) name = `${name} ${wanted.stage}${wanted.implicit ? ' implicit' : ''}`;
      }
    } catch (error) {
      if (!(error instanceof OutsideRam)) throw error;
      name = 'bus';
      agrees = code === WALK_BUS;
    }
    tally.set(name, (tally.get(name) ?? 0) + 1);
    if (agrees) continue;
    const got = `${WALK_FAULTS[code] ?? 'hit'} ${JSON.stringify({ ...result, addresses: [], stages: [] })}`;
    throw new Error(`${layout.id}: seed ${seed}, walk ${i}: wanted ${name}, got ${got}`);
  }
  const differs = ram.i32.findIndex((word, i) => word !== other.i32[i] || (second === null && word !== machine.i32[i]));
  if (differs >= 0) throw new Error(`${layout.id}: seed ${seed}: word ${differs} was written differently`);
  return tally;
}
