/** The timing model: translation structures, walks over real tables, caches, cycles. The entry file of this room. */
export { ENTRY_SWAPPED, ENTRY_WIDE, entryShapeOf, TableMemory, type TableMemorySetup } from './table-memory.ts';
export { type EntryWrites, type PageSize, pageSizesOf, PageTables } from './page-tables.ts';
export {
  REFUSED,
  type ShadowFront,
  type SpaceRoots,
  TRANSLATED,
  type TranslationCounters,
  type TranslationModel,
  type WalkRecorder,
} from './translation.ts';
