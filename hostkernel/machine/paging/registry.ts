/** The page-table formats by name. Adding a format means adding its descriptor here, and its vectors to the tests. */
import type { LayoutDescriptor } from './descriptor.ts';
import { ARMV7_SHORT } from './layouts/armv7.ts';
import { ARMV8_16K_47, ARMV8_16K_48, ARMV8_4K_39, ARMV8_4K_48, ARMV8_64K_48 } from './layouts/armv8.ts';
import { EPT_4L, EPT_5L } from './layouts/ept.ts';
import { M68040_4K, M68040_8K } from './layouts/m68040.ts';
import { POWER_RADIX_4K, POWER_RADIX_64K } from './layouts/power.ts';
import { SV32, SV32X4, SV39, SV39X4, SV48, SV48X4, SV57, SV57X4 } from './layouts/riscv.ts';
import { SPARC_SRMMU } from './layouts/srmmu.ts';
import { VPTE_2006, VPTE_2006V, VPTE_32, VPTE_32_NX, VPTE_32_X86, VPTE_64, VPTE_64_NX, VPTE_64_X86 } from './layouts/vpte.ts';
import { I386_2L, I386_PAE, I386_PSE, X86_64_4L, X86_64_5L } from './layouts/x86.ts';

const FAMILIES: readonly (readonly LayoutDescriptor[])[] = [
  [SV32, SV39, SV48, SV57],
  [I386_2L, I386_PSE, I386_PAE, X86_64_4L, X86_64_5L],
  [ARMV8_4K_48, ARMV8_4K_39, ARMV8_16K_48, ARMV8_16K_47, ARMV8_64K_48, ARMV7_SHORT],
  [M68040_4K, M68040_8K, SPARC_SRMMU, POWER_RADIX_4K, POWER_RADIX_64K],
  [SV32X4, SV39X4, SV48X4, SV57X4, EPT_4L, EPT_5L],
  [VPTE_2006, VPTE_2006V, VPTE_32, VPTE_64, VPTE_32_X86, VPTE_64_X86, VPTE_32_NX, VPTE_64_NX],
];
const BY_NAME: ReadonlyMap<string, LayoutDescriptor> = new Map(FAMILIES.flat().map((layout) => [layout.id, layout]));

/** Other names that people know formats by. */
export const LAYOUT_ALIASES: Readonly<Record<string, string>> = {
  la48: 'x86-64-4l',
  la57: 'x86-64-5l',
  amd64: 'x86-64-4l',
  'x86-64': 'x86-64-4l',
  npt: 'x86-64-4l',
  i386: 'i386-2l',
  ia32: 'i386-2l',
  pse: 'i386-pse',
  pae: 'i386-pae',
  ept: 'ept-4l',
  armv7: 'armv7-short',
  armv8: 'armv8-4k-48',
  aarch64: 'armv8-4k-48',
  m68040: 'm68040-4k',
  srmmu: 'sparc-srmmu',
  radix: 'power-radix-4k',
  'power-radix': 'power-radix-4k',
  vpte: 'vpte-64-nx',
};

/** Every registered name: hardware formats, second stages, virtual page tables. */
export const LAYOUT_NAMES: readonly string[] = [...BY_NAME.keys()];

/** The descriptor called `name`, by its id or an alias, or null where there is none: names come from users. */
export function layoutByName(name: string): LayoutDescriptor | null {
  const id = Object.hasOwn(LAYOUT_ALIASES, name) ? LAYOUT_ALIASES[name] : name;
  return BY_NAME.get(id) ?? null;
}
