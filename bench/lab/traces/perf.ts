/**
 * Samples of memory accesses as `perf script` prints what `perf mem record` took: a line a sample, the event's name with a
 * colon, then the address. What stands before the event (program, process, processor, time) and after the address (source
 * of the data, weight, instruction) is not used, but for the process, which chooses the address space.
 *
 *   app  1234 [002] 5012.345678:  cpu/mem-loads,ldlat=30/P:   7f2a8c001040 ...
 *   app  1234/1236  5012.345679:  cpu/mem-stores/P:           7ffc2b1f0 ...
 *
 * It is a sample: one access of some thousands. Hit rates of such a trace mean nothing; it shows which pages are used.
 * Source: perf-script(1), perf-mem(1).
 */
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import { type Batch, REGION } from '../stream.ts';
import { Gathered, reads, type RecordOutput, TraceError, type TraceReader, type TraceWriter } from './reader.ts';
import { hexAddress, hexHalves, TextLines } from './text-lines.ts';

const EVENT = /(?:^|\s)(\S*(?:load|store)\S*):\s+(?:0x)?([0-9a-fA-F]{1,16})(?:\s|$)/;
const PROCESS = /\s(\d+)(?:\/\d+)?\s+(?:\[\d+\]\s+)?\d+\.\d+:/;

export function perfReader(output: RecordOutput): TraceReader {
  const lines = new TextLines((line, offset) => {
    if (line.trim() === '' || line.startsWith('#')) return;
    const [, event, address] = EVENT.exec(line) ?? [];
    const halves = address === undefined ? null : hexHalves(address);
    if (halves === null) {
      throw new TraceError(offset, `no sample of perf mem: ${JSON.stringify(line.slice(0, 60))}; print at least event,addr`);
    }
    const id = PROCESS.exec(line)?.[1];
    if (!output.process(id === undefined ? 0 : Number(id))) throw new TraceError(offset, 'more than 65536 processes');
    output.instructions(1);
    output.data(halves.lo, halves.hi, event.includes('store') ? WRITE : READ, 1);
  });
  return {
    feed: (bytes) => lines.feed(bytes),
    end: () => {
      lines.end();
      output.end();
    },
  };
}

/** Instructions and controls are left out. A read that also writes becomes two samples. */
export function perfWriter(write: (bytes: Uint8Array) => void): TraceWriter {
  const encoder = new TextEncoder();
  const out = new Gathered(write);
  let sample = 0;
  return {
    write: (batch: Batch) => {
      for (let i = 0; i < batch.count; i++) {
        const kind = batch.kind[i];
        if (kind >= REGION) continue;
        if (reads(kind)) line(batch, i, 'cpu/mem-loads,ldlat=30/P');
        if ((kind & WRITE) !== 0) line(batch, i, 'cpu/mem-stores/P');
      }
    },
    end: () => out.flush(),
  };

  function line(batch: Batch, i: number, event: string): void {
    const time = (sample++ / 1e6).toFixed(6);
    out.put(encoder.encode(`program ${batch.space[i] + 1} [000] ${time}: ${event}: ${hexAddress(batch.page[i], batch.offset[i])}\n`));
  }
}
