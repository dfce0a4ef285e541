/** How far a long command is: a bar with the time left on a terminal, now and then a line elsewhere. On standard error. */
import { Presets, SingleBar } from 'cli-progress';
import { complain } from './report.ts';

const LINE_EVERY = 5000; // ms

export interface ProgressOptions {
  /** ms until the bar is shown: what takes less needs none. */
  readonly after?: number;
}

export class Progress {
  readonly #bar: SingleBar | null;
  readonly #total: number;
  readonly #unit: string;
  readonly #after: number;
  #isShown = false;
  #saidAt = performance.now();
  readonly #begun = performance.now();

  /** @param unit what is counted: `jobs`; @param total how many there are, at least 1 */
  constructor(unit: string, total: number, { after = 0 }: ProgressOptions = {}) {
    this.#unit = unit;
    this.#total = total;
    this.#after = after;
    const format = `{bar} {percentage}% {value}/{total} ${unit}, {eta_formatted} left`;
    // Nothing about the terminal is changed that a signal would leave so: neither its cursor nor how it breaks lines.
    const options = { format, stream: process.stderr, barsize: 20, linewrap: true, clearOnComplete: true };
    this.#bar = process.stderr.isTTY ? new SingleBar(options, Presets.shades_classic) : null;
  }

  /** `done` of them are done. */
  at(done: number): void {
    const now = performance.now();
    if (this.#bar !== null) {
      if (this.#isShown) this.#bar.update(done);
      else if (now - this.#begun >= this.#after) {
        this.#bar.start(this.#total, done);
        this.#isShown = true;
      }
      return;
    }
    if (now - this.#saidAt < LINE_EVERY || done === 0) return;
    this.#saidAt = now;
    const left = Math.ceil((((now - this.#begun) / done) * (this.#total - done)) / 1000);
    complain(`${done} of ${this.#total} ${this.#unit}, about ${left} s left`, 0);
  }

  /** Nothing is shown any more. */
  end(): void {
    this.#bar?.stop();
    this.#isShown = false;
  }
}
