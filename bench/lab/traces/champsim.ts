/**
 * Traces of the ChampSim simulator: one record of 64 bytes an instruction, little-endian; 96 bytes in its CloudSuite form.
 *
 *   ChampSim     ip u64 | is branch u8 | taken u8 | 2 target registers | 4 source registers | 2 targets u64 | 4 sources u64
 *   CloudSuite   ip u64 | is branch u8 | taken u8 | 4 target registers | 4 source registers | 6 unused
 *                | 4 targets u64 | 4 sources u64 | address space u8 x 2 | 6 unused
 *
 * Targets and sources are addresses in memory, 0 where there is none. Their sizes are not recorded: 8 bytes are assumed.
 * Source: ChampSim, inc/trace_instruction.h.
 */
import { EXEC, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { type Batch, REGION } from '../stream.ts';
import { FixedRecords } from './fixed-records.ts';
import { Gathered, reads, type RecordOutput, TraceError, type TraceReader, type TraceWriter } from './reader.ts';

interface Shape {
  readonly bytes: number;
  readonly targets: number; // how many, and where
  readonly targetsAt: number;
  readonly sourcesAt: number;
  readonly spaceAt: number; // -1: there is one space
}

const SOURCES = 4;
const CHAMPSIM: Shape = { bytes: 64, targets: 2, targetsAt: 16, sourcesAt: 32, spaceAt: -1 };
const CLOUDSUITE: Shape = { bytes: 96, targets: 4, targetsAt: 24, sourcesAt: 56, spaceAt: 88 };

export type ChampSimForm = 'champsim' | 'cloudsuite';

function shapeOf(form: ChampSimForm): Shape {
  return form === 'champsim' ? CHAMPSIM : CLOUDSUITE;
}

export function champSimReader(form: ChampSimForm, output: RecordOutput): TraceReader {
  const { bytes, targets, targetsAt, sourcesAt, spaceAt } = shapeOf(form);
  const records = new FixedRecords(bytes, (view, at, offset) => {
    const isBranch = view.getUint8(at + 8);
    const isTaken = view.getUint8(at + 9);
    if (isBranch > 1 || isTaken > 1)
      throw new TraceError(offset, `no ${form} record: its branch fields are ${isBranch} and ${isTaken}, not 0 or 1`);
    if (spaceAt >= 0) output.process(view.getUint16(at + spaceAt, true));
    output.instruction(view.getInt32(at, true), view.getInt32(at + 4, true));
    for (let i = 0; i < SOURCES; i++) access(view, at + sourcesAt + 8 * i, READ);
    for (let i = 0; i < targets; i++) access(view, at + targetsAt + 8 * i, WRITE);
  });

  function access(view: DataView, at: number, kind: number): void {
    const lo = view.getInt32(at, true);
    const hi = view.getInt32(at + 4, true);
    if ((lo | hi) !== 0) output.data(lo, hi, kind, 8);
  }

  return {
    feed: (piece) => records.feed(piece),
    end: () => {
      records.end();
      output.end();
    },
  };
}

/**
 * Accesses that come with no instruction of their own belong to the one before, as far as it has room; its sources are
 * read before its targets are written. Controls are left out: the format has none. Nor can it say an access to address 0.
 */
export function champSimWriter(form: ChampSimForm, write: (bytes: Uint8Array) => void): TraceWriter {
  const { bytes, targets, targetsAt, sourcesAt, spaceAt } = shapeOf(form);
  const out = new Gathered(write);
  let record: DataView | null = null; // the instruction being gathered
  let sourcesUsed = 0;
  let targetsUsed = 0;
  let ipLo = 0x1000; // of an access before the first instruction
  let ipHi = 0;

  function flush(): void {
    if (record !== null) out.put(new Uint8Array(record.buffer));
    record = null;
  }

  function begin(space: number): DataView {
    flush();
    record = new DataView(new ArrayBuffer(bytes));
    put(record, 0, ipLo, ipHi);
    if (spaceAt >= 0) record.setUint16(spaceAt, space, true);
    sourcesUsed = 0;
    targetsUsed = 0;
    return record;
  }

  function hasRoom(kind: number): boolean {
    if (reads(kind) && (sourcesUsed === SOURCES || targetsUsed > 0)) return false;
    return (kind & WRITE) === 0 || targetsUsed < targets;
  }

  return {
    write: (batch: Batch) => {
      for (let i = 0; i < batch.count; i++) {
        const kind = batch.kind[i];
        if (kind >= REGION) continue;
        const work = batch.work[i];
        const lo = ((batch.page[i] % 0x10_0000) << 12) | batch.offset[i];
        const hi = Math.floor(batch.page[i] / 0x10_0000) | 0;
        for (let n = 1; n < work; n++) begin(batch.space[i]);
        if (kind === EXEC) {
          ipLo = lo;
          ipHi = hi;
        }
        const isNew = record === null || work > 0 || kind === EXEC || !hasRoom(kind);
        const into = isNew ? begin(batch.space[i]) : (record as unknown as DataView);
        if (reads(kind)) put(into, sourcesAt + 8 * sourcesUsed++, lo, hi);
        if ((kind & WRITE) !== 0) put(into, targetsAt + 8 * targetsUsed++, lo, hi);
      }
    },
    end: () => {
      flush();
      out.flush();
    },
  };
}

function put(view: DataView, at: number, lo: number, hi: number): void {
  view.setInt32(at, lo, true);
  view.setInt32(at + 4, hi, true);
}
