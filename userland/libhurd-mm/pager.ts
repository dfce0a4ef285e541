/**
 * The pager thread of a task: receives the page faults of the task's other threads and answers each with a mapping.
 *
 *   thread --fault(address, access)--> kernel --message--> pager: MemoryManager.beginFault
 *                                                            | one request to physmem, with the mapping in its reply
 *                                                            v
 *   thread <--goes on-- kernel <--empty message-- pager: MemoryManager.finishFault
 *
 * This loop makes the request itself: a generator more would cost each fault more than its look-ups do. What takes more
 * than one request goes to MemoryManager.fault.
 * A fault that cannot be resolved is answered with an errno as label: the kernel then raises an exception in a program's
 * thread and fails the access of a server's. The pager itself always goes back to its loop.
 * Source: libhurd-mm pager.c of hurd-l4.
 */
import { ENOMEM } from '../../hostkernel/base/errno.ts';
import { type Access, PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { ACCEPT_UNTYPED, accessOf, ANYLOCAL, type L4, type L4Wait, LABEL_PAGE_FAULT, NIL, type ThreadId } from '../../vkernel/l4/user.ts';
import { FAULT_ASKS, FAULT_UNUSUAL, type MemoryManager } from './memory-manager.ts';

/**
 * The same fault this often in a row, with nothing changed in between, cannot be helped: the kernel has no memory for
 * the page tables of this mapping. (physmem may take mappings away at any time, so a few repeats are normal.)
 */
const REPEATS = 64;

/** Serves faults until the thread is deleted. */
export function* pager(l4: L4, memory: MemoryManager): Generator<L4Wait, never> {
  const { message } = l4;
  let client: ThreadId = NIL;
  let lastThread: ThreadId = NIL;
  let lastPage = -1;
  let lastAccess: Access = 0;
  let lastIp = -1;
  let generation = -1; // of the manager, after the last fault
  let repeats = 0;
  for (;;) {
    l4.acceptor = ACCEPT_UNTYPED;
    const error = client === NIL ? yield* l4.receive(ANYLOCAL) : yield* l4.replyWait(client, ANYLOCAL);
    client = NIL;
    const kind = message.label - LABEL_PAGE_FAULT;
    if (error !== 0 || kind < 1 || kind > 7 || message.untyped !== 2 || message.typed !== 0) continue; // stray messages get no answer
    const from = l4.from;
    const va = message.word(1);
    const access = accessOf(kind);
    const ip = message.word(2);
    const page = Math.floor(va / PAGE_SIZE);
    const isSame = from === lastThread && page === lastPage && access === lastAccess && ip === lastIp;
    repeats = isSame && generation === memory.generation ? repeats + 1 : 0;
    lastThread = from;
    lastPage = page;
    lastAccess = access;
    lastIp = ip;
    let errno = repeats >= REPEATS ? ENOMEM : memory.beginFault(l4, va, access);
    if (errno === FAULT_ASKS) errno = memory.finishFault(l4, yield* l4.call(memory.physmem));
    if (errno === FAULT_UNUSUAL) errno = yield* memory.fault(l4, va, access, ip);
    if (errno !== 0) repeats = 0;
    generation = memory.generation;
    message.begin(errno);
    client = from;
  }
}
