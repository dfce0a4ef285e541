/** `vkernel lab report`: results as a page for a browser, as Markdown with charts, or as a table for other programs. */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { csvOf } from '../../bench/lab/report/csv.ts';
import { reportOf } from '../../bench/lab/report/document.ts';
import type { LabResult } from '../../bench/lab/result.ts';
import { resultsAt, writeWhole } from './lab-results.ts';
import { complain, EXIT_FAILURE, EXIT_USAGE, print } from './report.ts';

export interface RawReportOptions {
  readonly title: string;
  readonly html?: string;
  readonly markdown?: string;
  readonly svg?: string;
  readonly csv?: string;
}

/** Writes what was asked for; without anything, `report.html`. @returns exit status */
export function reportCommand(paths: readonly string[], options: RawReportOptions): number {
  const results: LabResult[] = [];
  for (const path of paths) {
    const read = resultsAt(path);
    if (typeof read === 'string') return complain(read, EXIT_USAGE);
    results.push(...read);
  }
  if (results.length === 0) return complain(`${paths.join(', ')}: no results to report`, EXIT_USAGE);
  const isPlain = [options.html, options.markdown, options.svg, options.csv].every((path) => path === undefined);
  const html = isPlain ? 'report.html' : options.html;
  const { html: page, markdown, figures, rows } = reportOf(results, options.title);
  const files = new Map<string, string>();
  if (html !== undefined) files.set(html, page);
  if (options.markdown !== undefined) files.set(options.markdown, markdown);
  if (options.csv !== undefined) files.set(options.csv, csvOf(rows));
  const folders = [options.svg, options.markdown === undefined ? undefined : dirname(options.markdown)];
  for (const folder of folders) {
    if (folder === undefined) continue;
    for (const { name, svg } of figures) files.set(join(folder, `${name}.svg`), svg);
  }
  for (const [path, text] of files) {
    const status = writeFile(path, text);
    if (status !== 0) return status;
  }
  for (const path of files.keys()) print(path);
  return 0;
}

function writeFile(path: string, text: string): number {
  try {
    mkdirSync(dirname(path), { recursive: true });
  } catch (error) {
    return complain(`${dirname(path)}: ${(error as NodeJS.ErrnoException).code ?? 'cannot be made'}`, EXIT_FAILURE);
  }
  return writeWhole(path, text);
}
