/** Options every command that starts a machine understands. */
import { TRACE_KINDS, type TraceKind } from '../../hostkernel/base/trace.ts';
import { type BlockDevice, Machine, type PolledDisk, Ram } from '../../hostkernel/machine/index.ts';
import type { PolicyName } from '../index.ts';
import { openHostSwap, openSwap } from './host-swap.ts';
import type { LayoutDescriptor } from '../../hostkernel/machine/paging/index.ts';
import { namedLayout } from './layout-file.ts';
import { parseSize, showSize } from './size.ts';
import { TERMINAL } from './terminal.ts';

export interface MachineOptions {
  readonly memory: number; // bytes of RAM
  /** What the host pages to; null: nothing. */
  readonly hostSwap: BlockDevice | null;
  /** What physmem swaps to; null: nothing. */
  readonly swap: PolledDisk | null;
  /** How the policy server divides the memory. */
  readonly policy: PolicyName;
  /** Bytes of a guest's memory; null: a share of RAM. */
  readonly image: number | null;
  readonly mmu: LayoutDescriptor | undefined;
  readonly vpte: LayoutDescriptor | undefined;
  readonly root: string | undefined;
  readonly stats: boolean;
  readonly json: boolean;
  readonly trace: readonly TraceName[];
  /** Where the state of the kernels goes when one of them panics. */
  readonly crashDump: string | null;
  /** Pages the pager maps around a fault where they are resident, and fresh pages it brings in. */
  readonly faultAround: number;
  readonly cluster: number;
  /** Host kernels between the machine's own and the program's: 0 to MAX_NEST. */
  readonly nest: number;
  /** Whether those let their vkernels run guests without them. */
  readonly delegate: boolean;
  /** Processors of the machine. */
  readonly harts: number;
  /** Files of the host kernel: paths there, and of this machine. */
  readonly files: readonly FileOption[];
  /** Whether vm.vkernel_enable is set. */
  readonly vkernelEnable: boolean;
}

/** What --trace may list: the kinds of events, and `physmem`: the requests of that server, with their words named. */
export type TraceName = TraceKind | 'physmem';
const TRACE_NAMES: readonly TraceName[] = [...TRACE_KINDS, 'physmem'];

export interface FileOption {
  readonly path: string;
  readonly local: string;
}

/** What commander hands over. */
export interface RawOptions {
  readonly memory?: string;
  readonly hostSwap?: string;
  readonly swap?: string;
  readonly policy?: string;
  readonly image?: string;
  readonly mmu?: string;
  readonly vpte?: string;
  readonly root?: string;
  readonly stats?: boolean;
  readonly json?: boolean;
  readonly trace?: string;
  readonly crashDump?: string;
  readonly faultAround?: string;
  readonly cluster?: string;
  readonly nest?: string;
  readonly delegate?: boolean;
  readonly harts?: string;
  readonly file?: readonly string[];
  readonly sysctl?: readonly string[];
}

export const DEFAULT_MEMORY = '256M';
const LEAST_MEMORY = 16 * 1024 ** 2;
const LEAST_PAGED_MEMORY = 1024 ** 2; // with a disk to page to
const LEAST_IMAGE = 8 * 1024 ** 2;
const MOST_MEMORY = 4 * 1024 ** 3 - 64 * 1024;

const POLICIES: readonly PolicyName[] = ['fixed', 'weight'];

/** Kernels in kernels: each costs twice the entries of the one before. */
const MAX_NEST = 3;
const MAX_HARTS = 4;

/** A whole number from `least` to `most`. */
function parseCount(text: string, least: number, most: number): number | null {
  return /^\d$/.test(text) && Number(text) >= least && Number(text) <= most ? Number(text) : null;
}

/** A window of the pager, in pages: a power of two up to 16. */
function parseWindow(text: string): number | null {
  return /^(1|2|4|8|16)$/.test(text) ? Number(text) : null;
}

/** The values of --file; or one line that says which is wrong. */
function parseFiles(values: readonly string[]): readonly FileOption[] | string {
  const files: FileOption[] = [];
  for (const value of values) {
    const at = value.indexOf('=');
    if (at <= 0 || at === value.length - 1) return `--file: '${value}' is no PATH=LOCAL`;
    files.push({ path: value.slice(0, at), local: value.slice(at + 1) });
  }
  return files;
}

/** The values of --sysctl: whether vm.vkernel_enable is set; or one line that says which is wrong. */
function parseSysctls(values: readonly string[]): boolean | string {
  let enable = true;
  for (const value of values) {
    const match = /^vm\.vkernel_enable=([01])$/.exec(value);
    if (match === null) return `--sysctl: '${value}' is not vm.vkernel_enable=0 or vm.vkernel_enable=1`;
    enable = match[1] === '1';
  }
  return enable;
}

/** Checks the options. @returns them, or one line that says which is wrong */
export async function machineOptions(raw: RawOptions): Promise<MachineOptions | string> {
  const text = raw.memory ?? DEFAULT_MEMORY;
  const memory = parseSize(text);
  if (memory === null) return `-m: '${text}' is no size; write 64M, 1G or 65536K`;
  const least = raw.hostSwap === undefined ? LEAST_MEMORY : LEAST_PAGED_MEMORY;
  if (memory < least)
    return `-m: ${text} is too little; a machine has at least ${raw.hostSwap === undefined ? '16M, or 1M with --host-swap' : '1M'}`;
  if (memory > MOST_MEMORY) return `-m: ${text} is too much; a machine has at most 4G less 64K (4194240K)`;
  const trace: TraceName[] = [];
  for (const name of raw.trace === undefined ? [] : raw.trace.split(',')) {
    const kind = TRACE_NAMES.find((known) => known === name);
    if (kind === undefined) return `--trace: no event '${name}'; there are ${TRACE_NAMES.join(', ')}`;
    trace.push(kind);
  }
  const hostSwap = openHostSwap(raw.hostSwap);
  if (typeof hostSwap === 'string') return hostSwap;
  const swap = openSwap(raw.swap);
  if (typeof swap === 'string') return swap;
  const policy = POLICIES.find((name) => name === (raw.policy ?? 'fixed'));
  if (policy === undefined) return `--policy: '${raw.policy}' is none of ${POLICIES.join(', ')}`;
  const image = raw.image === undefined ? null : parseSize(raw.image);
  if (raw.image !== undefined && image === null) return `--image: '${raw.image}' is no size; write 64M, 1G or 65536K`;
  if (image !== null && image < LEAST_IMAGE) return `--image: ${raw.image} is too little; a guest has at least 8M`;
  if (image !== null && image > (memory * 7) / 8 && hostSwap === null)
    return `--image: ${raw.image} is more than fits beside the host's own tables in ${text} of RAM; give the host somewhere to page to: --host-swap SIZE`;
  const mmu = raw.mmu === undefined ? undefined : await namedLayout(raw.mmu);
  if (typeof mmu === 'string') return `--mmu: ${mmu}`;
  const vpte = raw.vpte === undefined ? undefined : await namedLayout(raw.vpte);
  if (typeof vpte === 'string') return `--vpte: ${vpte}`;
  const faultAround = parseWindow(raw.faultAround ?? '16');
  const cluster = parseWindow(raw.cluster ?? '1');
  if (faultAround === null) return `--fault-around: '${raw.faultAround}' is none of 1, 2, 4, 8, 16 pages`;
  if (cluster === null) return `--cluster: '${raw.cluster}' is none of 1, 2, 4, 8, 16 pages`;
  const nest = parseCount(raw.nest ?? '0', 0, MAX_NEST);
  const harts = parseCount(raw.harts ?? '1', 1, MAX_HARTS);
  if (nest === null) return `--nest: '${raw.nest}' is none of 0 to ${MAX_NEST} kernels`;
  if (raw.delegate === true && nest === 0) return '--delegate: there is no kernel to delegate; write --nest N too';
  if (harts === null) return `--harts: '${raw.harts}' is none of 1 to ${MAX_HARTS} processors`;
  const files = parseFiles(raw.file ?? []);
  if (typeof files === 'string') return files;
  const enable = parseSysctls(raw.sysctl ?? []);
  if (typeof enable === 'string') return enable;
  return {
    nest,
    delegate: raw.delegate ?? false,
    harts,
    files,
    vkernelEnable: enable,
    faultAround,
    cluster,
    memory,
    hostSwap,
    swap,
    policy,
    image,
    mmu,
    vpte,
    root: raw.root,
    stats: raw.stats ?? false,
    json: raw.json ?? false,
    crashDump: raw.crashDump ?? null,
    trace,
  };
}

/**
 * The machine of the user's size, its console on our standard streams. At the very top of the range the hart's own
 * block, a little over a MiB, is taken from it.
 * @param console where the guest reads and writes
 * @returns the machine, or one line that says why there is none
 */
export function createMachine(options: MachineOptions, console = TERMINAL): Machine | string {
  const machine = Machine.create({
    ramBytes: Math.min(options.memory, Ram.MAX_BYTES),
    console,
    harts: options.harts,
    ...(options.hostSwap === null ? {} : { disk: options.hostSwap }),
  });
  return machine ?? `-m: ${showSize(options.memory)} of memory cannot be had here`;
}
