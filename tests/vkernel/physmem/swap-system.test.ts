/** A task on the booted system puts pages away and takes them back by requests, with all memory in use. */

import { describe, expect, test } from 'vitest';
import { EIO } from '../../../hostkernel/base/errno.ts';
import { polledDisk, SparseStore } from '../../../hostkernel/machine/index.ts';
import { type Arguments, invoke, type Method, type MethodDefinition } from '../../../vkernel/cap/rpc.ts';
import type { L4, L4Wait } from '../../../vkernel/l4/user.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import type { Physmem } from '../../../vkernel/physmem/core/physmem.ts';
import { FORCE_WRITE, MAP_READ, MAP_WRITE, PHYSMEM } from '../../../vkernel/physmem/interface.ts';
import { type SystemRun, type SystemOptions, withRoot } from '../wortel/system.ts';

const PAGE = 4096;
const AWAY = 40; // pages put away
const BASE = 0x100_0000; // where page 0 of the container is mapped

interface View {
  readonly l4: L4;
  readonly request: <D extends MethodDefinition>(method: Method<D>, ...words: Arguments<D>) => Generator<L4Wait, number>;
  /** Maps pages of the container and writes 4 bytes at the end of each. */
  readonly write: (page: number, pages: number, value: (page: number) => number) => Generator<L4Wait, void>;
  readonly read: (page: number) => Generator<L4Wait, number>;
  readonly container: number;
  readonly pages: number; // of the container: all that is to be had
}

/** Runs `program` as a task with a container that holds all memory of the system; page i holds i + 1. */
function withAllMemory(options: SystemOptions, program: (view: View) => Generator<L4Wait, void>): SystemRun {
  let core: Physmem | null = null;
  const run = withRoot({ memoryBytes: 2 ** 21, ...options, seen: (physmem) => void (core = physmem) }, function* ({ l4, data }) {
    const request: View['request'] = (method, ...words) => invoke(l4, data.physmem, method, ...words);
    expect(yield* request(PHYSMEM.controlInfo, data.masterControl)).toBe(0);
    const pages = l4.message.word(1) - 1; // its container's descriptor may take one
    expect(yield* request(PHYSMEM.create, data.masterControl)).toBe(0);
    const container = l4.message.word(1);
    expect(yield* request(PHYSMEM.allocate, container, 0, 0, pages * PAGE)).toBe(0);
    const bytes = new Uint8Array(4);
    const view = new DataView(bytes.buffer);
    const map = function* (page: number, rights: number): Generator<L4Wait, number> {
      return yield* request(PHYSMEM.map, container, rights, BASE + page * PAGE, page * PAGE, PAGE);
    };
    const write: View['write'] = function* (page, count, value) {
      for (let at = page; at < page + count; at += 1) {
        expect(yield* map(at, MAP_READ | MAP_WRITE | FORCE_WRITE)).toBe(0);
        view.setUint32(0, value(at));
        expect(l4.tryWrite(BASE + at * PAGE + PAGE - 4, bytes, 0, 4)).toBe(4);
      }
    };
    const read: View['read'] = function* (page) {
      const error = yield* map(page, MAP_READ);
      if (error !== 0) return -error;
      expect(l4.tryRead(BASE + page * PAGE + PAGE - 4, bytes, 0, 4)).toBe(4);
      return view.getUint32(0);
    };
    yield* write(0, pages, (page) => page + 1);
    yield* program({ l4, request, write, read, container, pages });
  });
  if (core !== null) assertInvariants(core);
  return run;
}

describe.each([
  ['memory', 64],
  ['a disk of the host', polledDisk(new SparseStore(), 64)],
] as const)('with swap space in %s', (_, swap) => {
  test('what was put away and displaced by new pages comes back as it was', () => {
    const run = withAllMemory({ swap }, function* ({ l4, request, write, read, container, pages }) {
      expect(yield* request(PHYSMEM.swapOut, container, 0, AWAY * PAGE)).toBe(0);
      expect(l4.message.word(1)).toBe(AWAY * PAGE);
      const id = l4.message.word(2);
      expect(l4.tryLoad32(BASE)).toBe(-1); // its mapping has gone
      expect(yield* read(3)).toBe(0);
      yield* write(0, AWAY, (page) => 1000 + page);
      // Into other places: what is there is given up.
      expect(yield* request(PHYSMEM.swapIn, container, id, AWAY * PAGE, AWAY * PAGE)).toBe(0);
      for (let page = 0; page < pages; page += 1) {
        expect(yield* read(page)).toBe(page < AWAY ? 1000 + page : page < 2 * AWAY ? page - AWAY + 1 : page + 1);
      }
    });
    const { counters, slots } = (run.physmem as Physmem).swap ?? { counters: null, slots: null };
    expect(counters?.pagesWritten).toBeGreaterThan(AWAY / 2);
    expect(counters?.pagesRead).toBe(counters?.pagesWritten);
    expect(slots?.used).toBe(0);
  });
});

test('a disk that fails: the fault is refused with EIO, and the page is there when it works again', () => {
  const kept = new SparseStore();
  let isBroken = false;
  const disk = polledDisk(
    { read: (block, into) => !isBroken && kept.read(block, into), write: (block, from) => kept.write(block, from) },
    64,
  );
  withAllMemory({ swap: disk }, function* ({ l4, request, write, read, container }) {
    expect(yield* request(PHYSMEM.swapOut, container, 0, AWAY * PAGE)).toBe(0);
    const id = l4.message.word(2);
    yield* write(0, AWAY, (page) => 1000 + page);
    expect(yield* request(PHYSMEM.swapIn, container, id, 0, AWAY * PAGE)).toBe(0);
    isBroken = true;
    const pages: number[] = [];
    for (let page = 0; page < AWAY; page += 1) pages.push(yield* read(page));
    expect(pages.every((value, page) => value === page + 1 || value === -EIO)).toBe(true); // some never went
    expect(pages).toContain(-EIO);
    isBroken = false;
    for (let page = 0; page < AWAY; page += 1) expect(yield* read(page)).toBe(page + 1);
  });
});
