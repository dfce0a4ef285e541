/**
 * The page-table memory of one physical address space, as real bytes. Data pages have no contents in the model, so only
 * tables are stored: the space's bytes from `base` on, in chunks that come into being when they are written.
 *
 *   0 ........ base | table | table | ........ | limit ........ data frames, anywhere outside
 *                     ^ allocate() goes upward and takes back what was freed
 *
 * Addresses are byte addresses of the space, whole numbers below 2^53. What was never written reads as zero.
 */
import { kassert } from '../../base/assert.ts';
import { PAGE_SIZE } from '../../base/units.ts';
import { type PageTableFormat, swap32 } from '../paging/index.ts';

const CHUNK_BYTES = 2 ** 20;
const CHUNKS_A_BYTE = 1 / CHUNK_BYTES; // a power of two: exact
const CHUNK_MASK = CHUNK_BYTES - 1;
const DEFAULT_FRAMES = 2 ** 20; // 4 GiB of tables

/** How entries lie in memory: flags of TableMemory.read and write. */
export const ENTRY_WIDE = 1; //   eight bytes, not four
export const ENTRY_SWAPPED = 2; // most significant byte first

export function entryShapeOf({ entryBytes, bigEndian }: Pick<PageTableFormat, 'entryBytes' | 'bigEndian'>): number {
  return (entryBytes === 8 ? ENTRY_WIDE : 0) | (bigEndian ? ENTRY_SWAPPED : 0);
}

export interface TableMemorySetup {
  readonly firstFrame: number; // where tables begin
  readonly frames?: number; //    room for tables, in frames
}

/**
 * Invariants (assertInvariants):
 *   M1  blocks are disjoint and inside [base, limit)
 *   M2  `used` is the sum of the blocks' bytes
 */
export class TableMemory {
  readonly base: number; //  byte address of the first table
  readonly limit: number; // first byte address beyond the tables
  /** The entry that read() has read. */
  lo = 0;
  hi = 0;
  #used = 0;
  #next: number;
  readonly #chunks: Int32Array[] = [];
  readonly #blocks = new Map<number, number>(); // bytes, by address
  readonly #free = new Map<number, number[]>(); //  addresses, by bytes

  constructor({ firstFrame, frames = DEFAULT_FRAMES }: TableMemorySetup) {
    kassert(Number.isInteger(firstFrame) && firstFrame >= 0 && frames > 0, 'table memory: frames');
    this.base = firstFrame * PAGE_SIZE;
    this.limit = this.base + frames * PAGE_SIZE;
    this.#next = this.base;
    kassert(this.limit <= Number.MAX_SAFE_INTEGER, 'table memory: beyond 2^53');
  }

  /** Bytes allocated at present. */
  get used(): number {
    return this.#used;
  }

  /** First byte address that no table has had yet. */
  get end(): number {
    return this.#next;
  }

  /**
   * A block of zeros. The lowest address that suits is not promised: a block of the same size that was freed comes first.
   * @returns its byte address, or -1: the room for tables is used up
   */
  allocate(bytes: number, align: number): number {
    const free = this.#free.get(bytes);
    let address = -1;
    if (free !== undefined) {
      const at = free.findLastIndex((candidate) => candidate % align === 0);
      if (at >= 0) [address] = free.splice(at, 1);
    }
    if (address < 0) {
      address = Math.ceil(this.#next / align) * align;
      if (address + bytes > this.limit) return -1;
      this.#next = address + bytes;
    }
    this.#blocks.set(address, bytes);
    this.#used += bytes;
    return address;
  }

  /** Takes a block back, and makes it zeros. */
  free(address: number): void {
    const bytes = this.#blocks.get(address);
    kassert(bytes !== undefined, 'table memory: freed what is no block');
    this.#blocks.delete(address);
    this.#used -= bytes;
    for (let at = address; at < address + bytes; at += 4) if (this.#word(at) !== 0) this.#put(at, 0);
    const free = this.#free.get(bytes);
    if (free === undefined) this.#free.set(bytes, [address]);
    else free.push(address);
  }

  /** Whether the byte at `address` is table memory. Hot. */
  holds(address: number): boolean {
    return address >= this.base && address < this.limit;
  }

  /**
   * Reads the entry at `address` into `lo` and `hi`; `hi` of four bytes is 0. Hot.
   * @param address inside [base, limit), a multiple of the entry's bytes
   * @param shape ENTRY_WIDE, ENTRY_SWAPPED
   */
  read(address: number, shape: number): void {
    const at = address - this.base;
    const index = (at * CHUNKS_A_BYTE) | 0;
    const chunks = this.#chunks;
    if (index >= chunks.length) {
      this.lo = 0;
      this.hi = 0;
      return;
    }
    const chunk = chunks[index];
    const word = (at & CHUNK_MASK) >>> 2;
    if (shape === ENTRY_WIDE) {
      this.lo = chunk[word];
      this.hi = chunk[word + 1];
    } else if (shape === 0) {
      this.lo = chunk[word];
      this.hi = 0;
    } else if (shape === ENTRY_SWAPPED) {
      this.lo = swap32(chunk[word]);
      this.hi = 0;
    } else {
      this.hi = swap32(chunk[word]);
      this.lo = swap32(chunk[word + 1]);
    }
  }

  /** Writes the entry at `address`. Hot. */
  write(address: number, shape: number, lo: number, hi: number): void {
    const swaps = (shape & ENTRY_SWAPPED) !== 0;
    if ((shape & ENTRY_WIDE) === 0) this.#put(address, swaps ? swap32(lo) : lo);
    else {
      this.#put(address, swaps ? swap32(hi) : lo);
      this.#put(address + 4, swaps ? swap32(lo) : hi);
    }
  }

  #word(address: number): number {
    const at = address - this.base;
    const index = (at * CHUNKS_A_BYTE) | 0;
    return index < this.#chunks.length ? this.#chunks[index][(at & CHUNK_MASK) >>> 2] : 0;
  }

  #put(address: number, word: number): void {
    const at = address - this.base;
    const index = (at * CHUNKS_A_BYTE) | 0;
    let chunk = index < this.#chunks.length ? this.#chunks[index] : ZEROS;
    if (chunk === ZEROS) {
      while (this.#chunks.length <= index) this.#chunks.push(ZEROS);
      chunk = new Int32Array(CHUNK_BYTES / 4);
      this.#chunks[index] = chunk;
    }
    chunk[(at & CHUNK_MASK) >>> 2] = word;
  }

  /** Every block, in no order: (address, bytes). */
  blocks(): IterableIterator<[number, number]> {
    return this.#blocks.entries();
  }

  assertInvariants(): void {
    const blocks = [...this.#blocks].sort(([a], [b]) => a - b);
    let end = this.base;
    let sum = 0;
    for (const [address, bytes] of blocks) {
      kassert(address >= end && address + bytes <= this.limit, 'table memory M1');
      end = address + bytes;
      sum += bytes;
    }
    kassert(sum === this.#used, 'table memory M2');
  }
}

/** Every chunk that is not there yet. */
const ZEROS = new Int32Array(CHUNK_BYTES / 4);
