/**
 * Whether a description makes sense: the questions a reviewer asks of a new page-table format, answered.
 *
 *   address    index widths and page shift make the address width; levels follow each other
 *   numbers    masks fit the entry, values fit their masks, options and levels that are named exist
 *   classes    every pattern is the first to match some entry; every level leads somewhere
 *   fields     frame, permission, accessed and dirty bits of one kind of entry do not overlap
 *   frames     a large page whose frame could reach into the offset is refused, dropped or added on purpose
 *   grants     every grant and every update applies to some entry
 *
 * The shape (which fields there are, of which types) is settled before. An error means that a walk would do what nobody
 * can have meant; a warning, that something is superfluous. Not for hot paths.
 */
import type { Problem } from '../../base/shape.ts';
import {
  type AddressPart,
  type ClassPattern,
  type Conditional,
  type GrantPattern,
  type Hex,
  inForce,
  type LayoutDescriptor,
  type Level,
  type Options,
} from './descriptor.ts';
import { bitsOf, type Condition, type Cube, type EntryPattern, findEntries, firstMatch, noMatch, patternMatches } from './witness.ts';

export type LayoutProblem = Problem;

/** What is wrong or odd with `layout`, errors first. Empty: nothing. */
export function checkLayout(layout: LayoutDescriptor): readonly LayoutProblem[] {
  const problems: LayoutProblem[] = [];
  const check = new Check(layout, problems);
  check.address();
  check.numbers();
  check.names();
  // What follows walks through levels and classes, which must be there for it.
  if (problems.every((problem) => problem.severity !== 'error')) {
    check.classes();
    check.fields();
    check.frames();
    check.grants();
    check.updates();
  }
  return problems.toSorted((a, b) => Number(a.severity === 'warning') - Number(b.severity === 'warning'));
}

const MAX_PATTERNS = 512;

/** The settings of options that a check goes through: all of them up to this many options, else each by itself. */
const ALL_SETTINGS_UP_TO = 6;

/** All settings of a layout's on-off options that matter to its rules. */
export function optionSettings(layout: LayoutDescriptor): readonly Options[] {
  const switches = Object.keys(layout.options).filter((name) => typeof layout.options[name] === 'number');
  if (switches.length <= ALL_SETTINGS_UP_TO) {
    return Array.from({ length: 2 ** switches.length }, (_, bits) => ({
      ...layout.options,
      ...Object.fromEntries(switches.map((name, i) => [name, ((bits >> i) & 1) as 0 | 1])),
    }));
  }
  const flipped = switches.map((name) => ({ ...layout.options, [name]: layout.options[name] === 1 ? 0 : 1 }) as Options);
  return [layout.options, ...flipped, { ...layout.options, ...Object.fromEntries(switches.map((name) => [name, 1 as const])) }];
}

/** log2 of the base page in bytes. */
export function pageShiftOf(layout: LayoutDescriptor): number {
  return layout.levels.at(-1)?.lo ?? 0;
}

/** The address pieces of a pointer on `level`; of a leaf of class `pattern` there. */
export function tableParts(layout: LayoutDescriptor, level: string): readonly AddressPart[] {
  return layout.table[level] ?? layout.table['*'] ?? [];
}
export function frameParts(layout: LayoutDescriptor, level: string, pattern: ClassPattern): readonly AddressPart[] {
  return pattern.frame ?? layout.frame[level] ?? layout.frame['*'] ?? [];
}

/** The patterns of a level that are in force, each with its place in the description. */
export function classesOf(layout: LayoutDescriptor, level: string, options: Options): readonly (readonly [number, ClassPattern])[] {
  return (layout.classify[level] ?? []).map((pattern, i) => [i, pattern] as const).filter(([, pattern]) => inForce(pattern, options));
}

/** Entries of `level` that are of the class at place `at` of its list; null: there are none with these options. */
export function entriesOfClass(
  layout: LayoutDescriptor,
  level: string,
  at: number,
  options: Options,
  also: readonly Condition[] = [],
  within?: Cube,
): Cube | null {
  const classes = classesOf(layout, level, options);
  const place = classes.findIndex(([i]) => i === at);
  if (place < 0) return null;
  const width: Cube = { mask: (~0n << BigInt(layout.entryBytes * 8)) & (2n ** 64n - 1n), value: 0n };
  const start = within === undefined ? width : { mask: within.mask | width.mask, value: within.value };
  return findEntries(
    [
      ...firstMatch(
        classes.map(([, pattern]) => pattern),
        place,
      ),
      ...also,
    ],
    start,
  );
}

/** The grant patterns that apply to leaves of a level, or to its pointers, with their path. */
export function grantLists(
  layout: LayoutDescriptor,
  level: string,
  as: 'leaf' | 'table',
): readonly { path: string; list: readonly GrantPattern[] }[] {
  const { perm } = layout;
  if ((perm.skip ?? []).includes(level)) return [];
  if (as === 'table' && perm.combine === 'leaf' && perm.check === 'leaf') return [];
  if (as === 'table' && perm.tableEntry !== undefined) return [{ path: 'perm.tableEntry', list: perm.tableEntry }];
  const at = perm.entryAt?.[level];
  if (at !== undefined) return [{ path: `perm.entryAt.${level}`, list: at }];
  return perm.entry === undefined ? [] : [{ path: 'perm.entry', list: perm.entry }];
}

const big = (hex: Hex | undefined): bigint => BigInt(hex ?? '0x0');
const hexText = (bits: bigint): string => `0x${bits.toString(16)}`;

/** Bits that an address takes out of an entry. */
export const sourceBits = (parts: readonly AddressPart[]): bigint => parts.reduce((bits, part) => bits | big(part.mask), 0n);
/** Address bits that it makes of them. */
export const targetBits = (parts: readonly AddressPart[]): bigint =>
  parts.reduce((bits, part) => bits | (big(part.mask) << BigInt(part.shl)), 0n);

class Check {
  readonly #layout: LayoutDescriptor;
  readonly #problems: LayoutProblem[];
  readonly #width: number; // of an entry, bits
  readonly #settings: readonly Options[];

  constructor(layout: LayoutDescriptor, problems: LayoutProblem[]) {
    this.#layout = layout;
    this.#problems = problems;
    this.#width = layout.entryBytes * 8;
    this.#settings = optionSettings(layout);
  }

  #error(path: string, text: string): void {
    this.#problems.push({ path, text, severity: 'error' });
  }

  #warn(path: string, text: string): void {
    this.#problems.push({ path, text, severity: 'warning' });
  }

  /** The levels split the address, and nothing is left over. */
  address(): void {
    const { levels, va, root } = this.#layout;
    if (levels.length === 0 || levels.length > 8) return this.#error('levels', `${levels.length} levels; a layout has 1 to 8`);
    const seen = new Set<string>();
    levels.forEach((level, i) => {
      if (seen.has(level.name)) this.#error(`levels[${i}].name`, `'${level.name}' is the name of another level`);
      seen.add(level.name);
      const isRootEntry = level.bits === 0;
      if (isRootEntry && i > 0) this.#error(`levels[${i}].bits`, 'only the first level may have one fixed entry (0 bits)');
      const below = levels[i + 1];
      if (below !== undefined && level.lo !== below.lo + below.bits)
        this.#error(`levels[${i}].lo`, `${level.lo}, but level ${below.name} below it ends at bit ${below.lo + below.bits}`);
    });
    const page = pageShiftOf(this.#layout);
    const widths = levels.filter((level) => level.bits > 0).map((level) => level.bits);
    const sum = widths.reduce((a, b) => a + b, page);
    if (sum !== va.bits) this.#error('va.bits', `${va.bits}, but index widths ${widths.join(' + ')} and page shift ${page} make ${sum}`);
    if (page < 5) this.#error(`levels[${levels.length - 1}].lo`, `${page}: a page of ${2 ** page} bytes is too small`);
    if (widths.length === 0) this.#error('levels', 'no level has an index');
    if (root.kind === 'value' && levels[0].bits !== 0)
      this.#error('root.kind', `a root value is an entry; the first level (${levels[0].name}) must have 0 bits`);
    if (va.rule === 'maskzero' && va.mask === undefined) this.#error('va.mask', 'missing: rule maskzero says which bits must be zero');
    if (va.rule !== 'maskzero' && va.mask !== undefined) this.#warn('va.mask', `not used by rule ${va.rule}`);
    if (va.strictOpt !== undefined && va.rule !== 'wrap') this.#error('va.strictOpt', `rule ${va.rule} has nothing to be strict about`);
    if ((va.rule === 'sign' || va.rule === 'split') && va.bits > 63)
      this.#error('va.bits', `${va.bits}: no bit is left for rule ${va.rule}`);
  }

  /** Masks fit the entry, and values fit their masks. */
  numbers(): void {
    const { root, nextBits, carried, domain, contiguous } = this.#layout;
    let patterns = 0;
    this.#forEachPattern((pattern, path) => {
      if (++patterns === MAX_PATTERNS) this.#error('', `more than ${MAX_PATTERNS} patterns`);
      this.#fits(pattern.mask, `${path}.mask`);
      this.#fits(pattern.value, `${path}.value`);
      this.#fits(pattern.any, `${path}.any`);
      const stray = big(pattern.value) & ~big(pattern.mask);
      if (stray !== 0n) this.#error(`${path}.value`, `bits ${hexText(stray)} are outside the mask: nothing matches`);
      if (pattern.any !== undefined && big(pattern.any) === 0n) this.#error(`${path}.any`, '0x0: nothing matches');
    });
    this.#forEachPart((part, path) => {
      this.#fits(part.mask, `${path}.mask`);
      if (big(part.mask) === 0n) this.#error(`${path}.mask`, '0x0 takes nothing from the entry');
      if (big(part.mask) << BigInt(part.shl) >= 2n ** 64n) this.#error(`${path}.shl`, `${part.shl} shifts bits of the mask out of 64`);
    });
    this.#layout.ad.set.forEach((update, i) => {
      this.#fits(update.set, `ad.set[${i}].set`);
      this.#fits(update.clear, `ad.set[${i}].clear`);
      if (big(update.set) === 0n && big(update.clear) === 0n) this.#error(`ad.set[${i}]`, 'neither sets nor clears a bit');
    });
    if (nextBits !== undefined) this.#fits(nextBits.mask, 'nextBits.mask');
    if (carried?.global !== undefined) this.#fits(carried.global, 'carried.global');
    if (domain !== undefined) this.#fits(domain.mask, 'domain.mask');
    if (contiguous !== undefined && contiguous.bit >= this.#width)
      this.#error('contiguous.bit', `${contiguous.bit}: an entry has ${this.#width} bits`);
    if (root.kind === 'pointer' && big(root.mask) === 0n) this.#error('root.mask', '0x0 leaves nothing of the register');
  }

  #fits(hex: Hex | undefined, path: string): void {
    const bits = big(hex);
    if (bits >= 2n ** BigInt(this.#width)) this.#error(path, `${hexText(bits)} does not fit into an entry of ${this.#width} bits`);
  }

  /** Levels and options that are named exist. */
  names(): void {
    const { levels, classify, table, frame, perm, ad, domain, contiguous, va, options } = this.#layout;
    const known = new Set(levels.map((level) => level.name));
    const isLevel = (name: string, path: string): void => {
      if (!known.has(name)) this.#error(path, `no level '${name}'; there are ${[...known].join(', ')}`);
    };
    const areOptions = (rule: Conditional, path: string): void => {
      for (const field of ['opt', 'nopt'] as const) {
        (rule[field] ?? []).forEach((name, i) => {
          if (!Object.hasOwn(options, name)) this.#error(`${path}.${field}[${i}]`, `no option '${name}'`);
          if (field === 'nopt' && (rule.opt ?? []).includes(name))
            this.#error(`${path}.nopt[${i}]`, `'${name}' is in opt, too: never in force`);
        });
      }
    };
    for (const { name } of levels) {
      if (!Object.hasOwn(classify, name)) this.#error(`classify.${name}`, 'missing: what are the entries of this level?');
    }
    for (const name of Object.keys(classify)) isLevel(name, `classify.${name}`);
    for (const name of Object.keys(table)) if (name !== '*') isLevel(name, `table.${name}`);
    for (const name of Object.keys(frame)) if (name !== '*') isLevel(name, `frame.${name}`);
    for (const name of Object.keys(perm.entryAt ?? {})) isLevel(name, `perm.entryAt.${name}`);
    for (const name of Object.keys(contiguous?.entries ?? {})) isLevel(name, `contiguous.entries.${name}`);
    (perm.skip ?? []).forEach((name, i) => isLevel(name, `perm.skip[${i}]`));
    ad.set.forEach((update, i) => (update.skip ?? []).forEach((name, j) => isLevel(name, `ad.set[${i}].skip[${j}]`)));
    this.#forEachPattern(areOptions);
    perm.post.forEach((rule, i) => {
      areOptions(rule, `perm.post[${i}]`);
      if (rule.add === undefined && rule.del === undefined) this.#error(`perm.post[${i}]`, 'neither adds nor deletes a grant');
    });
    if (perm.entry === undefined && perm.entryAt === undefined) this.#error('perm.entry', 'missing: what does a leaf grant?');
    if (va.strictOpt !== undefined && !Object.hasOwn(options, va.strictOpt)) this.#error('va.strictOpt', `no option '${va.strictOpt}'`);
    if (domain !== undefined) {
      isLevel(domain.at, 'domain.at');
      if (typeof options[domain.reg] !== 'string')
        this.#error('domain.reg', `no option '${domain.reg}' with a register's value (a hex string)`);
    }
  }

  /** Every pattern is the first to match some entry, and every level leads to a leaf. */
  classes(): void {
    const { levels, classify, nextBits } = this.#layout;
    levels.forEach((level, i) => {
      const list = classify[level.name];
      const isLast = i === levels.length - 1;
      const path = (at: number): string => `classify.${level.name}[${at}]`;
      if (list.length > 63) return this.#error(`classify.${level.name}`, `${list.length} patterns; there may be 63`);
      list.forEach((pattern, at) => {
        if (!this.#settings.some((options) => entriesOfClass(this.#layout, level.name, at, options) !== null))
          this.#error(path(at), `no entry is of this class: earlier patterns match first (${this.#shadows(level.name, at)})`);
        if (pattern.as === 'table' && isLast) this.#error(`${path(at)}.as`, 'a pointer on the last level points to no level');
        if (pattern.as === 'table' && tableParts(this.#layout, level.name).length === 0)
          this.#error(`table.${level.name}`, `missing: where does a pointer of this level point? (nor is there table.*)`);
        if (pattern.as === 'leaf' && frameParts(this.#layout, level.name, pattern).length === 0)
          this.#error(`frame.${level.name}`, 'missing: which frame does a leaf of this level map? (nor is there frame.*)');
        if (pattern.as === 'indirect' && (pattern.ptr ?? []).length === 0)
          this.#error(`${path(at)}.ptr`, 'missing: where is the real entry?');
        if (pattern.as !== 'indirect' && pattern.ptr !== undefined) this.#warn(`${path(at)}.ptr`, 'only an indirect entry has one');
        if (pattern.as !== 'leaf' && (pattern.pageShift !== undefined || pattern.frame !== undefined))
          this.#warn(path(at), 'pageShift and frame mean something for a leaf only');
        if (pattern.as !== 'reserved' && pattern.fault !== undefined)
          this.#warn(`${path(at)}.fault`, `an entry that is ${pattern.as} has no fault`);
        if (pattern.as === 'table' && nextBits !== undefined) this.#nextBits(pattern, levels[i + 1], path(at));
      });
      if (!list.some((pattern) => pattern.as === 'leaf' || (pattern.as === 'table' && !isLast)))
        this.#error(
          `classify.${level.name}`,
          isLast ? 'no leaf on the last level: nothing can be mapped' : 'neither a pointer nor a leaf: nothing can be mapped',
        );
      if (!list.some((pattern) => pattern.as === 'invalid')) this.#warn(`classify.${level.name}`, 'no entry is invalid');
      if (this.#settings.some((options) => this.#unmatched(level.name, options)))
        this.#warn(`classify.${level.name}`, 'some entries match no pattern; a walk takes them as reserved');
    });
    const above = levels.slice(0, -1).filter((level) => !classify[level.name].some((pattern) => pattern.as === 'table'));
    for (const level of above) this.#warn(`classify.${level.name}`, 'no pointers: the levels below are never reached');
  }

  #nextBits(pattern: ClassPattern, below: Level | undefined, path: string): void {
    const mask = big(this.#layout.nextBits?.mask);
    if (below !== undefined && (big(pattern.mask) & mask) === mask && (big(pattern.value) & mask) !== BigInt(below.bits))
      this.#error(
        `${path}.value`,
        `says that the next table has ${big(pattern.value) & mask} index bits; level ${below.name} has ${below.bits}`,
      );
  }

  #unmatched(level: string, options: Options): boolean {
    const within = { mask: (2n ** 64n - 1n) & (~0n << BigInt(this.#width)), value: 0n };
    return findEntries(noMatch(classesOf(this.#layout, level, options).map(([, pattern]) => pattern)), within) !== null;
  }

  /** Which earlier patterns keep the one at `at` from matching. */
  #shadows(level: string, at: number): string {
    const list = this.#layout.classify[level];
    const width: Cube = { mask: (2n ** 64n - 1n) & (~0n << BigInt(this.#width)), value: 0n };
    const own: Condition = { pattern: list[at], matches: true };
    const alone = list.findIndex((pattern, i) => i < at && findEntries([own, { pattern, matches: false }], width) === null);
    return alone >= 0 ? `classify.${level}[${alone}] alone does` : `together, classify.${level}[0] to [${at - 1}] do`;
  }

  /** The fields of one kind of entry do not overlap. */
  fields(): void {
    const { levels, classify, ad } = this.#layout;
    for (const level of levels) {
      classify[level.name].forEach((pattern, at) => {
        if (pattern.as !== 'leaf' && pattern.as !== 'table') return;
        const where = this.#addressPath(level.name, at, pattern);
        const parts = pattern.as === 'table' ? tableParts(this.#layout, level.name) : frameParts(this.#layout, level.name, pattern);
        this.#partsApart(parts, where);
        const address = sourceBits(parts);
        const decides = address & big(pattern.mask);
        if (decides !== 0n)
          this.#error(where, `address bits ${hexText(decides)} also decide what the entry is (classify.${level.name}[${at}])`);
        for (const { path, list } of grantLists(this.#layout, level.name, pattern.as)) {
          list.forEach((rule, i) => {
            const overlap = address & (big(rule.mask) | big(rule.any));
            if (overlap !== 0n && this.#meets(level.name, at, rule))
              this.#error(`${path}[${i}].mask`, `bits ${hexText(overlap)} are address bits of an entry on level ${level.name} (${where})`);
          });
        }
        ad.set.forEach((update, i) => {
          if ((update.at === 'leaf' && pattern.as !== 'leaf') || (update.skip ?? []).includes(level.name)) return;
          const overlap = address & (big(update.set) | big(update.clear));
          if (overlap !== 0n && this.#meets(level.name, at, update))
            this.#error(`ad.set[${i}]`, `changes bits ${hexText(overlap)}, address bits of an entry on level ${level.name} (${where})`);
        });
      });
    }
  }

  /** Where the description gives the address field of an entry. */
  #addressPath(level: string, at: number, pattern: ClassPattern): string {
    if (pattern.frame !== undefined && pattern.as === 'leaf') return `classify.${level}[${at}].frame`;
    const [field, lists] = pattern.as === 'table' ? (['table', this.#layout.table] as const) : (['frame', this.#layout.frame] as const);
    return `${field}.${Object.hasOwn(lists, level) ? level : '*'}`;
  }

  #partsApart(parts: readonly AddressPart[], where: string): void {
    for (let i = 0; i < parts.length; i++) {
      for (let j = 0; j < i; j++) {
        const source = big(parts[i].mask) & big(parts[j].mask);
        if (source !== 0n) this.#error(`${where}[${i}].mask`, `bits ${hexText(source)} are in part ${j}, too`);
        const target = (big(parts[i].mask) << BigInt(parts[i].shl)) & (big(parts[j].mask) << BigInt(parts[j].shl));
        if (target !== 0n) this.#error(`${where}[${i}].shl`, `address bits ${hexText(target)} come from part ${j}, too`);
      }
    }
  }

  /** Whether some entry of the class matches the rule, with some setting of the options. */
  #meets(level: string, at: number, rule: EntryPattern & Conditional): boolean {
    return this.#settings.some(
      (options) => inForce(rule, options) && entriesOfClass(this.#layout, level, at, options, [{ pattern: rule, matches: true }]) !== null,
    );
  }

  /** Addresses fit, and the frame of a large page does not reach into its offset unless that is stated. */
  frames(): void {
    const { levels, classify, paBits, offset } = this.#layout;
    const page = pageShiftOf(this.#layout);
    for (const level of levels) {
      classify[level.name].forEach((pattern, at) => {
        if (pattern.as !== 'leaf') return; // pointers may be wider: POWER's have three bits that no address has
        const own = `classify.${level.name}[${at}]`;
        const where = this.#addressPath(level.name, at, pattern);
        const parts = frameParts(this.#layout, level.name, pattern);
        const shift = pattern.pageShift ?? level.lo;
        if (shift < page) this.#error(`${own}.pageShift`, `${shift}: smaller than a base page, 2^${page} bytes`);
        if (shift > level.lo + level.bits && level.bits > 0)
          this.#error(`${own}.pageShift`, `${shift}: larger than the whole table, 2^${level.lo + level.bits} bytes`);
        this.#addressFits(parts, where);
        if (offset === 'add') return;
        for (const [i, part] of parts.entries()) {
          const low = big(part.mask) & ((2n ** BigInt(shift) - 1n) >> BigInt(part.shl));
          const canBeSet = (bit: bigint): boolean =>
            this.#settings.some((options) => entriesOfClass(this.#layout, level.name, at, options, [], { mask: bit, value: bit }) !== null);
          const inOffset = bitsOf(low)
            .filter(canBeSet)
            .reduce((bits, bit) => bits | bit, 0n);
          if (inOffset !== 0n)
            this.#error(
              `${where}[${i}].mask`,
              `bits ${hexText(inOffset)} lie within the offset of a page of 2^${shift} bytes: mask them out, refuse them (classify, any = "${hexText(inOffset)}"), or set offset = "add"`,
            );
        }
      });
    }
    for (const name of Object.keys(this.#layout.frame)) {
      if (name !== '*' && !classify[name].some((pattern) => pattern.as === 'leaf' && pattern.frame === undefined))
        this.#warn(`frame.${name}`, 'no leaf of this level uses it');
    }
    if (paBits < page) this.#error('paBits', `${paBits}: smaller than a page`);
  }

  #addressFits(parts: readonly AddressPart[], where: string): void {
    const beyond = targetBits(parts) >> BigInt(this.#layout.paBits);
    const path = `${where}[0].mask`;
    if (beyond !== 0n && !this.#problems.some((problem) => problem.path === path))
      this.#error(path, `makes addresses of more than ${this.#layout.paBits} bits (paBits)`);
  }

  /** Every grant applies to some entry; user mode can be granted something. */
  grants(): void {
    const { levels, classify, perm } = this.#layout;
    const used = new Map<string, { used: boolean }>();
    const granted = new Set<string>();
    for (const level of levels) {
      for (const as of ['leaf', 'table'] as const) {
        for (const { path, list } of grantLists(this.#layout, level.name, as)) {
          list.forEach((rule, i) => {
            const key = `${path}[${i}]`;
            const known = used.get(key) ?? { used: false };
            used.set(key, known);
            const applies = classify[level.name].some((pattern, at) => pattern.as === as && this.#meets(level.name, at, rule));
            known.used ||= applies;
            if (applies && as === 'leaf') granted.add(rule.grant);
          });
        }
      }
    }
    for (const [path, known] of used) if (!known.used) this.#error(path, 'this grant applies to no entry');
    for (const [level, list] of Object.entries(perm.entryAt ?? {})) {
      if (list.length > 0 && !used.has(`perm.entryAt.${level}[0]`))
        this.#warn(`perm.entryAt.${level}`, 'not used: no leaf, or the level is skipped');
    }
    if (perm.tableEntry !== undefined && perm.combine === 'leaf' && perm.check === 'leaf')
      this.#warn('perm.tableEntry', 'not used: combine = "leaf" asks the leaf only');
    perm.post.forEach((rule, i) => {
      if (!granted.has(rule.has) && !perm.post.some((other, j) => j < i && other.add === rule.has))
        this.#error(`perm.post[${i}].has`, `'${rule.has}' is never granted`);
    });
    if (granted.size === 0) this.#error('perm', 'nothing is ever granted');
    else if (![...granted].some((grant) => grant.startsWith('u'))) this.#warn('perm', 'user mode is never granted anything');
  }

  /** Accessed and dirty rules apply to some entry, and leave it what it is. */
  updates(): void {
    const { levels, classify, ad } = this.#layout;
    ad.fault.forEach((rule, i) => {
      if (!this.#someLeaf((level, at) => this.#meets(level, at, rule))) this.#error(`ad.fault[${i}]`, 'applies to no leaf');
    });
    ad.set.forEach((rule, i) => {
      let applies = false;
      for (const level of levels) {
        if ((rule.skip ?? []).includes(level.name)) continue;
        classify[level.name].forEach((pattern, at) => {
          if (pattern.as !== 'leaf' && !(pattern.as === 'table' && rule.at === 'all')) return;
          for (const options of this.#settings) {
            if (!inForce(rule, options)) continue;
            const cube = entriesOfClass(this.#layout, level.name, at, options, [{ pattern: rule, matches: true }]);
            if (cube === null) continue;
            applies = true;
            const after = (cube.value | big(rule.set)) & ~big(rule.clear);
            const first = classesOf(this.#layout, level.name, options).find(([, other]) => patternMatches(other, after));
            if (first?.[1].as !== pattern.as) {
              this.#error(
                `ad.set[${i}]`,
                `turns entry ${hexText(cube.value)} of level ${level.name} (${pattern.as}) into ${hexText(after)}, which is ${first?.[1].as ?? 'of no class'}`,
              );
              return;
            }
          }
        });
      }
      if (!applies) this.#error(`ad.set[${i}]`, 'applies to no entry');
    });
  }

  #someLeaf(applies: (level: string, at: number) => boolean): boolean {
    const { levels, classify } = this.#layout;
    return levels.some((level) => classify[level.name].some((pattern, at) => pattern.as === 'leaf' && applies(level.name, at)));
  }

  #forEachPattern(visit: (pattern: EntryPattern & Conditional, path: string) => void): void {
    const { classify, perm, ad } = this.#layout;
    for (const [level, list] of Object.entries(classify)) list.forEach((pattern, i) => visit(pattern, `classify.${level}[${i}]`));
    perm.entry?.forEach((pattern, i) => visit(pattern, `perm.entry[${i}]`));
    perm.tableEntry?.forEach((pattern, i) => visit(pattern, `perm.tableEntry[${i}]`));
    for (const [level, list] of Object.entries(perm.entryAt ?? {}))
      list.forEach((pattern, i) => visit(pattern, `perm.entryAt.${level}[${i}]`));
    ad.fault.forEach((pattern, i) => visit(pattern, `ad.fault[${i}]`));
    ad.set.forEach((pattern, i) => visit(pattern, `ad.set[${i}]`));
  }

  #forEachPart(visit: (part: AddressPart, path: string) => void): void {
    const { classify, table, frame } = this.#layout;
    for (const [level, parts] of Object.entries(table)) parts.forEach((part, i) => visit(part, `table.${level}[${i}]`));
    for (const [level, parts] of Object.entries(frame)) parts.forEach((part, i) => visit(part, `frame.${level}[${i}]`));
    for (const [level, list] of Object.entries(classify)) {
      list.forEach((pattern, i) => {
        pattern.frame?.forEach((part, j) => visit(part, `classify.${level}[${i}].frame[${j}]`));
        pattern.ptr?.forEach((part, j) => visit(part, `classify.${level}[${i}].ptr[${j}]`));
      });
    }
  }
}
