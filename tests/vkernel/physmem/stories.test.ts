/** Stories of tasks that use physmem by messages: on the real kernel with real memory, and over a stub of it. */

import { expect, test } from 'vitest';
import { EBUSY } from '../../../hostkernel/base/errno.ts';
import { Tracer } from '../../../hostkernel/base/trace.ts';
import { invoke } from '../../../vkernel/cap/rpc.ts';
import type { L4, L4Wait, ThreadId } from '../../../vkernel/l4/user.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import type { Physmem } from '../../../vkernel/physmem/core/physmem.ts';
import {
  CONTIGUOUS,
  DMA,
  FORCE_WRITE,
  MAP_READ,
  MAP_WRITE,
  PHYSMEM,
  WEAK_LOCK,
  WEAK_MAP_WRITE,
  WEAK_PIN,
} from '../../../vkernel/physmem/interface.ts';
import { memoryStore } from '../../../vkernel/physmem/memory-store.ts';
import { physmemBody } from '../../../vkernel/physmem/server.ts';
import { withRoot, WORTEL_THREAD } from '../wortel/system.ts';
import { boot, OTHER, P, ROOT_FS } from './server-rig.ts';

const RW = MAP_READ | MAP_WRITE | FORCE_WRITE;

/**
 * A task that pages itself: DATA pages of data in as many container pages as it is guaranteed, least recently used out.
 * What does not fit is put away under swap ids.
 */
class SelfPaged {
  readonly #l4: L4;
  readonly #physmem: ThreadId;
  readonly #container: number;
  readonly #window: number; // address at which container page 0 is mapped
  readonly #resident: number[] = []; // data pages, least recently used first
  readonly #place = new Map<number, number>(); // data page -> container page
  readonly #away = new Map<number, number>(); // data page -> swap id
  readonly #room: number;
  swaps = 0;

  constructor(l4: L4, physmem: ThreadId, container: number, room: number, window: number) {
    this.#l4 = l4;
    this.#physmem = physmem;
    this.#container = container;
    this.#room = room;
    this.#window = window;
  }

  /** The address of a data page, which is in memory until the next call. */
  *at(page: number): Generator<L4Wait, number> {
    const place = this.#place.get(page) ?? (yield* this.#bringIn(page));
    this.#resident.splice(this.#resident.indexOf(page), 1);
    this.#resident.push(page);
    const va = this.#window + place * P;
    expect(yield* invoke(this.#l4, this.#physmem, PHYSMEM.map, this.#container, RW, va, place * P, P)).toBe(0);
    return va;
  }

  *#bringIn(page: number): Generator<L4Wait, number> {
    const place = this.#resident.length < this.#room ? yield* this.#newPlace() : yield* this.#evict();
    const id = this.#away.get(page);
    if (id !== undefined) {
      expect(yield* invoke(this.#l4, this.#physmem, PHYSMEM.swapIn, this.#container, id, place * P, P)).toBe(0);
      this.#away.delete(page);
    }
    this.#place.set(page, place);
    this.#resident.push(page);
    return place;
  }

  *#newPlace(): Generator<L4Wait, number> {
    const place = this.#resident.length;
    expect(yield* invoke(this.#l4, this.#physmem, PHYSMEM.allocate, this.#container, 0, place * P, P)).toBe(0);
    return place;
  }

  /** Puts the least recently used page away. @returns where it was, fresh and zero now */
  *#evict(): Generator<L4Wait, number> {
    const page = this.#resident.shift() as number;
    const place = this.#place.get(page) as number;
    this.#place.delete(page);
    expect(yield* invoke(this.#l4, this.#physmem, PHYSMEM.swapOut, this.#container, place * P, P)).toBe(0);
    this.#away.set(page, this.#l4.message.word(2));
    this.swaps += 1;
    return place;
  }
}

test('O2 a task with sixteen guaranteed pages works on sixty-four, every value right, and never holds a seventeenth', () => {
  const DATA = 64;
  const GUARANTEED = 16;
  const STEPS = 500;
  const seen: { physmem?: Physmem; most: number; swaps: number } = { most: 0, swaps: 0 };
  const physmem = physmemBody({
    wortel: WORTEL_THREAD(64),
    capability: 1,
    tracer: new Tracer(),
    descriptorsPerPage: Number.POSITIVE_INFINITY,
    swap: (l4) => memoryStore(l4, 256),
    started: (core) => {
      seen.physmem = core;
    },
  });
  withRoot({ physmem }, function* ({ l4, data }) {
    const server = data.physmem;
    expect(yield* invoke(l4, server, PHYSMEM.controlSplit, data.masterControl, GUARANTEED)).toBe(0);
    const control = l4.message.word(1);
    expect(yield* invoke(l4, server, PHYSMEM.create, control)).toBe(0);
    const task = new SelfPaged(l4, server, l4.message.word(1), GUARANTEED, 0x4000_0000);
    const values = new Uint32Array(DATA);
    const bytes = new Uint8Array(4);
    const word = new DataView(bytes.buffer);
    for (let i = 1, random = 12345; i <= STEPS; i += 1) {
      random = (Math.imul(random, 1103515245) + 12345) >>> 0;
      const page = (random >>> 16) % DATA;
      const va = yield* task.at(page);
      expect(l4.tryRead(va, bytes, 0, 4)).toBe(4);
      expect(word.getUint32(0, true)).toBe(values[page]);
      word.setUint32(0, i, true);
      expect(l4.tryWrite(va, bytes, 0, 4)).toBe(4);
      values[page] = i;
      yield* invoke(l4, server, PHYSMEM.controlInfo, control);
      seen.most = Math.max(seen.most, l4.message.word(2));
    }
    seen.swaps = task.swaps;
    expect(yield* invoke(l4, server, PHYSMEM.controlDestroy, control)).toBe(0);
  });
  expect(seen.most).toBe(GUARANTEED);
  expect(seen.swaps).toBeGreaterThan(STEPS / 2);
  assertInvariants(seen.physmem as Physmem);
  expect((seen.physmem as Physmem).swap?.slots.used).toBe(0);
});

test('O5 a driver locks and pins a buffer of its client, a device writes to it, the client reads it', () => {
  const PAGES = 16; // 64K
  const booted = boot();
  const { ask, handles, kernel } = booted;
  const buffer = ask(ROOT_FS, PHYSMEM.create, handles[0]).words[0];
  expect(ask(ROOT_FS, PHYSMEM.allocate, buffer, DMA | CONTIGUOUS, 0, PAGES * P).words).toEqual([PAGES * P]);
  const driver = ask(ROOT_FS, PHYSMEM.share, buffer, 6, WEAK_MAP_WRITE | WEAK_LOCK | WEAK_PIN, 0).words[0];

  expect(ask(OTHER, PHYSMEM.lock, driver, 0, PAGES * P, 1000).label).toBe(0);
  const [amount, address, length] = ask(OTHER, PHYSMEM.pin, driver, 0, PAGES * P, 1000, MAP_WRITE).words;
  expect([amount, length, address % P]).toEqual([PAGES * P, PAGES * P, 0]);
  expect(address + length).toBeLessThanOrEqual(2 ** 24);
  for (let i = 0; i < PAGES; i += 1) kernel.memory.set(address / P + i, 700 + i); // the device
  expect(ask(ROOT_FS, PHYSMEM.deallocate, buffer, 0, P).label).toBe(EBUSY);
  expect(ask(ROOT_FS, PHYSMEM.revoke, buffer).label).toBe(EBUSY);
  expect(ask(OTHER, PHYSMEM.unpin, driver, 0, PAGES * P).label).toBe(0);
  expect(ask(OTHER, PHYSMEM.unlock, driver, 0, PAGES * P).label).toBe(0);

  const items = ask(ROOT_FS, PHYSMEM.map, buffer, MAP_READ, 0x100000, 0, PAGES * P).items;
  expect(items.map(({ fpage }) => fpage - (fpage % 1024))).toEqual([address]);
  expect(Array.from({ length: PAGES }, (_, i) => kernel.memory.get(address / P + i))).toEqual(
    Array.from({ length: PAGES }, (_, i) => 700 + i),
  );
  expect(ask(ROOT_FS, PHYSMEM.revoke, buffer).label).toBe(0);
  expect(ask(ROOT_FS, PHYSMEM.deallocate, buffer, 0, PAGES * P).words).toEqual([PAGES * P]);
  assertInvariants(booted.physmem.physmem);
});
