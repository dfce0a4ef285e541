/**
 * Layout descriptors: a page-table format as data. One value answers every question a walker asks of an entry.
 *
 * This file is the language only. Formats written in it are in `riscv.ts` and `vpte.ts`; `reference.ts` interprets
 * a descriptor step by step, `compile.ts` and `walk.ts` turn it into the fast codec and the hardware walk.
 *
 * Everything decided about an entry is a list of patterns, tried in order. A pattern matches entry `e` when
 *
 *   (e & mask) === value,  and  (e & any) !== 0 if `any` is given,  and  the options in `opt` are on, those in `nopt` off.
 *
 * A walk goes through `levels` from root to leaf: read the entry, classify it, follow `table` or stop at `leaf`.
 * Numbers of 64 bits are written as hex strings, so that a descriptor is plain JSON.
 */

/** An unsigned number of up to 64 bits. */
export type Hex = `0x${string}`;

export interface Pattern {
  readonly mask: Hex;
  readonly value: Hex;
  readonly any?: Hex;
  readonly opt?: readonly string[];
  readonly nopt?: readonly string[];
}

/** Why a walk is refused. One vocabulary for all formats. */
export type FaultKind =
  | 'noncanonical' // the address is outside what the format expresses; nothing was read
  | 'not-present' // an entry is not valid
  | 'reserved' // a valid entry with a reserved bit or encoding
  | 'misaligned' // a large page whose frame has low bits set
  | 'not-leaf' // a pointer where only a leaf may be
  | 'protection' // the access is not granted
  | 'access-flag' // software must set the accessed bit
  | 'dirty-flag' // software must set the dirty bit
  | 'bus'; // a table lies outside the machine's memory

/** A piece of an address: (entry & mask) << shl. An address is the OR of its pieces. */
export interface AddressPart {
  readonly mask: Hex;
  readonly shl: number;
}

export interface ClassPattern extends Pattern {
  readonly as: 'invalid' | 'reserved' | 'table' | 'leaf';
  readonly fault?: FaultKind; // of `reserved`; 'reserved' where absent
  readonly pageShift?: number; // a leaf that is not as large as its level (contiguous ranges)
  readonly frame?: readonly AddressPart[]; // goes with pageShift
}

/** user or supervisor; read, write or fetch. */
export type Grant = 'ur' | 'uw' | 'ux' | 'sr' | 'sw' | 'sx';

export interface GrantPattern extends Pattern {
  readonly grant: Grant;
}

/** Accesses a rule applies to: letters out of r, w, x. */
export type AccessLetters = 'r' | 'w' | 'x' | 'rw' | 'rx' | 'wx' | 'rwx';

export interface AdFault extends Pattern {
  readonly on: AccessLetters;
  readonly kind: FaultKind;
}

/** Bits the hardware sets. `pre`: while descending, before the permission check of the same entry. */
export interface AdUpdate {
  readonly at: 'all' | 'leaf';
  readonly on: AccessLetters;
  readonly set: Hex;
  readonly mask?: Hex;
  readonly value?: Hex;
  readonly opt?: readonly string[];
  readonly nopt?: readonly string[];
  readonly skip?: readonly string[]; // level names without the update
  readonly pre?: 1;
}

export interface Level {
  readonly name: string;
  readonly lo: number; //   lowest address bit of the index
  readonly bits: number; // width of the index; 0 means one fixed entry (the value of a root register)
}

export interface LayoutDescriptor {
  readonly id: string;
  readonly title: string;
  readonly arch: string;
  readonly kind: 'radix';
  readonly endian: 'le';
  readonly entryBytes: 4 | 8;
  readonly va: {
    readonly bits: number;
    /** Bits above `bits`: copies of the top one, zero, not there at all, or ignored. */
    readonly rule: 'sign' | 'zero' | 'trunc' | 'wrap';
    readonly strictOpt?: string; // an option that turns `wrap` into `zero`
    readonly fault?: FaultKind;
  };
  readonly paBits: number; // width of the addresses it produces
  readonly options: Readonly<Record<string, 0 | 1>>; // switchable features, with their defaults
  /** pointer: register & mask is the address of the root table. value: the register is itself an entry. */
  readonly root: { readonly kind: 'pointer'; readonly mask: Hex } | { readonly kind: 'value' };
  /** How an offset joins a frame. or: low frame bits are dropped first. add: a large page needs no alignment. */
  readonly offset: 'or' | 'add';
  readonly levels: readonly Level[]; // root first
  readonly classify: Readonly<Record<string, readonly ClassPattern[]>>; // by level name
  readonly table: Readonly<Record<string, readonly AddressPart[]>>; // by level name, or '*'
  readonly frame: Readonly<Record<string, readonly AddressPart[]>>;
  readonly perm: {
    readonly check: 'leaf' | 'each'; // when the access is judged
    readonly combine: 'leaf' | 'and'; // whose grants count
    readonly entry: readonly GrantPattern[];
    readonly post: readonly never[];
  };
  readonly ad: { readonly fault: readonly AdFault[]; readonly set: readonly AdUpdate[] };
  /** Bits that no rule consults but that entries carry for their owner. */
  readonly carried?: { readonly global?: Hex };
}

/** Values of a descriptor's options; those left out have their default. */
export type Options = Readonly<Record<string, 0 | 1>>;

/** Whether a rule with these `opt` and `nopt` is in force. */
export function inForce(rule: { readonly opt?: readonly string[]; readonly nopt?: readonly string[] }, options: Options): boolean {
  return (rule.opt ?? []).every((name) => options[name] === 1) && (rule.nopt ?? []).every((name) => options[name] !== 1);
}

/** 64 bits as two u32 halves. */
export interface U64 {
  readonly lo: number;
  readonly hi: number;
}

/** The halves of a hex string. */
export function halves(hex: Hex): U64 {
  const digits = hex.slice(2);
  return { lo: Number.parseInt(digits.slice(-8), 16), hi: digits.length > 8 ? Number.parseInt(digits.slice(0, -8), 16) : 0 };
}
