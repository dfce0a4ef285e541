/** `npm run bench [-- NAME...]`: runs the suites of that name or in that folder, all without one, one after the other. */
import { readdirSync } from 'node:fs';

const FOLDER = new URL('./', import.meta.url);
const SUFFIX = '.bench.ts';
const files = (readdirSync(FOLDER, { recursive: true }) as string[]).filter((name) => name.endsWith(SUFFIX)).sort();
const wanted = process.argv.slice(2);
const chosen = files.filter(
  (name) => wanted.length === 0 || wanted.some((part) => `/${name.slice(0, -SUFFIX.length)}/`.includes(`/${part}/`)),
);

if (chosen.length === 0) {
  console.error(`bench: no suite named ${wanted.join(', ')}; there are ${files.map((name) => name.slice(0, -SUFFIX.length)).join(', ')}`);
  process.exitCode = 2;
}
for (const name of chosen) {
  console.log(`\n=== ${name.slice(0, -SUFFIX.length)}`);
  const suite = (await import(new URL(name, FOLDER).href)) as { run(): Promise<void> | void };
  await suite.run();
}
