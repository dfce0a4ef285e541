/**
 * The regions of one address space: what its program mapped, in the order of addresses. Which page is where is in the page
 * tables, not here.
 *
 *   | region |      | region | region (other flags) |           half open, in pages; neighbours that are alike are one
 */
import { kassert } from '../../../hostkernel/base/assert.ts';

/** Memory that address spaces share: frames by the page of their first mapping. Each holds a reference to its frames. */
export class SharedMemory {
  /** Frame of each base page that has one. */
  readonly frames = new Map<number, number>();
  regions = 0; // that map it, of all address spaces
  /** Frames reserved for pages that have none yet: frame = page + linear. */
  readonly linear: number | null;
  readonly start: number; // pages, as first mapped
  readonly end: number;

  constructor(start: number, end: number, linear: number | null) {
    this.start = start;
    this.end = end;
    this.linear = linear;
  }
}

export interface Region {
  readonly start: number; // pages
  readonly end: number;
  readonly flags: number; // READ, WRITE, EXEC, REGION_SHARED
  /** Frames reserved for it: frame = page + linear, as long as a page has not been touched. null: none, or they are the shared memory's. */
  readonly linear: number | null;
  readonly shared: SharedMemory | null;
}

/**
 * Invariants (assertInvariants):
 *   R1  regions are not empty, in order, disjoint
 *   R2  neighbours that touch differ
 */
export class Regions {
  readonly list: Region[] = [];
  #last = 0; // where find() found something

  /** The region that holds `page`, or null. */
  find(page: number): Region | null {
    const near = this.list[this.#last];
    if (near !== undefined && page >= near.start && page < near.end) return near;
    const at = this.after(page) - 1;
    const region = this.list[at];
    if (region === undefined || page >= region.end) return null;
    this.#last = at;
    return region;
  }

  /** How many regions begin at `page` or below. */
  after(page: number): number {
    let low = 0;
    let high = this.list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.list[middle].start <= page) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Whether a page of [start, end) is mapped. */
  overlaps(start: number, end: number): boolean {
    const next = this.list[this.after(end - 1) - 1];
    return next !== undefined && next.end > start;
  }

  /** Whether all pages of [start, end) are mapped. */
  covers(start: number, end: number): boolean {
    let page = start;
    for (let region = this.find(page); region !== null && page < end; region = this.find(page)) page = region.end;
    return page >= end;
  }

  /** The parts of regions inside [start, end). */
  within(start: number, end: number): Region[] {
    const parts: Region[] = [];
    const from = Math.max(0, this.after(start) - 1);
    for (let i = from; i < this.list.length && this.list[i].start < end; i++) {
      const region = this.list[i];
      if (region.end > start) parts.push({ ...region, start: Math.max(start, region.start), end: Math.min(end, region.end) });
    }
    return parts;
  }

  /** Adds `region`, where nothing is. */
  insert(region: Region): void {
    kassert(!this.overlaps(region.start, region.end), 'regions R1');
    let { start, end } = region;
    const at = this.after(start);
    const before = this.list[at - 1];
    const after = this.list[at];
    const joinsBefore = before !== undefined && before.end === start && isAlike(before, region);
    const joinsAfter = after !== undefined && after.start === end && isAlike(after, region);
    if (joinsBefore) ({ start } = before);
    if (joinsAfter) ({ end } = after);
    this.list.splice(joinsBefore ? at - 1 : at, Number(joinsBefore) + Number(joinsAfter), { ...region, start, end });
    if (region.shared !== null) region.shared.regions += 1 - Number(joinsBefore) - Number(joinsAfter);
  }

  /** Takes [start, end) out of the regions. @returns the parts that were there */
  remove(start: number, end: number): Region[] {
    const parts = this.within(start, end);
    for (const part of parts) {
      const at = this.after(part.start) - 1;
      const whole = this.list[at];
      const rest: Region[] = [];
      if (whole.start < part.start) rest.push({ ...whole, end: part.start });
      if (part.end < whole.end) rest.push({ ...whole, start: part.end });
      this.list.splice(at, 1, ...rest);
      if (whole.shared !== null) whole.shared.regions += rest.length - 1;
    }
    return parts;
  }

  assertInvariants(): void {
    this.list.forEach((region, i) => {
      const before = this.list[i - 1];
      kassert(region.start < region.end && (before === undefined || before.end <= region.start), 'regions R1');
      kassert(before === undefined || before.end < region.start || !isAlike(before, region), 'regions R2');
    });
  }
}

function isAlike(a: Region, b: Region): boolean {
  return a.flags === b.flags && a.linear === b.linear && a.shared === b.shared;
}
