/**
 * How does physmem grow? Life of a container from one page to a gigabyte, logical copies that are written in part, long
 * chains of copies, many containers, the split threshold, pages asked back, a million frames; and the same page by message.
 *
 * Counters of each case come first: they repeat exactly. Times are processor time, best of some rounds; what counts is
 * how they grow down a column. The core runs alone, without page contents, but in the last table.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { type GuestFrame, PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { HostKernel } from '../../hostkernel/kern/index.ts';
import { compileLayout, Machine, SV32, SV39, VPTE_32_NX, VPTE_64_NX } from '../../hostkernel/machine/index.ts';
import { invoke } from '../../vkernel/cap/rpc.ts';
import { startup } from '../../vkernel/cap/startup.ts';
import { L4Kernel, Platform, threadId, USER_BASE } from '../../vkernel/l4/index.ts';
import type { L4Body } from '../../vkernel/l4/user.ts';
import { allocate } from '../../vkernel/physmem/core/allocate.ts';
import type { Container } from '../../vkernel/physmem/core/container.ts';
import { copy } from '../../vkernel/physmem/core/copy.ts';
import { deallocate } from '../../vkernel/physmem/core/deallocate.ts';
import { map, type MapSink } from '../../vkernel/physmem/core/map.ts';
import { Physmem, WAIT } from '../../vkernel/physmem/core/physmem.ts';
import { PolicyBuffer } from '../../vkernel/physmem/core/policy-buffer.ts';
import type { Principal } from '../../vkernel/physmem/core/principals.ts';
import { type ReturnsOptions, SENT } from '../../vkernel/physmem/core/returns.ts';
import { EXTRA, FORCE_WRITE, MAP_READ, MAP_WRITE, PHYSMEM } from '../../vkernel/physmem/interface.ts';
import { HEADER_COMMITS, policyWord, ROW_GUARANTEED, ROW_POLICY, ROW_WORDS, rowOf } from '../../vkernel/physmem/policy-layout.ts';
import { physmemBody } from '../../vkernel/physmem/server.ts';
import { taskServer } from '../../vkernel/task/server.ts';
import { WORTEL, withCapability } from '../../vkernel/wortel/interface.ts';
import { wortel } from '../../vkernel/wortel/server.ts';
import { cpuTimes } from '../cpu-time.ts';
import { type Files, Suite } from '../suite.ts';

const RW = MAP_READ | MAP_WRITE | FORCE_WRITE;
const COPY_PAGES = 16; // the server's split threshold
const COLUMNS = ['flushes', 'binds', 'splits', 'copies', 'copiedPages', 'maps', 'items'] as const;

/** Takes every item and keeps none; counts the pages it was given. */
const sink = {
  pages: 0,
  room: 31,
  item(_frame: GuestFrame, pages: number) {
    this.pages += pages;
  },
  clear() {},
} satisfies MapSink & { pages: number };

function core(pages: number, copyPages = COPY_PAGES, returns?: ReturnsOptions): Physmem {
  const physmem = new Physmem({
    wordBits: 64,
    copyPages,
    memory: { zero() {}, copy() {} },
    flush() {},
    now: () => 0,
    retired() {},
    ...(returns === undefined ? {} : { returns }),
  });
  physmem.receive((2 ** 20) as GuestFrame, pages);
  return physmem;
}

const bytes = (pages: number): number => pages * PAGE_SIZE;

/** Maps all of [from, from + pages), as many requests as it takes. */
function mapAll(physmem: Physmem, container: Container, from: number, pages: number): void {
  for (let done = 0; done < pages; ) {
    sink.pages = 0;
    if (map(physmem, container, RW, bytes(from + done), bytes(from + done), bytes(pages - done), sink) !== 0) throw new Error('map');
    done += sink.pages;
  }
}

function done(error: number): void {
  if (error !== 0) throw new Error(`physmem refuses: ${error}`);
}

/** One line of a table: the events of a round, and what it takes. */
interface Case {
  readonly title: string;
  readonly units: number; // a round does: the time is shown for one of them too
  readonly physmem: Physmem;
  readonly round: () => void;
}

function table(suite: Suite, title: string, unit: string, cases: readonly Case[], rounds = 5): void {
  console.log(`\n  ${title}`);
  const events = cases.map(({ physmem, round }) => {
    const before = { ...physmem.counters };
    round();
    return COLUMNS.map((name) => physmem.counters[name] - before[name]);
  });
  const times = cpuTimes(
    rounds,
    cases.map(({ units, round }) => () => {
      for (let i = 0; i < repeats(units); i += 1) round();
    }),
  );
  console.log(['', ...COLUMNS, 'µs a round', `ns a ${unit}`].map((text, i) => text.padStart(i === 0 ? 26 : 12)).join(''));
  cases.forEach(({ title: name, units }, i) => {
    const micros = (times[i].best * 1000) / repeats(units);
    suite.counts(`${title}: ${name}`, Object.fromEntries(COLUMNS.map((column, at) => [column, events[i][at]])));
    suite.times(`${title}: ${name}`, times[i].samples);
    const row = [name, ...events[i].map(String), micros.toFixed(2), ((micros * 1000) / units).toFixed(1)];
    console.log(row.map((text, column) => text.padStart(column === 0 ? 26 : 12)).join(''));
  });
}

/** Small rounds are timed many at a time. */
function repeats(units: number): number {
  return Math.max(1, Math.floor(16_384 / units));
}

/** Allocate, map and deallocate, in one request each and page by page. */
function lives(suite: Suite): void {
  const sizes = [0, 4, 8, 12, 16, 18].map((log) => 2 ** log);
  const whole = sizes.map((pages): Case => {
    const physmem = core(2 ** 19);
    const container = physmem.create(physmem.root);
    const round = (): void => {
      done(allocate(physmem, container, 0, 0, bytes(pages)));
      mapAll(physmem, container, 0, pages);
      done(deallocate(physmem, container, 0, bytes(pages), 0));
    };
    return { title: `${pages} pages, one frame`, units: pages, physmem, round };
  });
  const single = sizes.map((pages): Case => {
    const physmem = core(2 ** 19);
    const container = physmem.create(physmem.root);
    const round = (): void => {
      for (let page = 0; page < pages; page += 1) done(allocate(physmem, container, 0, bytes(page), PAGE_SIZE));
      mapAll(physmem, container, 0, pages);
      done(deallocate(physmem, container, 0, bytes(pages), 0));
    };
    return { title: `${pages} pages, one by one`, units: pages, physmem, round };
  });
  table(suite, 'allocate, map, deallocate', 'page', [...whole, ...single]);
}

/** A copy of 1000 pages, of which a share is written; then the copy goes. */
function copies(suite: Suite): void {
  const PAGES = 1000;
  const cases = [1000, 8, 1].flatMap((piece) =>
    [0, 1, 10, 100].map((percent): Case => {
      const physmem = core(4096);
      const source = physmem.create(physmem.root);
      for (let page = 0; page < PAGES; page += piece) done(allocate(physmem, source, 0, bytes(page), bytes(Math.min(piece, PAGES - page))));
      mapAll(physmem, source, 0, PAGES);
      const target = physmem.create(physmem.root);
      const written = (PAGES * percent) / 100;
      const round = (): void => {
        done(copy(physmem, source, 0, target, 0, bytes(PAGES), 0));
        for (let i = 0; i < written; i += 1) mapAll(physmem, target, (i * PAGES) / written, 1);
        done(deallocate(physmem, target, 0, bytes(PAGES), 0));
      };
      return { title: `pieces of ${piece}, ${percent} % written`, units: PAGES, physmem, round };
    }),
  );
  table(suite, 'copy of 1000 pages, part of it written, deallocated', 'page', cases);
}

/** The copy alone, which has to cost as many entries as there are, and not pages. */
function copyAlone(suite: Suite): void {
  const cases = [2 ** 4, 2 ** 8, 2 ** 12, 2 ** 16].map((pages): Case => {
    const physmem = core(2 ** 17);
    const source = physmem.create(physmem.root);
    done(allocate(physmem, source, 0, 0, bytes(pages)));
    mapAll(physmem, source, 0, pages);
    const target = physmem.create(physmem.root);
    const round = (): void => {
      done(copy(physmem, source, 0, target, 0, bytes(pages), 0));
      done(deallocate(physmem, target, 0, bytes(pages), 0));
    };
    return { title: `${pages} pages, one entry`, units: 1, physmem, round };
  });
  table(suite, 'copy of one entry and its end', 'copy', cases);
}

/** Copies of copies: each written once, and all of them deallocated from the first on. */
function chains(suite: Suite): void {
  const cases = [10, 100, 1000].map((length): Case => {
    const physmem = core(2 ** 16);
    const round = (): void => {
      const chain = [physmem.create(physmem.root)];
      done(allocate(physmem, chain[0], 0, 0, bytes(16)));
      mapAll(physmem, chain[0], 0, 16);
      for (let i = 1; i <= length; i += 1) {
        chain.push(physmem.create(physmem.root));
        done(copy(physmem, chain[i - 1], 0, chain[i], 0, bytes(16), 0));
        mapAll(physmem, chain[i], i % 16, 1);
      }
      for (const container of chain) physmem.destroy(container);
    };
    return { title: `${length} copies`, units: length, physmem, round };
  });
  table(suite, 'chains of copies of 16 pages, each written once', 'copy', cases, 3);
}

function manyContainers(suite: Suite): void {
  const cases = [100, 1000, 10_000, 100_000].map((count): Case => {
    const physmem = core(2 ** 18);
    const round = (): void => {
      const made: Container[] = [];
      for (let i = 0; i < count; i += 1) {
        const container = physmem.create(physmem.root);
        done(allocate(physmem, container, 0, 0, PAGE_SIZE));
        mapAll(physmem, container, 0, 1);
        made.push(container);
      }
      for (const container of made) physmem.destroy(container);
    };
    return { title: `${count} containers`, units: count, physmem, round };
  });
  table(suite, 'containers of one page: created, mapped, destroyed', 'container', cases, 3);
}

/** The largest piece copied at once: smaller ones split more and copy less. */
function thresholds(suite: Suite): void {
  const PAGES = 1024;
  const cases = [1, 4, 16, 64, 1024].map((copyPages): Case => {
    const physmem = core(8192, copyPages);
    const source = physmem.create(physmem.root);
    const round = (): void => {
      const target = physmem.create(physmem.root);
      done(allocate(physmem, source, 0, 0, bytes(PAGES)));
      mapAll(physmem, source, 0, PAGES);
      done(copy(physmem, source, 0, target, 0, bytes(PAGES), 0));
      for (let page = 0; page < PAGES; page += 100) mapAll(physmem, target, page, 1);
      physmem.destroy(target);
      done(deallocate(physmem, source, 0, bytes(PAGES), 0));
    };
    return { title: `at most ${copyPages} pages`, units: PAGES, physmem, round };
  });
  table(suite, 'split threshold: copy of a frame of 1024 pages, every hundredth written', 'page', cases);
}

/** Extra pages asked back: a principal within its guarantee maps a page that another holds as extra, and that one returns it. */
function upcalls(suite: Suite): void {
  const PAGES = 1024;
  const cases = [2, 16, 128, 1024].map((principals): Case => {
    const words = new Uint32Array(ROW_WORDS * 4096);
    const asked: { from: Principal | null; count: number } = { from: null, count: 0 };
    const physmem = core(PAGES, COPY_PAGES, {
      send: (from, count) => {
        asked.from = from;
        asked.count = count;
        return SENT;
      },
    });
    const tasks = Array.from({ length: principals }, (_, i) => 1 + i + Math.floor(i / 63)); // multiples of 64 are no task ids
    const controls = tasks.map((task, i) => physmem.splitControl(physmem.root, i === 0 ? PAGES : 0, task));
    const [owner, holder] = controls.map((control) => physmem.create(control as NonNullable<typeof control>));
    physmem.accounts.introduce(new PolicyBuffer({ load: (i) => words[i], store: (i, value) => void (words[i] = value) }, 12), () => null);
    for (const task of tasks) {
      words[rowOf(task) + ROW_GUARANTEED] = task === 1 ? PAGES : 0;
      words[rowOf(task) + ROW_POLICY] = policyWord(true, 0);
    }
    words[HEADER_COMMITS] = 1;
    done(allocate(physmem, holder, EXTRA, 0, bytes(PAGES)));
    mapAll(physmem, holder, 0, PAGES);
    const round = (): void => {
      done(allocate(physmem, owner, 0, 0, PAGE_SIZE));
      if (map(physmem, owner, RW, 0, 0, PAGE_SIZE, sink) !== WAIT || asked.count !== 1) throw new Error('nobody was asked');
      done(deallocate(physmem, holder, 0, PAGE_SIZE, 0));
      mapAll(physmem, owner, 0, 1);
      done(deallocate(physmem, owner, 0, PAGE_SIZE, 0));
      done(allocate(physmem, holder, EXTRA, 0, PAGE_SIZE));
      mapAll(physmem, holder, 0, 1);
    };
    return { title: `one of ${principals} tasks`, units: 1, physmem, round };
  });
  table(suite, 'a page asked back from a task, returned, and mapped by the other', 'page', cases);
}

/** What a frame costs: a million of one page, each in an entry of its own, all bound. */
function million(suite: Suite): void {
  const PAGES = 2 ** 20;
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const settle = (): number => {
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = settle();
  const physmem = core(PAGES);
  const container = physmem.create(physmem.root);
  for (let page = 0; page < PAGES; page += 1) done(allocate(physmem, container, 0, bytes(page), PAGE_SIZE));
  mapAll(physmem, container, 0, PAGES);
  const used = settle() - before;
  console.log(`\n  a million frames of one page, bound, with their entries: ${(used / PAGES).toFixed(1)} bytes each`);
  const set = container.entries.size; // keeps all of it alive up to here
  suite.counts('a million frames of one page', { entries: set, 'bytes of frames and entries': physmem.table.bytes });
  const tables = (physmem.table.bytes / set).toFixed(1);
  console.log(`  (frames and entries ${tables}; the rest is the container's set, free memory and owners)`);
}

/** One page by message: allocate, map, deallocate; and with the map in the same request. Real memory, real page tables. */
function messages(suite: Suite): void {
  const ROUNDS = 4096;
  const machine = Machine.create({ ramBytes: 64 * 2 ** 20 });
  if (machine === null) throw new Error('no memory for the machine');
  const formats = {
    mmu64: compileLayout(SV39),
    mmu32: compileLayout(SV32),
    vpte64: compileLayout(VPTE_64_NX),
    vpte32: compileLayout(VPTE_32_NX),
  };
  const host = new HostKernel({ machine, tracer: new Tracer(), ...formats });
  const made: { kernel?: L4Kernel } = {};
  const root: L4Body = function* (l4) {
    const data = yield* startup(l4);
    if (typeof data === 'string') throw new Error(data);
    const { physmem } = data;
    done(yield* invoke(l4, physmem, PHYSMEM.create, data.memoryControl));
    const container = l4.message.word(1);
    const cpu = (): number => {
      const { user, system } = process.cpuUsage();
      return user + system;
    };
    const VA = 0x4000_0000;
    const separate = function* () {
      yield* invoke(l4, physmem, PHYSMEM.allocate, container, 0, 0, PAGE_SIZE);
      yield* invoke(l4, physmem, PHYSMEM.map, container, RW, VA, 0, PAGE_SIZE);
      yield* invoke(l4, physmem, PHYSMEM.deallocate, container, 0, PAGE_SIZE);
    };
    const together = function* () {
      yield* invoke(l4, physmem, PHYSMEM.provide, container, RW, VA, 0, PAGE_SIZE);
      yield* invoke(l4, physmem, PHYSMEM.deallocate, container, 0, PAGE_SIZE);
    };
    const ipcs = (): number => (made.kernel as L4Kernel).counters.ipcs;
    console.log('\n  one page by message');
    for (const [title, step] of [
      ['allocate, map, deallocate: three requests', separate],
      ['provide, deallocate: two', together],
    ] as const) {
      const micros: number[] = [];
      const first = ipcs();
      for (let round = 0; round < 6; round += 1) {
        const before = cpu();
        for (let i = 0; i < ROUNDS; i += 1) yield* step();
        if (round > 0) micros.push(cpu() - before);
      }
      const messages = ipcs() - first;
      suite.counts(title, { pages: 6 * ROUNDS, ipcs: messages });
      suite.times(
        title,
        micros.map((time) => time / 1000),
      );
      console.log(
        `${title.padStart(58)}${String(messages / (6 * ROUNDS)).padStart(4)} messages${(Math.min(...micros) / ROUNDS).toFixed(2).padStart(12)} µs a page`,
      );
    }
    yield* invoke(l4, data.wortel, withCapability(WORTEL, data.wortelCapability).shutdown, 0);
  };
  const say = (): void => undefined;
  const tracer = new Tracer();
  host.spawnBody(
    'bench',
    function* (api) {
      const platform = Platform.create(api, { format: formats.vpte64, memoryBytes: 32 * 2 ** 20 });
      if (typeof platform === 'number') throw new Error(`no platform: ${platform}`);
      const kernel = new L4Kernel(platform);
      made.kernel = kernel;
      const modules = {
        physmem: physmemBody({ wortel: threadId(USER_BASE + 2, 1, 64), capability: 1, tracer }),
        task: { body: taskServer(tracer, say), pages: 16 },
        root: { body: root, pages: 64 },
      };
      kernel.createRootThread((l4) => wortel(kernel.sigma0, modules, say)(l4));
      yield* kernel.run();
      return 0;
    },
    64,
  );
  host.run();
}

export function run(): Files {
  const suite = new Suite('physmem-growth');
  lives(suite);
  copyAlone(suite);
  copies(suite);
  chains(suite);
  manyContainers(suite);
  thresholds(suite);
  upcalls(suite);
  million(suite);
  messages(suite);
  return suite.files();
}
