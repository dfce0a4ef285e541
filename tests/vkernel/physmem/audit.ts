/**
 * A second opinion on physmem's tables, independent of its own checks: it walks them as they are, keeps nothing from one
 * time to the next, and is quick enough to run after every operation.
 *
 *   entries   disjoint, sorted, on a frame that has them, of a size and at an offset that fit      I1 I2 I5
 *   frames    laminar, covered, mapped writable only where there is one group                      I3 I4 I7
 *   memory    aligned, of one owner, and nothing lost                                              I8
 *   clients   what a client may still use is what its container has, or read-only in a stale frame I11
 */

import { type FrameId, NO_ENTRY } from '../../../vkernel/physmem/core/frame-table.ts';
import * as frames from '../../../vkernel/physmem/core/frame-table.ts';
import type { Container } from '../../../vkernel/physmem/core/container.ts';
import type { Physmem } from '../../../vkernel/physmem/core/physmem.ts';
import { containerOf } from '../../../vkernel/physmem/core/share.ts';
import { MAP_WRITE } from '../../../vkernel/physmem/interface.ts';
import type { Machine } from './machine.ts';

/** Where a page is that is not in memory. */
export const ABSENT = -1;
export const PROMISE = -2;
export const FIRST_SLOT = -3; // and downwards: slots of the swap device

export const WATCHED = 64; // pages of each container

export class Audit {
  readonly #machine: Machine;
  #owner = new Int32Array(0); // frame by physical page
  #seen = new Uint8Array(0); // entry by id
  readonly #places = new Map<Container, Int32Array>();

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Checks everything. */
  run(): void {
    const pm = this.#machine.physmem;
    this.#places.clear();
    const bound = this.#checkFrames(pm);
    this.#checkMemory(pm, bound);
    this.#checkContainers(pm);
    this.#checkClients(pm);
  }

  /** What a container holds, page by page, as it is now. For hidden ones, whose pages may be anywhere. */
  valuesOf(container: Container): Map<number, number> {
    const { table } = this.#machine.physmem;
    const values = new Map<number, number>();
    for (const entry of container.entries.toArray()) {
      const frame = table.frame[entry];
      const place = table.state[frame] & frames.PLACE;
      const store = place === frames.BOUND ? this.#machine.contents : this.#machine.disk;
      const first = table.address[frame] + table.offset[entry];
      for (let i = 0; i < 2 ** table.log2[entry]; i += 1) {
        values.set(table.start[entry] + i, place === frames.UNBOUND ? 0 : (store.get(first + i) ?? Number.NaN));
      }
    }
    return values;
  }

  /** Where the first pages of a container are, as it was at the last run: frames, or one of the above. */
  placesOf(container: Container): Int32Array {
    let places = this.#places.get(container);
    if (places !== undefined) return places;
    const { table } = this.#machine.physmem;
    places = new Int32Array(WATCHED).fill(ABSENT);
    this.#places.set(container, places);
    for (const entry of container.entries.toArray()) {
      const frame = table.frame[entry];
      const place = table.state[frame] & frames.PLACE;
      const first = table.address[frame] + table.offset[entry];
      const start = table.start[entry];
      const end = Math.min(WATCHED, start + 2 ** table.log2[entry]);
      for (let page = start; page < end; page += 1) {
        const at = first + page - start;
        places[page] = place === frames.BOUND ? at : place === frames.UNBOUND ? PROMISE : FIRST_SLOT - at;
      }
    }
    return places;
  }

  /** @returns how many pages are in memory */
  #checkFrames(pm: Physmem): number {
    const { table } = pm;
    let [count, entries, bound] = [0, 0, 0];
    this.#owner = new Int32Array(this.#machine.endFrame);
    if (this.#seen.length < table.log2.length) this.#seen = new Uint8Array(table.log2.length);
    this.#seen.fill(0);
    for (let id = 1; id < table.frameEnd; id += 1) {
      if (!table.isFrame(id)) continue;
      count += 1;
      entries += this.#checkEntries(pm, id as FrameId);
      const place = table.state[id] & frames.PLACE;
      const pages = 2 ** table.size[id];
      if (place !== frames.BOUND) {
        if (table.granted[id] !== 0) throw new Error(`I11: rights granted on frame ${id}, which is not in memory`);
        continue;
      }
      bound += pages;
      if (table.address[id] % pages !== 0) throw new Error(`I8: frame ${id} is not aligned`);
      for (let page = table.address[id]; page < table.address[id] + pages; page += 1) {
        if (this.#owner[page] !== 0) throw new Error(`I8: page ${page} is of frame ${id} and of frame ${this.#owner[page]}`);
        this.#owner[page] = id;
      }
    }
    if (count !== table.frames) throw new Error(`I5: ${count} frames, counted ${table.frames}`);
    if (entries !== table.entries) throw new Error(`I5: ${entries} entries on frames, counted ${table.entries}`);
    return bound;
  }

  /** @returns how many entries the frame has */
  #checkEntries(pm: Physmem, frame: FrameId): number {
    const { table } = pm;
    const size = table.size[frame];
    let [count, covered, groups] = [0, false, 1];
    const first = table.first[frame];
    if (first === NO_ENTRY) throw new Error(`I5: nobody uses frame ${frame}`);
    for (let entry: number = first; entry !== NO_ENTRY; entry = table.next[entry]) {
      const [offset, log2] = [table.offset[entry], table.log2[entry]];
      if (table.frame[entry] !== frame || this.#seen[entry] !== 0) throw new Error(`I5: entry ${entry} is not of frame ${frame} alone`);
      if (offset % 2 ** log2 !== 0 || offset + 2 ** log2 > 2 ** size) throw new Error(`I1: entry ${entry} of frame ${frame}`);
      this.#seen[entry] = 1;
      count += 1;
      covered ||= log2 === size;
      if (table.group[entry] !== table.group[first]) groups = 2;
      for (let other = table.next[entry]; other !== NO_ENTRY; other = table.next[other]) {
        const larger = Math.max(log2, table.log2[other]);
        const apart = offset + 2 ** log2 <= table.offset[other] || table.offset[other] + 2 ** table.log2[other] <= offset;
        if (!apart && offset >>> larger !== table.offset[other] >>> larger) throw new Error(`I3: entries ${entry} and ${other}`);
      }
    }
    if (!covered) throw new Error(`I4: no entry covers frame ${frame}`);
    if (groups > 1 && (table.granted[frame] & MAP_WRITE) !== 0) throw new Error(`I7: frame ${frame} is copied and written`);
    return count;
  }

  #checkMemory(pm: Physmem, bound: number): void {
    if (bound !== pm.boundPages) throw new Error(`I8: ${bound} pages are bound, counted ${pm.boundPages}`);
    let free = 0;
    for (let order = 0; order < 31; order += 1) {
      for (const block of pm.zones.blocks(order)) {
        free += 2 ** order;
        for (let page: number = block; page < block + 2 ** order; page += 1) {
          if (this.#owner[page] !== 0) throw new Error(`I8: page ${page} is free, and of frame ${this.#owner[page]}`);
          this.#owner[page] = -1;
        }
      }
    }
    if (free + bound + pm.fixedPages !== pm.receivedPages) {
      throw new Error(`I8: ${free} free, ${bound} bound and ${pm.fixedPages} fixed are not ${pm.receivedPages} received`);
    }
  }

  #checkContainers(pm: Physmem): void {
    const { table } = pm;
    let [entries, charged] = [0, 0];
    for (const container of pm.containers) {
      if (container === undefined) continue;
      let [end, pages] = [0, 0];
      for (const entry of container.entries.toArray()) {
        if (this.#seen[entry] !== 1) throw new Error(`I5: entry ${entry} is on no frame`);
        if (table.container[entry] !== container.id) throw new Error(`I5: entry ${entry} is of another container`);
        if (table.start[entry] < end) throw new Error(`I2: entry ${entry} overlaps the one before`);
        end = table.start[entry] + 2 ** table.log2[entry];
        pages += 2 ** table.log2[entry];
        entries += 1;
      }
      if (pages !== container.pages) throw new Error(`I12: ${pages} pages in container ${container.id}, counted ${container.pages}`);
      if (container.kind === 'user') charged += pages;
    }
    if (entries !== table.entries) throw new Error(`I5: ${entries} entries in containers, counted ${table.entries}`);
    let [used, limit] = [0, 0];
    const controls = [pm.root];
    for (let i = 0; i < controls.length; i += 1) {
      used += controls[i].used;
      limit += controls[i].limit;
      controls.push(...controls[i].children);
    }
    if (used !== charged) throw new Error(`I12: ${used} pages charged, ${charged} present`);
    if (limit !== pm.receivedPages - pm.fixedPages) throw new Error(`I12: the limits sum up to ${limit}`);
  }

  #checkClients(pm: Physmem): void {
    const { table } = pm;
    for (const [party, translations] of this.#machine.translations) {
      const container = containerOf(party);
      if (translations.size === 0) continue;
      if (!party.alive || !container.alive) throw new Error('I11: what is dead is still mapped');
      const places = this.placesOf(container);
      for (const [page, { frame, rights }] of translations) {
        if (places[page] !== frame) throw new Error(`I11: page ${page} is at ${places[page]}, and mapped at ${frame}`);
        if ((rights & ~table.granted[this.#owner[frame]]) !== 0) throw new Error(`I11: the rights on page ${page} are not recorded`);
      }
    }
    for (const { frame, rights, value } of this.#machine.leftovers) {
      const owner = this.#owner[frame];
      if (owner <= 0 || (table.state[owner] & frames.STALE) === 0) throw new Error(`I11: page ${frame} can be read, and nobody knows`);
      if ((rights & MAP_WRITE) !== 0) throw new Error(`I11: page ${frame} can be written by one who gave it up`);
      if (this.#machine.contents.get(frame) !== value) throw new Error(`I11: page ${frame} was given up, and shows new contents`);
    }
  }
}
