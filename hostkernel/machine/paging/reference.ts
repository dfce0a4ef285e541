/**
 * The reference walk: an interpreter of descriptors. It does what `descriptor.ts` says, one rule after the other, and
 * notes every entry it read and changed. Tests and the layout laboratory use it; nothing that runs often does.
 *
 * Addresses and entries are 64-bit numbers in two u32 halves (U64), and memory is a function, so that a walk can be
 * judged without a machine.
 */
import {
  type AdUpdate,
  type AddressPart,
  type FaultKind,
  type Grant,
  halves,
  inForce,
  type LayoutDescriptor,
  type Options,
  type Pattern,
  type U64,
} from './descriptor.ts';

/** The memory that tables lie in. Addresses are bytes; entries are of the format's size, zero-extended. */
export interface ReferenceMemory {
  read(address: U64): U64;
  write(address: U64, entry: U64): void;
}

export interface WalkRequest {
  readonly root: U64; // register: the root table's address, or the value of the root entry
  readonly va: U64;
  readonly access: 'r' | 'w' | 'x';
  readonly mode: 'user' | 'super';
  readonly options?: Options; // those that differ from the descriptor's defaults
}

export type ReferenceResult = {
  readonly level: number; // of the leaf or of the refusing entry; the root has the highest number
  readonly refs: readonly U64[]; // addresses of the entries read, in order
  readonly writes: readonly { readonly address: U64; readonly entry: U64 }[]; // entries changed
} & ({ readonly result: 'hit'; readonly pa: U64; readonly pageShift: number } | { readonly result: 'fault'; readonly kind: FaultKind });

/** Walks once. `memory` is changed as the hardware would. */
export function walkReference(layout: LayoutDescriptor, memory: ReferenceMemory, request: WalkRequest): ReferenceResult {
  const { va, access, mode } = request;
  const options = { ...layout.options, ...request.options };
  const depth = layout.levels.length;
  const wanted = `${mode[0]}${access}` as Grant;
  const refs: U64[] = [];
  const writes: { address: U64; entry: U64 }[] = [];

  const fault = (kind: FaultKind, level: number): ReferenceResult => ({ result: 'fault', kind, level, refs, writes });
  const update = (address: U64 | null, entry: U64, rules: readonly AdUpdate[]): U64 => {
    const changed = rules.reduce((e, rule) => or(e, halves(rule.set ?? '0x0')), entry);
    if (address === null || equal(changed, entry)) return entry;
    memory.write(address, changed);
    writes.push({ address, entry: changed });
    return changed;
  };

  if (!isExpressible(layout, options, va)) return fault(layout.va.fault ?? 'noncanonical', depth - 1);

  let table = layout.root.kind === 'pointer' ? and(request.root, halves(layout.root.mask)) : ZERO;
  let granted: ReadonlySet<Grant> = ALL_GRANTS;
  for (let i = 0; i < depth; i++) {
    const { name, lo, bits } = layout.levels[i];
    const level = depth - 1 - i;

    // The entry. The value of a root register has no address.
    let address: U64 | null = null;
    let entry = request.root;
    if (layout.root.kind === 'pointer' || i > 0) {
      const index = shiftRight(va, lo).lo % 2 ** bits;
      address = add(table, { lo: index * layout.entryBytes, hi: 0 });
      entry = memory.read(address);
      refs.push(address);
    }

    // What it is.
    const found = layout.classify[name].find((pattern) => matches(pattern, entry, options));
    if (found === undefined || found.as === 'reserved') return fault(found?.fault ?? 'reserved', level);
    if (found.as === 'invalid') return fault('not-present', level);
    const isLeaf = found.as === 'leaf';

    // What hardware changes while it descends, and what is granted so far.
    const updates = layout.ad.set.filter(
      (rule) =>
        rule.on.includes(access) && (rule.at === 'all' || isLeaf) && !(rule.skip ?? []).includes(name) && matches(rule, entry, options),
    );
    entry = update(
      address,
      entry,
      updates.filter((rule) => rule.pre === 1),
    );
    if (isLeaf || layout.perm.combine === 'and') {
      const own = new Set((layout.perm.entry ?? []).filter((pattern) => matches(pattern, entry, options)).map((pattern) => pattern.grant));
      granted = new Set([...granted].filter((grant) => own.has(grant)));
    }
    if ((isLeaf || layout.perm.check === 'each') && !granted.has(wanted)) return fault('protection', level);

    if (!isLeaf) {
      table = addressFrom(layout.table[name] ?? layout.table['*'], entry);
      continue;
    }

    // The access is permitted: software's flags, hardware's flags, the address.
    const refused = layout.ad.fault.find((rule) => rule.on.includes(access) && matches(rule, entry, options));
    if (refused !== undefined) return fault(refused.kind, level);
    update(
      address,
      entry,
      updates.filter((rule) => rule.pre !== 1),
    );
    const pageShift = found.pageShift ?? lo;
    const base = addressFrom(found.frame ?? layout.frame[name] ?? layout.frame['*'], entry);
    const offset = and(va, lowBits(pageShift));
    const pa = layout.offset === 'add' ? add(base, offset) : or(and(base, not(lowBits(pageShift))), offset);
    return { result: 'hit', pa, pageShift, level, refs, writes };
  }
  return fault('not-leaf', 0); // a pointer on the last level, for which the descriptor has no rule
}

const ZERO: U64 = { lo: 0, hi: 0 };
const ONES: U64 = { lo: 0xffff_ffff, hi: 0xffff_ffff };
const ALL_GRANTS: ReadonlySet<Grant> = new Set(['ur', 'uw', 'ux', 'sr', 'sw', 'sx']);

/** Whether the bits above the format's width are as its rule wants them. */
function isExpressible(layout: LayoutDescriptor, options: Options, va: U64): boolean {
  const { bits, rule, strictOpt } = layout.va;
  if (rule === 'wrap' && (strictOpt === undefined || options[strictOpt] !== 1)) return true;
  if (rule !== 'sign') return equal(shiftRight(va, bits), ZERO);
  const upper = shiftRight(va, bits - 1); // with the top implemented bit
  return equal(upper, ZERO) || equal(upper, shiftRight(ONES, bits - 1));
}

/** Whether `entry` matches; a rule without mask and value matches every entry. */
function matches(pattern: Partial<Pattern>, entry: U64, options: Options): boolean {
  if (!inForce(pattern, options)) return false;
  if (!equal(and(entry, halves(pattern.mask ?? '0x0')), halves(pattern.value ?? '0x0'))) return false;
  return pattern.any === undefined || !equal(and(entry, halves(pattern.any)), ZERO);
}

function addressFrom(parts: readonly AddressPart[], entry: U64): U64 {
  return parts.reduce((address, part) => or(address, shiftLeft(and(entry, halves(part.mask)), part.shl)), ZERO);
}

// Arithmetic on 64 bits, modulo 2^64.

function and(a: U64, b: U64): U64 {
  return { lo: (a.lo & b.lo) >>> 0, hi: (a.hi & b.hi) >>> 0 };
}

function or(a: U64, b: U64): U64 {
  return { lo: (a.lo | b.lo) >>> 0, hi: (a.hi | b.hi) >>> 0 };
}

function not(a: U64): U64 {
  return { lo: ~a.lo >>> 0, hi: ~a.hi >>> 0 };
}

function equal(a: U64, b: U64): boolean {
  return a.lo === b.lo && a.hi === b.hi;
}

function add(a: U64, b: U64): U64 {
  const lo = a.lo + b.lo;
  return { lo: lo >>> 0, hi: (a.hi + b.hi + (lo > 0xffff_ffff ? 1 : 0)) >>> 0 };
}

/** The lowest n bits set, 0 <= n <= 64. */
function lowBits(n: number): U64 {
  return shiftRight(ONES, 64 - n);
}

/** 0 <= n <= 64. */
function shiftRight(a: U64, n: number): U64 {
  if (n === 0) return a;
  if (n >= 32) return { lo: n === 64 ? 0 : a.hi >>> (n - 32), hi: 0 };
  return { lo: ((a.lo >>> n) | (a.hi << (32 - n))) >>> 0, hi: a.hi >>> n };
}

/** 0 <= n <= 64. */
function shiftLeft(a: U64, n: number): U64 {
  if (n === 0) return a;
  if (n >= 32) return { lo: 0, hi: n === 64 ? 0 : (a.lo << (n - 32)) >>> 0 };
  return { lo: (a.lo << n) >>> 0, hi: ((a.hi << n) | (a.lo >>> (32 - n))) >>> 0 };
}
