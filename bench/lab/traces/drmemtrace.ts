/**
 * Traces of DynamoRIO's drmemtrace in their final form: 12 bytes an entry, little-endian, packed.
 *
 *   type u16 | size u16 | address u64
 *
 * A file begins with a header entry and ends with a footer; between them entries of other types (threads, markers,
 * encodings) are skipped, but for the process, which chooses the address space. Prefetches count as reads. The raw
 * offline form, words of 8 bytes, is another format: the tracer's own post-processing makes this one of it.
 * Source: DynamoRIO, clients/drcachesim/common/trace_entry.h.
 */
import { EXEC, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { type Batch, REGION } from '../stream.ts';
import { FixedRecords } from './fixed-records.ts';
import { Gathered, reads, type RecordOutput, TraceError, type TraceReader, type TraceWriter } from './reader.ts';

const ENTRY = 12; // bytes

const TYPE_READ = 0;
const TYPE_WRITE = 1;
const TYPE_PREFETCH_FIRST = 2; //  of a data or an instruction line, as software asks for it
const TYPE_PREFETCH_INSTR = 9;
const TYPE_INSTR = 10;
const TYPE_INSTR_RETURN = 16; //   10..16: instructions of several kinds
const TYPE_INSTR_BUNDLE = 17; //   `size` more instructions, behind the one before
const TYPE_PID = 24;
const TYPE_HEADER = 25;
const TYPE_FOOTER = 26;
const TYPE_INSTR_NO_FETCH = 29;
const TYPE_INSTR_MAYBE_FETCH = 30;
const TYPE_INSTR_SYSENTER = 31;
const TYPE_PREFETCH_READ_L1_NT = 32;
const TYPE_PREFETCH_INSTR_L1 = 35; // 35..40 of instructions
const TYPE_PREFETCH_INSTR_L3_NT = 40;
const TYPE_PREFETCH_WRITE_L3_NT = 46;
const TYPE_INSTR_TAKEN_JUMP = 48;
const TYPE_LAST = 49;

export function drmemtraceReader(output: RecordOutput): TraceReader {
  let isOpen = false; // between header and footer
  let isBegun = false;
  let pcLo = 0;
  let pcHi = 0;
  const records = new FixedRecords(ENTRY, (view, at, offset) => {
    const type = view.getUint16(at, true);
    const size = view.getUint16(at + 2, true);
    const lo = view.getInt32(at + 4, true);
    const hi = view.getInt32(at + 8, true);
    if (type > TYPE_LAST) throw new TraceError(offset, `no drmemtrace entry: there is no type ${type}`);
    if (!isOpen) {
      if (type !== TYPE_HEADER)
        throw new TraceError(offset, `a drmemtrace file begins with a header entry, type ${TYPE_HEADER}, not ${type}`);
      isOpen = true;
      isBegun = true;
      return;
    }
    switch (type) {
      case TYPE_HEADER:
        throw new TraceError(offset, 'a second header before the footer');
      case TYPE_FOOTER:
        isOpen = false;
        return;
      case TYPE_PID:
        if (!output.process((hi >>> 0) * 4294967296 + (lo >>> 0))) throw new TraceError(offset, 'more than 65536 processes');
        return;
      case TYPE_READ:
        output.data(lo, hi, READ, size);
        return;
      case TYPE_WRITE:
        output.data(lo, hi, WRITE, size);
        return;
      case TYPE_INSTR_BUNDLE: // up to 8 lengths in place of the address
        for (let i = 0; i < Math.min(size, 8); i++) {
          const next = (pcLo >>> 0) + view.getUint8(at + 4 + i);
          pcHi = (pcHi + (next > 0xffff_ffff ? 1 : 0)) | 0;
          pcLo = next | 0;
          output.instruction(pcLo, pcHi);
        }
        return;
      case TYPE_INSTR_NO_FETCH:
        output.instructions(1);
        return;
      default:
    }
    if (isInstruction(type)) {
      pcLo = lo;
      pcHi = hi;
      if (size > 0) output.instruction(lo, hi); // 0: only tells where the next access is made from
    } else if (isPrefetch(type)) {
      const isCode = type === TYPE_PREFETCH_INSTR || (type >= TYPE_PREFETCH_INSTR_L1 && type <= TYPE_PREFETCH_INSTR_L3_NT);
      output.data(lo, hi, isCode ? EXEC : READ, Math.max(1, size));
    }
  });
  return {
    feed: (bytes) => records.feed(bytes),
    end: () => {
      records.end();
      output.end();
      if (isOpen || !isBegun) throw new TraceError(records.offset, `the trace breaks off: it has no ${isBegun ? 'footer' : 'header'}`);
    },
  };
}

function isInstruction(type: number): boolean {
  return (
    (type >= TYPE_INSTR && type <= TYPE_INSTR_RETURN) ||
    type === TYPE_INSTR_MAYBE_FETCH ||
    type === TYPE_INSTR_SYSENTER ||
    type >= TYPE_INSTR_TAKEN_JUMP
  );
}

function isPrefetch(type: number): boolean {
  return (
    (type >= TYPE_PREFETCH_FIRST && type <= TYPE_PREFETCH_INSTR) || (type >= TYPE_PREFETCH_READ_L1_NT && type <= TYPE_PREFETCH_WRITE_L3_NT)
  );
}

const VERSION = 3;

/** Controls are left out, but a change of the space becomes one of the process. A read that also writes becomes two entries. */
export function drmemtraceWriter(write: (bytes: Uint8Array) => void): TraceWriter {
  const out = new Gathered(write);
  let space = -1;
  let isBegun = false;

  function entry(type: number, size: number, lo: number, hi: number): void {
    const view = new DataView(new ArrayBuffer(ENTRY));
    view.setUint16(0, type, true);
    view.setUint16(2, size, true);
    view.setInt32(4, lo, true);
    view.setInt32(8, hi, true);
    out.put(new Uint8Array(view.buffer));
  }

  function begin(): void {
    if (!isBegun) entry(TYPE_HEADER, 0, VERSION, 0);
    isBegun = true;
  }

  return {
    write: (batch: Batch) => {
      begin();
      for (let i = 0; i < batch.count; i++) {
        const kind = batch.kind[i];
        if (kind >= REGION) continue;
        if (batch.space[i] !== space) {
          space = batch.space[i];
          entry(TYPE_PID, 0, space + 1, 0);
        }
        const lo = ((batch.page[i] % 0x10_0000) << 12) | batch.offset[i];
        const hi = Math.floor(batch.page[i] / 0x10_0000) | 0;
        const own = kind === EXEC ? 1 : 0;
        for (let n = own; n < batch.work[i]; n++) entry(TYPE_INSTR_NO_FETCH, 4, lo, hi);
        if (kind === EXEC) entry(TYPE_INSTR, batch.bytes[i], lo, hi);
        if (reads(kind)) entry(TYPE_READ, batch.bytes[i], lo, hi);
        if ((kind & WRITE) !== 0) entry(TYPE_WRITE, batch.bytes[i], lo, hi);
      }
    },
    end: () => {
      begin();
      entry(TYPE_FOOTER, 0, 0, 0);
      out.flush();
    },
  };
}
