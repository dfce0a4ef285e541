/**
 * Which page-table layouts a machine uses: that of the hardware (`--mmu`) and that of virtual page tables (`--vpte`),
 * for a program of 32 or 64 bits.
 */
import { compileLayout, LAYOUT_NAMES, layoutByName, type PageTableFormat } from '../../hostkernel/machine/paging/index.ts';

/** The formats of one machine, by width of the program. */
export interface Formats {
  readonly mmu64: PageTableFormat;
  readonly mmu32: PageTableFormat;
  readonly vpte64: PageTableFormat;
  readonly vpte32: PageTableFormat;
}

const DEFAULTS = { mmu64: 'sv39', mmu32: 'sv32', vpte64: 'vpte-64-nx', vpte32: 'vpte-32-nx' } as const;

function format(name: string): PageTableFormat {
  const descriptor = layoutByName(name);
  if (descriptor === null) throw new Error(`no layout ${name}`);
  return compileLayout(descriptor);
}

/** Layouts a hart can walk: a root that is a pointer. Virtual page tables exist in software only. */
const isHardware = (name: string): boolean => !name.startsWith('vpte');

/**
 * Settles the formats for a program of `xlen` bits. A program of the host kernel may use virtual page tables narrower
 * than itself; a guest's whole address space lies under one.
 * @returns the formats, or one line that says why the pair cannot work
 */
export function chooseFormats(xlen: 32 | 64, mmu: string | undefined, vpte: string | undefined, use: 'host' | 'guest'): Formats | string {
  for (const [option, name] of [['--mmu', mmu] as const, ['--vpte', vpte] as const]) {
    if (name !== undefined && layoutByName(name) === null) return `${option}: no layout '${name}'; there are ${LAYOUT_NAMES.join(', ')}`;
  }
  if (mmu !== undefined && !isHardware(mmu)) return `--mmu: ${mmu} is a format of virtual page tables, no hart walks it`;
  for (const [option, name] of [['--mmu', mmu] as const, ['--vpte', vpte] as const]) {
    if (name !== undefined && xlen === 64 && format(name).vaBits <= 32 && (use === 'guest' || option === '--mmu')) {
      return `${option}: ${name} resolves ${format(name).vaBits} address bits, too few for a 64-bit program`;
    }
  }
  if (vpte !== undefined && xlen === 32 && format(vpte).vaBits > 32) return `--vpte: ${vpte} is a 64-bit layout, this is a 32-bit program`;
  if (mmu !== undefined && xlen === 32 && format(mmu).vaBits > 32) return `--mmu: ${mmu} is a 64-bit layout, this is a 32-bit program`;
  return {
    mmu64: format(xlen === 64 ? (mmu ?? DEFAULTS.mmu64) : DEFAULTS.mmu64),
    mmu32: format(xlen === 32 ? (mmu ?? DEFAULTS.mmu32) : DEFAULTS.mmu32),
    vpte64: format(xlen === 64 ? (vpte ?? DEFAULTS.vpte64) : DEFAULTS.vpte64),
    vpte32: format(xlen === 32 ? (vpte ?? DEFAULTS.vpte32) : DEFAULTS.vpte32),
  };
}
