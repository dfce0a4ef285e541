/** Threads for tests: made by the root server, with their areas at fixed places. */
import { fpage, type L4, type L4Body, NIL, type ThreadId, threadId } from '../../../vkernel/l4/user.ts';

const KIP = fpage(0x7000_0000, 12, 0);
const UTCB_BASE = 0x7001_0000;
const UTCB = fpage(UTCB_BASE, 16, 0);

export interface TaskOptions {
  readonly space?: ThreadId; // join this thread's space
  readonly pager?: ThreadId; // default: the root server
  readonly priority?: number;
}

/** Address of UTCB slot i. */
export function utcb(i: number): number {
  return UTCB_BASE + 512 * i;
}

/** Makes an active thread. `number` counts from 0. The first of a space sets the areas. */
export function makeThread(l4: L4, number: number, task: number, options: TaskOptions = {}): ThreadId {
  const id = threadId(100 + number, task, l4.wordBits);
  const check = (done: number): void => {
    if (done !== 1) throw new Error(`control call refused: ${l4.error}`);
  };
  check(l4.threadControl(id, options.space ?? id, l4.id, NIL, -1));
  if (options.space === undefined) check(l4.spaceControl(id, 0, KIP, UTCB, NIL));
  check(l4.threadControl(id, options.space ?? id, l4.id, options.pager ?? l4.id, utcb(number)));
  if (options.priority !== undefined) check(l4.setPriority(id, options.priority));
  return id;
}

/** Makes a thread and starts `body` in it. */
export function spawn(l4: L4, number: number, task: number, body: L4Body, options: TaskOptions = {}): ThreadId {
  const id = makeThread(l4, number, task, options);
  if (l4.startBody(id, body) !== 1) throw new Error(`startBody refused: ${l4.error}`);
  return id;
}
