/** The server over a stub of the kernel and of wortel, past its bootstrap. */

import { expect } from 'vitest';
import { Tracer } from '../../../hostkernel/base/trace.ts';
import { fpage, FPAGE_NIL, fpagesCovering, type L4Wait, L4_WAIT, type Message, type ThreadId, threadId } from '../../../vkernel/l4/user.ts';
import { PHYSMEM } from '../../../vkernel/physmem/interface.ts';
import type { SwapStore } from '../../../vkernel/physmem/core/swap-store.ts';
import { PhysmemServer } from '../../../vkernel/physmem/server.ts';
import { WORTEL } from '../../../vkernel/wortel/interface.ts';
import { FakeKernel, type Reply } from '../cap/fake-l4.ts';

export const P = 4096;
export const WORTEL_THREAD = threadId(50, 1, 64);
const CAPABILITY = 3;
export const ROOT_FS = threadId(58, 5, 64);
export const OTHER = threadId(59, 6, 64);

/** What wortel gives: free memory, then capabilities. */
export interface Boot {
  readonly memory: readonly number[]; // fpages
  readonly slots?: number; // of swap space
  readonly requests: readonly { readonly task: number; readonly frames?: number; readonly pages?: readonly number[] | 'control' }[];
}

export const USUAL: Boot = {
  memory: [fpage(0, 18, 7), fpage(0x100000, 20, 7)], // 64 pages at 0, 256 at 1 MiB
  requests: [
    { task: 5, pages: 'control', frames: 100 },
    { task: 6, pages: 'control', frames: 50 },
    { task: 5, pages: fpagesCovering(0x203000, 5 * P, 7) },
    { task: 5 },
  ],
};

export interface Booted {
  readonly kernel: FakeKernel;
  readonly server: Generator<L4Wait, unknown>;
  readonly tracer: Tracer;
  readonly physmem: PhysmemServer; // the server's inside, to look at
  readonly handles: number[]; // in the order of the requests
  readonly labels: number[];
  readonly ask: (from: ThreadId, method: { readonly label: number }, ...words: number[]) => Reply;
  readonly info: () => readonly number[];
}

/** Boots a server, up to its first wait for requests. */
export function boot(script: Boot = USUAL): Booted {
  const kernel = new FakeKernel();
  const handles: number[] = [];
  const labels: number[] = [];
  const memory = [...script.memory];
  const requests = [...script.requests];
  kernel.onCall = (to, message) => {
    expect(to).toBe(WORTEL_THREAD);
    expect(message.label & 0xff).toBe(CAPABILITY);
    const label = message.label - CAPABILITY;
    labels.push(label);
    if (label === WORTEL.getCapabilityReply.label) handles.push(message.word(1));
    answer(message, label);
  };
  function answer(message: Message, label: number): void {
    message.begin(0);
    if (label === WORTEL.getMemory.label) message.appendMap(0, memory.shift() ?? FPAGE_NIL);
    if (label !== WORTEL.getCapabilityRequest.label) return;
    const request = requests.shift();
    message.append(request?.task ?? 0);
    message.append(request?.frames ?? 0);
    if (request?.pages === 'control') message.appendMap(0, FPAGE_NIL);
    else for (const page of request?.pages ?? []) message.appendMap(0, page);
  }
  const tracer = new Tracer();
  const { slots } = script;
  const swap = slots === undefined ? {} : { swap: () => swapOf(kernel, slots) };
  const options = { wortel: WORTEL_THREAD, capability: CAPABILITY, tracer, descriptorsPerPage: Number.POSITIVE_INFINITY };
  const physmem = new PhysmemServer(kernel.l4, { ...options, ...swap });
  const { value } = physmem.run().next();
  const server = value !== undefined && 'next' in value ? value : endless();
  server.next();
  const ask = (from: ThreadId, method: { readonly label: number }, ...words: number[]): Reply =>
    kernel.ask(server, from, method.label, words) ?? expect.fail('no reply');
  const info = () => ask(ROOT_FS, PHYSMEM.info, handles[3]).words;
  return { kernel, server, physmem, tracer, handles, labels, ask, info };
}

/** Swap space for the memory of the stub. */
function swapOf(kernel: FakeKernel, slots: number): SwapStore {
  const disk = new Map<number, number>();
  const move = (to: Map<number, number>, at: number, from: Map<number, number>, source: number, pages: number): number => {
    for (let i = 0; i < pages; i += 1) to.set(at + i, from.get(source + i) ?? Number.NaN);
    return 0;
  };
  return {
    slots,
    read: (slot, into, pages) => move(kernel.memory, into, disk, slot, pages),
    write: (slot, from, pages) => move(disk, slot, kernel.memory, from, pages),
  };
}

/** What is left of a server whose bootstrap has failed: it stands still. */
function* endless(): Generator<L4Wait, never> {
  for (;;) yield L4_WAIT;
}
