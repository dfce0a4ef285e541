/**
 * Reads the description of a machine - a preset, or what a person's TOML or JSON file holds, as plain data - into a
 * MachineConfig with every key there. Nothing is trusted: whatever is wrong becomes a problem that names its key and what is
 * allowed there; unknown keys are refused.
 *
 *   extends = "skylake"                       what is not said is taken from there; without it, from ASSUMED
 *   [tlb.l1d."4K"]                            one array per page size ...
 *   sets = 16                                   (entries, or sets; ways: a number or "full")
 *   ways = 4
 *   lat = 1
 *   [tlb.l2]                                  ... or one for several; a list of such tables: several arrays
 *   sizes = ["4K", "2M"]
 *   entries = 1536
 *   [pwc]                                     "none" in place of a table takes a structure away
 *   kind = "split-translation"
 *   levels = { 1 = { entries = 32, ways = 4 }, 2 = { entries = 4, ways = "full" } }
 *   [cache.l1]
 *   size = "32K"
 *   [sources]                                 where numbers are from: of everything below a key
 *   "tlb.l1d" = { source = "vendor's manual", verified = true }
 *
 * A value keeps its source when it is inherited. What a description says without a source is `given in NAME`, unverified.
 */
import { ARCHITECTURES, EVENT_NAMES, type EventCosts, type MachineConfig, type Source } from './config.ts';
import type { CacheConfig, CacheLevelConfig } from './data-cache.ts';
import type { NestedTlbConfig } from './nested-tlb.ts';
import { REPLACEMENTS, type Shape, shapeProblem } from './tag-store.ts';
import { sizeName, type TlbArrayConfig, type TlbConfig } from './tlb.ts';
import { MOST_LEVEL, WALK_CACHE_KINDS, type WalkCacheConfig } from './walk-cache.ts';

/** What is wrong with a description. */
export interface MachineProblem {
  readonly key: string; // path: tlb.l1d.4K.ways
  readonly message: string;
}

type Table = Readonly<Record<string, unknown>>;

const NONE = 'none';
const MOST_CYCLES = 1_000_000;
const MOST_BYTES = 2 ** 32;
const MOST_LINES = 2 ** 24; // of a data cache
const MOST_ENTRIES = 2 ** 20; // of any other structure: far beyond those of real machines, and still some tens of MiB here
const MOST_TEXT = 4096; // characters of a name or note
const SMALLEST_SIZE = 12;
const LARGEST_SIZE = 57;
const SOURCE_UNSAID: Source = { source: 'assumption: the default', verified: false };

/** One reading: the problems met, and the sources of the values read so far. */
class Reading {
  readonly problems: MachineProblem[] = [];
  readonly sources = new Map<string, Source>();
  readonly #base: MachineConfig;
  readonly #said: ReadonlyMap<string, Source>;
  readonly #unsaid: Source;

  /**
   * @param base what is inherited from
   * @param said sources of values of the description, by the beginning of their path
   */
  constructor(base: MachineConfig, said: ReadonlyMap<string, Source>, name: string) {
    this.#base = base;
    this.#said = said;
    this.#unsaid = { source: `given in ${name}`, verified: false };
  }

  refuse(key: string, message: string): void {
    this.problems.push({ key, message });
  }

  /** The value at `key` was said in the description. */
  noteSaid(key: string): void {
    let best = '';
    for (const beginning of this.#said.keys()) {
      if (beginning.length > best.length && (key === beginning || key.startsWith(`${beginning}.`))) best = beginning;
    }
    this.sources.set(key, this.#said.get(best) ?? this.#unsaid);
  }

  /** The value at `key` was not said: it is the base's, or a default. */
  noteInherited(key: string): void {
    this.sources.set(key, Object.hasOwn(this.#base.sources, key) ? this.#base.sources[key] : SOURCE_UNSAID);
  }

  /** The table at `key` if it is one and has no keys but `allowed`; otherwise problems, and null. */
  table(value: unknown, key: string, allowed: readonly string[]): Table | null {
    if (!isTable(value)) {
      this.refuse(key, `must be a table with ${allowed.join(', ')}`);
      return null;
    }
    for (const name of Object.keys(value)) {
      if (!allowed.includes(name)) this.refuse(under(key, name), `unknown key; allowed: ${allowed.join(', ')}`);
    }
    return value;
  }

  /** A value of `table` that `problemOf` finds nothing wrong with, or `inherited` where it is not said. */
  value<T>(table: Table, name: string, key: string, inherited: T, problemOf: (value: unknown) => string | null): T {
    const path = under(key, name);
    if (!Object.hasOwn(table, name)) {
      this.noteInherited(path);
      return inherited;
    }
    const problem = problemOf(table[name]);
    this.noteSaid(path);
    if (problem === null) return table[name] as T; // problemOf has seen to it
    this.refuse(path, problem);
    return inherited;
  }
}

/**
 * Reads a description.
 * @param description plain data: what a TOML or JSON parser returns
 * @param find        the machine of a name that `extends` may say
 * @param standard    what is inherited from where nothing is extended
 * @returns the machine, or what is wrong
 */
export function readMachine(
  description: unknown,
  find: (name: string) => MachineConfig | null,
  standard: MachineConfig,
): MachineConfig | readonly MachineProblem[] {
  const written =
    isTable(description) && isTable(description['machine']) && Object.keys(description).length === 1 ? description['machine'] : description;
  if (!isTable(written)) return [{ key: '', message: 'a machine is described by a table' }];
  const first: MachineProblem[] = [];
  const base = baseOf(written, find, standard, first);
  const name = textOr(written, 'name', nameOfChanged(written, base), first);
  const said = saidSources(written, first);
  const reading = new Reading(base, said, name);
  reading.problems.push(...first);
  const machine = readAll(reading, written, base, name);
  for (const beginning of said.keys()) {
    const isUsed = [...reading.sources.keys()].some((key) => key === beginning || key.startsWith(`${beginning}.`));
    if (!isUsed) reading.refuse(`sources.${beginning}`, 'no value has this key');
  }
  return reading.problems.length > 0 ? reading.problems : machine;
}

const KEYS = [
  'name',
  'description',
  'extends',
  'architecture',
  'spaceIds',
  'tlb',
  'pwc',
  'host',
  'cache',
  'referenceCycles',
  'walkers',
  'events',
  'seed',
  'sources',
  'notes',
] as const;

function readAll(reading: Reading, written: Table, base: MachineConfig, name: string): MachineConfig {
  reading.table(written, '', KEYS);
  const tlb = readTlb(reading, written['tlb'] ?? {}, base.tlb);
  const hostTable = reading.table(written['host'] ?? {}, 'host', ['pwc', 'ntlb']) ?? {};
  const machine = {
    name,
    description: textOr(written, 'description', base.description, reading.problems),
    architecture: reading.value(written, 'architecture', '', base.architecture, oneOf(ARCHITECTURES)),
    hasSpaceIds: reading.value(written, 'spaceIds', '', base.hasSpaceIds, yesOrNo),
    tlb,
    pwc: readWalkCache(reading, written['pwc'], 'pwc', base.pwc),
    host: {
      pwc: readWalkCache(reading, hostTable['pwc'], 'host.pwc', base.host.pwc),
      ntlb: readNestedTlb(reading, hostTable['ntlb'], base.host.ntlb),
    },
    cache: readCache(reading, written['cache'], base.cache),
    referenceCycles: reading.value(written, 'referenceCycles', '', base.referenceCycles, whole(0, MOST_CYCLES)),
    walkers: reading.value(written, 'walkers', '', base.walkers, whole(1, 64)),
    events: readEvents(reading, written['events'] ?? {}, base.events),
    seed: reading.value(written, 'seed', '', base.seed, whole(0, 2 ** 31 - 1)),
  };
  reading.sources.delete('architecture'); // no number: it says which rules hold
  checkDirectories(reading, machine);
  const notes = [...base.notes, ...readNotes(reading, written)].filter((note) => note !== NO_EFFECT_OF_WALKERS);
  return { ...machine, sources: Object.fromEntries(reading.sources), notes: [...new Set([...notes, ...ownNotes(machine)])] };
}

/** A walk cache in the TLB needs one array there, and the host's cannot share it: its entries would be taken for the guest's. */
function checkDirectories(reading: Reading, machine: Pick<MachineConfig, 'tlb' | 'pwc' | 'host'>): void {
  const arrays = machine.tlb.l2.filter((array) => array.directories).length;
  if (arrays > 1) reading.refuse('tlb.l2', 'only one array may have directories');
  if (machine.pwc?.kind === 'l2-tlb' && arrays === 0) reading.refuse('pwc.kind', 'l2-tlb needs an array of tlb.l2 with directories = true');
  if (machine.host.pwc?.kind === 'l2-tlb') reading.refuse('host.pwc.kind', 'l2-tlb is for the guest only');
  for (const side of ['l1d', 'l1i', 'l2i'] as const) {
    if (machine.tlb[side]?.some((array) => array.directories) === true)
      reading.refuse(`tlb.${side}`, 'only an array of tlb.l2 may have directories');
  }
}

const NO_EFFECT_OF_WALKERS = 'walkers have no effect: the model blocks, so one walk is over before the next access begins';

/** What the numbers of a machine make it necessary to say. */
function ownNotes(machine: Pick<MachineConfig, 'walkers'>): string[] {
  return machine.walkers > 1 ? [NO_EFFECT_OF_WALKERS] : [];
}

function readNotes(reading: Reading, written: Table): string[] {
  const notes = written['notes'] ?? [];
  if (Array.isArray(notes) && notes.every((note) => typeof note === 'string' && note.length <= MOST_TEXT)) return notes as string[];
  reading.refuse('notes', 'must be a list of texts');
  return [];
}

function baseOf(
  written: Table,
  find: (name: string) => MachineConfig | null,
  standard: MachineConfig,
  problems: MachineProblem[],
): MachineConfig {
  if (!Object.hasOwn(written, 'extends')) return standard;
  const name = written['extends'];
  const found = typeof name === 'string' ? find(name) : null;
  if (found === null) problems.push({ key: 'extends', message: `no machine is named ${quoted(name)}` });
  return found ?? standard;
}

/** A machine that is nothing but extended keeps its name. */
function nameOfChanged(written: Table, base: MachineConfig): string {
  return Object.keys(written).every((key) => key === 'extends') ? base.name : `${base.name}, changed`;
}

function saidSources(written: Table, problems: MachineProblem[]): ReadonlyMap<string, Source> {
  const said = new Map<string, Source>();
  const table = written['sources'] ?? {};
  if (!isTable(table)) {
    problems.push({ key: 'sources', message: 'must be a table of key = { source, verified }' });
    return said;
  }
  for (const [key, value] of Object.entries(table)) {
    const source = typeof value === 'string' ? { source: value, verified: false } : value;
    if (
      isTable(source) &&
      typeof source['source'] === 'string' &&
      source['source'].length <= MOST_TEXT &&
      typeof source['verified'] === 'boolean'
    ) {
      said.set(key, { source: source['source'], verified: source['verified'] });
    } else problems.push({ key: `sources.${key}`, message: 'must be a text, or { source = text, verified = true or false }' });
  }
  return said;
}

// The translation lookaside buffers.

function readTlb(reading: Reading, value: unknown, base: TlbConfig): TlbConfig {
  const table = reading.table(value, 'tlb', ['l1d', 'l1i', 'l2', 'l2i', 'runs']) ?? {};
  const runs = readRuns(reading, table);
  const l1d = readLevel(reading, table['l1d'], 'tlb.l1d', base.l1d);
  const l1i = table['l1i'] === 'l1d' ? null : readSide(reading, table['l1i'], 'tlb.l1i', base.l1i, base.l1d);
  const l2 = table['l2'] === NONE ? [] : readLevel(reading, table['l2'], 'tlb.l2', base.l2);
  const l2i = table['l2i'] === 'l2' || table['l2'] === NONE ? null : readSide(reading, table['l2i'], 'tlb.l2i', base.l2i, base.l2);
  for (const [key, level] of [
    ['tlb.l1d', l1d],
    ['tlb.l1i', l1i],
  ] as const) {
    if (level !== null && !level.some((array) => array.sizes.includes(SMALLEST_SIZE))) reading.refuse(key, 'no array takes 4K');
    if (level?.some((array) => !array.splits) === true) reading.refuse(key, 'a first level must split what it does not take');
  }
  const withRuns = (level: readonly TlbArrayConfig[]): readonly TlbArrayConfig[] => runs.reduce(addRun, level);
  return { l1d: withRuns(l1d), l1i: l1i === null ? null : withRuns(l1i), l2: withRuns(l2), l2i: l2i === null ? null : withRuns(l2i) };
}

/** An instruction side, which may be absent from the base: then it begins as the data side is there. */
function readSide(
  reading: Reading,
  value: unknown,
  key: string,
  base: readonly TlbArrayConfig[] | null,
  data: readonly TlbArrayConfig[],
): readonly TlbArrayConfig[] | null {
  if (value === undefined && base === null) return null;
  return readLevel(reading, value, key, base ?? data);
}

function readRuns(reading: Reading, table: Table): readonly number[] {
  if (!Object.hasOwn(table, 'runs')) return [];
  return sizesOf(reading, table['runs'], 'tlb.runs') ?? [];
}

/** The level with runs of this size held whole: in the array that would split them. */
function addRun(level: readonly TlbArrayConfig[], run: number): readonly TlbArrayConfig[] {
  const below = Math.max(...level.flatMap((array) => array.sizes.filter((size) => size <= run)));
  return level.map((array) => {
    if (!array.sizes.includes(below) || array.sizes.includes(run)) return array;
    return { ...array, sizes: [...array.sizes, run].sort((a, b) => a - b) };
  });
}

const ARRAY_KEYS = ['sizes', 'entries', 'sets', 'ways', 'replacement', 'splits', 'lat', 'directories'] as const;

/** A level: a table for each size, one table for all sizes, or a list of tables. */
function readLevel(reading: Reading, value: unknown, key: string, base: readonly TlbArrayConfig[]): readonly TlbArrayConfig[] {
  if (value === undefined) return inheritLevel(reading, key, base);
  if (Array.isArray(value)) {
    if (value.length === 0 || value.length > 16) reading.refuse(key, 'must have 1 to 16 arrays');
    const arrays = value.slice(0, 16).flatMap((one: unknown) => readArray(reading, one, key, null));
    const sizes = arrays.flatMap((array) => array.sizes);
    if (new Set(sizes).size < sizes.length) reading.refuse(key, 'two arrays take the same page size');
    return arrays;
  }
  if (!isTable(value)) {
    reading.refuse(key, `must be a table by page size ("4K", "2M" ...), a table with ${ARRAY_KEYS.join(', ')}, or a list of such tables`);
    return base;
  }
  const isBySize = Object.keys(value).some((name) => sizeOf(name) !== null);
  if (isBySize) return readSizes(reading, value, key, base);
  if (Object.hasOwn(value, 'sizes')) return readArray(reading, value, key, base.length === 1 ? base[0] : null);
  if (base.length === 1) return readArray(reading, value, key, base[0]);
  reading.refuse(
    key,
    `has ${base.length === 0 ? 'no array' : `several arrays (${base.map(labelOf).join(', ')})`}: say the page size, or \`sizes\``,
  );
  return base;
}

function inheritLevel(reading: Reading, key: string, base: readonly TlbArrayConfig[]): readonly TlbArrayConfig[] {
  for (const array of base) {
    for (const name of INHERITED_ARRAY_KEYS) reading.noteInherited(`${key}.${labelOf(array)}.${name}`);
  }
  return base;
}

const INHERITED_ARRAY_KEYS = ['sizes', 'entries', 'ways', 'replacement', 'splits', 'lat', 'directories'] as const;

/** An array for each size. Those of the base that are for one size each are kept, unless said otherwise. */
function readSizes(reading: Reading, table: Table, key: string, base: readonly TlbArrayConfig[]): readonly TlbArrayConfig[] {
  const isBaseBySize = base.every((array) => array.sizes.length === 1);
  const bySize = new Map<number, TlbArrayConfig>(isBaseBySize ? base.map((array) => [array.sizes[0], array]) : []);
  for (const [name, value] of Object.entries(table)) {
    const size = sizeOf(name);
    if (size === null) {
      reading.refuse(under(key, name), 'must be a page size: "4K", "2M" ...');
      continue;
    }
    const inherited = bySize.get(size) ?? null;
    bySize.delete(size);
    if (value === NONE) continue;
    if (isTable(value) && Object.hasOwn(value, 'sizes')) reading.refuse(`${key}.${name}.sizes`, 'the size is said already');
    for (const array of readArray(reading, isTable(value) ? { ...value, sizes: [name] } : value, key, inherited)) bySize.set(size, array);
  }
  const kept = base.filter((array) => bySize.get(array.sizes[0]) === array);
  inheritLevel(reading, key, kept);
  return [...bySize].sort(([a], [b]) => a - b).map(([, array]) => array);
}

/** One array, as a list of it, or of nothing where it cannot be read. */
function readArray(reading: Reading, value: unknown, key: string, base: TlbArrayConfig | null): readonly TlbArrayConfig[] {
  const table = reading.table(value, key, ARRAY_KEYS);
  if (table === null) return [];
  const isSized = Object.hasOwn(table, 'sizes');
  const sizes = isSized ? sizesOf(reading, table['sizes'], `${key}.sizes`) : (base?.sizes ?? null);
  if (sizes === null) {
    if (!isSized) reading.refuse(key, 'a list of arrays says the `sizes` of each');
    return [];
  }
  const path = `${key}.${sizes.map(sizeName).join('+')}`;
  if (isSized) reading.noteSaid(`${path}.sizes`);
  else reading.noteInherited(`${path}.sizes`);
  const shape = readShape(reading, table, path, base);
  if (shape === null) return [];
  return [
    {
      ...shape,
      sizes,
      splits: reading.value(table, 'splits', path, base?.splits ?? true, yesOrNo),
      latency: reading.value(table, 'lat', path, base?.latency ?? 0, whole(0, MOST_CYCLES)),
      directories: reading.value(table, 'directories', path, base?.directories ?? false, yesOrNo),
    },
  ];
}

/** Entries, at most `most`, ways and replacement; null and a problem if they make no shape. */
function readShape(reading: Reading, table: Table, path: string, base: Shape | null, most = MOST_ENTRIES): Shape | null {
  const problemsBefore = reading.problems.length;
  const ways = reading.value<Shape['ways']>(table, 'ways', path, base?.ways ?? 'full', waysProblem);
  const replacement = reading.value(table, 'replacement', path, base?.replacement ?? 'lru', oneOf(REPLACEMENTS));
  let entries = base?.entries ?? 0;
  if (Object.hasOwn(table, 'sets')) {
    const sets = reading.value(table, 'sets', path, 1, whole(1, most));
    reading.sources.delete(`${path}.sets`);
    reading.noteSaid(`${path}.entries`);
    if (ways === 'full') reading.refuse(`${path}.sets`, 'a fully associative array has no sets: say entries');
    else entries = sets * ways;
    if (Object.hasOwn(table, 'entries') && table['entries'] !== entries)
      reading.refuse(`${path}.entries`, `is not sets x ways, ${entries}`);
    if (entries > most) reading.refuse(`${path}.sets`, `sets x ways must be at most ${most}, not ${entries}`);
  } else entries = reading.value(table, 'entries', path, entries, whole(1, most));
  if (reading.problems.length > problemsBefore) return null;
  const problem = shapeProblem({ entries, ways, replacement });
  if (problem === null) return { entries, ways, replacement };
  reading.refuse(path, problem);
  return null;
}

// The walk caches and the nested TLB.

const WALK_CACHE_KEYS = ['kind', 'every', 'levels', 'only', 'lat', 'guestHolds', 'leaves'] as const;

function readWalkCache(reading: Reading, value: unknown, key: string, base: WalkCacheConfig | null): WalkCacheConfig | null {
  if (value === NONE || (value === undefined && base === null)) return null;
  const table = reading.table(value ?? {}, key, WALK_CACHE_KEYS) ?? {};
  const kind = reading.value(table, 'kind', key, base?.kind ?? 'split-translation', oneOf(WALK_CACHE_KINDS));
  const isSplit = kind.startsWith('split-');
  const every = readEvery(reading, table['every'], `${key}.every`, kind === 'l2-tlb' ? null : (base?.every ?? null));
  const levels = isSplit ? readLevels(reading, table['levels'], `${key}.levels`, base?.levels ?? {}) : {};
  if (!isSplit && Object.hasOwn(table, 'levels'))
    reading.refuse(`${key}.levels`, `${kind} has one array: say ${kind === 'l2-tlb' ? 'nothing' : '`every`'}`);
  if (kind === 'l2-tlb' && every !== null) reading.refuse(`${key}.every`, 'l2-tlb has no array of its own');
  else if (!isSplit && kind !== 'l2-tlb' && every === null) reading.refuse(`${key}.every`, `${kind} has one array: say its entries`);
  else if (isSplit && every === null && Object.keys(levels).length === 0) reading.refuse(`${key}.levels`, 'no level has an array');
  const holdsLeaves = reading.value(table, 'leaves', key, base?.holdsLeaves ?? false, yesOrNo);
  if (holdsLeaves && kind === 'translation-path') reading.refuse(`${key}.leaves`, 'a translation-path cache holds no leaves');
  return {
    kind,
    every,
    levels,
    only: readOnly(reading, table, key, base?.only ?? null),
    latency: reading.value(table, 'lat', key, base?.latency ?? 0, whole(0, MOST_CYCLES)),
    guestHolds: reading.value(table, 'guestHolds', key, base?.guestHolds ?? 'gpa', oneOf(['gpa', 'hpa'] as const)),
    holdsLeaves,
  };
}

function readEvery(reading: Reading, value: unknown, key: string, base: Shape | null): Shape | null {
  if (value === NONE || (value === undefined && base === null)) return null;
  const table = reading.table(value ?? {}, key, ['entries', 'sets', 'ways', 'replacement']);
  return table === null ? base : readShape(reading, table, key, base);
}

function readLevels(reading: Reading, value: unknown, key: string, base: Readonly<Record<number, Shape>>): Readonly<Record<number, Shape>> {
  const levels = new Map<number, Shape>();
  const said = value === undefined ? {} : value;
  if (!isTable(said)) {
    reading.refuse(key, 'must be a table by level: 1 = { entries, ways } is the array for pointers to leaf tables');
    return base;
  }
  const numbers = new Set([...Object.keys(base), ...Object.keys(said)]);
  for (const name of [...numbers].sort()) {
    if (!/^[1-7]$/.test(name)) {
      reading.refuse(under(key, name), `must be a level from 1 to ${MOST_LEVEL}`);
      continue;
    }
    const shape = readEvery(reading, Object.hasOwn(said, name) ? said[name] : undefined, under(key, name), base[Number(name)] ?? null);
    if (shape !== null) levels.set(Number(name), shape);
  }
  return Object.fromEntries(levels);
}

function readOnly(reading: Reading, table: Table, key: string, base: readonly number[] | null): readonly number[] | null {
  if (table['only'] === 'all') return null;
  if (!Object.hasOwn(table, 'only') && base === null) return null;
  return reading.value(table, 'only', key, base, (value) =>
    Array.isArray(value) && value.length > 0 && value.every((level) => whole(1, MOST_LEVEL)(level) === null)
      ? null
      : 'must be "all" or a list of levels from 1 on',
  );
}

function readNestedTlb(reading: Reading, value: unknown, base: NestedTlbConfig | null): NestedTlbConfig | null {
  const key = 'host.ntlb';
  if (value === NONE || (value === undefined && base === null)) return null;
  const table = reading.table(value ?? {}, key, ['entries', 'sets', 'ways', 'replacement', 'lat', 'holds']) ?? {};
  const shape = readShape(reading, table, key, base);
  const latency = reading.value(table, 'lat', key, base?.latency ?? 0, whole(0, MOST_CYCLES));
  const holds = reading.value(table, 'holds', key, base?.holds ?? 'all', oneOf(['tables', 'all'] as const));
  return shape === null ? base : { ...shape, latency, holds };
}

// The data caches and the events.

function readCache(reading: Reading, value: unknown, base: CacheConfig | null): CacheConfig | null {
  if (value === NONE || (value === undefined && base === null)) return null;
  const table = reading.table(value ?? {}, 'cache', ['line', 'l1', 'l2', 'llc', 'mem', 'walkerEnters', 'mlp']) ?? {};
  const lineBytes = reading.value(table, 'line', 'cache', base?.lineBytes ?? 64, (line) =>
    whole(16, 4096)(line) === null && Number.isInteger(Math.log2(line as number)) ? null : 'must be a power of two from 16 to 4096',
  );
  const level = (name: 'l1' | 'l2' | 'llc'): CacheLevelConfig | null =>
    readCacheLevel(reading, table[name], `cache.${name}`, { base: base?.[name] ?? null, baseLine: base?.lineBytes ?? 64, lineBytes });
  const memory = reading.table(table['mem'] ?? {}, 'cache.mem', ['lat']) ?? {};
  return {
    lineBytes,
    l1: level('l1'),
    l2: level('l2'),
    llc: level('llc'),
    memoryLatency: reading.value(memory, 'lat', 'cache.mem', base?.memoryLatency ?? 0, whole(0, MOST_CYCLES)),
    walkerEnters: reading.value(table, 'walkerEnters', 'cache', base?.walkerEnters ?? 'l1', oneOf(['l1', 'l2', 'llc'] as const)),
    mlp: reading.value(table, 'mlp', 'cache', base?.mlp ?? 1, (mlp) =>
      typeof mlp === 'number' && mlp >= 1 && mlp <= 64 ? null : 'must be a number from 1 to 64',
    ),
  };
}

function readCacheLevel(
  reading: Reading,
  value: unknown,
  key: string,
  from: { readonly base: CacheLevelConfig | null; readonly baseLine: number; readonly lineBytes: number },
): CacheLevelConfig | null {
  const { base, baseLine, lineBytes } = from;
  if (value === NONE || (value === undefined && base === null)) return null;
  const table = reading.table(value ?? {}, key, ['size', 'ways', 'replacement', 'lat']) ?? {};
  const size = reading.value<unknown>(table, 'size', key, base === null ? 0 : base.entries * baseLine, (said) =>
    bytesOf(said) === null ? 'must be bytes, as 32768 or "32K"' : null,
  );
  const latency = reading.value(table, 'lat', key, base?.latency ?? 0, whole(0, MOST_CYCLES));
  const { size: _, lat: __, ...rest } = table;
  const entries = (bytesOf(size) ?? 0) / lineBytes;
  const problems = reading.problems.length;
  const shape = readShape(reading, { ...rest, entries }, key, base, MOST_LINES);
  reading.sources.delete(`${key}.entries`);
  if (shape === null && reading.problems.length > problems) {
    // The lines of the size are what a person did not write: say it in their words.
    const { message } = reading.problems[reading.problems.length - 1];
    reading.problems.length = problems;
    reading.refuse(key, `${message} (entries are lines of ${lineBytes} bytes: ${entries})`);
  }
  return shape === null ? base : { ...shape, latency };
}

function readEvents(reading: Reading, value: unknown, base: EventCosts): EventCosts {
  const table = reading.table(value, 'events', EVENT_NAMES) ?? {};
  const costs = EVENT_NAMES.map((name) => [name, reading.value(table, name, 'events', base[name], whole(0, MOST_CYCLES))] as const);
  return Object.fromEntries(costs) as unknown as EventCosts; // every name is there
}

// Values.

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function under(key: string, name: string): string {
  return key === '' ? name : `${key}.${name}`;
}

function labelOf(array: TlbArrayConfig): string {
  return array.sizes.map(sizeName).join('+');
}

/** A value as a message shows it. */
function quoted(value: unknown): string {
  const text = typeof value === 'string' ? `"${value}"` : typeof value === 'number' || typeof value === 'boolean' ? String(value) : 'that';
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

function whole(least: number, most: number): (value: unknown) => string | null {
  return (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
      ? null
      : `must be a whole number from ${least} to ${most}, not ${quoted(value)}`;
}

function oneOf(names: readonly string[]): (value: unknown) => string | null {
  return (value) => (typeof value === 'string' && names.includes(value) ? null : `must be ${names.join(', ')}, not ${quoted(value)}`);
}

function yesOrNo(value: unknown): string | null {
  return typeof value === 'boolean' ? null : `must be true or false, not ${quoted(value)}`;
}

function waysProblem(value: unknown): string | null {
  return value === 'full' || whole(1, MOST_LINES)(value) === null
    ? null
    : `must be "full" or a whole number from 1 on, not ${quoted(value)}`;
}

function textOr(table: Table, name: string, otherwise: string, problems: MachineProblem[]): string {
  if (!Object.hasOwn(table, name)) return otherwise;
  const value = table[name];
  if (typeof value === 'string' && value.length > 0 && value.length <= MOST_TEXT) return value;
  problems.push({ key: name, message: `must be a text of 1 to ${MOST_TEXT} characters` });
  return otherwise;
}

const UNITS = ['', 'K', 'M', 'G', 'T', 'P'];

/** Bytes that "32K" or 32768 says, or null. */
function bytesOf(value: unknown): number | null {
  const match = typeof value === 'string' ? /^(\d{1,6})([KMGTP]?)$/.exec(value) : null;
  const bytes = match === null ? value : Number(match[1]) * 1024 ** UNITS.indexOf(match[2]);
  return typeof bytes === 'number' && Number.isInteger(bytes) && bytes >= 1 && bytes <= MOST_BYTES ? bytes : null;
}

/** log2 of the bytes of a page size as people write it, or null. */
function sizeOf(name: unknown): number | null {
  const match = typeof name === 'string' ? /^(\d{1,4})([KMGTP])$/.exec(name) : null;
  if (match === null) return null;
  const shift = Math.log2(Number(match[1])) + 10 * UNITS.indexOf(match[2]);
  return Number.isInteger(shift) && shift >= SMALLEST_SIZE && shift <= LARGEST_SIZE ? shift : null;
}

function sizesOf(reading: Reading, value: unknown, key: string): readonly number[] | null {
  const sizes = Array.isArray(value) ? value.map(sizeOf) : [];
  if (sizes.length > 0 && sizes.every((size) => size !== null) && new Set(sizes).size === sizes.length)
    return [...sizes].sort((a, b) => a - b);
  reading.refuse(key, 'must be a list of page sizes, each once: ["4K", "2M"]');
  return null;
}
