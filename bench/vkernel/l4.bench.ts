/**
 * What does the guest kernel cost? A call between two TypeScript threads and its answer; a system call of a RISC-V
 * guest to a TypeScript handler and back; a page fault of a guest that its pager resolves with one map item; the same
 * page taken away again. And mapping 50,000 pages with one item.
 *
 * Reported first: the counts of one batch, which repeat exactly. Times matter as ratios only.
 */
import b from 'benny';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { HostKernel } from '../../hostkernel/kern/index.ts';
import { compileLayout, Machine, SV32, SV39, VPTE_32_NX, VPTE_64_NX } from '../../hostkernel/machine/index.ts';
import { L4Kernel, Platform } from '../../vkernel/l4/index.ts';
import { ANY, fpage, type L4, type L4Body, type L4Wait, LABEL_PAGE_FAULT, NIL, type ThreadId, threadId } from '../../vkernel/l4/user.ts';
import { type Counters, type Files, Suite } from '../suite.ts';

const BATCH = 2048; // operations a measured call makes
const TEXT = 0x10000;
const DATA = 0x20000;
const CODE = 0x200000; // of the root server: the guest's code
const PAGE = 0x201000; // and its page of data
const BIG_SHIFT = 28;

/** A running system that makes one batch a call. */
interface System {
  batch(): void;
  readonly kernel: L4Kernel;
  readonly platform: Platform;
}

/** Boots a vkernel whose root server prepares something and then repeats what `prepare` returns, a batch a call. */
function system(prepare: (l4: L4) => Generator<L4Wait, () => Generator<L4Wait, void, void>, void>, memoryBytes = 8 * 2 ** 20): System {
  const machine = Machine.create({ ramBytes: memoryBytes + 16 * 2 ** 20 });
  if (machine === null) throw new Error('no memory for the machine');
  const host = new HostKernel({
    machine,
    tracer: new Tracer(),
    mmu64: compileLayout(SV39),
    mmu32: compileLayout(SV32),
    vpte64: compileLayout(VPTE_64_NX),
    vpte32: compileLayout(VPTE_32_NX),
  });
  const root: L4Body = function* (l4) {
    const round = yield* prepare(l4);
    for (;;) {
      l4.shutdown('batch');
      yield* l4.threadSwitch(NIL);
      yield* round();
    }
  };
  const made: { kernel?: L4Kernel; platform?: Platform } = {};
  host.spawnBody(
    'bench',
    function* (api) {
      const platform = Platform.create(api, { format: compileLayout(VPTE_64_NX), memoryBytes });
      if (typeof platform === 'number') throw new Error(`no platform: ${platform}`);
      const kernel = new L4Kernel(platform);
      made.kernel = kernel;
      made.platform = platform;
      kernel.createRootThread(root);
      for (;;) {
        const { reason, report } = yield* kernel.run();
        if (reason !== 'shutdown') throw new Error(report.join('\n'));
        yield;
        platform.image.resumed();
      }
    },
    64,
  );
  host.step(); // up to the first batch
  if (made.kernel === undefined || made.platform === undefined) throw new Error('did not boot');
  return { batch: () => void host.step(), kernel: made.kernel, platform: made.platform };
}

function makeThread(l4: L4, number: number): ThreadId {
  const id = threadId(number, number, 64);
  l4.threadControl(id, id, l4.id, NIL, -1);
  l4.spaceControl(id, 0, fpage(0x7000_0000, 12, 0), fpage(0x7001_0000, 16, 0), NIL);
  l4.threadControl(id, id, l4.id, l4.id, 0x7001_0000);
  return id;
}

/** An echo server in a space of its own, called by the root server. */
function echo(): System {
  return system(function* (l4) {
    const server = makeThread(l4, 101);
    l4.startBody(server, function* (s) {
      yield* s.receive(ANY);
      for (;;) yield* s.replyWait(s.from, ANY);
    });
    yield* l4.call(server);
    return function* round() {
      for (let i = 0; i < BATCH; i++) {
        l4.message.label = 1;
        l4.message.untyped = 2;
        yield* l4.call(server);
      }
    };
  });
}

const ADDI_A7 = (172 << 20) | (17 << 7) | 0x13;
const ECALL = 0x73;
const JUMP_BACK_8 = 0xff9f_f06f;
const LUI_T0 = (DATA & 0xffff_f000) | (5 << 7) | 0x37;
const STORE = (5 << 15) | (2 << 12) | 0x23; // sw zero, 0(t0)

/** Starts a guest with this code; the root server is its pager and handler, and has served its first fault. */
function* startGuest(l4: L4, words: readonly number[]): Generator<L4Wait, ThreadId, void> {
  yield* l4.write(CODE, new Uint8Array(new Int32Array(words).buffer));
  yield* l4.store32(PAGE, 0);
  const guest = makeThread(l4, 101);
  l4.setExceptionHandler(guest, l4.id);
  l4.setPriority(guest, 255);
  l4.message.begin(0);
  l4.message.append(TEXT);
  l4.message.append(0);
  yield* l4.send(guest);
  yield* l4.receive(guest);
  l4.message.begin(0);
  l4.message.appendMap(TEXT, fpage(CODE, 12, 5));
  yield* l4.replyWait(guest, guest);
  return guest;
}

/** A guest that makes system calls; each is answered with one word. */
function syscalls(): System {
  return system(function* (l4) {
    const guest = yield* startGuest(l4, [ADDI_A7, ECALL, JUMP_BACK_8]);
    return function* round() {
      for (let i = 0; i < BATCH; i++) {
        l4.message.label = 0;
        l4.message.typed = 0;
        l4.message.untyped = 1;
        l4.message.lo[1] = i;
        l4.message.hi[1] = 0;
        yield* l4.replyWait(guest, guest);
      }
    };
  });
}

/** A guest that writes to a page which is taken away after every write. */
function faults(): System {
  return system(function* (l4) {
    const guest = yield* startGuest(l4, [LUI_T0, STORE, ECALL, JUMP_BACK_8]);
    const page = fpage(PAGE, 12, 6);
    return function* round() {
      for (let done = 0; done < BATCH; ) {
        const { message } = l4;
        const fault = message.label < LABEL_PAGE_FAULT + 8 && message.label >= LABEL_PAGE_FAULT;
        message.begin(0);
        if (fault) message.appendMap(DATA, page);
        else {
          l4.unmap(page, false);
          done++;
        }
        yield* l4.replyWait(guest, guest);
      }
    };
  });
}

/** One item maps nearly 2^16 pages into a task that then gives them back. */
function mapMany(): System {
  return system(function* (l4) {
    l4.acceptor = 0x10;
    for (let shift = BIG_SHIFT; shift >= 12; ) {
      l4.message.begin(-6 * 16);
      l4.message.append(-1024 + shift * 16 + 7);
      l4.message.append(0);
      yield* l4.call(threadId(48, 1, 64));
      if (l4.message.itemFpage(1) === 0) shift--;
    }
    l4.acceptor = 0;
    const task = makeThread(l4, 101);
    l4.startBody(task, function* (t) {
      t.acceptor = 0x10;
      for (;;) {
        yield* t.receive(ANY);
        t.unmap(fpage(0, BIG_SHIFT, 7), true);
      }
    });
    return function* round() {
      l4.message.begin(0);
      l4.message.appendMap(0, fpage(0, BIG_SHIFT, 7));
      yield* l4.send(task);
      yield* l4.threadSwitch(task);
    };
  }, 2 ** BIG_SHIFT);
}

/** The counts one batch makes. */
function events(title: string, made: System): Counters {
  made.batch();
  const before = { ...made.kernel.counters, invalidations: made.platform.counters.invalidations };
  made.batch();
  const after = { ...made.kernel.counters, invalidations: made.platform.counters.invalidations };
  const changed = Object.entries(after)
    .map(([name, value]) => [name, value - (before[name as keyof typeof before] as number)] as const)
    .filter(([, value]) => value !== 0);
  console.log(`${title}: ${changed.map(([name, value]) => `${name} ${value}`).join(', ')}`);
  return Object.fromEntries(changed);
}

export async function run(): Promise<Files> {
  const suite = new Suite('l4');
  const systems = { echo: echo(), syscalls: syscalls(), faults: faults(), mapMany: mapMany() };
  suite.counts('call and answer', events(`${BATCH} calls`, systems.echo));
  suite.counts('guest system call', events(`${BATCH} system calls`, systems.syscalls));
  suite.counts('guest fault, system call, unmap', events(`${BATCH} faults`, systems.faults));
  suite.counts('map and unmap 63,488 pages', events('one large item', systems.mapMany));
  const summary = await b.suite(
    `l4: ${BATCH} operations, and one item of 2^16 pages`,
    b.add('call and answer', () => systems.echo.batch()),
    b.add('guest system call', () => systems.syscalls.batch()),
    b.add('guest fault, system call, unmap', () => systems.faults.batch()),
    b.add('map and unmap 63,488 pages', () => systems.mapMany.batch()),
    b.cycle(),
    b.complete(),
  );
  suite.timesOf(summary);
  return suite.files();
}
