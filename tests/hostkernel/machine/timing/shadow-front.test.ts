/** A walk that begins in a shadow table and goes on in the guest's own: agile paging's references, by where it switches. */
import { describe, expect, test } from 'vitest';
import { EXEC, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_USER, compileLayout, SV48 } from '../../../../hostkernel/machine/paging/index.ts';
import {
  FRONT,
  PageTables,
  REFUSED,
  type ShadowFront,
  TableMemory,
  TRANSLATED,
  Translation,
} from '../../../../hostkernel/machine/timing/index.ts';
import { type BareMachine, bareMachine } from './bare-machine.ts';

const EVERYTHING = READ | WRITE | EXEC | ATTR_USER | ATTR_ACCESSED | ATTR_DIRTY;
const format = compileLayout(SV48);
const PAGE = 5;
const [GUEST_TABLES, HOST_OFFSET] = [0x1000, 0x4000];

/** A shadow table whose entries on the level above `shadowed` levels name the guest's table; 4: all is shadowed. */
class SwitchAt implements ShadowFront {
  readonly format = format;
  readonly memory: TableMemory;
  hostTable = 0;
  guestTable = 0;
  readonly #level: number; // of the guest's table, -1: never
  readonly #table: number;

  constructor(memory: TableMemory, level: number, table: number) {
    this.memory = memory;
    this.#level = level;
    this.#table = table;
  }

  guestLevel(level: number, lo: number): number {
    if (lo !== SWITCH || level !== this.#level + 1) return -1;
    this.guestTable = this.#table;
    this.hostTable = this.#table + HOST_OFFSET * 4096;
    return this.#level;
  }
}
const SWITCH = 0x100; // an invalid entry with a bit that belongs to software

function modelOf(shadowedLevels: number, machine: BareMachine = {}): Translation {
  const guest = new PageTables(format, new TableMemory({ firstFrame: GUEST_TABLES }));
  const root = guest.createRoot();
  guest.map(root, PAGE, 7, 12, EVERYTHING);
  const host = new PageTables(format, new TableMemory({ firstFrame: 2 ** 16 }));
  const hostRoot = host.createRoot();
  for (const frame of [7, ...Array.from({ length: 8 }, (_, i) => GUEST_TABLES + i)])
    host.map(hostRoot, frame, frame + HOST_OFFSET, 12, EVERYTHING);
  const shadow = new PageTables(format, new TableMemory({ firstFrame: 2 ** 17 }));
  const shadowRoot = shadow.createRoot();
  const level = 3 - shadowedLevels; // of the guest's table that the walk goes on in
  let front = new SwitchAt(shadow.memory, -1, 0);
  if (shadowedLevels === 4) shadow.map(shadowRoot, PAGE, 7 + HOST_OFFSET, 12, EVERYTHING);
  else if (shadowedLevels > 0) {
    shadow.writeEntry(shadowRoot, level + 1, shadow.makeEntryAt(shadowRoot, level + 1, PAGE), 0, SWITCH, 0);
    const table = guest.entryAt(root, level, PAGE);
    front = new SwitchAt(shadow.memory, level, table - (table % 4096));
  }
  const model = new Translation({ machine: bareMachine(machine), dimensions: [guest, host], front });
  const hostRootOf = shadowedLevels === 0 ? { hostRoot: root + HOST_OFFSET * 4096 } : {};
  model.setSpace(0, { root, ...hostRootOf, ...(shadowedLevels > 0 ? { shadowRoot } : {}) });
  model.setRoot(1, hostRoot);
  return model;
}

describe('references by the levels that are shadowed, four levels each', () => {
  test.each([
    [4, 4],
    [3, 8],
    [2, 12],
    [1, 16],
    [0, 20],
    [-1, 24],
  ])('%i: %i', (shadowedLevels, references) => {
    const model = modelOf(shadowedLevels);
    expect(model.walk(PAGE, 0, READ)).toBe(TRANSLATED);
    expect([model.frame, model.counters.references]).toEqual([7 + HOST_OFFSET, references]);
    expect(model.counters.switched).toBe(shadowedLevels > 0 && shadowedLevels < 4 ? 1 : 0);
  });
});

test('a pointer of the guest’s own table that the walk cache knows goes before the shadow table', () => {
  const model = modelOf(2, { pwc: 4 });
  model.walk(PAGE, 0, READ);
  const before = model.counters.references;
  expect(model.walk(PAGE, 0, READ)).toBe(TRANSLATED);
  expect(model.counters.references - before).toBe(4 + 1 + 4); // one entry of the guest, translated, and the page
  expect(model.counters.switched).toBe(1);
});

test('an entry of the shadow table that says nothing is its refusal', () => {
  const model = modelOf(4);
  expect(model.access(PAGE + 1, 0, READ)).toBe(REFUSED);
  expect([model.refusedDimension, model.refusedLevel]).toEqual([FRONT, 0]);
});

test('a recorder gets the latency of every reference by the levels of both dimensions', () => {
  const model = modelOf(-1);
  let sum = 0;
  let cells = 0;
  model.recorder = {
    walked: (_space, _page, _access, latencies, columns) => {
      expect([latencies.length, columns]).toEqual([25, 5]);
      cells = latencies.filter((cycles) => cycles > 0).length;
      sum = latencies.reduce((total, cycles) => total + cycles, 0);
    },
  };
  model.walk(PAGE, 0, READ);
  expect([sum, cells]).toEqual([24, 24]);
});
