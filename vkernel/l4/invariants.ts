/**
 * Checks of the whole kernel: what must hold between its parts. For tests and crash dumps; slow.
 *
 * Invariants:
 *   I1  a thread is found under its number; its space is alive and counts it
 *   I2  a READY thread that is not halted and not running is in the ready queue, no other is
 *   I3  table frames in use = those of the spaces' tables + those of the kernel region
 * and those of ipc.ts, mapping.ts, ready-queue.ts, timer-queue.ts and the platform.
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { checkThread } from './ipc.ts';
import type { KernelState } from './state.ts';
import { READY } from './thread.ts';

export function assertKernelInvariants(state: KernelState): void {
  const { platform } = state;
  platform.assertInvariants();
  state.maps.assertInvariants(state.spaces.filter((space) => !space.idempotent));
  let tables = platform.region.framesUsed;
  for (const space of state.spaces) tables += space.guest.table.frames;
  kassert(tables === platform.image.tableFramesUsed, 'l4 I3');
  assertThreads(state);
  state.timers.assertInvariants();
}

function assertThreads(state: KernelState): void {
  const members = new Map(state.spaces.map((space) => [space, { threads: 0, active: 0 }]));
  let queued = 0;
  for (let number = 0; number < state.threads.length; number++) {
    const thread = state.threads[number];
    if (thread === null || thread === undefined) continue;
    kassert(thread.number === number && state.find(thread.id) === thread, 'l4 I1');
    const home = members.get(thread.space);
    kassert(home !== undefined && !thread.space.destroyed, 'l4 I1');
    home.threads++;
    if (thread.isActive) home.active++;
    checkThread(state, thread);
    const runnable = thread.state === READY && !thread.halted && thread !== state.current;
    kassert(thread.queued === runnable, 'l4 I2');
    if (thread.queued) queued++;
  }
  kassert(state.ready.assertInvariants() === queued, 'l4 I2');
  for (const [space, count] of members) {
    kassert(space.threads === count.threads && space.activeThreads === count.active, 'l4 I1');
  }
}
