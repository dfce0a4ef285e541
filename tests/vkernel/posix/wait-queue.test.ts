import { expect, test } from 'vitest';
import { WaitQueue, type Waiter } from '../../../vkernel/posix/wait-queue.ts';

test('wakes who waits, each time, and nobody else', () => {
  const queue = new WaitQueue();
  const woken: string[] = [];
  const waiter = (name: string): Waiter => ({ wake: () => void woken.push(name) });
  const [one, other] = [waiter('one'), waiter('other')];
  queue.wake();
  queue.add(one);
  queue.add(one); // once is enough
  queue.add(other);
  queue.wake();
  queue.remove(one);
  queue.wake();
  queue.remove(one);
  queue.remove(other);
  queue.wake();
  expect(woken).toEqual(['one', 'other', 'other']);
});
