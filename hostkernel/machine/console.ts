/** Console: the machine's only way to the outside. Bytes only; lines and editing are the business of who is outside. */

export interface ConsoleIo {
  /** Writes all of `bytes` to the standard output (1) or the standard error (2) of whoever runs the machine. */
  write(fd: 1 | 2, bytes: Uint8Array): void;
  /** Reads 1 to `max` bytes, waiting for the first; empty at end of file. */
  read(max: number): Uint8Array;
}

/** A console nobody is at: output vanishes, input has ended. */
const NOBODY: ConsoleIo = { write: () => undefined, read: () => new Uint8Array(0) };

export class Console {
  #io: ConsoleIo;

  constructor(io: ConsoleIo = NOBODY) {
    this.#io = io;
  }

  /** Puts somebody else at the console. */
  attach(io: ConsoleIo): void {
    this.#io = io;
  }

  /** Writes all of `bytes`. */
  write(fd: 1 | 2, bytes: Uint8Array): void {
    this.#io.write(fd, bytes);
  }

  /** Reads up to `max` bytes; empty at end of file, or if `max` is 0. */
  read(max: number): Uint8Array {
    if (max <= 0) return new Uint8Array(0);
    const bytes = this.#io.read(max);
    return bytes.length > max ? bytes.subarray(0, max) : bytes;
  }
}
