/** The page-table formats by name. Adding a format means adding its descriptor here, and its vectors to the tests. */
import type { LayoutDescriptor } from './descriptor.ts';
import { SV32, SV39, SV48 } from './riscv.ts';
import { VPTE_2006, VPTE_2006V, VPTE_32_NX, VPTE_64_NX } from './vpte.ts';

const LAYOUTS: ReadonlyMap<string, LayoutDescriptor> = new Map(
  [SV32, SV39, SV48, VPTE_2006, VPTE_2006V, VPTE_32_NX, VPTE_64_NX].map((layout) => [layout.id, layout]),
);

/** Every registered name, hardware formats first. */
export const LAYOUT_NAMES: readonly string[] = [...LAYOUTS.keys()];

/** The descriptor called `name`, or null where there is none: names come from users. */
export function layoutByName(name: string): LayoutDescriptor | null {
  return LAYOUTS.get(name) ?? null;
}
