/**
 * TLB: cached translations, in the machine's memory so that compiled code can look without a call. Pure functions over
 * words; which block belongs to whom and what may be cached is decided in mmu.ts.
 *
 * A block has two parts of 1024 entries of 32 bytes. The first is indexed by the low bits of the page number and is
 * looked at inline by every access. The second takes more bits into its index, so that pages which collide in the
 * first (arrays 4 MiB apart) do not in the second; the miss path looks there before it walks.
 *
 *   word   0     1     2     3      4     5     6        7
 *        | read tag  | write tag  | exec tag  | addend | unused |
 *          lo    hi    lo    hi     lo    hi
 *
 * A tag is the address of the page, or all ones where the access must take the slow path. An access of 2^n bytes
 * compares address & ~(4095 - (2^n - 1)) with the tag: an address that is not aligned never matches.
 * Byte offset in memory = (lo + addend) mod 2^32.
 */

/** Words from an entry's start to its tags, and to the addend. */
export const TAG_READ = 0;
export const TAG_WRITE = 2;
export const TAG_EXEC = 4;
export const ADDEND = 6;

const ENTRY_WORDS = 8;
const ENTRIES = 1024;
/** Words from the first part of a block to the second. */
const SECOND = ENTRIES * ENTRY_WORDS;
const BLOCK_WORDS = 2 * SECOND;

/** Turns the low half of an address into the word offset of its entry: (lo >>> TLB_SHIFT) & TLB_MASK. */
export const TLB_SHIFT = 9;
export const TLB_MASK = 0x1ff8;

/** Word index of the entry for an address in the first part of the block at word `block`. */
export function firstEntry(block: number, lo: number): number {
  return block + ((lo >>> TLB_SHIFT) & TLB_MASK);
}

/** Word index of the entry for an address in the second part of the block at word `block`. */
export function secondEntry(block: number, lo: number, hi: number): number {
  return block + SECOND + (((lo >>> 12) ^ (lo >>> 22) ^ Math.imul(hi, 37)) & (ENTRIES - 1)) * ENTRY_WORDS;
}

/** Whether the entry at word `entry` is in the first part of the block at word `block`. */
export function isInFirstPart(block: number, entry: number): boolean {
  return entry < block + SECOND;
}

/** Forgets everything in the block at word `block`. */
export function clearBlock(words: Int32Array, block: number): void {
  words.fill(-1, block, block + BLOCK_WORDS);
}

/** Whether any access to the page of (lo, hi) hits the entry at word `entry`. `lo` is the page's address. */
function holds(words: Int32Array, entry: number, lo: number, hi: number): boolean {
  return (
    (words[entry + TAG_READ] === lo && words[entry + TAG_READ + 1] === hi) ||
    (words[entry + TAG_WRITE] === lo && words[entry + TAG_WRITE + 1] === hi) ||
    (words[entry + TAG_EXEC] === lo && words[entry + TAG_EXEC + 1] === hi)
  );
}

/** Forgets the page of (lo, hi) in the block at word `block`. */
export function clearPage(words: Int32Array, block: number, lo: number, hi: number): void {
  const page = lo & -4096;
  const first = firstEntry(block, page);
  if (holds(words, first, page, hi)) words.fill(-1, first, first + ENTRY_WORDS);
  const second = secondEntry(block, page, hi);
  if (holds(words, second, page, hi)) words.fill(-1, second, second + ENTRY_WORDS);
}

/** Copies the entry at word `from` over the one at word `to`. */
export function copyEntry(words: Int32Array, to: number, from: number): void {
  words[to] = words[from];
  words[to + 1] = words[from + 1];
  words[to + 2] = words[from + 2];
  words[to + 3] = words[from + 3];
  words[to + 4] = words[from + 4];
  words[to + 5] = words[from + 5];
  words[to + 6] = words[from + 6];
}

/** Takes away every write tag of the block at word `block` whose page lies at byte offset `offset`. */
export function clearWriteTags(words: Int32Array, block: number, offset: number): void {
  const wanted = offset | 0;
  for (let entry = block; entry < block + BLOCK_WORDS; entry += ENTRY_WORDS) {
    const tag = words[entry + TAG_WRITE];
    if (tag !== -1 && ((tag + words[entry + ADDEND]) | 0) === wanted) {
      words[entry + TAG_WRITE] = -1;
      words[entry + TAG_WRITE + 1] = -1;
    }
  }
}

/** Calls `visit` with the word index of every entry of the block that holds a tag. For checks only. */
export function forEachEntry(words: Int32Array, block: number, visit: (entry: number) => void): void {
  for (let entry = block; entry < block + BLOCK_WORDS; entry += ENTRY_WORDS) {
    if ((words[entry + TAG_READ] & words[entry + TAG_WRITE] & words[entry + TAG_EXEC]) !== -1) visit(entry);
  }
}
