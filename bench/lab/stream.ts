/**
 * The behaviour of a guest as a stream of records: what its programs access, and what its kernel does to their address
 * spaces. Workloads, traces and the live system write it; methods read it. Records come in batches, struct of arrays.
 *
 *   kind   READ, WRITE, EXEC or READ|WRITE: an access of `bytes` at (page, offset); anything else is one of the controls below
 *   space  whose: an address space of the guest, 0..65535
 *   page   4 KiB page number of the address, 0 <= page < 2^52; offset: the byte in it
 *   value  of controls: see each
 *   work   instructions retired since the record before, this one's included
 *
 * Controls of programs: the modelled guest kernel answers them by writing its page tables as an operating system would,
 * on demand where pages are concerned. Controls of kernels say exactly what was written: for traces that know, and for the
 * live system, whose kernel is real.
 */
import type { Access } from '../../hostkernel/base/units.ts';

/** What a record is: READ 1, WRITE 2, EXEC 4 and their sums are accesses, these are controls. */
export const REGION = 8; //     program: `value` bytes from (page, 0) are mapped with `flags`, filled on demand
export const UNREGION = 9; //   program: `value` bytes are unmapped
export const REPERMIT = 10; //  program: `value` bytes get the permissions in `flags`
export const SWITCH = 11; //    the processor goes to `space`
export const FORK = 12; //      program: space `value` begins as a copy-on-write copy of `space`
export const END = 13; //       program: `space` is torn down
export const MAP = 14; //       kernel: the entry of 2^bytes bytes at page becomes a leaf for frame `value` with `flags` (ATTR_ bits)
export const UNMAP = 15; //     kernel: the entries of `value` bytes are cleared; nothing is invalidated
export const PROTECT = 16; //   kernel: the leaves of `value` bytes get the permissions in `flags`; nothing is invalidated
export const INVALIDATE = 17; // kernel: translations of `value` bytes are forgotten; Infinity: of the whole space
export const FAULT = 18; //     the access `flags` at (page, offset) was tried and the guest's own tables refused it; value 1: unread, as they reach no such page
export const HOST_UNMAP = 19; // the host takes `value` bytes of guest-physical memory from frame `page` on away, as swapping or sharing does

/** Flags of REGION beside READ, WRITE, EXEC. */
export const REGION_SHARED = 8; //   a fork does not copy it
export const REGION_POPULATE = 16; // filled at once

/** Records of a batch at most. */
export const BATCH_RECORDS = 4096;

export class Batch {
  count = 0;
  readonly kind = new Uint8Array(BATCH_RECORDS);
  readonly flags = new Uint8Array(BATCH_RECORDS);
  readonly bytes = new Uint8Array(BATCH_RECORDS); // of an access, 1..64; of MAP: log2 of the page size
  readonly space = new Uint16Array(BATCH_RECORDS);
  readonly offset = new Uint16Array(BATCH_RECORDS);
  readonly page = new Float64Array(BATCH_RECORDS);
  readonly value = new Float64Array(BATCH_RECORDS);
  readonly work = new Uint32Array(BATCH_RECORDS);

  get isFull(): boolean {
    return this.count === BATCH_RECORDS;
  }

  /** Appends an access. Hot. There must be room. */
  access(space: number, page: number, offset: number, kind: Access, bytes: number, work: number): void {
    const i = this.count++;
    this.kind[i] = kind;
    this.space[i] = space;
    this.page[i] = page;
    this.offset[i] = offset;
    this.bytes[i] = bytes;
    this.work[i] = work;
  }

  /** Appends a control. There must be room. */
  control(kind: number, space: number, page: number, value: number, flags = 0): void {
    const i = this.count++;
    this.kind[i] = kind;
    this.space[i] = space;
    this.page[i] = page;
    this.offset[i] = 0;
    this.bytes[i] = 0;
    this.value[i] = value;
    this.flags[i] = flags;
    this.work[i] = 0;
  }
}

/** What makes records. */
export interface RecordSource {
  /** Appends records until the batch is full or there are no more. @returns whether there may be more */
  append(batch: Batch): boolean;
}
