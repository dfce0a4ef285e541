/** A guest does not notice its host: natively and nested, two levels deep or three, it has the same tables and the same faults. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LabError } from '../../../../bench/lab/guest/lab-error.ts';
import type { GuestKernel } from '../../../../bench/lab/guest/kernel.ts';
import { guestPolicy, memoryPolicy } from '../../../../bench/lab/guest/policy.ts';
import type { Method, MethodSetup } from '../../../../bench/lab/methods/method.ts';
import { native } from '../../../../bench/lab/methods/native.ts';
import { nested } from '../../../../bench/lab/methods/nested.ts';
import {
  Batch,
  END,
  FAULT,
  FORK,
  HOST_UNMAP,
  INVALIDATE,
  MAP,
  PROTECT,
  REGION,
  REPERMIT,
  SWITCH,
  UNMAP,
  UNREGION,
} from '../../../../bench/lab/stream.ts';
import { READ, WRITE } from '../../../../hostkernel/base/units.ts';
import {
  ATTR_USER,
  compileLayout,
  type LayoutDescriptor,
  layoutByName,
  type PageTableFormat,
} from '../../../../hostkernel/machine/paging/index.ts';
import { bareMachine } from '../../../hostkernel/machine/timing/bare-machine.ts';

const ALL_CACHES = bareMachine({ l1: 4, l2: 16, pwc: 4, hostPwc: 4, ntlb: 4 });

function formatOf(name: string): PageTableFormat {
  return compileLayout(layoutByName(name) as LayoutDescriptor);
}

interface Stack {
  readonly guest: string;
  readonly hosts: readonly string[];
  readonly pageSizes?: string;
  readonly isTrace?: boolean;
}

function setupOf({ guest, hosts: names, pageSizes = 'base', isTrace = false }: Stack): MethodSetup {
  const own = formatOf(guest);
  const hosts = names.map(formatOf);
  return {
    machine: ALL_CACHES,
    guest: own,
    hosts,
    guestPolicy: guestPolicy(own, hosts, { pageSizes, memoryBytes: 2 ** 26, implicitRegions: isTrace }),
    hostPolicies: hosts.map((format, i) => memoryPolicy(format, hosts[i + 1] ?? null, { placement: 'scattered', memoryBytes: 2 ** 28 })),
    seed: 3,
  };
}

/** Every leaf of every space, accessed and dirty bits included. */
function leavesOf(kernel: GuestKernel): readonly string[] {
  const leaves: string[] = [];
  for (const [space, { root }] of kernel.spaces) {
    kernel.tables.forEachLeaf(root, (page, frame, level, attributes) => leaves.push([space, page, frame, level, attributes].join(' ')));
  }
  return leaves;
}

/** Gives `records` to a method, one at a time. @returns what it said to each that it refused */
function feed(method: Method, records: readonly Batch[]): readonly string[] {
  return records.map((batch) => {
    try {
      method.consume(batch);
      return '';
    } catch (error) {
      if (error instanceof LabError) return error.message;
      throw error;
    }
  });
}

function one(fill: (batch: Batch) => void): Batch {
  const batch = new Batch();
  fill(batch);
  return batch;
}

const WINDOW = 0x200;
const page = fc.integer({ min: WINDOW, max: WINDOW + 60 });
const space = fc.nat(1);
const bytes = fc.integer({ min: 1, max: 40 * 4096 });
const rights = fc.constantFrom(READ, READ | WRITE, READ | WRITE, 0);
const control = (kind: number) => fc.record({ kind: fc.constant(kind), space, page, value: bytes, flags: rights });
const record = fc.oneof(
  { weight: 2, arbitrary: control(REGION) },
  { weight: 1, arbitrary: control(UNREGION) },
  { weight: 1, arbitrary: control(REPERMIT) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom(FORK, END, SWITCH), space, page, value: fc.nat(2), flags: rights }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant(HOST_UNMAP),
      space,
      page: fc.constantFrom(0x10000, 0x40000, 0x100000),
      value: bytes,
      flags: rights,
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constantFrom(READ, WRITE, READ | WRITE), space, page, value: fc.constant(0), flags: rights }),
  },
);

const STACKS: readonly Stack[] = [
  { guest: 'sv39', hosts: ['sv39x4'] },
  { guest: 'x86-64-4l', hosts: ['ept-4l'], pageSizes: 'thp' },
  { guest: 'sv48', hosts: ['armv8-64k-48'] },
  { guest: 'i386-2l', hosts: ['sv39x4', 'ept-4l'] },
  { guest: 'vpte-64', hosts: ['sv48', 'x86-64-5l'] },
  { guest: 'armv8-4k-39', hosts: ['power-radix-4k'], pageSizes: '64K' },
];

describe('the same guest natively and nested', () => {
  test.each(STACKS)('$guest under $hosts', (stack) => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 20, maxLength: 80, size: 'max' }), (records) => {
        const setup = setupOf(stack);
        const alone = native({ ...setup, hosts: [], hostPolicies: [] });
        const guest = nested(setup);
        const batches = [
          one((batch) => batch.control(REGION, 0, WINDOW, 50 * 4096, READ | WRITE)),
          ...records.map(({ kind, space, page, value, flags }) =>
            one((batch) => (kind < REGION ? batch.access(space, page, 4090, kind, 8, 1) : batch.control(kind, space, page, value, flags))),
          ),
        ];
        expect(feed(guest, batches)).toEqual(feed(alone, batches));
        expect(leavesOf(guest.kernel)).toEqual(leavesOf(alone.kernel));
        guest.kernel.assertInvariants();
        for (const host of guest.hosts) host.assertInvariants();
        const [a, b] = [alone.finish(), guest.finish()];
        const faults = ({ events }: typeof a) => [
          events.guestFaults,
          events.programErrors,
          events.tableWrites,
          events.switches,
          events.touched,
        ];
        expect(faults(b)).toEqual(faults(a));
        expect(a.events.hostFaults + a.events.exits + a.events.hostUnmaps).toBe(0);
        const stages = b.walks.byStage.reduce((sum, { servedBy }) => sum + servedBy.memory, 0);
        expect(stages).toBe(b.walks.references);
      }),
      { numRuns: 6 },
    );
  });
});

describe('records of a real kernel', () => {
  test('are taken as they are: its faults are told, its entries written', () => {
    const guest = nested(setupOf({ guest: 'sv39', hosts: ['sv39x4'] }));
    const batch = new Batch();
    batch.control(SWITCH, 5, 0, 0);
    batch.control(FAULT, 5, 0x77, 0, READ);
    batch.control(MAP, 5, 0x77, 0x1234, READ | ATTR_USER);
    batch.bytes[batch.count - 1] = 12;
    batch.access(5, 0x77, 8, READ, 8, 1);
    batch.control(FAULT, 5, 0x77, 0, WRITE);
    batch.control(PROTECT, 5, 0x77, 4096, READ | WRITE | ATTR_USER);
    batch.control(INVALIDATE, 5, 0x77, 4096);
    batch.access(5, 0x77, 8, WRITE, 8, 1);
    batch.control(UNMAP, 5, 0x77, 4096);
    batch.control(INVALIDATE, 5, 0, Infinity);
    batch.access(5, 0x77, 8, READ, 8, 1); // nobody said that it would fault
    guest.consume(batch);
    const { events } = guest.finish();
    expect(events).toMatchObject({ guestFaults: 3, programErrors: 1, invalidations: 2, touched: 1 });
    expect(guest.hosts[0].frameOf(0x1234)).toBeGreaterThan(0);
    expect(guest.kernel.frames.taken).toBe(0);
  });
});

describe('whatever a batch says', () => {
  const number = fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 0, max: 0x300 }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(Number.NaN, -1, 0.5, Infinity, -Infinity, 2 ** 52 - 1, 2 ** 52, 2 ** 64, 4096, 2 ** 36, 2 ** 47),
    },
    { weight: 1, arbitrary: fc.double() },
  );
  const anything = fc.record({
    kind: fc.nat(25),
    flags: fc.oneof(fc.nat(31), fc.nat(255)),
    bytes: fc.oneof(fc.constant(12), fc.nat(255)),
    space: fc.oneof(fc.nat(2), fc.nat(65535)),
    offset: fc.oneof(fc.nat(4095), fc.nat(65535)),
    page: number,
    value: number,
    work: fc.nat(),
  });
  const fields = ['kind', 'flags', 'bytes', 'space', 'offset', 'page', 'value', 'work'] as const;

  test.each([
    { guest: 'sv39', hosts: ['sv39x4'], isTrace: false },
    { guest: 'x86-64-4l', hosts: ['ept-4l'], isTrace: true, pageSizes: 'thp' },
    { guest: 'sparc-srmmu', hosts: ['armv7-short', 'sv39x4'], isTrace: true },
  ])('$guest under $hosts, implicit regions: $isTrace', (stack) => {
    fc.assert(
      fc.property(fc.array(anything, { minLength: 10, maxLength: 60, size: 'max' }), (records) => {
        const guest = nested(setupOf(stack));
        const batches = records.map((record) =>
          one((batch) => {
            batch.count = 1;
            for (const field of fields) batch[field][0] = record[field];
          }),
        );
        feed(guest, batches);
        guest.kernel.assertInvariants();
        for (const host of guest.hosts) host.assertInvariants();
      }),
      { numRuns: 12 },
    );
  });

  test('the error says which record it was, and those before it have been taken', () => {
    const guest = native({ ...setupOf({ guest: 'sv39', hosts: [] }), hosts: [], hostPolicies: [] });
    const batch = new Batch();
    batch.control(REGION, 0, WINDOW, 4096, READ);
    guest.consume(batch);
    batch.count = 0;
    batch.access(0, WINDOW, 0, READ, 8, 1);
    batch.control(UNREGION, 9, WINDOW, 4096);
    batch.access(0, WINDOW, 0, READ, 8, 1);
    expect(() => guest.consume(batch)).toThrow(expect.objectContaining({ name: 'LabError', record: 2, message: 'space 9: there is none' }));
    expect(guest.finish()).toMatchObject({ records: 2, accesses: 1 });
  });
});
