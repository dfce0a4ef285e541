/**
 * Ctrl-C where results are written at the end or not at all: one line says so, then the signal ends the process.
 *
 * A handler runs only when nothing else does. Where a step may take minutes on end, nobody listens: then it does so
 * without a line.
 */
import { setImmediate } from 'node:timers/promises';
import { complain } from './report.ts';

/** How often handlers get their turn; ms. */
const TURN_EVERY = 100;

export class Interrupt {
  /** What is said of how far it was: empty, or words that follow `interrupted`. */
  howFar: () => string = () => '';
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.deafen();
    complain(`interrupted${this.howFar()}: nothing was written`, 0);
    process.kill(process.pid, signal); // not exit(), which waits for whoever reads from a pipe
  };
  #isListening = false;
  #turnAt = performance.now();

  listen(): void {
    if (this.#isListening) return; // who begins anew loses what has come in the meantime
    this.#isListening = true;
    process.on('SIGINT', this.#onSignal).on('SIGTERM', this.#onSignal);
  }

  deafen(): void {
    this.#isListening = false;
    process.off('SIGINT', this.#onSignal).off('SIGTERM', this.#onSignal);
  }

  /** For a loop that never waits: listens, and gives the handlers a turn from time to time. @returns what to wait for, or null */
  turn(): Promise<void> | null {
    const now = performance.now();
    if (now - this.#turnAt < TURN_EVERY) return null;
    this.#turnAt = now;
    this.listen();
    return setImmediate();
  }
}
