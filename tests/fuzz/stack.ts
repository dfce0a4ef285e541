/**
 * A booted stack that runs one hostile program after the other, and what must hold all the while.
 *
 *   HostKernel --> canary process     pages of another process of the host, beside the vkernel
 *              \-> vkernel: L4, wortel, physmem, task --> root task: canary container, then the programs
 *
 * A canary frame holds words that follow from its index. After every program each is compared word by word; now and
 * then all of RAM is searched for canary words in other frames, which would mean that somebody read one. Bookkeeping
 * is compared after every program too, and the invariants of all layers are checked now and then.
 */
import { kassert, panic } from '../../hostkernel/base/assert.ts';
import type { Tracer } from '../../hostkernel/base/trace.ts';
import { PAGE_SIZE } from '../../hostkernel/base/units.ts';
import {
  describeExit,
  type Host,
  HostKernel,
  type HostWait,
  MAP_ANON,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from '../../hostkernel/kern/index.ts';
import { compileLayout, layoutByName, Machine, type PageTableFormat } from '../../hostkernel/machine/index.ts';
import { invoke, serve } from '../../vkernel/cap/rpc.ts';
import { startup } from '../../vkernel/cap/startup.ts';
import { L4Kernel, Platform, threadId, USER_BASE } from '../../vkernel/l4/index.ts';
import { ACCEPT_ALL, type L4, type L4Body, type L4Wait } from '../../vkernel/l4/user.ts';
import { assertInvariants as assertPhysmem } from '../../vkernel/physmem/core/invariants.ts';
import { MAP_READ, MAP_WRITE, PHYSMEM } from '../../vkernel/physmem/interface.ts';
import { PhysmemServer } from '../../vkernel/physmem/server.ts';
import { type GuestProcess, type RootReport, rootTask } from '../../vkernel/posix/root.ts';
import { taskServer } from '../../vkernel/task/server.ts';
import { wortel } from '../../vkernel/wortel/server.ts';

export interface StackConfig {
  readonly xlen: 32 | 64;
  readonly mmu: string;
  readonly vpte: string;
  readonly faultAround: number;
  readonly cluster: number;
  readonly ramBytes: number;
}

/** What the stack asks the campaign, and tells it. */
export interface Campaign {
  readonly tracer: Tracer;
  /** The next program, or null: no more. */
  next(): GuestProcess | null;
  /** A program has ended, and everything checked was in order. */
  done(report: RootReport): void;
}

const HOST_CANARIES = 24; // pages
const GUEST_CANARIES = 96;
const ROOT_PAGES = 64 + 2 * GUEST_CANARIES;
const MARK_LO = 0x5ca1_ab1e | 0;
const MARK_HI = 0xc0de_cafe | 0;
const SEARCH_EVERY = 64; // programs
const INVARIANTS_EVERY = 64;
const INPUT_BYTES = 10_000; // of the console, for a boot

function format(name: string): PageTableFormat {
  const descriptor = layoutByName(name);
  kassert(descriptor !== null, `no layout ${name}`);
  return compileLayout(descriptor);
}

/** Page `index` of the canaries: every eighth pair of words is the mark, the others count. */
function canaryPage(index: number): Uint8Array {
  const words = new Int32Array(PAGE_SIZE / 4);
  for (let at = 0; at < words.length; at += 1) words[at] = Math.imul(index * words.length + at, 0x9e37_79b1) | 1;
  for (let at = 0; at < words.length; at += 16) words.set([MARK_LO, MARK_HI], at);
  return new Uint8Array(words.buffer);
}

/** Boots, runs the campaign's programs to the end, shuts down. Throws what any layer throws, and KernelPanic for a property that fails. */
export function runCampaign(config: StackConfig, campaign: Campaign): void {
  const { xlen } = config;
  let input = INPUT_BYTES;
  const machine = Machine.create({
    ramBytes: config.ramBytes,
    console: {
      write: () => undefined,
      read: (max) => {
        const bytes = new Uint8Array(Math.min(max, input, 100)).fill(97);
        input -= bytes.length;
        return bytes;
      },
    },
  });
  kassert(machine !== null, 'fuzz: no memory for the machine');
  const { tracer } = campaign;
  const kernel = new HostKernel({
    machine,
    tracer,
    mmu64: format(xlen === 64 ? config.mmu : 'sv39'),
    mmu32: format(xlen === 32 ? config.mmu : 'sv32'),
    vpte64: format(xlen === 64 ? config.vpte : 'vpte-64-nx'),
    vpte32: format(xlen === 32 ? config.vpte : 'vpte-32-nx'),
    timeSlice: 20_000,
  });
  const freeAtStart = kernel.vm.freeFrames;
  const canaries = new Canaries(machine);
  let l4: L4Kernel | null = null;
  let physmem: PhysmemServer | null = null;
  let stopped: string | null = null;
  let baseline: RootReport['before'] | null = null;
  let count = 0;

  const checkEverything = (): void => {
    kernel.assertInvariants();
    l4?.assertInvariants();
    if (physmem !== null) assertPhysmem(physmem.physmem);
  };
  const check = (report: RootReport): void => {
    count += 1;
    baseline ??= report.before;
    for (const field of ['received', 'fixed', 'free', 'bound', 'charged', 'containers'] as const) {
      const [before, after] = [baseline[field], report.after[field]];
      kassert(before === after, `fuzz: physmem's ${field} was ${before}, is ${after} when the program has gone`);
    }
    canaries.compare();
    if (count % SEARCH_EVERY === 0) canaries.search();
    if (count % INVARIANTS_EVERY === 0) checkEverything();
    campaign.done(report);
  };
  /** Locates the canaries once all of them have been written. */
  const first = (): GuestProcess => {
    canaries.locate();
    const process = campaign.next();
    kassert(process !== null, 'fuzz: a campaign without programs');
    return process;
  };

  const root: L4Body = function* (thread) {
    yield* guestCanaries(thread);
    yield* rootTask({
      process: first(),
      next: (report) => {
        check(report);
        return campaign.next();
      },
      terminals: [false, false, false],
      faultAround: config.faultAround,
      cluster: config.cluster,
      log: () => undefined,
      done: () => undefined,
      failed: (why) => {
        stopped = why;
      },
    })(thread);
  };
  const physmemBody: L4Body = function* (thread) {
    physmem = new PhysmemServer(thread, { wortel: threadId(USER_BASE + 2, 1, xlen), capability: 1, tracer });
    const failure = yield* physmem.bootstrap();
    kassert(failure === null, `fuzz: physmem: ${failure}`);
    const { handlers, objects } = physmem;
    yield* serve(thread, { methods: PHYSMEM, handlers, objects, nobody: physmem.physmem.root, tracer });
  };
  let running = true;
  kernel.spawnBody('canary', (host) => hostCanaries(host, () => running), xlen);
  const vkernel = kernel.spawnBody(
    'vkernel',
    function* (host): Generator<HostWait, number> {
      const memoryBytes = Math.floor((config.ramBytes * 13) / 16 / PAGE_SIZE) * PAGE_SIZE;
      const platform = Platform.create(host, { format: format(config.vpte), memoryBytes });
      if (typeof platform === 'number') panic(`fuzz: the platform does not come up: ${platform}`);
      l4 = new L4Kernel(platform, { tracer });
      const modules = {
        physmem: physmemBody,
        task: { body: taskServer(tracer, () => undefined), pages: 64 },
        root: { body: root, pages: ROOT_PAGES },
      };
      l4.createRootThread(wortel(l4.sigma0, modules, () => undefined));
      const result = yield* l4.run();
      l4.assertInvariants();
      kassert(result.reason === 'shutdown', `fuzz: nobody can run: ${result.report.join('; ')}`);
      return 0;
    },
    xlen,
  );
  while (vkernel.exitStatus === null) kernel.step();
  const status = vkernel.exitStatus;
  kassert('code' in status && status.code === 0, `fuzz: the vkernel ended: ${describeExit(status)}`);
  kassert(stopped === null, `fuzz: the root task failed: ${stopped}`);
  canaries.compare();
  canaries.search();
  running = false;
  kernel.run();
  kernel.assertInvariants();
  kassert(kernel.vm.freeFrames === freeAtStart, `fuzz: ${freeAtStart - kernel.vm.freeFrames} frames of RAM are lost`);
}

/** A process of the host that owns canaries, beside the vkernel, until it is told to go. */
function* hostCanaries(host: Host, running: () => boolean): Generator<HostWait, number> {
  const at = host.syscall(222, 0, HOST_CANARIES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
  kassert(at > 0, 'fuzz: no canaries in the host');
  for (let i = 0; i < HOST_CANARIES; i += 1) host.memory.write(at + i * PAGE_SIZE, canaryPage(i));
  while (running()) yield undefined;
  return 0;
}

/**
 * A container of the root task. Of twice as many frames every other one is given back: what programs get first lies
 * between two canaries each.
 */
function* guestCanaries(l4: L4): Generator<L4Wait, void> {
  const data = yield* startup(l4);
  if (typeof data === 'string') panic(`fuzz: ${data}`);
  const { physmem, memoryControl } = data;
  let label = yield* invoke(l4, physmem, PHYSMEM.create, memoryControl);
  kassert(label === 0, 'fuzz: no container for canaries');
  const container = l4.message.word(1);
  const window = 0x1000_0000;
  for (let i = 0; i < 2 * GUEST_CANARIES; i += 1) {
    const index = i * PAGE_SIZE;
    label = yield* invoke(l4, physmem, PHYSMEM.allocate, container, 0, index, PAGE_SIZE);
    kassert(label === 0, 'fuzz: no frame for a canary');
    l4.acceptor = ACCEPT_ALL;
    label = yield* invoke(l4, physmem, PHYSMEM.map, container, MAP_READ | MAP_WRITE, window + index, index, PAGE_SIZE);
    kassert(label === 0, 'fuzz: a canary cannot be mapped');
    if (i % 2 === 1) continue;
    const errno = yield* l4.write(window + index, canaryPage(HOST_CANARIES + i / 2));
    kassert(errno === 0, 'fuzz: a canary cannot be written');
  }
  for (let i = 1; i < 2 * GUEST_CANARIES; i += 2) {
    label = yield* invoke(l4, physmem, PHYSMEM.deallocate, container, i * PAGE_SIZE, PAGE_SIZE);
    kassert(label === 0, 'fuzz: a frame is not taken back');
  }
}

/** The canaries as they lie in RAM. */
class Canaries {
  readonly #words: Int32Array;
  readonly #base: number; // word index of frame 0
  readonly #frames: number;
  readonly #pages = Array.from({ length: HOST_CANARIES + GUEST_CANARIES }, (_, i) => new Int32Array(canaryPage(i).buffer));
  #places: number[] = []; // frame of each

  constructor(machine: Machine) {
    const { ram } = machine;
    this.#words = ram.i32;
    this.#base = ram.base / 4;
    this.#frames = ram.frames;
  }

  #isAt(frame: number, page: Int32Array): boolean {
    const from = this.#base + frame * (PAGE_SIZE / 4);
    for (let i = 0; i < page.length; i += 1) if (this.#words[from + i] !== page[i]) return false;
    return true;
  }

  locate(): void {
    this.#places = this.#pages.map((page, index) => {
      const found: number[] = [];
      for (let frame = 0; frame < this.#frames; frame += 1) if (this.#isAt(frame, page)) found.push(frame);
      kassert(found.length === 1, `fuzz: canary ${index} is in ${found.length} frames`);
      return found[0] as number;
    });
  }

  compare(): void {
    this.#pages.forEach((page, index) => {
      const frame = this.#places[index] as number;
      kassert(this.#isAt(frame, page), `fuzz: canary ${index} in frame ${frame} has been written`);
    });
  }

  /** No other frame holds a mark. */
  search(): void {
    const own = new Set(this.#places);
    const words = this.#words;
    for (let frame = 0; frame < this.#frames; frame += 1) {
      if (own.has(frame)) continue;
      const from = this.#base + frame * (PAGE_SIZE / 4);
      for (let at = from; at < from + PAGE_SIZE / 4 - 1; at += 1) {
        kassert(words[at] !== MARK_LO || words[at + 1] !== MARK_HI, `fuzz: frame ${frame} holds what only canaries hold`);
      }
    }
  }
}
