/**
 * Layout descriptors: a page-table format as data. One value answers every question a walker asks of an entry.
 *
 * This file is the language only. Formats written in it are in `layouts/`; `reference.ts` interprets a descriptor step
 * by step, `compile.ts` and `walk.ts` turn it into the fast codec and the hardware walk.
 *
 * Everything decided about an entry is a list of patterns, tried in order. A pattern matches entry `e` when
 *
 *   (e & mask) === value,  and  (e & any) !== 0 if `any` is given,  and  the options in `opt` are on, those in `nopt` off.
 *
 * A walk goes through `levels` from root to leaf: check the address, read the entry, classify it, follow `table` or stop
 * at `leaf`; judge the access; update accessed and dirty bits. Rules are given by the *name* of a level; the numbers
 * that walks report count from the leaf, which is 0.
 *
 *   sv39    va   | 38 .. 30 | 29 .. 21 | 20 .. 12 | 11 .. 0 |
 *   levels           L2         L1         L0       offset         lo: 30, 21, 12; bits: 9 each
 *
 * Numbers of 64 bits are written as hex strings, so that a descriptor is plain JSON. Bit 0 is the least significant of
 * an entry, also where the entry lies in memory with its most significant byte first.
 */

/** An unsigned number of up to 64 bits. */
export type Hex = `0x${string}`;

/** Options that must be on (`opt`) or off (`nopt`) for a rule to be in force. */
export interface Conditional {
  readonly opt?: readonly string[];
  readonly nopt?: readonly string[];
}

export interface Pattern extends Conditional {
  readonly mask: Hex;
  readonly value: Hex;
  readonly any?: Hex;
}

/** Why a walk is refused. One vocabulary for all formats. */
export type FaultKind =
  | 'noncanonical' // the address is outside what the format expresses; nothing was read
  | 'not-present' // an entry is not valid
  | 'reserved' // a valid entry with a reserved bit or encoding
  | 'misaligned' // a large page whose frame has low bits set
  | 'not-leaf' // a pointer where only a leaf may be
  | 'misconfig' // a contradiction that the architecture reports apart from other faults (EPT)
  | 'protection' // the access is not granted
  | 'access-flag' // software must set the accessed bit
  | 'dirty-flag' // software must set the dirty bit
  | 'address-size' // the entry names an address wider than configured
  | 'domain' // the entry's domain gives no access
  | 'bus'; // a table lies outside the machine's memory

/** A piece of an address: (entry & mask) << shl. An address is the OR of its pieces. */
export interface AddressPart {
  readonly mask: Hex;
  readonly shl: number; // 0..63
}

export interface ClassPattern extends Pattern {
  /** indirect: the entry names, by `ptr`, the address of the entry to use; one indirection is followed, a second is not present. */
  readonly as: 'invalid' | 'reserved' | 'table' | 'leaf' | 'indirect';
  readonly fault?: FaultKind; // of `reserved`; 'reserved' where absent
  readonly pageShift?: number; // a leaf that is not as large as its level: log2 of its bytes
  readonly frame?: readonly AddressPart[]; // goes with pageShift
  readonly ptr?: readonly AddressPart[]; // of `indirect`
}

/** user or supervisor; read, write or fetch. */
export type Grant = 'ur' | 'uw' | 'ux' | 'sr' | 'sw' | 'sx';

export interface GrantPattern extends Pattern {
  readonly grant: Grant;
}

/** Applied to the grants of a whole walk, in order: where `has` is granted, `add` is added, `del` taken away. */
export interface PostRule extends Conditional {
  readonly has: Grant;
  readonly add?: Grant;
  readonly del?: Grant;
}

/** Accesses a rule applies to: letters out of r, w, x. */
export type AccessLetters = 'r' | 'w' | 'x' | 'rw' | 'rx' | 'wx' | 'rwx';

/** Accessed or dirty state that software must have set: a leaf that matches is refused. */
export interface AdFault extends Pattern {
  readonly on: AccessLetters;
  readonly kind: FaultKind;
  readonly before?: 'perm'; // judged before the permissions; otherwise after them
}

/**
 * Bits the hardware sets, or clears, in entries that match. It does so when the access is permitted; with `pre` while it
 * descends, before the permissions of the same entry are judged.
 */
export interface AdUpdate extends Conditional {
  readonly at: 'all' | 'leaf';
  readonly on: AccessLetters;
  readonly set?: Hex;
  readonly clear?: Hex;
  readonly mask?: Hex;
  readonly value?: Hex;
  readonly skip?: readonly string[]; // level names without the update
  readonly pre?: 1;
}

export interface Level {
  readonly name: string;
  readonly lo: number; //   lowest address bit of the index
  readonly bits: number; // width of the index; 0 means one fixed entry (a root register's value, an entry of a context table)
}

/** ARM's domains: entries of level `at` name one of sixteen, and an option holds two bits for each: 1 obeys permissions, 3 needs none. */
export interface Domain {
  readonly at: string;
  readonly mask: Hex;
  readonly shr: number;
  readonly skipIf: { readonly mask: Hex; readonly value: Hex; readonly domain: number }; // entries without the field
  readonly reg: string; // the option
}

export interface LayoutDescriptor {
  readonly id: string;
  readonly title: string;
  readonly arch: string;
  readonly kind: 'radix';
  readonly stage?: 2; // translates what another format produced: "physical" addresses of a guest
  readonly endian: 'le' | 'be';
  readonly entryBytes: 4 | 8;
  readonly va: {
    readonly bits: number;
    /**
     * Bits above `bits` are: copies of the top one (sign), zero, not there at all (trunc), ignored (wrap), all zero or
     * all one and so choose between two roots (split); or those in `mask` must be zero (maskzero).
     */
    readonly rule: 'sign' | 'zero' | 'trunc' | 'wrap' | 'split' | 'maskzero';
    readonly mask?: Hex;
    readonly strictOpt?: string; // an option that turns `wrap` into `zero`
    readonly fault?: FaultKind; // as what the architecture reports it; a walk calls it noncanonical
  };
  readonly paBits: number; // width of the addresses it produces
  readonly options: OptionValues; // switchable features and registers, with their defaults
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
    readonly entry?: readonly GrantPattern[];
    readonly entryAt?: Readonly<Record<string, readonly GrantPattern[]>>; // instead of `entry`, by level name
    readonly tableEntry?: readonly GrantPattern[]; // of pointers; they have those of leaves where it is absent
    readonly post: readonly PostRule[];
    readonly skip?: readonly string[]; // levels without permissions
  };
  readonly ad: { readonly fault: readonly AdFault[]; readonly set: readonly AdUpdate[] };
  readonly domain?: Domain;
  readonly nextBits?: { readonly mask: Hex }; // a field of pointers: index width of the next table. For listings; `classify` checks it
  /** A bit by which a run of equal entries tells a TLB that it may keep one translation; run lengths by level. No walk consults it. */
  readonly contiguous?: { readonly bit: number; readonly entries: Readonly<Record<string, number>> };
  /** Bits that no rule consults but that entries carry for their owner. */
  readonly carried?: { readonly global?: Hex };
  /** As a second stage: with this option on, reading an entry of the first stage's tables counts as writing it. */
  readonly tableReadsWriteOpt?: string;
}

/** An option is a switch, or the value of a register. */
export type OptionValues = Readonly<Record<string, 0 | 1 | Hex>>;

/** Values of a descriptor's options; those left out have their default. */
export type Options = OptionValues;

/** Whether a rule with these `opt` and `nopt` is in force. */
export function inForce(rule: Conditional, options: Options): boolean {
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
