/**
 * Traces from files and pipes: opened, decompressed, recognised and read, piece by piece. A trace of any length takes the
 * same memory: nothing is read before what came earlier has been dealt with.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import xz from 'xz-decompress';
import type { Batch } from '../stream.ts';
import { guessFormat, RecordOutput, TRACE_FORMATS, TraceError, type TraceReader } from '../traces/index.ts';

export interface TraceSource {
  /** `-` is standard input. */
  readonly path: string;
  /** A name out of TRACE_FORMATS; without it the trace itself has to tell. */
  readonly format?: string;
}

/** How the reading of a trace ended. */
export interface TraceEnd {
  readonly format: string | null;
  /** null: the whole trace was read, or as much of it as was wanted. Otherwise what is wrong with it, and where. */
  readonly failure: string | null;
  readonly bytesRead: number; // of the file, as it lies there
}

/** Bytes looked at to recognise a format. */
const LOOK = 64;
/** Bytes read at once. */
const PIECE = 2 ** 18;

/**
 * Reads a trace. Records that come before a failure have been given.
 * @param onBatch takes a batch, which is used again; returns false when it has enough
 * @param onProgress bytes of the file read so far, and all of them (null: a pipe), once a piece
 */
export async function readTrace(
  source: TraceSource,
  onBatch: (batch: Batch) => boolean,
  onProgress?: (read: number, all: number | null) => void,
): Promise<TraceEnd> {
  let format: string | null = source.format ?? null;
  let bytesRead = 0;
  let isEnough = false;
  const output = new RecordOutput((batch) => {
    if (!isEnough) isEnough = !onBatch(batch);
  });

  async function* file(): AsyncGenerator<Uint8Array> {
    const all = source.path === '-' ? null : await sizeOf(source.path);
    const stream: AsyncIterable<Uint8Array> = source.path === '-' ? process.stdin : createReadStream(source.path, { highWaterMark: PIECE });
    for await (const piece of stream) {
      bytesRead += piece.length;
      onProgress?.(bytesRead, all);
      yield piece;
    }
  }

  function open(first: Uint8Array): TraceReader {
    if (first.length === 0) throw new TraceError(0, 'the trace is empty');
    format ??= guessFormat(first, source.path);
    const names = Object.keys(TRACE_FORMATS).join(', ');
    if (format === null) throw new TraceError(0, `the format is not to be told from the trace; name one of ${names}`);
    if (!Object.hasOwn(TRACE_FORMATS, format)) throw new TraceError(0, `no format ${format}; there are ${names}`);
    const reader = TRACE_FORMATS[format].read(output);
    reader.feed(first);
    return reader;
  }

  try {
    let reader: TraceReader | null = null;
    let first: Uint8Array = new Uint8Array(0);
    for await (const piece of decompressed(file())) {
      if (reader !== null) reader.feed(piece);
      else {
        first = joined(first, piece);
        if (first.length >= LOOK) reader = open(first);
      }
      if (isEnough) break;
    }
    if (!isEnough) (reader ?? open(first)).end();
    return { format, failure: null, bytesRead };
  } catch (error) {
    output.flush();
    const reason = (error as Error).message;
    const failure = error instanceof TraceError ? reason : `byte ${bytesRead} of the file, or before it: ${reason}`;
    return { format, failure, bytesRead };
  }
}

async function sizeOf(path: string): Promise<number | null> {
  const about = await stat(path);
  return about.isFile() ? about.size : null;
}

const MAGIC = { gzip: [0x1f, 0x8b], xz: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] };
/** What cannot be read here, and what can. */
const FOREIGN = [
  { magic: [0x04, 0x22, 0x4d, 0x18], name: 'lz4', tool: 'lz4 -dc' },
  { magic: [0x28, 0xb5, 0x2f, 0xfd], name: 'zstd', tool: 'zstd -dc' },
  { magic: [0x42, 0x5a, 0x68], name: 'bzip2', tool: 'bzip2 -dc' },
  { magic: [0x50, 0x4b, 0x03, 0x04], name: 'zip', tool: 'unzip -p' },
];
const LONGEST_MAGIC = 6;

/** The contents of a file that may be compressed with gzip or xz. */
async function* decompressed(file: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  let first: Uint8Array = new Uint8Array(0);
  while (first.length < LONGEST_MAGIC) {
    const { value, done } = await file.next();
    if (done === true) break;
    first = joined(first, value);
  }
  const foreign = FOREIGN.find(({ magic }) => begins(first, magic));
  if (foreign !== undefined) {
    throw new TraceError(0, `compressed with ${foreign.name}, which is not read here: ${foreign.tool} FILE | vkernel lab ... --trace -`);
  }
  const whole = chain(first, file);
  if (begins(first, MAGIC.gzip)) {
    const failed = (): void => undefined; // the reader of the gunzip stream is told too
    yield* pipeline(Readable.from(whole, { objectMode: false }), createGunzip({ chunkSize: PIECE }), failed) as AsyncIterable<Uint8Array>;
  } else if (begins(first, MAGIC.xz)) {
    const web = Readable.toWeb(Readable.from(whole)) as ReadableStream<Uint8Array>;
    yield* new xz.XzReadableStream(web) as unknown as AsyncIterable<Uint8Array>;
  } else yield* whole;
}

async function* chain(first: Uint8Array, rest: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (first.length > 0) yield first;
  yield* rest;
}

function begins(bytes: Uint8Array, magic: readonly number[]): boolean {
  return bytes.length >= magic.length && magic.every((byte, i) => bytes[i] === byte);
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
