/**
 * Readers of data that a user wrote: each takes a value of unknown shape and its path in the file, and returns it with
 * its type. What is wrong goes into a list, with the path, and the reader goes on: one look tells everything. Only what
 * a reader asks for is looked at, to the depth it has, so no file can make this run long.
 */

/** What is wrong with a value, or odd. */
export interface Problem {
  /** The field: `levels[1].bits`, `tlb.l2.entries`. */
  readonly path: string;
  readonly text: string;
  readonly severity: 'error' | 'warning';
}

export type Reader<T> = (value: unknown, path: string, problems: Problem[]) => T;
export type Shape<T> = { readonly [K in keyof T]-?: Field<T[K]> };
export interface Field<T> {
  readonly read: Reader<T>;
  /** What an absent field means; 'required': it may not be absent; 'absent': then it is absent in the result, too. */
  readonly otherwise: 'required' | 'absent' | { readonly value: T };
}

/** Numbers in a file are hexadecimal strings, or integers small enough for TOML or JSON. */
export type Hex = `0x${string}`;

const MAX_LIST = 256;

export const say = (problems: Problem[], path: string, text: string): void => {
  problems.push({ path, text, severity: 'error' });
};

/** A value as a person would name it, never long. */
function show(value: unknown): string {
  if (typeof value === 'string') return value.length > 40 ? `'${value.slice(0, 40)}...'` : `'${value}'`;
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (value === null || value === undefined) return 'nothing';
  return Array.isArray(value) ? 'a list' : 'a table';
}

/** The parts of readers. */
export const required = <T>(read: Reader<T>): Field<T> => ({ read, otherwise: 'required' });
export const maybe = <T>(read: Reader<T>): Field<T> => ({ read, otherwise: 'absent' });
export const normally = <T>(read: Reader<T>, value: T): Field<T> => ({ read, otherwise: { value } });

export function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

const join = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`);
const isName = (name: string): boolean => /^[A-Za-z0-9][\w.*-]{0,31}$/.test(name);

export function integer(least: number, most: number): Reader<number> {
  return (value, path, problems) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
    say(problems, path, `${show(value)} is no whole number from ${least} to ${most}`);
    return least;
  };
}

export function oneOf<T extends string | number>(...choices: readonly T[]): Reader<T> {
  return (value, path, problems) => {
    const found = choices.find((choice) => choice === value);
    if (found === undefined) say(problems, path, `${show(value)} is none of ${choices.join(', ')}`);
    return found ?? choices[0];
  };
}

export const hex: Reader<Hex> = (value, path, problems) => {
  if (typeof value === 'string' && /^0x[0-9a-fA-F]{1,16}$/.test(value)) return `0x${BigInt(value).toString(16)}`;
  const isNumber = (typeof value === 'number' && Number.isSafeInteger(value)) || typeof value === 'bigint';
  if (isNumber && value >= 0 && value < 2n ** 64n) return `0x${value.toString(16)}`;
  const text = typeof value === 'string' ? 'a number is written 0x and 1 to 16 hexadecimal digits' : 'not a number of 0 to 64 bits';
  say(problems, path, `${show(value)}: ${text}`);
  return '0x0';
};

export function text(pattern: RegExp, what: string): Reader<string> {
  return (value, path, problems) => {
    if (typeof value === 'string' && pattern.test(value)) return value;
    say(problems, path, `${show(value)} is no ${what}`);
    return '';
  };
}

export function listOf<T>(read: Reader<T>, most = MAX_LIST): Reader<readonly T[]> {
  return (value, path, problems) => {
    if (!Array.isArray(value)) {
      say(problems, path, `${show(value)} is no list`);
      return [];
    }
    if (value.length > most) say(problems, path, `${value.length} elements; there may be ${most}`);
    return value.slice(0, most).map((element: unknown, i) => read(element, `${path}[${i}]`, problems));
  };
}

/** A table whose keys are the user's. */
export function mapOf<T>(read: Reader<T>): Reader<Readonly<Record<string, T>>> {
  return (value, path, problems) => {
    if (!isTable(value)) {
      say(problems, path, `${show(value)} is no table`);
      return {};
    }
    const entries = Object.entries(value);
    if (entries.length > MAX_LIST) say(problems, path, `${entries.length} fields; there may be ${MAX_LIST}`);
    const found: [string, T][] = [];
    for (const [name, element] of entries.slice(0, MAX_LIST)) {
      if (isName(name) || name === '*') found.push([name, read(element, join(path, name), problems)]);
      else say(problems, path, `${show(name)} is no name`);
    }
    return Object.fromEntries(found);
  };
}

/** A table with fields of ours. Any other field is a mistake: a misspelt rule would otherwise be no rule. */
export function record<T>(shape: Shape<T>): Reader<T> {
  const names = Object.keys(shape) as (keyof T & string)[];
  return (value, path, problems) => {
    if (!isTable(value)) {
      say(problems, path === '' ? 'the file' : path, `${show(value)} is no table`);
      return {} as T;
    }
    for (const name of Object.keys(value).slice(0, MAX_LIST)) {
      if (!names.includes(name as keyof T & string))
        say(problems, join(path, name.slice(0, 40)), `no such field; there are ${names.join(', ')}`);
    }
    const result: Partial<T> = {};
    for (const name of names) {
      const field: Field<T[typeof name]> = shape[name];
      if (Object.hasOwn(value, name)) result[name] = field.read(value[name], join(path, name), problems);
      else if (field.otherwise === 'required') say(problems, join(path, name), 'missing');
      else if (field.otherwise !== 'absent') result[name] = field.otherwise.value;
    }
    return result as T;
  };
}

/** One of several shapes, told apart by a field. */
export function either<A, B>(first: Reader<A>, second: Reader<B>, isFirst: (value: unknown) => boolean): Reader<A | B> {
  return (value, path, problems) => (isFirst(value) ? first(value, path, problems) : second(value, path, problems));
}

/** Settings of a layout's options: switches, and registers as hexadecimal strings. */
export const options: Reader<Readonly<Record<string, 0 | 1 | Hex>>> = mapOf(
  either<0 | 1, Hex>(oneOf(0, 1), hex, (value) => typeof value === 'number'),
);
