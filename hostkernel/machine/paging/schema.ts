/**
 * The shape of a layout file: which fields a description has, of which types, and what they are if left out. What the
 * values mean together is judged elsewhere (check.ts).
 */
import {
  either,
  type Hex,
  hex,
  integer,
  isTable,
  listOf,
  mapOf,
  maybe,
  normally,
  oneOf,
  options,
  record,
  required,
  text,
} from '../../base/shape.ts';
import type { LayoutProblem } from './check.ts';
import type { LayoutDescriptor } from './descriptor.ts';

/** Reads a description. @returns it, or what is wrong with it, the first problem first */
export function readDescriptor(value: unknown): LayoutDescriptor | readonly LayoutProblem[] {
  const problems: LayoutProblem[] = [];
  const read = DESCRIPTOR(value, '', problems);
  // The shapes below are those of LayoutDescriptor, field by field.
  return problems.length === 0 ? ({ ...read, title: read.title ?? read.id } as unknown as LayoutDescriptor) : problems;
}

// The description, from the inside out.

const FAULTS = [
  'noncanonical',
  'not-present',
  'reserved',
  'misaligned',
  'not-leaf',
  'misconfig',
  'protection',
  'access-flag',
  'dirty-flag',
  'address-size',
  'domain',
] as const;

const name = text(/^[A-Za-z0-9][\w.-]{0,31}$/, 'name: a letter or digit, then letters, digits, . _ -');
const fault = oneOf(...FAULTS);
const names = listOf(name);
const conditions = { opt: maybe(names), nopt: maybe(names) };
const NOTHING: Hex = '0x0';
const match = { mask: normally(hex, NOTHING), value: normally(hex, NOTHING), any: maybe(hex), ...conditions };
const grant = oneOf('ur', 'uw', 'ux', 'sr', 'sw', 'sx');
const accesses = oneOf('r', 'w', 'x', 'rw', 'rx', 'wx', 'rwx');
const part = record({ mask: required(hex), shl: normally(integer(0, 63), 0) });
const parts = listOf(part);

const classPattern = record({
  ...match,
  as: required(oneOf('invalid', 'reserved', 'table', 'leaf', 'indirect')),
  fault: maybe(fault),
  pageShift: maybe(integer(3, 63)),
  frame: maybe(parts),
  ptr: maybe(parts),
});

const grantPattern = record({ ...match, grant: required(grant) });
const grants = listOf(grantPattern);

const POST = record({ ...conditions, has: required(grant), add: maybe(grant), del: maybe(grant) });

const PERMISSIONS = record({
  check: normally(oneOf('leaf', 'each'), 'leaf' as const),
  combine: normally(oneOf('leaf', 'and'), 'leaf' as const),
  entry: maybe(grants),
  entryAt: maybe(mapOf(grants)),
  tableEntry: maybe(grants),
  post: normally(listOf(POST), []),
  skip: maybe(names),
});

const AD_FAULT = record({ ...match, on: required(accesses), kind: required(fault), before: maybe(oneOf('perm')) });
const AD_SET = record({
  at: required(oneOf('all', 'leaf')),
  on: required(accesses),
  mask: maybe(hex),
  value: maybe(hex),
  set: maybe(hex),
  clear: maybe(hex),
  skip: maybe(names),
  pre: maybe(oneOf(1)),
  ...conditions,
});

const VA = record({
  bits: required(integer(8, 64)),
  rule: required(oneOf('sign', 'zero', 'trunc', 'wrap', 'split', 'maskzero')),
  mask: maybe(hex),
  fault: maybe(fault),
  strictOpt: maybe(name),
});

const ROOT = either(
  record({ kind: required(oneOf('value')) }),
  record({ kind: required(oneOf('pointer', 'value')), mask: required(hex) }),
  (value) => isTable(value) && value['kind'] === 'value',
);

const DESCRIPTOR = record({
  id: required(name),
  title: maybe(text(/^[^\p{Cc}]{1,200}$/u, 'title: up to 200 characters in one line')),
  arch: normally(name, 'custom'),
  kind: normally(oneOf('radix'), 'radix' as const),
  stage: maybe(oneOf(1, 2)),
  endian: normally(oneOf('le', 'be'), 'le' as const),
  entryBytes: required(oneOf(4, 8)),
  va: required(VA),
  paBits: required(integer(8, 64)),
  options: normally(options, {}),
  root: required(ROOT),
  offset: normally(oneOf('or', 'add'), 'or' as const),
  levels: required(listOf(record({ name: required(name), lo: required(integer(3, 64)), bits: required(integer(0, 20)) }))),
  classify: required(mapOf(listOf(classPattern))),
  table: normally(mapOf(parts), {}),
  frame: required(mapOf(parts)),
  perm: required(PERMISSIONS),
  ad: normally(record({ fault: normally(listOf(AD_FAULT), []), set: normally(listOf(AD_SET), []) }), { fault: [], set: [] }),
  domain: maybe(
    record({
      at: required(name),
      mask: required(hex),
      shr: required(integer(0, 63)),
      skipIf: required(record({ mask: required(hex), value: required(hex), domain: required(integer(0, 15)) })),
      reg: required(name),
    }),
  ),
  nextBits: maybe(record({ mask: required(hex) })),
  contiguous: maybe(record({ bit: required(integer(0, 63)), entries: required(mapOf(integer(1, 65536))) })),
  carried: maybe(record({ global: maybe(hex) })),
  tableReadsWriteOpt: maybe(name),
});
