/**
 * The translation of addresses as a machine makes it: TLBs, then a walk over real tables through one, two or three
 * dimensions with its walk caches and nested TLBs, each entry fetched through the data caches; counted, with cycles.
 *
 *   dimension 0    address of a program  -> address of the guest          tables of the guest (or the machine's only ones)
 *   dimension 1    address of the guest  -> address of its host           tables of the host
 *   dimension 2    ... of a host that is a guest itself                   the last dimension gives physical addresses
 *
 * An address is (page, offset) in every dimension: 4 KiB page number below 2^52, byte in it.
 */
import type { Access } from '../../base/units.ts';
import type { PageTableFormat } from '../paging/index.ts';
import type { TableMemory } from './table-memory.ts';

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
   *   g  level of the guest's entry, `rows` - 1 for the data
   *   h  level of the host's entry for it, `columns` - 1 for the guest's entry itself
   */
  walked(space: number, page: number, access: Access, latencies: Float64Array, columns: number): void;
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

/** What method code sees of a Translation. */
export interface TranslationModel {
  readonly counters: TranslationCounters;
  /** Cycles so far. */
  readonly tlbCycles: number;
  readonly walkCycles: number;
  readonly dataCycles: number;
  /** Walks by the number of references they made: refused ones too. */
  readonly perWalk: Float64Array;
  /** References by stage, level and who served them: byStage[(stage * LEVELS + level) * SERVERS + servedBy]. See stageNames. */
  readonly byStage: Float64Array;
  readonly stageNames: readonly string[];
  recorder: WalkRecorder | null;

  /** After access(): the physical frame, log2 of the page's bytes (of the smallest on the way), and what is permitted. */
  readonly frame: number;
  readonly shift: number;
  readonly attributes: number;
  /** After REFUSED: the dimension whose entry refused, its level, WALK_* of machine/paging, and the page in that dimension's input. */
  readonly refusedDimension: number;
  readonly refusedLevel: number;
  readonly refusedKind: number;
  readonly refusedPage: number;
  readonly refusedOffset: number;
  /** It refused while an entry of a dimension before it was read or marked. */
  readonly refusedImplicit: boolean;

  /** The processor goes to `space`. */
  setSpace(space: number, roots: SpaceRoots): void;
  /** The root of dimension 1 or 2. */
  setRoot(dimension: number, root: number): void;
  /**
   * One access of the current space: TLBs, walk if they miss, then the data. Hot: allocates nothing. A refused access has
   * changed no tables and touched no data.
   */
  access(page: number, offset: number, access: Access): number;
  /** The same for whoever only wants the walk: no TLB, no data access. */
  walk(page: number, offset: number, access: Access): number;

  /** One page, or a range, of a space is forgotten, as the machine's own instruction does it. */
  invalidatePage(space: number, page: number): void;
  invalidateRange(space: number, page: number, pages: number): void;
  invalidateSpace(space: number): void;
  invalidateAll(keepGlobal: boolean): void;
  /** Pages of the input of dimension 1 or 2 are mapped otherwise now: combined entries, nested TLBs, walk caches. */
  invalidateNested(dimension: number, page: number, pages: number): void;
}
