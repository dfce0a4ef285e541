/**
 * A program with a plain function in front of it.
 *
 *   message --> answer(): dealt with, and waiting again? --yes--> the operation it waits in
 *                              | no
 *                              v
 *                    the program behind, which has slept in its wait all the time
 *
 * Resuming a generator costs more than a short call takes to be answered (bench/vkernel/stack.bench.ts): what needs no
 * wait of its own is answered here. The function looks before it acts, so that the program behind finds the message as it came.
 */
import type { L4Operation, L4Program, L4Wait } from './user.ts';

export class FrontedProgram implements L4Program {
  readonly #answer: () => L4Operation | null;
  readonly #behind: L4Program;
  #operation: L4Operation | null = null; // that `answer` waits in

  constructor(answer: () => L4Operation | null, behind: L4Program) {
    this.#answer = answer;
    this.#behind = behind;
  }

  /** Hot: allocates nothing. */
  next(): IteratorResult<L4Wait, void> {
    for (;;) {
      if (this.#operation !== null) {
        const step = this.#operation.next();
        if (step.done !== true) return step;
      }
      this.#operation = this.#answer();
      if (this.#operation === null) return this.#behind.next();
    }
  }

  return(): IteratorResult<L4Wait, void> {
    return this.#behind.return();
  }

  throw(error: unknown): IteratorResult<L4Wait, void> {
    return this.#behind.throw(error);
  }

  [Symbol.iterator](): this {
    return this;
  }

  [Symbol.dispose](): void {
    // Nothing is held.
  }

  get [Symbol.toStringTag](): string {
    return 'L4Program';
  }
}
