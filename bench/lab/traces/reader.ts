/**
 * What all trace formats share: readers take bytes as they come and push records, in constant memory; writers turn records
 * into bytes. Neither knows about files: bench/lab/node has those.
 *
 *   bytes -> TraceReader.feed -> RecordOutput -> sink(batch)          batch -> TraceWriter.write -> bytes
 */
import { type Access, EXEC, READ } from '../../../hostkernel/base/units.ts';
import { Batch, SWITCH } from '../stream.ts';

export interface TraceReader {
  /** Takes the next bytes of the trace. @throws TraceError at what cannot be read; records before it have been given */
  feed(bytes: Uint8Array): void;
  /** Says that there are no more. @throws TraceError if the trace breaks off */
  end(): void;
}

export interface TraceWriter {
  /** Appends a batch. @throws TraceError for a record the format cannot hold */
  write(batch: Batch): void;
  /** Appends what ends a trace. */
  end(): void;
}

/** Where a trace cannot be read, and why. */
export class TraceError extends Error {
  override readonly name = 'TraceError';
  readonly offset: number; // bytes from the start of the trace, after decompression

  constructor(offset: number, why: string) {
    super(`byte ${offset}: ${why}`);
    this.offset = offset;
  }
}

/** Accesses that lie on two pages, or are longer than a batch can say, become several. */
const LONGEST = 64; // bytes

/** Instructions that touch nothing new are told at least this often: who reads an endless trace must be able to stop. */
const MOST_WORK = 2 ** 20;

/** Gathers records into batches. */
export class RecordOutput {
  readonly #sink: (batch: Batch) => void;
  readonly #batch = new Batch();
  #work = 0; // instructions not yet written to a record
  #fetched = -1; // page of the last instruction
  #fetchedOffset = 0;
  #space = -1;
  readonly #spaces = new Map<number, number>(); // by process number of the trace

  /** @param sink is given each full batch; it is used again afterwards */
  constructor(sink: (batch: Batch) => void) {
    this.#sink = sink;
  }

  /** Goes on in the address space of a process: the first one seen is space 0. @returns false if there are too many */
  process(id: number): boolean {
    let space = this.#spaces.get(id);
    if (space === undefined) {
      space = this.#spaces.size;
      if (space > 0xffff) return false;
      this.#spaces.set(id, space);
    }
    this.switchTo(space);
    return true;
  }

  switchTo(space: number): void {
    if (this.#space === space) return;
    this.#space = space;
    this.#fetched = -1;
    this.control(SWITCH, space, 0, 0, 0);
  }

  /** An instruction at (hi, lo). A record is made only where the page is another than before: see stream.ts on EXEC. */
  instruction(lo: number, hi: number): void {
    if (this.#space < 0) this.switchTo(0);
    const page = (hi >>> 0) * 0x10_0000 + (lo >>> 12);
    this.#work++;
    this.#fetchedOffset = lo & 4095;
    if (page === this.#fetched && this.#work < MOST_WORK) return;
    const isLong = page === this.#fetched;
    this.#fetched = page;
    this.access(page, lo & 4095, EXEC, 1);
    if (isLong) this.flush();
  }

  /** Instructions that are not fetched. */
  instructions(count: number): void {
    this.#work += count;
  }

  /** Data of `bytes` at (hi, lo). */
  data(lo: number, hi: number, kind: Access, bytes: number): void {
    if (this.#space < 0) this.switchTo(0);
    let page = (hi >>> 0) * 0x10_0000 + (lo >>> 12);
    let offset = lo & 4095;
    for (let left = Math.max(1, bytes); left > 0; ) {
      const part = Math.min(left, LONGEST, 4096 - offset);
      this.access(page, offset, kind, part);
      left -= part;
      offset += part;
      if (offset < 4096) continue;
      offset = 0;
      page = page + 1 === 2 ** 52 ? 0 : page + 1;
    }
  }

  access(page: number, offset: number, kind: Access, bytes: number): void {
    if (this.#batch.isFull) this.flush();
    this.#batch.access(this.#space, page, offset, kind, bytes, this.#work);
    this.#work = 0;
  }

  control(kind: number, space: number, page: number, value: number, flags: number): void {
    if (this.#batch.isFull) this.flush();
    this.#batch.control(kind, space, page, value, flags);
  }

  /** The batch being filled, for records that nothing above describes. There is room for one. */
  room(): Batch {
    if (this.#batch.isFull) this.flush();
    return this.#batch;
  }

  /** Gives what is left to the sink. Instructions after the last record come with one more fetch. */
  end(): void {
    if (this.#work > 0 && this.#fetched >= 0) this.access(this.#fetched, this.#fetchedOffset, EXEC, 1);
    this.flush();
  }

  flush(): void {
    if (this.#batch.count > 0) this.#sink(this.#batch);
    this.#batch.count = 0;
  }
}

/** Whether a record is a read, or a read and a write. */
export function reads(kind: number): boolean {
  return (kind & READ) !== 0;
}

/** Small pieces of a trace gathered into larger ones: a record is a few bytes, a write is a system call. */
export class Gathered {
  readonly #write: (bytes: Uint8Array) => void;
  #held = new Uint8Array(GATHERED);
  #count = 0;

  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write;
  }

  put(bytes: Uint8Array): void {
    if (this.#count + bytes.length > GATHERED) this.flush();
    if (bytes.length > GATHERED) this.#write(bytes);
    else {
      this.#held.set(bytes, this.#count);
      this.#count += bytes.length;
    }
  }

  /** Hands over what there is. What was handed over is the receiver's. */
  flush(): void {
    if (this.#count === 0) return;
    this.#write(this.#held.subarray(0, this.#count));
    this.#held = new Uint8Array(GATHERED);
    this.#count = 0;
  }
}

const GATHERED = 65_536; // bytes
