/** The layout a user names on the command line: one of ours, or a file that describes one. */
import { statSync } from 'node:fs';
import { readHostFile } from '../posix/node/provider.ts';
import { errnoText } from '../../hostkernel/base/errno.ts';
import {
  checkLayout,
  LAYOUT_NAMES,
  type LayoutDescriptor,
  type LayoutProblem,
  layoutByName,
  readDescriptor,
} from '../../hostkernel/machine/paging/index.ts';

/** A file larger than this describes no page table. */
const MAX_FILE = 1024 * 1024;

/** A layout and what is to be said of it; without a layout, why there is none. */
export interface NamedLayout {
  readonly layout: LayoutDescriptor | null;
  readonly problems: readonly LayoutProblem[];
}

/** Whether a user means a file: names of ours have no slash and no ending. */
export const isFileName = (name: string): boolean => /[/\\]|\.(toml|json)$/i.test(name);

/** One line for a problem: which field, and what is wrong with it. */
export function problemLine(problem: LayoutProblem): string {
  return problem.path === '' ? problem.text : `${problem.path}: ${problem.text}`;
}

/**
 * The layout called `name`, or described by the file of that name.
 * @returns it, or one line that says what is wrong
 */
export async function namedLayout(name: string): Promise<LayoutDescriptor | string> {
  const known = layoutByName(name);
  if (known !== null) return known;
  if (!isFileName(name)) return `no layout '${name}'; there are ${LAYOUT_NAMES.join(', ')}, and files (.toml, .json)`;
  const { layout, problems } = await layoutFromFile(name);
  const errors = problems.filter((problem) => problem.severity === 'error');
  if (layout !== null && errors.length === 0) return layout;
  return `${name}: ${problemLine(errors[0])}${errors.length > 1 ? ` (and ${errors.length - 1} more; vkernel layouts check)` : ''}`;
}

/** Reads and checks a layout file. */
export async function layoutFromFile(path: string): Promise<NamedLayout> {
  const value = await fileValue(path);
  if ('problem' in value) return { layout: null, problems: [{ path: '', text: value.problem, severity: 'error' }] };
  const read = readDescriptor(value.value);
  if (!('id' in read)) return { layout: null, problems: read };
  return { layout: read, problems: checkLayout(read) };
}

/** The bytes of a file of ours, as text. */
export function fileText(path: string, most: number): { readonly text: string } | { readonly problem: string } {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size > most) return { problem: `${size} bytes are too many; at most ${most}` };
  const bytes = readHostFile(path);
  if (typeof bytes === 'number') return { problem: errnoText(-bytes) };
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch {
    return { problem: 'not a text file' };
  }
}

/** What a JSON or TOML file says, whatever it is. */
export async function fileValue(path: string): Promise<{ readonly value: unknown } | { readonly problem: string }> {
  const file = fileText(path, MAX_FILE);
  if ('problem' in file) return file;
  try {
    if (/\.json$/i.test(path)) return { value: JSON.parse(file.text) as unknown };
    const { parse } = await import('smol-toml');
    return { value: parse(file.text, { integersAsBigInt: 'asNeeded', unsafeKeyBehaviour: 'throw', maxDepth: 16 }) };
  } catch (error) {
    return { problem: firstLine(error) };
  }
}

/** The first line of a parser's complaint, with its place in the file where the parser tells. */
function firstLine(error: unknown): string {
  if (!(error instanceof Error)) return 'cannot be read';
  const { line, column } = error as { readonly line?: number; readonly column?: number };
  const text = error.message
    .split('\n')[0]
    .replace(/^Invalid TOML document: /, '')
    .slice(0, 160);
  return line === undefined ? text : `line ${line}, column ${column}: ${text}`;
}
