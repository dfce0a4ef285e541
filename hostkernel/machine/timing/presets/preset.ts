/** How presets are written: what a source says of a machine, and where; the rest is assumed (assumed.ts). */
import type { Source } from '../config.ts';

/** A description as machine-reader.ts reads it. */
export interface Preset {
  readonly name: string;
  readonly description: string;
  /** Of everything it says, by the beginning of the key. */
  readonly sources: Readonly<Record<string, Source>>;
  readonly [key: string]: unknown;
}

/** A number that stands in the source. */
export function from(source: string): Source {
  return { source, verified: true };
}

/** Our own choice, or a number that is quoted without a source that says it. */
export function assume(why: string): Source {
  return { source: `assumption: ${why}`, verified: false };
}

/** An array that holds pages of each of these sizes. */
export const ALL_SIZES = ['4K', '2M', '1G'] as const;

export const ALIKE = assume('of the order of published machines');
export const SIZES = assume('which page sizes it holds');
export const FULL = assume('small, so fully associative');
