/**
 * Traces of Valgrind's lackey, `valgrind --tool=lackey --trace-mem=yes`: a line an access, address in hexadecimal, bytes in
 * decimal. Lines that begin with == are Valgrind's messages.
 *
 *   I  04001230,3        instruction
 *    L 1ffeffe7e8,8      load
 *    S 1ffeffe7e0,8      store
 *    M 0421d0c4,4        both
 * Source: Valgrind, lackey/lk_main.c.
 */
import { EXEC, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { type Batch, REGION } from '../stream.ts';
import { Gathered, type RecordOutput, TraceError, type TraceReader, type TraceWriter } from './reader.ts';
import { hexAddress, hexHalves, TextLines } from './text-lines.ts';

const LINE = /^(I | [LSM]) ([0-9a-fA-F]{1,16}),(\d{1,5})$/;
const KINDS: Readonly<Record<string, number>> = { ' L': READ, ' S': WRITE, ' M': READ | WRITE };
const LETTERS: readonly string[] = ['', ' L', ' S', ' M'];

export function lackeyReader(output: RecordOutput): TraceReader {
  const lines = new TextLines((line, offset) => {
    if (line.startsWith('==') || line.startsWith('--') || line.trim() === '') return;
    const [, letter, address, size] = LINE.exec(line) ?? [];
    const halves = address === undefined ? null : hexHalves(address);
    if (halves === null) {
      throw new TraceError(offset, `no line of lackey: ${JSON.stringify(line.slice(0, 60))}; the program's own output must go elsewhere`);
    }
    if (letter === 'I ') output.instruction(halves.lo, halves.hi);
    else output.data(halves.lo, halves.hi, KINDS[letter], Number(size));
  });
  return {
    feed: (bytes) => lines.feed(bytes),
    end: () => {
      lines.end();
      output.end();
    },
  };
}

/** Controls are left out, and all spaces are one: the format has neither. */
export function lackeyWriter(write: (bytes: Uint8Array) => void): TraceWriter {
  const encoder = new TextEncoder();
  const out = new Gathered(write);
  let ip = '1000';
  return {
    write: (batch: Batch) => {
      for (let i = 0; i < batch.count; i++) {
        const kind = batch.kind[i];
        if (kind >= REGION) continue;
        const address = hexAddress(batch.page[i], batch.offset[i]).padStart(8, '0');
        const own = kind === EXEC ? 1 : 0;
        for (let n = own; n < batch.work[i]; n++) out.put(encoder.encode(`I  ${ip.padStart(8, '0')},1\n`));
        if (kind === EXEC) ip = address;
        out.put(encoder.encode(kind === EXEC ? `I  ${address},${batch.bytes[i]}\n` : `${LETTERS[kind]} ${address},${batch.bytes[i]}\n`));
      }
    },
    end: () => out.flush(),
  };
}
