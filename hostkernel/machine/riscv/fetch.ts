/**
 * Fetch: from a program counter to records of the code cache. Called by the interpreters when a page is entered whose
 * code they do not find at once, when a record is not decoded yet, and for an instruction on two pages.
 */

import { PAGE_SHIFT, type HostFrame } from '../../base/units.ts';
import { ADDEND, firstEntry, TAG_EXEC } from '../tlb.ts';
import { TRAP_BUDGET } from './causes.ts';
import { SLOT_WORDS } from './code-cache.ts';
import { decode, decoded, type DecodeSite } from './decode.ts';
import type { Hart } from './hart.ts';
import { fetchPage } from './memory.ts';
import { OP_STRADDLE } from './opcodes.ts';

/** Where the instruction being decoded stands: one record, overwritten. */
const site: DecodeSite = { offset: 0, length: 4, xlen: 64, inPage: true };

/** Offset in its page of an instruction that may lie on two pages. */
const LAST_HALFWORD = 0xffe;

/**
 * Finds the slot of the page at (lo, hi), which gets one if it has none.
 * @param left instructions the budget still allows; with none left the page is not touched
 * @returns word index of the slot, or -cause: TRAP_FETCH_*, TRAP_BUDGET
 */
export function enterPage(hart: Hart, lo: number, hi: number, left: number): number {
  if (left <= 0) return -TRAP_BUDGET;
  const page = fetchPage(hart, lo, hi, left);
  if (page < 0) return page;
  const frame = ((page - hart.ram.base) >>> PAGE_SHIFT) as HostFrame;
  const slot = (hart.xlen === 64 ? hart.code.slots64 : hart.code.slots32)[frame];
  if (slot !== 0) return slot;
  hart.mmu.revokeWriteTags(frame);
  return hart.code.claim(frame, hart.xlen);
}

/** Decodes the instruction of the record at `p`, in the slot of a frame at `base`. */
export function decodeRecord(hart: Hart, base: number, p: number): void {
  const { ram, code } = hart;
  const offset = p - base;
  const at = (ram.base + code.frameOf[base / SLOT_WORDS] * 4096 + offset) >>> 1;
  let bits = ram.u16[at];
  site.offset = offset;
  site.length = (bits & 3) === 3 ? 4 : 2;
  site.xlen = hart.xlen;
  site.inPage = true;
  if (site.length === 4) {
    if (offset === LAST_HALFWORD) {
      code.records[p] = OP_STRADDLE;
      return;
    }
    bits |= ram.u16[at + 1] << 16;
  }
  decode(bits, site);
  code.records[p] = decoded.word;
  code.records[p + 1] = decoded.imm;
}

/**
 * Decodes the instruction that begins in the last halfword of the page at (pageLo, pageHi), whose slot is `base`, and ends in the
 * next page, into the scratch slot. It is looked at on every execution, since the next page depends on the address space.
 * Hot, when a loop has such an instruction: so the TLB is asked here first.
 * @param left instructions the budget still allows, this one included
 * @returns 0, or TRAP_FETCH_* of the next page
 */
export function decodeStraddle(hart: Hart, base: number, pageLo: number, pageHi: number, left: number): number {
  const { ram, code, words } = hart;
  const nextLo = (pageLo + 4096) | 0;
  const nextHi = nextLo === 0 && hart.xlen === 64 ? (pageHi + 1) | 0 : pageHi;
  const entry = firstEntry(hart.activeContext().block, nextLo);
  const cached = words[entry + TAG_EXEC] === nextLo && words[entry + TAG_EXEC + 1] === nextHi;
  const next = cached ? (nextLo + words[entry + ADDEND]) >>> 0 : fetchPage(hart, nextLo, nextHi, left);
  if (next < 0) return -next;
  const first = ram.base + code.frameOf[base / SLOT_WORDS] * 4096 + LAST_HALFWORD;
  const bits = ram.u16[first >>> 1] | (ram.u16[next >>> 1] << 16);
  if (bits === hart.scratchBits) return 0;
  site.offset = LAST_HALFWORD;
  site.length = 4;
  site.xlen = hart.xlen;
  site.inPage = false;
  decode(bits, site);
  code.records[LAST_HALFWORD] = decoded.word;
  code.records[LAST_HALFWORD + 1] = decoded.imm;
  hart.scratchBits = bits;
  return 0;
}
