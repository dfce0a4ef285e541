import { describe, expect, test } from 'vitest';
import { EXEC, READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  ANY,
  fpage,
  type L4,
  type L4Body,
  type L4Wait,
  LABEL_EXCEPTION,
  LABEL_PAGE_FAULT,
  LABEL_PREEMPTION,
  LABEL_SYSCALL,
  NIL,
  type ThreadId,
  XR_APPLY_HALT,
  XR_CANCEL_RECEIVE,
  XR_CANCEL_SEND,
  XR_IP,
  XR_SP,
} from '../../../vkernel/l4/user.ts';
import {
  A0,
  A1,
  A2,
  A7,
  addi,
  bne,
  EBREAK,
  ECALL,
  faddD,
  ILLEGAL,
  j,
  li,
  lui,
  lw,
  SP,
  sw,
  T0,
  T1,
  ZERO,
} from '../../hostkernel/kern/assembler.ts';
import { boot, type BootOptions } from './boot.ts';
import { makeThread, spawn } from './tasks.ts';

const TEXT = 0x10000;
const DATA = 0x20000;

interface Event {
  label: number;
  words: number[];
}

/** What a test's handler answers a system call or exception with: the new a0, or null to leave the thread waiting. */
type Answer = (event: Event, l4: L4, thread: ThreadId) => number | null;

/**
 * Runs `code` in a hart thread whose pager and exception handler is the root server. The root server keeps code and
 * data in its own pages and maps them on demand.
 */
function runGuest(
  code: readonly number[],
  answer: Answer,
  options: BootOptions & { sp?: number } = {},
): { events: Event[]; faults: Event[]; log: string[] } {
  const events: Event[] = [];
  const faults: Event[] = [];
  const root: L4Body = function* (l4) {
    const bytes = new Uint8Array(new Uint32Array(code).buffer);
    yield* l4.write(0x200000, bytes);
    yield* l4.fill(0x201000, 8192, 0);
    const guest = makeThread(l4, 0, 7);
    l4.setExceptionHandler(guest, l4.id);
    l4.message.begin(0);
    l4.message.append(TEXT);
    l4.message.append(options.sp ?? 0);
    yield* l4.send(guest);
    yield* serveGuest(l4, events, faults, answer);
    l4.shutdown('guest over');
  };
  const { log } = boot(root, options);
  return { events, faults, log };
}

function* serveGuest(l4: L4, events: Event[], faults: Event[], answer: Answer): Generator<L4Wait, void, void> {
  yield* l4.receive(ANY);
  for (;;) {
    const { message } = l4;
    const event = { label: message.label, words: Array.from({ length: message.untyped }, (_, i) => message.word(i + 1)) };
    const thread = l4.from;
    if (event.label >= LABEL_PAGE_FAULT && event.label < LABEL_PAGE_FAULT + 8) {
      faults.push(event);
      const page = Math.floor((event.words[0] as number) / 4096) * 4096;
      message.begin(page === TEXT || page === DATA || page === DATA + 4096 ? 0 : 14);
      if (page === TEXT) message.appendMap(TEXT, fpage(0x200000, 12, 5));
      else if (page >= DATA && message.label === 0) message.appendMap(page, fpage(0x201000 + page - DATA, 12, 6));
    } else {
      events.push(event);
      const a0 = answer(event, l4, thread);
      if (a0 === null) return;
      message.begin(0);
      message.append(a0);
    }
    yield* l4.replyWait(thread, ANY);
  }
}

const isExit = (event: Event): boolean => event.label === LABEL_SYSCALL && event.words[0] === 93;

describe.each([32, 64] as const)('%i-bit guests', (xlen) => {
  test('code and data are paged in on demand; system calls reach the handler with their arguments', () => {
    const code = [
      ...li(T0, DATA),
      ...li(T1, 77),
      sw(T1, 4, T0),
      lw(A1, 4, T0),
      ...li(A0, -3),
      ...li(A7, 500),
      ECALL,
      addi(A1, A0, 1), // a0 = answer
      ...li(A7, 93),
      ECALL,
    ];
    const { events, faults } = runGuest(code, (event) => (isExit(event) ? null : 1000), { xlen });
    expect(faults.map((f) => [f.label - LABEL_PAGE_FAULT, f.words[0]])).toEqual([
      [1, TEXT],
      [2, DATA + 4],
    ]);
    const minus3 = xlen === 32 ? 2 ** 32 - 3 : 2 ** 64 - 3;
    expect(events[0]?.label).toBe(LABEL_SYSCALL);
    expect(events[0]?.words.slice(0, 3)).toEqual([500, minus3, 77]);
    expect(events[0]?.words[7]).toBe(TEXT + 4 * code.indexOf(ECALL));
    expect(events[1]?.words.slice(0, 3)).toEqual([93, 1000, 1001]);
  });

  test('the same trace twice, and with a rival on the host', () => {
    const code = [...li(T0, 3000), addi(T0, T0, -1), bne(T0, ZERO, -4), ...li(A7, 93), ECALL];
    const trace = (rival: boolean): number[] => {
      let times: number[] = [];
      runGuest(code, () => null, {
        xlen,
        rival,
        timeSlice: 700,
        after: (kernel) => void (times = [kernel.now, kernel.counters.instructions]),
      });
      return times;
    };
    expect(trace(false)).toEqual(trace(false));
    expect(trace(true)).toEqual(trace(false));
  });
});

test('illegal instructions and breakpoints go to the exception handler, which may change registers', () => {
  const code = [ILLEGAL, EBREAK, ...li(A7, 93), ECALL];
  const { events } = runGuest(code, (event, l4, thread) => {
    if (isExit(event)) return null;
    const registers = l4.registers(thread) as Int32Array;
    registers[0] = (registers[0] as number) + 4; // pc
    registers[2 * A2] = 1234;
    return (event.words[0] as number) * 10;
  });
  expect(events.map((e) => [e.label, e.words[0], e.words[2]])).toEqual([
    [LABEL_EXCEPTION, 2, TEXT],
    [LABEL_EXCEPTION, 3, TEXT + 4],
    [LABEL_SYSCALL, 93, 0],
  ]);
  expect(events[2]?.words.slice(1, 4)).toEqual([30, 0, 1234]);
});

test('an empty answer leaves the registers as they are', () => {
  const seen: number[][] = [];
  boot(function* (l4) {
    const code = [...li(A0, 5), ...li(A7, 1), ECALL, ...li(A7, 93), ECALL];
    yield* l4.write(0x200000, new Uint8Array(new Uint32Array(code).buffer));
    const guest = makeThread(l4, 0, 7);
    l4.setExceptionHandler(guest, l4.id);
    l4.message.begin(0);
    l4.message.append(TEXT);
    l4.message.append(0);
    yield* l4.send(guest);
    yield* l4.receive(guest); // fault
    l4.message.begin(0);
    l4.message.appendMap(TEXT, fpage(0x200000, 12, 5));
    yield* l4.replyWait(guest, guest);
    for (let i = 0; i < 2; i++) {
      seen.push([l4.message.word(1), l4.message.word(2)]);
      l4.message.begin(0);
      yield* l4.replyWait(guest, i === 0 ? guest : NIL);
    }
    l4.shutdown('');
  });
  expect(seen).toEqual([
    [1, 5],
    [93, 5],
  ]);
});

test('a fault that the pager refuses becomes an exception of the thread', () => {
  const code = [...li(T0, 0x66000), lw(A0, 0, T0), ...li(A7, 93), ECALL];
  const { events, faults } = runGuest(code, (event, l4, thread) => {
    if (isExit(event)) return null;
    const registers = l4.registers(thread) as Int32Array;
    registers[0] = (registers[0] as number) + 4;
    return 55;
  });
  expect(faults.at(-1)?.words[0]).toBe(0x66000);
  expect(events[0]).toEqual({ label: LABEL_EXCEPTION, words: [13, 0x66000, TEXT + 4 * code.indexOf(lw(A0, 0, T0))] });
  expect(events[1]?.words[1]).toBe(55);
});

test('a write to a page mapped read-only is a write fault, and more rights let it pass', () => {
  const seen: number[] = [];
  boot(function* (l4) {
    const code = [lui(T0, DATA >>> 12), lw(A0, 0, T0), addi(A0, A0, 1), sw(A0, 0, T0), lw(A1, 0, T0), ...li(A7, 93), ECALL];
    yield* l4.write(0x200000, new Uint8Array(new Uint32Array(code).buffer));
    yield* l4.store32(0x201000, 41);
    const guest = makeThread(l4, 0, 7);
    l4.setExceptionHandler(guest, l4.id);
    l4.message.begin(0);
    l4.message.append(TEXT);
    l4.message.append(0);
    yield* l4.send(guest);
    yield* l4.receive(ANY);
    while (l4.message.label !== LABEL_SYSCALL) {
      const access = l4.message.label - LABEL_PAGE_FAULT;
      seen.push(access);
      l4.message.begin(0);
      if (access === 1) l4.message.appendMap(TEXT, fpage(0x200000, 12, 5));
      else l4.message.appendMap(DATA, fpage(0x201000, 12, access === 2 ? 6 : 4));
      yield* l4.replyWait(guest, ANY);
    }
    seen.push(l4.message.word(3));
    seen.push(l4.unmap(fpage(0x201000, 12, 0), false)); // read and written by the guest
    seen.push(l4.unmap(fpage(0x201000, 12, 7), false)); // nothing since; take it away
    seen.push(l4.tryLoad32(0x201000));
    l4.shutdown('');
  });
  expect(seen).toEqual([1, 4, 2, 42, 6, 0, 42]);
});

test('a page that was taken away faults again at once', () => {
  let faults = 0;
  boot(function* (l4) {
    const code = [lui(T0, DATA >>> 12), sw(ZERO, 0, T0), ...li(A7, 1), ECALL, j(-12)];
    yield* l4.write(0x200000, new Uint8Array(new Uint32Array(code).buffer));
    yield* l4.touch(0x201000, READ | WRITE);
    const guest = makeThread(l4, 0, 7);
    l4.setExceptionHandler(guest, l4.id);
    l4.message.begin(0);
    l4.message.append(TEXT);
    l4.message.append(0);
    yield* l4.send(guest);
    yield* l4.receive(ANY);
    for (let calls = 0; calls < 5; ) {
      const { label } = l4.message;
      l4.message.begin(0);
      if (label === LABEL_SYSCALL) {
        calls++;
        expect(l4.unmap(fpage(0x201000, 12, 7), false)).toBe(6);
      } else if (label === LABEL_PAGE_FAULT + 1) l4.message.appendMap(TEXT, fpage(0x200000, 12, 5));
      else {
        faults++;
        l4.message.appendMap(DATA, fpage(0x201000, 12, 6));
      }
      yield* l4.replyWait(guest, ANY);
    }
    l4.shutdown('');
  });
  expect(faults).toBe(5);
});

test('two hart threads of one priority share the processor; a third of lower priority starves', () => {
  const counts = [0, 0, 0];
  boot(function* (l4) {
    const code = [lui(T1, DATA >>> 12), addi(T0, T0, 1), sw(T0, 0, T1), j(-8)];
    yield* l4.write(0x200000, new Uint8Array(new Uint32Array(code).buffer));
    yield* l4.fill(0x201000, 3 * 4096, 0);
    for (let i = 0; i < 3; i++) {
      const guest = makeThread(l4, i, 7 + i, { priority: i === 2 ? 10 : 50 });
      l4.message.begin(0);
      l4.message.append(TEXT);
      l4.message.append(0);
      yield* l4.send(guest);
    }
    for (let i = 0; i < 4; i++) {
      yield* l4.receive(ANY); // two faults of each of the first two
      const page = l4.message.label === LABEL_PAGE_FAULT + 1 ? 0x200000 : 0x201000 + 4096 * (((l4.from / 2 ** 32) | 0) - 100);
      const target = page === 0x200000 ? TEXT : DATA;
      l4.message.begin(0);
      l4.message.appendMap(target, fpage(page, 12, page === 0x200000 ? 5 : 6));
      yield* l4.send(l4.from);
    }
    yield* l4.sleep(20_000);
    for (let i = 0; i < 3; i++) counts[i] = l4.tryLoad32(0x201000 + 4096 * i);
    l4.shutdown('');
  });
  const share = 20_000_000 / 2 / 3; // instructions, three a turn of the loop
  for (const i of [0, 1]) expect(Math.abs((counts[i] as number) / share - 1)).toBeLessThan(0.1);
  expect(counts[2]).toBe(0);
});

test('exchangeRegisters starts, reads, stops and restarts a hart thread of the same space', () => {
  const seen: unknown[] = [];
  boot(function* (l4) {
    const code = [addi(T0, T0, 1), j(-4)];
    yield* l4.write(0x200000, new Uint8Array(new Uint32Array(code).buffer));
    const helper = spawn(l4, 0, 7, function* (b) {
      yield* b.receive(ANY);
      const guest = b.message.word(1) as ThreadId;
      const start = XR_APPLY_HALT | XR_IP | XR_SP | XR_CANCEL_RECEIVE | XR_CANCEL_SEND;
      seen.push(b.exchangeRegisters(guest, start, 0x8000, TEXT, 0, 0, NIL)?.control);
      yield* b.sleep(1000);
      const old = b.exchangeRegisters(guest, XR_APPLY_HALT | 1, 0, 0, 0, 0, NIL);
      seen.push(old?.sp, (old?.ip ?? 0) - TEXT < 8);
      yield* b.sleep(1000);
      seen.push(b.exchangeRegisters(guest, 0, 0, 0, 0, 0, NIL)?.control);
      seen.push(b.exchangeRegisters(l4.id, 0, 0, 0, 0, 0, NIL), b.error);
    });
    const guest = makeThread(l4, 1, 7, { space: helper });
    l4.message.begin(0);
    l4.message.append(guest);
    yield* l4.send(helper);
    yield* l4.receive(guest);
    l4.message.begin(0);
    l4.message.appendMap(TEXT, fpage(0x200000, 12, 5));
    yield* l4.send(guest);
    yield* l4.sleep(10_000);
    l4.shutdown('');
  });
  expect(seen).toEqual([2, 0x8000, true, 1, null, 2]);
});

test('floating-point state survives switches and can be changed by a handler', () => {
  const code = [faddD(1, 1, 2), ...li(A7, 1), ECALL, faddD(1, 1, 2), ...li(A7, 2), ECALL];
  const seen: number[] = [];
  runGuest(code, (event, l4, thread) => {
    const f = l4.floatRegisters(thread) as Int32Array;
    const view = new DataView(f.buffer);
    seen.push(view.getFloat64(8, true));
    if (event.words[0] === 2) return null;
    view.setFloat64(8, 1.5, true);
    view.setFloat64(16, 2.25, true);
    return 0;
  });
  expect(seen).toEqual([0, 3.75]);
});

test('a thread whose exception nobody handles is stopped and logged, the others go on', () => {
  const { log, result } = boot(function* (l4) {
    yield* l4.write(0x200000, new Uint8Array(new Uint32Array([ILLEGAL]).buffer));
    const guest = makeThread(l4, 0, 7);
    l4.message.begin(0);
    l4.message.append(TEXT);
    l4.message.append(0);
    yield* l4.send(guest);
    yield* l4.receive(guest);
    l4.message.begin(0);
    l4.message.appendMap(TEXT, fpage(0x200000, 12, 5));
    yield* l4.send(guest);
    yield* l4.sleep(100);
    l4.shutdown('went on');
  });
  expect(log).toEqual([expect.stringMatching(/^l4: thread 100:7 stopped: exception 2, tval 0x[0-9a-f]+, pc 0x10000, and no handler$/)]);
  expect(result.report).toEqual(['went on']);
});

test('deleting a task in the middle of a fault gives back all its frames', () => {
  let before = 0;
  let after = 0;
  boot(
    function* (l4) {
      for (let round = 0; round < 5; round++) {
        const guest = makeThread(l4, 0, 7);
        l4.message.begin(0);
        l4.message.append(TEXT);
        l4.message.append(0);
        yield* l4.send(guest);
        yield* l4.receive(guest);
        if (l4.threadControl(guest, NIL, NIL, NIL, -1) !== 1) throw new Error('not deleted');
      }
      l4.shutdown('');
    },
    {
      before: (kernel) => void (before = kernel.usage.tableFrames),
      after: (kernel) => void (after = kernel.usage.tableFrames),
    },
  );
  expect(after - before).toBeLessThanOrEqual(1); // the page of trapframes stays
  void EXEC;
  void SP;
});

test('a computing thread is stopped between two instructions, and goes on with the registers its handler left', () => {
  const seen: unknown[] = [];
  boot(function* (l4) {
    const code = [addi(T0, T0, 1), j(-4), addi(T0, T0, 0), j(-4)];
    yield* l4.write(0x200000, new Uint8Array(new Uint32Array(code).buffer));
    const helper = spawn(l4, 0, 7, function* (b) {
      yield* b.receive(ANY);
      const guest = b.message.word(1) as ThreadId;
      b.setExceptionHandler(guest, b.id);
      seen.push(b.preempt(guest), b.error, b.preempt(l4.id), b.error); // not started; not ours
      b.exchangeRegisters(guest, XR_APPLY_HALT | XR_IP | XR_SP | XR_CANCEL_RECEIVE | XR_CANCEL_SEND, 0x8000, TEXT, 0, 0, NIL);
      yield* b.sleep(1000);
      seen.push(b.registers(guest), b.preempt(guest), b.preempt(guest)); // the second time it is stopped already
      yield* b.receive(guest);
      const registers = b.registers(guest);
      seen.push(b.message.label === LABEL_PREEMPTION, b.message.untyped, registers !== null && registers[2 * T0] > 1000);
      if (registers === null) return;
      registers[0] = TEXT + 8;
      registers[2 * T0] = 77;
      b.message.begin(0);
      b.reply(guest);
      yield* b.sleep(1000);
      b.preempt(guest);
      yield* b.receive(guest);
      const later = b.registers(guest);
      seen.push(later?.[2 * T0], (later?.[0] ?? 0) >= TEXT + 8);
    });
    const guest = makeThread(l4, 1, 7, { space: helper });
    l4.message.begin(0);
    l4.message.append(guest);
    yield* l4.send(helper);
    yield* l4.receive(guest);
    l4.message.begin(0);
    l4.message.appendMap(TEXT, fpage(0x200000, 12, 5));
    yield* l4.send(guest);
    yield* l4.sleep(10_000);
    l4.shutdown('');
  });
  expect(seen).toEqual([0, 0, 0, 2, null, 1, 0, true, 0, true, 77, true]);
});
