/**
 * Trace events of mappings, a run of pages an event: virtual pages and frames both count up by one within a run.
 *
 * Only used while somebody listens; the callers check that first.
 */
import { PAGE_SIZE } from '../../hostkernel/base/units.ts';
import type { TraceEvents } from '../../hostkernel/base/trace.ts';

export type MappingSink = (event: TraceEvents['map']) => void;

export class TraceRuns {
  #space = 0;
  #page = 0;
  #frame = 0;
  #pages = 0;
  #rights = 0;

  /** One page was mapped or unmapped; `rights` are r4 w2 x1. A page that does not continue the run ends it. */
  add(sink: MappingSink, space: number, page: number, frame: number, rights: number): void {
    const continues =
      this.#pages > 0 &&
      space === this.#space &&
      rights === this.#rights &&
      page === this.#page + this.#pages &&
      frame === this.#frame + this.#pages;
    if (continues) {
      this.#pages++;
      return;
    }
    this.end(sink);
    this.#space = space;
    this.#page = page;
    this.#frame = frame;
    this.#pages = 1;
    this.#rights = rights;
  }

  /** Reports the run that is open, if any. */
  end(sink: MappingSink): void {
    const pages = this.#pages;
    if (pages === 0) return;
    this.#pages = 0;
    sink({ space: this.#space, va: this.#page * PAGE_SIZE, frame: this.#frame, pages, rights: this.#rights });
  }
}
