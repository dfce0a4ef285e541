/** The published counts of the fixed stream, and closed forms for what random accesses hit. */
import { beforeAll, describe, expect, test } from 'vitest';
import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_USER, compileLayout, layoutByName } from '../../../../hostkernel/machine/paging/index.ts';
import { EXEC, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  PageTables,
  STAGE_LEVELS,
  STAGE_SERVERS,
  TableMemory,
  TRANSLATED,
  Translation,
} from '../../../../hostkernel/machine/timing/index.ts';
import { bareMachine } from './bare-machine.ts';
import { type Configuration, FIRST_PAGE, fixedStream, ROWS } from './published-rows.ts';

const EVERYTHING = READ | WRITE | EXEC | ATTR_USER | ATTR_ACCESSED | ATTR_DIRTY;
const SMALL = 12;
const GUEST_TABLES = 0x10000; // frames: guest tables are allocated from byte 0x10000000 upward
const GUEST_DATA = 0x100000; //  guest data page i is at byte 0x100000000 + 4096 * i

let stream: Uint32Array;
beforeAll(() => {
  stream = fixedStream();
});

function formatOf(name: string) {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return compileLayout(layout);
}

/** A guest, its host if there is one, all tables filled, and the model of them. */
function build({ guest, host, guestShift = SMALL, hostShift = SMALL, ...machine }: Configuration, pages: number): Translation {
  const format = formatOf(guest);
  const memory = new TableMemory({ firstFrame: GUEST_TABLES });
  const tables = new PageTables(format, memory);
  const root = tables.createRoot();
  const reach = 2 ** format.pageBits;
  for (let page = 0; page < pages; page += 2 ** (guestShift - 12)) {
    tables.map(root, (FIRST_PAGE % reach) + page, GUEST_DATA + page, guestShift, EVERYTHING);
  }
  if (host === null) {
    const model = new Translation({ machine: bareMachine({ l1: 64, l2: 1536, ...machine }), dimensions: [{ format, memory }] });
    model.setSpace(0, { root });
    return model;
  }
  const hostFormat = formatOf(host);
  const hostMemory = new TableMemory({ firstFrame: 2 ** 22 });
  const hostTables = new PageTables(hostFormat, hostMemory);
  const hostRoot = hostTables.createRoot();
  const size = 2 ** (hostShift - 12);
  const mapFrom = (first: number, end: number) => {
    for (let frame = first; frame < end; frame += size) hostTables.map(hostRoot, frame, 2 ** 21 + (frame % 2 ** 20), hostShift, EVERYTHING);
  };
  mapFrom(GUEST_TABLES, memory.end / 4096);
  mapFrom(GUEST_DATA, GUEST_DATA + pages);
  const model = new Translation({
    machine: bareMachine({ l1: 64, l2: 1536, ...machine }),
    dimensions: [
      { format, memory },
      { format: hostFormat, memory: hostMemory },
    ],
  });
  model.setSpace(0, { root });
  model.setRoot(1, hostRoot);
  return model;
}

/** Runs the stream: [L1 hits, L2 hits, walks, guest references, host references for tables, for data, all]. */
function countsOf(model: Translation, pages: number): readonly number[] {
  const reach = 2 ** model.dimensions[0].format.pageBits;
  const first = FIRST_PAGE % reach;
  for (let i = 0; i < stream.length; i++) {
    if (model.access(first + (stream[i] % pages), 0, READ) !== TRANSLATED) throw new Error(`access ${i} was refused`);
  }
  const { l1, l2 } = model.tlb.counters;
  const stages = [0, 1, 2].map((stage) => {
    const size = STAGE_LEVELS * STAGE_SERVERS;
    return model.byStage.subarray(stage * size, (stage + 1) * size).reduce((sum, count) => sum + count, 0);
  });
  const { walks, references } = model.counters;
  return [l1.hits, l2.hits, walks, ...stages, references];
}

describe('the fixed stream', () => {
  test.each(ROWS)('%s', (_, pages, configuration, wanted) => {
    expect(countsOf(build(configuration, pages), pages)).toEqual(wanted);
  });

  test('all rows are there', () => {
    expect(ROWS).toHaveLength(25);
  });
});
