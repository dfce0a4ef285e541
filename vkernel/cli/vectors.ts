/**
 * Test vectors: small page tables, an access, and what must come of it. The file is that of the project's own vectors
 * (tests/hostkernel/machine/paging/vectors.json), so that either can be used where the other is.
 *
 *   { format: 'page-table-vectors/1', layouts: { id: description }, vectors: [ ... ], twoStage: [ ... ] }
 *
 * Numbers are hexadecimal strings; memory that is not listed is zero.
 */
import type { Hex, LayoutDescriptor, LayoutProblem, Options } from '../../hostkernel/machine/paging/index.ts';
import { fileText, problemLine } from './layout-file.ts';
import {
  hex,
  integer,
  listOf,
  type Reader,
  maybe,
  normally,
  oneOf,
  options,
  record,
  required,
  say,
  text,
} from '../../hostkernel/base/shape.ts';

const VECTOR_FORMAT = 'page-table-vectors/1';

/** What must come of an access: a hit or a fault, with the entries read and changed. Fields that are absent are not compared. */
export interface Expectation {
  readonly result: 'hit' | 'fault';
  readonly pa?: Hex;
  readonly pageShift?: number;
  readonly kind?: string;
  readonly level?: number;
  readonly code?: number | string;
  readonly refs?: readonly Hex[];
  readonly writes?: readonly (readonly Hex[])[];
}

export interface Vector {
  readonly id: string;
  readonly layout: string;
  readonly opts?: Options;
  readonly root: Hex;
  readonly root2?: Hex; // the other root of an address space with two
  readonly mem: readonly (readonly Hex[])[]; // [address, entry]
  readonly va: Hex;
  readonly access: 'r' | 'w' | 'x';
  readonly mode: 'user' | 'super';
  readonly expect: Expectation;
}

/** What a two-stage walk must do. */
export interface StageExpectation {
  readonly result: 'hit' | 'fault';
  readonly pa?: Hex;
  readonly gpa?: Hex;
  readonly pageShift?: number;
  readonly s1level?: number;
  readonly s2level?: number;
  readonly stage?: number;
  readonly implicit?: boolean;
  readonly kind?: string;
  readonly level?: number;
  readonly code?: number | string;
  readonly refs?: readonly (readonly [stage: number, address: Hex])[];
  readonly writes?: readonly (readonly unknown[])[];
}

export interface StageVector extends Omit<Vector, 'expect' | 'root2'> {
  readonly layout2: string;
  readonly opts2?: Options;
  readonly rootStage2: Hex;
  readonly expect: StageExpectation;
}

export interface VectorFile {
  readonly vectors: readonly Vector[];
  readonly twoStage: readonly StageVector[];
}

const MAX_FILE = 64 * 1024 * 1024;
const MAX_VECTORS = 100_000;
const MAX_ENTRIES = 4096;

const name = text(/^[^\p{Cc}]{1,200}$/u, 'name');
const pairs = listOf(listOf(hex, 2), MAX_ENTRIES);
const code: Reader<number | string> = (value, path, problems) => {
  if (typeof value === 'number' || typeof value === 'string') return value;
  say(problems, path, 'no fault code');
  return 0;
};
const bool: Reader<boolean> = (value, path, problems) => {
  if (typeof value !== 'boolean') say(problems, path, 'neither true nor false');
  return value === true;
};
const anything: Reader<readonly unknown[]> = (value, path, problems) => {
  if (!Array.isArray(value)) say(problems, path, 'no list');
  return Array.isArray(value) ? value : [];
};
const stageRef: Reader<readonly [number, Hex]> = (value, path, problems) => {
  const [stage, address] = Array.isArray(value) ? (value as readonly unknown[]) : [];
  return [integer(1, 2)(stage, `${path}[0]`, problems), hex(address, `${path}[1]`, problems)];
};

const common = {
  id: required(name),
  layout: required(name),
  opts: maybe(options),
  root: required(hex),
  mem: required(pairs),
  va: required(hex),
  access: required(oneOf('r', 'w', 'x')),
  mode: required(oneOf('user', 'super')),
  note: maybe(name),
};
const result = required(oneOf('hit', 'fault'));
const level = integer(0, 15);
const outcome = {
  result,
  pa: maybe(hex),
  pageShift: maybe(integer(0, 64)),
  kind: maybe(name),
  level: maybe(level),
  code: maybe(code),
};

const VECTOR = record({
  ...common,
  root2: maybe(hex),
  expect: required(record({ ...outcome, refs: maybe(listOf(hex)), writes: maybe(pairs) })),
});

const STAGE_VECTOR = record({
  ...common,
  layout2: required(name),
  opts2: maybe(options),
  rootStage2: required(hex),
  expect: required(
    record({
      ...outcome,
      gpa: maybe(hex),
      s1level: maybe(level),
      s2level: maybe(level),
      stage: maybe(integer(1, 2)),
      implicit: maybe(bool),
      refs: maybe(listOf(stageRef)),
      writes: maybe(listOf(anything)),
    }),
  ),
});

const untouched: Reader<unknown> = (value) => value;
const FILE = record({
  format: required(oneOf(VECTOR_FORMAT)),
  about: maybe(untouched),
  layouts: maybe(untouched),
  vectors: required(listOf(VECTOR, MAX_VECTORS)),
  twoStage: normally(listOf(STAGE_VECTOR, MAX_VECTORS), []),
});

/** Reads a vector file. @returns it, or one line that says what is wrong with it */
export function readVectors(path: string): VectorFile | string {
  const file = fileText(path, MAX_FILE);
  if ('problem' in file) return `${path}: ${file.problem}`;
  let value: unknown;
  try {
    value = JSON.parse(file.text);
  } catch (error) {
    return `${path}: ${(error as Error).message.split('\n')[0]}`;
  }
  const problems: LayoutProblem[] = [];
  const read = FILE(value, '', problems);
  // The shapes above are those of the interfaces, field by field.
  return problems.length > 0 ? `${path}: ${problemLine(problems[0])}` : (read as unknown as VectorFile);
}

/** A vector file with one vector a line, so that two of them can be compared. */
export function vectorFileText(layout: LayoutDescriptor, about: string, vectors: readonly Vector[]): string {
  return [
    '{',
    `"format": ${JSON.stringify(VECTOR_FORMAT)},`,
    `"about": ${JSON.stringify(about)},`,
    `"layouts": {${JSON.stringify(layout.id)}: ${JSON.stringify(layout)}},`,
    `"vectors": [\n${vectors.map((vector) => JSON.stringify(vector)).join(',\n')}\n],`,
    '"twoStage": []',
    '}\n',
  ].join('\n');
}

/** Both as one object: the named fields that `expected` has. What differs is told as `field: expected x, got y`. */
export function differences(expected: object, got: object): readonly string[] {
  const found: string[] = [];
  for (const [field, value] of Object.entries(expected)) {
    const other = (got as Readonly<Record<string, unknown>>)[field];
    if (other === undefined && field === 'code') continue; // a walker that knows no architecture's codes
    const [a, b] = [JSON.stringify(value), JSON.stringify(other)];
    if (a !== b) found.push(`${field}: expected ${a}, got ${b ?? 'nothing'}`);
  }
  return found;
}
