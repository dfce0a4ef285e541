/** Methods side by side on the same records, over the real translation: what must be equal in all, and what makes each win. */
import { expect, test } from 'vitest';
import { type GuestPolicy, guestPolicy, type MemoryPolicy, memoryPolicy } from '../../../../bench/lab/guest/policy.ts';
import { agile } from '../../../../bench/lab/methods/agile.ts';
import { AGILE_POLICY } from '../../../../bench/lab/methods/agile-hypervisor.ts';
import type { Method, MethodSetup } from '../../../../bench/lab/methods/method.ts';
import { native } from '../../../../bench/lab/methods/native.ts';
import { nested } from '../../../../bench/lab/methods/nested.ts';
import { shadow } from '../../../../bench/lab/methods/shadow.ts';
import { vpagetable } from '../../../../bench/lab/methods/vpagetable.ts';
import { Batch, HOST_UNMAP, REGION, REGION_POPULATE } from '../../../../bench/lab/stream.ts';
import { workload } from '../../../../bench/lab/workloads/index.ts';
import { READ, WRITE } from '../../../../hostkernel/base/units.ts';
import { ATTR_ACCESSED, ATTR_DIRTY } from '../../../../hostkernel/machine/paging/index.ts';
import type { MachineConfig, PageTables } from '../../../../hostkernel/machine/timing/index.ts';
import { bareMachine, type BareMachine } from '../../../hostkernel/machine/timing/bare-machine.ts';
import { formatOf } from './hypervisor-rig.ts';

const COSTS: MachineConfig['events'] = {
  exit: 1500,
  inject: 500,
  shadowFill: 310,
  ptWriteEmulate: 2000,
  fault: 1000,
  syscall: 300,
  softWalkPerLevel: 30,
  pmapEnter: 310,
  ipi: 2000,
};

interface Choice {
  readonly guest: string;
  readonly hosts: readonly string[];
  readonly machine?: BareMachine;
  readonly guestPolicy?: Partial<GuestPolicy>;
  readonly hostPolicy?: Partial<MemoryPolicy>;
}

function setupOf(choice: Choice): MethodSetup {
  const guest = formatOf(choice.guest);
  const hosts = choice.hosts.map(formatOf);
  return {
    machine: { ...bareMachine(choice.machine ?? {}), events: COSTS },
    guest,
    hosts,
    guestPolicy: guestPolicy(guest, hosts, { memoryBytes: 2 ** 28, ...choice.guestPolicy }),
    hostPolicies: hosts.map((format, i) => memoryPolicy(format, hosts[i + 1] ?? null, { memoryBytes: 2 ** 29, ...choice.hostPolicy })),
    seed: 1,
  };
}

function feed(methods: readonly Method[], name: string, params: Record<string, number | string>, accesses: number): void {
  const source = workload({ name, params, seed: 7, accesses }, { end: 2 ** 38 });
  const batch = new Batch();
  for (let more = true; more; ) {
    batch.count = 0;
    more = source.append(batch);
    for (const method of methods) method.consume(batch);
  }
}

/** Every leaf of the guest's current tables: page, frame, and its accessed and dirty bits. */
function leavesOf(tables: PageTables): readonly string[] {
  const leaves: string[] = [];
  for (const root of tables.roots) {
    tables.forEachLeaf(root, (page, frame, level, attributes) => {
      leaves.push([root, page, frame, level, attributes & 7, attributes & (ATTR_ACCESSED | ATTR_DIRTY)].join(' '));
    });
  }
  return leaves;
}

test.each([
  ['sv39', 'sv48', 'remap'],
  ['sv39', 'sv48', 'fork'],
  ['x86-64-4l', 'x86-64-4l', 'protect'],
  ['sv48', 'sv48', 'exec'],
] as const)('the tables of a guest end up the same under every method, with their A and D bits: %s over %s, %s', (guest, host, kind) => {
  const setup = setupOf({ guest, hosts: [host], machine: { l1: 16, l2: 64, pwc: 8, hostPwc: 8, ntlb: 8 } });
  const methods = [native(setup), nested(setup), shadow(setup), vpagetable(setup), agile(setup)];
  feed(methods, 'pt-churn', { footprint: 2 ** 20, churned: 2 ** 18, rate: 20, batch: 8, kind }, 3000);
  const [first, ...others] = methods;
  const wanted = leavesOf(first.kernel.tables);
  for (const method of others) {
    expect(leavesOf(method.kernel.tables), method.name).toEqual(wanted);
    const { events, accesses, walks } = method.finish();
    expect(events.programErrors).toBe(0);
    expect([accesses, events.tableWrites, events.guestFaults]).toEqual([
      first.finish().accesses,
      first.finish().events.tableWrites,
      first.finish().events.guestFaults,
    ]);
    const byStage = walks.byStage.reduce((sum, { servedBy: { l1, l2, llc, memory } }) => sum + l1 + l2 + llc + memory, 0);
    expect(byStage).toBe(walks.references);
  }
});

/** References of the walk of a page that was walked before, with every TLB and cache gone. */
function referencesOf(
  method: Method & { readonly translation: { readonly counters: { readonly references: number } } },
  levels: number,
): number {
  const batch = new Batch();
  for (const page of [0, 1]) batch.access(0, page, 0, WRITE, 8, 1);
  for (let i = 0; i < 2 * levels; i++) for (const page of [0, 1]) batch.access(0, page, 0, WRITE, 8, 1);
  method.consume(batch);
  const before = method.translation.counters.references;
  batch.count = 0;
  for (const page of [0, 1]) batch.access(0, page, 0, WRITE, 8, 1);
  method.consume(batch);
  return (method.translation.counters.references - before) / 2;
}

test.each([
  ['x86-64-4l', 'x86-64-4l'],
  ['sv39', 'sv48'],
  ['sv39', 'sv39'],
  ['sv57', 'sv57'],
  ['sv48', 'ept-4l'],
] as const)('agile paging makes G + (G - s) * H references for s shadowed levels: %s over %s', (guest, host) => {
  for (let s = 0; s <= formatOf(guest).levels; s++) {
    const setup = setupOf({ guest, hosts: [host], guestPolicy: { implicitRegions: true } });
    const method = agile(setup, { ...AGILE_POLICY, levels: s, period: 1 });
    const g = setup.guest.levels;
    expect(referencesOf(method, g), `s = ${s}`).toBe(g + (g - s) * setup.hosts[0].levels);
  }
});

test('the walk of a shadow table and of a real page table is that of the host format; nested in a host of that host, two-dimensional', () => {
  for (const make of [shadow, vpagetable]) {
    const two = setupOf({ guest: 'sv39', hosts: ['sv48'], guestPolicy: { implicitRegions: true } });
    expect(referencesOf(make(two), 3)).toBe(4);
    const three = setupOf({ guest: 'sv39', hosts: ['sv39', 'sv48'], guestPolicy: { implicitRegions: true } });
    expect(referencesOf(make(three), 3)).toBe((3 + 1) * (4 + 1) - 1);
  }
  const three = setupOf({ guest: 'sv39', hosts: ['sv39', 'sv48'], guestPolicy: { implicitRegions: true } });
  expect(referencesOf(agile(three, { ...AGILE_POLICY, levels: 3, period: 1 }), 3)).toBe(3);
});

test.each([
  [shadow, 'sv39', 'armv8-64k-48', /too large/],
  [vpagetable, 'vpte-64', 'vpte-2006', /cannot forbid writing/],
  [agile, 'armv8-64k-48', 'sv48', /no entry of the shadow|no run of host memory/],
  [agile, 'sv32', 'sv48', /name frames below/],
] as const)('a pair of layouts that the method cannot join is refused, with the reason: %o', (make, guest, host, reason) => {
  expect(() => make(setupOf({ guest, hosts: [host], hostPolicy: { memoryBytes: 2 ** 36 } }))).toThrow(reason);
});

test('what the host takes away is reached again through a new frame, under every method', () => {
  const setup = setupOf({ guest: 'sv39', hosts: ['sv39'], machine: { l1: 64, pwc: 8, hostPwc: 8, ntlb: 8 } });
  for (const method of [nested(setup), shadow(setup), vpagetable(setup), agile(setup, { ...AGILE_POLICY, levels: 3, period: 1 })]) {
    const batch = new Batch();
    batch.control(REGION, 0, 0, 16 * 4096, READ | WRITE | REGION_POPULATE);
    for (let round = 0; round < 3; round++) for (let page = 0; page < 16; page++) batch.access(0, page, 0, WRITE, 8, 1);
    method.consume(batch);
    const [host] = method.hosts;
    const { tables } = method.kernel;
    const root = method.kernel.space(0)?.root ?? -1;
    expect(tables.find(root, 5)).toBe(true);
    const gone = tables.frame;
    const before = host.frameOf(gone);
    const other = new Batch();
    other.control(HOST_UNMAP, 0, gone, 4096);
    other.control(REGION, 0, 32, 4096, READ | WRITE);
    other.access(0, 32, 0, WRITE, 8, 1); // takes the frame that has become free
    other.access(0, 5, 0, WRITE, 8, 1);
    method.consume(other);
    expect(host.frameOf(gone), method.name).not.toBe(before);
    expect(method.translation.frame).toBe(host.frameOf(gone));
    expect(method.finish().events.hostUnmaps).toBe(1);
  }
});
