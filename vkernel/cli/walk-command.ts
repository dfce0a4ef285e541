/**
 * `vkernel walk`: one address through page tables, every entry on the way decoded. The tables are those of a dump, or of
 * a run: then both the vkernel's virtual page table and the host's real one are walked.
 */
import { type HostFrame, PAGE_SIZE, READ } from '../../hostkernel/base/units.ts';
import type { Machine } from '../../hostkernel/machine/index.ts';
import type { Hex, LayoutDescriptor, Options, PageTableFormat } from '../../hostkernel/machine/paging/index.ts';
import type { GuestView } from '../index.ts';
import { bootProgram } from './boot-program.ts';
import { big } from './judge.ts';
import { namedLayout } from './layout-file.ts';
import type { MachineOptions } from './options.ts';
import { complain, EXIT_FAILURE, EXIT_USAGE, print } from './report.ts';
import { openDump, type TableMemory } from './table-dump.ts';
import { type Trace, traceJson, type TraceRequest, traceText, traceWalk } from './walk-trace.ts';

/** What commander hands over. */
export interface RawWalkOptions {
  readonly layout?: string;
  readonly stage2?: string;
  readonly va: string;
  readonly access: string;
  readonly mode: string;
  readonly root?: string;
  readonly root2?: string;
  readonly option: readonly string[];
  readonly dump?: string;
  readonly base?: string;
  readonly run?: string;
  readonly at?: string;
  readonly json?: boolean;
}

/** What every walk needs. */
interface Access {
  readonly va: Hex;
  readonly access: 'r' | 'w' | 'x';
  readonly mode: 'user' | 'super';
}

/** @returns 0 if the walk hits, 1 if it faults */
export async function walkCommand(args: readonly string[], raw: RawWalkOptions, machine: MachineOptions): Promise<number> {
  const va = numberOf(raw.va);
  if (va === null) return complain(`--va: '${raw.va}' is no address`, EXIT_USAGE);
  const { access, mode } = raw;
  if (access !== 'r' && access !== 'w' && access !== 'x') return complain(`--access: '${access}' is none of r, w, x`, EXIT_USAGE);
  if (mode !== 'user' && mode !== 'super') return complain(`--mode: '${mode}' is neither user nor super`, EXIT_USAGE);
  const what: Access = { va, access, mode };
  if (raw.run !== undefined) return walkRun(raw.run, args, raw, what, machine);
  if (args.length > 0) return complain('too many arguments: a program goes with --run', EXIT_USAGE);
  return walkDump(raw, what);
}

/** An unsigned number of up to 64 bits, decimal or hexadecimal. */
function numberOf(text: string): Hex | null {
  if (!/^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(text)) return null;
  const value = BigInt(text);
  return value < 2n ** 64n ? `0x${value.toString(16)}` : null;
}

// ------------------------------------------------------------------------------------------------- through a dump

async function walkDump(raw: RawWalkOptions, what: Access): Promise<number> {
  if (raw.layout === undefined) return complain('--layout: which layout do the tables have? (or --run PROGRAM)', EXIT_USAGE);
  if (raw.dump === undefined) return complain('--dump: where are the tables? (or --run PROGRAM)', EXIT_USAGE);
  const layout = await namedLayout(raw.layout);
  if (typeof layout === 'string') return complain(`--layout: ${layout}`, EXIT_USAGE);
  const second = raw.stage2 === undefined ? null : await namedLayout(raw.stage2);
  if (typeof second === 'string') return complain(`--stage2: ${second}`, EXIT_USAGE);
  if (raw.root === undefined) return complain('--root: where do the tables begin?', EXIT_USAGE);
  if (second !== null && raw.root2 === undefined) return complain('--root2: where do the tables of the second stage begin?', EXIT_USAGE);
  const root = numberOf(raw.root);
  const root2 = raw.root2 === undefined ? null : numberOf(raw.root2);
  const base = raw.base === undefined ? null : numberOf(raw.base);
  if (root === null) return complain(`--root: '${raw.root}' is no number`, EXIT_USAGE);
  if (raw.root2 !== undefined && root2 === null) return complain(`--root2: '${raw.root2}' is no number`, EXIT_USAGE);
  if (raw.base !== undefined && base === null) return complain(`--base: '${raw.base}' is no address`, EXIT_USAGE);
  const options = optionsOf(raw.option, layout, second);
  if (typeof options === 'string') return complain(options, EXIT_USAGE);
  const memory = openDump(raw.dump, base === null ? null : BigInt(base));
  if (typeof memory === 'string') return complain(memory, EXIT_USAGE);
  const trace = traceWalk({
    ...what,
    layout,
    options: options.first,
    memory,
    root,
    root2: second === null ? root2 : null,
    second: second === null ? null : { layout: second, options: options.second, root: root2 ?? '0x0' },
  });
  print(raw.json === true ? JSON.stringify(traceJson(trace), null, 2) : traceText(trace));
  return trace.result.result === 'hit' ? 0 : EXIT_FAILURE;
}

/** Settings `name=value`, for whichever of the layouts has the option. */
function optionsOf(
  settings: readonly string[],
  layout: LayoutDescriptor,
  second: LayoutDescriptor | null,
): { readonly first: Options; readonly second: Options } | string {
  const found: Record<string, 0 | 1 | Hex> = {};
  for (const setting of settings) {
    const match = /^([\w.-]+)=(0|1|0x[0-9a-f]{1,16})$/i.exec(setting);
    if (match === null) return `--option: '${setting}' is no NAME=0, NAME=1 or NAME=0x...`;
    const [, name, value] = match as unknown as [string, string, string];
    if (![layout, second].some((one) => one !== null && Object.hasOwn(one.options, name))) {
      const known = [...new Set([...Object.keys(layout.options), ...Object.keys(second?.options ?? {})])];
      return `--option: no option '${name}'; there are ${known.join(', ') || 'none'}`;
    }
    found[name] = value === '0' ? 0 : value === '1' ? 1 : (value as Hex);
  }
  const of = (one: LayoutDescriptor | null): Options =>
    Object.fromEntries(Object.entries(found).filter(([name]) => one !== null && Object.hasOwn(one.options, name)));
  return { first: of(layout), second: of(second) };
}

// ------------------------------------------------------------------------------------------------- through a run

interface Looked {
  readonly instructions: number;
  readonly virtual: Trace;
  readonly real: Trace;
  /** Where the image frame lies in the host's memory; null without one. */
  readonly host: string | null;
}

function walkRun(path: string, args: readonly string[], raw: RawWalkOptions, what: Access, options: MachineOptions): number {
  const at = raw.at === undefined ? null : Number(raw.at);
  if (at !== null && !(Number.isSafeInteger(at) && at > 0)) return complain(`--at: '${raw.at}' is no number of instructions`, EXIT_USAGE);
  const looks: Looked[] = [];
  const result = bootProgram(path, args, options, {
    probe: { physmem: null },
    inspect: (machine) => ({ at, look: (view) => void looks.push(lookAt(view, machine, what)) }),
  });
  if (typeof result === 'number') return result;
  const [look] = looks;
  if (look === undefined)
    return complain(
      at === null ? 'the guest never ran' : `the guest ended before ${at} instructions, after ${result.stats.instructions}`,
      EXIT_FAILURE,
    );
  if (raw.json === true) {
    const { instructions, host } = look;
    print(JSON.stringify({ instructions, virtual: traceJson(look.virtual), real: traceJson(look.real), host }, null, 2));
  } else {
    print(`after ${look.instructions} instructions`);
    print(`the vkernel's table, whose addresses are offsets in its memory image:\n${indent(traceText(look.virtual))}`);
    if (look.host !== null) print(`the image there lies at ${look.host} of the host's RAM`);
    print(`the host's table, which the hart walks:\n${indent(traceText(look.real))}`);
  }
  return look.virtual.result.result === 'hit' ? 0 : EXIT_FAILURE;
}

const indent = (text: string): string => text.replaceAll(/^/gm, '  ');

/** Both tables of the guest, walked for the address. */
function lookAt({ instructions, guest, host }: GuestView, machine: Machine, what: Access): Looked {
  const { table, image } = guest;
  const { ram } = machine;
  const inImage = wordMemory(image.words, (frame) => (frame < image.frames ? image.offset(frame, READ) : -1));
  const virtual = traceWalk({ ...what, ...rootedIn(inImage, table.format, table.rootAddress) });
  const { format, root } = host.context;
  const inRam = wordMemory(ram.i32, (frame) => (frame < ram.frames ? ram.offsetOf(frame as HostFrame) : -1));
  const real = traceWalk({ ...what, ...rootedIn(inRam, format, root * PAGE_SIZE) });
  const pa = virtual.result.result === 'hit' ? Number(big(virtual.result.pa)) : -1;
  const frame = Math.floor(pa / PAGE_SIZE);
  const lies = pa < 0 || frame >= image.frames ? -1 : image.offset(frame, READ) - ram.offsetOf(0 as HostFrame);
  return { instructions, virtual, real, host: lies < 0 ? null : `0x${(lies + (pa % PAGE_SIZE)).toString(16)}` };
}

/** Where a walk begins that is given the address of its first table: most registers hold that, some an entry. */
function rootedIn(
  memory: TableMemory,
  format: PageTableFormat,
  address: number,
): Pick<TraceRequest, 'layout' | 'options' | 'memory' | 'root' | 'root2' | 'second'> {
  const { descriptor: layout, options } = format;
  const from = { layout, options, root2: null, second: null };
  const entry = (BigInt(format.rootHi(address) >>> 0) << 32n) | BigInt(format.rootLo(address) >>> 0);
  if (layout.root.kind === 'value') return { ...from, memory, root: `0x${entry.toString(16)}` };
  if (layout.levels[0].bits > 0) return { ...from, memory, root: `0x${address.toString(16)}` };
  // A fixed first entry (a context table's) is kept by the machine itself: it is given an address that no memory has.
  const kept = BigInt(layout.root.mask) & ~(BigInt(PAGE_SIZE) - 1n);
  return { ...from, root: `0x${kept.toString(16)}`, memory: { read: (at, ...how) => (at === kept ? entry : memory.read(at, ...how)) } };
}

/** Memory in frames of 4 KiB that lie anywhere in an array of words. @param offsetOf byte offset of a frame, -1: there is none */
function wordMemory(words: Int32Array, offsetOf: (frame: number) => number): TableMemory {
  return {
    read: (address, bytes, endian) => {
      const frame = Number(address / BigInt(PAGE_SIZE));
      const offset = offsetOf(frame);
      if (offset < 0) return 0n;
      const view = new DataView(words.buffer, words.byteOffset + offset + Number(address % BigInt(PAGE_SIZE)), bytes);
      return bytes === 8 ? view.getBigUint64(0, endian === 'le') : BigInt(view.getUint32(0, endian === 'le'));
    },
  };
}
