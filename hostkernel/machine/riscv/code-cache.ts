/**
 * CodeCache: decoded instructions, kept by physical frame. The record of an instruction is drawn in opcodes.ts; who
 * decodes is decode.ts, who executes interpret64.ts and interpret32.ts.
 *
 *   records  | scratch | slot 1 | slot 2 | ...        one slot a frame of code, SLOT_WORDS words
 *
 *   slot     | 2 words for each of the frame's 2048 halfwords | guard |
 *
 * So the byte offset of an instruction in its page is the word offset of its record in the slot. A record of all zero is
 * an instruction not decoded yet: its operation is "decode me". The guard's operation is "go on in the next page".
 * Slot 0 is no frame's: the hart puts an instruction there that lies on two pages.
 */

import { kassert } from '../../base/assert.ts';
import type { HostFrame } from '../../base/units.ts';
import type { CodeFrames } from '../mmu.ts';
import { OP_NEXT_PAGE } from './opcodes.ts';

/** Words of a slot: 4096 for the page, and a guard for each way to leave it at the end (at +0 and at +2 bytes). */
export const SLOT_WORDS = 4096 + 4;

/** Most slots: the scratch slot and 1021 frames, 4 MiB of code. All fit into RECORD_WORDS words. */
const MAX_SLOTS = 1022;

/** Most words: the interpreters mask indices with RECORD_WORDS - 1, and look at the word behind, too. */
const RECORD_WORDS = 2 ** 22;

/** Bytes before a store at which an instruction may begin whose record depends on the bytes stored: one of 4 bytes. */
const REACH = 2;

/**
 * Invariants:
 *   I1  frameOf[slot / SLOT_WORDS] === frame for every frame that has a slot, and it has it for one width
 *   I2  guards are in place
 */
export class CodeCache implements CodeFrames {
  readonly records: Int32Array;
  /** Per frame: word index of its slot if that is decoded for RV64, else 0. */
  readonly slots64: Int32Array;
  /** The same for RV32. A frame is decoded for one of them at a time. */
  readonly slots32: Int32Array;
  /** Per slot: the frame, -1 if free. */
  readonly frameOf: Int32Array;
  /** Slots given to frames since power-on: what a benchmark reports. */
  claims = 0;
  #hand = 0;

  constructor(frames: number) {
    // A slot for each frame will do, and to clear an array of full size was most of what making a small machine cost.
    const slots = Math.min(MAX_SLOTS, 1 + frames);
    this.records = new Int32Array(slots === MAX_SLOTS ? RECORD_WORDS + 2 : slots * SLOT_WORDS);
    this.slots64 = new Int32Array(frames);
    this.slots32 = new Int32Array(frames);
    this.frameOf = new Int32Array(slots).fill(-1);
    this.#guard(0);
  }

  has(frame: number): boolean {
    return (this.slots64[frame] | this.slots32[frame]) !== 0;
  }

  drop(frame: HostFrame): void {
    const slot = this.slots64[frame] | this.slots32[frame];
    if (slot === 0) return;
    this.records.fill(0, slot, slot + 4096);
    this.slots64[frame] = 0;
    this.slots32[frame] = 0;
    this.frameOf[slot / SLOT_WORDS] = -1;
  }

  /**
   * Gives `frame` an empty slot for code of `xlen`; if all are taken, some other frame loses its code.
   * @returns the slot's word index
   */
  claim(frame: HostFrame, xlen: 32 | 64): number {
    this.claims++;
    this.drop(frame);
    this.#hand = (this.#hand % (this.frameOf.length - 1)) + 1;
    const number = this.#hand;
    const slot = number * SLOT_WORDS;
    const owner = this.frameOf[number];
    if (owner >= 0) this.drop(owner as HostFrame);
    this.#guard(slot);
    (xlen === 64 ? this.slots64 : this.slots32)[frame] = slot;
    this.frameOf[number] = frame;
    return slot;
  }

  /** Forgets what was decoded from bytes [offset, offset + bytes) of `frame`, after a store to them. */
  touch(frame: HostFrame, offset: number, bytes: number): void {
    const slot = this.slots64[frame] | this.slots32[frame];
    if (slot === 0) return;
    const start = Math.max(0, (offset & ~1) - REACH);
    this.records.fill(0, slot + start, slot + Math.min(4096, (offset + bytes + 1) & ~1));
  }

  assertInvariants(): void {
    for (let frame = 0; frame < this.slots64.length; frame++) {
      const slot = this.slots64[frame] | this.slots32[frame];
      if (slot === 0) continue;
      kassert(this.frameOf[slot / SLOT_WORDS] === frame && (this.slots64[frame] === 0 || this.slots32[frame] === 0), 'code cache I1');
      kassert(this.records[slot + 4096] === OP_NEXT_PAGE && this.records[slot + 4098] === OP_NEXT_PAGE, 'code cache I2');
    }
  }

  #guard(slot: number): void {
    this.records[slot + 4096] = OP_NEXT_PAGE;
    this.records[slot + 4098] = OP_NEXT_PAGE;
  }
}
