/**
 * Which page-table layouts a machine uses: that of the hardware (`--mmu`) and that of virtual page tables (`--vpte`),
 * for a program of 32 or 64 bits; and what each layout can be used for.
 */
import {
  ATTR_USER,
  compileLayout,
  compileWalk,
  type LayoutDescriptor,
  LayoutError,
  layoutByName,
  type Options,
  pageShiftOf,
  type PageTableFormat,
} from '../../hostkernel/machine/paging/index.ts';
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import { refusalOf } from '../../hostkernel/pmap/index.ts';
import { emptyEntry, SLOT_BITS } from '../platform/index.ts';

/** The formats of one machine, by width of the program. */
export interface Formats {
  readonly mmu64: PageTableFormat;
  readonly mmu32: PageTableFormat;
  readonly vpte64: PageTableFormat;
  readonly vpte32: PageTableFormat;
}

const DEFAULTS = { mmu64: 'sv39', mmu32: 'sv32', vpte64: 'vpte-64-nx', vpte32: 'vpte-32-nx' } as const;

/** For each use, why a layout is unfit for it; null: it is fit. */
export interface Roles {
  readonly mmu: string | null; //      page tables of the hardware
  readonly vpte: string | null; //     virtual page tables of the vkernel
  readonly hostVpte: string | null; // virtual page tables of a program of the host kernel, which it writes itself
}

/** A layout as a machine of ours would have it: with hardware that maintains accessed and dirty bits, where it is an option. */
export function formatOf(layout: LayoutDescriptor): PageTableFormat {
  const options: Record<string, 1> = {};
  for (const update of layout.ad.set) for (const name of update.opt ?? []) options[name] = 1;
  const isDefault = Object.keys(options).every((name) => layout.options[name] === 1);
  return isDefault ? compileLayout(layout) : compileLayout(layout, options satisfies Options);
}

const rolesKnown = new WeakMap<LayoutDescriptor, Roles>();

/** What `layout` can be used for. */
export function rolesOf(layout: LayoutDescriptor): Roles {
  let roles = rolesKnown.get(layout);
  if (roles === undefined) {
    roles = findRoles(layout);
    rolesKnown.set(layout, roles);
  }
  return roles;
}

function findRoles(layout: LayoutDescriptor): Roles {
  let format: PageTableFormat;
  try {
    format = formatOf(layout);
  } catch (error) {
    if (!(error instanceof LayoutError)) throw error;
    return { mmu: error.message, vpte: error.message, hostVpte: error.message };
  }
  const kernel = unfitForKernels(format);
  return { mmu: kernel ?? unfitForHardware(format), vpte: kernel ?? unfitForTables(format), hostVpte: null };
}

/** Why no kernel here can map its pages with the format. */
function unfitForKernels(format: PageTableFormat): string | null {
  const { descriptor } = format;
  if (format.basePages !== 1)
    return `its base page is ${2 ** pageShiftOf(descriptor) / 1024} KiB; programs and kernels here have pages of 4 KiB`;
  if (format.vaBits < 32) return `it resolves ${format.vaBits} address bits; programs have 32 or 64`;
  if (!format.hasLeaf(0)) return 'no leaf can be made on its last level';
  for (const rights of [READ, READ | WRITE, READ | EXEC]) {
    if (!grants(format, rights))
      return `user mode cannot be granted ${rights === READ ? 'to read' : rights === (READ | WRITE) ? 'to read and write' : 'to read and execute'}`;
  }
  for (let level = 0; level < format.levels; level++)
    if (emptyEntry(format, level) === null) return `every entry of level ${level} is valid`;
  return null;
}

/** Whether leaves can grant these rights to user mode. */
function grants(format: PageTableFormat, rights: number): boolean {
  try {
    const [lo, hi] = [format.leafLo(0, 0, rights | ATTR_USER), format.leafHi(0, 0, rights | ATTR_USER)];
    const granted = format.attributes(0, lo, hi);
    return (granted & rights) === rights && (granted & ATTR_USER) !== 0;
  } catch {
    return false; // the format has no such leaf
  }
}

/** Why no hart here can walk it. */
function unfitForHardware(format: PageTableFormat): string | null {
  if (format.descriptor.stage === 2) return 'a second-stage format: no hart walks it alone';
  const refusal = refusalOf(format);
  if (refusal !== null) return refusal;
  if (format.frameBits < 20) return `it reaches ${2 ** format.frameBits} frames; RAM may have 2^20`;
  try {
    compileWalk(format, { base: 0, frames: 1, i32: new Int32Array(PAGE_SIZE / 4) });
  } catch (error) {
    if (error instanceof LayoutError) return error.message;
    throw error;
  }
  return null;
}

/** Why the vkernel cannot keep its tables in it. */
function unfitForTables(format: PageTableFormat): string | null {
  if (format.frameBits < 18) return `it reaches ${2 ** format.frameBits} frames; the memory image may have more`;
  const entries = format.tableBytes(0) / format.entryBytes;
  return entries > 2 ** SLOT_BITS ? `its last tables have ${entries} entries; there may be ${2 ** SLOT_BITS}` : null;
}

/** A layout, or the name of one of ours. */
export type LayoutChoice = LayoutDescriptor | string | undefined;

/** What host kernels walk for the kernels in them. */
export function nestingFormat(xlen: 32 | 64): PageTableFormat {
  return formatOf(descriptorOf(xlen === 64 ? DEFAULTS.vpte64 : DEFAULTS.vpte32) as LayoutDescriptor); // one of the defaults
}

/**
 * Settles the formats for a program of `xlen` bits. A program of the host kernel may use virtual page tables narrower
 * than itself, and of any page size; a guest's whole address space lies under one.
 * @returns the formats, or one line that says why the pair cannot work
 */
export function chooseFormats(xlen: 32 | 64, mmu: LayoutChoice, vpte: LayoutChoice, use: 'host' | 'guest'): Formats | string {
  const hardware = descriptorOf(mmu ?? DEFAULTS[`mmu${xlen}`]);
  const virtual = descriptorOf(vpte ?? DEFAULTS[`vpte${xlen}`]);
  if (hardware === null) return `--mmu: no layout '${mmu as string}'`;
  if (virtual === null) return `--vpte: no layout '${vpte as string}'`;
  const unfit = rolesOf(hardware).mmu;
  if (unfit !== null) return `--mmu: ${hardware.id} cannot be the page table of a hart: ${unfit}`;
  const { vpte: unfitGuest, hostVpte } = rolesOf(virtual);
  const unfitVirtual = use === 'guest' ? unfitGuest : hostVpte;
  if (unfitVirtual !== null)
    return `--vpte: ${virtual.id} cannot be the virtual page table of ${use === 'guest' ? 'a guest' : 'a program'}: ${unfitVirtual}`;
  if (xlen === 64 && hardware.va.bits <= 32)
    return `--mmu: ${hardware.id} resolves ${hardware.va.bits} address bits, too few for a 64-bit program`;
  if (xlen === 64 && use === 'guest' && virtual.va.bits <= 32)
    return `--vpte: ${virtual.id} resolves ${virtual.va.bits} address bits, too few for a 64-bit program`;
  const format = (name: string): PageTableFormat => formatOf(descriptorOf(name) as LayoutDescriptor); // one of the defaults
  return {
    mmu64: xlen === 64 ? formatOf(hardware) : format(DEFAULTS.mmu64),
    mmu32: xlen === 32 ? formatOf(hardware) : format(DEFAULTS.mmu32),
    vpte64: xlen === 64 ? formatOf(virtual) : format(DEFAULTS.vpte64),
    vpte32: xlen === 32 ? formatOf(virtual) : format(DEFAULTS.vpte32),
  };
}

function descriptorOf(choice: LayoutDescriptor | string): LayoutDescriptor | null {
  return typeof choice === 'string' ? layoutByName(choice) : choice;
}
