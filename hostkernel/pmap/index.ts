/** The pmap room: real translations, and the way back from a frame to all of them. */

export { HardwarePmap, HardwarePmaps } from './hardware.ts';
export type { PageSource, Pmap, PmapSystem } from './pmap.ts';
export { ReverseMap } from './reverse-map.ts';
