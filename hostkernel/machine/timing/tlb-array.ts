/**
 * One array of a TLB: translations of one page size or of several, under the space they belong to. Which sizes go into
 * which array is decided in tlb.ts; an array takes what it is given.
 *
 *   tag    page / pages of the entry's size
 *   id     | vm 8 bits | asid 16 bits | log2 of the size in bytes: 6 bits |     space = vm and asid in one number
 *          | -1 - vm                  | log2 of the size                  |     a global entry: of every asid of its VM
 *
 * A walk cache may keep directory entries in the same store (zen): theirs are the ids whose low six bits are a level, below
 * 12, so no entry is taken for another's.
 */
import { kassert } from '../../base/assert.ts';
import { PAGE_SHIFT } from '../../base/units.ts';
import { ATTR_GLOBAL } from '../paging/index.ts';
import { type Shape, TagStore } from './tag-store.ts';

/** Address spaces are numbers below this: a VM in the upper 8 bits, an address-space id in the lower 16. */
export const SPACES = 2 ** 24;
export const VM_SHIFT = 16;

/** The low bits of an id: log2 of a size here, a level in walk caches. */
export const ID_LEVEL_BITS = 6;
export const ID_LEVEL_MASK = 63;
/** Low bits from here on are sizes, below they are levels. */
export const PAGE_IDS = PAGE_SHIFT;

/** By log2 of a size in bytes: 1 / its pages, and its pages. Powers of two: multiplying by them is exact. */
const INVERSE = Float64Array.from({ length: 64 }, (_, shift) => 2 ** (PAGE_SHIFT - shift));
const PAGES = Float64Array.from({ length: 64 }, (_, shift) => 2 ** (shift - PAGE_SHIFT));

export class TlbArray {
  readonly store: TagStore;
  // What the last find has found: the frame of the page itself, log2 of the bytes of the entry.
  slot = 0;
  frame = 0;
  shift = PAGE_SHIFT;
  attributes = 0;
  readonly memoOf: Int16Array; // per slot, the owner's
  /** Whether a find since this was last cleared met an entry of the page that lacks what was needed. */
  denied = false;
  readonly #delta: Float64Array; //     per slot: frame - page, the same for every page of the entry
  readonly #attributes: Uint8Array; // per slot
  readonly #shifts = new Int32Array(64); // sizes that were ever filled, ascending: a find looks for no others
  #sizes = 0;
  #lastShift = 0; //     of the last entry that was filled
  #hasGlobal = false; // whether a global entry was ever filled

  constructor(name: string, shape: Shape, seed: number) {
    this.store = new TagStore(name, shape, seed);
    this.#delta = new Float64Array(shape.entries);
    this.#attributes = new Uint8Array(shape.entries);
    this.memoOf = new Int16Array(shape.entries).fill(-1);
  }

  /**
   * Looks for an entry that translates `page` and has all attributes of `needed`, smaller sizes first. Counts a hit, but
   * not a miss. Hot.
   * @returns whether there is one: then slot, frame, shift and attributes are its
   */
  find(space: number, page: number, needed: number): boolean {
    if (!this.peek(space, page, needed)) return false;
    this.store.hit(this.slot);
    return true;
  }

  /** As find, without counting and without a use. Hot. */
  peek(space: number, page: number, needed: number): boolean {
    for (let i = 0; i < this.#sizes; i++) {
      const shift = this.#shifts[i];
      const tag = shift === PAGE_SHIFT ? page : Math.floor(page * INVERSE[shift]);
      if (this.#has(tag, (space << ID_LEVEL_BITS) | shift, page, needed)) return true;
      if (this.#hasGlobal && this.#has(tag, globalId(space, shift), page, needed)) return true;
    }
    return false;
  }

  #has(tag: number, id: number, page: number, needed: number): boolean {
    const slot = this.store.probe(tag, id);
    if (slot < 0) return false;
    const attributes = this.#attributes[slot];
    if ((attributes & needed) !== needed) {
      this.denied = true;
      return false;
    }
    this.slot = slot;
    this.frame = page + this.#delta[slot];
    this.shift = id & ID_LEVEL_MASK;
    this.attributes = attributes;
    return true;
  }

  /** Enters a translation of the 2^shift bytes around `page`, whose own frame is `frame`. Hot. @returns its slot */
  fill(space: number, page: number, frame: number, shift: number, attributes: number): number {
    const isGlobal = (attributes & ATTR_GLOBAL) !== 0;
    if (shift !== this.#lastShift || isGlobal) this.#willHold(shift, isGlobal);
    const tag = shift === PAGE_SHIFT ? page : Math.floor(page * INVERSE[shift]);
    const slot = this.store.insert(tag, isGlobal ? globalId(space, shift) : (space << ID_LEVEL_BITS) | shift);
    this.#delta[slot] = frame - page;
    this.#attributes[slot] = attributes;
    return slot;
  }

  #willHold(shift: number, isGlobal: boolean): void {
    this.#lastShift = shift;
    if (isGlobal) this.#hasGlobal = true;
    const shifts = this.#shifts;
    let at = this.#sizes;
    while (at > 0 && shifts[at - 1] >= shift) at--;
    if (at < this.#sizes && shifts[at] === shift) return;
    shifts.copyWithin(at + 1, at, this.#sizes);
    shifts[at] = shift;
    this.#sizes++;
  }

  /** Drops what translates `page` in `space`, of all sizes, and global entries if they are the VM's. @returns how many */
  removePage(space: number, page: number): number {
    return this.removeOwnPage(space, page) + (this.#hasGlobal ? this.#removePageAs(-1 - (space >>> VM_SHIFT), page) : 0);
  }

  /** As removePage, but global entries stay. */
  removeOwnPage(space: number, page: number): number {
    return this.#removePageAs(space, page);
  }

  #removePageAs(owner: number, page: number): number {
    let removed = 0;
    for (let i = 0; i < this.#sizes; i++) {
      const shift = this.#shifts[i];
      if (this.store.remove(Math.floor(page * INVERSE[shift]), (owner << ID_LEVEL_BITS) | shift)) removed++;
    }
    return removed;
  }

  /**
   * Drops entries that `visit` says so of.
   * @param visit gets the space (-1 - vm for a global entry), the entry's first page, its pages, and its first frame
   * @returns how many
   */
  removeIf(visit: (owner: number, page: number, pages: number, frame: number) => boolean): number {
    return this.store.removeIf((slot) => {
      const id = this.store.idOf(slot);
      const shift = id & ID_LEVEL_MASK;
      if (shift < PAGE_IDS) return false; // a walk cache's
      const page = this.store.tagOf(slot) * PAGES[shift];
      return visit(id >> ID_LEVEL_BITS, page, PAGES[shift], page + this.#delta[slot]);
    });
  }

  /**
   * Numbered as in tag-store.ts, which see for the others:
   *   A1  an entry is under a global id if and only if it has ATTR_GLOBAL, and a find looks for its size
   */
  assertInvariants(): void {
    this.store.assertInvariants();
    const looked = this.#shifts.subarray(0, this.#sizes);
    for (let slot = 0; slot < this.store.slots; slot++) {
      const id = this.store.idOf(slot);
      if (this.store.tagOf(slot) < 0 || (id & ID_LEVEL_MASK) < PAGE_IDS) continue;
      const isGlobal = (this.#attributes[slot] & ATTR_GLOBAL) !== 0;
      kassert(id < 0 === isGlobal && (this.#hasGlobal || !isGlobal) && looked.includes(id & ID_LEVEL_MASK), 'tlb array A1');
    }
  }
}

function globalId(space: number, shift: number): number {
  return ((-1 - (space >>> VM_SHIFT)) << ID_LEVEL_BITS) | shift;
}
