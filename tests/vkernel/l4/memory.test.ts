import { expect, test } from 'vitest';
import { Tracer } from '../../../hostkernel/base/trace.ts';
import { EFAULT, ENOMEM } from '../../../hostkernel/base/errno.ts';
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  ANY,
  fpage,
  fpageAny,
  fpageBase,
  fpageShift,
  type L4,
  type L4Wait,
  LABEL_PAGE_FAULT,
  LABEL_SIGMA0,
  NIL,
  type ThreadId,
  threadId,
  timeout,
} from '../../../vkernel/l4/user.ts';
import { boot, type BootOptions } from './boot.ts';
import { spawn } from './tasks.ts';

const SIGMA0 = threadId(48, 1, 64);

function run(root: (l4: L4) => Generator<L4Wait, void, void>, options: BootOptions = {}): string[] {
  const { result, log } = boot(function* (l4) {
    yield* root(l4);
    l4.shutdown('end of test');
  }, options);
  expect(result.report).toEqual(['end of test']);
  return log;
}

/** Asks sigma0. @returns the fpage it gave, 0 for none */
function* request(l4: L4, page: number): Generator<L4Wait, number, void> {
  l4.acceptor = 0x10;
  l4.message.begin(LABEL_SIGMA0);
  l4.message.append(page);
  l4.message.append(0);
  expect(yield* l4.call(SIGMA0)).toBe(0);
  l4.acceptor = 0;
  expect([l4.message.untyped, l4.message.typed]).toEqual([0, 2]);
  return l4.message.itemFpage(1);
}

test('sigma0 gives each page to one thread only', () => {
  run(function* (l4) {
    const results: number[] = [];
    const page = fpage(0x300000, 13, 7);
    expect(yield* request(l4, page)).toBe(page);
    expect(yield* request(l4, page)).toBe(page); // again, by the same thread
    expect(l4.tryLoad32(0x301ffc)).toBe(0);
    spawn(l4, 0, 7, function* (b) {
      results.push(yield* request(b, page), yield* request(b, fpage(0x301000, 12, 7)), yield* request(b, fpage(0x302000, 12, 7)));
    });
    yield* l4.sleep(100);
    expect(results).toEqual([0, 0, fpage(0x302000, 12, 7)]);
  });
});

test('sigma0 refuses kernel memory and what does not exist; a malformed request gets no answer', () => {
  run(function* (l4) {
    expect(yield* request(l4, fpage(0, 12, 7))).toBe(0);
    expect(yield* request(l4, fpage(2 ** 40, 12, 7))).toBe(0);
    expect(yield* request(l4, fpage(0, 40, 7))).toBe(0);
    expect(yield* request(l4, 0)).toBe(0);
    l4.message.begin(LABEL_SIGMA0);
    l4.message.append(fpage(0x300000, 12, 7));
    yield* l4.send(SIGMA0);
    expect(yield* l4.receive(SIGMA0, timeout(1000))).not.toBe(0);
  });
});

test('any page of a size: all of memory is given out, largest first, nothing twice', () => {
  run(function* (l4) {
    const seen = new Set<number>();
    for (let shift = 22; shift >= 12; ) {
      const page = yield* request(l4, fpageAny(shift, 7));
      if (page === 0) {
        shift--;
        continue;
      }
      expect(fpageShift(page)).toBe(shift);
      for (let at = fpageBase(page); at < fpageBase(page) + 2 ** shift; at += 4096) {
        expect(seen.has(at)).toBe(false);
        seen.add(at);
      }
    }
    expect(seen.size).toBe(1024 - 64);
    expect(yield* l4.write(0x3ff000, Uint8Array.of(1, 2, 3))).toBe(0);
  });
});

test('a thread in its own fault keeps message, acceptor, error and propagation', () => {
  run(function* (l4) {
    l4.message.begin(77);
    l4.message.append(123);
    l4.acceptor = 0x20c0;
    l4.propagateAs = SIGMA0;
    expect(yield* l4.touch(0x300000, WRITE)).toBe(0);
    expect([l4.message.label, l4.message.untyped, l4.message.word(1), l4.acceptor, l4.propagateAs]).toEqual([77, 1, 123, 0x20c0, SIGMA0]);
  });
});

test('accesses that cross pages fault for each, try* stops before the first missing one', () => {
  run(function* (l4) {
    const bytes = Uint8Array.from({ length: 10_000 }, (_, i) => i % 251);
    expect(yield* l4.write(0x300800, bytes)).toBe(0);
    const back = new Uint8Array(10_000);
    expect(yield* l4.read(0x300800, back)).toBe(0);
    expect(back).toEqual(bytes);
    expect(l4.tryRead(0x302ff0, back, 0, 64)).toBe(16);
    expect(l4.tryWrite(0x302ff0, back, 0, 64)).toBe(16);
    expect(l4.tryFill(0x302ff0, 64, 1)).toBe(16);
    expect(yield* l4.copy(0x310004, 0x300800, 10_000)).toBe(0);
    yield* l4.read(0x310004, back);
    expect(back.subarray(0, 8000)).toEqual(bytes.subarray(0, 8000));
    expect(l4.tryCopy(0x310000, 0x302ff0, 64)).toBe(16);
    expect(yield* l4.load32(0x300804)).toBe(
      (bytes[4] as number) + 256 * (bytes[5] as number) + 65536 * (bytes[6] as number) + 2 ** 24 * (bytes[7] as number),
    );
    expect(yield* l4.fill(0x30_0000, 5000, 0xee)).toBe(0);
    expect(l4.tryLoad32(0x300800)).toBe(0xeeee_eeee);
  });
});

test('addresses outside user space, and misaligned words, are EFAULT', () => {
  const log = run(function* (l4) {
    expect(yield* l4.store32(l4.userEnd, 1)).toBe(EFAULT);
    expect(yield* l4.store32(-4096, 1)).toBe(EFAULT);
    expect(yield* l4.load32(2 ** 60)).toBe(-EFAULT);
    expect(yield* l4.read(Number.NaN, new Uint8Array(4))).toBe(EFAULT);
    expect(l4.tryRead(-1, new Uint8Array(4), 0, 4)).toBe(0);
    expect(l4.tryLoad32(0x300002)).toBe(-1);
  });
  expect(log).toEqual([]);
});

test('a misaligned word is EFAULT at once, however willing the pager is', () => {
  run(function* (l4) {
    const results: number[] = [];
    spawn(l4, 0, 7, function* (b) {
      results.push(yield* b.store32(0x300002, 1), yield* b.load32(0x300001));
    });
    yield* l4.receive(ANY, timeout(1000));
    expect(l4.error).not.toBe(0); // no fault came
    expect(results).toEqual([EFAULT, -EFAULT]);
  });
});

test('the pager sees address and access; its error label is the result of the access', () => {
  run(function* (l4) {
    const results: number[] = [];
    const task = spawn(l4, 0, 7, function* (b) {
      results.push(yield* b.touch(0x5000, READ), yield* b.touch(0x5000, WRITE), yield* b.touch(0x9008, WRITE));
    });
    const seen: number[][] = [];
    yield* l4.touch(0x300000, WRITE);
    for (let i = 0; i < 3; i++) {
      yield* l4.receive(task);
      seen.push([l4.message.label - LABEL_PAGE_FAULT, l4.message.word(1), l4.message.word(2)]);
      const va = l4.message.word(1);
      l4.message.begin(va === 0x9008 ? ENOMEM : 0);
      if (va === 0x5000) l4.message.appendMap(0x5000, fpage(0x300000, 12, i === 0 ? 4 : 6));
      yield* l4.send(task);
    }
    yield* l4.sleep(10);
    expect(seen).toEqual([
      [4, 0x5000, 0],
      [2, 0x5000, 0],
      [2, 0x9008, 0],
    ]);
    expect(results).toEqual([0, 0, ENOMEM]);
  });
});

test('a thread without a pager gets EFAULT, and a line in the log', () => {
  const log = run(function* (l4) {
    let result = 0;
    const task = spawn(l4, 0, 7, function* (b) {
      b.exchangeRegisters(b.id, 128, 0, 0, 0, 0, NIL);
      result = yield* b.touch(0x5000, READ);
    });
    yield* l4.sleep(10);
    expect(result).toBe(EFAULT);
    void task;
  });
  expect(log).toEqual(['l4: thread 100:7: read fault at 0x5000, ip 0x0, and no pager (nil)']);
});

test('a pager that dies in the middle of a fault: EFAULT', () => {
  run(function* (l4) {
    let result = 0;
    const pager = spawn(l4, 0, 7, function* (b) {
      yield* b.receive(ANY);
      yield* b.receive(b.id);
    });
    spawn(
      l4,
      1,
      8,
      function* (b) {
        result = yield* b.touch(0x5000, READ);
      },
      { pager },
    );
    yield* l4.sleep(10);
    l4.threadControl(pager, NIL, NIL, NIL, -1);
    yield* l4.sleep(10);
    expect(result).toBe(EFAULT);
  });
});

test('a reply that the pager has sent by way of another server resolves the fault (re-targeted wait)', () => {
  run(function* (l4) {
    const results: number[] = [];
    yield* l4.store32(0x300000, 4711);
    const pagerId = threadId(100, 7, 64);
    spawn(l4, 0, 7, function* (pager) {
      yield* pager.receive(ANY);
      const faulter = pager.from;
      pager.message.begin(1);
      pager.propagateAs = faulter;
      expect(yield* pager.send(l4.id)).toBe(0); // the root server answers the faulting thread itself
    });
    const task = spawn(
      l4,
      1,
      7,
      function* (b) {
        results.push(yield* b.load32(0x5000));
      },
      { space: pagerId, pager: pagerId },
    );
    yield* l4.receive(ANY);
    expect([l4.from, l4.actualSender, l4.message.label]).toEqual([task, pagerId, 1]);
    l4.message.begin(0);
    l4.message.appendMap(0x5000, fpage(0x300000, 12, 4));
    expect(l4.reply(task)).toBe(0);
    yield* l4.sleep(10);
    expect(results).toEqual([4711]);
  });
});

test('items need a window, on both sides the overflow is an error; unknown items too', () => {
  run(function* (l4) {
    const errors: number[] = [];
    const task = spawn(l4, 0, 7, function* (b) {
      for (let i = 0; i < 2; i++) {
        yield* b.receive(ANY);
        errors.push(b.error);
        b.acceptor = 0x10;
      }
    });
    yield* l4.touch(0x300000, WRITE);
    l4.message.begin(0);
    l4.message.append(1);
    l4.message.appendMap(0, fpage(0x300000, 12, 7));
    expect(yield* l4.send(task)).toBe((8 << 4) | (4 << 1));
    l4.message.begin(0);
    l4.message.appendMap(0, fpage(0x300000, 12, 7));
    l4.message.setWord(1, 0x4); // a string item
    expect(yield* l4.send(task)).toBe(4 << 1);
    yield* l4.sleep(10);
    expect(errors).toEqual([(8 << 4) | (4 << 1) | 1, (4 << 1) | 1]);
  });
});

test('KIP and UTCB areas are never mapped', () => {
  run(function* (l4) {
    const results: number[] = [];
    const task = spawn(l4, 0, 7, function* (b) {
      b.acceptor = 0x10;
      yield* b.receive(ANY);
      results.push(b.tryLoad32(0x7000_0000), b.tryLoad32(0x7000_1000));
    });
    yield* l4.fill(0x300000, 8192, 1);
    l4.message.begin(0);
    l4.message.appendMap(0x7000_0000, fpage(0x300000, 13, 7));
    yield* l4.send(task);
    yield* l4.sleep(10);
    expect(results).toEqual([-1, 0x0101_0101]);
  });
});

test.each(['vpte-64-nx', 'sv39', 'sv48', 'vpte-32-nx', 'sv32', 'vpte-2006', 'vpte-2006v'])('memory works in format %s', (format) => {
  const xlen = /^(vpte-64-nx|sv39|sv48)$/.test(format) ? 64 : 32;
  run(
    function* (l4) {
      for (let i = 0; i < 20; i++) expect(yield* l4.store32(0x300000 + 4096 * i, i)).toBe(0);
      for (let i = 0; i < 20; i++) expect(l4.tryLoad32(0x300000 + 4096 * i)).toBe(i);
      void (NIL as ThreadId);
    },
    { format, xlen },
  );
});

test('a console write of many pages arrives whole', () => {
  const text = 'x'.repeat(10_000);
  const { output } = boot(function* (l4) {
    expect(l4.console.write(1, new TextEncoder().encode(text))).toBe(10_000);
    expect(l4.console.read(10).length).toBe(0);
    l4.shutdown('');
  });
  expect(output).toBe(text);
});

test('trace events of mappings name the frame of every page, also where an item meets holes', () => {
  const tracer = new Tracer();
  const frames = new Map<string, number>();
  tracer.map = ({ space, va, frame, pages }) => {
    for (let i = 0; i < pages; i++) frames.set(`${space}:${va + 4096 * i}`, frame + i);
  };
  let unmapped = 0;
  tracer.unmap = ({ pages }) => void (unmapped += pages);
  run(
    function* (l4) {
      for (const page of [0, 1, 3, 6]) yield* l4.touch(0x300000 + 4096 * page, WRITE);
      const task = spawn(l4, 0, 7, function* (b) {
        b.acceptor = 0x10;
        yield* b.receive(ANY);
      });
      l4.message.begin(0);
      l4.message.appendMap(0x400000, fpage(0x300000, 15, 7));
      yield* l4.send(task);
      l4.unmap(fpage(0x300000, 15, 7), false);
    },
    { tracer },
  );
  const seen = [...frames].filter(([place]) => place.startsWith('3:')).map(([place, frame]) => [Number(place.slice(2)), frame]);
  expect(seen).toEqual([0, 1, 3, 6].map((page) => [0x400000 + 4096 * page, 0x300 + page]));
  expect(unmapped).toBe(4);
});
