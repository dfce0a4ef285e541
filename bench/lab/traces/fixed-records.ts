/** Cuts a stream of bytes into records of one size, wherever the pieces it comes in begin and end. */
import { TraceError } from './reader.ts';

export class FixedRecords {
  readonly #size: number;
  readonly #record: (view: DataView, at: number, offset: number) => void;
  readonly #rest: Uint8Array; // the beginning of a record whose end has not come
  readonly #restView: DataView;
  #held = 0;
  #offset = 0; // of the next record in the stream

  /** @param record is called with each record: a view, where in it, and its offset in the stream */
  constructor(size: number, record: (view: DataView, at: number, offset: number) => void) {
    this.#size = size;
    this.#record = record;
    this.#rest = new Uint8Array(size);
    this.#restView = new DataView(this.#rest.buffer);
  }

  feed(bytes: Uint8Array): void {
    let at = 0;
    if (this.#held > 0) {
      at = Math.min(this.#size - this.#held, bytes.length);
      this.#rest.set(bytes.subarray(0, at), this.#held);
      this.#held += at;
      if (this.#held < this.#size) return;
      this.#held = 0;
      this.#give(this.#restView, 0);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (; at + this.#size <= bytes.length; at += this.#size) this.#give(view, at);
    this.#rest.set(bytes.subarray(at));
    this.#held = bytes.length - at;
  }

  #give(view: DataView, at: number): void {
    this.#record(view, at, this.#offset);
    this.#offset += this.#size;
  }

  /** Offset of the end of the last record. */
  get offset(): number {
    return this.#offset;
  }

  end(): void {
    if (this.#held > 0) throw new TraceError(this.#offset, `the trace breaks off in a record: ${this.#held} of ${this.#size} bytes`);
  }
}
