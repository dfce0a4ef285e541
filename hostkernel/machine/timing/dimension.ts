/**
 * One dimension of a translation: a format, the memory its tables lie in, its root registers, and the caches of its walks.
 * The walk itself is in `translation.ts`.
 */
import { kassert } from '../../base/assert.ts';
import { type Access, READ, WRITE } from '../../base/units.ts';
import { EntryJudge, geometryOf, MAX_LEVELS, type PageTableFormat, rootMaskOf, upperBitsOf } from '../paging/index.ts';
import type { NestedTlb } from './nested-tlb.ts';
import { entryShapeOf, type TableMemory } from './table-memory.ts';
import type { WalkCache } from './walk-cache.ts';

/** No address, no root. */
export const NOWHERE = -1;

export interface DimensionParts {
  readonly format: PageTableFormat;
  readonly memory: TableMemory;
  readonly mode: 'user' | 'super';
  readonly isPhysical: boolean;
  readonly walkCache: WalkCache | null;
  readonly nested: NestedTlb | null;
  readonly next: Dimension | null;
  readonly number: number; // 0, 1, 2; FRONT for a shadow table
}

/** All fields are read by the walk for every entry. */
export class Dimension {
  readonly number: number;
  readonly format: PageTableFormat;
  readonly memory: TableMemory;
  readonly isPhysical: boolean; //  tables lie in `memory` at their physical addresses, not at their own
  readonly shape: number; //        of entries, for TableMemory
  readonly judge: EntryJudge;
  readonly walkCache: WalkCache | null;
  readonly nested: NestedTlb | null; // of addresses that this dimension translates for the one before
  readonly next: Dimension | null;
  /** What reading an entry of the dimension before counts as here. */
  readonly entryAccess: Access;
  readonly top: number; //          the level that a walk begins with
  readonly fixedValue: number; //   the level of a root register that is an entry, or -1
  readonly lows: Int32Array; //     by level: lowest bit of the index
  readonly masks: Int32Array; //    by level: of the index
  readonly entryShift: number;
  // Bits of an address above the format's.
  readonly upperLo: number;
  readonly upperHi: number;
  readonly onesAllowed: boolean;
  readonly isSplit: boolean;
  // Root registers, in signed halves.
  rootLo = 0;
  rootHi = 0;
  hasUpperRoot = false;
  upperRootLo = 0;
  upperRootHi = 0;
  hostRoot = NOWHERE; // physical byte address of the root table, where it is known
  // What the last walk, or the nested TLB, has found: a physical frame.
  frame = 0;
  shift = 12;
  attributes = 0;
  level = 0; //      of the leaf
  ownFrame = 0; //   the frame that the leaf itself names
  // The path of the walk under way, by level.
  first = 0; //      the level it began with
  startCarried = 0; // what the pointers above it had granted
  reached = 0; //    the level of the entry that was read last
  unmarked = 0; //   levels whose entries are still to be marked, as bits
  readonly pathAddress = new Float64Array(MAX_LEVELS + 2); //   physical, of the entry
  readonly pathTable = new Float64Array(MAX_LEVELS + 2); //     where it points
  readonly pathHostTable = new Float64Array(MAX_LEVELS + 2); // the same, physical
  readonly pathCarried = new Uint8Array(MAX_LEVELS + 2);
  // Entries to be marked once the dimension below has allowed it: addresses, and bits that change.
  readonly ownPage = new Float64Array(MAX_LEVELS + 2);
  readonly ownOffset = new Int32Array(MAX_LEVELS + 2);
  readonly ownStored = new Float64Array(MAX_LEVELS + 2);
  readonly ownBits = new Int32Array((MAX_LEVELS + 2) * 4); // set and clear of the lower half, then of the upper
  readonly #maskLo: number;
  readonly #maskHi: number;

  constructor({ format, memory, mode, isPhysical, walkCache, nested, next, number }: DimensionParts) {
    const { descriptor, options } = format;
    const geometry = geometryOf(descriptor);
    this.number = number;
    this.format = format;
    this.memory = memory;
    this.isPhysical = isPhysical;
    this.shape = entryShapeOf(format);
    this.judge = new EntryJudge(descriptor, options, mode);
    this.walkCache = walkCache;
    this.nested = nested;
    this.next = next;
    const option = descriptor.tableReadsWriteOpt;
    this.entryAccess = option !== undefined && options[option] === 1 ? WRITE : READ;
    this.top = descriptor.levels.length - 1;
    this.fixedValue = descriptor.root.kind === 'value' ? geometry.levels : -1;
    this.lows = Int32Array.from(geometry.lows);
    this.masks = Int32Array.from([...geometry.bits.map((bits) => 2 ** bits - 1), 0]);
    this.entryShift = format.entryShift;
    const { upperLo, upperHi, onesAllowed, isSplit } = upperBitsOf(descriptor, options);
    this.upperLo = upperLo;
    this.upperHi = upperHi;
    this.onesAllowed = onesAllowed;
    this.isSplit = isSplit;
    const { maskLo, maskHi } = rootMaskOf(descriptor);
    this.#maskLo = maskLo;
    this.#maskHi = maskHi;
  }

  /** Loads the root registers with roots of PageTables. */
  setRoots(root: number, upperRoot: number, hostRoot: number): void {
    kassert(root >= 0 && hostRoot >= NOWHERE, 'translation: a root is a byte address');
    const { format } = this;
    const isValue = this.fixedValue >= 0;
    const loOf = (address: number): number => (isValue ? format.rootLo(address) : address | 0);
    const hiOf = (address: number): number => (isValue ? format.rootHi(address) : Math.floor(address / 4294967296) | 0);
    this.setRegisters({
      rootLo: loOf(root),
      rootHi: hiOf(root),
      hasUpperRoot: upperRoot >= 0,
      upperRootLo: upperRoot >= 0 ? loOf(upperRoot) : 0,
      upperRootHi: upperRoot >= 0 ? hiOf(upperRoot) : 0,
    });
    this.hostRoot = isValue ? NOWHERE : hostRoot;
  }

  /** Loads the root registers as they are. */
  setRegisters(registers: RootRegisters): void {
    this.rootLo = registers.rootLo & this.#maskLo;
    this.rootHi = registers.rootHi & this.#maskHi;
    this.hasUpperRoot = registers.hasUpperRoot;
    this.upperRootLo = registers.upperRootLo & this.#maskLo;
    this.upperRootHi = registers.upperRootHi & this.#maskHi;
    this.hostRoot = NOWHERE;
  }
}

/** Root registers in halves, signed or not. */
export interface RootRegisters {
  readonly rootLo: number;
  readonly rootHi: number;
  /** The root of addresses with ones on top, where the format has two. */
  readonly hasUpperRoot: boolean;
  readonly upperRootLo: number;
  readonly upperRootHi: number;
}
