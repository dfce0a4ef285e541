/** Files and folders of results: reading them, joining them (`vkernel lab merge`). */
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Job, jobText, sourceName } from '../../bench/lab/job.ts';
import { resultKeys } from '../../bench/lab/node/result-store.ts';
import { type LabResult, readResults, resultSetText, resultText } from '../../bench/lab/result.ts';
import { problemLine } from './layout-file.ts';
import { complain, EXIT_FAILURE, EXIT_USAGE, print } from './report.ts';

/** What a file of JSON says. @returns it, or one line */
export function jsonOfFile(path: string): { readonly value: unknown } | string {
  try {
    return { value: JSON.parse(readFileSync(path, 'utf8')) as unknown };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return `${path}: ${code === undefined ? 'no JSON: the file is damaged, or of another kind' : (SAID[code] ?? code)}`;
  }
}

/** What a person is told where a file of results should be. */
const SAID: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EISDIR: 'a folder; `vkernel lab merge` makes a file of its results',
};

/** The results in a file. @returns them, or one line that says what is wrong */
export function resultsOfFile(path: string): readonly LabResult[] | string {
  const file = jsonOfFile(path);
  if (typeof file === 'string') return file;
  const read = readResults(file.value);
  return 'results' in read ? read.results : `${path}: ${problemLine(read.problems[0])}`;
}

/** The results of a file, or of all result files of a folder. */
export function resultsAt(path: string): readonly LabResult[] | string {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return resultsOfFile(path);
  const all: LabResult[] = [];
  const keys = resultKeys(path);
  if (keys.length === 0) return `${path}: no results in this folder (${readdirSync(path).length} files)`;
  for (const key of [...keys].sort()) {
    const read = resultsOfFile(join(path, `${key}.json`));
    if (typeof read === 'string') return read;
    all.push(...read);
  }
  return all;
}

/** Whether `path` is there and no plain file: a device, a pipe, a folder. Such a thing is written to, never replaced. */
export function isSpecial(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === false;
}

/** Writes a file as a whole or not at all. @returns exit status */
export function writeWhole(path: string, text: string): number {
  const unfinished = `${path}.${process.pid}.tmp`;
  try {
    if (isSpecial(path)) {
      writeFileSync(path, text);
      return 0;
    }
    writeFileSync(unfinished, text, { flush: true });
    renameSync(unfinished, path);
    return 0;
  } catch (error) {
    rmSync(unfinished, { force: true });
    return complain(`--out: ${path}: ${(error as NodeJS.ErrnoException).code ?? 'cannot be written'}`, EXIT_FAILURE);
  }
}

/** Joins the results of files and folders. Equal results count once; one job with two results is an error. */
export function mergeCommand(paths: readonly string[], options: { readonly out?: string }): number {
  const texts = new Map<string, { readonly text: string; readonly path: string }>();
  const joined: LabResult[] = [];
  for (const path of paths) {
    const results = resultsAt(path);
    if (typeof results === 'string') return complain(results, EXIT_USAGE);
    for (const result of results) {
      const [key, text] = [jobText(result.job), resultText(result)];
      const before = texts.get(key);
      if (before === undefined) joined.push(result);
      else if (before.text !== text) return complain(`${path} and ${before.path} differ on one job: ${jobName(result)}`, EXIT_FAILURE);
      texts.set(key, { text, path });
    }
  }
  const text = resultSetText(joined);
  if (options.out === undefined) print(text.trimEnd());
  else return writeWhole(options.out, text);
  return 0;
}

/** A result's job in a few words. */
export function jobName({ job }: LabResult): string {
  return `${job.method}, ${sourceName(job)}, ${jobSides(job)}, seed ${job.seed}`;
}

/** The layouts of a job with their page sizes: `sv39 4K over sv48 2M`. */
export function jobSides({ guest, hosts }: Job): string {
  return [guest, ...hosts].map(({ layout, pageSizes }) => `${typeof layout === 'string' ? layout : layout.id} ${pageSizes}`).join(' over ');
}
