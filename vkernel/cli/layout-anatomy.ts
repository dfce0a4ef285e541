/**
 * The anatomy of a layout's entries: for each kind of entry on each level, what every bit is for. It is found out from
 * the rules, not written down anywhere: a bit is what the rules do with it.
 *
 *   address      it goes into the frame or the next table's address
 *   fixed        every entry of this kind has it so; otherwise it is another kind of entry
 *   permission   a grant looks at it
 *   accessed, dirty, global, domain, contiguous
 *   free         no rule looks at it: software's
 *
 * Names are the field's: R W X U, where a set bit grants; RO NX S, where it takes away; A, D, G.
 */
import {
  type ClassPattern,
  classesOf,
  type Cube,
  entriesOfClass,
  frameParts,
  type Grant,
  grantLists,
  inForce,
  type LayoutDescriptor,
  type Options,
  patternMatches,
  tableParts,
} from '../../hostkernel/machine/paging/index.ts';

export type FieldRole = 'address' | 'fixed' | 'permission' | 'accessed' | 'dirty' | 'global' | 'domain' | 'contiguous' | 'free';

/** Neighbouring bits of an entry with one purpose. */
export interface EntryField {
  readonly hi: number;
  readonly lo: number;
  readonly role: FieldRole;
  readonly name: string; // what a drawing shows: 'frame 55..12', '=0', 'W'
  readonly text: string; // polarity and meaning; '' where the name says it
}

export interface PermissionRow {
  readonly bits: string; // of the permission bits, the highest first
  readonly user: string; // 'rw-'
  readonly super: string;
}

/** One kind of entry. */
export interface EntryKind {
  readonly levels: readonly string[]; // those that have it
  readonly as: 'leaf' | 'table' | 'indirect';
  readonly pageShift: number; //  of a leaf, log2 of bytes; else 0
  readonly fields: readonly EntryField[]; // the highest first
  readonly permissionBits: readonly number[];
  readonly permissions: readonly PermissionRow[]; // empty where the entry has no say
}

const MAX_PERMISSION_BITS = 10;
const GRANTS: readonly Grant[] = ['ur', 'uw', 'ux', 'sr', 'sw', 'sx'];

/** All kinds of entries that map or point, from the root down. Kinds that look the same on several levels are one. */
export function entryKinds(layout: LayoutDescriptor, options: Options): readonly EntryKind[] {
  const kinds: EntryKind[] = [];
  for (const level of layout.levels) {
    for (const [at, pattern] of classesOf(layout, level.name, options)) {
      if (pattern.as === 'invalid' || pattern.as === 'reserved') continue;
      const cube = entriesOfClass(layout, level.name, at, options);
      if (cube === null) continue;
      const kind = kindOf(layout, level.name, at, pattern, options);
      const same = kinds.findIndex((other) => JSON.stringify({ ...other, levels: [] }) === JSON.stringify({ ...kind, levels: [] }));
      if (same < 0) kinds.push(kind);
      else kinds[same] = { ...kinds[same], levels: [...kinds[same].levels, level.name] };
    }
  }
  return kinds;
}

const bit = (n: number): bigint => 1n << BigInt(n);

function kindOf(layout: LayoutDescriptor, level: string, at: number, pattern: ClassPattern, options: Options): EntryKind {
  const as = pattern.as as EntryKind['as'];
  const width = layout.entryBytes * 8;
  const parts = as === 'table' ? tableParts(layout, level) : as === 'leaf' ? frameParts(layout, level, pattern) : (pattern.ptr ?? []);
  const lists = as === 'indirect' ? [] : grantLists(layout, level, as).map(({ list }) => list);
  const rules = lists.flatMap((list) => list.filter((rule) => inForce(rule, options)));
  const fixed = new Map<number, 0 | 1>();
  const relevant = rules.filter((rule) => entriesOfClass(layout, level, at, options, [{ pattern: rule, matches: true }]) !== null);
  const looked = relevant.reduce((bits, rule) => bits | BigInt(rule.mask) | BigInt(rule.any ?? '0x0'), 0n);
  const updates = layout.ad.set.filter(
    (update) =>
      inForce(update, options) && (update.at === 'all' || as === 'leaf') && !(update.skip ?? []).includes(level) && as !== 'indirect',
  );
  const setOn = (letter: string): bigint =>
    updates.filter((update) => update.on.includes(letter)).reduce((bits, update) => bits | BigInt(update.set ?? '0x0'), 0n);
  const accessed = setOn('r');
  const dirty = setOn('w') & ~accessed;
  const faults = as === 'leaf' ? layout.ad.fault.filter((rule) => inForce(rule, options)) : [];

  const permissionBits: number[] = [];
  const single: EntryField[] = [];
  for (let n = width - 1; n >= 0; n--) {
    const value = onlyValue(layout, level, at, options, n);
    if (value !== null) fixed.set(n, value);
    const part = parts.find(({ mask }) => (BigInt(mask) & bit(n)) !== 0n);
    const one = (role: FieldRole, name: string, text: string): void => void single.push({ hi: n, lo: n, role, name, text });
    const fault = faults.find((rule) => BigInt(rule.mask) === bit(n));
    if (part !== undefined && value !== 0)
      one('address', as === 'table' ? 'table' : as === 'leaf' ? 'frame' : 'entry', String(n + part.shl));
    else if (value !== null) one('fixed', `=${value}`, `${1 - value}: ${otherClass(layout, level, at, options, n, value)}`);
    else if (fault !== undefined && BigInt(fault.value) === 0n) {
      const isAccessed = fault.on.includes('r');
      one(isAccessed ? 'accessed' : 'dirty', isAccessed ? 'A' : 'D', `0: ${fault.kind} fault on ${letters(fault.on)}`);
    } else if ((accessed & bit(n)) !== 0n) one('accessed', 'A', 'set by the walk on any access');
    else if ((dirty & bit(n)) !== 0n) one('dirty', 'D', 'set by the walk on a write');
    else if ((looked & bit(n)) !== 0n) {
      permissionBits.push(n);
      one('permission', '', '');
    } else if ((BigInt(layout.carried?.global ?? '0x0') & bit(n)) !== 0n) one('global', 'G', 'global');
    else if (layout.domain?.at === level && (BigInt(layout.domain.mask) & bit(n)) !== 0n)
      one('domain', 'domain', `of ${layout.domain.reg}`);
    else if (layout.contiguous?.bit === n && as === 'leaf') one('contiguous', 'C', 'one of a run of entries');
    else one('free', '-', '');
  }
  const effects: Effects =
    lists.length === 0 ? { names: new Map(), rows: [] } : permissionEffects(layout, level, at, options, relevant, permissionBits);
  const named = single.map((field) => (field.role === 'permission' ? { ...field, ...effects.names.get(field.hi) } : field));
  return {
    levels: [level],
    as,
    pageShift: as === 'leaf' ? (pattern.pageShift ?? layout.levels.find(({ name }) => name === level)?.lo ?? 0) : 0,
    fields: merge(named),
    permissionBits,
    permissions: effects.rows,
  };
}

const letters = (on: string): string => (on === 'rwx' ? 'any access' : on === 'w' ? 'a write' : on);

/** The value that bit `n` has in every entry of the class, or null if it may have either. */
function onlyValue(layout: LayoutDescriptor, level: string, at: number, options: Options, n: number): 0 | 1 | null {
  const can = (value: bigint): boolean => entriesOfClass(layout, level, at, options, [], { mask: bit(n), value }) !== null;
  if (!can(0n)) return 1;
  return can(bit(n)) ? null : 0;
}

/** What an entry of the class becomes if a bit that it must have is turned over. */
function otherClass(layout: LayoutDescriptor, level: string, at: number, options: Options, n: number, value: 0 | 1): string {
  const cube = entriesOfClass(layout, level, at, options) as Cube; // the class has entries, or nobody would ask
  const turned = value === 1 ? cube.value & ~bit(n) : cube.value | bit(n);
  const found = classesOf(layout, level, options).find(([, pattern]) => patternMatches(pattern, turned))?.[1];
  if (found === undefined || found.as === 'reserved') return found?.fault ?? 'reserved';
  return found.as === 'invalid' ? 'not-present' : found.as === 'table' ? 'a pointer' : found.as === 'leaf' ? 'a leaf' : 'indirect';
}

interface Effects {
  readonly names: ReadonlyMap<number, { readonly name: string; readonly text: string }>;
  readonly rows: readonly PermissionRow[];
}

/** What the permission bits do: their names by what a set bit grants or takes away, and all combinations. */
function permissionEffects(
  layout: LayoutDescriptor,
  level: string,
  at: number,
  options: Options,
  rules: readonly (Parameters<typeof patternMatches>[0] & { readonly grant: Grant })[],
  bits: readonly number[],
): Effects {
  const names = new Map<number, { name: string; text: string }>();
  if (bits.length > MAX_PERMISSION_BITS) {
    for (const n of bits) names.set(n, { name: 'P', text: 'permission' });
    return { names, rows: [] };
  }
  const mask = bits.reduce((all, n) => all | bit(n), 0n);
  const combos = Array.from({ length: 2 ** bits.length }, (_, combo) =>
    bits.reduce((value, n, i) => ((combo >> (bits.length - 1 - i)) & 1 ? value | bit(n) : value), 0n),
  );
  const grantsOf = new Map<bigint, ReadonlySet<Grant>>();
  for (const value of combos) {
    const cube = entriesOfClass(layout, level, at, options, [], { mask, value });
    if (cube === null) continue;
    grantsOf.set(value, new Set(rules.filter((rule) => patternMatches(rule, cube.value)).map((rule) => rule.grant)));
  }
  for (const n of bits) {
    const adds = new Set<Grant>();
    const takes = new Set<Grant>();
    for (const [value, with1] of grantsOf) {
      if ((value & bit(n)) === 0n) continue;
      const with0 = grantsOf.get(value & ~bit(n));
      if (with0 === undefined) continue;
      for (const grant of GRANTS) {
        if (with1.has(grant) && !with0.has(grant)) adds.add(grant);
        if (!with1.has(grant) && with0.has(grant)) takes.add(grant);
      }
    }
    names.set(n, nameOf([...adds], [...takes]));
  }
  const rows = [...grantsOf].map(([value, own]) => {
    const granted = layout.perm.post.reduce((set, rule) => {
      if (!inForce(rule, options) || !set.has(rule.has)) return set;
      const after = new Set(set);
      if (rule.add !== undefined) after.add(rule.add);
      if (rule.del !== undefined) after.delete(rule.del);
      return after;
    }, own);
    const mode = (m: 'u' | 's'): string => ['r', 'w', 'x'].map((op) => (granted.has(`${m}${op}` as Grant) ? op : '-')).join('');
    return { bits: bits.map((n) => ((value & bit(n)) === 0n ? '0' : '1')).join(''), user: mode('u'), super: mode('s') };
  });
  return { names, rows };
}

function nameOf(adds: readonly Grant[], takes: readonly Grant[]): { name: string; text: string } {
  const modes = (grants: readonly Grant[]): string => [...new Set(grants.map((grant) => grant[0]))].toSorted().join('');
  const what = (grants: readonly Grant[]): string => [...new Set(grants.map((grant) => grant[1]))].toSorted().join('');
  const words = (grants: readonly Grant[]): string => {
    const of = (m: string): string =>
      (['r', 'w', 'x'] as const).flatMap((op) => (grants.includes(`${m}${op}` as Grant) ? [WORDS[op]] : [])).join(', ');
    const [user, supervisor] = [of('u'), of('s')];
    if (user === supervisor) return user;
    return [user === '' ? '' : `user ${user}`, supervisor === '' ? '' : `supervisor ${supervisor}`]
      .filter((part) => part !== '')
      .join(', ');
  };
  const text = `1: ${[adds.length > 0 ? `grants ${words(adds)}` : '', takes.length > 0 ? `takes ${words(takes)} away` : ''].filter((part) => part !== '').join('; ')}`;
  if (adds.length === 0 && takes.length === 0) return { name: 'P', text: 'permission' };
  if (takes.length === 0)
    return { name: what(adds).length === 1 ? what(adds).toUpperCase() : modes(adds) === 'u' ? 'U' : modes(adds) === 's' ? 'S' : 'P', text };
  if (adds.length === 0) {
    const mode = modes(takes) === 'su' ? '' : modes(takes);
    if (what(takes) === 'w') return { name: 'RO', text };
    if (what(takes).length === 1) return { name: `${mode}N${what(takes).toUpperCase()}`, text };
    return { name: modes(takes) === 'u' ? 'S' : 'P', text };
  }
  return { name: modes(adds) === 'u' && modes(takes) === 's' ? 'U' : modes(adds) === 's' && modes(takes) === 'u' ? 'S' : 'P', text };
}
const WORDS = { r: 'read', w: 'write', x: 'fetch' };

/** Joins neighbouring bits with one purpose into fields. Permission bits stay apart: each has a meaning of its own. */
function merge(single: readonly EntryField[]): readonly EntryField[] {
  const fields: EntryField[] = [];
  for (const field of single) {
    const last = fields.at(-1);
    const sameAddress =
      field.role === 'address' && last?.role === 'address' && Number(last.text.split(' ').at(-1)) === Number(field.text) + 1;
    const same =
      field.role !== 'permission' &&
      last?.role === field.role &&
      last.name === field.name &&
      (sameAddress || (field.role !== 'address' && last.text === field.text));
    if (last !== undefined && same)
      fields[fields.length - 1] = { ...last, lo: field.lo, text: sameAddress ? `${last.text.split(' ')[0]} ${field.text}` : last.text };
    else fields.push(field);
  }
  return fields.map((field) => {
    if (field.role !== 'address') return field;
    const [high, low = high] = field.text.split(' ');
    return { ...field, name: high === low ? `${field.name} ${high}` : `${field.name} ${high}..${low}`, text: '' };
  });
}
