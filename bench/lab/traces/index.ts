/** Traces of other tools, and our own: readers and writers by name. The entry file of this room. */
import type { PageTableFormat } from '../../../hostkernel/machine/index.ts';
import { champSimReader, champSimWriter } from './champsim.ts';
import { drmemtraceReader, drmemtraceWriter } from './drmemtrace.ts';
import { lackeyReader, lackeyWriter } from './lackey.ts';
import { ownReader, ownWriter } from './own.ts';
import { pageTableReader } from './page-tables.ts';
import { perfReader, perfWriter } from './perf.ts';
import type { RecordOutput, TraceReader, TraceWriter } from './reader.ts';

export { type EntryAt, recordsOfTables } from './page-tables.ts';
export { RecordOutput, TraceError, type TraceReader, type TraceWriter } from './reader.ts';

export interface TraceFormat {
  readonly title: string;
  /** Samples, of which hits and misses cannot be told. */
  readonly isSampled?: true;
  readonly read: (output: RecordOutput) => TraceReader;
  readonly write: (write: (bytes: Uint8Array) => void) => TraceWriter;
}

/** The formats that hold accesses. */
export const TRACE_FORMATS: Readonly<Record<string, TraceFormat>> = {
  champsim: {
    title: 'ChampSim',
    read: (output) => champSimReader('champsim', output),
    write: (write) => champSimWriter('champsim', write),
  },
  cloudsuite: {
    title: 'ChampSim, CloudSuite form',
    read: (output) => champSimReader('cloudsuite', output),
    write: (write) => champSimWriter('cloudsuite', write),
  },
  drmemtrace: { title: 'DynamoRIO drmemtrace', read: drmemtraceReader, write: drmemtraceWriter },
  lackey: { title: 'Valgrind lackey --trace-mem=yes', read: lackeyReader, write: lackeyWriter },
  perf: { title: 'perf script of perf mem', isSampled: true, read: perfReader, write: perfWriter },
  vktrace: { title: 'our own: accesses and what kernels do', read: ownReader, write: ownWriter },
};

/** Reads page tables as text: leaves become MAP records. */
export function readPageTables(format: PageTableFormat, output: RecordOutput): TraceReader {
  return pageTableReader(format, output);
}

/**
 * The format of a trace by its first bytes (32 are enough, decompressed), or null. ChampSim's records have nothing that
 * tells them apart: they are what a name with `champsim` or `cloudsuite` in it says.
 */
export function guessFormat(first: Uint8Array, name: string): string | null {
  const text = new TextDecoder('latin1').decode(first.subarray(0, 64));
  if (text.startsWith('VKTRACE')) return 'vktrace';
  if (/^(==|I {2}[0-9a-f]| [LSM] [0-9a-f])/.test(text)) return 'lackey';
  if (/^(#|\s*\S+\s+\d+)[^\0]*$/.test(text) && /^[\t\n\r -~]+$/.test(text)) return 'perf';
  if (first.length >= 4 && first[0] === 25 && first[1] === 0) return 'drmemtrace';
  if (/cloudsuite/i.test(name)) return 'cloudsuite';
  return /champsim/i.test(name) ? 'champsim' : null;
}
