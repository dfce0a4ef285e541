/** How far a long command is: a bar with the time left on a terminal, now and then a line elsewhere. On standard error. */
import { Presets, SingleBar } from 'cli-progress';
import { complain } from './report.ts';

const LINE_EVERY = 5000; // ms

export class Progress {
  readonly #bar: SingleBar | null;
  readonly #total: number;
  readonly #unit: string;
  #saidAt = performance.now();
  readonly #begun = performance.now();

  /** @param unit what is counted: `jobs`; @param total how many there are, at least 1 */
  constructor(unit: string, total: number) {
    this.#unit = unit;
    this.#total = total;
    this.#bar = process.stderr.isTTY
      ? new SingleBar(
          { format: `{bar} {percentage}% {value}/{total} ${unit}, {eta_formatted} left`, stream: process.stderr, hideCursor: true },
          Presets.shades_classic,
        )
      : null;
    this.#bar?.start(total, 0);
  }

  /** `done` of them are done. */
  at(done: number): void {
    this.#bar?.update(done);
    const now = performance.now();
    if (this.#bar !== null || now - this.#saidAt < LINE_EVERY || done === 0) return;
    this.#saidAt = now;
    const left = Math.ceil((((now - this.#begun) / done) * (this.#total - done)) / 1000);
    complain(`${done} of ${this.#total} ${this.#unit}, about ${left} s left`, 0);
  }

  end(): void {
    this.#bar?.stop();
  }
}
