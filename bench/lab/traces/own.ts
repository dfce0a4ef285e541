/**
 * Our own trace format: everything a batch can say, small, and checked.
 *
 *   file    'VKTRACE1' | block ... | final block
 *   block   payload bytes u32 | records u32 | CRC-32 of the payload u32 | payload          little-endian; at most 1 MiB
 *   final   0 u32 | records of the whole trace u64 | CRC-32 of those 8 bytes u32
 *   record  tag u8 | [space] | page | offset | bytes u8 | [work] | of a control: flags u8 | value     7 bits of a number a byte, low ones first
 *
 *   tag     kind (5 bits) | 32: same space as before, which is left out | 64: work is 1, and left out
 *
 * A page is written as the difference to the page before, with its sign in bit 0. Each block begins anew, so that a damaged
 * one is found without reading on. A block is checked before any record of it is given: of a trace that is cut or damaged the
 * records of whole blocks are read, and the error says how many those are and where they end.
 */
import { type Batch, BATCH_RECORDS, HOST_UNMAP, REGION } from '../stream.ts';
import { type RecordOutput, TraceError, type TraceReader, type TraceWriter } from './reader.ts';

const MAGIC = 'VKTRACE1';
const HEAD = 12; // bytes of a block's head
const LAST = 16; // bytes of the final block
const LONGEST_BLOCK = 2 ** 20;
/** More than any record takes: tag 1, space 3, page 8, offset 2, bytes 1, work 5, flags 1, value 9. */
const LONGEST_RECORD = 32;

const SAME_SPACE = 32;
const WORK_IS_ONE = 64;
const KIND = 31;
const INFINITE = 2 ** 53; // stands for Infinity in a value

export function ownReader(output: RecordOutput): TraceReader {
  let held = new Uint8Array(HEAD);
  let have = 0;
  let need = MAGIC.length;
  let offset = 0; // of held[0] in the stream
  let records = 0; // of whole blocks
  let recordsEnd = MAGIC.length; // byte behind them
  let state: 'magic' | 'head' | 'block' | 'last' | 'end' = 'magic';
  let blockRecords = 0;
  let blockCrc = 0;

  function next(what: typeof state, bytes: number): void {
    offset += need;
    state = what;
    have = 0;
    need = bytes;
    if (held.length < bytes) held = new Uint8Array(bytes);
  }

  function damaged(at: number, why: string): TraceError {
    return new TraceError(at, `${why}; records read: ${records}, up to byte ${recordsEnd}`);
  }

  /** Deals with what has come in whole. */
  function take(): void {
    const view = new DataView(held.buffer);
    if (state === 'magic') {
      if (!isMagic(held)) throw new TraceError(0, `no trace of this format: it does not begin with ${MAGIC}`);
      next('head', HEAD);
    } else if (state === 'head') {
      const bytes = view.getUint32(0, true);
      if (bytes > LONGEST_BLOCK) throw damaged(offset, `a block of ${bytes} bytes, where none is longer than ${LONGEST_BLOCK}`);
      blockRecords = view.getUint32(4, true);
      blockCrc = view.getUint32(8, true);
      if (bytes === 0) {
        state = 'last';
        need = LAST;
        if (held.length < LAST) held = Uint8Array.from({ length: LAST }, (_, i) => held[i] ?? 0);
      } else next('block', bytes);
    } else if (state === 'block') {
      const payload = held.subarray(0, need);
      if (crc32(payload) !== blockCrc) throw damaged(offset, 'a damaged block: its check sum is wrong');
      decodeBlock(payload, blockRecords, offset, output);
      records += blockRecords;
      next('head', HEAD);
      recordsEnd = offset;
    } else if (state === 'last') {
      if (crc32(held.subarray(4, 12)) !== view.getUint32(12, true)) throw damaged(offset, 'a damaged end: its check sum is wrong');
      const all = view.getUint32(8, true) * 4294967296 + view.getUint32(4, true);
      if (all !== records) throw new TraceError(offset, `${records} records, where the end says ${all}: a block is missing`);
      next('end', 1);
    } else throw new TraceError(offset, 'bytes behind the end of the trace');
  }

  return {
    feed: (bytes) => {
      for (let at = 0; at < bytes.length; ) {
        const part = Math.min(need - have, bytes.length - at);
        held.set(bytes.subarray(at, at + part), have);
        have += part;
        at += part;
        if (have === need) take();
      }
    },
    end: () => {
      output.flush();
      if (state !== 'end') throw damaged(offset + have, 'the trace breaks off: it has no end');
    },
  };
}

function isMagic(bytes: Uint8Array): boolean {
  return bytes.every((byte, i) => i >= MAGIC.length || byte === MAGIC.charCodeAt(i));
}

function decodeBlock(payload: Uint8Array, count: number, offset: number, output: RecordOutput): void {
  let at = 0;
  let page = 0;
  let space = 0;

  const byte = (): number => {
    if (at === payload.length) throw new TraceError(offset + at, 'a block ends in a record');
    return payload[at++];
  };
  const number = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const part = byte();
      value += (part & 127) * scale;
      if (part < 128) return value;
      if (scale > 2 ** 49) throw new TraceError(offset + at, 'a number of more than 56 bits');
    }
  };

  for (let i = 0; i < count; i++) {
    const start = at;
    const tag = byte();
    const kind = tag & KIND;
    const isControl = kind >= REGION;
    if (tag >= 128 || kind === 0 || kind > HOST_UNMAP || (kind > 4 && !isControl))
      throw new TraceError(offset + start, `no record: its tag is ${tag}`);
    if ((tag & SAME_SPACE) === 0) space = number();
    const delta = number();
    page += delta % 2 === 0 ? delta / 2 : -(delta + 1) / 2;
    const inPage = number();
    const bytes = byte();
    const work = (tag & WORK_IS_ONE) !== 0 ? 1 : number();
    const flags = isControl ? byte() : 0;
    const value = isControl ? number() : 0;
    if (page < 0 || page >= 2 ** 52 || space > 0xffff || inPage > 4095 || bytes > 64 || work > 0xffff_ffff) {
      throw new TraceError(offset + start, `no record: page ${page}, offset ${inPage}, space ${space}, bytes ${bytes}, work ${work}`);
    }
    const batch = output.room();
    const slot = batch.count++;
    batch.kind[slot] = kind;
    batch.space[slot] = space;
    batch.page[slot] = page;
    batch.offset[slot] = inPage;
    batch.bytes[slot] = bytes;
    batch.work[slot] = work;
    batch.flags[slot] = flags;
    batch.value[slot] = value === INFINITE ? Number.POSITIVE_INFINITY : value;
  }
  if (at !== payload.length) throw new TraceError(offset + at, `a block with ${payload.length - at} bytes too many`);
}

export function ownWriter(write: (bytes: Uint8Array) => void): TraceWriter {
  const payload = new Uint8Array(BATCH_RECORDS * LONGEST_RECORD); // a block is a batch
  let at = 0;
  let records = 0;
  let isBegun = false;

  function put(value: number): void {
    let rest = value;
    while (rest >= 128) {
      payload[at++] = 128 + (rest % 128);
      rest = Math.floor(rest / 128);
    }
    payload[at++] = rest;
  }

  function begin(): void {
    if (!isBegun) write(Uint8Array.from(MAGIC, (letter) => letter.charCodeAt(0)));
    isBegun = true;
  }

  function block(batch: Batch): void {
    at = 0;
    let page = 0;
    let space = 0;
    for (let i = 0; i < batch.count; i++) {
      const kind = batch.kind[i];
      const sameSpace = batch.space[i] === space ? SAME_SPACE : 0;
      const oneWork = batch.work[i] === 1 ? WORK_IS_ONE : 0;
      payload[at++] = kind | sameSpace | oneWork;
      if (sameSpace === 0) put(batch.space[i]);
      const delta = batch.page[i] - page;
      put(delta >= 0 ? 2 * delta : -2 * delta - 1);
      put(batch.offset[i]);
      payload[at++] = batch.bytes[i];
      if (oneWork === 0) put(batch.work[i]);
      if (kind >= REGION) {
        payload[at++] = batch.flags[i];
        put(Math.min(batch.value[i], INFINITE));
      }
      page = batch.page[i];
      space = batch.space[i];
    }
    const head = new DataView(new ArrayBuffer(HEAD));
    head.setUint32(0, at, true);
    head.setUint32(4, batch.count, true);
    head.setUint32(8, crc32(payload.subarray(0, at)), true);
    write(new Uint8Array(head.buffer));
    write(payload.slice(0, at));
    records += batch.count;
  }

  return {
    write: (batch) => {
      begin();
      if (batch.count > 0) block(batch);
    },
    end: () => {
      begin();
      const last = new DataView(new ArrayBuffer(LAST));
      last.setUint32(4, records % 4294967296, true);
      last.setUint32(8, Math.floor(records / 4294967296), true);
      last.setUint32(12, crc32(new Uint8Array(last.buffer, 4, 8)), true);
      write(new Uint8Array(last.buffer));
    },
  };
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  let crc = i;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0xedb88320;
  return crc;
});

/** The check sum of Ethernet, gzip and PNG. */
function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}
