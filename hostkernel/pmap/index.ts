/** The pmap room: real translations, and the way back from a frame to all of them. */

export { HardwarePmaps } from './hardware.ts';
export type { HardwarePmap } from './hardware-pmap.ts';
export type { PageSource, Pmap, PmapSystem } from './pmap.ts';
export { ReverseMap } from './reverse-map.ts';
export { refusalOf } from './tables.ts';
