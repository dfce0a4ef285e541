import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ReadyQueue } from '../../../vkernel/l4/ready-queue.ts';
import type { Space } from '../../../vkernel/l4/space.ts';
import { READY, Thread } from '../../../vkernel/l4/thread.ts';
import { threadId } from '../../../vkernel/l4/thread-id.ts';

const THREADS = 6;
const anySteps = fc.array(
  fc.record({
    kind: fc.constantFrom('add', 'addFirst', 'remove', 'take', 'take'),
    thread: fc.nat(THREADS - 1),
    priority: fc.constantFrom(0, 31, 32, 100, 255),
  }),
  { minLength: 10, maxLength: 120 },
);

/** As the reference keeps it: highest priority first, then in order. */
function place(order: Thread[], thread: Thread, first: boolean): void {
  const at = order.findIndex((other) => (first ? other.priority <= thread.priority : other.priority < thread.priority));
  order.splice(at < 0 ? order.length : at, 0, thread);
}

test('threads come by priority, and in the order of their arrival within one', () => {
  fc.assert(
    fc.property(anySteps, (steps) => {
      const queue = new ReadyQueue();
      const order: Thread[] = [];
      const space = {} as Space; // nobody looks into it
      const threads = Array.from({ length: THREADS }, (_, i) => new Thread(threadId(48 + i, 1, 64), space, threadId(48, 1, 64), 64));
      for (const thread of threads) thread.state = READY;
      for (const { kind, thread: i, priority } of steps) {
        const thread = threads[i];
        if (kind === 'take') expect(queue.take()).toBe(order.shift() ?? null);
        else if (kind === 'remove') {
          queue.remove(thread);
          if (order.includes(thread)) order.splice(order.indexOf(thread), 1);
        } else {
          if (!thread.queued) {
            thread.priority = priority;
            place(order, thread, kind === 'addFirst');
          }
          queue[kind](thread);
        }
        expect(queue.assertInvariants()).toBe(order.length);
        expect(queue.highest).toBe(order[0]?.priority ?? -1);
      }
    }),
    { numRuns: 300 },
  );
});
