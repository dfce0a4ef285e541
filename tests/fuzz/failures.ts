/**
 * The fuzz target `failures`: what if the n-th allocation fails, n = 1, 2, ... until an operation gets through without
 * meeting its end. A scenario prepares a process, then makes one system call or access. Whatever it returns,
 *
 *   an error      everything that can be seen is as it was before: mappings, roots, content, descriptors, spaces
 *   success       everything is as after the same call without a failure
 *   the end       of the process: killed for want of memory, which only an access or a RUN may be
 *
 * and in every case all invariants hold, and when the process is gone every frame, swap slot and object is back.
 *
 * Points of failure are wrapped from outside, for the time of the operation: frames, map entries, spaces, swap slots.
 * Records of the reverse map come with the frame of their table and cannot be missing alone. Requests to the swap
 * device fail in swapping(): with an error, and short.
 */
import { EFAULT, EINVAL, ENOMEM, ENOSPC } from '../../hostkernel/base/errno.ts';
import { PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import {
  type Host,
  type HostKernel,
  MADV_FREE,
  MADV_INVAL,
  MADV_NOCORE,
  MADV_NOSYNC,
  MADV_SETMAP,
  MAP_ANON,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_STACK,
  MAP_TRYFIXED,
  MAP_VPAGETABLE,
  type Process,
  SYS_brk,
  SYS_clock_gettime,
  SYS_ftruncate,
  SYS_madvise,
  SYS_mcontrol,
  SYS_memfd_create,
  SYS_mmap,
  SYS_mprotect,
  SYS_munmap,
  SYS_pipe2,
  SYS_pread64,
  SYS_pwrite64,
  SYS_vmspace_create,
  SYS_vmspace_destroy,
  SYS_vmspace_mcontrol,
  SYS_vmspace_mmap,
  SYS_vmspace_munmap,
  SYS_vmspace_pread,
  SYS_vmspace_pwrite,
} from '../../hostkernel/kern/index.ts';
import { TRAP_ECALL } from '../../hostkernel/machine/index.ts';
import { Vm, type VmSpace } from '../../hostkernel/vm/index.ts';
import { A0, A1, ECALL, lw, sw } from '../hostkernel/kern/assembler.ts';
import { boot, exhaust, plain } from '../hostkernel/kern/boot.ts';
import { TestVkernel } from '../hostkernel/kern/vkernel.ts';
import { type Campaign, Coverage, type Failure, type Target } from './campaign.ts';
import { SWAPPING } from './swapping.ts';

const RW = READ | WRITE;
const AT = 0x1000_0000; // where scenarios map
const GIB = 2 ** 30;
const GUEST = 0x1_0000;
const MEGABYTE = 2 ** 20;

/** What a scenario works with. */
interface Stage {
  readonly host: Host;
  readonly vkernel: TestVkernel;
  readonly kernel: HostKernel;
  readonly process: Process;
  /** Descriptor of a memory file of 64 pages, some of them written. */
  readonly fd: number;
  /** A private mapping of 16 pages, each written. */
  readonly data: number;
}

interface Scenario {
  readonly name: string;
  readonly prepare?: (stage: Stage) => void;
  readonly act: (stage: Stage) => number;
  /** Errors it may return; ENOMEM by default. */
  readonly errors?: readonly number[];
  /** It may do a part, and says how much: what is done is then its own. */
  readonly isPartial?: true;
  /** It may end the process: an access, or a RUN. */
  readonly mayKill?: true;
}

function map(host: Host, len: number, flags: number, fd = -1, addr = 0, prot = RW): number {
  return host.syscall(SYS_mmap, addr, len, prot, flags, fd, 0);
}

/** Root 1 with guest code that stores to and loads from a page far away, so that tables and data are missing. */
function prepareGuest({ vkernel }: Stage): void {
  const root = vkernel.newSpace(1);
  vkernel.load(root, GUEST, [sw(A0, 0, A1), lw(A0, 0, A1), ECALL]);
  vkernel.enter(root, GIB, vkernel.newFrame());
  vkernel.reset(GUEST);
  vkernel.setX(A0, 77);
  vkernel.setX(A1, GIB);
}

const PRIVATE = MAP_PRIVATE | MAP_ANON;

export const SCENARIOS: readonly Scenario[] = [
  { name: 'mmap private', act: ({ host }) => map(host, 8 * PAGE_SIZE, PRIVATE) },
  { name: 'mmap shared', act: ({ host }) => map(host, 8 * PAGE_SIZE, MAP_SHARED | MAP_ANON) },
  {
    name: 'mmap over the middle of another',
    act: ({ host, data }) => map(host, 4 * PAGE_SIZE, PRIVATE | MAP_FIXED, -1, data + 4 * PAGE_SIZE),
  },
  { name: 'mmap file', act: ({ host, fd }) => map(host, 8 * PAGE_SIZE, MAP_SHARED, fd) },
  {
    name: 'mmap file over the middle of another',
    act: ({ host, fd, data }) => map(host, 4 * PAGE_SIZE, MAP_SHARED | MAP_FIXED, fd, data + 4 * PAGE_SIZE),
  },
  { name: 'mmap virtual page table', act: ({ host }) => map(host, 8 * PAGE_SIZE, MAP_SHARED | MAP_ANON | MAP_VPAGETABLE) },
  { name: 'mmap virtual page table of a file', act: ({ host, fd }) => map(host, GIB, MAP_SHARED | MAP_VPAGETABLE, fd) },
  { name: 'mmap stack', act: ({ host }) => map(host, 32 * PAGE_SIZE, MAP_PRIVATE | MAP_ANON | MAP_STACK) },
  { name: 'mmap where there is room', act: ({ host }) => map(host, 8 * PAGE_SIZE, PRIVATE | MAP_TRYFIXED, -1, AT) },
  { name: 'munmap of the middle', act: ({ host, data }) => host.syscall(SYS_munmap, data + 4 * PAGE_SIZE, 4 * PAGE_SIZE) },
  { name: 'munmap of the whole', act: ({ host, data }) => host.syscall(SYS_munmap, data, 16 * PAGE_SIZE) },
  { name: 'mprotect of the middle', act: ({ host, data }) => host.syscall(SYS_mprotect, data + 4 * PAGE_SIZE, 4 * PAGE_SIZE, READ) },
  { name: 'mprotect of the whole', act: ({ host, data }) => host.syscall(SYS_mprotect, data, 16 * PAGE_SIZE, READ) },
  {
    name: 'madvise NOCORE of the middle',
    act: ({ host, data }) => host.syscall(SYS_madvise, data + 4 * PAGE_SIZE, 4 * PAGE_SIZE, MADV_NOCORE),
  },
  {
    name: 'madvise NOSYNC of the end',
    act: ({ host, data }) => host.syscall(SYS_madvise, data + 12 * PAGE_SIZE, 4 * PAGE_SIZE, MADV_NOSYNC),
  },
  {
    name: 'madvise FREE of the middle',
    act: ({ host, data }) => host.syscall(SYS_madvise, data + 4 * PAGE_SIZE, 4 * PAGE_SIZE, MADV_FREE),
  },
  {
    name: 'mcontrol SETMAP of the middle',
    prepare: ({ host, fd }) => void map(host, 16 * PAGE_SIZE, MAP_SHARED | MAP_VPAGETABLE | MAP_FIXED, fd, AT),
    act: ({ host }) => host.syscall(SYS_mcontrol, AT + 4 * PAGE_SIZE, 4 * PAGE_SIZE, MADV_SETMAP, 0x83),
  },
  {
    name: 'mcontrol SETMAP of what is none',
    errors: [EINVAL],
    act: ({ host, data }) => host.syscall(SYS_mcontrol, data, PAGE_SIZE, MADV_SETMAP, 0x83),
  },
  { name: 'mcontrol INVAL', act: ({ host, data }) => host.syscall(SYS_mcontrol, data, 16 * PAGE_SIZE, MADV_INVAL, 0) },
  {
    // It returns the old end instead of an error.
    name: 'brk',
    isPartial: true,
    act: ({ host }) => host.syscall(SYS_brk, host.syscall(SYS_brk, 0) + 8 * PAGE_SIZE),
  },
  { name: 'memfd_create', act: ({ host }) => host.syscall(SYS_memfd_create, 0, 0) },
  { name: 'ftruncate, longer', act: ({ host, fd }) => host.syscall(SYS_ftruncate, fd, 100 * PAGE_SIZE) },
  { name: 'ftruncate, shorter', act: ({ host, fd }) => host.syscall(SYS_ftruncate, fd, 3 * PAGE_SIZE + 5) },
  { name: 'pipe2', errors: [ENOMEM, EFAULT], act: ({ host, vkernel }) => host.syscall(SYS_pipe2, vkernel.vf, 0) },
  {
    name: 'pwrite',
    isPartial: true,
    errors: [ENOMEM, ENOSPC],
    act: ({ host, fd, data }) => host.syscall(SYS_pwrite64, fd, data, 10 * PAGE_SIZE, 30 * PAGE_SIZE),
  },
  {
    name: 'pread to memory not yet touched',
    isPartial: true,
    errors: [EFAULT, ENOMEM],
    prepare: ({ host }) => void map(host, 16 * PAGE_SIZE, PRIVATE | MAP_FIXED, -1, AT),
    act: ({ host, fd }) => host.syscall(SYS_pread64, fd, AT, 10 * PAGE_SIZE, 0),
  },
  {
    name: 'clock_gettime to memory not yet touched',
    errors: [EFAULT, ENOMEM],
    prepare: ({ host }) => void map(host, 16 * PAGE_SIZE, PRIVATE | MAP_FIXED, -1, AT),
    act: ({ host }) => host.syscall(SYS_clock_gettime, 1, AT),
  },
  {
    name: 'store to memory not yet touched',
    mayKill: true,
    prepare: ({ host }) => void map(host, GIB, PRIVATE | MAP_FIXED, -1, AT),
    act: ({ host }) => {
      host.memory.store32(AT + GIB / 2, 5);
      return 0;
    },
  },
  {
    name: 'store to a hole of a file',
    mayKill: true,
    prepare: ({ host, fd }) => void map(host, 64 * PAGE_SIZE, MAP_SHARED | MAP_FIXED, fd, AT),
    act: ({ host }) => {
      host.memory.store32(AT + 60 * PAGE_SIZE, 5);
      return 0;
    },
  },
  {
    name: 'store through a virtual page table',
    mayKill: true,
    prepare: ({ host, fd }) => {
      map(host, GIB, MAP_SHARED | MAP_VPAGETABLE | MAP_FIXED, fd, AT);
      host.syscall(SYS_mcontrol, AT, GIB, MADV_SETMAP, 0x83);
    },
    act: ({ host }) => {
      host.memory.store32(AT + 50 * PAGE_SIZE, 5);
      return 0;
    },
  },
  { name: 'vmspace_create', act: ({ host }) => host.syscall(SYS_vmspace_create, 5, 0, 0) },
  {
    name: 'vmspace_destroy',
    prepare: ({ vkernel }) => void vkernel.newSpace(1),
    act: ({ host }) => host.syscall(SYS_vmspace_destroy, 1),
  },
  {
    name: 'vmspace_mmap',
    prepare: ({ host }) => void host.syscall(SYS_vmspace_create, 1, 0, 0),
    act: ({ host, fd }) => host.syscall(SYS_vmspace_mmap, 1, AT, GIB, RW, MAP_SHARED | MAP_FIXED | MAP_VPAGETABLE, fd, 0),
  },
  {
    name: 'vmspace_munmap of the middle',
    prepare: ({ vkernel }) => void vkernel.newSpace(1),
    act: ({ host }) => host.syscall(SYS_vmspace_munmap, 1, AT, GIB),
  },
  {
    name: 'vmspace_mcontrol of the middle',
    prepare: ({ vkernel }) => void vkernel.newSpace(1),
    act: ({ host }) => host.syscall(SYS_vmspace_mcontrol, 1, AT, GIB, MADV_SETMAP, 0x2003),
  },
  {
    name: 'vmspace_pwrite',
    isPartial: true,
    errors: [EFAULT, ENOMEM],
    prepare: prepareGuest,
    act: ({ host, data }) => host.syscall(SYS_vmspace_pwrite, 1, data, 100, 0, GIB),
  },
  {
    name: 'vmspace_pread',
    isPartial: true,
    errors: [EFAULT, ENOMEM],
    prepare: prepareGuest,
    act: ({ host, data }) => host.syscall(SYS_vmspace_pread, 1, data, 100, 0, GIB),
  },
  {
    name: 'RUN of a guest that faults',
    mayKill: true,
    prepare: prepareGuest,
    act: ({ vkernel }) => (vkernel.run(1) === TRAP_ECALL ? 0 : -1),
  },
  { name: 'minherit of the middle', act: ({ process, data }) => process.space.minherit(data + 4 * PAGE_SIZE, 4 * PAGE_SIZE, 2) },
  { name: 'mlock of the middle', act: ({ process, data }) => process.space.mlock(data + 4 * PAGE_SIZE, 4 * PAGE_SIZE) },
  {
    name: 'munlock of the middle',
    prepare: ({ process, data }) => void process.space.mlock(data, 16 * PAGE_SIZE),
    act: ({ process, data }) => process.space.munlock(data + 4 * PAGE_SIZE, 4 * PAGE_SIZE),
  },
  {
    name: 'two levels of copies',
    mayKill: true,
    prepare: (stage) => {
      forked(stage);
      stage.host.memory.store32(stage.data + PAGE_SIZE, 98);
      forked(stage);
    },
    act: ({ host, data }) => {
      host.memory.store32(data + PAGE_SIZE, 99);
      return 0;
    },
  },
  {
    name: 'mlock of memory not yet touched',
    prepare: ({ host }) => void map(host, 16 * PAGE_SIZE, PRIVATE | MAP_FIXED, -1, AT),
    act: ({ process }) => process.space.mlock(AT, 16 * PAGE_SIZE),
  },
  {
    name: 'fork of the space',
    act: ({ kernel, process }) => {
      const child = process.space.fork();
      if (child === null) return -ENOMEM;
      child.destroy();
      kernel.vm.assertInvariants();
      return 0;
    },
  },
  {
    name: 'store to a page that fork left shared',
    mayKill: true,
    prepare: (stage) => void forked(stage),
    act: ({ host, data }) => {
      host.memory.store32(data + 3 * PAGE_SIZE, 99);
      return 0;
    },
  },
];

/** A child of the process's space that stays until the process ends, and its pages are seen to be what they were. */
function forked({ process, kernel }: Stage): VmSpace {
  const child = process.space.fork();
  if (child === null) throw new Error('no child');
  KEPT.push({ kernel, child });
  return child;
}

/** Forked spaces of the run under way, to be taken down after it. */
const KEPT: { readonly kernel: HostKernel; readonly child: VmSpace }[] = [];

/** What can be missing. */
const POINTS = ['frame', 'map entry', 'space'] as const;

type Point = (typeof POINTS)[number];

interface Injection {
  readonly point: Point;
  readonly nth: number;
}

/** Makes the n-th of something missing, and all after it, until `end`. @returns whether it was met */
interface Shortage {
  end(): boolean;
}

/** All frames but n - 1 are taken by somebody else. */
function missingFrame(nth: number, vm: Vm): Shortage {
  const hog = exhaust(vm);
  hog.discard(0, nth - 1);
  return {
    end: () => {
      const isMet = vm.freeFrames === 0;
      hog.release();
      return isMet;
    },
  };
}

/** No map may have more than n - 1 entries more than now. */
function missingEntry(nth: number, spaces: readonly VmSpace[]): Shortage {
  const maps = spaces.map(({ map }) => ({ map, limit: map.maxEntries }));
  for (const { map } of maps) map.maxEntries = map.entries.length + nth - 1;
  return {
    end: () => {
      let isMet = false;
      for (const { map, limit } of maps) {
        if (map.entries.length > map.maxEntries) throw new Error('a map has more entries than it may');
        isMet ||= map.entries.length === map.maxEntries;
        map.maxEntries = limit;
      }
      return isMet;
    },
  };
}

function missingSpace(nth: number): Shortage {
  const methods = Vm.prototype as unknown as Record<string, (...args: unknown[]) => unknown>;
  const original = methods['createSpace'];
  let calls = 0;
  methods['createSpace'] = function failing(this: unknown, ...args: unknown[]): unknown {
    calls += 1;
    return calls >= nth ? null : original.apply(this, args);
  };
  return {
    end: () => {
      methods['createSpace'] = original;
      return calls >= nth;
    },
  };
}

function shortageOf({ point, nth }: Injection, { kernel, process }: Stage): Shortage {
  if (point === 'frame') return missingFrame(nth, kernel.vm);
  if (point === 'space') return missingSpace(nth);
  return missingEntry(nth, [process.space, ...[...(process.group?.spaces ?? [])].map(({ space }) => space)]);
}

interface Trial {
  readonly result: number | 'killed' | 'not made';
  readonly seen: string;
  /** Whether the failure was met. */
  readonly isMet: boolean;
}

/** Carries out a scenario on a new machine. `injection` null: nothing fails; `acts` false: it ends before the call. */
function trial(scenario: Scenario, injection: Injection | null, acts: boolean): Trial {
  const machine = boot({ ramBytes: MEGABYTE });
  const { kernel } = machine;
  const free = kernel.vm.freeFrames;
  let result: Trial['result'] = 'not made';
  let seen = '';
  let isMet = false;
  const body = plain((host) => {
    const stage = prepare(host, kernel, process);
    scenario.prepare?.(stage);
    if (acts) {
      result = 'killed';
      const shortage = injection === null ? null : shortageOf(injection, stage);
      try {
        result = scenario.act(stage);
      } finally {
        isMet = shortage !== null && (shortage.end() || result === 'killed');
      }
      kernel.assertInvariants();
    }
    seen = snapshot(stage);
  });
  const process = kernel.spawnBody('scenario', body, 64);
  kernel.run();
  for (const { child } of KEPT.splice(0)) child.destroy();
  kernel.assertInvariants();
  const lost = free - kernel.vm.freeFrames;
  if (lost !== 0) throw new Error(`${lost} frames are lost`);
  if ([...kernel.vm.objects.live()].length > 0) throw new Error('objects are left');
  const status = process.exitStatus;
  if (status === null) throw new Error('the process is still alive');
  const isKilled = (result as Trial['result']) === 'killed'; // by the body, which the compiler does not see run
  if ('signal' in status && (!isKilled || status.signal !== 9)) throw new Error(`the process ended: ${JSON.stringify(status)}`);
  return { result, seen, isMet };
}

function prepare(host: Host, kernel: HostKernel, process: Process): Stage {
  const vkernel = new TestVkernel(host);
  const fd = vkernel.call(SYS_memfd_create, 0, 0);
  vkernel.call(SYS_ftruncate, fd, 64 * PAGE_SIZE);
  const data = vkernel.call(SYS_mmap, 0, 16 * PAGE_SIZE, RW, PRIVATE, -1, 0);
  for (let i = 0; i < 16; i += 1) host.memory.store32(data + i * PAGE_SIZE + 8 * i, 0x1234_0000 + i);
  vkernel.call(SYS_pwrite64, fd, data, 10 * PAGE_SIZE, PAGE_SIZE + 100);
  return { host, vkernel, kernel, process, fd, data };
}

/** Everything the process could find out. It is looked at from behind, so nothing is missing for it. */
function snapshot({ host, process, kernel, fd, vkernel }: Stage): string {
  const lines: string[] = [];
  const spaces = [process.space, ...[...(process.group?.spaces ?? [])].map(({ space }) => space)];
  for (const space of spaces) {
    for (const entry of space.map.entries) {
      const { start, end, offset, protection, flags, rootLo, rootHi, format } = entry;
      lines.push(JSON.stringify({ start, end, offset, protection, flags, rootLo, rootHi, format: format?.id }));
      if (format !== null || (protection & READ) === 0 || end - start > 1000) continue;
      const bytes = new Uint8Array((end - start) * PAGE_SIZE);
      const count = space.copyIn(start * PAGE_SIZE, bytes);
      lines.push(`${count} bytes, ${hash(bytes)}`);
    }
  }
  for (const { child } of KEPT) {
    const bytes = new Uint8Array(16 * PAGE_SIZE);
    for (const { start, end, protection, format } of child.map.entries) {
      if (format === null && (protection & READ) !== 0 && end - start === 16) child.copyIn(start * PAGE_SIZE, bytes);
    }
    lines.push(`child ${hash(bytes)}`);
  }
  const objects = [...kernel.vm.objects.live()].map(({ sizePages, references }) => `${sizePages}/${references}`);
  lines.push(`objects ${objects.sort((a, b) => (a < b ? -1 : 1)).join(' ')}`);
  const buffer = vkernel.at(200);
  for (let at = 0, count = 1; count > 0; at += count) {
    count = host.syscall(SYS_pread64, fd, buffer, 16 * PAGE_SIZE, at);
    const bytes = new Uint8Array(Math.max(count, 0));
    host.memory.read(buffer, bytes);
    lines.push(`file ${at} ${count} ${hash(bytes)}`);
  }
  return lines.join('\n');
}

/** FNV-1a over words, those of zero pages left out; it tells apart what differs by accident. */
function hash(bytes: Uint8Array): string {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2);
  let value = bytes.length;
  for (let i = 0; i < words.length; i += 1) if (words[i] !== 0) value = Math.imul(value ^ words[i] ^ i, 0x0100_0193);
  return (value >>> 0).toString(16);
}

/** Case numbers: scenario, then point; each goes through all n. */
interface Case {
  readonly scenario: Scenario;
  readonly point: Point;
}

const CASES: readonly (Case | { readonly swapping: number })[] = [
  ...SCENARIOS.flatMap((scenario) => POINTS.map((point) => ({ scenario, point }))),
  ...SWAPPING.map((_, swapping) => ({ swapping })),
];

/** How many cases there are; further indexes begin again. */
export const FAILURE_CASES = CASES.length;
const MOST = 300; // failures a scenario may need

/** What a scenario comes to without a failure: the same on every machine. */
const EXPECTED = new Map<Scenario, { readonly before: string; readonly after: Trial }>();

function runCase({ scenario, point }: Case, coverage: Coverage): void {
  const { before, after } = EXPECTED.get(scenario) ?? { before: trial(scenario, null, false).seen, after: trial(scenario, null, true) };
  EXPECTED.set(scenario, { before, after });
  if (typeof after.result !== 'number' || (after.result < 0 && scenario.errors?.includes(-after.result) !== true)) {
    throw new Error(`without a failure it gives ${after.result}`);
  }
  for (let nth = 1; ; nth += 1) {
    if (nth > MOST) throw new Error('it never gets through');
    const { result, seen, isMet } = trial(scenario, { point, nth }, true);
    if (!isMet) return;
    const where = `the ${nth}. ${point} and all after it missing: `;
    if (result === 'killed') {
      if (scenario.mayKill !== true) throw new Error(`${where}the process is killed`);
    } else if (typeof result !== 'number') {
      throw new Error(`${where}${result}`);
    } else if (result < 0) {
      if (!(scenario.errors ?? [ENOMEM]).includes(-result)) throw new Error(`${where}it gives ${result}`);
      if (seen !== before) throw new Error(`${where}it gives ${result}, but something has changed:\n${difference(before, seen)}`);
    } else if (scenario.isPartial !== true) {
      if (result !== after.result) throw new Error(`${where}it gives ${result}, without it ${after.result}`);
      if (seen !== after.seen) throw new Error(`${where}it succeeds, but not in the same way:\n${difference(after.seen, seen)}`);
    }
    const outcome =
      typeof result === 'string'
        ? result
        : result < 0
          ? `error ${-result}`
          : scenario.isPartial === true
            ? 'part or whole'
            : 'done all the same';
    coverage.count(`${scenario.name}: ${point}`, outcome);
  }
}

function difference(wanted: string, seen: string): string {
  const [a, b] = [wanted.split('\n'), seen.split('\n')];
  const lines = a.flatMap((line, i) => (line === b[i] ? [] : [`  was ${line}`, `  is  ${b[i] ?? 'missing'}`]));
  return [...lines, ...b.slice(a.length).map((line) => `  new ${line}`)].slice(0, 12).join('\n');
}

/** @param stride every how manieth transfer is made to fail */
export function fuzzFailures(campaign: Campaign, stride = 1): { failures: Failure[]; coverage: Coverage } {
  const coverage = new Coverage();
  const failures: Failure[] = [];
  for (let index = campaign.from; index < campaign.from + campaign.cases; index += 1) {
    let beats = 0;
    const tick = (): void => {
      beats = (beats + 1) % 1000;
      campaign.progress?.(index + beats / 1000); // it moves, though the case goes on
    };
    tick();
    const which = CASES[index % CASES.length];
    const what = 'swapping' in which ? SWAPPING[which.swapping].name : `${which.scenario.name}, ${which.point}`;
    try {
      if ('swapping' in which) SWAPPING[which.swapping].run(coverage, { stride, tick });
      else runCase(which, coverage);
    } catch (error) {
      const failure = { index, what, error: error instanceof Error ? error : new Error(String(error)) };
      failures.push(failure);
      campaign.failed?.(failure);
    }
  }
  return { failures, coverage };
}

export const FAILURES: Target = {
  what: `the n-th allocation or transfer fails, n = 1, 2, ... until none does: ${SCENARIOS.length} scenarios, ${FAILURE_CASES} cases`,
  batch: 1,
  run: (campaign) => {
    const { failures, coverage } = fuzzFailures({ ...campaign, cases: Math.min(campaign.cases, Math.max(FAILURE_CASES, 1)) });
    return { failures, coverage: coverage.text() };
  },
};
