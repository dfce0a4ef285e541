/** The published counts of the fixed stream once more, through the methods: what the modelled kernels lay out is what the counts assume. */
import { beforeAll, expect, test } from 'vitest';
import { guestPolicy, memoryPolicy } from '../../../../bench/lab/guest/policy.ts';
import type { Method } from '../../../../bench/lab/methods/method.ts';
import { native } from '../../../../bench/lab/methods/native.ts';
import { nested } from '../../../../bench/lab/methods/nested.ts';
import { BATCH_RECORDS, Batch, REGION, REGION_POPULATE } from '../../../../bench/lab/stream.ts';
import { READ, WRITE } from '../../../../hostkernel/base/units.ts';
import { compileLayout, type LayoutDescriptor, layoutByName, type PageTableFormat } from '../../../../hostkernel/machine/paging/index.ts';
import { bareMachine } from '../../../hostkernel/machine/timing/bare-machine.ts';
import { type Configuration, FIRST_PAGE, fixedStream, ROWS } from '../../../hostkernel/machine/timing/published-rows.ts';

let stream: Uint32Array;
beforeAll(() => {
  stream = fixedStream();
});

function formatOf(name: string): PageTableFormat {
  return compileLayout(layoutByName(name) as LayoutDescriptor);
}

function methodFor({ guest, host, guestShift = 12, hostShift = 12, ...machine }: Configuration): Method {
  const own = formatOf(guest);
  const hosts = host === null ? [] : [formatOf(host)];
  const sizeOf = (shift: number) => (shift === 12 ? '4K' : '2M');
  return (host === null ? native : nested)({
    machine: bareMachine({ l1: 64, l2: 1536, ...machine }),
    guest: own,
    hosts,
    guestPolicy: guestPolicy(own, hosts, { placement: 'linear', pageSizes: sizeOf(guestShift) }),
    hostPolicies: hosts.map((format) => memoryPolicy(format, null, { populate: true, pageSizes: sizeOf(hostShift) })),
    seed: 1,
  });
}

/** Those where page sizes or all caches matter: tables of the others are laid out the same. */
const CHOSEN = ROWS.filter(([what]) => /2M|, all$|native, PWC/.test(what));

test.each(CHOSEN)('%s', (_, pages, configuration, wanted) => {
  const method = methodFor(configuration);
  const first = FIRST_PAGE % 2 ** formatOf(configuration.guest).pageBits;
  const batch = new Batch();
  batch.control(REGION, 0, first, pages * 4096, READ | WRITE | REGION_POPULATE);
  for (let i = 0; i < stream.length; i++) {
    if (batch.count === BATCH_RECORDS) {
      method.consume(batch);
      batch.count = 0;
    }
    batch.access(0, first + (stream[i] % pages), 0, READ, 8, 1);
  }
  method.consume(batch);
  const { structures, walks, accesses, events } = method.finish();
  const stages = ['table', 'host.tables', 'host.data'].map((stage) =>
    walks.byStage.filter((one) => one.stage === stage).reduce((sum, { servedBy }) => sum + servedBy.memory, 0),
  );
  expect([structures['l1'].hits, structures['l2'].hits, walks.count, ...stages, walks.references]).toEqual(wanted);
  expect([accesses, events.guestFaults, events.hostFaults]).toEqual([stream.length, 0, 0]);
});
