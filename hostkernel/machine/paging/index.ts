/** Page-table formats: descriptors, the codec and the walks derived from them. The entry file of this room. */
export { compileLayout } from './compile.ts';
export type { FaultKind, LayoutDescriptor, Options } from './descriptor.ts';
export * from './format.ts';
export { LAYOUT_NAMES, layoutByName } from './registry.ts';
export { SV32, SV39, SV48 } from './riscv.ts';
export { VPTE_2006, VPTE_2006V, VPTE_32_NX, VPTE_64_NX } from './vpte.ts';
