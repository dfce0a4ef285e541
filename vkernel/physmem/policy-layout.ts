/**
 * The policy buffer: memory that physmem and the policy server both see. Where each word is and who writes it.
 *
 *            w0 allocated     w1 guaranteed    w2 policy flags           w3 server flags
 *   row 0    N                commits          mild, for new rows        capacity log2 | overcommit | epoch    the header
 *   row t    physmem          policy           bit 0 extra, 8-31 swap    bit 0 live, 1 returning, 2 dropped    task t
 *   row 64                    commits, high    commits, high again                                             the header's rest
 *
 * A row is four 32-bit words; the row of a principal is indexed by its task id. Each word has one writer: physmem writes
 * w0 and w3, the policy server w1 and w2, and each is read and written in one access, so there are no locks. One
 * exception, where nobody else looks: physmem fills in w1 and w2 of a row before it sets its live bit.
 *
 * Used by both servers; it imports nothing. What physmem makes of the words: core/policy-buffer.ts.
 * Source: hurd-l4 design document, "virtual memory management": the tuple; the layout is ours.
 */

export const ROW_WORDS = 4;
export const WORD_BYTES = 4;
export const ROW_BYTES = ROW_WORDS * WORD_BYTES;

// Words of a row.
export const ROW_ALLOCATED = 0; //  pages charged to the principal (physmem)
export const ROW_GUARANTEED = 1; // pages it is guaranteed (policy)
export const ROW_POLICY = 2; //     POLICY_* (policy)
export const ROW_SERVER = 3; //     SERVER_* (physmem)

// w2 of a row: what the policy server says of a principal.
export const POLICY_EXTRA = 1; // it may hold extra pages
export const SWAP_QUOTA_SHIFT = 8; // bits 8-31: its swap quota
export const SWAP_QUOTA_UNIT = 16; // pages
export const MAX_SWAP_QUOTA = (2 ** 24 - 1) * SWAP_QUOTA_UNIT; // pages

// w3 of a row: what physmem says of a principal.
export const SERVER_LIVE = 1; //      the row is in use
export const SERVER_RETURNING = 2; // it has been asked for pages and has not given them yet
export const SERVER_DROPPED = 4; //   it did not give them, and has lost memory

// Words of the header.
export const HEADER_PAGES = 0; //   N: pages physmem can give out (physmem)
export const HEADER_COMMITS = 1; // bumped after each batch of changes (policy)
export const HEADER_POLICY = 2; //  HEADER_MILD (policy)
export const HEADER_SERVER = 3; //  capacity, swap failing, overcommit, epoch (physmem)

/**
 * The commit counter has 64 bits, in accesses of 32: its high word twice, in a row that no task can have (ids with six
 * low bits 0 are no versions). Written: first high word, low word, second high word. Read the other way round: where the
 * high words agree, the three are of one time; else a commit is under way, and has not been made.
 */
export const REST_ROW = 64;
export const REST_COMMITS_FIRST = 1; //  high word, written before the low one
export const REST_COMMITS_SECOND = 2; // high word, written after it

// w2 of the header.
/** A principal that misses its deadline loses what it owes and its eligibility until the next commit, not everything. */
export const HEADER_MILD = 1;
/** A principal made from now on may hold extra pages. Bits 8-31: its swap quota. Both until the policy server writes its row. */
export const HEADER_NEW_EXTRA = 2;

// w3 of the header.
export const CAPACITY_MASK = 0x1f; //  bits 0-4: log2 of the number of rows, the header among them
export const HEADER_SWAP_FAILING = 0x40; // the last page that was to go to swap space stayed in memory: the store failed
export const HEADER_OVERCOMMIT = 0x80; // a guarantee could not be raised: the sum would exceed N
export const EPOCH_SHIFT = 8; //      bits 8-31: counts how often the buffer has been replaced by a larger one

/** Rows of the smallest buffer: one page. */
export const MIN_CAPACITY_LOG2 = 8;
/** Rows of the largest: 16 MiB. A task id beyond it cannot be a principal. */
export const MAX_CAPACITY_LOG2 = 20;

/** Index of the first word of the row of a task. */
export function rowOf(task: number): number {
  return task * ROW_WORDS;
}

/** w2 of a row. @param swapPages rounded down to whole units */
export function policyWord(extra: boolean, swapPages: number): number {
  const units = Math.floor(Math.min(MAX_SWAP_QUOTA, swapPages) / SWAP_QUOTA_UNIT);
  return ((units << SWAP_QUOTA_SHIFT) | (extra ? POLICY_EXTRA : 0)) >>> 0;
}

/** w2 of the header. @param swapPages of new principals; rounded down to whole units */
export function headerPolicyWord(mild: boolean, newExtra: boolean, swapPages: number): number {
  return (policyWord(false, swapPages) | (newExtra ? HEADER_NEW_EXTRA : 0) | (mild ? HEADER_MILD : 0)) >>> 0;
}

/** w2 of a new row, as w2 of the header says. */
export function newPolicyWord(header: number): number {
  return ((header & -(2 ** SWAP_QUOTA_SHIFT)) | ((header & HEADER_NEW_EXTRA) === 0 ? 0 : POLICY_EXTRA)) >>> 0;
}

/** The swap quota in w2 of a row, in pages. */
export function swapQuotaOf(policy: number): number {
  return (policy >>> SWAP_QUOTA_SHIFT) * SWAP_QUOTA_UNIT;
}

/** w3 of the header. @param epoch modulo 2^24 */
export function headerWord(capacityLog2: number, flags: number, epoch: number): number {
  return ((epoch << EPOCH_SHIFT) | flags | capacityLog2) >>> 0;
}
