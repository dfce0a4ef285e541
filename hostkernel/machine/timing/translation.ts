/**
 * The translation of addresses as a machine makes it: TLBs, then a walk over real tables through one, two or three
 * dimensions with its walk caches and nested TLBs, each entry fetched through the data caches; counted, with cycles.
 *
 *   dimension 0    address of a program  -> address of the guest          tables of the guest (or the machine's only ones)
 *   dimension 1    address of the guest  -> address of its host           tables of the host
 *   dimension 2    ... of a host that is a guest itself                   the last dimension gives physical addresses
 *
 *   access ---> TLB ---hit-------------------------------------------------------> data
 *                 |                                                        ^
 *               walk: walk cache -> [entry -> nested walk of its address]* -> nested walk of the page
 *
 * An address is (page, offset) in every dimension: 4 KiB page number below 2^52, byte in it. What an entry means is said
 * by the format's EntryJudge, as in the machine's own walk; this file says in which order entries are read, and what is
 * remembered of them. Accessed and dirty bits are set everywhere or nowhere, as in `paging/walk.ts`; where a walk is
 * refused, what its nested walks have learnt from entries they would have marked is forgotten again.
 */
import { kassert } from '../../base/assert.ts';
import { type Access, EXEC, READ, WRITE } from '../../base/units.ts';
import {
  ATTR_DIRTY,
  type PageTableFormat,
  STEP_INDIRECT,
  STEP_TABLE,
  WALK_BUS,
  WALK_HIT,
  WALK_NONCANONICAL,
  WALK_NOT_PRESENT,
} from '../paging/index.ts';
import type { MachineConfig } from './config.ts';
import { CacheHierarchy, SERVED_MEMORY } from './data-cache.ts';
import { Dimension, NOWHERE, type RootRegisters } from './dimension.ts';
import { forgetPages, INVALIDATIONS, type TranslationStructures } from './invalidation.ts';
import { NestedTlb } from './nested-tlb.ts';
import type { TableMemory } from './table-memory.ts';
import type { StructureCounters, TagStore } from './tag-store.ts';
import { Tlb } from './tlb.ts';
import { VM_SHIFT } from './tlb-array.ts';
import { WalkCache, type WalkCacheConfig } from './walk-cache.ts';

/** What access() returns. */
export const TRANSLATED = 0;
export const REFUSED = 1;

/** Where an address space of dimension 0 begins. Roots are those of PageTables. */
export interface SpaceRoots {
  readonly root: number;
  /** Root for addresses with ones on top, in formats that have two. */
  readonly upperRoot?: number;
  /** Host-physical byte address of the root table, where whoever set the root has translated it: the first entry needs no nested walk. */
  readonly hostRoot?: number;
  /** Agile paging: walks begin in this shadow table instead (see ShadowFront). */
  readonly shadowRoot?: number;
}

/**
 * A shadow table in front of dimension 0: it maps addresses of a program to physical ones, in a format of its own. Its
 * entries that are neither pointer nor leaf may say that the walk goes on in the guest's own table, nested from there on.
 */
export interface ShadowFront {
  readonly format: PageTableFormat;
  readonly memory: TableMemory; // physical
  /** Level of the guest's table that an entry of the shadow table names, or -1: the entry refuses. Hot. */
  guestLevel(level: number, lo: number, hi: number): number;
  /** After guestLevel() >= 0: byte addresses of that table, physical and in the guest. */
  readonly hostTable: number;
  readonly guestTable: number;
}

/** Who is told of every walk: for designs that are computed from recorded latencies. */
export interface WalkRecorder {
  /**
   * A walk that ended in a translation. Hot.
   * @param latencies cycles of each reference, of the first two dimensions, 0 where none was made: latencies[g * columns + h]
   *   g  level of the guest's entry, or the last row for the data
   *   h  level of the host's entry for it, or the last column for the guest's entry itself
   */
  walked?(space: number, page: number, access: Access, latencies: Float64Array, columns: number): void;
  /** One reference. Hot. @param address physical, in bytes */
  referenced?(stage: number, level: number, address: number, cycles: number): void;
}

/** Counts of everything but the structures, which count for themselves. Whole numbers. */
export interface TranslationCounters {
  accesses: number;
  reads: number;
  writes: number;
  fetches: number;
  walks: number; //       begun, refused ones included
  refused: number;
  references: number; //  entries fetched in all of them
  switched: number; //    walks that went from a shadow table to the guest's own
}

/** Slots of the counts. */
const WALKS = 0;
const REFUSALS = 1;
const REFERENCES = 2;
const SWITCHES = 3;

/** Slots of the cycles that are counted here. */
const WALK_CYCLES = 0;

/** Of byStage: levels of a stage, and who may serve a reference. */
export const STAGE_LEVELS = 17;
export const STAGE_SERVERS = 4;

/** A walk of more references counts as one of so many. */
export const MOST_REFERENCES = 128;

/** The number of a shadow table's dimension. */
export const FRONT = -1;

const SWITCHED = -1; // what a walk of a shadow table returns when the guest's own table goes on

const PERMISSIONS = READ | WRITE | EXEC;
const PAGE_MASK = 4095;
const PAGES_PER_HALF = 1048576; // pages of 4 GiB

/** Entries that may change in one access: every one of three dimensions, each for each, is more than a format can ask for. */
const MOST_PENDING = 1024;

export interface DimensionSetup {
  readonly format: PageTableFormat;
  readonly memory: TableMemory; // where its tables lie: PageTables.memory
  /** Tables lie in `memory` at their physical addresses, as in the RAM of a machine, instead of at their own. */
  readonly isPhysical?: boolean;
}

export interface TranslationSetup {
  readonly machine: MachineConfig;
  readonly dimensions: readonly DimensionSetup[]; // one to three
  readonly mode?: 'user' | 'super'; //               of the accesses; 'user' where it is absent
  readonly front?: ShadowFront;
}

export class Translation {
  /** After access() or walk(): the physical frame, log2 of the page's bytes (of the smallest on the way), and what is permitted. */
  frame = 0;
  shift = 12;
  attributes = 0;
  /** After REFUSED: the dimension whose entry refused, its level, WALK_* of machine/paging, and the address in that dimension's input. */
  refusedDimension = 0;
  refusedLevel = 0;
  refusedKind = 0;
  refusedPage = 0;
  refusedOffset = 0;
  /** It refused while an entry of a dimension before it was read or marked. */
  refusedImplicit = false;
  /** The entry that refused, where one was read. */
  refusedLo = 0;
  refusedHi = 0;

  readonly tlb: Tlb;
  readonly caches: CacheHierarchy | null;
  readonly dimensions: readonly Dimension[];
  /** Walks by the number of references they made, refused ones too; the last slot counts all longer ones. */
  readonly perWalk = new Float64Array(MOST_REFERENCES + 1);
  /** References by stage, level and who served them: byStage[(stage * STAGE_LEVELS + level) * STAGE_SERVERS + servedBy]. */
  readonly byStage: Float64Array;
  readonly stageNames: readonly string[];
  recorder: WalkRecorder | null = null;

  readonly #machine: MachineConfig;
  readonly #front: ShadowFront | null;
  readonly #shadow: Dimension | null;
  readonly #structures: TranslationStructures;
  readonly #referenceCycles: number;
  readonly #counts = new Float64Array(4);
  readonly #cycles = new Float64Array(1);
  readonly #kinds = new Float64Array(8); // accesses, by kind
  #space = 0;
  #vm = 0;
  #startsInShadow = false;
  #quiet = false; //    a walk that only asks whether an entry may be marked: counts nothing, knows no caches
  #references = 0; //   of the present walk
  // Entries to be marked when the walk has succeeded.
  #pending = 0;
  readonly #pendingDimension: Dimension[] = [];
  readonly #pendingAddress = new Float64Array(MOST_PENDING);
  readonly #pendingBits = new Int32Array(MOST_PENDING * 4);
  // Pages whose nested translation rests on entries that are yet to be marked.
  #unmarked = 0;
  readonly #unmarkedDimension: Dimension[] = [];
  readonly #unmarkedPage = new Float64Array(MOST_PENDING);
  // Latencies for the recorder: rows by level of dimension 0, columns by level of dimension 1.
  readonly #latencies: Float64Array;
  readonly #columns: number;
  #row = 0;

  constructor({ machine, dimensions, mode = 'user', front }: TranslationSetup) {
    kassert(dimensions.length >= 1 && dimensions.length <= 3, 'translation: one to three dimensions');
    const { seed } = machine;
    // The smallest page of a combined translation is the smallest of its dimensions'.
    const smallest = 12 + log2(Math.min(...dimensions.map(({ format }) => format.basePages)));
    this.#machine = machine;
    this.tlb = new Tlb(machine.tlb, { baseShift: smallest, seed });
    this.caches = machine.cache === null ? null : new CacheHierarchy(machine.cache, seed + 64);
    this.#referenceCycles = machine.referenceCycles;
    const directories = this.tlb.directoryStore(machine.tlb);
    const cacheFor = (name: string, config: WalkCacheConfig | null, format: PageTableFormat, nth: number): WalkCache | null => {
      if (config === null) return null;
      const shared: TagStore | null = config.kind === 'l2-tlb' ? directories : null;
      return new WalkCache(name, config, { format, directories: shared, seed: seed + 128 + 16 * nth });
    };
    const made: Dimension[] = [];
    for (let number = dimensions.length - 1; number >= 0; number--) {
      const { format, memory, isPhysical = false } = dimensions[number];
      const prefix = ['', 'host.', 'host2.'][number];
      const isHost = number > 0;
      const { ntlb } = machine.host;
      made.unshift(
        new Dimension({
          format,
          memory,
          mode: isHost ? 'user' : mode,
          isPhysical,
          walkCache: cacheFor(`${prefix}pwc`, isHost ? machine.host.pwc : machine.pwc, format, number),
          nested: isHost && ntlb !== null ? new NestedTlb(`${prefix}ntlb`, ntlb, seed + 256 + number) : null,
          next: number === dimensions.length - 1 ? null : made[0],
          number,
        }),
      );
    }
    this.dimensions = made;
    this.#front = front ?? null;
    this.#shadow =
      front === undefined
        ? null
        : new Dimension({
            format: front.format,
            memory: front.memory,
            mode,
            isPhysical: true,
            walkCache: cacheFor('shadow.pwc', machine.pwc, front.format, 3),
            nested: null,
            next: null,
            number: FRONT,
          });
    const guestCaches = [made[0].walkCache, this.#shadow?.walkCache ?? null].filter((cache) => cache !== null);
    this.#structures = { tlb: this.tlb, guestCaches, hosts: made.slice(1) };
    const names = ['table', 'host.tables', 'host.data', 'host2.tables', 'host2.data'].slice(0, 2 * dimensions.length - 1);
    this.stageNames = front === undefined ? names : [...names, 'shadow'];
    this.byStage = new Float64Array(this.stageNames.length * STAGE_LEVELS * STAGE_SERVERS);
    for (const { top, format } of made) kassert(top < STAGE_LEVELS, `translation: ${format.id} has too many levels`);
    this.#columns = made.length > 1 ? made[1].top + 2 : 1;
    this.#latencies = new Float64Array((made[0].top + 2) * this.#columns);
  }

  get counters(): TranslationCounters {
    const counts = this.#counts;
    const kinds = this.#kinds;
    const of = (is: (kind: number) => boolean): number => kinds.reduce((sum, count, kind) => (is(kind) ? sum + count : sum), 0);
    return {
      accesses: of(() => true),
      reads: of((kind) => (kind & (WRITE | EXEC)) === 0),
      writes: of((kind) => (kind & WRITE) !== 0),
      fetches: of((kind) => (kind & (WRITE | EXEC)) === EXEC),
      walks: counts[WALKS],
      refused: counts[REFUSALS],
      references: counts[REFERENCES],
      switched: counts[SWITCHES],
    };
  }

  /** Walks so far. Hot: how a caller learns that an access has missed every TLB. */
  get walks(): number {
    return this.#counts[WALKS];
  }

  /** Of every structure, by its name: l1d.4K, l2, pwc.1, host.ntlb, cache.llc ... */
  get structures(): Readonly<Record<string, StructureCounters>> {
    const all: Record<string, StructureCounters> = { ...this.tlb.counters };
    for (const { walkCache, nested } of [...this.dimensions, ...(this.#shadow === null ? [] : [this.#shadow])]) {
      Object.assign(all, walkCache?.counters);
      if (nested !== null) all[nested.name] = nested.counters;
    }
    return Object.assign(all, this.caches?.counters);
  }

  get tlbCycles(): number {
    return this.tlb.cycles;
  }

  get walkCycles(): number {
    return this.#cycles[WALK_CYCLES];
  }

  get dataCycles(): number {
    return this.caches?.dataCycles ?? 0;
  }

  /** The current address space. */
  get space(): number {
    return this.#space;
  }

  // -------------------------------------------------------------------------------------------------------- roots

  /**
   * The processor goes to `space`. Where the machine has no address-space ids, that forgets what is not global.
   * @param space (vm << VM_SHIFT) | id
   */
  setSpace(space: number, roots: SpaceRoots): void {
    const isOther = space !== this.#space;
    this.#space = space;
    this.#vm = space >>> VM_SHIFT;
    this.dimensions[0].setRoots(roots.root, roots.upperRoot ?? NOWHERE, roots.hostRoot ?? NOWHERE);
    this.#startsInShadow = this.#shadow !== null && roots.shadowRoot !== undefined;
    if (roots.shadowRoot !== undefined) this.#shadow?.setRoots(roots.shadowRoot, NOWHERE, NOWHERE);
    if (isOther && !this.#machine.hasSpaceIds) this.invalidateAll(true);
  }

  /** The root of dimension 1 or 2. */
  setRoot(dimension: number, root: number): void {
    this.dimensions[dimension].setRoots(root, NOWHERE, NOWHERE);
  }

  /** Root registers as they are, also roots that are entries or beyond 2^53. */
  setRegisters(dimension: number, registers: RootRegisters): void {
    this.dimensions[dimension].setRegisters(registers);
  }

  // ------------------------------------------------------------------------------------------------------- access

  /**
   * One access of the current space: TLBs, walk if they miss, then the data. Hot: allocates nothing. A refused access has
   * touched no data, and changed no tables but those of formats that mark entries on the way down.
   * @param access READ, WRITE, EXEC or READ | WRITE
   * @returns TRANSLATED or REFUSED
   */
  access(page: number, offset: number, access: Access): number {
    const { tlb, caches } = this;
    this.#kinds[access]++;
    let frame = 0;
    if (tlb.lookup(this.#space, page, access)) {
      frame = tlb.frame;
      this.shift = tlb.shift;
      this.attributes = tlb.attributes;
    } else {
      if (this.walk(page, offset, access) !== TRANSLATED) return REFUSED;
      frame = this.frame;
      tlb.fill(this.#space, page, access, frame, this.shift, this.attributes);
    }
    this.frame = frame;
    if (caches !== null) caches.readData(frame, offset);
    return TRANSLATED;
  }

  /** The walk alone: no TLB is asked or filled, no data touched. Hot. */
  walk(page: number, offset: number, access: Access): number {
    const counts = this.#counts;
    counts[WALKS]++;
    this.#references = 0;
    this.#pending = 0;
    this.#unmarked = 0;
    if (this.recorder !== null) this.#latencies.fill(0);
    const [first] = this.dimensions;
    const outcome = this.#startsInShadow
      ? this.#walkShadow(this.#shadow as Dimension, first, page, offset, access)
      : this.#walk(first, this.#space, page, offset, access, true);
    counts[REFERENCES] += this.#references;
    this.perWalk[this.#references < MOST_REFERENCES ? this.#references : MOST_REFERENCES]++;
    if (outcome !== WALK_HIT) {
      counts[REFUSALS]++;
      if (this.#unmarked > 0) this.#unlearn();
      return REFUSED;
    }
    if (this.#pending > 0) this.#commit();
    this.frame = first.frame;
    this.shift = first.shift;
    this.attributes = first.attributes;
    if (this.recorder !== null) this.recorder.walked?.(this.#space, page, access, this.#latencies, this.#columns);
    return TRANSLATED;
  }

  // ------------------------------------------------------------------------------------------------- invalidation

  /**
   * One page of a space is mapped otherwise now: what the instruction of the architecture drops. x86's INVLPG drops all
   * pointers of the space too; RISC-V's SFENCE.VMA and Arm's TLBI VALE drop none, unless tables have changed (va = 0, VA).
   * @param tablesToo pointers on the way have changed, not only the leaf
   */
  invalidatePage(space: number, page: number, tablesToo = false): void {
    this.invalidateRange(space, page, 1, tablesToo);
  }

  /** The same for a range. */
  invalidateRange(space: number, page: number, pages: number, tablesToo = false): void {
    forgetPages(this.#structures, this.#machine.architecture, { space, page, pages, dimension: 0 }, tablesToo);
  }

  /** Everything of a space but global entries. */
  invalidateSpace(space: number): void {
    INVALIDATIONS['riscv SFENCE.VMA 0, asid'].apply(this.#structures, { space, page: 0, pages: 0, dimension: 0 });
  }

  /** Everything that was made for programs, of all spaces. Nested TLBs and the hosts' walk caches stay. */
  invalidateAll(keepGlobal: boolean): void {
    INVALIDATIONS[keepGlobal ? 'x86 CR3 write without ids' : 'x86 CR4.PGE write'].apply(this.#structures);
  }

  /** Pages of the input of dimension 1 or 2 are mapped otherwise now. */
  invalidateNested(dimension: number, page: number, pages: number): void {
    INVALIDATIONS['host unmap'].apply(this.#structures, { space: this.#space, page, pages, dimension });
  }

  // -------------------------------------------------------------------------------------------------------- walks

  /** Walks the tables of one dimension, and those below for each of its entries and for the page. The result is in `dim`. */
  #walk(dim: Dimension, space: number, page: number, offset: number, access: Access, isData: boolean): number {
    const vaLo = ((page & (PAGES_PER_HALF - 1)) << 12) | offset;
    const vaHi = (page / PAGES_PER_HALF) | 0;
    let tableLo = dim.rootLo;
    let tableHi = dim.rootHi;
    let hostTable = dim.hostRoot;
    const beyondLo = vaLo & dim.upperLo;
    const beyondHi = vaHi & dim.upperHi;
    if ((beyondLo | beyondHi) !== 0) {
      const isOnes = dim.onesAllowed && beyondLo === dim.upperLo && beyondHi === dim.upperHi;
      if (!isOnes || (dim.isSplit && !dim.hasUpperRoot)) return this.#refuse(dim, WALK_NONCANONICAL, dim.top, page, offset, isData);
      if (dim.isSplit) {
        tableLo = dim.upperRootLo;
        tableHi = dim.upperRootHi;
        hostTable = NOWHERE;
      }
    }
    const { judge } = dim;
    judge.begin();
    const cache = this.#quiet ? null : dim.walkCache;
    if (cache === null) return this.#descend(dim, null, page, offset, vaLo, vaHi, access, isData, dim.top, tableLo, tableHi, hostTable);
    let level = cache.begin(space, page);
    if (!cache.isPageTableKind) this.#cycles[WALK_CYCLES] += cache.latency;
    const known = cache.tableAddress;
    if (known < 0) level = dim.top;
    else {
      tableLo = known | 0;
      tableHi = Math.floor(known / 4294967296) | 0;
      hostTable = cache.hostTableAddress;
      judge.resume(cache.carried);
    }
    const outcome = this.#descend(dim, cache, page, offset, vaLo, vaHi, access, isData, level, tableLo, tableHi, hostTable);
    this.#learn(dim, cache, space, page, outcome);
    return outcome;
  }

  /** A walk that begins in a shadow table, unless a walk cache knows a pointer of the guest's own. */
  #walkShadow(shadow: Dimension, dim: Dimension, page: number, offset: number, access: Access): number {
    const space = this.#space;
    const cache = dim.walkCache;
    let level = cache === null ? 0 : cache.begin(space, page);
    let table = cache === null ? NOWHERE : cache.tableAddress;
    let hostTable = NOWHERE;
    const isSwitch = table < 0; // what the shadow names then is remembered like a pointer of the guest's
    dim.judge.begin();
    if (cache !== null && !isSwitch) {
      this.#cycles[WALK_CYCLES] += cache.latency;
      hostTable = cache.hostTableAddress;
      dim.judge.resume(cache.carried);
    } else {
      const outcome = this.#walk(shadow, space, page, offset, access, true);
      if (outcome !== SWITCHED) {
        dim.frame = shadow.frame;
        dim.shift = shadow.shift;
        dim.attributes = shadow.attributes;
        return outcome;
      }
      const front = this.#front as ShadowFront;
      this.#counts[SWITCHES]++;
      level = this.#switchLevel;
      table = front.guestTable;
      hostTable = front.hostTable;
    }
    const vaLo = ((page & (PAGES_PER_HALF - 1)) << 12) | offset;
    const vaHi = (page / PAGES_PER_HALF) | 0;
    const tableHi = Math.floor(table / 4294967296) | 0;
    const outcome = this.#descend(dim, cache, page, offset, vaLo, vaHi, access, true, level, table | 0, tableHi, hostTable);
    if (cache === null) return outcome;
    if (isSwitch && !cache.isPageTableKind) cache.insert(space, page, level + 1, NOWHERE, table, hostTable, dim.startCarried);
    this.#learn(dim, cache, space, page, outcome);
    return outcome;
  }
  #switchLevel = 0;

  /**
   * Walks on from a table of `level`: its address in halves, or above the tables the value of the root register.
   * @param hostTable its physical address, or NOWHERE: its entries are translated first
   */
  #descend(
    dim: Dimension,
    cache: WalkCache | null,
    page: number,
    offset: number,
    vaLo: number,
    vaHi: number,
    access: Access,
    isData: boolean,
    from: number,
    fromLo: number,
    fromHi: number,
    fromHost: number,
  ): number {
    const { judge, next, memory, fixedValue, entryShift } = dim;
    let tableLo = fromLo;
    let tableHi = fromHi;
    let hostTable = fromHost;
    const isQuiet = this.#quiet;
    let owned = 0;
    dim.first = from;
    dim.startCarried = judge.carried;
    dim.unmarked = 0;
    for (let level = from; ; level--) {
      dim.reached = level;
      // Read the entry, and the one it names if it only does that. The value of a root register is in no table.
      let lo = tableLo;
      let hi = tableHi;
      let atLo = 0;
      let atHi = 0;
      let stored = 0;
      let byte = 0;
      const isStored = level !== fixedValue;
      if (isStored) {
        const low = dim.lows[level];
        const index = (low < 32 ? (vaLo >>> low) | (vaHi << (32 - low)) : vaHi >>> (low - 32)) & dim.masks[level];
        byte = index << entryShift;
        const sum = (tableLo >>> 0) + byte;
        atLo = sum | 0;
        atHi = sum >= 4294967296 ? tableHi + 1 : tableHi;
      }
      let step = STEP_INDIRECT;
      for (let reads = 0; ; reads++) {
        if (isStored) {
          const own = (atHi >>> 0) * 4294967296 + (atLo >>> 0);
          let physical = own;
          if (next !== null) {
            const isNear = (tableLo & PAGE_MASK) + byte <= PAGE_MASK; // on the first page of its table
            if (hostTable >= 0 && reads === 0 && isNear) physical = hostTable + byte;
            else {
              if (dim.number === 0) this.#row = level;
              const fault = this.#resolve(next, (atHi >>> 0) * PAGES_PER_HALF + (atLo >>> 12), atLo & PAGE_MASK, next.entryAccess, false);
              if (fault !== WALK_HIT) return fault;
              physical = next.frame * 4096 + (atLo & PAGE_MASK);
            }
            if (cache !== null && reads === 0 && level < from) dim.pathHostTable[level + 1] = isNear ? physical - byte : NOWHERE;
          }
          stored = dim.isPhysical ? physical : own;
          if (!memory.holds(stored)) return this.#refuse(dim, WALK_BUS, level, page, offset, isData);
          memory.read(stored, dim.shape);
          lo = memory.lo;
          hi = memory.hi;
          if (cache !== null) {
            dim.pathAddress[level] = physical;
            if (cache.isPageTableKind) this.#cycles[WALK_CYCLES] += cache.latency;
            if (!cache.holdsEntry(level, physical)) this.#reference(dim, level, physical, isData);
          } else if (!isQuiet) this.#reference(dim, level, physical, isData);
        }
        step = judge.step(level, lo, hi, vaLo, vaHi, access, isStored);
        if (step !== STEP_INDIRECT) break;
        if (reads === 1) return this.#refuseEntry(dim, WALK_NOT_PRESENT, level, page, offset, isData, lo, hi);
        atLo = judge.tableLo;
        atHi = judge.tableHi;
      }

      // What the hardware changes on its way down.
      const { onWayLo, onWayHi, newLo, newHi } = judge;
      if (onWayLo !== lo || onWayHi !== hi) {
        if (next !== null) {
          const fault = this.#mayWrite(next, (atHi >>> 0) * PAGES_PER_HALF + (atLo >>> 12), atLo & PAGE_MASK);
          if (fault !== WALK_HIT) return fault;
        }
        memory.write(stored, dim.shape, onWayLo, onWayHi);
      }
      if (step > 0) {
        if (dim.number === FRONT && this.#switches(level, lo, hi)) return SWITCHED;
        return this.#refuseEntry(dim, step, level, page, offset, isData, onWayLo, onWayHi);
      }
      if (newLo !== onWayLo || newHi !== onWayHi) {
        dim.unmarked |= 1 << level;
        if (next === null) this.#defer(dim, stored, newLo & ~onWayLo, onWayLo & ~newLo, newHi & ~onWayHi, onWayHi & ~newHi);
        else owned = keep(dim, owned, stored, atLo, atHi, onWayLo, onWayHi, newLo, newHi);
      }
      if (step === STEP_TABLE) {
        tableLo = judge.tableLo;
        tableHi = judge.tableHi;
        hostTable = NOWHERE;
        if (cache === null) continue;
        dim.pathTable[level] = (tableHi >>> 0) * 4294967296 + (tableLo >>> 0);
        dim.pathHostTable[level] = NOWHERE;
        dim.pathCarried[level] = judge.carried;
        continue;
      }

      // A leaf: may all entries be marked, and where is the page?
      dim.level = level;
      dim.ownFrame = judge.frame;
      dim.pathTable[level] = (tableHi >>> 0) * 4294967296 + (tableLo >>> 0);
      if (next === null) {
        dim.frame = judge.frame;
        dim.shift = judge.pageShift;
        dim.attributes = judge.attributes;
        return WALK_HIT;
      }
      for (let i = 0; i < owned; i++) {
        const fault = this.#mayWrite(next, dim.ownPage[i], dim.ownOffset[i]);
        if (fault !== WALK_HIT) return fault;
        const bits = dim.ownBits;
        this.#defer(dim, dim.ownStored[i], bits[4 * i], bits[4 * i + 1], bits[4 * i + 2], bits[4 * i + 3]);
      }
      if (dim.number === 0) this.#row = dim.top + 1;
      const fault = this.#resolve(next, judge.frame, offset, access, isData);
      if (fault !== WALK_HIT) return fault;
      dim.frame = next.frame;
      dim.shift = judge.pageShift < next.shift ? judge.pageShift : next.shift;
      dim.attributes = judge.attributes & (next.attributes | ~(PERMISSIONS | ATTR_DIRTY));
      return WALK_HIT;
    }
  }

  /** Translates an address of the dimension before by `dim`: its nested TLB, or a walk. */
  #resolve(dim: Dimension, page: number, offset: number, access: Access, isData: boolean): number {
    const nested = this.#quiet || (isData && dim.nested !== null && !dim.nested.holdsData) ? null : dim.nested;
    if (nested === null) {
      const outcome = this.#walk(dim, this.#vm, page, offset, access, isData);
      if (outcome === WALK_HIT && dim.unmarked !== 0 && !this.#quiet) this.#noteUnmarked(dim, page);
      return outcome;
    }
    this.#cycles[WALK_CYCLES] += nested.latency;
    if (nested.lookup(this.#vm, page, access)) {
      dim.frame = nested.frame;
      dim.shift = nested.shift;
      dim.attributes = nested.attributes;
      return WALK_HIT;
    }
    const outcome = this.#walk(dim, this.#vm, page, offset, access, isData);
    if (outcome !== WALK_HIT) return outcome;
    nested.fill(this.#vm, page, dim.frame, dim.shift, dim.attributes);
    if (dim.unmarked !== 0) this.#noteUnmarked(dim, page);
    return WALK_HIT;
  }

  #noteUnmarked(dim: Dimension, page: number): void {
    this.#unmarkedDimension[this.#unmarked] = dim;
    this.#unmarkedPage[this.#unmarked] = page;
    this.#unmarked++;
  }

  /** Whether `dim` lets the entry at this address of the dimension before be written; its own entries are marked for that. */
  #mayWrite(dim: Dimension, page: number, offset: number): number {
    const wasQuiet = this.#quiet;
    this.#quiet = true;
    const outcome = this.#walk(dim, this.#vm, page, offset, WRITE, false);
    this.#quiet = wasQuiet;
    return outcome;
  }

  /** Whether an entry of the shadow table, which refuses, names a table of the guest. */
  #switches(level: number, lo: number, hi: number): boolean {
    const guestLevel = (this.#front as ShadowFront).guestLevel(level, lo, hi);
    if (guestLevel < 0) return false;
    this.#switchLevel = guestLevel;
    return true;
  }

  /** Fetches one entry. */
  #reference(dim: Dimension, level: number, physical: number, isData: boolean): void {
    const { caches } = this;
    this.#references++;
    let cycles = this.#referenceCycles;
    let servedBy = SERVED_MEMORY;
    if (caches !== null) {
      cycles = caches.read(physical, true);
      ({ servedBy } = caches);
    }
    this.#cycles[WALK_CYCLES] += cycles;
    const { number } = dim;
    const stage = number === 0 ? 0 : number === FRONT ? this.stageNames.length - 1 : isData ? 2 * number : 2 * number - 1;
    this.byStage[(stage * STAGE_LEVELS + level) * STAGE_SERVERS + servedBy]++;
    if (this.recorder !== null) this.#record(dim, stage, level, physical, cycles);
  }

  #record(dim: Dimension, stage: number, level: number, physical: number, cycles: number): void {
    const columns = this.#columns;
    if (dim.number === 0) this.#latencies[level * columns + columns - 1] += cycles;
    else if (dim.number === 1) this.#latencies[this.#row * columns + level] += cycles;
    this.recorder?.referenced?.(stage, level, physical, cycles);
  }

  /** A walk of `dim` is over: its cache is told which entries were read; of a refused one those that need no mark. */
  #learn(dim: Dimension, cache: WalkCache, space: number, page: number, outcome: number): void {
    const isDone = outcome === WALK_HIT;
    const { first, reached, unmarked } = dim;
    for (let level = first; level > reached; level--) {
      if (!isDone && (unmarked & (1 << level)) !== 0) continue;
      const { pathAddress, pathTable, pathHostTable, pathCarried } = dim;
      cache.insert(space, page, level, pathAddress[level], pathTable[level], pathHostTable[level], pathCarried[level]);
    }
    if (isDone && reached > 0) {
      const carried = reached < first ? dim.pathCarried[reached + 1] : dim.startCarried;
      cache.insertLeaf(space, page, reached, dim.pathAddress[reached], dim.pathTable[reached], carried);
    }
    cache.end(space);
  }

  /** Forgets what nested walks have learnt from entries that are not marked after all. */
  #unlearn(): void {
    for (let i = 0; i < this.#unmarked; i++) {
      const { walkCache, nested } = this.#unmarkedDimension[i];
      const page = this.#unmarkedPage[i];
      walkCache?.invalidateRange(this.#vm, page, 1);
      nested?.invalidateRange(this.#vm, page, 1);
    }
  }

  /** Puts a change of an entry on the list of those made at the end. */
  #defer(dim: Dimension, stored: number, setLo: number, clearLo: number, setHi: number, clearHi: number): void {
    const at = this.#pending++;
    const bits = this.#pendingBits;
    this.#pendingDimension[at] = dim;
    this.#pendingAddress[at] = stored;
    bits[4 * at] = setLo;
    bits[4 * at + 1] = clearLo;
    bits[4 * at + 2] = setHi;
    bits[4 * at + 3] = clearHi;
  }

  #commit(): void {
    const bits = this.#pendingBits;
    for (let at = 0; at < this.#pending; at++) {
      const { memory, shape } = this.#pendingDimension[at];
      const address = this.#pendingAddress[at];
      memory.read(address, shape);
      const lo = (memory.lo | bits[4 * at]) & ~bits[4 * at + 1];
      const hi = (memory.hi | bits[4 * at + 2]) & ~bits[4 * at + 3];
      memory.write(address, shape, lo, hi);
    }
  }

  #refuse(dim: Dimension, kind: number, level: number, page: number, offset: number, isData: boolean): number {
    return this.#refuseEntry(dim, kind, level, page, offset, isData, 0, 0);
  }

  #refuseEntry(dim: Dimension, kind: number, level: number, page: number, offset: number, isData: boolean, lo: number, hi: number): number {
    this.refusedDimension = dim.number;
    this.refusedKind = kind;
    this.refusedLevel = level;
    this.refusedPage = page;
    this.refusedOffset = offset;
    this.refusedImplicit = !isData;
    this.refusedLo = lo;
    this.refusedHi = hi;
    return kind;
  }
}

/** Keeps a change of an entry until the dimension below has allowed it. @returns how many are kept */
function keep(
  dim: Dimension,
  count: number,
  stored: number,
  atLo: number,
  atHi: number,
  lo: number,
  hi: number,
  newLo: number,
  newHi: number,
): number {
  const { ownBits } = dim;
  dim.ownStored[count] = stored;
  dim.ownPage[count] = (atHi >>> 0) * PAGES_PER_HALF + (atLo >>> 12);
  dim.ownOffset[count] = atLo & PAGE_MASK;
  ownBits[4 * count] = newLo & ~lo;
  ownBits[4 * count + 1] = lo & ~newLo;
  ownBits[4 * count + 2] = newHi & ~hi;
  ownBits[4 * count + 3] = hi & ~newHi;
  return count + 1;
}

function log2(power: number): number {
  return 31 - Math.clz32(power);
}
