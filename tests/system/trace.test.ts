/** Trace events of a whole run belong together: what one layer says, the others confirm. */
import { expect, test } from 'vitest';
import { type TraceEvents, Tracer } from '../../hostkernel/base/trace.ts';
import { run } from './stack-run.ts';

/** Every event of a run of hello, by kind. */
function events(): { [K in keyof TraceEvents]: TraceEvents[K][] } {
  const seen: { [K in keyof TraceEvents]: TraceEvents[K][] } = {
    fault: [],
    walk: [],
    map: [],
    unmap: [],
    ipc: [],
    rpc: [],
    syscall: [],
    switch: [],
  };
  const tracer = new Tracer();
  for (const [kind, list] of Object.entries(seen)) Object.assign(tracer, { [kind]: (event: never) => void list.push(event) });
  const { stats, failure } = run({ xlen: 64, mmu: 'sv39', vpte: 'vpte-64-nx', programs: [['hello', 'x']], tracer });
  expect(failure).toBeNull();
  expect(seen.walk.length).toBe(stats.vpteWalks);
  expect(seen.fault.filter(({ layer }) => layer === 'host').length).toBe(stats.hostFaults);
  expect(seen.fault.filter(({ layer }) => layer === 'guest').length).toBe(stats.guestFaults);
  expect(seen.ipc.length).toBe(stats.ipcs);
  expect(seen.syscall.length).toBe(stats.guestSyscalls);
  return seen;
}

const seen = events();

test('each switch leaves the thread the last one entered', () => {
  expect(seen.switch.length).toBeGreaterThan(100);
  seen.switch.forEach(({ from }, i) => expect(from).toBe(i === 0 ? 0 : seen.switch[i - 1]?.to));
});

test('a program writes through one system call and ends by another', () => {
  const names = seen.syscall.map(({ name }) => name);
  expect(names).toContain('writev');
  expect(names.at(-1)).toBe('exit_group');
});

test('every request of the pager to physmem is a message there and one back', () => {
  const requests = seen.rpc.filter(({ server }) => server === 'physmem');
  expect(requests.length).toBeGreaterThan(10);
  for (const { client } of requests) {
    const sent = seen.ipc.filter(({ from }) => from === client).length;
    expect(sent).toBeGreaterThanOrEqual(requests.filter((one) => one.client === client).length);
  }
});
