/**
 * The policy server's view of the policy buffer: words of its own memory, which physmem may take away at any time.
 *
 *   load32/store32 --fault--> pager thread --get-policy-buffer--> physmem --map item--> BUFFER_BASE
 *
 * physmem unmaps the buffer to replace it by a larger one. The next access faults, the pager asks for it again, and the
 * access goes on where it was: it finds the new buffer at the old address. How many rows there are is read each time.
 * Not here: what the words mean (physmem/policy-layout.ts).
 */
import { ACCEPT_UNTYPED, ANYLOCAL, fpage, type L4, type L4Wait, LABEL_PAGE_FAULT, NIL, RIGHTS_ALL, type ThreadId } from '../l4/user.ts';
import { EFAULT } from '../../hostkernel/base/errno.ts';
import { invoke } from '../cap/rpc.ts';
import { STARTUP_BASE, STARTUP_BYTES } from '../cap/startup.ts';
import {
  CAPACITY_MASK,
  HEADER_COMMITS,
  HEADER_SERVER,
  MAP_RIGHTS,
  MAX_CAPACITY_LOG2,
  PHYSMEM,
  REST_COMMITS_FIRST,
  REST_COMMITS_SECOND,
  REST_ROW,
  ROW_BYTES,
  WORD_BYTES,
} from '../physmem/interface.ts';

/** Where the buffer is mapped: a multiple of every size it may have. */
export const BUFFER_BASE = 0x4000_0000;
const BUFFER_MAX_BYTES = ROW_BYTES * 2 ** MAX_CAPACITY_LOG2;

/** What the pager thread needs to know; the policy capability comes later. */
export interface PolicyMemory {
  readonly physmem: ThreadId;
  readonly startupContainer: number; // 0: there is none
  policy: number; // handle of the policy capability
}

export class PolicyView {
  /** An access has failed: physmem does not give us the buffer (any more). From then on words read as 0. */
  lost = false;
  readonly #l4: L4;

  constructor(l4: L4) {
    this.#l4 = l4;
  }

  /** Waits: for the pager, where the buffer is not mapped. */
  *load(row: number, word: number): Generator<L4Wait, number> {
    const value = yield* this.#l4.load32(address(row, word));
    if (value >= 0) return value;
    this.lost = true;
    return 0;
  }

  /** Waits: as load does. */
  *store(row: number, word: number, value: number): Generator<L4Wait, void> {
    if ((yield* this.#l4.store32(address(row, word), value)) !== 0) this.lost = true;
  }

  /** Commits made so far. A predecessor may have gone in the middle of one: that one has then been made. */
  *commits(): Generator<L4Wait, number> {
    const high = yield* this.load(REST_ROW, REST_COMMITS_FIRST);
    return high * 2 ** 32 + (yield* this.load(0, HEADER_COMMITS));
  }

  /** Says that what was written so far belongs together. @param commits how many there are with this one */
  *commit(commits: number): Generator<L4Wait, void> {
    const high = Math.floor(commits / 2 ** 32);
    yield* this.store(REST_ROW, REST_COMMITS_FIRST, high);
    yield* this.store(0, HEADER_COMMITS, commits % 2 ** 32);
    yield* this.store(REST_ROW, REST_COMMITS_SECOND, high);
  }

  /** Gives up the mapping: the buffer is another's business now. */
  drop(): void {
    this.#l4.unmap(fpage(BUFFER_BASE, Math.log2(BUFFER_MAX_BYTES), RIGHTS_ALL), true);
  }

  /** Rows there are now, the header among them. */
  *rows(): Generator<L4Wait, number> {
    const header = yield* this.load(0, HEADER_SERVER);
    return this.lost ? 0 : 2 ** (header & CAPACITY_MASK);
  }
}

function address(row: number, word: number): number {
  return BUFFER_BASE + row * ROW_BYTES + word * WORD_BYTES;
}

/** The program of the pager thread: maps the buffer and the startup page where they are missing, and nothing else. */
export function* policyPager(l4: L4, memory: PolicyMemory): Generator<L4Wait, never> {
  const { message } = l4;
  let client: ThreadId = NIL;
  for (;;) {
    l4.acceptor = ACCEPT_UNTYPED;
    const error = yield* l4.replyWait(client, ANYLOCAL);
    client = NIL;
    const kind = message.label - LABEL_PAGE_FAULT;
    if (error !== 0 || kind < 1 || kind > 7 || message.untyped !== 2) continue;
    const from = l4.from;
    const errno = yield* resolve(l4, memory, message.word(1));
    message.begin(errno);
    client = from;
  }
}

/** Has physmem map what belongs at `va`. @returns 0, or an errno */
function* resolve(l4: L4, { physmem, policy, startupContainer }: PolicyMemory, va: number): Generator<L4Wait, number> {
  if (va >= BUFFER_BASE && va < BUFFER_BASE + BUFFER_MAX_BYTES) {
    const label = yield* invoke(l4, physmem, PHYSMEM.getPolicyBuffer, policy, BUFFER_BASE);
    return label !== 0 || va < BUFFER_BASE + l4.message.word(1) * ROW_BYTES ? label : EFAULT;
  }
  if (startupContainer !== 0 && va >= STARTUP_BASE && va < STARTUP_BASE + STARTUP_BYTES) {
    return yield* invoke(l4, physmem, PHYSMEM.map, startupContainer, MAP_RIGHTS, STARTUP_BASE, 0, STARTUP_BYTES);
  }
  return EFAULT;
}
