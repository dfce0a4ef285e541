import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Batch, HOST_UNMAP, REGION, SWITCH } from '../../../../bench/lab/stream.ts';
import { guessFormat, RecordOutput, TRACE_FORMATS, TraceError } from '../../../../bench/lab/traces/index.ts';
import { workload, WORKLOAD_NAMES } from '../../../../bench/lab/workloads/index.ts';
import { EXEC, READ, WRITE } from '../../../../hostkernel/base/units.ts';

type Record = readonly [
  kind: number,
  space: number,
  page: number,
  offset: number,
  bytes: number,
  work: number,
  value: number,
  flags: number,
];

/** Records of a batch as plain data. */
function recordsOf(batch: Batch): Record[] {
  return Array.from({ length: batch.count }, (_, i) => [
    batch.kind[i],
    batch.space[i],
    batch.page[i],
    batch.offset[i],
    batch.bytes[i],
    batch.work[i],
    batch.kind[i] >= REGION ? batch.value[i] : 0,
    batch.kind[i] >= REGION ? batch.flags[i] : 0,
  ]);
}

function batchOf(records: readonly Record[]): Batch {
  const batch = new Batch();
  for (const [kind, space, page, offset, bytes, work, value, flags] of records) {
    if (kind >= REGION) batch.control(kind, space, page, value, flags);
    else batch.access(space, page, offset, kind, bytes, work);
    const i = batch.count - 1;
    batch.offset[i] = offset;
    batch.bytes[i] = bytes;
    batch.work[i] = work;
  }
  return batch;
}

function encode(format: string, batches: readonly Batch[]): Uint8Array {
  const pieces: Uint8Array[] = [];
  const writer = TRACE_FORMATS[format].write((bytes) => pieces.push(bytes));
  for (const batch of batches) writer.write(batch);
  writer.end();
  return new Uint8Array(Buffer.concat(pieces));
}

/** Reads a trace in pieces of the given lengths, over and over. */
function decode(
  format: string,
  bytes: Uint8Array,
  pieces: readonly number[] = [bytes.length],
): { records: Record[]; error: TraceError | null } {
  const records: Record[] = [];
  const output = new RecordOutput((batch) => records.push(...recordsOf(batch)));
  const reader = TRACE_FORMATS[format].read(output);
  let error: TraceError | null = null;
  try {
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const length = Math.max(1, pieces[i % pieces.length]);
      reader.feed(bytes.subarray(at, at + length));
      at += length;
    }
    reader.end();
  } catch (thrown) {
    if (!(thrown instanceof TraceError)) throw thrown;
    error = thrown;
    output.flush();
  }
  return { records, error };
}

const pages = fc.oneof(fc.nat(2 ** 31 - 1), fc.constantFrom(2 ** 52 - 1, 2 ** 36, 0x7ffff_fffff));
const anyRecord = fc.oneof(
  fc.tuple(
    fc.constantFrom(READ, WRITE, EXEC, READ | WRITE),
    fc.nat(0xffff),
    pages,
    fc.nat(4095),
    fc.integer({ min: 1, max: 64 }),
    fc.nat(0xffff_ffff),
    fc.constant(0),
    fc.constant(0),
  ),
  fc.tuple(
    fc.integer({ min: REGION, max: HOST_UNMAP }),
    fc.nat(0xffff),
    pages,
    fc.constant(0),
    fc.nat(64),
    fc.constant(0),
    fc.oneof(fc.nat(), fc.constantFrom(2 ** 52, Infinity)),
    fc.nat(255),
  ),
);

test('our own format gives back every record there can be, however it is cut', () => {
  fc.assert(
    fc.property(
      fc.array(anyRecord, { maxLength: 60 }),
      fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 4 }),
      (records, pieces) => {
        const half = records.length >> 1;
        const trace = encode('vktrace', [batchOf(records.slice(0, half)), batchOf(records.slice(half))]);
        expect(decode('vktrace', trace, pieces)).toEqual({ records, error: null });
      },
    ),
  );
});

/** What an instruction does, in the order all formats write it down: it is fetched, it reads, it writes. */
interface Instruction {
  readonly page: number;
  readonly offset: number;
  readonly reads: readonly (readonly [page: number, offset: number])[];
  readonly writes: readonly (readonly [page: number, offset: number])[];
}

const place = fc.tuple(
  fc.oneof(fc.integer({ min: 1, max: 2 ** 35 }), fc.constant(2 ** 52 - 1)),
  fc.nat(511).map((word) => word * 8),
);
const instructions: fc.Arbitrary<Instruction[]> = fc.array(
  fc.record({
    page: fc.integer({ min: 1, max: 4 }),
    offset: fc.nat(4091),
    reads: fc.array(place, { maxLength: 4 }),
    writes: fc.array(place, { maxLength: 2 }),
  }),
  { maxLength: 40 },
);

/** The records that say what the instructions do. */
function recordsOfInstructions(program: readonly Instruction[], dataBytes: number): Record[] {
  const records: Record[] = program.length > 0 ? [[SWITCH, 0, 0, 0, 0, 0, 0, 0]] : [];
  let fetched = -1;
  let work = 0;
  const add = (kind: number, page: number, offset: number, bytes: number): void => {
    records.push([kind, 0, page, offset, bytes, work, 0, 0]);
    work = 0;
  };
  for (const { page, offset, reads, writes } of program) {
    work++;
    if (page !== fetched) add(EXEC, page, offset, 1);
    fetched = page;
    for (const [at, inPage] of reads) add(READ, at, inPage, dataBytes);
    for (const [at, inPage] of writes) add(WRITE, at, inPage, dataBytes);
  }
  if (work > 0) add(EXEC, fetched, program.at(-1)?.offset ?? 0, 1);
  return records;
}

describe.each([
  ['champsim', 8],
  ['cloudsuite', 8],
  ['drmemtrace', 8],
  ['lackey', 8],
] as const)('%s', (format, dataBytes) => {
  test('a program written and read again does the same', () => {
    fc.assert(
      fc.property(instructions, fc.integer({ min: 1, max: 100 }), (program, piece) => {
        const records = recordsOfInstructions(program, dataBytes);
        const again = decode(format, encode(format, [batchOf(records)]), [piece]);
        expect(again.error).toBeNull();
        const accesses = (list: readonly Record[]): unknown =>
          list.filter(([kind]) => kind < REGION && kind !== EXEC).map(([kind, , page, offset, bytes]) => [kind, page, offset, bytes]);
        expect(accesses(again.records)).toEqual(accesses(records));
        const work = (list: readonly Record[]): number => list.reduce((sum, record) => sum + record[5], 0);
        expect(work(again.records)).toBe(work(records));
      }),
    );
  });
});

test.each(['champsim', 'cloudsuite'] as const)('%s: what was read, written and read again is the same, record by record', (format) => {
  fc.assert(
    fc.property(instructions, (program) => {
      const records = recordsOfInstructions(
        program.map((step) => ({ ...step, reads: step.reads.slice(0, 2) })),
        8,
      );
      const once = decode(format, encode(format, [batchOf(records)])).records;
      expect(decode(format, encode(format, [batchOf(once)])).records).toEqual(once);
    }),
  );
});

test('perf gives back the pages, the kinds and the processes of all samples', () => {
  const sample = fc.tuple(
    fc.constantFrom(READ, WRITE),
    fc.nat(5),
    pages,
    fc.nat(4095),
    fc.constant(1),
    fc.constant(1),
    fc.constant(0),
    fc.constant(0),
  );
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 30 }), fc.integer({ min: 1, max: 80 }), (records, piece) => {
      const { records: again, error } = decode('perf', encode('perf', [batchOf(records)]), [piece]);
      expect(error).toBeNull();
      const spaces = [...new Set(records.map(([, space]) => space))];
      const expected = records.map(([kind, space, page, offset]) => [kind, spaces.indexOf(space), page, offset]);
      expect(again.filter(([kind]) => kind < REGION).map(([kind, space, page, offset]) => [kind, space, page, offset])).toEqual(expected);
    }),
  );
});

test.each(Object.keys(TRACE_FORMATS))('%s holds every workload: accesses in order', (format) => {
  for (const name of WORKLOAD_NAMES.filter((each) => !each.endsWith('-like'))) {
    const params =
      name === 'mix' ? { parts: 'gups,uniform', turn: 7 } : name === 'bfs' || name === 'pagerank' ? { scale: 8 } : { footprint: 2 ** 22 };
    const source = workload({ name, seed: 3, accesses: 400, params }, { end: 2 ** 47 });
    const batch = new Batch();
    source.append(batch);
    const split = recordsOf(batch).flatMap(([kind, , page, offset]) =>
      kind >= REGION
        ? []
        : (kind & 3) === 3
          ? [
              [READ, page, offset],
              [WRITE, page, offset],
            ]
          : [[kind, page, offset]],
    );
    const { records, error } = decode(format, encode(format, [batch]));
    expect(error).toBeNull();
    const again = records.flatMap(([kind, , page, offset]) =>
      kind >= REGION || kind === EXEC
        ? []
        : (kind & 3) === 3
          ? [
              [READ, page, offset],
              [WRITE, page, offset],
            ]
          : [[kind, page, offset]],
    );
    expect(again).toEqual(split);
  }
});

describe('hostile traces', () => {
  const good = Object.fromEntries(
    Object.keys(TRACE_FORMATS).map((format) => {
      const batch = new Batch();
      workload({ name: 'hashjoin', seed: 1, accesses: 60, params: { footprint: 2 ** 20 } }, { end: 2 ** 38 }).append(batch);
      return [format, encode(format, [batch])];
    }),
  );

  test.each(Object.keys(TRACE_FORMATS))('%s: any bytes end in records or in an error with its offset', (format) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(300), (bytes, keep) => {
        const trace = new Uint8Array([...good[format].subarray(0, keep), ...bytes]);
        const { error } = decode(format, trace, [64]);
        if (error !== null) {
          expect(error.offset).toBeLessThanOrEqual(trace.length);
          expect(error.message).toMatch(/^byte \d+: ./);
        }
      }),
    );
  });
  test.each(['vktrace', 'drmemtrace'])('%s: a trace cut anywhere is known to be cut', (format) => {
    for (let length = 0; length < good[format].length; length += 7) {
      expect(decode(format, good[format].subarray(0, length)).error?.message).toMatch(/breaks off/);
    }
  });
  test.each(['champsim', 'cloudsuite'])('%s: a record cut in the middle is known to be cut', (format) => {
    expect(decode(format, good[format].subarray(0, 200)).error?.message).toBe(
      format === 'champsim'
        ? 'byte 192: the trace breaks off in a record: 8 of 64 bytes'
        : 'byte 192: the trace breaks off in a record: 8 of 96 bytes',
    );
  });
  describe('of our own format whole blocks are read, and the error says how many records those have and where they end', () => {
    const blocks = [3, 1, 4096].map((count) => {
      const batch = new Batch();
      for (let i = 0; i < count; i++) batch.access(0, 7 * i, 8, READ, 8, 1);
      return batch;
    });
    const trace = encode('vktrace', blocks);
    const ends = [8];
    const whole = new DataView(trace.buffer);
    for (let at = 8; whole.getUint32(at, true) > 0; ends.push(at)) at += 12 + whole.getUint32(at, true);
    const counts = [0, 3, 4, 4100];

    /** What is read of a trace in which byte `at` is the first that is damaged or missing. */
    function wholeBefore(at: number): { readonly count: number; readonly end: number } {
      const last = ends.findLastIndex((end) => end <= at);
      return { count: counts[last], end: ends[last] };
    }

    test('cut anywhere', () => {
      for (const length of [...Array(80).keys(), ...ends, ends[3] - 1, ends[3] + 1, trace.length - 1].filter((at) => at >= 8)) {
        const { count, end } = wholeBefore(length);
        const { records, error } = decode('vktrace', trace.subarray(0, length), [13]);
        expect(error?.message).toBe(`byte ${length}: the trace breaks off: it has no end; records read: ${count}, up to byte ${end}`);
        expect(records).toHaveLength(count);
      }
    });
    test('damaged in a block', () => {
      for (const [i, end] of ends.slice(0, 3).entries()) {
        const damaged = trace.slice();
        damaged[end + 14] ^= 1;
        const { records, error } = decode('vktrace', damaged, [1000]);
        expect(error?.message).toBe(
          `byte ${end + 12}: a damaged block: its check sum is wrong; records read: ${counts[i]}, up to byte ${end}`,
        );
        expect(records).toHaveLength(counts[i]);
      }
    });
  });
  test('our own format notices every changed byte', () => {
    const trace = good['vktrace'];
    for (let at = 0; at < trace.length; at++) {
      const damaged = trace.slice();
      damaged[at] ^= 1 << (at % 8);
      expect(decode('vktrace', damaged).error, `byte ${at}`).not.toBeNull();
    }
  });
  test('a text trace without newlines is refused before it fills memory', () => {
    const endless = new Uint8Array(70_000).fill(0x20);
    for (const format of ['lackey', 'perf'])
      expect(decode(format, endless, [1000]).error?.message).toMatch(/^byte 0: a line of more than 65536 bytes/);
  });
  test.each([
    ['lackey', 'I  04001230,3\nhello\n', 'byte 14: no line of lackey: "hello"; the program\'s own output must go elsewhere'],
    ['lackey', ' L zz,8\n', 'byte 0: no line of lackey: " L zz,8"; the program\'s own output must go elsewhere'],
    [
      'perf',
      'app 12 [0] 1.0: cpu/mem-loads/P: nothing\n',
      'byte 0: no sample of perf mem: "app 12 [0] 1.0: cpu/mem-loads/P: nothing"; print at least event,addr',
    ],
  ])('%s: %j', (format, text, message) => {
    expect(decode(format, new TextEncoder().encode(text)).error?.message).toBe(message);
  });
  test('drmemtrace: a type that is none, and a file without its header', () => {
    const trace = good['drmemtrace'].slice();
    trace[12 * 5] = 0xff;
    expect(decode('drmemtrace', trace).error?.message).toBe('byte 60: no drmemtrace entry: there is no type 255');
    expect(decode('drmemtrace', good['drmemtrace'].subarray(12)).error?.message).toMatch(
      /^byte 0: a drmemtrace file begins with a header entry/,
    );
  });
});

describe('what the tools write', () => {
  const text = (...lines: string[]): Uint8Array => new TextEncoder().encode(`${lines.join('\n')}\n`);
  test('lackey: messages are skipped, an access on two pages becomes two', () => {
    const { records } = decode(
      'lackey',
      text('==12== Lackey, an example tool', 'I  04001230,3', ' L 1ffeffe7e8,8', 'I  04001233,5', ' M 0421dffc,8', 'I  04001238,2'),
    );
    expect(records).toEqual([
      [SWITCH, 0, 0, 0, 0, 0, 0, 0],
      [EXEC, 0, 0x4001, 0x230, 1, 1, 0, 0],
      [READ, 0, 0x1ffeffe, 0x7e8, 8, 0, 0, 0],
      [READ | WRITE, 0, 0x421d, 0xffc, 4, 1, 0, 0],
      [READ | WRITE, 0, 0x421e, 0, 4, 0, 0, 0],
      [EXEC, 0, 0x4001, 0x238, 1, 1, 0, 0],
    ]);
  });
  test('perf: with threads, processors, and fields behind the address', () => {
    const { records } = decode(
      'perf',
      text(
        '  app  1234/1236 [002]  5012.345678:  cpu/mem-loads,ldlat=30/P:  7f2a8c001040  |OP LOAD|LVL L1 hit  43',
        'other 77 5012.4: cpu/mem-stores/P: 0x1000',
      ),
    );
    expect(records.filter(([kind]) => kind < REGION)).toEqual([
      [READ, 0, 0x7f2a8c001, 0x40, 1, 1, 0, 0],
      [WRITE, 1, 1, 0, 1, 1, 0, 0],
    ]);
  });
  test('drmemtrace: bundles, instructions without fetch, prefetches, processes', () => {
    const entry = (type: number, size: number, address: number): number[] => [
      type & 255,
      type >> 8,
      size & 255,
      size >> 8,
      address & 255,
      (address >> 8) & 255,
      (address >> 16) & 255,
      address >>> 24,
      0,
      0,
      0,
      0,
    ];
    const trace = Uint8Array.from([
      ...entry(25, 0, 3), // header
      ...entry(28, 0, 99), // marker
      ...entry(24, 0, 4711), // process
      ...entry(47, 4, 0x12345), // encoding
      ...entry(10, 4, 0x400ffc), // instruction
      ...entry(17, 2, 0x0404), // two more, 4 bytes further each
      ...entry(29, 4, 0x401004), // one that is not fetched
      ...entry(1, 4, 0x8000), // store
      ...entry(2, 0, 0x9000), // prefetch
      ...entry(26, 0, 0), // footer
    ]);
    expect(decode('drmemtrace', trace)).toEqual({
      error: null,
      records: [
        [SWITCH, 0, 0, 0, 0, 0, 0, 0],
        [EXEC, 0, 0x400, 0xffc, 1, 1, 0, 0],
        [EXEC, 0, 0x401, 0, 1, 1, 0, 0],
        [WRITE, 0, 8, 0, 4, 2, 0, 0],
        [READ, 0, 9, 0, 1, 0, 0, 0],
      ],
    });
  });
});

test('formats are told by their first bytes, ChampSim by its name', () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  expect(guessFormat(bytes('VKTRACE1....'), 'x')).toBe('vktrace');
  expect(guessFormat(bytes('==12== Lackey\nI  04001230,3\n'), 'x')).toBe('lackey');
  expect(guessFormat(bytes('I  04001230,3\n'), 'x')).toBe('lackey');
  expect(guessFormat(bytes(' app  1234 [002] 5012.3: cpu/mem-loads/P: 7f\n'), 'x')).toBe('perf');
  expect(guessFormat(Uint8Array.of(25, 0, 0, 0, 3, 0, 0, 0), 'x')).toBe('drmemtrace');
  expect(guessFormat(Uint8Array.of(1, 2, 3, 4), 'gcc.champsim.xz')).toBe('champsim');
  expect(guessFormat(Uint8Array.of(1, 2, 3, 4), 'x.bin')).toBeNull();
});
