/**
 * The fuzz target `vpte`: a guest that writes whatever it likes into its virtual page tables and their roots, against
 * the judge walking a copy of the object. A case is a root, the entries on the way to an address, some of them pointing
 * back, to themselves or beyond the object, and a few accesses with edits and invalidations between them.
 *
 *   world, one a layout:  machine of 256 frames, canaries, objects of several sizes, each mapped at several offsets,
 *                         so that indexes lie at 0, 2^19, 2^20, 2^27, 2^31, 2^32, 2^36 ... 2^51
 *
 * After each access: the result, the very page it reached, the rights of the real PTE, the entries read and marked, and
 * the counters. After each case: every word of the object, and which pages of it have frames. After each batch: the
 * canaries and all invariants.
 */
import { Tracer } from '../../hostkernel/base/trace.ts';
import {
  type Access,
  EXEC,
  type HostFrame,
  type ObjectPage,
  PAGE_SIZE,
  READ,
  type VirtualPage,
  WRITE,
} from '../../hostkernel/base/units.ts';
import { compileLayout, LAYOUT_NAMES, type LayoutDescriptor, layoutByName, Machine } from '../../hostkernel/machine/index.ts';
import {
  FAULT_INVALID,
  FAULT_NAMES,
  FAULT_OK,
  FAULT_PROTECTION,
  MADV_INVAL,
  MADV_SETMAP,
  MAP_ANON,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_VPAGETABLE,
  Vm,
  type VmObject,
  type VmSpace,
} from '../../hostkernel/vm/index.ts';
import { type Batches, type Campaign, Coverage, type Failure, runBatches, type Target } from './campaign.ts';
import { EntryMaker, LEAF, OTHER, TABLE } from './entries.ts';
import { type EntryMemory, indexOf, Judge, type Layout } from './judge.ts';
import { Random } from './random.ts';

export const VPTE_BATCH = 512;
/** Layouts whose root is a value, or names the directory as the format of 2006 does: all generations. */
export const VPTE_LAYOUTS = LAYOUT_NAMES.filter((name) => name.startsWith('vpte-'));

const FRAMES = 256;
const NEAR = 16; // pages that hold the tables and most of the data
const WINDOW = 64; // pages a mapping is long
const CANARIES = 24;
/** Pages of the objects: a small image, one page, the most an anonymous object has. */
const SIZES = [NEAR, 1, 2 ** 31 - 1, 2 ** 20 + 3];
/** Where the mappings begin in the range of their virtual page table, in pages. */
const OFFSETS = [0, 2 ** 19, 2 ** 20, 2 ** 27, 2 ** 31, 2 ** 32, 2 ** 36, 2 ** 41, 2 ** 45, 2 ** 51].map((at) =>
  Math.max(0, at - WINDOW / 2),
);
const ACCESSES: readonly Access[] = [READ, WRITE, EXEC];

/** A copy of an object's content, as entries and as bytes. */
class Snapshot implements EntryMemory {
  lo = 0;
  hi = 0;
  sizePages = 0;
  readonly pages = new Map<number, Int32Array>();
  wide = false;
  swapped = false;
  /** Entries changed since it was set to 0. */
  marks = 0;
  readonly #spare: Int32Array[] = [];

  page(index: number): Int32Array {
    let page = this.pages.get(index);
    if (page === undefined) {
      page = this.#spare.pop() ?? new Int32Array(PAGE_SIZE / 4);
      page.fill(0);
      this.pages.set(index, page);
    }
    return page;
  }

  clear(): void {
    for (const page of this.pages.values()) this.#spare.push(page);
    this.pages.clear();
  }

  read(addressLo: number, addressHi: number): boolean {
    const index = (addressHi >>> 0) * 2 ** 20 + (addressLo >>> 12);
    if (index >= this.sizePages) return false;
    const page = this.page(index);
    const at = (addressLo & 4095) >>> 2;
    if (!this.wide) {
      this.lo = this.swapped ? swap(page[at]) : page[at];
      this.hi = 0;
    } else {
      this.lo = this.swapped ? swap(page[at + 1]) : page[at];
      this.hi = this.swapped ? swap(page[at]) : page[at + 1];
    }
    return true;
  }

  write(addressLo: number, addressHi: number, lo: number, hi: number): void {
    this.marks += 1;
    const page = this.page((addressHi >>> 0) * 2 ** 20 + (addressLo >>> 12));
    const at = (addressLo & 4095) >>> 2;
    if (!this.wide) page[at] = this.swapped ? swap(lo) : lo;
    else {
      page[at] = this.swapped ? swap(hi) : lo;
      page[at + 1] = this.swapped ? swap(lo) : hi;
    }
  }
}

function swap(word: number): number {
  return (word << 24) | ((word << 8) & 0xff0000) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

interface Mapping {
  readonly object: VmObject;
  readonly start: number; // page
  readonly offset: number; // pages
}

/** One layout's machine. */
class World {
  readonly layout: Layout;
  readonly judge: Judge;
  readonly maker: EntryMaker;
  readonly machine: Machine;
  readonly vm: Vm;
  readonly space: VmSpace;
  readonly mappings: Mapping[] = [];
  /** Those whose first pages the layout can express. */
  readonly expressible: readonly Mapping[];
  readonly snapshot = new Snapshot();
  readonly #canary: VmObject;
  readonly #canaryPages = new Int32Array((CANARIES * PAGE_SIZE) / 4);
  readonly #own: number;
  readonly #other: VmSpace;

  constructor(name: string) {
    const descriptor = layoutByName(name) as LayoutDescriptor;
    this.layout = descriptor as unknown as Layout; // the same JSON
    this.judge = new Judge(this.layout, { strictva: 1 });
    this.maker = new EntryMaker(this.judge);
    const machine = Machine.create({ ramBytes: FRAMES * PAGE_SIZE });
    const mmu = layoutByName('sv48');
    if (machine === null || mmu === null) throw new Error('no machine');
    this.machine = machine;
    this.vm = new Vm(machine, new Tracer());
    const [space, other] = [0, 0].map(() => this.vm.createSpace(compileLayout(mmu), 64));
    if (space === null || other === null) throw new Error('no space');
    this.space = space;
    this.#other = other;
    space.vpteFormat = compileLayout(descriptor);
    this.snapshot.wide = this.layout.entryBytes === 8;
    this.snapshot.swapped = this.layout.endian === 'be';

    for (let i = 0; i < this.#canaryPages.length; i += 1) this.#canaryPages[i] = Math.imul(i, 0x9e37_79b1) | 1;
    const bytes = new Uint8Array(this.#canaryPages.buffer);
    this.#canary = this.vm.createObject(CANARIES);
    this.#canary.write(0, bytes);
    this.#own = other.mmap({ addr: 0, len: bytes.length, prot: 3, flags: MAP_PRIVATE | MAP_ANON, object: null, offset: 0 });
    if (other.copyOut(this.#own, bytes) !== bytes.length) throw new Error('no canaries');

    for (const size of SIZES) {
      const object = this.vm.createObject(size);
      for (const offset of OFFSETS) {
        const start = (this.mappings.length + 1) * 2 ** 20; // 4 GiB from one to the next
        const flags = MAP_SHARED | MAP_FIXED | MAP_VPAGETABLE;
        const request = { addr: start * PAGE_SIZE, len: WINDOW * PAGE_SIZE, prot: 7, flags, object, offset: offset * PAGE_SIZE };
        if (space.mmap(request) !== request.addr) throw new Error('mmap');
        this.mappings.push({ object, start, offset });
      }
    }
    const pages = 2 ** (this.layout.va.bits - 12);
    this.expressible = this.mappings.filter(({ offset }) => offset < pages);
  }

  check(): void {
    this.vm.assertInvariants();
    this.machine.mmu.assertInvariants();
    const bytes = new Uint8Array(this.#canaryPages.buffer);
    const found = new Uint8Array(bytes.length);
    this.#canary.read(0, found);
    if (Buffer.compare(found, bytes) !== 0) throw new Error('a canary of another object was written');
    this.#other.copyIn(this.#own, found);
    if (Buffer.compare(found, bytes) !== 0) throw new Error("a canary in another space's private memory was written");
  }
}

interface Cached {
  readonly index: number;
  readonly rights: number;
}

class VpteCases implements Batches {
  readonly size = VPTE_BATCH;
  readonly coverage = new Coverage();
  readonly #seed: number;
  #worlds = new Map<string, World>();
  #world: World | null = null;
  readonly #layouts: readonly string[];
  readonly #bytes = new Uint8Array(8);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #cached = new Map<number, Cached>();
  readonly #tables: number[] = [];
  readonly #places: { at: number; address: number }[] = [];
  readonly #counts = new Map<string, number>();
  #rootLo = 0;
  #rootHi = 0;
  #log: string[] | null = null;

  constructor(seed: number, layouts: readonly string[]) {
    this.#seed = seed;
    this.#layouts = layouts;
  }

  renew(): void {
    this.#worlds = new Map();
    this.#world = null;
  }

  check(): void {
    this.#world?.check();
  }

  run(index: number): void {
    const name = this.#layouts[Math.floor(index / VPTE_BATCH) % this.#layouts.length];
    let world = this.#worlds.get(name);
    if (world === undefined) {
      world = new World(name);
      this.#worlds.set(name, world);
    }
    this.#world = world;
    try {
      this.#case(world, new Random(this.#seed, index));
    } catch (error) {
      // Once more, on a new machine, to say what it did.
      this.#log = [];
      let again: unknown = error;
      try {
        this.#case(new World(name), new Random(this.#seed, index));
      } catch (second) {
        again = second;
      }
      const what = again instanceof Error ? again : new Error(String(again));
      const failure = new Error(`${name}, case ${index}: ${what.message}\n  ${this.#log.join('\n  ')}`);
      failure.stack = `${failure.message}\n${what.stack ?? ''}`;
      this.#log = null;
      throw failure;
    }
  }

  /** The counts of a campaign, to be called at its end. */
  total(): Coverage {
    for (const [key, times] of this.#counts) {
      const [operation, outcome] = key.split('|');
      this.coverage.count(operation, outcome, times);
    }
    this.#counts.clear();
    return this.coverage;
  }

  #count(operation: string, outcome: string): void {
    const key = `${operation}|${outcome}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  #case(world: World, random: Random): void {
    const mapping = random.oneIn(12) ? random.pick(world.mappings) : random.pick(world.expressible);
    const { snapshot } = world;
    const { object } = mapping;
    snapshot.sizePages = object.sizePages;
    this.#cached.clear();
    const at = random.below(WINDOW);
    const access = random.below(3);
    this.#build(world, mapping, at, access, random);
    this.#setRoot(world, mapping, random);
    const accesses = random.between(1, 4);
    for (let i = 0; i < accesses; i += 1) {
      const offset = !random.oneIn(3) ? at : random.oneIn(2) ? (at + 1) % WINDOW : random.below(WINDOW);
      this.#access(world, mapping, offset, random.oneIn(2) ? access : random.below(3), random);
      if (random.oneIn(3)) this.#edit(world, mapping, access, random);
      if (random.oneIn(2)) this.#invalidate(world, mapping, offset);
    }
    this.#compare(world, object);
    this.#reset(world, mapping);
  }

  /** Entries on the way to page `at` of the mapping, in object and copy; what does not go through them is noise or zero. */
  #build(world: World, mapping: Mapping, at: number, access: number, random: Random): void {
    const { layout, maker } = world;
    const { entry } = maker;
    const index = mapping.offset + at;
    const vaLo = ((index % 2 ** 20) * PAGE_SIZE) | 0;
    const vaHi = Math.floor(index / 2 ** 20) | 0;
    const pages = Math.min(NEAR, mapping.object.sizePages);
    this.#tables.length = 0;
    this.#places.length = 0;
    for (let i = random.below(3); i > 0; i -= 1) {
      this.#poke(world, mapping.object, random.below(pages) * PAGE_SIZE + random.below(512) * 8, random.word(), random.word());
    }
    const isValue = layout.root.kind === 'value';
    let table = isValue ? -1 : random.below(pages) * PAGE_SIZE;
    this.#rootLo = isValue ? 0 : table / PAGE_SIZE;
    this.#rootHi = 0;
    if (!isValue && random.oneIn(12)) this.#rootLo = pages + random.below(3);
    const depth = layout.levels.length;
    for (let position = 0; position < depth; position += 1) {
      const { lo: shift, bits } = layout.levels[position];
      let kind = position === depth - 1 ? LEAF : random.oneIn(9) ? LEAF : TABLE;
      if (random.oneIn(30)) kind = OTHER;
      if (!maker.has(position, kind)) kind = maker.has(position, TABLE) ? TABLE : LEAF;
      let page = random.below(pages);
      if (this.#tables.length > 0 && random.oneIn(9)) page = this.#tables[random.below(this.#tables.length)];
      if (random.oneIn(30)) page = random.pick([pages, pages - 1, pages + 1, 2 ** 19 - 1, 2 ** 18]);
      const target = page * PAGE_SIZE;
      maker.make(position, kind, access, kind === LEAF && random.oneIn(10) ? -1 : target, random);
      if (random.oneIn(40)) entry.hi |= (random.word() & 0xfffff) >>> random.below(20);
      if (layout.entryBytes === 4) entry.hi = 0;
      if (isValue && position === 0) {
        this.#rootLo = entry.lo;
        this.#rootHi = entry.hi & 0x1f_ffff;
      } else {
        const address = table + indexOf(vaLo, vaHi, shift, bits) * layout.entryBytes;
        if (address + layout.entryBytes > mapping.object.sizePages * PAGE_SIZE) return;
        this.#poke(world, mapping.object, address, entry.lo, entry.hi);
        this.#places.push({ at: position, address });
      }
      if (kind !== TABLE) return;
      table = target;
      this.#tables.push(page);
    }
  }

  /** Writes an entry, as the guest would through its linear view. */
  #poke(world: World, object: VmObject, address: number, lo: number, hi: number): void {
    const bytes = world.layout.entryBytes;
    const { snapshot } = world;
    snapshot.write(address | 0, Math.floor(address / 2 ** 32), lo, hi);
    if (snapshot.swapped) {
      if (bytes === 8) this.#view.setInt32(0, hi);
      this.#view.setInt32(bytes - 4, lo);
    } else {
      this.#view.setInt32(0, lo, true);
      this.#view.setInt32(4, hi, true);
    }
    const written = object.write(address, bytes === 8 ? this.#bytes : this.#bytes.subarray(0, 4));
    if (written !== bytes) throw new Error(`a write to the object at ${address} gives ${written}`);
    this.#log?.push(`entry at 0x${address.toString(16)} = ${hex(hi, lo)}`);
  }

  #setRoot(world: World, mapping: Mapping, random: Random): void {
    const { space } = world;
    const address = mapping.start * PAGE_SIZE;
    const root = (this.#rootHi >>> 0) * 2 ** 32 + (this.#rootLo >>> 0);
    this.#log?.push(`object of ${mapping.object.sizePages} pages, offset ${mapping.offset}, root ${hex(this.#rootHi, this.#rootLo)}`);
    const result = space.mcontrol(address, WINDOW * PAGE_SIZE, MADV_SETMAP, root);
    if (result !== 0) throw new Error(`SETMAP gives ${result}`);
    if (random.oneIn(64)) {
      // What is no root changes nothing.
      const wrong = random.pick([2 ** 53, 2 ** 63, -1, 2 ** 64, 1.5, Number.NaN, -(2 ** 31)]);
      if (space.mcontrol(address, WINDOW * PAGE_SIZE, MADV_SETMAP, wrong) >= 0) throw new Error(`SETMAP takes ${wrong}`);
      this.#count('setmap', 'refused');
    }
    this.#count('setmap', 'ok');
  }

  /** Another entry in the place of one on the way, without invalidation: what is cached may stay. */
  #edit(world: World, mapping: Mapping, access: number, random: Random): void {
    if (this.#places.length === 0) return;
    const { at, address } = random.pick(this.#places);
    const { entry } = world.maker;
    const kind = at === world.layout.levels.length - 1 ? LEAF : random.oneIn(2) ? TABLE : LEAF;
    world.maker.make(at, kind, access, random.below(Math.min(NEAR, mapping.object.sizePages)) * PAGE_SIZE, random);
    this.#poke(world, mapping.object, address, entry.lo, entry.hi);
    this.#count('edit', kind === LEAF ? 'leaf' : 'table');
  }

  #invalidate(world: World, mapping: Mapping, offset: number): void {
    const page = mapping.start + offset;
    const result = world.space.mcontrol(page * PAGE_SIZE, PAGE_SIZE, MADV_INVAL, 0);
    if (result !== 0 || world.space.pmap.extract(page as VirtualPage) !== 0) throw new Error('INVAL leaves a translation');
    this.#cached.delete(page);
    this.#log?.push(`invalidate page ${offset}`);
    this.#count('inval', 'ok');
  }

  #access(world: World, mapping: Mapping, offset: number, kind: number, random: Random): void {
    const { space, judge, snapshot, vm } = world;
    const { verdict } = judge;
    const { object } = mapping;
    const access = ACCESSES[kind];
    const page = mapping.start + offset;
    const va = page * PAGE_SIZE + random.below(1024) * 4;
    const cached = this.#cached.get(page);
    let wanted: Cached | null = null;
    let refusal = FAULT_OK;
    let [walks, references, marks] = [0, 0, 0];
    if (cached !== undefined && (cached.rights & access) !== 0) wanted = cached;
    else {
      walks = 1;
      const index = mapping.offset + offset;
      if (index >= 2 ** 52) refusal = FAULT_INVALID;
      else {
        snapshot.marks = 0;
        judge.walk(
          snapshot,
          this.#rootFor(world),
          this.#rootHi,
          ((index % 2 ** 20) * PAGE_SIZE) | 0,
          Math.floor(index / 2 ** 20) | 0,
          kind,
          0,
        );
        ({ references } = verdict);
        ({ marks } = snapshot);
        const found = (verdict.paHi >>> 0) * 2 ** 20 + (verdict.paLo >>> 12);
        if (verdict.outcome === 'bus') refusal = FAULT_PROTECTION;
        else if (verdict.outcome !== 'hit') refusal = FAULT_INVALID;
        else if (found >= object.sizePages) refusal = FAULT_PROTECTION;
        else wanted = { index: found, rights: this.#rightsOf(world, access) };
      }
    }

    const before = { walks: vm.counters.walks, references: vm.counters.walkReferences, updates: vm.counters.walkUpdates };
    let place = space.context.lookup(va, access);
    let result = FAULT_OK;
    if (place < 0) {
      result = space.fault(va, access);
      if (result === FAULT_OK) {
        place = space.context.lookup(va, access);
        if (place < 0) throw new Error('a resolved fault does not help');
      }
    }
    const outcome = wanted === null ? FAULT_NAMES[refusal] : cached === wanted ? 'cached' : `ok, leaf on level ${verdict.level}`;
    this.#log?.push(
      `${['read', 'write', 'fetch'][kind]} page ${offset}: ${FAULT_NAMES[result]}, wanted ${outcome} ${verdict.outcome} ${wanted?.index ?? ''}`,
    );
    this.#count(world.layout.id, wanted !== null ? outcome : `${outcome} (${verdict.outcome})`);
    if (result !== refusal)
      throw new Error(
        `the access gives ${FAULT_NAMES[result]} (${space.lastRefusal.reason}), wanted ${FAULT_NAMES[refusal]} (${verdict.outcome})`,
      );
    if (references > world.layout.levels.length) throw new Error('the walk is longer than there are levels');
    const made = {
      walks: vm.counters.walks - before.walks,
      references: vm.counters.walkReferences - before.references,
      updates: vm.counters.walkUpdates - before.updates,
    };
    if (made.walks !== walks || made.references !== references || made.updates !== marks) {
      throw new Error(`counted ${JSON.stringify(made)}, wanted ${JSON.stringify({ walks, references, updates: marks })}`);
    }
    if (wanted === null) return;

    // Where it led to, and what else is allowed there.
    const frame = object.lookup(wanted.index as ObjectPage);
    if (frame === 0 || world.machine.ram.offsetOf(frame) + (va % PAGE_SIZE) !== place)
      throw new Error(`the access reached another page than ${wanted.index}`);
    if (space.pmap.rights(page as VirtualPage) !== wanted.rights) {
      throw new Error(`mapped with rights ${space.pmap.rights(page as VirtualPage)}, wanted ${wanted.rights}`);
    }
    this.#cached.set(page, wanted);
    const copy = snapshot.page(wanted.index);
    const word = (va % PAGE_SIZE) / 4;
    if (world.machine.ram.i32[place / 4] !== copy[word]) throw new Error('the access sees another value');
    if (access === WRITE) {
      const garbage = random.word() | 0;
      copy[word] = garbage;
      world.machine.ram.i32[place / 4] = garbage;
    }
    const another = ACCESSES[random.below(3)];
    if (space.context.lookup(va, another) >= 0 !== ((wanted.rights & another) !== 0))
      throw new Error('the hardware permits something else');
  }

  /** The root as the judge takes it: the address of the directory, where a root is no entry. */
  #rootFor(world: World): number {
    return world.layout.root.kind === 'value' ? this.#rootLo : this.#rootLo << 12;
  }

  /** Rights of the real PTE after a walk: without write until the leaf is marked, never write alone. */
  #rightsOf({ judge: { verdict } }: World, access: number): number {
    let { rights } = verdict;
    if (access !== WRITE && !verdict.dirty) rights &= ~WRITE;
    return (rights & WRITE) !== 0 ? rights | READ : rights;
  }

  /** The object is, word for word, what the copy is; it has no other frames. */
  #compare({ machine, snapshot }: World, object: VmObject): void {
    let resident = 0;
    for (const [index, page] of snapshot.pages) {
      const frame: HostFrame = object.lookup(index as ObjectPage);
      if (frame === 0) {
        if (page.some((word) => word !== 0)) throw new Error(`page ${index} of the object is lost`);
        continue;
      }
      resident += 1;
      const from = machine.ram.offsetOf(frame) / 4;
      const real = machine.ram.i32.subarray(from, from + PAGE_SIZE / 4);
      if (Buffer.compare(bytesOf(real), bytesOf(page)) === 0) continue;
      const word = real.findIndex((value, i) => value !== page[i]);
      throw new Error(`word ${word} of page ${index} is ${hex(0, real[word])}, not ${hex(0, page[word])}`);
    }
    if (resident !== object.residentPages)
      throw new Error(`${object.residentPages - resident} pages of the object have frames that nobody asked for`);
  }

  #reset(world: World, mapping: Mapping): void {
    if (world.space.mcontrol(mapping.start * PAGE_SIZE, WINDOW * PAGE_SIZE, MADV_SETMAP, 0) !== 0) throw new Error('SETMAP');
    mapping.object.discard(0, mapping.object.sizePages);
    world.snapshot.clear();
    if (world.space.pmap.mapped !== 0 || mapping.object.residentPages !== 0) throw new Error('SETMAP leaves a translation');
  }
}

function bytesOf(words: Int32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

function hex(hi: number, lo: number): string {
  return `0x${((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)).toString(16)}`;
}

export function fuzzVpte(campaign: Campaign, layouts: readonly string[] = VPTE_LAYOUTS): { failures: Failure[]; coverage: Coverage } {
  const cases = new VpteCases(campaign.seed, layouts);
  const failures = runBatches(campaign, cases);
  return { failures, coverage: cases.total() };
}

export const VPTE: Target = {
  what: 'virtual page tables that a guest fills with anything: all generations, against a walk over a copy',
  batch: 1,
  run: (campaign) => {
    const { failures, coverage } = fuzzVpte(campaign);
    return { failures, coverage: coverage.text() };
  },
};
