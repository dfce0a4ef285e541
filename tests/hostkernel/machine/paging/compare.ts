/**
 * Random page tables, walked by the reference and by the compiled walk side by side. Tables are hostile: pointers lead
 * anywhere, also back up, bits flip, entries are noise.
 */
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  compileLayout,
  compileWalk,
  type LayoutDescriptor,
  type Options,
  type PageTableFormat,
  type ReferenceMemory,
  type U64,
  WALK_BUS,
  WALK_FAULTS,
  WALK_HIT,
  walkReference,
} from '../../../../hostkernel/machine/paging/index.ts';

const FRAMES = 12;
const BASE = 8192; // bytes before frame 0
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

class ArrayMemory implements ReferenceMemory {
  readonly i32: Int32Array;
  readonly #wide: boolean;
  constructor(i32: Int32Array, wide: boolean) {
    this.i32 = i32;
    this.#wide = wide;
  }
  #word({ lo, hi }: U64): number {
    if (hi !== 0 || lo >= FRAMES * PAGE_SIZE) throw new OutsideRam();
    return (BASE + lo) / 4;
  }
  read(address: U64): U64 {
    const word = this.#word(address);
    return { lo: this.i32[word] >>> 0, hi: this.#wide ? this.i32[word + 1] >>> 0 : 0 };
  }
  write(address: U64, entry: U64): void {
    const word = this.#word(address);
    this.i32[word] = entry.lo;
    if (this.#wide) this.i32[word + 1] = entry.hi;
  }
}

/** One random entry for a table of `level`, in halves. */
function randomEntry(format: PageTableFormat, level: number, random: () => number): [number, number] {
  const style = random() % 16;
  let lo = random();
  let hi = random();
  if (style < 11 && level > 0) {
    // Mostly to a table of the next level, where the tables of level l are the frames f with f % levels === l.
    const below = (random() % (FRAMES / format.levels)) * format.levels + level - 1;
    const frame = style === 0 ? random() % (FRAMES + 8) : below;
    [lo, hi] = [format.tableLo(level, frame * PAGE_SIZE), format.tableHi(level, frame * PAGE_SIZE)];
  } else if (style < 14) {
    // A leaf; large ones aligned, unless they need not be.
    const span = format.span(level);
    const frames = 2 ** format.frameBits;
    const any = random() * 2 ** 21 + (random() >>> 11);
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
  return [lo | 0, hi | 0];
}

/**
 * Walks `walks` random addresses through random tables made from `seed`, twice. Accessed and dirty bits accumulate.
 * @returns how many walks ended in each result
 * @throws Error that names the seed and the walk if the two disagree in result, reads, or anything written
 */
export function compareWalks(layout: LayoutDescriptor, options: Options, seed: number, walks: number): Map<string, number> {
  const random = randomOf(seed);
  const format = compileLayout(layout);
  const wide = layout.entryBytes === 8;
  const words = (BASE + FRAMES * PAGE_SIZE) / 4;
  const memory = new ArrayMemory(new Int32Array(words), wide);
  const step = wide ? 2 : 1;
  for (let word = BASE / 4; word < words; word += step) {
    // Frames are tables of fixed levels, as far as pointers behave.
    const level = Math.floor((word * 4 - BASE) / PAGE_SIZE) % format.levels;
    const [lo, hi] = randomEntry(format, level, random);
    memory.i32[word] = lo;
    if (wide) memory.i32[word + 1] = hi;
  }
  const ram = { base: BASE, frames: FRAMES, i32: memory.i32.slice() };
  const optioned = compileLayout(layout, options);
  const compiled = { user: compileWalk(optioned, ram, 'user'), super: compileWalk(optioned, ram, 'super') };
  const tally = new Map<string, number>();

  for (let i = 0; i < walks; i++) {
    const mode = random() % 4 === 0 ? 'super' : 'user';
    const [access, accessBit] = ACCESSES[random() % 3];
    let va: U64 = { lo: random(), hi: 0 };
    if (format.vaBits > 32) {
      const upper = random() % 2 ** (format.vaBits - 32);
      const signed = layout.va.rule === 'sign' && upper >= 2 ** (format.vaBits - 33);
      va = { lo: va.lo, hi: (signed ? upper - 2 ** (format.vaBits - 32) : upper) >>> 0 };
    }
    if (random() % 32 === 0) va = { lo: va.lo, hi: random() };
    const tables = FRAMES / format.levels;
    const frame = random() % 8 === 0 ? random() % (FRAMES + 2) : (random() % tables) * format.levels + format.levels - 1;
    let root: U64 = { lo: frame * PAGE_SIZE, hi: 0 };
    let hardwareRoot = frame;
    if (layout.root.kind === 'value') {
      const [lo, hi] = randomEntry(format, format.levels, random);
      root = { lo: lo >>> 0, hi: wide ? hi & 0xf_ffff : 0 }; // a root is a number below 2^53
      hardwareRoot = root.hi * 2 ** 32 + root.lo;
    }

    const { walk, result } = compiled[mode];
    const code = walk(hardwareRoot, va.lo, va.hi, accessBit);
    let name: string;
    let agrees: boolean;
    try {
      const wanted = walkReference(layout, memory, { root, va, access, mode, options });
      name = wanted.result === 'hit' ? `hit ${wanted.level}` : wanted.kind;
      agrees = result.references === wanted.refs.length && result.level === wanted.level;
      if (wanted.result === 'hit') {
        const frameOf = wanted.pa.hi * 2 ** 20 + (wanted.pa.lo >>> 12);
        agrees &&= code === WALK_HIT && result.pageShift === wanted.pageShift && result.frame === frameOf;
        agrees &&= (result.attributes & accessBit) !== 0;
      } else agrees &&= WALK_FAULTS[code] === wanted.kind;
    } catch (error) {
      if (!(error instanceof OutsideRam)) throw error;
      name = 'bus';
      agrees = code === WALK_BUS;
    }
    tally.set(name, (tally.get(name) ?? 0) + 1);
    if (!agrees)
      throw new Error(`${layout.id}: seed ${seed}, walk ${i}: wanted ${name}, got ${WALK_FAULTS[code] ?? 'hit'} ${JSON.stringify(result)}`);
  }
  const differs = ram.i32.findIndex((word, i) => word !== memory.i32[i]);
  if (differs >= 0) throw new Error(`${layout.id}: seed ${seed}: word ${differs} was written differently`);
  return tally;
}
