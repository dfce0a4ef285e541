/**
 * `npm run bench [-- NAME...]`: runs the suites of that name or in that folder, all without one, one after the other. What
 * each counted and how long it took goes to bench/results, for `vkernel lab diff`; so does the laboratory's report.
 */
import { mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Files } from './suite.ts';

const FOLDER = new URL('./', import.meta.url);
const RESULTS = new URL('results/', FOLDER);
const SUFFIX = '.bench.ts';
const files = (readdirSync(FOLDER, { recursive: true }) as string[]).filter((name) => name.endsWith(SUFFIX)).sort();
const wanted = process.argv.slice(2);
const chosen = files.filter(
  (name) => wanted.length === 0 || wanted.some((part) => `/${name.slice(0, -SUFFIX.length)}/`.includes(`/${part}/`)),
);

/** Writes a file as a whole or not at all. @returns its path */
function write(name: string, text: string): string {
  const path = fileURLToPath(new URL(name, RESULTS));
  writeFileSync(`${path}.tmp`, text);
  renameSync(`${path}.tmp`, path);
  return path;
}

if (chosen.length === 0) {
  console.error(`bench: no suite named ${wanted.join(', ')}; there are ${files.map((name) => name.slice(0, -SUFFIX.length)).join(', ')}`);
  process.exitCode = 2;
}
const written: string[] = [];
mkdirSync(RESULTS, { recursive: true });
for (const name of chosen) {
  console.log(`\n=== ${name.slice(0, -SUFFIX.length)}`);
  const suite = (await import(new URL(name, FOLDER).href)) as { run(): Promise<Files> | Files };
  for (const [file, text] of await suite.run()) written.push(write(file, text));
}
if (written.length > 0) console.log(`\nwritten:\n${written.map((path) => `  ${path}`).join('\n')}`);
