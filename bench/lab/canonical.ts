/** JSON of one spelling: equal values have equal text, on every machine. Names are sorted; numbers are spelt as ECMAScript does. */
import { kassert } from '../../hostkernel/base/assert.ts';

/** What JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | JsonTable;
export interface JsonTable {
  readonly [name: string]: Json;
}

/**
 * The text of `value`, in one line. Fields that are undefined are left out.
 * @throws KernelPanic for what JSON cannot say: a number that is not finite, a bigint, a function
 */
export function canonicalText(value: unknown): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') {
    kassert(Number.isFinite(value), 'canonical: a number that is not finite');
    return String(value + 0); // -0 is 0
  }
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(',')}]`;
  kassert(typeof value === 'object', 'canonical: not a value of JSON');
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{${fields
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, field]) => `${JSON.stringify(name)}:${canonicalText(field)}`)
    .join(',')}}`;
}
