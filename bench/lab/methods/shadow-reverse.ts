/**
 * Which entries lead to a frame of the host's memory, for hosts that take frames away: swapping, sharing, migration.
 * Kept from the first such event on. A record may outlive its entry: whoever takes it looks whether the entry still is
 * what the record says.
 *
 *   pages of a block -> first frame of the block -> [space, page, space, page ...]
 */
import { kassert } from '../../../hostkernel/base/assert.ts';

export class ReverseMap {
  isKept = false;
  readonly #blocks = new Map<number, Map<number, number[]>>();

  begin(): void {
    kassert(!this.isKept, 'reverse map: begun twice');
    this.isKept = true;
  }

  /** An entry of `space` maps `pages` pages from `page` on to the frames from `frame` on, a multiple of `pages`. */
  insert(frame: number, pages: number, space: number, page: number): void {
    let frames = this.#blocks.get(pages);
    if (frames === undefined) {
      frames = new Map<number, number[]>();
      this.#blocks.set(pages, frames);
    }
    const records = frames.get(frame);
    if (records === undefined) {
      frames.set(frame, [space, page]);
      return;
    }
    for (let i = 0; i < records.length; i += 2) if (records[i] === space && records[i + 1] === page) return;
    records.push(space, page);
  }

  /** Takes out the records of entries that lead to `frame`, and calls `visit` with each: its page maps block frame `first`. */
  takeFrame(frame: number, visit: (space: number, page: number, first: number) => void): void {
    for (const [pages, frames] of this.#blocks) {
      const first = frame - (frame % pages);
      const records = frames.get(first);
      if (records === undefined) continue;
      frames.delete(first);
      for (let i = 0; i < records.length; i += 2) visit(records[i], records[i + 1], first);
    }
  }
}
