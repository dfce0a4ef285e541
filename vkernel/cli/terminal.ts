/**
 * The machine's console on the three standard streams, synchronous: a kernel that waits for a key has nothing else to
 * do, and a guest's output keeps its order.
 */
import { readSync, writeSync } from 'node:fs';

/** Output that cannot be written: its reader has gone away (EPIPE), or there is no room for it. */
export class OutputFailure extends Error {
  override readonly name = 'OutputFailure';
  readonly fd: 1 | 2;
  readonly code: string; // as in node's own errors

  constructor(fd: 1 | 2, code: string) {
    super(`${fd === 1 ? 'standard output' : 'standard error'}: ${code}`);
    this.fd = fd;
    this.code = code;
  }
}

const NAP = new Int32Array(new SharedArrayBuffer(4));

/** Waits a millisecond without spinning: a stream that is not ready has no other way to be asked again. */
function nap(): void {
  Atomics.wait(NAP, 0, 0, 1);
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}

export const TERMINAL = {
  /** Writes all of `bytes` to standard output or standard error. @throws OutputFailure */
  write(fd: 1 | 2, bytes: Uint8Array): void {
    let done = 0;
    while (done < bytes.length) {
      try {
        done += writeSync(fd, bytes, done);
      } catch (error) {
        if (codeOf(error) === 'EAGAIN') nap();
        else throw new OutputFailure(fd, codeOf(error));
      }
    }
  },

  /** Up to `max` bytes of standard input; empty at its end. Waits for at least one. */
  read(max: number): Uint8Array {
    const buffer = new Uint8Array(max);
    for (;;) {
      try {
        return buffer.subarray(0, readSync(0, buffer));
      } catch (error) {
        if (codeOf(error) !== 'EAGAIN') return buffer.subarray(0, 0);
        nap();
      }
    }
  },
};

/** The same for a program whose output is not what was asked for: all of it goes to standard error. */
export const ASIDE: typeof TERMINAL = {
  read: (max) => TERMINAL.read(max),
  write: (_fd, bytes) => TERMINAL.write(2, bytes),
};
