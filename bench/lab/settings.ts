/**
 * Jobs written in short, as a command line does: `footprint=4G`, `host-pages=4K,2M`, `machine.tlb.l2.entries=512..4096*2`.
 * A draft is a job as its writer left it; readJob() says what is wrong with it and adds what is missing.
 *
 *   key                         field of the job
 *   method, accesses, seed      the same
 *   guest, host                 layout of the guest, of every host
 *   guest-pages, host-pages     pageSizes of them; guest.FIELD, host.FIELD any other, guest.options.NAME an option
 *   workload, footprint         name of the workload, its parameter `footprint`; workload.NAME: any parameter
 *   machine                     the machine to begin with; machine.FIELD: what differs from it
 */
import { isTable } from '../../hostkernel/base/shape.ts';
import type { Json } from './canonical.ts';
import { parseBytes } from './job.ts';

/** A job being written. */
export interface Draft {
  [field: string]: DraftValue;
}
export type DraftValue = Json | Draft | DraftValue[];

export type Scalar = boolean | number | string;

/** A key and the value it is to have. */
export interface Setting {
  readonly key: string;
  readonly value: Scalar;
}

/** One parameter of a sweep: all values it takes. */
export interface Variation {
  readonly key: string;
  readonly values: readonly Scalar[];
}

const MOST_VALUES = 10_000;
const KEY = /^[A-Za-z][\w-]*(\.[A-Za-z0-9][\w-]*)*$/;

/** `KEY=VALUE`. @returns the setting, or what is wrong */
export function parseSetting(text: string): Setting | string {
  const at = text.indexOf('=');
  const key = text.slice(0, Math.max(at, 0));
  if (!KEY.test(key)) return `'${text.slice(0, 60)}' is no KEY=VALUE`;
  if (at === text.length - 1) return `${key}: no value`;
  return { key, value: scalar(text.slice(at + 1)) };
}

/** `KEY=VALUES`: a list of values and ranges. @returns the variation, or what is wrong */
export function parseVariation(text: string): Variation | string {
  const at = text.indexOf('=');
  const key = text.slice(0, Math.max(at, 0));
  if (!KEY.test(key)) return `'${text.slice(0, 60)}' is no KEY=VALUES`;
  const values: Scalar[] = [];
  for (const part of text.slice(at + 1).split(',')) {
    if (part === '') return `${key}: an empty value in '${text.slice(at + 1, at + 61)}'`;
    const range = part.includes('..') ? rangeOf(part) : [scalar(part)];
    if (typeof range === 'string') return `${key}: ${range}`;
    values.push(...range);
    if (values.length > MOST_VALUES) return `${key}: more than ${MOST_VALUES} values`;
  }
  return { key, values: [...new Set(values)] };
}

/** A value as it is meant: a number, bytes (`64M`), true or false, otherwise the text itself. */
export function scalar(text: string): Scalar {
  if (text === 'true' || text === 'false') return text === 'true';
  if (/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text)) return Number(text);
  return parseBytes(text) ?? text;
}

/** `FIRST..LAST+STEP` or `FIRST..LAST*FACTOR`; both ends are meant. */
function rangeOf(text: string): readonly number[] | string {
  const match = /^(.+?)\.\.(.+?)([+*])(.+)$/.exec(text);
  if (match === null) return `'${text}' is no range; write FIRST..LAST+STEP or FIRST..LAST*FACTOR`;
  const [first, last, step] = [match[1], match[2], match[4]].map((part) => scalar(part as string));
  if (typeof first !== 'number' || typeof last !== 'number' || typeof step !== 'number') return `'${text}': a range is made of numbers`;
  if (last < first) return `'${text}': the range ends before it begins`;
  const isSum = match[3] === '+';
  if (isSum ? step <= 0 : step <= 1 || first <= 0) return `'${text}' never ends: its step leads nowhere`;
  const values: number[] = [];
  for (let value = first; value <= last; value = tidy(isSum ? first + values.length * step : value * step)) {
    values.push(value);
    if (values.length > MOST_VALUES) return `'${text}': more than ${MOST_VALUES} values`;
  }
  return values;
}

/** Without the last digits, which sums of decimal fractions leave behind. Whole numbers stay exact. */
function tidy(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(12));
}

/** All combinations: one value of each variation; the last varies fastest. No variations: the one empty combination. */
export function combinations(variations: readonly Variation[]): readonly (readonly Setting[])[] {
  return variations.reduce<readonly (readonly Setting[])[]>(
    (before, { key, values }) => before.flatMap((settings) => values.map((value) => [...settings, { key, value }])),
    [[]],
  );
}

/** `draft` with `settings`: those that name a whole before those that change a part of it, otherwise in their order. */
export function withSettings(draft: Draft, settings: readonly Setting[]): Draft {
  const changed = structuredClone(draft);
  const isPart = ({ key }: Setting): number => (key.includes('.') || /^(guest|host)-|^footprint$/.test(key) ? 1 : 0);
  for (const setting of [...settings].sort((a, b) => isPart(a) - isPart(b))) put(changed, setting);
  return changed;
}

function put(draft: Draft, { key, value }: Setting): void {
  const [head, ...rest] = key.split('.') as [string, ...string[]];
  const side = /^(guest|host)(?:-(\w+))?$/.exec(head);
  if (side !== null) {
    const part = side[2] === undefined ? [] : [side[2]];
    const path = [...part, ...rest].map((field) => (field === 'pages' ? 'pageSizes' : field));
    for (const one of side[1] === 'guest' ? [tableAt(draft, 'guest')] : hostsOf(draft))
      putAt(one, path.length === 0 ? ['layout'] : path, value);
  } else if (head === 'footprint' && rest.length === 0) putAt(tableAt(draft, 'workload'), ['params', 'footprint'], value);
  else if (head === 'workload') putAt(tableAt(draft, 'workload'), rest.length === 0 ? ['name'] : ['params', ...rest], value);
  else if (head === 'machine') putAt(tableAt(draft, 'machine'), rest.length === 0 ? ['extends'] : rest, value);
  else putAt(draft, [head, ...rest], value);
}

function hostsOf(draft: Draft): readonly Draft[] {
  const hosts = Array.isArray(draft['hosts']) && draft['hosts'].length > 0 ? draft['hosts'] : [{}];
  draft['hosts'] = hosts;
  return hosts.map((_, i) => tableIn(hosts as unknown as Draft, String(i), 'layout'));
}

/** The table in a field; a name that stands there becomes the table's first field. */
function tableAt(draft: Draft, field: 'guest' | 'workload' | 'machine'): Draft {
  return tableIn(draft, field, { guest: 'layout', workload: 'name', machine: 'extends' }[field]);
}

function tableIn(draft: Draft, field: string, short: string): Draft {
  const value = Object.hasOwn(draft, field) ? draft[field] : undefined;
  const table = isTable(value) ? (value as Draft) : typeof value === 'string' ? { [short]: value } : {};
  draft[field] = table;
  return table;
}

function putAt(draft: Draft, path: readonly string[], value: Scalar): void {
  const last = path.at(-1) as string;
  let at = draft;
  for (const field of path.slice(0, -1)) at = tableIn(at, field, 'value');
  at[last] = value;
}
