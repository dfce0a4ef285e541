/**
 * The whole system as one call: machine, host kernel, virtual kernel, the Hurd servers, one guest program.
 *
 *   Machine -> HostKernel -> process `vkernel` -> Platform -> L4Kernel -> sigma0, wortel -> physmem, task, root -> guest
 *
 * The package's entry: the command line, tests and benches boot through it. Nothing here imports node:*.
 */
import { kassert } from '../hostkernel/base/assert.ts';
import { errnoText } from '../hostkernel/base/errno.ts';
import type { Tracer } from '../hostkernel/base/trace.ts';
import { PAGE_SIZE } from '../hostkernel/base/units.ts';
import { describeExit, type ExitStatus, type Host, type HostBody, HostKernel, type HostWait } from '../hostkernel/kern/index.ts';
import type { Machine, PageTableFormat, PolledDisk } from '../hostkernel/machine/index.ts';
import type { SpaceCounters, VmSpace } from '../hostkernel/vm/index.ts';
import { L4Kernel, Platform, type RunResult, threadId, threadName, USER_BASE } from './l4/index.ts';
import type { L4, L4Body } from './l4/user.ts';
import type { GuestSpace, HostDisk, SpaceWatcher } from './platform/index.ts';
import { type PhysmemCensus, takeCensus } from './physmem/core/census.ts';
import { CountedStore, type SwapStore } from './physmem/core/swap-store.ts';
import { memoryStore } from './physmem/memory-store.ts';
import { physmemBody } from './physmem/server.ts';
import { fixedPolicy } from './policy/fixed.ts';
import { policyServer } from './policy/server.ts';
import { WEIGHT_POLICY } from './policy/weight.ts';
import { type GuestProcess, type RootReport, rootTask } from './posix/root.ts';
import { taskServer } from './task/server.ts';
import { type BootLog, TASK_POLICY, TASK_ROOT, TASK_TASK, wortel } from './wortel/server.ts';

// What a caller needs to make the options.
export { Tracer } from '../hostkernel/base/trace.ts';
export { compileLayout, LAYOUT_NAMES, layoutByName, Machine } from '../hostkernel/machine/index.ts';
export { exitStatus, type ProcessExit } from './posix/interface.ts';
export type { ContainerCensus, ControlCensus, PhysmemCensus } from './physmem/core/census.ts';
export { PHYSMEM } from './physmem/interface.ts';
export type { GuestSpace, SpaceWatcher } from './platform/index.ts';
export type { FrameAccount, RootReport } from './posix/root.ts';

/** What the policy server may do with the memory: vkernel/policy/NAME.ts says what each means. */
export type PolicyName = 'fixed' | 'weight';

export interface StackOptions {
  readonly machine: Machine;
  /** Width of the guest program, and so of the whole vkernel. */
  readonly xlen: 32 | 64;
  readonly mmu64: PageTableFormat;
  readonly mmu32: PageTableFormat;
  readonly vpte64: PageTableFormat;
  readonly vpte32: PageTableFormat;
  readonly tracer: Tracer;
  /** The boot log, a line a call. */
  readonly log: BootLog;
  /** The guest program and its file system. */
  readonly process: Omit<GuestProcess, 'tracer'>;
  /** Asked when the process has gone: which is the next? null: none. Absent: there is only the one. */
  readonly next?: (report: RootReport) => StackOptions['process'] | null;
  /** Which of descriptors 0, 1, 2 are terminals; none by default. All three are the machine's console. */
  readonly terminals?: readonly [boolean, boolean, boolean];
  /** Pages mapped at once around a fault where resident: a power of two up to 16. Default 16. */
  readonly faultAround?: number;
  /** Fresh anonymous pages brought in by one fault: a power of two up to 16. Default 1. */
  readonly cluster?: number;
  /**
   * Bytes of the guest's memory, rounded down to pages; 7/8 of RAM by default. More than RAM needs a machine with a disk,
   * to which the host pages what does not fit. A 32-bit vkernel has at most 1 GiB.
   */
  readonly imageBytes?: number;
  /** What physmem swaps to: a disk of the host, or this many pages of its own memory. Nothing by default. */
  readonly swap?: PolledDisk | number;
  /** How memory is divided among those who make contracts with the policy server. Default: fixed. */
  readonly policy?: PolicyName;
  /** Check all invariants of both kernels when the system has ended. */
  readonly verify?: boolean;
  /** A further TypeScript thread in the guest's address space. */
  readonly companion?: L4Body;
  readonly probe?: StackProbe;
  /** Looks on as the vkernel manages the spaces its harts run in. */
  readonly watcher?: SpaceWatcher;
  /** Looks at the guest once: when so many instructions have been retired, or (null) at its end. */
  readonly inspect?: { readonly at: number | null; readonly look: (view: GuestView) => void };
}

/** A view of the running system, filled in as its parts come up: good even when one of them has panicked. */
export interface StackProbe {
  physmem: (() => PhysmemCensus) | null;
}

/** The guest's address space as its kernel and the host have it; for a look only. */
export interface GuestView {
  readonly instructions: number; // retired so far
  readonly guest: GuestSpace;
  readonly host: VmSpace;
}

/** What happened, layer by layer. Counts repeat exactly for the same program and options. */
export interface StackResult {
  /** null: the system did not come up, or stopped before the program ended; `failure` says why. */
  readonly report: RootReport | null;
  readonly failure: string | null;
  /** Of a guest that a fault killed: which step of the host's walk refused the access. */
  readonly refusal: string | null;
  readonly stats: StackStats;
  /** The host's share of guest address spaces, without the vkernel's own memory. */
  readonly guestSpaces: Readonly<SpaceCounters>;
}

export interface StackStats {
  readonly instructions: number; // retired by the guest program
  readonly virtualMicroseconds: number;
  readonly tlbMisses: number;
  readonly tlbWalkReferences: number;
  readonly hostFaults: number;
  readonly hostSyscalls: number;
  readonly zeroFills: number;
  readonly vpteWalks: number;
  readonly vpteReferences: number;
  readonly guestFaults: number;
  readonly guestSyscalls: number;
  readonly ipcs: number;
  readonly maps: number;
  readonly unmaps: number;
  readonly invalidations: number;
  readonly pagesOut: number; // written by the host to its disk
  readonly pagesIn: number; // read back
  readonly swapPages: number; // of swap space
  readonly swappedOut: number; // pages physmem wrote to it
  readonly swappedIn: number; // read back
  readonly framesImage: number; // pages of the guest's memory
  readonly framesReceived: number; // by physmem
  readonly framesHeld: number; // by the guest at its end
  readonly framesReturned: number; // of those, when its control was destroyed
  readonly hostFramesLost: number; // not free again when all processes had ended
}

/** Share of RAM that becomes the guest's memory; the rest is for the host's page tables. */
const IMAGE_SHARE = 7 / 8;
/** A 32-bit vkernel maps all guest memory into its own 4 GiB, beside its kernel region. */
const IMAGE_MAX_32 = 2 ** 30; // bytes

const PHYSMEM_CAPABILITY = 1; // at wortel
// Pages guaranteed to the servers of the boot, beside their startup pages.
const TASK_SERVER_PAGES = 64;
const POLICY_PAGES = 16;
const ROOT_PAGES = 64;

/** Name of the disk physmem swaps to, at the host. */
const SWAP_PATH = '/dev/swap0';

/** The disks the host of the stack must have. */
export function disksOf(options: Pick<StackOptions, 'swap'>): ReadonlyMap<string, PolledDisk> {
  return typeof options.swap === 'object' ? new Map([[SWAP_PATH, options.swap]]) : new Map();
}

/** Boots, runs the program to its end, shuts down. */
export function bootStack(options: StackOptions): StackResult {
  const kernel = new HostKernel({ ...options, disks: disksOf(options), log: (line) => options.log('host', line) });
  const finish = spawnStack(kernel, options);
  kernel.run();
  return finish();
}

/**
 * Starts the system as a process of `kernel`, which may itself be the guest of another.
 * @returns what to call when all processes of `kernel` have ended
 */
export function spawnStack(kernel: HostKernel, options: Omit<StackOptions, 'machine'>): () => StackResult {
  const { tracer, xlen } = options;
  const { machine } = kernel;
  const freeAtStart = kernel.vm.freeFrames;
  const ramBytes = machine.ram.frames * PAGE_SIZE;
  const share = Math.floor((options.imageBytes ?? ramBytes * IMAGE_SHARE) / PAGE_SIZE) * PAGE_SIZE;
  const imageBytes = xlen === 32 ? Math.min(share, IMAGE_MAX_32) : share;
  const boot: Boot = { options, imageBytes, l4: null, platform: null, swap: null, report: null, failure: null };
  options.log('host', `RAM ${machine.ram.frames} frames, page tables ${(xlen === 64 ? options.mmu64 : options.mmu32).id}`);
  const process = kernel.spawnBody('vkernel', vkernelBody(boot), xlen);
  return () => {
    const status = process.exitStatus as ExitStatus;
    if ('signal' in status) boot.failure = `the vkernel was ${describeExit(status)}`;
    if (options.verify === true) kernel.assertInvariants();
    return {
      report: boot.report,
      failure: boot.report === null ? (boot.failure ?? 'the system stopped early') : null,
      refusal: refusalOf(boot.report, kernel),
      stats: gather(boot, kernel, freeAtStart),
      guestSpaces: kernel.vm.guestSpaces,
    };
  };

  function gather(done: Boot, host: HostKernel, free: number): StackStats {
    const l4 = done.l4?.counters;
    const report = done.report;
    return {
      instructions: l4?.instructions ?? 0,
      virtualMicroseconds: Math.floor((done.l4?.now ?? 0) / 1000),
      tlbMisses: machine.mmu.walks,
      tlbWalkReferences: machine.mmu.walkReferences,
      hostFaults: host.vm.counters.faults,
      hostSyscalls: host.counters.syscalls,
      zeroFills: host.vm.counters.zeroFills,
      vpteWalks: host.vm.counters.walks,
      vpteReferences: host.vm.counters.walkReferences,
      guestFaults: l4?.faults ?? 0,
      guestSyscalls: l4?.syscalls ?? 0,
      ipcs: l4?.ipcs ?? 0,
      maps: l4?.maps ?? 0,
      unmaps: l4?.unmaps ?? 0,
      invalidations: done.platform?.counters.invalidations ?? 0,
      pagesOut: host.vm.pagerCounters?.pagesWritten ?? 0,
      pagesIn: host.vm.pagerCounters?.pagesRead ?? 0,
      swapPages: done.swap?.slots ?? 0,
      swappedOut: done.swap?.counters.pagesWritten ?? 0,
      swappedIn: done.swap?.counters.pagesRead ?? 0,
      framesImage: imageBytes / PAGE_SIZE,
      framesReceived: report?.after.received ?? 0,
      framesHeld: report === null ? 0 : report.held.bound - report.before.bound,
      framesReturned: report === null ? 0 : report.held.bound - report.after.bound,
      hostFramesLost: free - host.vm.freeFrames,
    };
  }

  /** The vkernel as the host sees it: one process. */
  function vkernelBody(state: Boot): HostBody {
    return function* main(host: Host): Generator<HostWait, number> {
      const format = xlen === 64 ? options.vpte64 : options.vpte32;
      const { watcher } = options;
      const platform = Platform.create(host, { format, memoryBytes: state.imageBytes, ...(watcher === undefined ? {} : { watcher }) });
      if (typeof platform === 'number') {
        state.failure = `the vkernel cannot map its memory: ${errnoText(-platform)}`;
        return 1;
      }
      options.log('vkernel', `memory image ${state.imageBytes / PAGE_SIZE} frames, virtual page tables ${format.id}`);
      const disk = typeof options.swap === 'object' ? platform.openDisk(SWAP_PATH) : null;
      if (typeof disk === 'number') {
        state.failure = `the vkernel cannot open ${SWAP_PATH}: ${errnoText(-disk)}`;
        return 1;
      }
      const l4 = new L4Kernel(platform, { tracer, log: (line) => options.log('l4', line) });
      state.platform = platform;
      state.l4 = l4;
      const at = options.inspect?.at ?? null;
      if (at !== null) l4.probe(at, () => inspect(state));
      const root = l4.createRootThread(wortel(l4.sigma0, servers(state, disk), options.log));
      options.log(
        'vkernel',
        `starts sigma0, thread ${threadName(l4.sigma0, xlen)}, owner of all frames, and wortel, thread ${threadName(root, xlen)}`,
      );
      const result: RunResult = yield* l4.run();
      if (options.verify === true) l4.assertInvariants();
      if (result.reason === 'deadlock') state.failure ??= `nobody can run: ${result.report.join('; ')}`;
      else if (state.report === null) state.failure ??= result.report.join('; ');
      return 0;
    };
  }

  function inspect(state: Boot): void {
    const guest = state.l4?.hostedSpaces.at(-1);
    const space = guest && [...(process.group?.spaces ?? [])].find(({ id }) => id === guest.id);
    if (guest && space) options.inspect?.look({ instructions: state.l4?.counters.instructions ?? 0, guest, host: space.space });
  }

  /** What gives physmem its swap space, if there is any. */
  function swapOf(state: Boot, disk: HostDisk | null): { swap?: (l4: L4) => SwapStore } {
    const { swap } = options;
    if (swap === undefined) return {};
    return {
      swap: (l4) => {
        state.swap = new CountedStore(typeof swap === 'number' ? memoryStore(l4, swap) : (disk as HostDisk)); // opened above
        return state.swap;
      },
    };
  }

  function servers(state: Boot, disk: HostDisk | null): Parameters<typeof wortel>[1] {
    const { next } = options;
    const withTracer = (process: StackOptions['process'] | null): GuestProcess | null => process && { ...process, tracer };
    const wortelThread = threadId(USER_BASE + 2, 1, xlen);
    const policy = options.policy === 'weight' ? WEIGHT_POLICY : fixedPolicy();
    const guarantees = [
      { task: TASK_TASK, pages: TASK_SERVER_PAGES },
      { task: TASK_POLICY, pages: POLICY_PAGES },
      { task: TASK_ROOT, pages: ROOT_PAGES },
    ];
    return {
      physmem: physmemBody({
        wortel: wortelThread,
        capability: PHYSMEM_CAPABILITY,
        tracer,
        started: (physmem) => {
          if (options.probe !== undefined) options.probe.physmem = () => takeCensus(physmem);
        },
        ...swapOf(state, disk),
      }),
      task: { body: taskServer(tracer, options.log), pages: TASK_SERVER_PAGES },
      policy: { body: policyServer({ policy, rootTask: TASK_ROOT, tracer, log: options.log }, guarantees), pages: POLICY_PAGES },
      root: {
        body: rootTask({
          process: { ...options.process, tracer },
          ...(next === undefined ? {} : { next: (report) => withTracer(next(report)) }),
          terminals: options.terminals ?? [false, false, false],
          faultAround: options.faultAround ?? 16,
          cluster: options.cluster ?? 1,
          processesMax: () => state.platform?.spacesMax ?? 0,
          log: options.log,
          done: (report) => {
            kassert(state.report === null, 'stack: two reports');
            state.report = report;
          },
          failed: (why) => {
            state.failure = why;
          },
          ended: () => {
            if (options.inspect?.at === null) inspect(state);
          },
          ...(options.companion === undefined ? {} : { companion: options.companion }),
        }),
        pages: ROOT_PAGES,
      },
    };
  }
}

/** Why the host refused the access that killed the guest, if that is how it ended. */
function refusalOf(report: RootReport | null, kernel: HostKernel): string | null {
  const fault = report?.exit.kind === 'signal' ? report.exit.fault : null;
  const { va, reason, level } = kernel.vm.lastRefused;
  if (fault === null || fault.address !== va || reason === 'none') return null;
  return level < 0 ? `host: ${reason}` : `virtual page table: ${reason} at level ${level}`;
}

/** What the boot leaves behind for the report. */
interface Boot {
  readonly options: Omit<StackOptions, 'machine'>;
  readonly imageBytes: number;
  l4: L4Kernel | null;
  platform: Platform | null;
  swap: CountedStore | null;
  report: RootReport | null;
  failure: string | null;
}
