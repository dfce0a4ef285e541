import { expect, test } from 'vitest';
import {
  ANY,
  ERROR_INVALID_PARAMETER,
  ERROR_INVALID_SCHEDULER,
  ERROR_INVALID_SPACE,
  ERROR_INVALID_THREAD,
  ERROR_KIP_AREA,
  ERROR_NO_PRIVILEGE,
  ERROR_UTCB_AREA,
  fpage,
  type L4,
  type L4Wait,
  NIL,
  type ThreadId,
  threadId,
  timeout,
  XR_HANDLE,
  XR_PAGER,
} from '../../../vkernel/l4/user.ts';
import { boot } from './boot.ts';
import { makeThread, spawn, utcb } from './tasks.ts';

function run(root: (l4: L4) => Generator<L4Wait, void, void>): string[] {
  const { result, log } = boot(function* (l4) {
    yield* root(l4);
    l4.shutdown('end of test');
  });
  expect(result.report).toEqual(['end of test']);
  return log;
}

const KIP = fpage(0x7000_0000, 12, 0);
const UTCB = fpage(0x7001_0000, 16, 0);
const id = (number: number, task: number): ThreadId => threadId(number, task, 64);
const invalid = (value: number): ThreadId => value as ThreadId;

test('threadControl refuses with the right code, and changes nothing', () => {
  run(function* (l4) {
    const refused = (dest: ThreadId, space: ThreadId, scheduler: ThreadId, pager: ThreadId, slot = -1): number => {
      expect(l4.threadControl(dest, space, scheduler, pager, slot)).toBe(0);
      return l4.error;
    };
    const a = makeThread(l4, 0, 7);
    const fresh = id(200, 9);
    expect(refused(invalid(5), a, l4.id, NIL)).toBe(ERROR_INVALID_THREAD); // an interrupt's id
    expect(refused(invalid(200 * 2 ** 32 + 64), fresh, l4.id, NIL)).toBe(ERROR_INVALID_THREAD); // a local id's version
    expect(refused(invalid(2 ** 52 + 1), fresh, l4.id, NIL)).toBe(ERROR_INVALID_THREAD); // thread number out of range
    expect(refused(ANY, fresh, l4.id, NIL)).toBe(ERROR_INVALID_THREAD);
    expect(refused(fresh, NIL, NIL, NIL)).toBe(ERROR_INVALID_THREAD); // delete what is not there
    expect(refused(l4.id, NIL, NIL, NIL)).toBe(ERROR_INVALID_THREAD); // delete oneself
    expect(refused(id(48, 1), NIL, NIL, NIL)).toBe(ERROR_INVALID_THREAD); // delete sigma0
    expect(refused(id(100, 8), NIL, NIL, NIL)).toBe(ERROR_INVALID_THREAD); // wrong version
    expect(refused(fresh, id(222, 9), l4.id, NIL)).toBe(ERROR_INVALID_SPACE); // joins nobody
    expect(refused(fresh, fresh, l4.id, l4.id)).toBe(ERROR_INVALID_SPACE); // a new space has no areas yet
    expect(refused(fresh, fresh, NIL, NIL)).toBe(ERROR_INVALID_SCHEDULER);
    expect(refused(fresh, a, id(222, 9), NIL)).toBe(ERROR_INVALID_SCHEDULER);
    expect(refused(fresh, a, l4.id, invalid(64))).toBe(ERROR_INVALID_PARAMETER);
    expect(refused(fresh, a, l4.id, l4.id)).toBe(ERROR_UTCB_AREA); // active without a slot
    expect(refused(fresh, a, l4.id, l4.id, utcb(0))).toBe(ERROR_UTCB_AREA); // slot of an active thread
    expect(refused(fresh, a, l4.id, l4.id, utcb(1) + 4)).toBe(ERROR_UTCB_AREA); // misaligned
    expect(refused(fresh, a, l4.id, l4.id, 0x6000_0000)).toBe(ERROR_UTCB_AREA); // outside the area
    expect(refused(a, a, NIL, NIL, utcb(5))).toBe(ERROR_UTCB_AREA); // slot of an active thread does not change
    expect(l4.threadControl(fresh, a, l4.id, l4.id, utcb(1))).toBe(1);
    expect(l4.threadControl(a, a, NIL, NIL, utcb(0))).toBe(1); // the same slot again
  });
});

test('only the root server and sigma0 may make privileged calls', () => {
  run(function* (l4) {
    const errors: number[] = [];
    spawn(l4, 0, 7, function* (b) {
      b.threadControl(id(200, 9), id(200, 9), b.id, NIL, -1);
      errors.push(b.error);
      b.spaceControl(b.id, 0, KIP, UTCB, NIL);
      errors.push(b.error);
      b.shutdown('mine');
      errors.push(b.error);
    });
    yield* l4.sleep(10);
    expect(errors).toEqual([ERROR_NO_PRIVILEGE, ERROR_NO_PRIVILEGE, ERROR_NO_PRIVILEGE]);
  });
});

test('a thread goes from inactive to active to deleted', () => {
  run(function* (l4) {
    const thread = id(200, 9);
    expect(l4.threadControl(thread, thread, l4.id, NIL, -1)).toBe(1);
    expect(yield* l4.send(thread)).not.toBe(0); // inactive: no partner
    expect(l4.spaceControl(thread, 0, KIP, UTCB, NIL)).toBe(1);
    expect(l4.threadControl(thread, thread, l4.id, l4.id, utcb(3))).toBe(1);
    expect(l4.threadControl(thread, NIL, NIL, NIL, -1)).toBe(1);
    expect(l4.threadControl(thread, NIL, NIL, NIL, -1)).toBe(0);
    expect(l4.error).toBe(ERROR_INVALID_THREAD);
  });
});

test('a renamed thread answers to its new id only', () => {
  run(function* (l4) {
    let seen: ThreadId = NIL;
    const old = spawn(l4, 0, 7, function* (b) {
      yield* b.receive(ANY);
      seen = b.id;
    });
    yield* l4.sleep(10);
    const renamed = id(100, 8);
    expect(l4.threadControl(renamed, renamed, NIL, NIL, -1)).toBe(1);
    expect(yield* l4.send(old, timeout(10))).not.toBe(0);
    expect(yield* l4.send(renamed)).toBe(0);
    yield* l4.sleep(10);
    expect(seen).toBe(renamed);
  });
});

test('spaceControl checks both areas; a space with active threads keeps its own', () => {
  run(function* (l4) {
    const thread = id(200, 9);
    l4.threadControl(thread, thread, l4.id, NIL, -1);
    const refused = (kip: number, area: number, space = thread): number => {
      expect(l4.spaceControl(space, 0, kip, area, NIL)).toBe(0);
      return l4.error;
    };
    expect(refused(KIP, UTCB, id(222, 3))).toBe(ERROR_INVALID_SPACE);
    expect(refused(fpage(0x7000_0000, 11, 0), UTCB)).toBe(ERROR_KIP_AREA);
    expect(refused(0, UTCB)).toBe(ERROR_KIP_AREA);
    expect(refused(fpage(2 ** 46, 12, 0), UTCB)).toBe(ERROR_KIP_AREA);
    expect(refused(KIP, fpage(0x7001_0000, 11, 0))).toBe(ERROR_UTCB_AREA);
    expect(refused(KIP, fpage(0x7000_0000, 16, 0))).toBe(ERROR_UTCB_AREA); // overlaps
    expect(l4.spaceControl(thread, 0, KIP, UTCB, NIL)).toBe(1);
    expect(l4.threadControl(thread, thread, l4.id, l4.id, utcb(0))).toBe(1);
    expect(l4.spaceControl(thread, 0, 0, 0, NIL)).toBe(1); // left alone
  });
});

test('a task that ends gives back page tables and frames, also of the tasks it mapped to', () => {
  let tables = -1;
  run(function* (l4) {
    for (let round = 0; round < 3; round++) {
      const child = spawn(l4, 1, 8, function* (b) {
        b.acceptor = 0x10;
        yield* b.receive(ANY);
        for (;;) yield* b.receive(ANY);
      });
      const parent = spawn(l4, 0, 7, function* (b) {
        for (let i = 0; i < 8; i++) expect(yield* b.store32(0x40_0000 * (i + 1), i)).toBe(0);
        b.message.begin(0);
        b.message.appendMap(0x40_0000, fpage(0x40_0000, 12, 7));
        yield* b.send(child);
        yield* b.receive(l4.id);
      });
      for (let i = 0; i < 8; i++) {
        yield* l4.receive(parent);
        const va = Math.floor(l4.message.word(1) / 4096) * 4096;
        yield* l4.touch(0x200000 + 4096 * i, 3);
        l4.message.begin(0);
        l4.message.appendMap(va, fpage(0x200000 + 4096 * i, 12, 6));
        yield* l4.send(parent);
      }
      yield* l4.sleep(50);
      expect(l4.threadControl(parent, NIL, NIL, NIL, -1)).toBe(1);
      expect(l4.unmap(fpage(0x200000, 15, 0), false) & 6).toBe(6); // its writes are known above
      expect(l4.threadControl(child, NIL, NIL, NIL, -1)).toBe(1);
    }
    tables = 0;
  });
  expect(tables).toBe(0);
});

test('exchangeRegisters changes handle and pager of a local thread only', () => {
  run(function* (l4) {
    const a = spawn(l4, 0, 7, function* (b) {
      yield* b.receive(ANY);
    });
    yield* l4.sleep(10);
    expect(l4.exchangeRegisters(a, XR_HANDLE, 0, 0, 0, 5, NIL)).toBe(null);
    expect(l4.error).toBe(ERROR_INVALID_THREAD);
    expect(l4.exchangeRegisters(l4.id, XR_HANDLE | XR_PAGER, 0, 0, 0, 5, a)?.handle).toBe(0);
    const old = l4.exchangeRegisters(l4.id, 0, 0, 0, 0, 0, NIL);
    expect([old?.handle, old?.pager]).toEqual([5, a]);
  });
});

test('setPriority: only the scheduler, only 0 to 255', () => {
  run(function* (l4) {
    const errors: number[] = [];
    const a = spawn(l4, 0, 7, function* (b) {
      b.setPriority(b.id, 200);
      errors.push(b.error);
    });
    yield* l4.sleep(10);
    expect(errors).toEqual([ERROR_NO_PRIVILEGE]);
    expect(l4.setPriority(a, 256)).toBe(0);
    expect(l4.error).toBe(ERROR_INVALID_PARAMETER);
    expect(l4.setPriority(a, 3)).toBe(1);
    expect(l4.setPriority(id(250, 3), 3)).toBe(0);
    expect(l4.error).toBe(ERROR_INVALID_THREAD);
  });
});

test('startBody: a thread gets one program, and only from whom it belongs to', () => {
  run(function* (l4) {
    const victim = makeThread(l4, 1, 8);
    const errors: number[] = [];
    spawn(l4, 0, 7, function* (b) {
      b.startBody(victim, function* () {});
      errors.push(b.error);
    });
    yield* l4.sleep(10);
    expect(errors).toEqual([ERROR_INVALID_THREAD]);
    expect(l4.startBody(victim, function* () {})).toBe(1);
    expect(l4.startBody(victim, function* () {})).toBe(0);
  });
});
