/**
 * Block devices: storage in blocks of a page, served in the order of the requests. Not what the blocks are used for:
 * paging is vm/swap.ts, and a device backed by a file is node/file-disk.ts.
 *
 *   submit(request) --latency + blocks * perBlock, one request after the other--> due --complete()--> request with status
 *
 * A device takes virtual time and no host time: bytes move when a due request is completed, so a request that waits
 * holds nothing but its frames, and frames named by a kernel that is itself a guest are looked up at that moment.
 *
 * Invariants (DelayedDisk.assertInvariants):
 *   D1  queued requests are due in the order they were submitted, each no earlier than the one before
 *   D2  a queued request lies within the device
 */

import { kassert } from '../base/assert.ts';
import { type HostFrame, PAGE_SIZE } from '../base/units.ts';

/** Bytes of a block: one page. */
export const BLOCK_SIZE = PAGE_SIZE;

/** The memory a device reads and writes: RAM, real or virtual. */
export interface BlockMemory {
  readonly u8: Uint8Array;
  offsetOf(frame: HostFrame): number;
}

/** A transfer of consecutive blocks, each from or into a frame of its own. */
export interface BlockRequest {
  readonly isWrite: boolean;
  /** First block. */
  readonly block: number;
  /** One frame a block; not empty. */
  readonly frames: readonly HostFrame[];
  /** Set when it is complete: blocks transferred, from the first on. Less than asked for, or an error, is a failure. */
  transferred: number;
  /** Set when it is complete: whether the device reports an error. */
  failed: boolean;
}

export interface BlockDevice {
  /** Size in blocks. */
  readonly blocks: number;
  /** Requests queued and not yet completed. */
  readonly queued: number;
  /** Queues `request` at time `now`, in ns. It must lie within the device. */
  submit(request: BlockRequest, now: number): void;
  /** When the oldest request is due, in ns; Infinity: none is queued. */
  nextCompletion(): number;
  /** Carries out the oldest request if it is due at `now`, and returns it with its status; null: none is due. */
  complete(now: number, memory: BlockMemory): BlockRequest | null;
}

/** Where the bytes of a disk are kept. */
export interface BlockStore {
  /** Fills `into`, a whole block, from `block`. @returns whether it could */
  read(block: number, into: Uint8Array): boolean;
  /** Keeps `from`, a whole block, as `block`. @returns whether it could */
  write(block: number, from: Uint8Array): boolean;
}

/** How long a request takes, in ns. */
export interface DiskTiming {
  readonly latency: number;
  readonly perBlock: number;
}

/** About a solid-state disk: 20 us to answer, 2 GB/s. */
const DEFAULT_TIMING: DiskTiming = { latency: 20_000, perBlock: 2_000 };

/** A disk that serves one request at a time from a store. */
export class DelayedDisk implements BlockDevice {
  readonly blocks: number;
  readonly #store: BlockStore;
  readonly #timing: DiskTiming;
  readonly #queue: { readonly request: BlockRequest; readonly due: number }[] = [];
  #lastDue = 0;

  constructor(store: BlockStore, blocks: number, timing: DiskTiming = DEFAULT_TIMING) {
    kassert(Number.isSafeInteger(blocks * BLOCK_SIZE) && blocks > 0, 'block device: size');
    this.#store = store;
    this.blocks = blocks;
    this.#timing = timing;
  }

  get queued(): number {
    return this.#queue.length;
  }

  submit(request: BlockRequest, now: number): void {
    const count = request.frames.length;
    kassert(count > 0 && request.block >= 0 && request.block + count <= this.blocks, 'block device: request outside');
    this.#lastDue = Math.max(now, this.#lastDue) + this.#timing.latency + count * this.#timing.perBlock;
    this.#queue.push({ request, due: this.#lastDue });
  }

  nextCompletion(): number {
    return this.#queue.length === 0 ? Infinity : this.#queue[0].due;
  }

  complete(now: number, memory: BlockMemory): BlockRequest | null {
    if (this.#queue.length === 0 || this.#queue[0].due > now) return null;
    const { request } = this.#queue[0];
    this.#queue.shift();
    request.failed = false;
    for (request.transferred = 0; request.transferred < request.frames.length; request.transferred++) {
      if (this.#transfer(request, memory)) continue;
      request.failed = true;
      break;
    }
    return request;
  }

  assertInvariants(): void {
    let before = 0;
    for (const { request, due } of this.#queue) {
      kassert(due >= before && due <= this.#lastDue, 'block device D1');
      kassert(request.block >= 0 && request.block + request.frames.length <= this.blocks, 'block device D2');
      before = due;
    }
  }

  /** Moves the next block of `request`. @returns whether the store could */
  #transfer(request: BlockRequest, memory: BlockMemory): boolean {
    const at = memory.offsetOf(request.frames[request.transferred]);
    const bytes = memory.u8.subarray(at, at + BLOCK_SIZE);
    const block = request.block + request.transferred;
    return request.isWrite ? this.#store.write(block, bytes) : this.#store.read(block, bytes);
  }
}

/** A disk whose user waits for every transfer, with nothing queued and no interrupt: what a device node is (kern/file.ts). */
export interface PolledDisk extends BlockStore {
  /** Size in blocks. */
  readonly blocks: number;
  readonly timing: DiskTiming;
}

/** A polled disk over `store`. */
export function polledDisk(store: BlockStore, blocks: number, timing: DiskTiming = DEFAULT_TIMING): PolledDisk {
  return { blocks, timing, read: (block, into) => store.read(block, into), write: (block, from) => store.write(block, from) };
}

/** A store in memory: takes room for blocks that have been written only. The others read as zero. */
export class SparseStore implements BlockStore {
  readonly #blocks = new Map<number, Uint8Array>();

  read(block: number, into: Uint8Array): boolean {
    const found = this.#blocks.get(block);
    if (found === undefined) into.fill(0);
    else into.set(found);
    return true;
  }

  write(block: number, from: Uint8Array): boolean {
    const found = this.#blocks.get(block);
    if (found === undefined) this.#blocks.set(block, from.slice());
    else found.set(from);
    return true;
  }
}

/** A disk in memory of at least `bytes`, which may be far more than there is memory: only written blocks take room. */
export function memoryDisk(bytes: number, timing?: DiskTiming): DelayedDisk {
  return new DelayedDisk(new SparseStore(), Math.ceil(bytes / BLOCK_SIZE), timing);
}

/** What is to become of a request: done, refused by the device, or only half done without an error. */
export type FaultPlan = (request: BlockRequest, nth: number) => 'done' | 'error' | 'short';

/** A device whose requests fail by a plan: for tests of everybody above. */
export class FaultyDevice implements BlockDevice {
  readonly #device: BlockDevice;
  readonly #plan: FaultPlan;
  /** Requests completed. */
  completed = 0;

  /** @param plan is asked once for each request that completes; `nth` counts them from 1 */
  constructor(device: BlockDevice, plan: FaultPlan) {
    this.#device = device;
    this.#plan = plan;
  }

  get blocks(): number {
    return this.#device.blocks;
  }

  get queued(): number {
    return this.#device.queued;
  }

  submit(request: BlockRequest, now: number): void {
    this.#device.submit(request, now);
  }

  nextCompletion(): number {
    return this.#device.nextCompletion();
  }

  /** Bytes move all the same, as they may in a device: what is not reported as transferred is garbage. */
  complete(now: number, memory: BlockMemory): BlockRequest | null {
    const request = this.#device.complete(now, memory);
    if (request === null) return null;
    this.completed++;
    const outcome = this.#plan(request, this.completed);
    if (outcome === 'done') return request;
    request.transferred = outcome === 'short' ? Math.floor(request.transferred / 2) : 0;
    request.failed = outcome === 'error';
    return request;
  }
}
