/**
 * Messages: the tag and the message registers MR1..MR63 of one thread.
 *
 *   tag          label, counts of untyped (u) and typed (t) words, u + t <= 63
 *   MR1 .. MRu   untyped words
 *   MRu+1 ..     typed items of two words: map and grant items
 *
 * Registers are kept as two halves, so that a full 64-bit word passes through unchanged. As numbers words are exact
 * below 2^53. On a 32-bit machine the high halves do not take part.
 * Labels are numbers, those of the kernel negative; the tag's label field has 16 bits (32-bit machine) or 48 bits.
 * Source: L4 X.2, "Message registers", "Message tag", "MapItem", "GrantItem".
 */
import type { Fpage } from './fpage.ts';
import type { WordBits } from './thread-id.ts';

export const MESSAGE_REGISTERS = 64;
/** Most words a message has after the tag. */
export const MESSAGE_WORDS = 63;

/** Labels of messages the kernel makes. The low four bits of LABEL_PAGE_FAULT + rwx carry the access (r4 w2 x1). */
export const LABEL_START = 0;
export const LABEL_INTERRUPT = -1 * 16;
export const LABEL_PAGE_FAULT = -2 * 16;
export const LABEL_PREEMPTION = -3 * 16;
export const LABEL_EXCEPTION = -4 * 16;
export const LABEL_SYSCALL = -5 * 16;
export const LABEL_SIGMA0 = -6 * 16;
export const LABEL_SIGMA0_EXTENDED = -1001 * 16;

/** Item types, in the low bits of an item's first word; bit 0 is the continuation bit. */
export const ITEM_MAP = 0x8;
export const ITEM_GRANT = 0xa;
export const ITEM_TYPE_MASK = 0xe;

const WORD = 0x1_0000_0000;

/**
 * A label as the tag's field keeps it. 48 bits: -2^47 .. 2^47-1. 16 bits: -0x7000 .. 0x8fff, so that error labels
 * up to 0x8fff stay positive.
 */
export function cutLabel(label: number, wordBits: WordBits): number {
  if (wordBits === 32) {
    const bits = label & 0xffff;
    return bits >= 0x9000 ? bits - 0x10000 : bits;
  }
  if (label >= -0x8000_0000 && label <= 0x7fff_ffff) return label;
  const cut = ((label % 2 ** 48) + 2 ** 48) % 2 ** 48;
  return cut >= 2 ** 47 ? cut - 2 ** 48 : cut;
}

/** Invariant: lo and hi are indexed by register number, 0 unused (the tag is in the fields). */
export class Message {
  label = 0;
  untyped = 0; // words
  typed = 0; //   words, two an item
  readonly lo = new Int32Array(MESSAGE_REGISTERS);
  readonly hi = new Int32Array(MESSAGE_REGISTERS);
  readonly wordBits: WordBits;

  constructor(wordBits: WordBits) {
    this.wordBits = wordBits;
  }

  /** Starts a new message: label, no words. */
  begin(label: number): void {
    this.label = label;
    this.untyped = 0;
    this.typed = 0;
  }

  /** Register i as an unsigned number; exact below 2^53, else rounded (compare halves where that matters). */
  word(i: number): number {
    const lo = (this.lo[i] as number) >>> 0;
    return this.wordBits === 32 ? lo : ((this.hi[i] as number) >>> 0) * WORD + lo;
  }

  /** Register i as a signed number: ids such as ANY, and "any page" fpages. */
  signed(i: number): number {
    const lo = this.lo[i] as number;
    return this.wordBits === 32 ? lo : (this.hi[i] as number) * WORD + (lo >>> 0);
  }

  /** Sets register i. Negative values become their two's complement word. The counts in the tag are not changed. */
  setWord(i: number, value: number): void {
    this.lo[i] = value;
    this.hi[i] = value >= 0 && value < WORD ? 0 : Math.floor(value / WORD);
  }

  setHalves(i: number, lo: number, hi: number): void {
    this.lo[i] = lo;
    this.hi[i] = hi;
  }

  /** Appends an untyped word. Only before the first typed item. */
  append(value: number): void {
    this.untyped++;
    this.setWord(this.untyped, value);
  }

  /** Appends a map item. */
  appendMap(sendBase: number, page: Fpage): void {
    this.setMapItem(this.untyped + this.typed + 1, sendBase, page);
    this.typed += 2;
  }

  /** Appends a grant item. */
  appendGrant(sendBase: number, page: Fpage): void {
    this.setGrantItem(this.untyped + this.typed + 1, sendBase, page);
    this.typed += 2;
  }

  /** Writes a map item into registers i and i + 1. @param sendBase bytes, cut to 1 KiB */
  setMapItem(i: number, sendBase: number, page: Fpage): void {
    this.setWord(i, Math.floor(sendBase / 1024) * 1024 + ITEM_MAP);
    this.setWord(i + 1, page);
  }

  /** Writes a grant item into registers i and i + 1. */
  setGrantItem(i: number, sendBase: number, page: Fpage): void {
    this.setWord(i, Math.floor(sendBase / 1024) * 1024 + ITEM_GRANT);
    this.setWord(i + 1, page);
  }

  /** Type bits (ITEM_MAP, ITEM_GRANT, ...) of the item that begins in register i. */
  itemType(i: number): number {
    return (this.lo[i] as number) & ITEM_TYPE_MASK;
  }

  /** Send base of the item that begins in register i, in bytes. */
  itemBase(i: number): number {
    return Math.floor(this.word(i) / 1024) * 1024;
  }

  /** Fpage of the item that begins in register i. Negative only where its base is all ones ("any page"). */
  itemFpage(i: number): Fpage {
    const signed = this.signed(i + 1);
    return signed < 0 && signed >= -1024 ? signed : this.word(i + 1);
  }

  /** Takes over tag and words of `from`. Hot: allocates nothing. */
  copyFrom(from: Message): void {
    const words = from.untyped + from.typed;
    this.label = from.label;
    this.untyped = from.untyped;
    this.typed = from.typed;
    const { lo, hi } = this;
    const fromLo = from.lo;
    const fromHi = from.hi;
    for (let i = 1; i <= words && i < MESSAGE_REGISTERS; i++) {
      lo[i] = fromLo[i] as number;
      hi[i] = fromHi[i] as number;
    }
  }
}
