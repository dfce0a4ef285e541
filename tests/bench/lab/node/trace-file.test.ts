import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { readTrace, type TraceEnd } from '../../../../bench/lab/node/trace-file.ts';
import { Batch, REGION } from '../../../../bench/lab/stream.ts';
import { TRACE_FORMATS } from '../../../../bench/lab/traces/index.ts';
import { workload } from '../../../../bench/lab/workloads/index.ts';
import { xzStored } from '../../../tools/xz.ts';

const folder = mkdtempSync(join(tmpdir(), 'vkernel-trace-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A trace of `accesses` accesses. */
function trace(format: string, accesses: number): Uint8Array {
  const pieces: Uint8Array[] = [];
  const writer = TRACE_FORMATS[format].write((bytes) => pieces.push(bytes));
  const source = workload({ name: 'hashjoin', seed: 1, accesses, params: { footprint: 2 ** 20 } }, { end: 2 ** 38 });
  const batch = new Batch();
  for (let more = true; more; ) {
    batch.count = 0;
    more = source.append(batch);
    writer.write(batch);
  }
  writer.end();
  return new Uint8Array(Buffer.concat(pieces));
}

function file(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

async function read(path: string, most = Infinity, format?: string): Promise<TraceEnd & { accesses: number }> {
  let accesses = 0;
  const end = await readTrace({ path, ...(format === undefined ? {} : { format }) }, (batch) => {
    for (let i = 0; i < batch.count; i++) if (batch.kind[i] < REGION && batch.kind[i] !== 4) accesses++;
    return accesses < most;
  });
  return { ...end, accesses };
}

const ACCESSES = 20_000;
const plain = trace('vktrace', ACCESSES);

describe('a trace is read', () => {
  test('as it is, and from gzip and xz, told by their first bytes', async () => {
    for (const [name, bytes] of [
      ['plain', plain],
      ['gz', gzipSync(plain)],
      ['xz', xzStored(plain)],
    ] as const) {
      expect(await read(file(name, bytes)), name).toEqual({
        format: 'vktrace',
        failure: null,
        bytesRead: bytes.length,
        accesses: ACCESSES,
      });
    }
  });
  test('until there is enough, also from a file without an end', async () => {
    let batches = 0;
    const end = await readTrace({ path: '/dev/zero', format: 'champsim' }, () => ++batches < 2); // instructions without data, for ever
    expect(end.failure).toBeNull();
    expect(batches).toBe(2);
  });
  test('in every format, named or told by the trace', async () => {
    for (const format of Object.keys(TRACE_FORMATS)) {
      const path = file(`${format}.trace`, trace(format, 500));
      expect(await read(path), format).toMatchObject({ format, failure: null });
    }
  });
});

describe('a trace that cannot be read to its end gives what there was, and says where it ends', () => {
  test('cut', async () => {
    const end = await read(file('cut', plain.subarray(0, 60_000)));
    expect(end.failure).toMatch(/^byte \d+: the trace breaks off/);
    expect(end.accesses).toBeGreaterThan(1000);
  });
  test('cut in gzip and in xz', async () => {
    for (const [name, bytes] of [
      ['cut.gz', gzipSync(plain)],
      ['cut.xz', xzStored(plain)],
    ] as const) {
      const end = await read(file(name, bytes.subarray(0, bytes.length - 40)));
      expect(end.failure, name).toMatch(/^byte \d+ of the file, or before it: ./);
    }
  });
  test('damaged in gzip and in xz', async () => {
    for (const [name, bytes] of [
      ['bad.gz', gzipSync(plain)],
      ['bad.xz', xzStored(plain)],
    ] as const) {
      const damaged = Uint8Array.from(bytes);
      damaged[Math.floor(bytes.length / 2)] ^= 0x10;
      expect((await read(file(name, damaged))).failure, name).toMatch(/^byte \d+/);
    }
  });
  test.each([
    ['nothing', '', 'byte 0: the trace is empty'],
    ['unknown', 'what is this', /^byte 0: the format is not to be told from the trace; name one of champsim, /],
    ['lz4', '\x04\x22\x4d\x18....', 'byte 0: compressed with lz4, which is not read here: lz4 -dc FILE | vkernel lab ... --trace -'],
  ])('%s', async (name, text, message) => {
    expect((await read(file(name, Buffer.from(text, 'latin1')))).failure).toEqual(
      typeof message === 'string' ? message : expect.stringMatching(message),
    );
  });
  test('a file that is not there, a folder, a format that is none', async () => {
    expect((await read(join(folder, 'absent'))).failure).toMatch(/ENOENT/);
    expect((await read(folder)).failure).toMatch(/EISDIR/);
    expect((await read(file('x', plain), Infinity, 'toString')).failure).toMatch(/^byte 0: no format toString; there are champsim/);
  });
});
